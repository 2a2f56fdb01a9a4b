# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions about flows, as options ask them, answered from the objects of a cluster."""

from __future__ import annotations

import contextlib
import itertools
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import (
    audit,
    book,
    pictures,
    services,
    summary,
    templates,
)
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import ports as port_sets
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.cilium import CONTROL_PLANE
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.judge import Decision, Judge, Verdict
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.observed import DECLARED, Flow, Party
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.rules import EGRESS
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.terms import POD
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.world import Inventory, World
from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import values
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.network import DNS

Fields = t.Mapping[str, t.Any]

END_SPEC: t.Dict[str, t.Any] = {
    "namespace": {"type": "str"},
    "pod": {"type": "str"},
    "workload": {"type": "str"},
    "service": {"type": "str"},
    "node": {"type": "str"},
    "address": {"type": "str"},
    "domain": {"type": "str"},
}
FLOW_SPEC: t.Dict[str, t.Any] = {
    "from": {"type": "dict", "options": END_SPEC, "required": True},
    "to": {"type": "dict", "options": END_SPEC, "required": True},
    "port": {"type": "raw"},
    "protocol": {"type": "str"},
    "expect": {"type": "str", "choices": ["allowed", "denied"]},
}
#: The API server's port, where it is on nodes of the cluster.
_API_PORT = port_sets.point("TCP", 6443)
_DNS_PORTS = (port_sets.point("UDP", 53), port_sets.point("TCP", 53))
_WAYS = ("pod", "workload", "service", "node", "address", "domain")


class _End(t.NamedTuple):
    """An endpoint, and where known the pod's name, by which a pod is told from its replicas."""

    number: int
    pod: t.Tuple[str, str] = ("", "")


class Answer(t.NamedTuple):
    """What became of one question; several where its ends are several pods that are treated differently."""

    source: str
    destination: str
    port: str
    verdict: Verdict

    def as_dict(self) -> t.Dict[str, t.Any]:
        return {"from": self.source, "to": self.destination, "port": self.port, **self.verdict.as_dict()}


class Enquiry:
    """A cluster's objects, and what would be written to it.

    :param objects: everything there is: pods, namespaces, nodes, services, policies of all kinds.
    :param declared: policies that would be written, and workloads; :param removed: those that would go, by kind, namespace and name.
    :param domains: names that will be asked for.
    """

    def __init__(
        self,
        objects: t.Sequence[Manifest],
        engine: str = "",
        version: int = 4,
        staged: bool = False,
        declared: t.Sequence[Manifest] = (),
        removed: t.Collection[t.Tuple[str, str, str, str]] = (),
        domains: t.Iterable[str] = (),
    ) -> None:
        written = {book.identity(item) for item in declared}
        kept = [item for item in objects if book.identity(item) not in written and book.identity(item) not in removed]
        future = [*kept, *declared]
        before, after = (book.read(each, engine or book.engine_of(future), staged) for each in (objects, future))
        # whoever will be there is there before, too, so that a change is about the same
        self.objects = templates.with_pods(future)
        self.world = World(_inventory(self.objects), [*before.terms(), *after.terms()], version, domains)
        self.after = Judge(after, self.world)
        self.before = Judge(before, self.world) if declared or removed else self.after
        self.services = services.Services(self.objects)

    # -- one flow

    def ask(self, flow: Fields) -> t.List[Answer]:
        """Whether a flow is allowed.

        :raises ItemError: an end is not there, or the port makes no sense.
        """
        sources = self._ends(flow["from"], "from")
        answers = [
            Answer(
                str(self.world.endpoints[source.number]),
                str(self.world.endpoints[destination.number]),
                port_sets.text(((port, port),)),
                self._verdict(source, destination, port),
            )
            for destination, port in self._destinations(flow)
            for source in sources
        ]
        return list(dict.fromkeys(answers))

    def _verdict(self, source: _End, destination: _End, point: int) -> Verdict:
        if source.pod[1] and source.pod == destination.pod:
            itself = Decision(True, "a pod always reaches itself")
            return Verdict(itself, itself)
        ends = (source.number, destination.number)
        verdict = self.after.flow(*ends, point)
        if destination.pod[1] and self.world.home(*destination.pod) == source.number:
            return verdict._replace(ingress=Decision(True, "a node always reaches its own pods"))
        if source.pod[1] and self.world.home(*source.pod) == destination.number:
            if self.after.own_node(EGRESS):
                return verdict._replace(egress=Decision(True, "a pod always reaches its own node"))
            return verdict._replace(egress=self.after.decide(EGRESS, *ends, point, local=True))
        return verdict

    def _ends(self, end: Fields, where: str) -> t.List[_End]:
        given = [way for way in _WAYS if end.get(way)]
        if len(given) != 1:
            raise ItemError(f"{where} names {' and '.join(given) or 'nobody'}", f"Use one of {', '.join(_WAYS)}")
        (way,) = given
        name, space = str(end[way]), str(end.get("namespace") or "")
        if way in ("pod", "workload", "service") and not space:
            raise ItemError(f"{where} has a {way} without a namespace", "Say namespace")
        found: t.List[_End] = []
        if way == "pod":
            number = self.world.pod(space, name)
            found = [] if number is None else [_End(number, (space, name))]
        elif way == "workload":
            every = self.world.in_namespace(space)
            found = [_End(number) for number in every if self.world.endpoints[number].name == name]
        elif way == "service":
            found = self._behind(space, name)
        elif way == "node":
            number = self.world.node(name)
            found = [] if number is None else [_End(number)]
        elif way == "domain":
            number = self.world.domain(name)
            found = [] if number is None else [_End(number)]
        else:
            found = [self._address(name)]
        if not found:
            raise ItemError(f"{where}: there is no {way} {f'{space}/' if space else ''}{name}", "Correct its name")
        return found

    def _address(self, text: str) -> _End:
        try:
            return _End(self.world.address(text))
        except ValueError as error:
            raise ItemError(
                str(error), "Write an address such as 192.0.2.1, of the ip_version that is asked about"
            ) from error

    def _behind(self, space: str, name: str) -> t.List[_End]:
        """The pods of a service, or the addresses that somebody has given to it."""
        names = [pod["metadata"]["name"] for pod in self.services.pods((space, name))]
        found = [(self.world.pod(space, pod), pod) for pod in names]
        pods = [_End(number, (space, pod)) for number, pod in found if number is not None]
        return [*pods, *(self._address(text) for text in self.services.addresses((space, name)))]

    def _destinations(self, flow: Fields) -> t.Iterator[t.Tuple[_End, int]]:
        """Each destination, and the port there: behind a service that which it is sent on to."""
        protocol = str(flow.get("protocol") or "TCP").upper()
        if protocol not in port_sets.WITH_PORTS:
            raise ItemError(f"protocol {protocol!r} is unknown", f"Use one of {', '.join(port_sets.WITH_PORTS)}")
        if flow.get("port") is None:
            raise ItemError("the flow has no port", "Say port")
        to, wanted = flow["to"], flow["port"]
        key = (str(to.get("namespace") or ""), str(to["service"])) if to.get("service") else self._served(to)
        ends = self._behind(*key) if key and not to.get("service") else self._ends(to, "to")
        for end in ends:
            wanted = self.services.target(key, flow["port"], protocol) if key else flow["port"]
            names = dict(self.world.endpoints[end.number].ports)
            if isinstance(wanted, str) and not wanted.isdigit():
                if wanted not in names:
                    raise ItemError(
                        f"port {wanted} is not a port of {self.world.endpoints[end.number]}", "Say its number"
                    )
                yield end, names[wanted]
            else:
                yield end, port_sets.point(protocol, values.port_number(wanted))

    def _served(self, end: Fields) -> t.Optional[services.Key]:
        """The service whose own address is asked for, if there is anybody behind it."""
        key = self.services.at(str(end.get("address") or ""))
        return key if key and (self.services.pods(key) or self.services.addresses(key)) else None

    # -- flows that were seen

    def seen(self, flows: t.Iterable[Flow]) -> t.Iterator[audit.Seen]:
        """Those that went through or are needed, between ends that are known here."""
        for flow in self.services.through(flows):
            if flow.version not in (0, self.world.version):
                continue
            point = port_sets.point(flow.protocol, flow.port)
            for source, destination in itertools.product(*self._parties(flow)) if flow.allowed else ():
                yield audit.Seen(source, destination, point, flow.where)

    def system(self) -> t.Iterator[audit.Seen]:
        """What all pods need of the cluster itself: its DNS, and the API server."""
        wanted = [(number, point) for point in _DNS_PORTS for number in self._dns()]
        wanted += self._api_servers()
        for source in self.world.numbers(self.world.kinds.get(POD, 0)):
            for destination, point in wanted:
                yield audit.Seen(source, destination, point, "system")

    def _api_servers(self) -> t.Set[t.Tuple[int, int]]:
        """Where they are and listen; nodes that are called so where nobody says it."""
        ports = services.targets({"metadata": dict(zip(("namespace", "name"), services.API))}, self.services.slices)
        found = set()
        for address in services.addresses(self.services.slices, *services.API):
            with contextlib.suppress(ValueError):  # of the other version of IP
                number = self.world.address(address)
                found |= {(number, port_sets.point(protocol, int(port))) for protocol, port in ports}
        if found:
            return found
        nodes = (item["metadata"] for item in self.objects if item["kind"] == "Node")
        called = (self.world.node(each["name"]) for each in nodes if CONTROL_PLANE in (each.get("labels") or {}))
        return {(number, _API_PORT) for number in called if number is not None}

    def _dns(self) -> t.Set[int]:
        pods = (item["metadata"] for item in self.objects if item["kind"] == "Pod")
        found = (
            self.world.pod(metadata["namespace"], metadata["name"])
            for metadata in pods
            if metadata["namespace"] == DNS["namespace"]
            and DNS["pods"].items() <= (metadata.get("labels") or {}).items()
        )
        return {number for number in found if number is not None}

    def nobodys(self, flows: t.Iterable[Flow]) -> t.Iterator[Flow]:
        """Those that are needed and have an end that is not there."""
        for flow in self.services.through(flows):
            if flow.version not in (0, self.world.version):
                continue
            if flow.where == DECLARED and not all(self._parties(flow)):
                yield flow

    def _parties(self, flow: Flow) -> t.Tuple[t.List[int], t.List[int]]:
        return self._party(flow.source), self._party(flow.destination)

    def _party(self, party: Party) -> t.List[int]:
        found = self.world.replicas(party.namespace, party.pod) if party.pod else []
        if not found and party.workload:
            inside = self.world.in_namespace(party.namespace)
            found = [number for number in inside if self.world.endpoints[number].name == party.workload]
        if found or party.pod or party.workload:
            return found  # of a pod that is gone, another one may have the address by now
        named = (self.world.node(party.node), self.world.domain(party.domain) if party.domain else None)
        found = [number for number in named if number is not None][:1]
        if not found and party.address:
            with contextlib.suppress(ValueError):  # of the other version of IP
                found = [self.world.address(party.address)]
        return found

    # -- everything

    def changes(self) -> t.List[t.Dict[str, t.Any]]:
        return [change.as_dict(self.world) for change in summary.changes(self.before, self.after)]

    def matrix(self, namespace: str, drawings: t.Collection[str] = ()) -> t.Dict[str, t.Any]:
        """All flows of a namespace, and the pictures that are wanted of them."""
        found = summary.matrix(self.after, namespace)
        shown: t.Dict[str, t.Any] = {"namespace": namespace, "flows": found.as_list()}
        draw: t.Mapping[str, t.Callable[[summary.Matrix], str]] = {
            "text": pictures.text,
            "svg": pictures.svg,
            "html": lambda matrix: pictures.page([matrix]),
        }
        shown.update({form: draw[form](found) for form in drawings})
        return shown

    def findings(self, namespaces: t.Collection[str] = ()) -> t.List[Finding]:
        """What is wrong with the policies.

        :param namespaces: only of these, and of the whole cluster; all when empty.
        """
        found = audit.findings(self.after)
        return [f for f in found if not namespaces or not f.ref.namespace or f.ref.namespace in namespaces]


def domains_of(flows: t.Iterable[Fields]) -> t.List[str]:
    """The names that questions are about."""
    ends = [end for flow in flows for end in (flow.get("from") or {}, flow.get("to") or {})]
    return [str(end["domain"]) for end in ends if end.get("domain")]


def _inventory(objects: t.Iterable[Manifest]) -> Inventory:
    by_kind: t.Dict[str, t.List[Manifest]] = {}
    for item in objects:
        by_kind.setdefault(item["kind"], []).append(item)
    return Inventory(
        by_kind.get("Pod", ()), by_kind.get("Namespace", ()), by_kind.get("Node", ()), by_kind.get("ServiceAccount", ())
    )
