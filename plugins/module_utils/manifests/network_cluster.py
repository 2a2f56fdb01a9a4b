# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network policies of a whole cluster, which no tenant can undo: an admin tier, and a baseline that tenants may override.

Written as ClusterNetworkPolicy, as Calico's GlobalNetworkPolicy in a tier of its own, or as Cilium's clusterwide
policy. Pods of the cluster's own namespaces are left out unless they are named, and host endpoints are never meant.
"""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import STAGES, Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import network, values
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import network_providers as providers
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    Manifest,
    manifest,
    ref_of,
)

_Item = t.Mapping[str, t.Any]
_Fields = t.Dict[str, t.Any]

ADMIN, BASELINE = "admin", "baseline"
#: What the cluster itself, its network and its API server live in.
SYSTEM = (
    *("kube-system", "kube-public", "kube-node-lease"),
    *("calico-system", "calico-apiserver", "tigera-operator", "cilium", "cilium-secrets"),
)
#: Calico's tiers for these, and their order: before ``default``, which is at a million, and after it.
_TIERS = {ADMIN: ("hardened-admin", 100), BASELINE: ("hardened-baseline", 9_000_000)}
_ACTIONS = ("allow", "deny", "pass")
_MOST = 25
_PRIORITY = 1000

_PEER = {
    "namespace": {"type": "str"},
    "namespace_labels": {"type": "dict"},
    "pods": {"type": "dict"},
    "network": {"type": "str"},
    "cidr": {"type": "str"},
    "service_account": {"type": "str"},
    "service_account_labels": {"type": "dict"},
    "domains": {"type": "list", "elements": "str"},
}


def _rule_spec(peers: str) -> _Fields:
    options = {
        "action": {"type": "str", "choices": list(_ACTIONS), "required": True},
        peers: {"type": "list", "elements": "dict", "options": _PEER},
        "ports": {"type": "list", "elements": "raw"},
    }
    return {"type": "list", "elements": "dict", "options": options}


SPEC: _Fields = {
    "name": {"type": "str", "required": True},
    "provider": {
        "type": "str",
        "choices": [providers.AUTO, providers.CALICO, providers.CILIUM, providers.CLUSTER],
    },
    "stage": {"type": "str", "choices": list(STAGES)},
    "tier": {"type": "str", "choices": [ADMIN, BASELINE]},
    "priority": {"type": "int"},
    "namespaces": {"type": "dict"},
    "pods": {"type": "dict"},
    "service_account_labels": {"type": "dict"},
    "include_system": {"type": "list", "elements": "str"},
    "deny_metadata": {"type": "bool"},
    "networks": {"type": "dict"},
    "ingress": _rule_spec("from"),
    "egress": _rule_spec("to"),
}


class _Rule(t.NamedTuple):
    """One rule; peers as in NetworkPolicy, None for everybody."""

    action: str
    peers: t.Optional[t.List[_Fields]]
    ports: t.List[_Fields]


class _Policy(t.NamedTuple):
    name: str
    tier: str
    priority: int
    namespaces: _Fields
    pods: _Fields
    accounts: t.Optional[_Fields]
    rules: t.Mapping[str, t.List[_Rule]]


def declare(item: _Item, where: str, context: Context) -> Declaration:
    """The policy of one item, or what is wrong with it."""
    declaration = Declaration()
    stage = item.get("stage") or context.stage
    name = str(item.get("name"))
    try:
        policy = _policy(item)
        provider = providers.choose(item.get("provider") or providers.AUTO, context.served, cluster_wide=True)
        old = provider == providers.CLUSTER and _old(context)
        declared = _manifests(policy, provider, old)
    except ItemError as error:
        declaration.problem(where, error.reason, error.remedy, Ref("ClusterNetworkPolicy", "", name))
        return declaration
    written = declared if stage == "enforce" else _milder(policy, provider, stage)
    kept = {ref_of(each) for each in written}
    for each in written:
        declaration.add(each, where, stage)
        if each["kind"] == "Tier":
            declaration.shared.add(ref_of(each))
    other = _milder(policy, provider, "observe") if stage != "observe" else declared
    for each in [*declared, *other]:
        if ref_of(each) not in kept and each["kind"] != "Tier":
            declaration.withdraw(ref_of(each), where)
    subject = ref_of((written or declared)[-1])
    if stage != "enforce" and len(written) < len(declared):
        declaration.findings.append(_observed(subject, provider))
    declaration.findings += _blunt(policy, subject)
    return declaration


def _observed(ref: Ref, provider: str) -> Finding:
    return Finding(
        "network/not-enforced",
        ref,
        f"{provider} has no milder form of a policy for the whole cluster; stage enforce would write it",
        "Ask network_flow_info what it would open and close, then go to stage enforce",
        (ref.name,),
    )


def _blunt(policy: _Policy, ref: Ref) -> t.Iterator[Finding]:
    """A denial that also cuts pods off from DNS and from the API server, or the API server from webhooks in pods."""
    for direction, (what, who) in _CUT.items():
        for index, rule in enumerate(policy.rules[direction]):
            before = [each for each in policy.rules[direction][:index] if each.action != "deny"]
            if rule.action == "deny" and _everywhere(rule, direction) and not rule.ports and not before:
                yield Finding(
                    "network/cuts-system",
                    ref,
                    f"{direction}[{index}] denies everything, also {what}",
                    f"Let {who} through in a rule before it, or name what is to be denied",
                    refuse=True,
                )


#: What a denial of everything cuts, and who should be let through before it.
_CUT = {
    "ingress": ("the way of the API server to webhooks", "the API server"),
    "egress": ("the way to DNS and to the API server", "DNS and the API server"),
}


def _everywhere(rule: _Rule, direction: str) -> bool:
    """Whether everybody is meant; who calls without being named is a pod, and no API server."""
    if rule.peers is None:
        return direction == "egress"
    blocks = [block for peer in rule.peers for block in peer.get("blocks") or [peer.get("ipBlock") or {}]]
    return any(block.get("cidr") in ("0.0.0.0/0", "::/0") for block in blocks)


# -- items


def _policy(item: _Item) -> _Policy:
    name, tier = values.dns_subdomain(item["name"]), str(item.get("tier") or ADMIN)
    priority = item.get("priority", 100)
    if not 0 <= priority <= _PRIORITY:
        raise ItemError(f"priority {priority} is out of range", f"Use 0 to {_PRIORITY}; the lowest is asked first")
    namespaces = network.selector(item.get("namespaces") or {})
    excluded = sorted(set(SYSTEM) - set(item.get("include_system") or ()))
    if excluded:
        left_out = {"key": network.NAMESPACE_NAME, "operator": "NotIn", "values": excluded}
        namespaces["matchExpressions"] = [*(namespaces.get("matchExpressions") or ()), left_out]
    rules = {
        direction: [
            _rule(entry, peers, f"{direction}[{index}]", item.get("networks") or {})
            for index, entry in enumerate(item.get(direction) or ())
        ]
        for direction, peers in (("ingress", "from"), ("egress", "to"))
    }
    if item.get("deny_metadata", tier == ADMIN):
        blocks = [{"ipBlock": {"cidr": str(address)}} for address in network.METADATA]
        rules["egress"].insert(0, _Rule("deny", blocks, []))
    if not rules["ingress"] and not rules["egress"]:
        raise ItemError("the policy has no rules", "Declare ingress or egress")
    for direction, listed in rules.items():
        if len(listed) > _MOST:
            raise ItemError(f"{direction} has {len(listed)} rules", f"Make several policies of it, of {_MOST} each")
    pods, accounts = network.selector(item.get("pods") or {}), item.get("service_account_labels")
    return _Policy(
        name, tier, priority, namespaces, pods, None if accounts is None else network.selector(accounts), rules
    )


def _rule(entry: _Item, option: str, where: str, networks: _Item) -> _Rule:
    try:
        peers = None
        if option in entry:
            if not entry[option]:
                raise ItemError(f"{option} is empty, which would be nobody", "Fill it, or leave it out for everybody")
            peers = [_peer(peer, networks) for peer in entry[option]]
        elif option == "from":
            peers = [{"namespaceSelector": {}}]  # no network of whatever is outside, and no node
        return _Rule(entry["action"], peers, [network.port(port) for port in entry.get("ports") or ()])
    except ItemError as error:
        raise ItemError(f"{where}: {error.reason}", error.remedy) from error


def _peer(peer: _Item, networks: _Item) -> _Fields:
    if "domains" in peer:
        if len(peer) > 1:
            raise ItemError("domains and others in one peer", "Make two peers of it")
        return {"domains": [values.domain_name(name) for name in peer["domains"]]}
    # here the metadata addresses may well be meant
    return network.peer(peer, egress=False, networks=networks)


# -- manifests


def _manifests(policy: _Policy, provider: str, old: bool) -> t.List[Manifest]:
    if provider == providers.CALICO:
        return _calico(policy)
    for field in _accounts(policy):
        option, able = providers.BEYOND[field]
        if provider not in able:
            raise ItemError(
                f"provider {provider} has no {option}", f"Leave it out, or use provider: {' or '.join(able)}"
            )
    rules = {
        direction: [
            rule._replace(peers=None if rule.peers is None else providers.inlined_peers(rule.peers)) for rule in listed
        ]
        for direction, listed in policy.rules.items()
    }
    policy = policy._replace(rules=rules)
    if provider == providers.CILIUM:
        return [_cilium(policy)]
    return [_cluster(policy, old)]


def _accounts(policy: _Policy) -> t.Iterator[str]:
    """The fields of peers, and of the policy, that are about service accounts."""
    if policy.accounts is not None:
        yield "accountSelector"
    for listed in policy.rules.values():
        for peer in (peer for rule in listed for peer in rule.peers or ()):
            yield from (field for field in ("serviceAccount", "accountSelector") if field in peer)


def _milder(policy: _Policy, provider: str, stage: str) -> t.List[Manifest]:
    """Calico stages; what it denies it can also just log. Others have nothing between all and nothing."""
    if provider != providers.CALICO:
        return []
    return _calico(policy, staged=stage == "observe", soft=stage == "warn")


def _old(context: Context) -> bool:
    """Whether only AdminNetworkPolicy is served."""
    served = context.served() if context.served else ()
    return providers.ADMIN_VERSION in served and providers.CLUSTER_VERSION not in served


def _everybody() -> t.List[_Fields]:
    """No peers: all pods and all addresses."""
    return [{"namespaceSelector": {}}, *({"ipBlock": {"cidr": cidr}} for cidr in ("0.0.0.0/0", "::/0"))]


def _cluster(policy: _Policy, old: bool) -> Manifest:
    if old and policy.tier == BASELINE and policy.name != "default":
        raise ItemError("the only BaselineAdminNetworkPolicy is called default", "Name it default")
    spec: _Fields = {"subject": {"pods": {"namespaceSelector": policy.namespaces, "podSelector": policy.pods}}}
    if not old:
        spec = {"tier": policy.tier.capitalize(), "priority": policy.priority, **spec}
    elif policy.tier == ADMIN:
        spec = {"priority": policy.priority, **spec}
    actions = {"allow": "Allow" if old else "Accept", "deny": "Deny", "pass": "Pass"}
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        egress = direction == "egress"
        built = [
            {
                "action": actions[rule.action],
                peers: _cluster_peers(_everybody() if rule.peers is None else rule.peers, egress),
                **_cluster_ports(rule.ports, old),
            }
            for rule in policy.rules[direction]
        ]
        if built:
            spec[direction] = built
    kind = "ClusterNetworkPolicy"
    if old:
        kind = "AdminNetworkPolicy" if policy.tier == ADMIN else "BaselineAdminNetworkPolicy"
    version = providers.ADMIN_VERSION if old else providers.CLUSTER_VERSION
    return manifest(version, kind, policy.name, spec=spec)


def _cluster_peers(peers: t.Sequence[_Item], egress: bool) -> t.List[_Fields]:
    built: t.List[_Fields] = []
    networks: t.List[str] = []
    for peer in peers:
        if peer.get("ipBlock"):
            if not egress:
                raise ItemError(
                    f"provider {providers.CLUSTER} has no networks in ingress", "Use provider: calico or cilium"
                )
            networks.append(peer["ipBlock"]["cidr"])
        elif peer.get("domains"):
            built.append({"domainNames": peer["domains"]})
        elif peer.get("podSelector"):
            spaces = peer.get("namespaceSelector") or {}
            built.append({"pods": {"namespaceSelector": spaces, "podSelector": peer["podSelector"]}})
        else:
            built.append({"namespaces": peer.get("namespaceSelector") or {}})
    return [*built, *([{"networks": networks}] if networks else [])]


def _cluster_ports(ports: t.Sequence[_Item], old: bool) -> _Fields:
    built: t.List[_Fields] = []
    for port in ports:
        protocol, number, end = port.get("protocol") or "TCP", port.get("port"), port.get("endPort")
        if isinstance(number, str):
            built.append({"namedPort" if old else "destinationNamedPort": number})
            continue
        # all of a protocol is a range, as an empty one is not allowed
        first, last = (1, 65535) if number is None else (number, end or number)
        if old:
            span = {"protocol": protocol, "start": first, "end": last}
            single = {"protocol": protocol, "port": first}
            built.append({"portNumber": single} if first == last else {"portRange": span})
        else:
            chosen: _Fields = {"number": first} if first == last else {"range": {"start": first, "end": last}}
            built.append({protocol.lower(): {"destinationPort": chosen}})
    return {"ports" if old else "protocols": built} if built else {}


def _calico(policy: _Policy, staged: bool = False, soft: bool = False) -> t.List[Manifest]:
    tier, order = _TIERS[policy.tier]
    actions = {"allow": "Allow", "deny": "Log" if soft else "Deny", "pass": "Pass"}
    spec: _Fields = {
        "tier": tier,
        "order": policy.priority,
        "selector": providers.calico_selector(policy.pods),
        # a selector of namespaces selects pods alone: never host endpoints, Calico's own among them
        "namespaceSelector": providers.calico_selector(policy.namespaces),
        **({} if policy.accounts is None else {"serviceAccountSelector": providers.calico_selector(policy.accounts)}),
        "types": [direction.capitalize() for direction, listed in policy.rules.items() if listed],
    }
    for direction, entity in (("ingress", "source"), ("egress", "destination")):
        built = [
            built
            for rule in policy.rules[direction]
            for built in _calico_rules(rule, actions[rule.action], entity, policy.name)
        ]
        if built:
            spec[direction] = built
    kind = "StagedGlobalNetworkPolicy" if staged else "GlobalNetworkPolicy"
    return [
        manifest(providers.CALICO_VERSION, "Tier", tier, spec={"order": order, "defaultAction": "Pass"}),
        *_calico_sets(policy),
        manifest(providers.CALICO_VERSION, kind, f"{tier}.{policy.name}", spec=spec),
    ]


def _calico_sets(policy: _Policy) -> t.Iterator[Manifest]:
    peers = [peer for listed in policy.rules.values() for rule in listed for peer in rule.peers or ()]
    named = {peer["networkSet"]: providers.whole(peer) for peer in peers if "networkSet" in peer}
    for name, nets in sorted(named.items()):
        own = _set_name(policy.name, name)
        labels = {providers.NETWORK: own}
        yield manifest(providers.CALICO_VERSION, "GlobalNetworkSet", own, labels=labels, spec={"nets": nets})


def _set_name(policy: str, name: str) -> str:
    """Sets of the whole cluster are of one policy each."""
    return str(values.label_value(f"{policy}.{name}"))


def _calico_rules(rule: _Rule, action: str, entity: str, policy: str) -> t.Iterator[_Fields]:
    peers: t.Sequence[t.Optional[_Fields]] = [None] if rule.peers is None else rule.peers
    for peer in peers:
        if peer and peer.get("domains"):
            raise ItemError("provider calico has no domains", "Use provider: cilium or cluster_network_policy")
        for protocol, ports in providers.calico_ports(rule.ports):
            ends: t.Dict[str, _Fields] = {"destination": {"ports": ports}} if ports else {}
            if peer is not None:
                ends[entity] = {**ends.get(entity, {}), **_calico_peer(peer, policy)}
            yield {"action": action, **({"protocol": protocol} if protocol else {}), **ends}


def _calico_peer(peer: _Item, policy: str) -> _Fields:
    if "networkSet" in peer:
        chosen = f"{providers.NETWORK} == '{_set_name(policy, peer['networkSet'])}'"
        return {"selector": chosen, "namespaceSelector": "global()"}
    if peer.get("ipBlock"):
        block = peer["ipBlock"]
        return {"nets": [block["cidr"]], **({"notNets": block["except"]} if block.get("except") else {})}
    built: _Fields = {"namespaceSelector": providers.calico_selector(peer.get("namespaceSelector"))}
    if peer.get("podSelector"):
        built["selector"] = providers.calico_selector(peer["podSelector"])
    return {**built, **providers.calico_accounts(peer)}


def _cilium(policy: _Policy) -> Manifest:
    if policy.tier == BASELINE:
        raise ItemError("provider cilium has no baseline tier", f"Use provider: {providers.CLUSTER} or calico")
    spec: _Fields = {
        "endpointSelector": providers.cilium_selector(policy.pods, policy.namespaces),
        # it only forbids: who has no other policy stays as open as before
        "enableDefaultDeny": {"ingress": False, "egress": False},
    }
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        listed = []
        for rule in policy.rules[direction]:
            if rule.action != "deny":
                raise ItemError(
                    f"provider cilium has no {rule.action} that comes before other policies",
                    f"Only deny, or use provider: {providers.CLUSTER} or calico",
                )
            listed += _cilium_rules(rule, peers)
        if listed:
            spec[f"{direction}Deny"] = listed
    return manifest(providers.CILIUM_VERSION, "CiliumClusterwideNetworkPolicy", policy.name, spec=spec)


def _cilium_rules(rule: _Rule, peers: str) -> t.List[_Fields]:
    if any(peer.get("domains") for peer in rule.peers or ()):
        raise ItemError("provider cilium cannot deny domains", "Deny networks, and allow domains in namespaces")
    # in a policy of the whole cluster, pods without a namespace are those of all
    spread = [
        peer if peer.get("ipBlock") else {**peer, "namespaceSelector": peer.get("namespaceSelector") or {}}
        for peer in rule.peers or ()
    ]
    return list(providers.cilium_rules({peers: spread, "ports": rule.ports}, peers))
