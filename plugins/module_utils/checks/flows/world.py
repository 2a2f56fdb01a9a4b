# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everybody whom policies may be about, as few as can be told apart, and who is meant by a term.

Pods of a workload that no term tells apart are one endpoint; so are the addresses outside that no network tells apart.
Sets of endpoints are integers, one bit each: a term is looked up once, and then joined and cut by the machine's own
instructions.
"""

from __future__ import annotations

import bisect
import ipaddress
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import ports as port_sets
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.terms import (
    ACCOUNT,
    DOMAIN,
    HOST,
    NAMESPACE,
    NETWORK,
    NODE,
    POD,
    Term,
    holds,
    leaves,
    space_marks,
)
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.network import (
    METADATA,
    Network,
    unmapped,
)

Labels = t.Mapping[str, str]
Pairs = t.Tuple[t.Tuple[str, str], ...]
Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

#: A pod template's own marks, which no name of a workload has.
_HASH = re.compile(r"-[a-z0-9]{1,10}$")
_NAMING = ("app.kubernetes.io/name", "app", "k8s-app", "name")


class Endpoint(t.NamedTuple):
    """Those that are alike in all that matters.

    :param name: of the workload, node, network or domain.
    :param ports: names of container ports, and where they stand on the line of ports.
    :param nets: which networks that a policy names have its addresses.
    """

    kind: str
    namespace: str
    name: str
    labels: Pairs = ()
    account: str = ""
    ports: t.Tuple[t.Tuple[str, int], ...] = ()
    nets: t.FrozenSet[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass
class Inventory:
    """What a cluster consists of, as far as policies can tell; manifests as the API has them."""

    pods: t.Sequence[Manifest] = ()
    namespaces: t.Sequence[Manifest] = ()
    nodes: t.Sequence[Manifest] = ()
    accounts: t.Sequence[Manifest] = ()


class World:
    """The endpoints, and the sets of them that terms stand for.

    :param terms: all that will be asked for; what none of them is about is not told apart.
    :param version: of IP. A pod with addresses of both versions is judged by those of one.
    :param names: domain names that will be asked for.
    """

    def __init__(
        self, inventory: Inventory, terms: t.Iterable[Term], version: int = 4, names: t.Iterable[str] = ()
    ) -> None:
        self.version = version
        self.endpoints: t.List[Endpoint] = []
        self._numbers: t.Dict[Endpoint, int] = {}
        self._masks: t.Dict[Term, int] = {}
        self._pods: t.Dict[t.Tuple[str, str], int] = {}
        self._nodes: t.Dict[str, int] = {}
        self._home: t.Dict[t.Tuple[str, str], str] = {}
        self._addresses: t.Dict[Address, int] = {}
        self._read_terms(terms)
        self._spaces = _labels_by_name(inventory.namespaces)
        self._account_labels = {
            (item["metadata"]["namespace"], item["metadata"]["name"]): item["metadata"].get("labels") or {}
            for item in inventory.accounts
        }
        for node in inventory.nodes:
            self._add_node(node)
        for pod in inventory.pods:
            self._add_pod(pod)
        self._add_networks()
        for name in dict.fromkeys([*self._domains, *(name.rstrip(".").lower() for name in names)]):
            self._add(Endpoint(DOMAIN, "", name, nets=self._nets.whole))
        self._index()

    def _read_terms(self, terms: t.Iterable[Term]) -> None:
        found = {leaf for term in set(terms) for leaf in leaves(term)}
        self._keys = {leaf.key for leaf in found if leaf.scope == POD}
        self._accounts_matter = any(leaf.operator == "named" or leaf.scope == ACCOUNT for leaf in found)
        cidrs = {cidr for leaf in found if leaf.operator == "net" for cidr in leaf.values}
        self._nets = Nets([*cidrs, *map(str, METADATA)], self.version)
        self._domains = sorted(name for leaf in found if leaf.operator == "domain" for name in leaf.values)
        self._node_keys = {leaf.key for leaf in found if leaf.scope == NODE}

    # -- endpoints

    def _add(self, endpoint: Endpoint) -> int:
        number = self._numbers.setdefault(endpoint, len(self.endpoints))
        if number == len(self.endpoints):
            self.endpoints.append(endpoint)
        return number

    def _add_node(self, node: Manifest) -> None:
        name = node["metadata"]["name"]
        addresses = _addresses(item.get("address") for item in (node.get("status") or {}).get("addresses") or ())
        mine = [address for address in addresses if address.version == self.version]
        number = self._add(
            Endpoint(NODE, "", name, _pairs(node["metadata"].get("labels"), self._node_keys), nets=self._nets.of(mine))
        )
        self._nodes[name] = number
        self._addresses.update(dict.fromkeys(addresses, number))

    def _add_pod(self, pod: Manifest) -> None:
        status, spec, metadata = pod.get("status") or {}, pod.get("spec") or {}, pod["metadata"]
        if status.get("phase") in ("Succeeded", "Failed"):
            return
        given = [item.get("ip") for item in status.get("podIPs") or ()] or [status.get("podIP")]
        addresses = _addresses(given)
        mine = [address for address in addresses if address.version == self.version]
        space, host = metadata["namespace"], bool(spec.get("hostNetwork"))
        labels = _pairs({**(metadata.get("labels") or {}), **_told(pod)}, self._keys)
        number = self._add(
            Endpoint(
                HOST if host else POD,
                space,
                workload(pod),
                () if host else labels,
                (spec.get("serviceAccountName") or "default") if self._accounts_matter else "",
                port_names(spec),
                self._nets.of(mine) if addresses else self._nets.whole,
            )
        )
        self._pods[space, metadata["name"]] = number
        self._home[space, metadata["name"]] = spec.get("nodeName") or ""
        if not host:
            self._addresses.update(dict.fromkeys(addresses, number))

    def _add_networks(self) -> None:
        for cidr, ancestors in self._nets.atoms():
            self._add(Endpoint(NETWORK, "", cidr, nets=ancestors))

    # -- who is asked about

    def pod(self, namespace: str, name: str) -> t.Optional[int]:
        return self._pods.get((namespace, name))

    def replicas(self, namespace: str, name: str) -> t.List[int]:
        """The endpoints of a pod, or with ``*`` at its end of all whose names begin so."""
        if not name.endswith("*"):
            return [self._pods[namespace, name]] if (namespace, name) in self._pods else []
        begin = (namespace, name[:-1])
        found = [number for (space, pod), number in self._pods.items() if (space, pod[: len(begin[1])]) == begin]
        return sorted(set(found))

    def node(self, name: str) -> t.Optional[int]:
        return self._nodes.get(name)

    def home(self, namespace: str, pod: str) -> t.Optional[int]:
        """The node that a pod runs on."""
        return self._nodes.get(self._home.get((namespace, pod), ""))

    def address(self, text: str) -> int:
        """Whoever has an address: a pod, a node, else the network outside that it is in.

        :raises ValueError: it is none, or of the other version of IP.
        """
        address = ipaddress.ip_address(text)
        if address.version != self.version:
            raise ValueError(f"{text} is not an address of IPv{self.version}")
        if address in self._addresses:
            return self._addresses[address]
        name, nets = self._nets.atom(address)
        return self._numbers[Endpoint(NETWORK, "", name, nets=nets)]

    def domain(self, name: str) -> t.Optional[int]:
        return self._numbers.get(Endpoint(DOMAIN, "", name.rstrip(".").lower(), nets=self._nets.whole))

    def in_namespace(self, namespace: str) -> t.List[int]:
        """The endpoints that are pods of a namespace, in the order of their names."""
        found = [number for number, each in enumerate(self.endpoints) if each[:2] == (POD, namespace)]
        return sorted(found, key=lambda number: self.endpoints[number])

    # -- what terms stand for

    def _index(self) -> None:
        self.everybody = (1 << len(self.endpoints)) - 1
        self.kinds: t.Dict[str, int] = {}
        self.spaces: t.Dict[str, int] = {}
        self._by_net: t.Dict[str, int] = {}
        self._by_account: t.Dict[str, int] = {}
        self._named: t.Dict[str, t.Dict[int, int]] = {}
        #: by scope and key of a label, who has which value
        self._values: t.Dict[t.Tuple[str, str], t.Dict[str, int]] = {}
        of_account: t.Dict[t.Tuple[str, str], int] = {}
        for number, each in enumerate(self.endpoints):
            bit = 1 << number
            _put(self.kinds, each.kind, bit)
            for cidr in each.nets:
                _put(self._by_net, cidr, bit)
            self._put_labels(NODE if each.kind == NODE else POD, dict(each.labels), bit)
            if each.kind == POD:
                _put(self.spaces, each.namespace, bit)
                _put(self._by_account, each.account, bit)
                _put(of_account, (each.namespace, each.account), bit)
                for name, place in each.ports:
                    _put(self._named.setdefault(name, {}), place, bit)
        for name, mask in self.spaces.items():
            self._put_labels(NAMESPACE, {**self._spaces.get(name, {}), **space_marks(name)}, mask)
        for owner, mask in of_account.items():
            self._put_labels(ACCOUNT, self._account_labels.get(owner, {}), mask)

    def _put_labels(self, scope: str, labels: Labels, mask: int) -> None:
        for key, value in labels.items():
            _put(self._values.setdefault((scope, key), {}), value, mask)

    def mask(self, term: Term) -> int:
        """The endpoints that a term stands for."""
        found = self._masks.get(term)
        if found is None:
            found = self._masks[term] = self._look_up(term)
        return found

    def foreign(self, term: Term) -> bool:
        """Whether a term speaks of the other version of IP, of which nothing is known here."""
        return any(
            (leaf.operator == "net" and not self._nets.knows(leaf.values))
            or (leaf.operator == "family" and str(self.version) not in leaf.values)
            for leaf in leaves(term)
        )

    def _look_up(self, term: Term) -> int:
        if term.operator == "all":
            found = self.everybody
            for part in term.parts:
                found &= self.mask(part)
            return found
        if term.operator == "any":
            found = 0
            for part in term.parts:
                found |= self.mask(part)
            return found
        if term.operator == "not":
            return self.everybody & ~self.mask(term.parts[0])
        if term.scope:
            return self._labelled(term)
        by_value: t.Mapping[str, t.Callable[[str], int]] = {
            "kind": lambda value: self.kinds.get(value, 0),
            "in": lambda value: self.spaces.get(value, 0),
            "named": lambda value: self._by_account.get(value, 0),
            "net": lambda value: self._by_net.get(self._nets.canonical(value), 0),
            "domain": self._in_domain,
            "family": lambda value: self.everybody if value == str(self.version) else 0,
        }
        found = 0
        for value in term.values:
            found |= by_value[term.operator](value)
        return found

    def _labelled(self, term: Term) -> int:
        values = self._values.get((term.scope, term.key), {})
        found = 0
        for value, mask in values.items():
            if holds(term.operator, term.values, value):
                found |= mask
        if holds(term.operator, term.values, None):
            labelled = 0
            for mask in values.values():
                labelled |= mask
            found |= self.kinds.get(NODE if term.scope == NODE else POD, 0) & ~labelled
        return found

    def _in_domain(self, pattern: str) -> int:
        wanted = _domain_pattern(pattern)
        found = 0
        for number, each in enumerate(self.endpoints):
            if each.kind == DOMAIN and (each.name == pattern or wanted.fullmatch(each.name)):
                found |= 1 << number
        return found

    def named(self, name: str, protocols: t.Sequence[str]) -> t.Dict[int, int]:
        """Where on the line of ports a port of this name is, and whose it is there."""
        return {
            point: mask
            for point, mask in self._named.get(name, {}).items()
            if port_sets.PROTOCOLS[point >> 16] in protocols
        }

    # -- sets of endpoints

    def numbers(self, mask: int) -> t.Iterator[int]:
        """The endpoints of a set, by number."""
        digits = bin(mask)[:1:-1]
        place = digits.find("1")
        while place >= 0:
            yield place
            place = digits.find("1", place + 1)


class Nets:
    """The networks of one version of IP that policies name, within each other, and what lies between them."""

    def __init__(self, cidrs: t.Iterable[str], version: int) -> None:
        self.version = version
        self._canonical: t.Dict[str, str] = {}
        networks = {network for network in map(self._network, cidrs) if network is not None}
        self._bits = 32 if version == 4 else 128
        #: by prefix length, from the longest on
        self._by_length: t.Dict[int, t.Dict[int, str]] = {}
        for network in sorted(networks, key=lambda network: -network.prefixlen):
            start = int(network.network_address) >> (self._bits - network.prefixlen) if network.prefixlen else 0
            self._by_length.setdefault(network.prefixlen, {})[start] = str(network)
        self._networks = sorted(networks, key=lambda network: (int(network.network_address), network.prefixlen))
        #: those that have every address: whose address is not known is in them, too
        self.whole = frozenset(self._by_length.get(0, {}).values())

    def _network(self, cidr: str) -> t.Optional[Network]:
        try:
            network = unmapped(ipaddress.ip_network(cidr, strict=False))
        except ValueError:
            return None  # the API server would not have taken it
        if network.version != self.version:
            return None
        self._canonical[cidr] = str(network)
        return network

    def knows(self, cidrs: t.Iterable[str]) -> bool:
        """Whether these are networks of this version."""
        return all(cidr in self._canonical for cidr in cidrs)

    def canonical(self, cidr: str) -> str:
        return self._canonical.get(cidr, cidr)

    def of(self, addresses: t.Iterable[Address]) -> t.FrozenSet[str]:
        """The networks that have one of these addresses."""
        found = set()
        for address in addresses:
            number = int(address)
            for length, starts in self._by_length.items():
                name = starts.get(number >> (self._bits - length) if length else 0)
                if name:
                    found.add(name)
        return frozenset(found)

    def atom(self, address: Address) -> t.Tuple[str, t.FrozenSet[str]]:
        """The smallest network that has an address, and all that do."""
        nets = self.of([address])
        inmost = max(nets, key=lambda name: int(name.rpartition("/")[2]), default="")
        return inmost or self._rest(), nets

    def _rest(self) -> str:
        return "0.0.0.0/0" if self.version == 4 else "::/0"

    def atoms(self) -> t.Iterator[t.Tuple[str, t.FrozenSet[str]]]:
        """Each network that has addresses which no smaller one has, and the networks that it is in; and the rest."""
        everything = ipaddress.ip_network(self._rest())
        chosen = self._networks if everything in self._networks else [everything, *self._networks]
        starts = [int(network.network_address) for network in chosen]
        for index, network in enumerate(chosen):
            free = self._free(chosen, starts, index)
            if free is not None:
                yield str(network), self.of([free])

    def _free(self, chosen: t.Sequence[Network], starts: t.Sequence[int], index: int) -> t.Optional[Address]:
        """An address of a network that is in none of those within it."""
        network = chosen[index]
        candidate, end = int(network.network_address), int(network.broadcast_address)
        place = index + 1
        while place < len(chosen) and starts[place] <= end:
            inner = chosen[place]
            if starts[place] > candidate:
                break
            candidate = int(inner.broadcast_address) + 1
            # what lies within that one comes next in order, and is passed over
            place = bisect.bisect_left(starts, candidate, place + 1)
        if candidate > end:
            return None
        return ipaddress.IPv4Address(candidate) if self.version == 4 else ipaddress.IPv6Address(candidate)


_Key = t.TypeVar("_Key")


def _put(masks: t.Dict[_Key, int], key: _Key, bits: int) -> None:
    masks[key] = masks.get(key, 0) | bits


def versions(pods: t.Iterable[Manifest]) -> t.List[int]:
    """The versions of IP that pods have addresses of; 4 where none has any."""
    statuses = (pod.get("status") or {} for pod in pods)
    given = (item.get("ip") for status in statuses for item in status.get("podIPs") or [{"ip": status.get("podIP")}])
    return sorted({address.version for address in _addresses(given)}) or [4]


def workload(pod: Manifest) -> str:
    """The name of what a pod is a replica of."""
    metadata = pod["metadata"]
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller") or len(metadata["ownerReferences"]) == 1:
            name = str(owner["name"])
            generated = owner.get("kind") == "ReplicaSet" and "pod-template-hash" in (metadata.get("labels") or {})
            return _HASH.sub("", name) if generated else name
    labels = metadata.get("labels") or {}
    return str(next((labels[key] for key in _NAMING if labels.get(key)), metadata["name"]))


def _told(pod: Manifest) -> t.Dict[str, str]:
    """The labels that Calico gives to a pod."""
    return {
        "projectcalico.org/namespace": pod["metadata"]["namespace"],
        "projectcalico.org/orchestrator": "k8s",
        "projectcalico.org/serviceaccount": (pod.get("spec") or {}).get("serviceAccountName") or "default",
    }


def _pairs(labels: t.Optional[Labels], keys: t.Collection[str]) -> Pairs:
    """Those labels that any term asks for."""
    return tuple(sorted((key, value) for key, value in (labels or {}).items() if key in keys))


def _labels_by_name(manifests: t.Iterable[Manifest]) -> t.Dict[str, Labels]:
    return {item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in manifests}


def _addresses(texts: t.Iterable[t.Any]) -> t.List[Address]:
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_address(text))
        except ValueError:
            continue  # a host name, or none yet
    return found


def port_names(spec: t.Mapping[str, t.Any]) -> t.Tuple[t.Tuple[str, int], ...]:
    """The names of a pod's ports, and where they stand on the line of ports."""
    sidecars = [item for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"]
    return tuple(
        sorted(
            {
                (port["name"], port_sets.point(port.get("protocol") or "TCP", int(port["containerPort"])))
                for container in [*(spec.get("containers") or ()), *sidecars]
                for port in container.get("ports") or ()
                if port.get("name") and (port.get("protocol") or "TCP") in port_sets.WITH_PORTS
            }
        )
    )


def _domain_pattern(pattern: str) -> t.Pattern[str]:
    """A name with wildcards: ``*`` within one part, ``**.`` for any number of parts, ``*`` alone for every name."""
    if pattern == "*":
        return re.compile(r".+")
    deep = pattern.startswith("**.")
    body = re.escape(pattern[3:] if deep else pattern).replace(r"\*", r"[-a-z0-9_*]*")
    return re.compile((r"(?:[-a-z0-9_*]+\.)+" if deep else "") + body)
