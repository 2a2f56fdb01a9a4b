# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The smallest set of rules that lets seen flows through, as items of the module network_policy.

Pods are named by what tells their workload from the others of its namespace. Of each such group and direction, as few
flows as possible are declared that together allow exactly what was seen, and nothing else.
"""

from __future__ import annotations

import ipaddress
import itertools
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.observed import Flow, Party
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.world import workload
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.network import METADATA

Labels = t.Dict[str, str]
Port = t.Tuple[str, int]
#: A peer: a namespace and its pods' labels, or a network.
Peer = t.Tuple[str, t.Tuple[t.Tuple[str, str], ...], str]

_NAMING = ("app.kubernetes.io/name", "app", "k8s-app", "name")
#: Labels that differ between replicas or between releases.
_PASSING = frozenset(
    [
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/job-completion-index",
        "batch.kubernetes.io/controller-uid",
        "controller-uid",
        "app.kubernetes.io/version",
        "helm.sh/chart",
    ]
)
#: With more ways than this to combine peers and ports, a good set is taken instead of the smallest.
_SEARCHED = 14


class Suggestion(t.NamedTuple):
    """:param items: for the option ``policies`` of network_policy; :param unknown: flows between nobody known."""

    items: t.List[t.Dict[str, t.Any]]
    unknown: t.List[Flow]


class _Pods:
    """Pods by name and by address, and the labels that tell workloads apart."""

    def __init__(self, pods: t.Iterable[Manifest]) -> None:
        self.by_name: t.Dict[t.Tuple[str, str], Manifest] = {}
        self.by_address: t.Dict[str, Manifest] = {}
        self.by_workload: t.Dict[t.Tuple[str, str], Manifest] = {}
        self.by_space: t.Dict[str, t.List[t.Tuple[str, Labels]]] = {}
        for pod in pods:
            metadata = pod["metadata"]
            if (pod.get("spec") or {}).get("hostNetwork"):
                continue  # no policy selects it; its address is its node's
            self.by_name[metadata["namespace"], metadata["name"]] = pod
            self.by_workload[metadata["namespace"], workload(pod)] = pod
            status = pod.get("status") or {}
            for text in [item.get("ip") for item in status.get("podIPs") or ()] or [status.get("podIP")]:
                if text:
                    self.by_address[str(ipaddress.ip_address(text))] = pod
            self.by_space.setdefault(metadata["namespace"], []).append((workload(pod), metadata.get("labels") or {}))

    def find(self, party: Party) -> t.Optional[Manifest]:
        space = party.namespace
        found = self.by_name.get((space, party.pod)) or self._replica(party)
        found = found or self.by_workload.get((space, party.workload))
        # of a pod that is gone, another one may have the address by now
        return found if found or party.pod or party.workload else self.by_address.get(party.address)

    def _replica(self, party: Party) -> t.Optional[Manifest]:
        """A pod whose name begins as it is told."""
        begin = party.pod[:-1] if party.pod.endswith("*") else ""
        names = (key for key in self.by_name if begin and key[0] == party.namespace and key[1].startswith(begin))
        return next((self.by_name[key] for key in names), None)

    def selector(self, pod: Manifest) -> Labels:
        """As few labels as tell this workload from the others of the namespace; the usual ones first."""
        space, mine = pod["metadata"]["namespace"], workload(pod)
        labels = {k: v for k, v in (pod["metadata"].get("labels") or {}).items() if k not in _PASSING}
        others = [each for name, each in self.by_space.get(space, ()) if name != mine]
        own = [each for name, each in self.by_space.get(space, ()) if name == mine]
        shared = {key: value for key, value in labels.items() if all(each.get(key) == value for each in own)}
        ordered = sorted(shared, key=lambda key: (_NAMING.index(key) if key in _NAMING else len(_NAMING), key))
        for count in range(1, len(ordered) + 1):
            for keys in itertools.combinations(ordered, count):
                if not any(all(each.get(key) == shared[key] for key in keys) for each in others):
                    return {key: shared[key] for key in keys}
        return shared or labels


def suggest(flows: t.Iterable[Flow], pods: t.Sequence[Manifest], namespaces: t.Collection[str] = ()) -> Suggestion:
    """What allows exactly these flows.

    :param namespaces: only rules for pods of these; all when empty.
    """
    known = _Pods(pods)
    seen: t.Dict[t.Tuple[str, str, t.Tuple[t.Tuple[str, str], ...]], t.Dict[Peer, t.Set[Port]]] = {}
    unknown = []
    for flow in flows:
        ends = known.find(flow.source), known.find(flow.destination)
        if not flow.allowed:
            continue
        if ends == (None, None):
            unknown.append(flow)
            continue
        sides = (("egress", ends[0], ends[1], flow.destination), ("ingress", ends[1], ends[0], flow.source))
        for direction, own, other, party in sides:
            if own is None or (namespaces and own["metadata"]["namespace"] not in namespaces):
                continue
            peer = _peer(known, other, party)
            if peer is None:
                unknown.append(flow)
                continue
            key = (own["metadata"]["namespace"], direction, tuple(sorted(known.selector(own).items())))
            seen.setdefault(key, {}).setdefault(peer, set()).add((flow.protocol, flow.port))
    items: t.Dict[str, t.Dict[str, t.Any]] = {}
    for (space, direction, labels), peers in sorted(seen.items()):
        item = items.setdefault(space, {"namespace": space})
        item.setdefault(direction, []).extend(_flows(space, direction, dict(labels), peers))
    return Suggestion(list(items.values()), list(dict.fromkeys(unknown)))


def _peer(known: _Pods, other: t.Optional[Manifest], party: Party) -> t.Optional[Peer]:
    if other is not None:
        return other["metadata"]["namespace"], tuple(sorted(known.selector(other).items())), ""
    if not party.address or party.pod or party.workload:
        return None
    network = ipaddress.ip_network(party.address)
    # nobody should be helped to the credentials of a node
    return None if network in METADATA else ("", (), str(network))


def _flows(
    space: str, direction: str, labels: Labels, peers: t.Mapping[Peer, t.Collection[Port]]
) -> t.Iterator[t.Dict[str, t.Any]]:
    own, far = ("to", "from") if direction == "ingress" else ("from", "to")
    # who was seen with the same ports is one as far as rules go
    alike: t.Dict[t.FrozenSet[Port], t.List[Peer]] = {}
    for peer, ports in sorted(peers.items()):
        alike.setdefault(frozenset(ports), []).append(peer)
    for sets, ports in cover(list(alike)):
        members = [peer for chosen in sorted(sets, key=sorted) for peer in alike[chosen]]
        flow: t.Dict[str, t.Any] = {own: labels} if labels else {}
        yield {**flow, far: list(_options(space, members)), "ports": [_port(port) for port in sorted(ports)]}


def _options(space: str, members: t.Sequence[Peer]) -> t.Iterator[t.Dict[str, t.Any]]:
    for namespace, labels, cidr in members:
        if cidr:
            continue
        option: t.Dict[str, t.Any] = {} if namespace == space else {"namespace": namespace}
        if labels or not option:
            option["pods"] = dict(labels)
        yield option
    cidrs = [cidr for _space, _labels, cidr in members if cidr]
    for network in ipaddress.collapse_addresses(ipaddress.IPv4Network(cidr) for cidr in cidrs if ":" not in cidr):
        yield {"cidr": str(network)}
    for wider in ipaddress.collapse_addresses(ipaddress.IPv6Network(cidr) for cidr in cidrs if ":" in cidr):
        yield {"cidr": str(wider)}


def _port(port: Port) -> t.Any:
    protocol, number = port
    return number if protocol == "TCP" else f"{number}/{protocol}"


Chosen = t.Tuple[t.FrozenSet[t.FrozenSet[Port]], t.FrozenSet[Port]]


def cover(sets: t.Sequence[t.FrozenSet[Port]]) -> t.List[Chosen]:
    """As few rules as possible, each of some sets and the ports that all of them have, that together say them all.

    Any rule can be widened until no set and no port more fits: so only such rules are tried.
    """
    closed = {frozenset(ports) for ports in sets}
    while True:
        more = {one & other for one in closed for other in closed if one & other} - closed
        if not more or len(closed) + len(more) > 4 * _SEARCHED:
            break
        closed |= more
    rules: t.List[Chosen] = [(frozenset(each for each in sets if ports <= each), ports) for ports in closed]
    rules.sort(key=lambda rule: (-len(rule[0]) * len(rule[1]), sorted(rule[1])))
    wanted = {(each, port) for each in sets for port in each}
    said = [frozenset((each, port) for each in members for port in ports) for members, ports in rules]
    if len(rules) <= _SEARCHED:
        for count in range(1, len(rules) + 1):
            for chosen in itertools.combinations(range(len(rules)), count):
                if wanted == set().union(*(said[index] for index in chosen)):
                    return [rules[index] for index in chosen]
    return _greedy(rules, said, wanted)


def _greedy(
    rules: t.Sequence[Chosen],
    said: t.Sequence[t.FrozenSet[t.Tuple[t.FrozenSet[Port], Port]]],
    wanted: t.Set[t.Tuple[t.FrozenSet[Port], Port]],
) -> t.List[Chosen]:
    left, found = set(wanted), []
    while left:
        best = max(range(len(rules)), key=lambda index: len(said[index] & left))
        found.append(rules[best])
        left -= said[best]
    return found
