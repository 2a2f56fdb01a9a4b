# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network policies of a namespace, declared as flows.

Default deny both ways, DNS, and one policy for each group of pods and direction. The link-local addresses that
hand out cloud credentials are never reachable through an accidental CIDR.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import STAGES, Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import values
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    Manifest,
    manifest,
    ref_of,
)

API_VERSION = "networking.k8s.io/v1"
DEFAULT_DENY, ALLOW_DNS, WARN_ALLOW_ALL = "default-deny", "allow-dns", "stage-warn-allow-all"
NAMESPACE_NAME = "kubernetes.io/metadata.name"
#: Instance metadata of AWS, and of most other clouds, over IPv4 and IPv6.
METADATA = (ipaddress.ip_network("169.254.169.254/32"), ipaddress.ip_network("fd00:ec2::254/128"))

_Item = t.Mapping[str, t.Any]
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_PODS_FIELDS = {"match_labels", "match_expressions"}
_DNS: t.Dict[str, t.Any] = {"namespace": "kube-system", "pods": {"k8s-app": "kube-dns"}}

_PEER_SPEC: t.Dict[str, t.Any] = {
    "namespace": {"type": "str"},
    "namespace_labels": {"type": "dict"},
    "pods": {"type": "dict"},
    "cidr": {"type": "str"},
    "except": {"type": "list", "elements": "str"},
}
_PEERS: t.Dict[str, t.Any] = {"type": "list", "elements": "dict", "options": _PEER_SPEC}
_PORTS: t.Dict[str, t.Any] = {"type": "list", "elements": "raw"}

SPEC: t.Dict[str, t.Any] = {
    "namespace": {"type": "str", "required": True},
    "stage": {"type": "str", "choices": list(STAGES)},
    "default_deny": {"type": "bool"},
    "dns": {"type": "raw"},
    "ingress": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str"}, "to": {"type": "dict"}, "from": _PEERS, "ports": _PORTS},
    },
    "egress": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str"}, "from": {"type": "dict"}, "to": _PEERS, "ports": _PORTS},
    },
    "raw": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, "spec": {"type": "dict", "required": True}},
    },
}


class _Direction(t.NamedTuple):
    """How a direction is spelled in options and in the API."""

    option: str
    pods: str
    peers: str
    policy_type: str


_DIRECTIONS = (_Direction("ingress", "to", "from", "Ingress"), _Direction("egress", "from", "to", "Egress"))


def declare(item: _Item, where: str, context: Context) -> Declaration:
    """The NetworkPolicies of a namespace; a mistake in one flow drops them all, as half a set would cut traffic."""
    declaration = Declaration()
    stage = item.get("stage") or context.stage
    policies: t.Dict[str, Manifest] = {}
    try:
        namespace = values.dns_label(item["namespace"], "namespace")
        for policy in _policies(item, namespace):
            name = policy["metadata"]["name"]
            if name in policies:
                raise ItemError(f"two policies are named {name}", "Give one of the flows another name")
            policies[name] = policy
    except ItemError as error:
        ref = Ref("NetworkPolicy", str(item["namespace"]), "")
        declaration.problem(where, f"{error.reason}; none of its policies is written", error.remedy, ref)
        return declaration
    allow_all = _allow_all(namespace)
    if stage == "observe":
        for policy in [*policies.values(), allow_all]:
            declaration.withdraw(ref_of(policy), where)
        declaration.findings.append(_observed(namespace, sorted(policies)))
        return declaration
    for policy in policies.values():
        declaration.add(policy, where, stage)
    if stage == "warn":
        declaration.add(allow_all, where, stage)
    else:
        declaration.withdraw(ref_of(allow_all), where)
    return declaration


def _observed(namespace: str, names: t.Sequence[str]) -> Finding:
    return Finding(
        "network/not-enforced",
        Ref("NetworkPolicy", namespace, DEFAULT_DENY),
        "NetworkPolicy has no milder form; nothing is written at stage observe",
        "At stage warn the policies are written beside one that still allows everything",
        tuple(names),
    )


def _policies(item: _Item, namespace: str) -> t.Iterator[Manifest]:
    if item.get("default_deny", True):
        yield _policy(DEFAULT_DENY, namespace, {}, {"policyTypes": ["Ingress", "Egress"]})
    dns = item.get("dns", True)
    if dns:
        yield _policy(ALLOW_DNS, namespace, {}, _dns({} if dns is True else dns))
    for direction in _DIRECTIONS:
        yield from _flows(item.get(direction.option, ()), direction, namespace)
    for entry in item.get("raw", ()):
        yield manifest(API_VERSION, "NetworkPolicy", values.dns_subdomain(entry["name"]), namespace, spec=entry["spec"])


def _policy(name: str, namespace: str, pods: _Item, spec: _Item) -> Manifest:
    return manifest(API_VERSION, "NetworkPolicy", name, namespace, spec={"podSelector": dict(pods), **spec})


def _allow_all(namespace: str) -> Manifest:
    rules = {"ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}
    return _policy(WARN_ALLOW_ALL, namespace, {}, rules)


def _dns(option: t.Any) -> t.Dict[str, t.Any]:
    """Port 53 of the cluster DNS; a NodeLocal DNS cache is on the host network and so needs its address."""
    if not isinstance(option, dict):
        raise ItemError(f"dns: {option!r} is neither true, false nor a dictionary", "Write dns: true, or where DNS is")
    unknown = sorted(set(option) - {"namespace", "pods", "cidrs"})
    if unknown:
        raise ItemError(f"dns: unknown option {unknown[0]}", "It has namespace, pods and cidrs")
    target = {**_DNS, **{key: option[key] for key in ("namespace", "pods") if key in option}}
    peers = [_peer(target, egress=True)]
    peers += [_peer({"cidr": cidr}, egress=True) for cidr in option.get("cidrs", ())]
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    return {"egress": [{"to": peers, "ports": ports}], "policyTypes": ["Egress"]}


# -- flows


def _flows(flows: t.Sequence[_Item], direction: _Direction, namespace: str) -> t.Iterator[Manifest]:
    """One policy for each name: flows of the same pods share one, in the order in which they are written."""
    groups: t.Dict[str, t.Tuple[t.Dict[str, t.Any], t.List[t.Dict[str, t.Any]]]] = {}
    for index, flow in enumerate(flows):
        try:
            pods = selector(flow.get(direction.pods, {}))
            name = values.dns_subdomain(flow.get("name") or _name(direction, pods))
            rule = _rule(flow, direction)
        except ItemError as error:
            raise ItemError(f"{direction.option}[{index}]: {error.reason}", error.remedy) from error
        known, rules = groups.setdefault(name, (pods, []))
        if known != pods:
            raise ItemError(
                f"{direction.option}[{index}]: policy {name} is for other pods", "Give the flow another name"
            )
        rules.append(rule)
    for name, (pods, rules) in groups.items():
        yield _policy(name, namespace, pods, {direction.option: rules, "policyTypes": [direction.policy_type]})


def _name(direction: _Direction, pods: _Item) -> str:
    """A name that follows from the selector alone, so that no flow renames another's policy."""
    prefix = f"allow-{direction.option}"
    if not pods:
        return f"{prefix}-all"
    labels = pods.get("matchLabels", {})
    if set(pods) == {"matchLabels"} and len(labels) == 1:
        slug = re.sub(r"[^a-z0-9.-]+", "-", next(iter(labels.values())).lower()).strip("-.")
        if slug and next(iter(labels)) in ("app", "app.kubernetes.io/name"):
            return f"{prefix}-{slug}"
    digest = hashlib.sha256(json.dumps(pods, sort_keys=True).encode()).hexdigest()[:8]
    readable = re.sub(r"[^a-z0-9-]+", "-", "-".join(str(v) for _k, v in sorted(labels.items())).lower()).strip("-")
    return f"{prefix}-{readable[:40].strip('-')}-{digest}" if readable else f"{prefix}-{digest}"


def _rule(flow: _Item, direction: _Direction) -> t.Dict[str, t.Any]:
    rule: t.Dict[str, t.Any] = {}
    peers = [_peer(peer, direction.option == "egress") for peer in flow.get(direction.peers, ())]
    if direction.peers in flow and not peers:
        raise ItemError(f"{direction.peers} is empty, which Kubernetes reads as everywhere", "Name peers, or leave it out")
    ports = [_port(port) for port in flow.get("ports", ())]
    if "ports" in flow and not ports:
        raise ItemError("ports is empty, which Kubernetes reads as all ports", "Name ports, or leave it out")
    if peers:
        rule[direction.peers] = peers
    elif direction.option == "egress":
        # everywhere, said so that the metadata addresses can be left out
        rule["to"] = [_peer({"cidr": "0.0.0.0/0"}, True), _peer({"cidr": "::/0"}, True), {"namespaceSelector": {}}]
    if ports:
        rule["ports"] = ports
    return rule


def selector(pods: _Item) -> t.Dict[str, t.Any]:
    """A LabelSelector from a label map, or from match_labels and match_expressions."""
    if not set(pods) & _PODS_FIELDS or not all(isinstance(pods[key], (dict, list)) for key in set(pods) & _PODS_FIELDS):
        return {"matchLabels": values.labels(pods)} if pods else {}
    unknown = sorted(set(pods) - _PODS_FIELDS)
    if unknown:
        raise ItemError(f"{unknown[0]} beside match_labels", "Move it under match_labels")
    built: t.Dict[str, t.Any] = {}
    if pods.get("match_labels"):
        built["matchLabels"] = values.labels(pods["match_labels"])
    if pods.get("match_expressions"):
        built["matchExpressions"] = [_expression(entry) for entry in pods["match_expressions"]]
    return built


def _expression(entry: t.Any) -> t.Dict[str, t.Any]:
    if not isinstance(entry, dict) or set(entry) - {"key", "operator", "values"} or "key" not in entry:
        raise ItemError(f"{entry!r} is no match expression", "It has key, operator and values")
    operator, wanted = entry.get("operator"), [values.label_value(value) for value in entry.get("values") or ()]
    if operator not in _OPERATORS:
        raise ItemError(f"operator {operator!r} is unknown", f"Use one of {', '.join(_OPERATORS)}")
    if (operator in ("In", "NotIn")) != bool(wanted):
        raise ItemError(f"operator {operator} {'needs' if not wanted else 'takes no'} values", "Correct operator or values")
    built: t.Dict[str, t.Any] = {"key": values.label_key(entry["key"]), "operator": operator}
    return {**built, "values": wanted} if wanted else built


def _peer(peer: _Item, egress: bool) -> t.Dict[str, t.Any]:
    """A NetworkPolicyPeer: pods, namespaces, or both in one element; or a CIDR."""
    if "cidr" in peer:
        beside = sorted(set(peer) - {"cidr", "except"})
        if beside:
            raise ItemError(f"cidr and {beside[0]} in one peer", "Make two peers of it")
        return {"ipBlock": _ip_block(peer, egress)}
    if "except" in peer:
        raise ItemError("except without cidr", "Say which cidr it is taken from")
    if "namespace" in peer and "namespace_labels" in peer:
        raise ItemError("namespace and namespace_labels in one peer", "Use one of them")
    built: t.Dict[str, t.Any] = {}
    if "namespace" in peer:
        built["namespaceSelector"] = {"matchLabels": {NAMESPACE_NAME: values.dns_label(peer["namespace"], "namespace")}}
    elif "namespace_labels" in peer:
        built["namespaceSelector"] = selector(peer["namespace_labels"])
    if "pods" in peer:
        built["podSelector"] = selector(peer["pods"])
    if not built:
        raise ItemError("the peer names nobody", "Say namespace, namespace_labels, pods or cidr")
    return built


def _ip_block(peer: _Item, egress: bool) -> t.Dict[str, t.Any]:
    network = values.cidr(peer["cidr"])
    excepted = [values.cidr(text) for text in peer.get("except", ())]
    for inner in excepted:
        if inner == network or not _inside(inner, network):
            raise ItemError(f"except {inner} is not within {network}", "An exception is a smaller part of its cidr")
    for address in METADATA if egress else ():
        if _inside(network, address):
            raise ItemError(
                f"{network} is the instance metadata address, which hands out the node's credentials",
                "Leave it out; give pods a role of their own instead",
            )
        if _inside(address, network) and not any(_inside(address, inner) for inner in excepted):
            excepted.append(address)
    block: t.Dict[str, t.Any] = {"cidr": str(network)}
    return {**block, "except": [str(inner) for inner in excepted]} if excepted else block


_Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


def _inside(inner: _Network, outer: _Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _port(port: t.Any) -> t.Dict[str, t.Any]:
    """``8080``, ``8080/UDP``, ``http``, ``8000-8010``, or a dictionary of port, end_port and protocol."""
    if not isinstance(port, dict):
        text, _slash, protocol = str(port).partition("/")
        first, dash, last = text.partition("-")
        if dash and first.isdigit() and last.isdigit():
            port = {"port": first, "end_port": last}
        else:
            port = {"port": text}
        port["protocol"] = protocol or "TCP"
    unknown = sorted(set(port) - {"port", "end_port", "protocol"})
    if unknown:
        raise ItemError(f"unknown option {unknown[0]} of a port", "It has port, end_port and protocol")
    protocol = str(port.get("protocol") or "TCP").upper()
    if protocol not in _PROTOCOLS:
        raise ItemError(f"protocol {protocol} is unknown", f"Use one of {', '.join(_PROTOCOLS)}")
    built: t.Dict[str, t.Any] = {"protocol": protocol}
    number = port.get("port")
    if number is None:
        return built
    named = not re.fullmatch(r"-?\d+", str(number))
    built["port"] = values.port_name(number) if named else values.port_number(number)
    if port.get("end_port") is not None:
        end = values.port_number(port["end_port"])
        if named or end < built["port"]:
            raise ItemError(f"a range {number}-{end} is no range", "Both ends are numbers, the lower one first")
        built["endPort"] = end
    return built


# -- the inverse


def describe(policies: t.Sequence[Manifest]) -> t.Dict[str, t.Any]:
    """The item that declares exactly these policies; what flows cannot say comes back under ``raw``."""
    by_name = {policy["metadata"]["name"]: policy for policy in policies}
    item: t.Dict[str, t.Any] = {"default_deny": False, "dns": False}
    if not policies:
        return item
    item["namespace"] = policies[0]["metadata"]["namespace"]
    allow_all = by_name.get(WARN_ALLOW_ALL)
    if allow_all and _same(allow_all, _allow_all(item["namespace"])):
        item["stage"] = "warn"
        del by_name[WARN_ALLOW_ALL]
    for name, policy in by_name.items():
        for part in (_describe_known(policy), _describe_flows(policy)):
            if part and _declares(part, policy):
                for option, value in part.items():
                    item[option] = [*item.get(option, []), *value] if isinstance(value, list) else value
                break
        else:
            item.setdefault("raw", []).append({"name": name, "spec": policy["spec"]})
    return item


def _same(one: Manifest, other: Manifest) -> bool:
    return bool(one["metadata"]["name"] == other["metadata"]["name"] and one["spec"] == other["spec"])


def _declares(part: _Item, policy: Manifest) -> bool:
    """Whether these options declare this policy and nothing else."""
    options = {"default_deny": False, "dns": False, **part, "namespace": policy["metadata"]["namespace"]}
    try:
        declared = list(_policies(options, options["namespace"]))
    except ItemError:
        return False
    return len(declared) == 1 and _same(declared[0], policy)


def _describe_known(policy: Manifest) -> t.Dict[str, t.Any]:
    name, spec = policy["metadata"]["name"], policy["spec"]
    if name == DEFAULT_DENY:
        return {"default_deny": True}
    if name == ALLOW_DNS and len(spec.get("egress") or ()) == 1:
        peers = spec["egress"][0].get("to") or ()
        described = [_describe_peer(peer) for peer in peers]
        if not described:
            return {}
        target = {key: described[0][key] for key in ("namespace", "pods") if key in described[0]}
        cidrs = [peer["cidr"] for peer in described[1:] if "cidr" in peer]
        changed = {key: value for key, value in target.items() if value != _DNS[key]}
        return {"dns": {**changed, **({"cidrs": cidrs} if cidrs else {})} or True}
    return {}


def _describe_flows(policy: Manifest) -> t.Dict[str, t.Any]:
    spec = policy["spec"]
    for direction in _DIRECTIONS:
        if spec.get("policyTypes") != [direction.policy_type] or not spec.get(direction.option):
            continue
        pods = _describe_selector(spec.get("podSelector") or {})
        flows = []
        for rule in spec[direction.option]:
            flow: t.Dict[str, t.Any] = {"name": policy["metadata"]["name"]}
            if pods:
                flow[direction.pods] = pods
            if rule.get(direction.peers):
                flow[direction.peers] = [_describe_peer(peer) for peer in rule[direction.peers]]
            if rule.get("ports"):
                flow["ports"] = [_describe_port(port) for port in rule["ports"]]
            flows.append(flow)
        return {direction.option: flows}
    return {}


def _describe_selector(wanted: _Item) -> t.Dict[str, t.Any]:
    if not wanted.get("matchExpressions"):
        return dict(wanted.get("matchLabels") or {})
    described: t.Dict[str, t.Any] = {"match_expressions": [dict(entry) for entry in wanted["matchExpressions"]]}
    if wanted.get("matchLabels"):
        described["match_labels"] = dict(wanted["matchLabels"])
    return described


def _describe_peer(peer: _Item) -> t.Dict[str, t.Any]:
    if peer.get("ipBlock"):
        return dict(peer["ipBlock"])
    described: t.Dict[str, t.Any] = {}
    if peer.get("namespaceSelector") is not None:
        wanted = peer["namespaceSelector"]
        labels = wanted.get("matchLabels") or {}
        if set(wanted) == {"matchLabels"} and set(labels) == {NAMESPACE_NAME}:
            described["namespace"] = labels[NAMESPACE_NAME]
        else:
            described["namespace_labels"] = _describe_selector(wanted)
    if peer.get("podSelector") is not None:
        described["pods"] = _describe_selector(peer["podSelector"])
    return described


def _describe_port(port: _Item) -> t.Any:
    described = {"protocol": port.get("protocol") or "TCP"}
    for option, field in (("port", "port"), ("end_port", "endPort")):
        if port.get(field) is not None:
            described[option] = port[field]
    if "port" not in described:
        return described
    text = str(described["port"]) + (f"-{described['end_port']}" if "end_port" in described else "")
    if described["protocol"] != "TCP":
        return f"{text}/{described['protocol']}"
    return described["port"] if "end_port" not in described else text
