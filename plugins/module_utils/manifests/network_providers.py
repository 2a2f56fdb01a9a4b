# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who writes network policies: NetworkPolicy itself, Calico, Cilium, or ClusterNetworkPolicy for whole clusters.

A namespace's flows are built once, as specs of NetworkPolicy with more fields: ``action`` of a rule, ``serviceAccount``
``accountSelector`` and ``domains`` of a peer, and ``networkSet``, the name of ``blocks``. Here they become what a provider has for them, or
are refused with the name of one that has.
"""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest, manifest

Fields = t.Mapping[str, t.Any]
Built = t.Dict[str, t.Any]

KUBERNETES, CALICO, CILIUM, CLUSTER = "kubernetes", "calico", "cilium", "cluster_network_policy"
AUTO = "auto"
#: The label by which policies mean a set of networks.
NETWORK = "hardened.k8s/network"
CALICO_VERSION, CILIUM_VERSION = "projectcalico.org/v3", "cilium.io/v2"
CLUSTER_VERSION, ADMIN_VERSION = "policy.networking.k8s.io/v1alpha2", "policy.networking.k8s.io/v1alpha1"

#: Field of a rule or peer that NetworkPolicy lacks -> (how the option is called, who has it).
BEYOND = {
    "action": ("action: deny", (CALICO, CILIUM)),
    "serviceAccount": ("service_account", (CALICO, CILIUM)),
    "accountSelector": ("service_account_labels", (CALICO,)),
    "domains": ("domains", (CILIUM,)),
}
#: Order of Calico's policies within the tier ``default``, where NetworkPolicies are at 1000.
CALICO_DENIES, CALICO_ALLOWS, CALICO_LOGS, CALICO_LAST = 500, 1000, 1999, 2000
DIRECTIONS = (("ingress", "from", "source", "Ingress"), ("egress", "to", "destination", "Egress"))
#: Cilium takes no more ports in one list.
_CILIUM_PORTS = 40


def choose(wanted: str, served: t.Optional[t.Callable[[], t.Collection[str]]], cluster_wide: bool = False) -> str:
    """The provider, found from what the cluster serves when it is ``auto``.

    :raises ItemError: there is no cluster to ask, or it serves none that would do.
    """
    if wanted != AUTO:
        return wanted
    if served is None:
        raise ItemError("provider auto needs a cluster to ask", "Name the provider when rendering")
    versions = served()
    for provider, needed in ((CALICO, {CALICO_VERSION}), (CILIUM, {CILIUM_VERSION})):
        if needed & set(versions):
            return provider
    if not cluster_wide:
        return KUBERNETES
    if {CLUSTER_VERSION, ADMIN_VERSION} & set(versions):
        return CLUSTER
    raise ItemError(
        "the cluster serves no policies for the whole of it",
        "Install Calico, Cilium or the CRDs of network-policy-api",
    )


def beyond(spec: Fields) -> t.Iterator[str]:
    """The fields of a spec that NetworkPolicy lacks."""
    for direction, peers, _entity, _type in DIRECTIONS:
        for rule in spec.get(direction) or ():
            yield from (field for field in BEYOND if field in rule)
            for peer in rule.get(peers) or ():
                yield from (field for field in BEYOND if field in peer)


def check(provider: str, spec: Fields) -> None:
    """Raise ItemError when a provider lacks what a spec says."""
    for field in beyond(spec):
        option, able = BEYOND[field]
        if provider not in able:
            raise ItemError(
                f"provider {provider} has no {option}", f"Leave it out, or use provider: {' or '.join(able)}"
            )


def policy(
    provider: str, name: str, namespace: str, spec: Fields, staged: bool = False, soft: bool = False
) -> Manifest:
    """A policy of a namespace, as a provider writes it.

    :param staged: as a kind of Calico's that has no effect yet; :param soft: denials only log, or are left out where
        the provider cannot log: they would win over what still allows everything.
    """
    check(provider, spec)
    spec = inlined(spec, keep_sets=provider == CALICO)
    if provider == CALICO:
        kind = "StagedNetworkPolicy" if staged else "NetworkPolicy"
        return manifest(CALICO_VERSION, kind, name, namespace, spec=calico_spec(spec, soft))
    if provider == CILIUM:
        return manifest(CILIUM_VERSION, "CiliumNetworkPolicy", name, namespace, spec=cilium_spec(spec, soft))
    return manifest("networking.k8s.io/v1", "NetworkPolicy", name, namespace, spec=dict(spec))


# -- networks with names


def inlined(spec: Fields, keep_sets: bool = False) -> Built:
    """A spec whose named networks are IP blocks.

    :param keep_sets: leave to a set of networks what it can say.
    """
    built = dict(spec)
    for direction, peers, _entity, _type in DIRECTIONS:
        if spec.get(direction):
            built[direction] = [
                {**rule, peers: inlined_peers(rule[peers], keep_sets)} if rule.get(peers) else rule
                for rule in spec[direction]
            ]
    return built


def inlined_peers(peers: t.Sequence[Fields], keep_sets: bool = False) -> t.List[Built]:
    found: t.List[Built] = []
    for peer in peers:
        if "networkSet" not in peer:
            found.append(dict(peer))
            continue
        # a set excepts nothing
        if keep_sets and whole(peer):
            found.append(dict(peer))
        found += [{"ipBlock": block} for block in peer["blocks"] if block.get("except") or not keep_sets]
    return found


def whole(peer: Fields) -> t.List[str]:
    """The networks of a named peer without those of which parts are excepted."""
    return [block["cidr"] for block in peer["blocks"] if not block.get("except")]


def network_sets(provider: str, namespace: str, specs: t.Iterable[Fields]) -> t.List[Manifest]:
    """Calico's NetworkSets for the names that specs mention."""
    named: t.Dict[str, t.Set[str]] = {}
    for spec in specs if provider == CALICO else ():
        for direction, peers, _entity, _type in DIRECTIONS:
            for rule in spec.get(direction) or ():
                for peer in rule.get(peers) or ():
                    if "networkSet" in peer and whole(peer):
                        named.setdefault(peer["networkSet"], set()).update(whole(peer))
    return [
        manifest(CALICO_VERSION, "NetworkSet", name, namespace, {NETWORK: name}, spec={"nets": sorted(nets)})
        for name, nets in sorted(named.items())
    ]


def logging(allow_all: Manifest) -> Manifest:
    """Calico's policy of stage ``warn``: asked last, so that it logs just what enforcing would deny."""
    spec = {
        **allow_all["spec"],
        "order": CALICO_LOGS,
        **{direction: [{"action": "Log"}, {"action": "Allow"}] for direction, *_others in DIRECTIONS},
    }
    return {**allow_all, "spec": spec}


# -- Calico


def calico_spec(spec: Fields, soft: bool = False) -> Built:
    """What a NetworkPolicySpec is in Calico's words; denials come before allowances, mere isolation last."""
    rules: Built = {}
    for direction, peers, entity, _type in DIRECTIONS:
        built = [rule for entry in spec.get(direction) or () for rule in _calico_rules(entry, peers, entity, soft)]
        if built:
            rules[direction] = built
    denies = any(rule["action"] in ("Deny", "Log") for each in rules.values() for rule in each)
    return {
        "tier": "default",
        "order": CALICO_DENIES if denies else CALICO_ALLOWS if rules else CALICO_LAST,
        "selector": calico_selector(spec.get("podSelector")),
        "types": list(spec["policyTypes"]),
        **rules,
    }


def calico_selector(selector: t.Optional[Fields]) -> str:
    """A LabelSelector as an expression of Calico's."""
    parts = [f"{key} == '{value}'" for key, value in sorted(((selector or {}).get("matchLabels") or {}).items())]
    for entry in (selector or {}).get("matchExpressions") or ():
        key, values = entry["key"], ", ".join(f"'{value}'" for value in entry.get("values") or ())
        parts.append(
            {
                "In": f"{key} in {{ {values} }}",
                "NotIn": f"{key} not in {{ {values} }}",
                "Exists": f"has({key})",
                "DoesNotExist": f"!has({key})",
            }[entry["operator"]]
        )
    return " && ".join(parts) or "all()"


def _calico_rules(entry: Fields, peers: str, entity: str, soft: bool) -> t.Iterator[Built]:
    """Calico's rules have one peer and one protocol each."""
    action = {"deny": "Log" if soft else "Deny"}.get(str(entry.get("action")), "Allow")
    nobody: t.Sequence[t.Optional[Fields]] = (None,)
    for peer in entry.get(peers) or nobody:
        for protocol, ports in calico_ports(entry.get("ports") or ()):
            rule: Built = {"action": action}
            ends: t.Dict[str, Built] = {}
            if protocol:
                rule["protocol"] = protocol
            if ports:
                ends["destination"] = {"ports": ports}
            if peer is not None:
                ends[entity] = {**ends.get(entity, {}), **_calico_peer(peer)}
            yield {**rule, **ends}


def calico_ports(ports: t.Sequence[Fields]) -> t.Iterator[t.Tuple[str, t.List[t.Any]]]:
    """Ports by protocol; without any, everything."""
    by_protocol: t.Dict[str, t.List[t.Any]] = {}
    whole = set()
    for port in ports:
        protocol = port.get("protocol") or "TCP"
        listed = by_protocol.setdefault(protocol, [])
        if port.get("port") is None:
            whole.add(protocol)
        else:
            listed.append(f"{port['port']}:{port['endPort']}" if port.get("endPort") else port["port"])
    if not ports:
        yield "", []
    for protocol, listed in by_protocol.items():
        yield protocol, [] if protocol in whole else listed


def _calico_peer(peer: Fields) -> Built:
    block = peer.get("ipBlock")
    if block:
        built: Built = {"nets": [block["cidr"]]}
        return {**built, "notNets": list(block["except"])} if block.get("except") else built
    if "networkSet" in peer:
        return {"selector": f"{NETWORK} == '{peer['networkSet']}'"}
    built = {"selector": calico_selector(peer.get("podSelector"))}
    if peer.get("namespaceSelector") is not None:
        built["namespaceSelector"] = calico_selector(peer["namespaceSelector"])
    return {**built, **calico_accounts(peer)}


def calico_accounts(peer: Fields) -> Built:
    """Service accounts by name and by labels."""
    chosen: Built = {"names": [peer["serviceAccount"]]} if "serviceAccount" in peer else {}
    if "accountSelector" in peer:
        chosen["selector"] = calico_selector(peer["accountSelector"])
    return {"serviceAccounts": chosen} if chosen else {}


# -- Cilium


def cilium_spec(spec: Fields, soft: bool = False) -> Built:
    """What a NetworkPolicySpec is in Cilium's words. A network there never means pods or nodes."""
    built: Built = {"endpointSelector": cilium_selector(spec.get("podSelector") or {})}
    for direction, peers, _entity, kind in DIRECTIONS:
        if kind not in spec["policyTypes"]:
            continue
        allows = [entry for entry in spec.get(direction) or () if entry.get("action") != "deny"]
        denies = [entry for entry in spec.get(direction) or () if entry.get("action") == "deny" and not soft]
        for option, entries in ((direction, allows), (f"{direction}Deny", denies)):
            rules = [rule for entry in entries for rule in cilium_rules(entry, peers)]
            if rules:
                built[option] = rules
        if not allows and not denies:
            built[direction] = [{}]  # isolates, and allows nothing
    return built


def cilium_selector(selector: Fields, namespaces: t.Optional[Fields] = None, account: str = "") -> Built:
    """A LabelSelector, and one of namespaces, by the names that Cilium gives to their labels."""
    labels = dict(selector.get("matchLabels") or {})
    entries = [dict(entry) for entry in selector.get("matchExpressions") or ()]
    if namespaces is not None:
        for key, value in (namespaces.get("matchLabels") or {}).items():
            labels[_space_key(key)] = value
        entries += [{**entry, "key": _space_key(entry["key"])} for entry in namespaces.get("matchExpressions") or ()]
        if not namespaces.get("matchLabels") and not namespaces.get("matchExpressions"):
            entries.append({"key": "k8s:io.kubernetes.pod.namespace", "operator": "Exists"})
    if account:
        labels["k8s:io.cilium.k8s.policy.serviceaccount"] = account
    built: Built = {"matchLabels": labels} if labels else {}
    return {**built, "matchExpressions": entries} if entries else built


def _space_key(key: str) -> str:
    if key == "kubernetes.io/metadata.name":
        return "k8s:io.kubernetes.pod.namespace"
    return f"k8s:io.cilium.k8s.namespace.labels.{key}"


def cilium_rules(entry: Fields, peers: str) -> t.Iterator[Built]:
    """Cilium's rules have one way to name peers each."""
    ways: t.Dict[str, t.List[t.Any]] = {}
    for peer in entry.get(peers) or ():
        if peer.get("ipBlock"):
            ways.setdefault(f"{peers}CIDRSet", []).append(dict(peer["ipBlock"]))
        elif peer.get("domains"):
            ways.setdefault("toFQDNs", []).extend(_domain(name) for name in peer["domains"])
        else:
            chosen = cilium_selector(
                peer.get("podSelector") or {}, peer.get("namespaceSelector"), peer.get("serviceAccount") or ""
            )
            ways.setdefault(f"{peers}Endpoints", []).append(chosen)
    if not entry.get(peers):
        ways[f"{peers}Entities"] = ["all"]
    ports = cilium_ports(entry.get("ports") or ())
    for way, values in ways.items():
        yield {way: values, **({"toPorts": ports} if ports else {})}


def _domain(name: str) -> Built:
    return {"matchPattern": name} if "*" in name else {"matchName": name}


def cilium_ports(ports: t.Sequence[Fields]) -> t.List[Built]:
    """Ports as text; port 0 is all of a protocol."""
    listed = []
    for port in ports:
        number = {"port": str(port.get("port", 0)), "protocol": port.get("protocol") or "TCP"}
        listed.append({**number, "endPort": port["endPort"]} if port.get("endPort") else number)
    return [{"ports": listed[start : start + _CILIUM_PORTS]} for start in range(0, len(listed), _CILIUM_PORTS)]
