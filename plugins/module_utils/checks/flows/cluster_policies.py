# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster-wide policies of policy.networking.k8s.io: ClusterNetworkPolicy v1alpha2, and before it
AdminNetworkPolicy and BaselineAdminNetworkPolicy v1alpha1.
"""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import ports as port_sets
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.ports import EVERY_PORT, Ports
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.rules import (
    ALLOW,
    DENY,
    EGRESS,
    INGRESS,
    PASS,
    Named,
    Policy,
    Rule,
    UnreadError,
)
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.terms import (
    ANYBODY,
    HOST,
    NAMESPACE,
    NOBODY,
    NODE,
    POD,
    Term,
    domain,
    either,
    every,
    negation,
    net,
    of_kind,
    selected,
)
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest, ref_of

Fields = t.Mapping[str, t.Any]

ADMIN, BASELINE = "Admin", "Baseline"
KINDS = ("ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy")

_PEERS = {INGRESS: "from", EGRESS: "to"}
_ACTIONS = {"Accept": ALLOW, "Allow": ALLOW, "Deny": DENY, "Pass": PASS}


def tier(manifest: Manifest) -> str:
    """The tier that a policy belongs to."""
    if manifest["kind"] == "ClusterNetworkPolicy":
        return str((manifest.get("spec") or {}).get("tier"))
    return BASELINE if manifest["kind"] == "BaselineAdminNetworkPolicy" else ADMIN


def read(manifest: Manifest, networks_have_pods: bool = True) -> Policy:
    """One of these policies. They isolate nobody: what no rule is about goes on to the next tier.

    :param networks_have_pods: whether networks are also about the addresses of pods and nodes; Cilium's are not.
    """
    spec: Fields = manifest.get("spec") or {}
    ref = ref_of(manifest)
    if tier(manifest) not in (ADMIN, BASELINE):
        raise UnreadError(f"tier {tier(manifest)} is unknown")
    subject = _pods(spec.get("subject") or {})
    if subject is None:
        raise UnreadError("its subject is of a kind that is unknown here")
    return Policy(
        ref,
        subject,
        (float(spec.get("priority") or 0), ref.name),
        tuple(_rules(spec, INGRESS, networks_have_pods)),
        tuple(_rules(spec, EGRESS, networks_have_pods)),
    )


def _rules(spec: Fields, direction: str, networks_have_pods: bool) -> t.Iterator[Rule]:
    for index, entry in enumerate(spec.get(direction) or ()):
        action = _ACTIONS[entry["action"]]
        terms = [_peer(peer, networks_have_pods) for peer in entry.get(_PEERS[direction]) or ()]
        numbers, named = _protocols(entry)
        if None in terms:
            # the API asks to fail closed at a peer of an unknown kind
            if action != ALLOW:
                yield Rule(f"{direction}[{index}]", DENY, ANYBODY)
                continue
            terms = [term for term in terms if term is not None] or [NOBODY]
        yield Rule(f"{direction}[{index}]", action, either(*t.cast(t.List[Term], terms)), numbers, named)


def _pods(peer: Fields) -> t.Optional[Term]:
    if "namespaces" in peer:
        # v0.1.1 had the selector one level deeper
        spaces = peer["namespaces"] or {}
        return every(of_kind(POD), selected(NAMESPACE, spaces.get("namespaceSelector", spaces)))
    if "pods" in peer:
        pods = peer["pods"] or {}
        spaces = selected(
            NAMESPACE, pods.get("namespaceSelector") or (pods.get("namespaces") or {}).get("namespaceSelector")
        )
        return every(of_kind(POD), spaces, selected(POD, pods.get("podSelector")))
    return None


def _peer(peer: Fields, networks_have_pods: bool) -> t.Optional[Term]:
    if "nodes" in peer:
        return every(of_kind(NODE), selected(NODE, peer["nodes"]))
    if "networks" in peer:
        networks = either(*(net(cidr) for cidr in peer["networks"]))
        return networks if networks_have_pods else every(networks, negation(of_kind(POD, HOST, NODE)))
    if "domainNames" in peer:
        # here a wildcard stands for one or more parts of a name
        return either(*(domain("*" + name if name.startswith("*.") else name) for name in peer["domainNames"]))
    return _pods(peer)


def _protocols(entry: Fields) -> t.Tuple[Ports, Named]:
    """``protocols`` of v1alpha2, ``ports`` of v1alpha1."""
    if not entry.get("protocols") and not entry.get("ports"):
        return EVERY_PORT, ()
    numbers: t.List[Ports] = []
    named: t.List[t.Tuple[str, t.Tuple[str, ...]]] = []
    for item in entry.get("protocols") or ():
        if "destinationNamedPort" in item:
            named.append((item["destinationNamedPort"], port_sets.WITH_PORTS))
        for protocol in port_sets.WITH_PORTS:
            if protocol.lower() in item:
                port = (item[protocol.lower()] or {}).get("destinationPort") or {}
                span = port.get("range") or {}
                numbers.append(port_sets.stretch(protocol, port.get("number", span.get("start")), span.get("end")))
    for item in entry.get("ports") or ():
        if "namedPort" in item:
            named.append((item["namedPort"], port_sets.WITH_PORTS))
        single, span = item.get("portNumber"), item.get("portRange")
        if single:
            numbers.append(port_sets.stretch(single.get("protocol") or "TCP", single.get("port")))
        if span:
            numbers.append(port_sets.stretch(span.get("protocol") or "TCP", span.get("start"), span.get("end")))
    return port_sets.union(*numbers), tuple(named)
