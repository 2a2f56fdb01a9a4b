# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What network policies do not do, or do by accident.

Selectors and peers are judged as the NetworkPolicy v1 API defines them (k8s.io/api/networking/v1): a peer's
namespaceSelector and podSelector are ANDed, peers and rules are ORed, an absent list is everything.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest, ref_of
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.network import (
    METADATA,
    NAMESPACE_NAME,
    WARN_ALLOW_ALL,
)

Labels = t.Mapping[str, str]
Selector = t.Mapping[str, t.Any]


def matches(selector: t.Optional[Selector], labels: Labels) -> bool:
    """Whether a LabelSelector selects these labels; an empty one selects everything, None nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(entry, labels) for entry in selector.get("matchExpressions") or ())


def _expression(entry: t.Mapping[str, t.Any], labels: Labels) -> bool:
    value, wanted = labels.get(entry["key"]), entry.get("values") or ()
    return {
        "In": value in wanted,
        "NotIn": value not in wanted,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[entry["operator"]]


def _types(policy: Manifest) -> t.Sequence[str]:
    spec = policy["spec"]
    return spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _selects(policy: Manifest) -> Selector:
    return policy["spec"].get("podSelector") or {}


def _is_covered(policies: t.Iterable[Manifest], direction: str) -> bool:
    """Whether all pods of a namespace are denied by default in a direction."""
    return any(direction in _types(policy) and not _selects(policy) for policy in policies)


def check(
    policies: t.Sequence[Manifest],
    namespaces: t.Optional[t.Mapping[str, Labels]],
    pods: t.Optional[t.Sequence[Manifest]],
    stored: t.Sequence[Manifest],
) -> t.List[Finding]:
    """The findings on declared policies.

    :param namespaces: name -> labels of every namespace there is or will be; None when not known.
    :param pods: the pods of the namespaces concerned; None when not read.
    :param stored: the cluster's other policies.
    """
    everything: t.Dict[str, t.List[Manifest]] = {}
    for policy in [*policies, *stored]:
        everything.setdefault(policy["metadata"]["namespace"], []).append(policy)
    labels: t.Dict[str, t.List[Labels]] = {}
    for pod in pods or ():
        labels.setdefault(pod["metadata"]["namespace"], []).append(pod["metadata"].get("labels") or {})
    sides = _Sides(everything, namespaces or {})
    findings: t.List[Finding] = []
    for policy in policies:
        if policy["metadata"]["name"] == WARN_ALLOW_ALL:
            continue
        findings += _selects_nothing(policy, labels)
        findings += _metadata_reachable(policy)
        findings += _missing_peers(policy, namespaces)
        findings += sides.findings(policy)
    declared = {policy["metadata"]["namespace"] for policy in policies}
    findings += [finding for space in sorted(declared) for finding in _no_dns(everything[space])]
    return findings


def _selects_nothing(policy: Manifest, labels: t.Mapping[str, t.Sequence[Labels]]) -> t.Iterator[Finding]:
    here = labels.get(policy["metadata"]["namespace"])
    if here and _selects(policy) and not any(matches(_selects(policy), pod) for pod in here):
        yield Finding(
            "network/selects-nothing",
            ref_of(policy),
            f"it selects none of the {len(here)} pods in its namespace",
            "Compare its pod labels with those of the workload's pod template",
        )


def _rules(policy: Manifest, direction: str) -> t.Iterator[t.Tuple[int, t.Mapping[str, t.Any]]]:
    yield from enumerate(policy["spec"].get(direction) or ())


def _metadata_reachable(policy: Manifest) -> t.Iterator[Finding]:
    for index, rule in _rules(policy, "egress"):
        reached = METADATA if not rule.get("to") else [a for a in METADATA if any(_reaches(p, a) for p in rule["to"])]
        if reached:
            yield Finding(
                "network/metadata-reachable",
                ref_of(policy),
                f"egress[{index}] reaches {', '.join(str(address) for address in reached)}, "
                "where the node's cloud credentials are handed out",
                "Add these addresses to the except of its ipBlock",
                refuse=True,
            )


def _reaches(peer: t.Mapping[str, t.Any], address: t.Any) -> bool:
    block = peer.get("ipBlock")
    if not block:
        return False

    def inside(text: str) -> bool:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return False  # the API server will say so
        return network.version == address.version and bool(address.subnet_of(network))

    return inside(str(block.get("cidr"))) and not any(inside(str(text)) for text in block.get("except") or ())


def _missing_peers(policy: Manifest, namespaces: t.Optional[t.Mapping[str, Labels]]) -> t.Iterator[Finding]:
    if namespaces is None:
        return
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in _rules(policy, direction):
            for peer in rule.get(peers) or ():
                name = _named(peer)
                if name and name not in namespaces:
                    yield Finding(
                        "network/peer-namespace-missing",
                        ref_of(policy),
                        f"{direction}[{index}] is for namespace {name}, which neither exists nor is declared",
                        "Correct the name, or declare the namespace",
                    )


def _named(peer: t.Mapping[str, t.Any]) -> str:
    """The namespace that a peer names; empty when it selects by other labels, or none."""
    return str(((peer.get("namespaceSelector") or {}).get("matchLabels") or {}).get(NAMESPACE_NAME) or "")


def _no_dns(policies: t.Sequence[Manifest]) -> t.Iterator[Finding]:
    """A namespace denied egress in which pods may call somebody, but not ask where that is."""
    egress = [policy for policy in policies if "Egress" in _types(policy)]
    allowing = [policy for policy in egress if policy["spec"].get("egress")]
    if not _is_covered(egress, "Egress") or not allowing:
        return
    if not any(_allows_port(rule, 53) for policy in allowing for rule in policy["spec"]["egress"]):
        deny = next(p for p in egress if not _selects(p))
        yield Finding(
            "network/no-dns",
            ref_of(deny),
            "egress is denied by default and no rule allows port 53: names cannot be looked up",
            "Declare dns: true, or where DNS is",
        )


def _allows_port(rule: t.Mapping[str, t.Any], number: int) -> bool:
    ports = rule.get("ports")
    if not ports:
        return True
    for port in ports:
        first = port.get("port")
        if first is None or first == number or (isinstance(first, int) and first <= number <= port.get("endPort", first)):
            return True
    return False


class _Sides:
    """Both ends of a flow: what one namespace lets out, the other must let in."""

    def __init__(self, policies: t.Mapping[str, t.Sequence[Manifest]], namespaces: t.Mapping[str, Labels]) -> None:
        self.policies = policies
        self.namespaces = namespaces
        self.denied = {
            direction: {space for space, found in policies.items() if _is_covered(found, direction)}
            for direction in ("Ingress", "Egress")
        }

    def findings(self, policy: Manifest) -> t.Iterator[Finding]:
        for here, there, peers in (("egress", "ingress", "to"), ("ingress", "egress", "from")):
            for index, rule in _rules(policy, here):
                for peer in rule.get(peers) or ():
                    space = _named(peer)
                    if space in self.denied[there.capitalize()] and not self._answered(policy, rule, peer, space, there):
                        yield self._one_sided(policy, f"{here}[{index}]", space, there, rule, peer)

    def _answered(
        self, policy: Manifest, rule: t.Mapping[str, t.Any], peer: t.Mapping[str, t.Any], space: str, there: str
    ) -> bool:
        """Whether any policy over there has a rule that can meet this one."""
        back = "from" if there == "ingress" else "to"
        home = policy["metadata"]["namespace"]
        for other in self.policies[space]:
            if other is policy or not _may_overlap(_selects(other), peer.get("podSelector") or {}):
                continue
            for _index, answer in _rules(other, there):
                if not _ports_meet(rule.get("ports"), answer.get("ports")):
                    continue
                if not answer.get(back) or any(
                    self._admits(candidate, home, space, _selects(policy)) for candidate in answer[back]
                ):
                    return True
        return False

    def _admits(self, peer: t.Mapping[str, t.Any], home: str, space: str, pods: Selector) -> bool:
        if peer.get("ipBlock"):
            return False
        if peer.get("namespaceSelector") is None:
            if home != space:
                return False
        elif not matches(peer["namespaceSelector"], {**self.namespaces.get(home, {}), NAMESPACE_NAME: home}):
            return False
        return _may_overlap(peer.get("podSelector") or {}, pods)

    def _one_sided(
        self,
        policy: Manifest,
        place: str,
        space: str,
        there: str,
        rule: t.Mapping[str, t.Any],
        peer: t.Mapping[str, t.Any],
    ) -> Finding:
        near, far = ("to", "from") if there == "ingress" else ("from", "to")
        theirs = (peer.get("podSelector") or {}).get("matchLabels") or {}
        ours = _selects(policy).get("matchLabels") or {}
        ports = [port.get("port") for port in rule.get("ports") or ()]
        return Finding(
            "network/one-sided",
            ref_of(policy),
            f"{place} allows what namespace {space} denies: no {there} rule there answers it",
            f"Declare in {space}: {there}: [{{{near}: {theirs}, {far}: "
            f"[{{namespace: {policy['metadata']['namespace']}, pods: {ours}}}], ports: {ports}}}]",
        )


def _may_overlap(one: Selector, other: Selector) -> bool:
    """Whether some pod could be selected by both; expressions are taken to allow it."""
    mine, theirs = one.get("matchLabels") or {}, other.get("matchLabels") or {}
    return all(theirs[key] == value for key, value in mine.items() if key in theirs)


def _ports_meet(
    one: t.Optional[t.Sequence[t.Mapping[str, t.Any]]], other: t.Optional[t.Sequence[t.Mapping[str, t.Any]]]
) -> bool:
    """Whether two port lists have a port in common; a named port may be any number."""
    if not one or not other:
        return True
    return any(_port_meets(mine, theirs) for mine in one for theirs in other)


def _port_meets(one: t.Mapping[str, t.Any], other: t.Mapping[str, t.Any]) -> bool:
    if (one.get("protocol") or "TCP") != (other.get("protocol") or "TCP"):
        return False
    first, second = one.get("port"), other.get("port")
    if not isinstance(first, int) or not isinstance(second, int):
        return not (isinstance(first, str) and isinstance(second, str)) or first == second
    return first <= other.get("endPort", second) and second <= one.get("endPort", first)
