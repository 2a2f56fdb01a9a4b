# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What network policies do not do, or do by accident.

Judged as the NetworkPolicy v1 API defines it (k8s.io/api/networking/v1): a peer's namespaceSelector and
podSelector are ANDed, peers, rules and policies are ORed, an absent or empty list is everything, and a
pod is isolated in a direction as soon as one policy of that type selects it.

Pods are seldom known when policies are written, so selectors are compared with each other: whether some pod
could be selected by both, or whether every pod that one selects is selected by the other.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.selectors import (
    Fields,
    Labels,
    Requirements,
    matches,
    namespaces_named,
    overlap,
    ports_meet,
    reaches,
    requirements,
    within,
)
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest, ref_of
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.network import (
    DIRECTIONS,
    DNS,
    EGRESS,
    INGRESS,
    METADATA,
    NAMESPACE_NAME,
    WARN_ALLOW_ALL,
    Direction,
    flow_option,
)

_OPPOSITE = {INGRESS: EGRESS, EGRESS: INGRESS}
_DNS_PORT = {"protocol": "UDP", "port": 53}
_PLAIN = re.compile(r"(?!(?:true|false|yes|no|on|off|null)$)[A-Za-z][\w./-]*", re.IGNORECASE)


# -- policies


class Peer(t.NamedTuple):
    """One element of a rule's ``from`` or ``to``.

    :param spaces: the namespaces that it selects; None for the policy's own.
    :param names: those that it selects by their names; None when it does so by other labels.
    """

    place: str
    block: t.Optional[Fields]
    spaces: t.Optional[Requirements]
    names: t.Optional[t.FrozenSet[str]]
    pods: Requirements
    selector: Fields


class Rule(t.NamedTuple):
    """One element of ``ingress`` or ``egress``; no peers are everybody, no ports all of them."""

    place: str
    direction: Direction
    peers: t.Sequence[Peer]
    ports: t.Sequence[Fields]


class Policy:
    """A NetworkPolicy, read once."""

    def __init__(self, manifest: Manifest) -> None:
        spec = manifest.get("spec") or {}
        self.ref: Ref = ref_of(manifest)
        self.selector: Fields = spec.get("podSelector") or {}
        self.pods = requirements(self.selector)
        #: the API's default: Ingress, and Egress if there are egress rules
        self.types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
        #: by direction; what stands in a direction that the policy is not about has no effect
        self.rules = {d: _rules(spec, d) if self.isolates(d) else [] for d in DIRECTIONS}

    def isolates(self, direction: Direction) -> bool:
        return direction.policy_type in self.types


def _rules(spec: Fields, direction: Direction) -> t.List[Rule]:
    return [
        Rule(
            f"{direction.option}[{index}]",
            direction,
            [
                _peer(peer, f"{direction.option}[{index}].{direction.peers}[{number}]")
                for number, peer in enumerate(rule.get(direction.peers) or ())
            ],
            rule.get("ports") or (),
        )
        for index, rule in enumerate(spec.get(direction.option) or ())
    ]


def _peer(peer: Fields, place: str) -> Peer:
    selector = peer.get("podSelector") or {}
    spaces = None if peer.get("namespaceSelector") is None else requirements(peer["namespaceSelector"])
    names = namespaces_named(spaces or ())
    return Peer(place, peer.get("ipBlock"), spaces, names, requirements(selector), selector)


def check(
    policies: t.Sequence[Manifest],
    namespaces: t.Optional[t.Mapping[str, Labels]],
    pods: t.Optional[t.Sequence[Manifest]],
    stored: t.Sequence[Manifest],
) -> t.List[Finding]:
    """The findings on declared policies, as they will be at stage enforce.

    :param namespaces: name -> labels of every namespace there is or will be; None when not known.
    :param pods: the pods of the namespaces concerned; None when not read.
    :param stored: the cluster's other policies.
    """
    # the policy of stage warn would answer every question with yes
    declared = [Policy(item) for item in policies if item["metadata"]["name"] != WARN_ALLOW_ALL]
    others = [Policy(item) for item in stored if item["metadata"]["name"] != WARN_ALLOW_ALL]
    flows = _Flows([*declared, *others], namespaces, pods or ())
    findings: t.List[Finding] = []
    for policy in declared:
        findings += _metadata_reachable(policy)
        findings += flows.selects_nothing(policy)
        findings += flows.missing_namespaces(policy)
        findings += flows.one_sided(policy)
    for namespace in dict.fromkeys(policy.ref.namespace for policy in declared):
        findings += flows.without_dns(namespace)
    return findings


def _metadata_reachable(policy: Policy) -> t.Iterator[Finding]:
    for rule in policy.rules[EGRESS]:
        blocks = [peer.block for peer in rule.peers if peer.block]
        reached = [str(a) for a in METADATA if not rule.peers or any(reaches(block, a) for block in blocks)]
        if reached:
            addresses = ", ".join(reached)
            yield Finding(
                "network/metadata-reachable",
                policy.ref,
                f"{rule.place} reaches {addresses}, where the node's cloud credentials are handed out",
                f"Name in its to which networks are meant, and except {addresses} from them",
                refuse=True,
            )


class _Flows:
    """All policies by namespace, and what they say about each other."""

    def __init__(
        self,
        policies: t.Sequence[Policy],
        namespaces: t.Optional[t.Mapping[str, Labels]],
        pods: t.Sequence[Manifest],
    ) -> None:
        self.known = namespaces is not None
        self.namespaces = {name: {**labels, NAMESPACE_NAME: name} for name, labels in (namespaces or {}).items()}
        self.policies: t.Dict[str, t.List[Policy]] = {}
        for policy in policies:
            self.policies.setdefault(policy.ref.namespace, []).append(policy)
        # replicas are alike: what matters of pods is which labels there are
        alike: t.Dict[str, t.Set[t.FrozenSet[t.Tuple[str, str]]]] = {}
        for pod in pods:
            labels = frozenset((pod["metadata"].get("labels") or {}).items())
            alike.setdefault(pod["metadata"]["namespace"], set()).add(labels)
        self.pods = {space: [dict(labels) for labels in found] for space, found in alike.items()}
        self._selected: t.Dict[Requirements, t.List[str]] = {}

    # -- a policy by itself

    def selects_nothing(self, policy: Policy) -> t.Iterator[Finding]:
        pods = self.pods.get(policy.ref.namespace, ())
        if pods and not any(matches(policy.pods, labels) for labels in pods):
            yield Finding(
                "network/selects-nothing",
                policy.ref,
                f"it selects none of the pods in namespace {policy.ref.namespace}",
                "Compare its labels with those of the workload's pod template",
            )

    def missing_namespaces(self, policy: Policy) -> t.Iterator[Finding]:
        for _rule, peer in _peers(policy) if self.known else ():
            missing = sorted((peer.names or frozenset()) - self.namespaces.keys())
            if missing:
                spaces = ", ".join(missing)
                message = f"{peer.place} is about namespace {spaces}, which neither exists nor is declared"
            elif not self._meant(policy, peer):
                message = f"{peer.place} selects namespaces by labels that none has"
            else:
                continue
            yield Finding(
                "network/peer-namespace-missing",
                policy.ref,
                message,
                "Correct the peer, or declare the namespace",
                tuple(missing),
            )

    def _meant(self, policy: Policy, peer: Peer) -> t.Sequence[str]:
        """The namespaces whose pods a peer means; only those that it names when labels are not known."""
        if peer.spaces is None:
            return [policy.ref.namespace]
        if not self.known:
            return sorted(peer.names or ())
        if peer.spaces not in self._selected:
            spaces = self.namespaces.keys() if peer.names is None else peer.names & self.namespaces.keys()
            found = [space for space in sorted(spaces) if matches(peer.spaces, self.namespaces[space])]
            self._selected[peer.spaces] = found
        return self._selected[peer.spaces]

    # -- both ends of a flow

    def one_sided(self, policy: Policy) -> t.Iterator[Finding]:
        for rule, peer in _peers(policy):
            spaces = self._meant(policy, peer)
            by_labels = peer.spaces is not None and peer.names is None
            if by_labels and not peer.spaces and not peer.pods:
                continue  # everybody is nobody in particular
            # of namespaces selected by labels one that answers is enough
            choose = itertools.takewhile if by_labels else filter
            silent = list(choose(functools.partial(self._is_silent, policy, rule, peer), spaces))
            if silent and (not by_labels or len(silent) == len(spaces)):
                yield _one_sided(policy, rule, peer, silent)

    def _is_silent(self, policy: Policy, rule: Rule, peer: Peer, space: str) -> bool:
        """Whether the peer's pods there are isolated the other way, and no rule lets this flow through."""
        back = _OPPOSITE[rule.direction]
        there = [other for other in self.policies.get(space, ()) if other.isolates(back)]
        return any(within(peer.pods, other.pods) for other in there) and not any(
            ports_meet(rule.ports, answer.ports)
            and self._admits(answer, space, policy.ref.namespace, functools.partial(overlap, policy.pods))
            for other in there
            if overlap(other.pods, peer.pods)
            for answer in other.rules[back]
        )

    def _admits(self, rule: Rule, home: str, space: str, fits: t.Callable[[Requirements], bool]) -> bool:
        """Whether a rule, in a policy of namespace ``home``, means pods of a namespace that fit."""
        return not rule.peers or any(
            # a pod has some address, that is all that is known
            peer.block.get("cidr") in ("0.0.0.0/0", "::/0")
            if peer.block
            else self._selects(peer, home, space) and fits(peer.pods)
            for peer in rule.peers
        )

    def _selects(self, peer: Peer, home: str, space: str) -> bool:
        """Whether a peer selects a namespace, or could when only its name is known."""
        if peer.spaces is None:
            return home == space
        if space in self.namespaces:
            return matches(peer.spaces, self.namespaces[space])
        return overlap(peer.spaces, ((NAMESPACE_NAME, "In", frozenset((space,))),))

    # -- DNS

    def without_dns(self, namespace: str) -> t.Iterator[Finding]:
        """Pods that may call somebody, but not ask where that is."""
        here = self.policies[namespace]
        servers = [p.pods for p in here if any(self._asks_dns(namespace, rule) for rule in p.rules[EGRESS])]
        callers = [p for p in here if p.rules[EGRESS] and not self._served(p, servers)]
        if callers:
            names = tuple(caller.ref.name for caller in callers)
            yield Finding(
                "network/no-dns",
                callers[0].ref,
                f"pods of {', '.join(names)} have egress, but no policy in {namespace} lets them ask DNS",
                "Declare dns: true, or where DNS is",
                names,
            )

    def _served(self, policy: Policy, servers: t.Sequence[Requirements]) -> bool:
        """Whether the policy's pods, those that there are if any are known, can ask DNS."""
        pods = [labels for labels in self.pods.get(policy.ref.namespace, ()) if matches(policy.pods, labels)]
        if pods:
            return all(any(matches(server, labels) for server in servers) for labels in pods)
        return any(within(policy.pods, server) for server in servers)

    def _asks_dns(self, namespace: str, rule: Rule) -> bool:
        """Whether a rule lets DNS questions out: to anybody if it says so, or to the usual servers."""
        if any(port.get("protocol") == "UDP" and port.get("port") in (53, "dns") for port in rule.ports):
            return True
        all_servers = functools.partial(within, requirements({"matchLabels": DNS["pods"]}))
        return ports_meet(rule.ports, [_DNS_PORT]) and self._admits(rule, namespace, DNS["namespace"], all_servers)


def _peers(policy: Policy) -> t.Iterator[t.Tuple[Rule, Peer]]:
    """The peers that are pods, each with its rule."""
    for direction in DIRECTIONS:
        for rule in policy.rules[direction]:
            for peer in rule.peers:
                if not peer.block:
                    yield rule, peer


def _one_sided(policy: Policy, rule: Rule, peer: Peer, silent: t.Sequence[str]) -> Finding:
    back, home, spaces = _OPPOSITE[rule.direction], policy.ref.namespace, ", ".join(silent)
    asker: t.Dict[str, t.Any] = {}
    if list(silent) != [home]:
        asker["namespaceSelector"] = {"matchLabels": {NAMESPACE_NAME: home}}
    if policy.pods or not asker:
        asker["podSelector"] = policy.selector
    answer = flow_option(back, peer.selector, {back.peers: [asker], "ports": rule.ports})
    return Finding(
        "network/one-sided",
        policy.ref,
        f"{peer.place} allows what namespace {spaces} denies: no {back.option} rule there lets it through",
        f"Declare in {spaces}: {back.option}: [{_inline(answer)}]",
        tuple(f"namespace {space}" for space in silent),
    )


def _inline(value: t.Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_inline(key)}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else json.dumps(value)
