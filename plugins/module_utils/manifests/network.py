# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network policies of a namespace, declared as flows.

Default deny both ways, DNS, and one policy for each group of pods and direction. The link-local
addresses that hand out cloud credentials are never reachable through an accidental CIDR.
Semantics: k8s.io/api/networking/v1; what it validates: k8s.io/kubernetes, pkg/apis/networking/validation.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import typing as t
from functools import partial

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import STAGES, Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import network_providers as providers
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import values
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    Manifest,
    ref_of,
)

DEFAULT_DENY, ALLOW_DNS, WARN_ALLOW_ALL = "default-deny", "allow-dns", "stage-warn-allow-all"
#: The label that every namespace has, with its name.
NAMESPACE_NAME = "kubernetes.io/metadata.name"
#: Where the cluster's DNS is, unless said otherwise.
DNS: t.Dict[str, t.Any] = {"namespace": "kube-system", "pods": {"k8s-app": "kube-dns"}}
#: Instance metadata of AWS, and over IPv4 of most other clouds.
METADATA = (ipaddress.ip_network("169.254.169.254/32"), ipaddress.ip_network("fd00:ec2::254/128"))

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
_Item = t.Mapping[str, t.Any]
_Fields = t.Dict[str, t.Any]
_Built = t.TypeVar("_Built")

_MAPPED = ipaddress.ip_network("::ffff:0:0/96")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_SELECTOR_OPTIONS = {"match_labels", "match_expressions"}
#: Labels whose value is what people call an application.
_NAMING = ("app", "app.kubernetes.io/name")
_RANGE = re.compile(r"(\d+)-(\d+)")


class Direction(t.NamedTuple):
    """How a direction is spelled: its option and field, the options of its two ends, its policy type."""

    option: str
    pods: str
    peers: str
    policy_type: str


INGRESS = Direction("ingress", "to", "from", "Ingress")
EGRESS = Direction("egress", "from", "to", "Egress")
DIRECTIONS = (INGRESS, EGRESS)


def _flow_spec(direction: Direction) -> _Fields:
    peer = {
        "namespace": {"type": "str"},
        "namespace_labels": {"type": "dict"},
        "pods": {"type": "dict"},
        "network": {"type": "str"},
        "cidr": {"type": "str"},
        "except": {"type": "list", "elements": "str"},
        "service_account": {"type": "str"},
        "service_account_labels": {"type": "dict"},
        "domains": {"type": "list", "elements": "str"},
    }
    flow = {
        "name": {"type": "str"},
        "action": {"type": "str", "choices": ["allow", "deny"]},
        direction.pods: {"type": "dict"},
        direction.peers: {"type": "list", "elements": "dict", "options": peer},
        "ports": {"type": "list", "elements": "raw"},
    }
    return {"type": "list", "elements": "dict", "options": flow}


SPEC: _Fields = {
    "namespace": {"type": "str", "required": True},
    "stage": {"type": "str", "choices": list(STAGES)},
    "provider": {"type": "str", "choices": ["auto", "kubernetes", "calico", "cilium"]},
    "default_deny": {"type": "bool"},
    "dns": {"type": "raw"},
    "networks": {"type": "dict"},
    "ingress": _flow_spec(INGRESS),
    "egress": _flow_spec(EGRESS),
    "raw": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, "spec": {"type": "dict", "required": True}},
    },
}


def declare(item: _Item, where: str, context: Context) -> Declaration:
    """The policies of a namespace; one mistake drops them all, as half a set would cut traffic."""
    declaration = Declaration()
    stage = item.get("stage") or context.stage
    namespace = str(item["namespace"])
    drafts, mistakes = _drafts(item)
    provider, lacking = _provider(item, drafts, context)
    mistakes += lacking
    for place, error in mistakes:
        reason = f"{error.reason}; none of the item's policies is written"
        declaration.problem(f"{where}.{place}", reason, error.remedy, Ref("NetworkPolicy", namespace, ""))
    if mistakes:
        return declaration
    if stage == "observe" and provider != providers.CALICO:
        _observe(declaration, where, namespace, provider, drafts)
    else:
        _write(declaration, where, namespace, provider, drafts, stage)
    return declaration


def _observe(
    declaration: Declaration, where: str, namespace: str, provider: str, drafts: t.Mapping[str, _Draft]
) -> None:
    """Nothing is written where there is no milder form of it; what later stages have written goes."""
    for name, draft in [*drafts.items(), (WARN_ALLOW_ALL, _Draft("", _allow_all(), False))]:
        declaration.withdraw(ref_of(providers.policy(provider, name, namespace, draft.spec)), where)
    if drafts:
        declaration.findings.append(_observed(namespace, tuple(drafts)))


def _write(
    declaration: Declaration, where: str, namespace: str, provider: str, drafts: t.Mapping[str, _Draft], stage: str
) -> None:
    writer = partial(providers.policy, provider, namespace=namespace)
    allow_all = writer(name=WARN_ALLOW_ALL, spec=_allow_all())
    for each in providers.network_sets(provider, namespace, (draft.spec for draft in drafts.values())):
        declaration.add(each, f"{where}.networks", stage)
    for name, draft in drafts.items():
        place, staged = f"{where}.{draft.place}", stage == "observe"
        declaration.add(writer(name=name, spec=draft.spec, staged=staged, soft=stage == "warn"), place, stage)
        if provider == providers.CALICO:
            declaration.withdraw(ref_of(writer(name=name, spec=draft.spec, staged=not staged)), place)
    if drafts and stage == "warn":
        declaration.add(providers.logging(allow_all) if provider == providers.CALICO else allow_all, where, stage)
    elif WARN_ALLOW_ALL in drafts:
        declaration.findings.append(_still_allowed(ref_of(allow_all)))
    else:
        declaration.withdraw(ref_of(allow_all), where)


def _provider(
    item: _Item, drafts: t.Mapping[str, _Draft], context: Context
) -> t.Tuple[str, t.List[t.Tuple[str, ItemError]]]:
    """Who writes the policies, and what of them it cannot."""
    try:
        provider = providers.choose(item.get("provider") or providers.KUBERNETES, context.served)
    except ItemError as error:
        return providers.KUBERNETES, [("provider", error)]
    mistakes = list(_lacking(provider, drafts))
    if (
        not mistakes
        and not item.get("default_deny", True)
        and any("action" in providers.beyond(d.spec) for d in drafts.values())
    ):
        needed = ItemError(
            "action: deny without default_deny", "What isolates nobody cannot deny part of it; say default_deny: true"
        )
        mistakes.append(("default_deny", needed))
    return provider, mistakes


def _lacking(provider: str, drafts: t.Mapping[str, _Draft]) -> t.Iterator[t.Tuple[str, ItemError]]:
    """What is declared and the provider has not."""
    for draft in drafts.values():
        try:
            providers.check(provider, draft.spec)
        except ItemError as error:
            yield draft.place, error


def _observed(namespace: str, names: t.Tuple[str, ...]) -> Finding:
    return Finding(
        "network/not-enforced",
        Ref("NetworkPolicy", namespace, names[0]),
        f"NetworkPolicy has no milder form; stage enforce would write {len(names)} to namespace {namespace}",
        "Go to stage warn: the policies are written beside one that still allows everything",
        names,
    )


def _still_allowed(ref: Ref) -> Finding:
    return Finding(
        "network/metadata-reachable",
        ref,
        "the policy of stage warn lets everything through, also to where cloud credentials are handed out",
        "Leave it out of raw",
        refuse=True,
    )


def _spec(pods: _Item, **rules: t.Sequence[_Item]) -> _Fields:
    """A NetworkPolicySpec that leaves nothing to the server's defaults; without rules it denies both ways."""
    given = {d.option: list(rules[d.option]) for d in DIRECTIONS if rules.get(d.option)}
    types = [d.policy_type for d in DIRECTIONS if d.option in given or not given]
    return {"podSelector": dict(pods), **given, "policyTypes": types}


def _allow_all() -> _Fields:
    return _spec({}, ingress=[{}], egress=[{}])


# -- items -> specs


class _Draft(t.NamedTuple):
    """A policy's spec, the option that declares it, and whether flows may still join it."""

    place: str
    spec: _Fields
    flows: bool


class _Part(t.NamedTuple):
    """One option of an item; ``build`` gives name and spec that it alone declares, or raises ItemError."""

    place: str
    build: t.Callable[[], t.Tuple[str, _Fields]]
    flow: bool = False


def _parts(item: _Item) -> t.Iterator[_Part]:
    if item.get("default_deny", True):
        yield _Part("default_deny", lambda: (DEFAULT_DENY, _spec({})))
    if item.get("dns", True) is not False:
        yield _Part("dns", partial(_dns, item.get("dns", True)))
    for direction in DIRECTIONS:
        for index, flow in enumerate(item.get(direction.option, ())):
            build = partial(_flow, flow, direction, item.get("networks") or {})
            yield _Part(f"{direction.option}[{index}]", build, flow=True)
    for index, entry in enumerate(item.get("raw", ())):
        yield _Part(f"raw[{index}]", partial(_raw, entry))


def _drafts(item: _Item) -> t.Tuple[t.Dict[str, _Draft], t.List[t.Tuple[str, ItemError]]]:
    """The policies by name, in the order in which they are declared, and every mistake with its place."""
    drafts: t.Dict[str, _Draft] = {}
    mistakes: t.List[t.Tuple[str, ItemError]] = []
    try:
        values.dns_label(item["namespace"], "namespace")
    except ItemError as error:
        mistakes.append(("namespace", error))
    for part in _parts(item):
        try:
            name, spec = part.build()
            drafts[name] = _joined(name, drafts.get(name), _Draft(part.place, spec, part.flow))
        except ItemError as error:
            mistakes.append((part.place, error))
    return drafts, mistakes


def _joined(name: str, known: t.Optional[_Draft], draft: _Draft) -> _Draft:
    """Flows of one name are one policy, as long as they are about the same pods."""
    if draft.flows and name == WARN_ALLOW_ALL:
        raise ItemError(f"{name} is the policy that stage warn adds", "Choose another name")
    if known is None:
        return draft
    if known.flows and draft.flows and _denies(known.spec) != _denies(draft.spec):
        raise ItemError(f"policy {name} allows and denies", "Give the flows that deny a name of their own")
    if not (known.flows and draft.flows):
        raise ItemError(f"policy {name} is already declared at {known.place}", "Give one of them another name")
    pods = known.spec["podSelector"]
    if pods != draft.spec["podSelector"]:
        raise ItemError(
            f"policy {name} is about other pods at {known.place}",
            "Give one of the flows another name, or both the same pods",
        )
    rules = {d.option: [*known.spec.get(d.option, ()), *draft.spec.get(d.option, ())] for d in DIRECTIONS}
    return known._replace(spec=_spec(pods, **rules))


def _denies(spec: _Item) -> bool:
    return any(rule.get("action") == "deny" for d in DIRECTIONS for rule in spec.get(d.option, ()))


def _dns(option: t.Any) -> t.Tuple[str, _Fields]:
    """Port 53 of the cluster DNS; a NodeLocal DNS cache is on the host network and so needs its address."""
    option = {} if option is True else option
    if not isinstance(option, dict):
        raise ItemError(f"{option!r} is neither true, false nor a dictionary", "Write true, or where DNS is")
    _known(option, ("namespace", "pods", "cidrs"))
    servers = {**DNS, **{key: option[key] for key in DNS if key in option}}
    peers = [
        peer(servers, egress=True),
        *_each("cidrs", option.get("cidrs", []), lambda cidr: peer({"cidr": cidr}, egress=True)),
    ]
    ports = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    return ALLOW_DNS, _spec({}, egress=[{"to": peers, "ports": ports}])


def _flow(flow: _Item, direction: Direction, networks: _Item) -> t.Tuple[str, _Fields]:
    pods = selector(flow.get(direction.pods, {}))
    action = flow.get("action", "allow")
    name = values.dns_subdomain(flow.get("name") or _name(direction, pods, action))
    rule = _rule(flow, direction, networks)
    if action == "deny":
        rule["action"] = action
    return name, _spec(pods, **{direction.option: [rule]})


def _name(direction: Direction, pods: _Item, action: str = "allow") -> str:
    """A name that follows from direction and pods alone, so that no flow renames another's policy.

    The application's label as it is where that says it all, else what can be read of the labels and a hash.
    """
    prefix = f"{action}-{direction.option}"
    if not pods:
        return f"{prefix}-all"
    labels = pods.get("matchLabels", {})
    readable = "-".join(value for _key, value in sorted(labels.items()))
    simple = len(labels) == 1 and "matchExpressions" not in pods and next(iter(labels)) in _NAMING
    if simple and readable != "all" and re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", readable):
        return f"{prefix}-{readable}"
    slug = re.sub(r"[^a-z0-9]+", "-", readable.lower())[:40].strip("-")
    digest = hashlib.sha256(json.dumps(pods, sort_keys=True).encode()).hexdigest()[:8]
    return "-".join(filter(None, (prefix, slug, digest)))


def _rule(flow: _Item, direction: Direction, networks: _Item) -> _Fields:
    egress = direction is EGRESS
    rule: _Fields = {}
    if direction.peers in flow:
        rule[direction.peers] = _some(
            direction.peers, flow, partial(peer, egress=egress, networks=networks), "everywhere"
        )
    elif egress:
        # everywhere, said in a way that leaves the metadata addresses out
        blocks = [peer({"cidr": cidr}, egress) for cidr in ("0.0.0.0/0", "::/0")]
        rule[direction.peers] = [*blocks, {"namespaceSelector": {}}]
    if "ports" in flow:
        rule["ports"] = _some("ports", flow, port, "all ports")
    return rule


def _some(option: str, flow: _Item, build: t.Callable[[t.Any], _Fields], everything: str) -> t.List[_Fields]:
    built = _each(option, flow[option], build)
    if not built:
        raise ItemError(f"{option} is empty, which would be {everything}", f"Fill it, or leave it out for {everything}")
    return built


def _each(option: str, entries: t.Any, build: t.Callable[[t.Any], _Built]) -> t.List[_Built]:
    """Every entry of a list built; a mistake says which one."""
    if not isinstance(entries, (list, tuple)):
        raise ItemError(f"{option}: {entries!r} is not a list", "Write it as a list")
    built = []
    for index, entry in enumerate(entries):
        try:
            built.append(build(entry))
        except ItemError as error:
            raise ItemError(f"{option}[{index}]: {error.reason}", error.remedy) from error
    return built


def _known(entry: _Item, options: t.Sequence[str]) -> None:
    unknown = sorted(map(str, set(entry) - set(options)))
    if unknown:
        raise ItemError(f"unknown option {unknown[0]}", f"Known are {', '.join(options)}")


def selector(pods: t.Any) -> _Fields:
    """A LabelSelector from a label map, or from match_labels and match_expressions; empty selects all."""
    if not isinstance(pods, dict) or not set(pods) & _SELECTOR_OPTIONS:
        return {"matchLabels": _labels(pods)} if pods != {} else {}
    beside = sorted(map(str, set(pods) - _SELECTOR_OPTIONS))
    if beside:
        raise ItemError(f"label {beside[0]} beside match_labels or match_expressions", "Move it under match_labels")
    built: _Fields = {}
    if "match_labels" in pods:
        built["matchLabels"] = _labels(pods["match_labels"])
    if "match_expressions" in pods:
        built["matchExpressions"] = _each("match_expressions", pods["match_expressions"], _expression)
    return {field: value for field, value in built.items() if value}


def _labels(value: t.Any) -> t.Dict[str, str]:
    if not isinstance(value, dict):
        raise ItemError(f"{value!r} is not a map of labels", "Write it as {app: web}")
    return values.labels(value)


def _expression(entry: t.Any) -> _Fields:
    """A LabelSelectorRequirement; options and API spell it alike."""
    if not isinstance(entry, dict) or "key" not in entry:
        raise ItemError(f"{entry!r} is not a match expression", "It has key, operator and, for In and NotIn, values")
    _known(entry, ("key", "operator", "values"))
    operator = entry.get("operator")
    if operator not in _OPERATORS:
        raise ItemError(f"operator {operator!r} is unknown", f"Use one of {', '.join(_OPERATORS)}")
    wanted = _each("values", entry.get("values") or [], values.label_value)
    if (operator in ("In", "NotIn")) != bool(wanted):
        raise ItemError(f"operator {operator} takes {'no values' if wanted else 'values'}", "Correct one of them")
    built = {"key": values.label_key(entry["key"]), "operator": operator}
    return {**built, "values": wanted} if wanted else built


def peer(entry: _Item, egress: bool, networks: t.Optional[_Item] = None) -> _Fields:
    """A NetworkPolicyPeer: pods, namespaces, or both in one element (which ANDs them); or a CIDR.

    :param networks: by name; one that is meant becomes a peer of a form of ours, see :mod:`network_providers`.
    """
    if "network" in entry:
        return _network(entry, egress, networks or {})
    if "cidr" in entry:
        beside = sorted(set(entry) - {"cidr", "except"})
        if beside:
            raise ItemError(f"cidr and {beside[0]} in one peer", "Make two peers of it")
        return {"ipBlock": _ip_block(entry, egress)}
    if "except" in entry:
        raise ItemError("except without cidr", "Say which cidr it is taken from")
    return _domains(entry, egress) if "domains" in entry else _selected(entry)


def _selected(entry: _Item) -> _Fields:
    if "namespace" in entry and "namespace_labels" in entry:
        raise ItemError("namespace and namespace_labels in one peer", "Use one of them")
    built: _Fields = {}
    if "namespace" in entry:
        name = values.dns_label(entry["namespace"], "namespace")
        built["namespaceSelector"] = {"matchLabels": {NAMESPACE_NAME: name}}
    elif "namespace_labels" in entry:
        built["namespaceSelector"] = selector(entry["namespace_labels"])
    if "pods" in entry:
        built["podSelector"] = selector(entry["pods"])
    if "service_account" in entry:
        built["serviceAccount"] = values.dns_subdomain(entry["service_account"], "service account")
    if "service_account_labels" in entry:
        built["accountSelector"] = selector(entry["service_account_labels"])
    if not built:
        raise ItemError("the peer names nobody", "Say namespace, namespace_labels, pods or cidr")
    return built


def _network(entry: _Item, egress: bool, networks: _Item) -> _Fields:
    """Networks that have a name."""
    if len(entry) > 1:
        raise ItemError("network and others in one peer", "Make two peers of it")
    name = values.dns_label(entry["network"], "network")
    if not networks.get(name):
        raise ItemError(f"network {name} has no addresses", "Give it some in networks")
    blocks = _each(f"networks.{name}", networks[name], lambda cidr: _ip_block({"cidr": cidr}, egress))
    return {"networkSet": name, "blocks": blocks}


def _domains(entry: _Item, egress: bool) -> _Fields:
    """Names outside, which not every provider knows."""
    if len(entry) > 1:
        raise ItemError("domains and others in one peer", "Make two peers of it")
    if not egress:
        raise ItemError("domains cannot be who calls", "Name them in egress, or say cidr")
    names = _each("domains", entry["domains"], values.domain_name)
    if not names:
        raise ItemError("domains is empty, which would be everywhere", "Fill it")
    return {"domains": names}


def _ip_block(peer: _Item, egress: bool) -> _Fields:
    network = values.cidr(peer["cidr"])
    excepted = [values.cidr(text) for text in peer.get("except", ())]
    if inside(network, _MAPPED):
        # plug-ins disagree on whether this is the IPv4 network
        raise ItemError(f"{network} is an IPv4-mapped IPv6 network", f"Write it as IPv4, {unmapped(network)}")
    for inner in excepted:
        if inner == network or not inside(inner, network):
            raise ItemError(f"except {inner} is not a part of {network}", "Except a smaller network within cidr")
    for address in METADATA if egress else ():
        if network == address:
            raise ItemError(
                f"{network} is where instances get their metadata, and with it the node's credentials",
                "Leave it out, and give the pods a role of their own",
            )
        if inside(address, network) and not any(inside(address, inner) for inner in excepted):
            excepted.append(address)
    block: _Fields = {"cidr": str(network)}
    return {**block, "except": [str(inner) for inner in excepted]} if excepted else block


def inside(inner: Network, outer: Network) -> bool:
    """Whether a network is another one or a part of it."""
    if inner.version != outer.version or inner.prefixlen < outer.prefixlen:
        return False
    host_bits = outer.max_prefixlen - outer.prefixlen
    return int(inner.network_address) >> host_bits == int(outer.network_address) >> host_bits


def unmapped(network: Network) -> Network:
    """The IPv4 network that a part of ``::ffff:0:0/96`` stands for; any other network as it is."""
    if network.version == 6 and inside(network, _MAPPED):
        return ipaddress.IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def port(entry: t.Any) -> _Fields:
    """``8080``, ``8080/UDP``, ``http``, ``8000-8010``, or a dictionary of port, end_port and protocol."""
    fields = entry if isinstance(entry, dict) else _port_fields(str(entry))
    _known(fields, ("port", "end_port", "protocol"))
    if not fields:
        raise ItemError("the port says nothing", "Say port, or for all ports of a protocol: protocol")
    protocol = str(fields.get("protocol", "TCP")).upper()
    if protocol not in _PROTOCOLS:
        raise ItemError(f"protocol {protocol!r} is unknown", f"Use one of {', '.join(_PROTOCOLS)}")
    built: _Fields = {"protocol": protocol}
    number = fields.get("port")
    if number is not None:
        named = not re.fullmatch(r"-?\d+", str(number))
        built["port"] = values.port_name(number) if named else values.port_number(number)
    if "end_port" in fields:
        built["endPort"] = values.port_number(fields["end_port"])
        if not isinstance(built.get("port"), int) or built["endPort"] < built["port"]:
            raise ItemError(
                f"end_port {built['endPort']} has no lower number as port",
                "A range has a number at both ends",
            )
    return built


def _port_fields(text: str) -> _Fields:
    number, slash, protocol = text.partition("/")
    ends = _RANGE.fullmatch(number)
    fields = {"port": ends.group(1), "end_port": ends.group(2)} if ends else {"port": number}
    return {**fields, "protocol": protocol} if slash else fields


# -- specs as they are


def _raw(entry: _Item) -> t.Tuple[str, _Fields]:
    """A spec that is passed on unchanged; the API server judges what the checks here need not understand."""
    _shaped(entry["spec"], _SHAPE, "spec")
    return values.dns_subdomain(entry["name"]), entry["spec"]


def _shaped(value: t.Any, shape: t.Any, place: str) -> None:
    """Raise ItemError unless those fields that are there have the shape that checks rely on.

    :param shape: fields of a dictionary, a list with the shape of its elements, or a type's test.
    """
    if callable(shape):
        try:
            shape(value)
        except ItemError as error:
            raise ItemError(f"{place}: {error.reason}", error.remedy) from error
    elif not isinstance(value, type(shape)):
        wanted = "a list" if isinstance(shape, list) else "a dictionary"
        raise ItemError(f"{place}: {value!r} is not {wanted}", "Write it as in the manifest of a NetworkPolicy")
    elif isinstance(shape, list):
        for index, element in enumerate(value):
            _shaped(element, shape[0], f"{place}[{index}]")
    else:
        for field, below in shape.items():
            if field in value:
                _shaped(value[field], below, f"{place}.{field}")


def _text(value: t.Any) -> None:
    if not isinstance(value, str):
        raise ItemError(f"{value!r} is not text", "Put it in quotes")


def _number(value: t.Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ItemError(f"{value!r} is not a number", "Write it without quotes")


def _text_or_number(value: t.Any) -> None:
    if not isinstance(value, str):
        _number(value)


_SELECTOR_SHAPE = {"matchLabels": _labels, "matchExpressions": [_expression]}
_PEER_SHAPE = {
    "podSelector": _SELECTOR_SHAPE,
    "namespaceSelector": _SELECTOR_SHAPE,
    "ipBlock": {"cidr": _text, "except": [_text]},
}
_PORT_SHAPE = {"protocol": _text, "port": _text_or_number, "endPort": _number}
_SHAPE = {
    "podSelector": _SELECTOR_SHAPE,
    "policyTypes": [_text],
    **{d.option: [{d.peers: [_PEER_SHAPE], "ports": [_PORT_SHAPE]}] for d in DIRECTIONS},
}


# -- the inverse


def allows_all(policies: t.Iterable[Manifest]) -> bool:
    """Whether the policy of stage ``warn`` is among them."""
    own = (WARN_ALLOW_ALL, _allow_all())
    return any((policy["metadata"]["name"], policy["spec"]) == own for policy in policies)


def describe(policies: t.Sequence[Manifest], stage: str = "enforce") -> _Fields:
    """The item that declares exactly these policies of one namespace; what flows cannot say is ``raw``.

    :param stage: under which it is going to be declared.
    """
    item: _Fields = {"default_deny": False, "dns": False}
    if policies:
        item["namespace"] = policies[0]["metadata"]["namespace"]
    for policy in policies:
        name, spec = policy["metadata"]["name"], policy["spec"]
        if stage == "warn" and allows_all([policy]):
            continue
        for option, value in _options(name, spec).items():
            item[option] = [*item.get(option, ()), *value] if isinstance(value, list) else value
    return item


def _options(name: str, spec: _Item) -> _Fields:
    """The shortest options that declare a policy; only those count that prove to declare just that."""
    candidates = (
        {"default_deny": name == DEFAULT_DENY},
        {"dns": name == ALLOW_DNS and _dns_option(spec)},
        _flow_options("", spec),
        _flow_options(name, spec),
    )
    for options in candidates:
        drafts, mistakes = _drafts({"namespace": "any", "default_deny": False, "dns": False, **options})
        if not mistakes and {key: draft.spec for key, draft in drafts.items()} == {name: spec}:
            return options
    return {"raw": [{"name": name, "spec": dict(spec)}]}


def _dns_option(spec: _Item) -> t.Union[bool, _Fields]:
    """What may have been said of DNS, if that is what the rules are about."""
    peers = [peer_option(peer) for rule in spec.get("egress") or () for peer in rule.get("to") or ()]
    if not peers:
        return False
    said: _Fields = {key: peers[0][key] for key in DNS if key in peers[0] and peers[0][key] != DNS[key]}
    cidrs = [peer["cidr"] for peer in peers[1:] if "cidr" in peer]
    if cidrs:
        said["cidrs"] = cidrs
    return said or True


def _flow_options(name: str, spec: _Item) -> _Fields:
    about = {"name": name} if name else {}
    return {
        d.option: [{**about, **flow_option(d, spec.get("podSelector") or {}, rule)} for rule in spec[d.option]]
        for d in DIRECTIONS
        if spec.get(d.option)
    }


def flow_option(direction: Direction, pods: _Item, rule: _Item) -> _Fields:
    """A rule of a policy for these pods, as a flow."""
    flow: _Fields = {}
    if pods:
        flow[direction.pods] = selector_option(pods)
    if rule.get(direction.peers):
        flow[direction.peers] = [peer_option(peer) for peer in rule[direction.peers]]
    if rule.get("ports"):
        flow["ports"] = [port_option(port) for port in rule["ports"]]
    return flow


def selector_option(wanted: _Item) -> _Fields:
    """A LabelSelector as an option: a plain map of labels where that is enough."""
    if not wanted.get("matchExpressions"):
        return dict(wanted.get("matchLabels") or {})
    option: _Fields = {"match_expressions": [dict(entry) for entry in wanted["matchExpressions"]]}
    if wanted.get("matchLabels"):
        option["match_labels"] = dict(wanted["matchLabels"])
    return option


def peer_option(peer: _Item) -> _Fields:
    """A NetworkPolicyPeer as an option."""
    if peer.get("ipBlock"):
        return dict(peer["ipBlock"])
    option: _Fields = {}
    spaces = peer.get("namespaceSelector")
    if spaces is not None:
        labels = spaces.get("matchLabels") or {}
        if list(labels) == [NAMESPACE_NAME] and not spaces.get("matchExpressions"):
            option["namespace"] = labels[NAMESPACE_NAME]
        else:
            option["namespace_labels"] = selector_option(spaces)
    if peer.get("podSelector") is not None:
        option["pods"] = selector_option(peer["podSelector"])
    return option


def port_option(port: _Item) -> t.Any:
    """A NetworkPolicyPort as an option: a number, a text, or a dictionary for all ports of a protocol."""
    protocol = port.get("protocol") or "TCP"
    if port.get("port") is None:
        return {"protocol": protocol}
    text = f"{port['port']}-{port['endPort']}" if port.get("endPort") else port["port"]
    return text if protocol == "TCP" else f"{text}/{protocol}"
