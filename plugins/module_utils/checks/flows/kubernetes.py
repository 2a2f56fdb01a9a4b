# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""NetworkPolicy, as networking.k8s.io/v1 defines it."""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import ports as port_sets
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.ports import EVERY_PORT, Ports
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.rules import (
    ALLOW,
    DIRECTIONS,
    EGRESS,
    INGRESS,
    Policy,
    Rule,
)
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.terms import (
    ANYBODY,
    HOST,
    NAMESPACE,
    NODE,
    POD,
    Term,
    either,
    every,
    in_namespace,
    negation,
    net,
    of_kind,
    selected,
)
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest, ref_of

Fields = t.Mapping[str, t.Any]
#: How the peers of a direction are spelled.
_PEERS = {INGRESS: "from", EGRESS: "to"}
#: Rules of a policy are equal, so where it stands among others matters only beside Calico's own.
_ORDER = 1000.0


def read(manifest: Manifest, blocks_have_pods: bool = True) -> Policy:
    """A NetworkPolicy, or what says the same (Calico's StagedKubernetesNetworkPolicy).

    :param blocks_have_pods: whether an IPBlock is also about the addresses of pods; Cilium's are not.
    """
    spec: Fields = manifest.get("spec") or {}
    ref = ref_of(manifest)
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    isolates = frozenset(direction for direction in DIRECTIONS if direction.capitalize() in types)
    rules = {
        direction: tuple(
            _rule(entry, ref.namespace, direction, index, blocks_have_pods)
            for index, entry in enumerate((spec.get(direction) or ()) if direction in isolates else ())
        )
        for direction in DIRECTIONS
    }
    return Policy(
        ref,
        every(in_namespace(ref.namespace), selected(POD, spec.get("podSelector"))),
        (_ORDER, f"{ref.name}/{ref.namespace}/KubernetesNetworkPolicy"),
        rules[INGRESS],
        rules[EGRESS],
        isolates,
    )


def _rule(entry: Fields, namespace: str, direction: str, index: int, blocks_have_pods: bool) -> Rule:
    peers = [_peer(peer, namespace, blocks_have_pods) for peer in entry.get(_PEERS[direction]) or ()]
    numbers, named = _ports(entry.get("ports") or ())
    return Rule(f"{direction}[{index}]", ALLOW, either(*peers) if peers else ANYBODY, numbers, named)


def _peer(peer: Fields, namespace: str, blocks_have_pods: bool) -> Term:
    block = peer.get("ipBlock")
    if block:
        term = net(block.get("cidr") or "", block.get("except") or ())
        return term if blocks_have_pods else every(term, negation(of_kind(POD, HOST, NODE)))
    spaces = peer.get("namespaceSelector")
    where = in_namespace(namespace) if spaces is None else selected(NAMESPACE, spaces)
    return every(of_kind(POD), where, selected(POD, peer.get("podSelector")))


def _ports(entries: t.Sequence[Fields]) -> t.Tuple[Ports, t.Tuple[t.Tuple[str, t.Tuple[str, ...]], ...]]:
    """The ports that are numbers, and those that are names; every port when there are none."""
    if not entries:
        return EVERY_PORT, ()
    numbers: t.List[Ports] = []
    named: t.List[t.Tuple[str, t.Tuple[str, ...]]] = []
    for entry in entries:
        protocol, port = entry.get("protocol") or "TCP", entry.get("port")
        if protocol not in port_sets.WITH_PORTS:
            continue
        if isinstance(port, str) and not port.isdigit():
            named.append((port, (protocol,)))
        else:
            number = None if port is None else int(port)
            numbers.append(port_sets.stretch(protocol, number, entry.get("endPort")))
    return port_sets.union(*numbers), tuple(named)
