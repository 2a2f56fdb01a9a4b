# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's own policies, projectcalico.org/v3: NetworkPolicy and GlobalNetworkPolicy, as they concern pods."""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import calico_selector, services
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import ports as port_sets
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.ports import EVERY_PORT, Ports
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.rules import (
    ALLOW,
    DENY,
    DIRECTIONS,
    EGRESS,
    INGRESS,
    PASS,
    ElsewhereError,
    Named,
    Others,
    Policy,
    Rule,
    UnreadError,
)
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.terms import (
    ACCOUNT,
    NAMESPACE,
    NOBODY,
    POD,
    Term,
    account,
    either,
    every,
    family,
    in_namespace,
    met,
    negation,
    net,
    of_kind,
    selected,
    space_marks,
)
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest, ref_of

Fields = t.Mapping[str, t.Any]

API_GROUP = "projectcalico.org"
#: Tiers that are always there, with their order and default.
TIERS = {
    "kube-admin": (1_000.0, PASS),
    "adminnetworkpolicy": (1_000.0, PASS),
    "default": (1_000_000.0, DENY),
    "kube-baseline": (10_000_000.0, PASS),
    "baselineadminnetworkpolicy": (10_000_000.0, PASS),
}
LAST = float("inf")

_ACTIONS = {"Allow": ALLOW, "Deny": DENY, "Pass": PASS}
_NUMBERS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}
_UDPLITE = 136


def tier(manifest: Manifest) -> str:
    """The tier that a policy belongs to."""
    return str((manifest.get("spec") or {}).get("tier") or "default")


def read(manifest: Manifest, others: Others) -> Policy:
    """A NetworkPolicy or GlobalNetworkPolicy of Calico's, as far as pods are concerned."""
    spec: Fields = manifest.get("spec") or {}
    ref = ref_of(manifest)
    if spec.get("doNotTrack") or spec.get("preDNAT"):
        raise ElsewhereError("it is about host endpoints")
    given = [direction.capitalize() for direction in DIRECTIONS if spec.get(direction)]
    types = spec.get("types") or given or ["Ingress"]
    where = in_namespace(ref.namespace) if ref.namespace else of_kind(POD)
    subject = every(
        where,
        calico_selector.parse(spec.get("selector") or ""),
        calico_selector.parse(spec.get("namespaceSelector") or "", NAMESPACE),
        calico_selector.parse(spec.get("serviceAccountSelector") or "", ACCOUNT),
    )
    rules = {
        direction: tuple(_rules(spec, direction, ref.namespace, others) if direction.capitalize() in types else ())
        for direction in DIRECTIONS
    }
    order = spec.get("order")
    return Policy(
        ref,
        subject,
        (LAST if order is None else float(order), tie(ref, manifest["kind"])),
        rules[INGRESS],
        rules[EGRESS],
        frozenset(direction for direction in DIRECTIONS if direction.capitalize() in types),
    )


def tie(ref: Ref, kind: str) -> str:
    """By what Calico puts policies of the same order in order."""
    return f"{ref.name}/{ref.namespace}/{kind}"


def _rules(spec: Fields, direction: str, namespace: str, others: Others) -> t.Iterator[Rule]:
    for index, entry in enumerate(spec.get(direction) or ()):
        if entry["action"] == "Log":
            continue  # says so and goes on
        source, destination = entry.get("source") or {}, entry.get("destination") or {}
        peer, own = (source, destination) if direction == INGRESS else (destination, source)
        notes = []
        if entry.get("http"):
            notes.append("HTTP requests of some kind")
        peers = _entity(peer, namespace, others)
        own_end = _entity(own, namespace, others)
        if source.get("ports"):
            # which port a caller gets is chance; such a rule is about answers, not about calls
            own_end = NOBODY
        if any("code" in (entry.get(option) or {}) for option in ("icmp", "notICMP")):
            notes.append("ICMP of some code")
        if entry.get("ipVersion"):
            peers = every(peers, family(int(entry["ipVersion"])))
        numbers, named = _ports(entry, destination)
        without, excepted = _numbers(destination.get("notPorts") or (), entry.get("protocol"))
        if destination.get("services"):
            numbers, named = _service_ports(destination["services"], namespace, others, numbers)
        yield Rule(
            f"{direction}[{index}]",
            _ACTIONS[entry["action"]],
            peers,
            numbers,
            named,
            without,
            excepted,
            own_end,
            " and ".join(notes),
        )


def _entity(entity: Fields, namespace: str, others: Others) -> Term:
    """One end of a rule; nothing said is anybody."""
    parts = []
    if entity.get("nets"):
        parts.append(either(*(net(_cidr(item)) for item in entity["nets"])))
    if entity.get("notNets"):
        parts.append(negation(either(*(net(_cidr(item)) for item in entity["notNets"]))))
    selector, accounts = entity.get("selector") or "", entity.get("serviceAccounts") or {}
    spaces = entity.get("namespaceSelector") or ""
    negated = entity.get("notSelector") or ""
    if selector or accounts or spaces or (negated and namespace):
        parts.append(_selected(calico_selector.parse(selector), spaces, accounts, namespace, others))
    if negated:
        excepted = calico_selector.parse(negated)
        parts.append(negation(either(every(of_kind(POD), excepted), _sets(excepted, others))))
    if entity.get("services"):
        parts.append(_service(entity["services"], namespace, others))
    return every(*parts)


def _cidr(item: str) -> str:
    return item if "/" in item else f"{item}/{128 if ':' in item else 32}"


def _selected(selector: Term, spaces: str, accounts: Fields, namespace: str, others: Others) -> Term:
    parts = [selector]
    if accounts.get("selector"):
        parts.append(calico_selector.parse(accounts["selector"], ACCOUNT))
    if accounts.get("names"):
        parts.append(account(*accounts["names"]))
    if spaces:
        parts.append(calico_selector.parse(spaces, NAMESPACE))
    elif namespace:
        parts.append(calico_selector.parse(f"{calico_selector.IN_NAMESPACE} == '{namespace}'"))
    wanted = every(*parts)
    return either(every(of_kind(POD), wanted), NOBODY if accounts else _sets(wanted, others))


def _sets(wanted: Term, others: Others) -> Term:
    """The networks of those sets that a selector selects by their labels."""
    nets = []
    for item in others.sets:
        metadata = item["metadata"]
        labels = dict(metadata.get("labels") or {})
        if metadata.get("namespace"):
            labels[calico_selector.IN_NAMESPACE] = metadata["namespace"]
        space = metadata.get("namespace") or ""
        # a set has the labels of its namespace, as a pod has
        spaces = {**others.spaces.get(space, {}), **space_marks(space)} if space else {}
        if item["kind"] in ("NetworkSet", "GlobalNetworkSet") and met(wanted, {POD: labels, NAMESPACE: spaces}):
            nets += [net(_cidr(part)) for part in (item.get("spec") or {}).get("nets") or ()]
    return either(*nets) if nets else NOBODY


def _service(wanted: Fields, namespace: str, others: Others) -> Term:
    """The pods behind a service, or the addresses that somebody has given to one without a selector."""
    space, name = wanted.get("namespace") or namespace, wanted.get("name") or ""
    found = others.services.get((space, name)) or {}
    selector = (found.get("spec") or {}).get("selector")
    if selector:
        return every(in_namespace(space), selected(POD, {"matchLabels": selector}))
    addresses = services.addresses(others.sets, space, name)
    return either(*(net(_cidr(address)) for address in addresses)) if addresses else NOBODY


def _service_ports(wanted: Fields, namespace: str, others: Others, base: Ports) -> t.Tuple[Ports, Named]:
    """The ports to which a service sends its calls on; a destination that is a service is only meant at these."""
    space, name = wanted.get("namespace") or namespace, wanted.get("name") or ""
    numbers: t.List[Ports] = []
    named: t.List[t.Tuple[str, t.Tuple[str, ...]]] = []
    for protocol, port in services.targets(others.services.get((space, name)) or {}, others.sets):
        if isinstance(port, str) and port_sets.intersection(base, port_sets.stretch(protocol)):
            named.append((port, (protocol,)))
        elif isinstance(port, int):
            numbers.append(port_sets.stretch(protocol, port))
    return port_sets.intersection(base, port_sets.union(*numbers)), tuple(named)


def _protocol(value: t.Any) -> Ports:
    """All of a protocol, by its name or number."""
    number = int(value) if str(value).isdigit() else None
    if number is not None and number not in _NUMBERS:
        return port_sets.stretch("OTHER", number)
    if value == "UDPLite":
        return port_sets.stretch("OTHER", _UDPLITE)
    name = _NUMBERS[number] if number is not None else str(value)
    if name not in port_sets.PROTOCOLS:
        raise UnreadError(f"protocol {value} is unknown")
    return port_sets.stretch(name)


def _ports(entry: Fields, destination: Fields) -> t.Tuple[Ports, Named]:
    """What a rule says of protocol and destination port: numbers and names."""
    protocol = entry.get("protocol")
    base = _protocol(protocol) if protocol is not None else EVERY_PORT
    if entry.get("notProtocol") is not None:
        base = port_sets.difference(base, _protocol(entry["notProtocol"]))
    icmp, excepted = entry.get("icmp") or {}, entry.get("notICMP") or {}
    if "type" in icmp:
        base = port_sets.intersection(base, port_sets.stretch(str(protocol), icmp["type"]))
    if "type" in excepted:
        base = port_sets.difference(base, port_sets.stretch(str(protocol), excepted["type"]))
    named: Named = ()
    if destination.get("ports"):
        numbers, named = _numbers(destination["ports"], protocol)
        base = port_sets.intersection(base, numbers)
    return base, named


def _numbers(ports: t.Sequence[t.Any], protocol: t.Any) -> t.Tuple[Ports, Named]:
    """Those that are numbers, and those that are names."""
    numbers = [_number(port, protocol) for port in ports]
    names = [str(port) for port, number in zip(ports, numbers) if number is None]
    known = port_sets.union(*(number for number in numbers if number is not None))
    return known, tuple((name, (str(protocol),)) for name in names)


def _number(port: t.Any, protocol: t.Any) -> t.Optional[Ports]:
    """``8080`` or ``8000:8010`` of a protocol; None for a name."""
    first, colon, last = str(port).partition(":")
    if not first.isdigit() or (colon and not last.isdigit()):
        return None
    return port_sets.stretch(str(protocol), int(first), int(last) if colon else None)
