# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cilium's own policies, cilium.io/v2: CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy, as they concern pods.

What a rule denies is denied whatever another allows, so that each policy is read as two: its denials come first.
A network (CIDR) never means pods or nodes, which have identities of their own.
"""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import ports as port_sets
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import services
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.ports import EVERY_PORT, NO_PORTS, Ports
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.rules import (
    ALLOW,
    DENY,
    DIRECTIONS,
    EGRESS,
    INGRESS,
    ElsewhereError,
    Named,
    Others,
    Policy,
    Rule,
    UnreadError,
)
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.terms import (
    ANYBODY,
    DOMAIN,
    HOST,
    NAMESPACE,
    NETWORK,
    NETWORK_SET,
    NOBODY,
    NODE,
    POD,
    Term,
    account,
    domain,
    either,
    every,
    family,
    in_namespace,
    label,
    labelled,
    met,
    net,
    of_kind,
    selected,
)
from ansible_collections.hardened.k8s.plugins.module_utils.checks.selectors import Requirement, requirements
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest, ref_of

Fields = t.Mapping[str, t.Any]

KINDS = ("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy")
#: Denials are asked first, then what allows.
DENIALS, ALLOWANCES = 0.0, 1.0

_NAMESPACE = "io.kubernetes.pod.namespace"
_NAMESPACE_LABEL = "io.cilium.k8s.namespace.labels."
_ACCOUNT = "io.cilium.k8s.policy.serviceaccount"
_CLUSTER = "io.cilium.k8s.policy.cluster"
_OUTSIDE = of_kind(NETWORK, DOMAIN)
_NODES = of_kind(NODE, HOST)
_ENTITIES = {
    "all": ANYBODY,
    "world": _OUTSIDE,
    "world-ipv4": every(_OUTSIDE, family(4)),
    "world-ipv6": every(_OUTSIDE, family(6)),
    "cluster": of_kind(POD, HOST, NODE),
    "cluster-mesh": of_kind(POD, HOST, NODE),
    # the node that a pod runs on is what Rule.local says; seen from most pods, a node is another one
    "host": NOBODY,
    "remote-node": _NODES,
    "init": NOBODY,
    "ingress": NOBODY,
    "unmanaged": NOBODY,
    "health": NOBODY,
    "none": NOBODY,
}
#: The label of nodes that kubeadm and its kin put the API server on.
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
#: How peers are named; one rule has one way.
_WAYS = ("Endpoints", "Nodes", "Entities", "CIDR", "CIDRSet", "FQDNs", "Services", "Groups")
_RESERVED = "reserved:"
_OTHER = {"VRRP": 112, "IGMP": 2, "GRE": 47, "IPIP": 4, "IPV6": 41, "ESP": 50, "AH": 51}
_ICMP = {
    "IPv4": {
        "EchoReply": 0,
        "DestinationUnreachable": 3,
        "Redirect": 5,
        "Echo": 8,
        "EchoRequest": 8,
        "RouterAdvertisement": 9,
        "RouterSelection": 10,
        "TimeExceeded": 11,
        "ParameterProblem": 12,
        "Timestamp": 13,
        "TimestampReply": 14,
        "Photuris": 40,
    },
    "IPv6": {
        "DestinationUnreachable": 1,
        "PacketTooBig": 2,
        "TimeExceeded": 3,
        "ParameterProblem": 4,
        "EchoRequest": 128,
        "EchoReply": 129,
        "RouterSolicitation": 133,
        "RouterAdvertisement": 134,
        "NeighborSolicitation": 135,
        "NeighborAdvertisement": 136,
        "RedirectMessage": 137,
    },
}


def read(manifest: Manifest, others: Others) -> t.List[Policy]:
    """The policies that an object stands for, each of its specs two."""
    ref = ref_of(manifest)
    specs = [*([manifest["spec"]] if manifest.get("spec") else []), *(manifest.get("specs") or ())]
    found: t.List[Policy] = []
    for number, spec in enumerate(specs):
        if spec.get("nodeSelector") is not None:
            if len(specs) == 1:
                raise ElsewhereError("it is about nodes")
            continue
        _check(spec)
        place = f"specs[{number}]." if manifest.get("specs") else ""
        found += _read(ref, spec, place, others)
    return found


def _check(spec: Fields) -> None:
    """What the API server takes, and Cilium's agents then ignore."""
    rules = [(d, rule) for d in DIRECTIONS for suffix in ("", "Deny") for rule in spec.get(d + suffix) or ()]
    if not rules:
        raise UnreadError("it has no rules, and Cilium ignores it")
    for direction, rule in rules:
        word = "from" if direction == INGRESS else "to"
        ways = [word + option for option in _WAYS if rule.get(word + option)]
        if len(ways) > 1:
            raise UnreadError(f"it has {' and '.join(ways)} in one rule, and Cilium ignores it")


def _read(ref: Ref, spec: Fields, place: str, others: Others) -> t.Iterator[Policy]:
    subject = _endpoints(spec.get("endpointSelector") or {}, ref.namespace)
    wanted = spec.get("enableDefaultDeny") or {}
    given = {d: bool(spec.get(d) or spec.get(f"{d}Deny")) for d in DIRECTIONS}
    isolates = frozenset(d for d in DIRECTIONS if wanted.get(d, given[d]))
    for suffix, action, order in (("Deny", DENY, DENIALS), ("", ALLOW, ALLOWANCES)):
        rules = {
            direction: tuple(
                rule
                for index, entry in enumerate(spec.get(direction + suffix) or ())
                for rule in _rules(entry, direction, f"{place}{direction}{suffix}[{index}]", action, ref, others)
            )
            for direction in DIRECTIONS
        }
        yield Policy(ref, subject, (order, str(ref)), rules[INGRESS], rules[EGRESS], isolates)


def _rules(entry: Fields, direction: str, place: str, action: str, ref: Ref, others: Others) -> t.Iterator[Rule]:
    word = "from" if direction == INGRESS else "to"
    peers = _peers(entry, word, ref.namespace, others)
    limited = bool(entry.get("toPorts") or entry.get("icmps"))
    if peers is None:
        if not limited:
            return  # isolates, and is about nothing
        peers = ANYBODY
    numbers, named, notes = _ports(entry)
    if entry.get("authentication"):
        notes = (*notes, "mutual authentication")
    note = " and ".join(dict.fromkeys(notes))
    yield Rule(place, action, peers, numbers, named, note=note, local=_local(entry, word))


def _peers(entry: Fields, word: str, namespace: str, others: Others) -> t.Optional[Term]:
    """Who is meant; None where nothing is said of it, and nobody where an empty list is."""
    found: t.List[Term] = []
    said = False
    builders: t.Mapping[str, t.Callable[[t.Any], Term]] = {
        "Endpoints": lambda selector: _endpoints(selector, namespace),
        "Nodes": lambda selector: every(of_kind(NODE), selected(NODE, _plain(selector))),
        "Entities": lambda name: _entity(name, others),
        "CIDR": lambda cidr: every(_OUTSIDE, net(_cidr(cidr))),
        "CIDRSet": lambda rule: every(_OUTSIDE, _cidr_rule(rule, others)),
        "FQDNs": lambda fqdn: domain(fqdn.get("matchName") or fqdn.get("matchPattern") or ""),
        "Services": lambda service: _service(service, namespace, others),
        # which networks these are, a cloud has to be asked
        "Groups": lambda _group: NOBODY,
    }
    for option, build in builders.items():
        entries = entry.get(word + option)
        if entries is None:
            continue
        said = True
        found += [build(item) for item in entries]
    return (either(*found) if found else NOBODY) if said else None


def _local(entry: Fields, word: str) -> t.Optional[bool]:
    """Whether a rule means the node that a pod runs on, which is ``host`` and no ``remote-node``."""
    names = set(entry.get(f"{word}Entities") or ())
    if names & {"all", "cluster", "host"}:
        return True
    return False if names == {"remote-node"} else None


def _entity(name: str, others: Others) -> Term:
    if name == "kube-apiserver":
        addresses = services.addresses(others.sets, *services.API)
        if addresses:
            return either(*(net(_cidr(address)) for address in addresses))
        # where nobody says where it is, it is on the nodes that are called so
        return every(of_kind(NODE), label(NODE, CONTROL_PLANE, "Exists"))
    return _ENTITIES.get(name, NOBODY)


def _cidr(item: str) -> str:
    return item if "/" in item else f"{item}/{128 if ':' in item else 32}"


def _cidr_rule(rule: Fields, others: Others) -> Term:
    if rule.get("cidr"):
        return net(_cidr(rule["cidr"]), rule.get("except") or ())
    wanted = labelled(NETWORK_SET, requirements(_plain(rule.get("cidrGroupSelector"))))
    nets = [
        net(_cidr(part), rule.get("except") or ())
        for item in others.sets
        if item["kind"] == "CiliumCIDRGroup"
        and (
            item["metadata"]["name"] == rule["cidrGroupRef"]
            if rule.get("cidrGroupRef")
            else met(wanted, {NETWORK_SET: item["metadata"].get("labels") or {}})
        )
        for part in (item.get("spec") or {}).get("externalCIDRs") or ()
    ]
    return either(*nets) if nets else NOBODY


def _service(wanted: Fields, namespace: str, others: Others) -> Term:
    """The pods behind services, or the addresses outside that somebody has given to one without a selector."""
    by_name, by_labels = wanted.get("k8sService") or {}, wanted.get("k8sServiceSelector") or {}
    space = by_name.get("namespace") or by_labels.get("namespace") or namespace
    terms = []
    for (where, name), service in others.services.items():
        labels = service["metadata"].get("labels") or {}
        chosen = (
            name == by_name.get("serviceName")
            if by_name
            else met(labelled(NETWORK_SET, requirements(_plain(by_labels.get("selector")))), {NETWORK_SET: labels})
        )
        selector = (service.get("spec") or {}).get("selector")
        if where == space and chosen and selector:
            terms.append(every(in_namespace(where), selected(POD, {"matchLabels": selector})))
        elif where == space and chosen:
            addresses = services.addresses(others.sets, where, name)
            terms += [every(_OUTSIDE, net(_cidr(address))) for address in addresses]
    return either(*terms) if terms else NOBODY


# -- selectors


def _source(key: str) -> str:
    """A label's key without the source that Cilium lets one put before it."""
    for prefix in ("k8s:", "any:", "node:"):
        if key.startswith(prefix):
            return key[len(prefix) :]
    return key


def _plain(selector: t.Optional[Fields]) -> Fields:
    selector = selector or {}
    return {
        "matchLabels": {_source(key): value for key, value in (selector.get("matchLabels") or {}).items()},
        "matchExpressions": [
            {**entry, "key": _source(entry["key"])} for entry in selector.get("matchExpressions") or ()
        ],
    }


def _endpoints(selector: Fields, namespace: str) -> Term:
    """Endpoints by their labels: those of a policy's own namespace, unless the selector speaks of namespaces."""
    wanted = requirements(_plain(selector))
    keys = {key for key, _operator, _values in wanted}
    reserved = [key[len(_RESERVED) :] for key in keys if key.startswith(_RESERVED)]
    if reserved:
        return every(*(_ENTITIES.get(name, NOBODY) for name in reserved))
    spoken = _NAMESPACE in keys or any(key.startswith(_NAMESPACE_LABEL) for key in keys)
    where = of_kind(POD) if spoken or not namespace else in_namespace(namespace)
    return every(of_kind(POD), where, *(_requirement(entry) for entry in wanted if entry[0] != _CLUSTER))


def _requirement(entry: Requirement) -> Term:
    key, operator, names = entry
    if key == _ACCOUNT and operator == "In":
        return account(*names)
    if key.startswith(_NAMESPACE_LABEL):
        return Term(operator, (), NAMESPACE, key[len(_NAMESPACE_LABEL) :], names)
    if key == _NAMESPACE:
        return Term(operator, (), NAMESPACE, "kubernetes.io/metadata.name", names)
    return Term(operator, (), POD, key, names)


# -- ports


def _ports(entry: Fields) -> t.Tuple[Ports, Named, t.Tuple[str, ...]]:
    """Ports by number and by name, and what else requests must be like."""
    if not entry.get("toPorts") and not entry.get("icmps"):
        return EVERY_PORT, (), ()
    numbers: t.List[Ports] = []
    named: t.List[t.Tuple[str, t.Tuple[str, ...]]] = []
    notes: t.List[str] = []
    for rule in entry.get("toPorts") or ():
        everything: t.Sequence[Fields] = ({},)
        for port in rule.get("ports") or everything:
            _port(port, numbers, named)
        if rule.get("rules"):
            notes.append(f"{', '.join(sorted(rule['rules'])).upper()} requests of some kind")
        if rule.get("serverNames"):
            notes.append(f"TLS to {', '.join(rule['serverNames'])}")
    for icmp in entry.get("icmps") or ():
        numbers += [_icmp(field) for field in icmp.get("fields") or ()]
    return port_sets.union(*numbers), tuple(named), tuple(notes)


def _port(port: Fields, numbers: t.List[Ports], named: t.List[t.Tuple[str, t.Tuple[str, ...]]]) -> None:
    protocol, text = str(port.get("protocol") or "ANY").upper(), str(port.get("port") or "0")
    if protocol in _OTHER:
        numbers.append(port_sets.stretch("OTHER", _OTHER[protocol]))
        return
    protocols = port_sets.WITH_PORTS if protocol == "ANY" else (protocol,)
    if not text.isdigit():
        named.append((text.lower(), protocols))
        return
    for name in protocols:
        # port 0 is how Cilium writes all of them
        first = int(text) or None
        numbers.append(port_sets.stretch(name, first, port.get("endPort") or None if first else None))


def _icmp(field: Fields) -> Ports:
    version = field.get("family") or "IPv4"
    kind = str(field.get("type"))
    number = int(kind) if kind.isdigit() else _ICMP[version].get(kind)
    return NO_PORTS if number is None else port_sets.stretch("ICMP" if version == "IPv4" else "ICMPv6", number)
