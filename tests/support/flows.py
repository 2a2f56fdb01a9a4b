# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small cluster in which every kind of difference occurs, and random policies of every kind for it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.world import Inventory, World
from hypothesis import strategies as st

from tests.support.naive_flows import End

Manifest = dict[str, t.Any]
Labels = dict[str, str]
Some = st.SearchStrategy[t.Any]


def namespace(name: str, **labels: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def pod(namespace: str, name: str, ip: str = "", host: bool = False, node: str = "", **labels: str) -> Manifest:
    """A pod with a port named http, which is 8080 where its label ``app`` is web, else 80."""
    number = 8080 if labels.get("app") == "web" else 80
    listens: list[Manifest] = [{"name": "http", "containerPort": number}]
    spec: Manifest = {"containers": [{"name": "main", "ports": listens}], "nodeName": node}
    if host:
        spec["hostNetwork"] = True
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec,
        "status": {"podIPs": [{"ip": ip}] if ip else []},
    }


def node(name: str, ip: str, **labels: str) -> Manifest:
    addresses = [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"addresses": addresses},
    }


@dataclass
class Cluster:
    namespaces: list[Manifest]
    pods: list[Manifest]
    nodes: list[Manifest]
    addresses: list[str]
    domains: list[str]
    accounts: list[Manifest] = field(default_factory=list)
    ends: dict[str, End] = field(init=False)

    def __post_init__(self) -> None:
        self.ends = {
            **{f"{item['metadata']['namespace']}/{item['metadata']['name']}": End(pod=item) for item in self.pods},
            **{item["metadata"]["name"]: End(node=item) for item in self.nodes},
            **{address: End(ip=address) for address in self.addresses},
            **{name: End(domain=name) for name in self.domains},
        }

    @property
    def inventory(self) -> Inventory:
        return Inventory(self.pods, self.namespaces, self.nodes, self.accounts)


CLUSTER = Cluster(
    namespaces=[namespace("shop", team="a"), namespace("api", team="b"), namespace("ops")],
    pods=[
        pod("shop", "web-1", "10.1.0.1", app="web", tier="front"),
        pod("shop", "web-2", "10.2.0.1", app="web", tier="front"),
        pod("shop", "api-1", "10.1.0.2", app="api"),
        pod("api", "api-1", "10.1.1.1", app="api", tier="front"),
        pod("api", "db-1", "", app="db"),
        pod("ops", "agent-1", "192.0.2.10", host=True, node="one", app="web"),
        pod("ops", "scan-1", "10.2.0.9"),
    ],
    nodes=[node("one", "192.0.2.10", zone="a"), node("two", "192.0.2.11")],
    addresses=["198.51.100.7", "203.0.113.9", "169.254.169.254"],
    domains=["www.example.com", "a.b.example.com", "example.com"],
)
PROTOCOLS = [("TCP", 80), ("TCP", 8080), ("TCP", 443), ("UDP", 53), ("UDP", 80), ("SCTP", 80), ("ICMP", 8)]


def ends(around: World, cluster: Cluster = CLUSTER) -> dict[str, int]:
    """The number of each end in a world; addresses are of its version of IP."""
    found: dict[str, int] = {}
    for name, end in cluster.ends.items():
        if end.ip and (":" in end.ip) != (around.version == 6):
            continue
        if end.pod:
            number = around.pod(end.pod["metadata"]["namespace"], end.pod["metadata"]["name"])
        elif end.node:
            number = around.node(name)
        else:
            number = around.domain(end.domain) if end.domain else around.address(end.ip)
        assert number is not None
        found[name] = number
    return found


# -- strategies


def _few(what: Some, least: int = 0, most: int = 2) -> Some:
    return st.lists(what, min_size=least, max_size=most)


def _one(*values: t.Any) -> Some:
    return st.sampled_from(values)


def _maybe(**options: Some) -> Some:
    return st.fixed_dictionaries({}, optional=options)


def _dict(needed: dict[str, Some], **optional: Some) -> Some:
    return st.fixed_dictionaries(needed, optional=optional)


_SPACES = _one("shop", "api", "ops")
_CIDR = _one(
    *("10.1.0.0/16", "10.1.0.0/24", "0.0.0.0/0", "192.0.2.0/24", "198.51.100.0/24", "10.0.0.0/8"),
    *("2001:db8::/32", "2001:db8:1::/64", "::/0", "2001:db8:ffff::7/128"),
)


# -- clusters


def _labelled(*keys: str) -> Some:
    return st.dictionaries(_one(*keys), _one("web", "api", "db", "front", "a", "b"), max_size=2)


#: Ports of a container; what goes by one name may be at another number elsewhere, and of another protocol.
_LISTENS = st.lists(
    _one(
        {"name": "http", "containerPort": 80},
        {"name": "http", "containerPort": 8080},
        {"name": "http", "containerPort": 80, "protocol": "UDP"},
        {"name": "http", "containerPort": 80, "protocol": "SCTP"},
        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
        {"containerPort": 443},
    ),
    max_size=3,
)
_ADDRESSES = st.lists(
    _one("10.1.0.1", "10.1.1.1", "10.2.0.1", "192.0.2.2", "2001:db8:1::1", "2001:db8:2::1", "fd00::1"),
    max_size=2,
    unique_by=lambda address: ":" in address,
)


def _some_pod(
    number: int, space: str, labels: Labels, listens: list[Manifest], addresses: list[str], host: bool, account: str
) -> Manifest:
    made = pod(space, f"pod-{number}")
    made["metadata"]["labels"] = labels
    made["spec"].update(containers=[{"name": "main", "ports": listens}], serviceAccountName=account)
    if host:
        made["spec"]["hostNetwork"] = True
    # no two have the same address; some have none yet
    parts = (address.rpartition(":" if ":" in address else ".") for address in addresses)
    made["status"]["podIPs"] = [{"ip": f"{begin}{mark}{end}{number}"} for begin, mark, end in parts]
    return made


def _some_cluster(
    teams: list[Labels], given: list[tuple[t.Any, ...]], zones: list[Labels], owned: list[tuple[str, str, Labels]]
) -> Cluster:
    return Cluster(
        namespaces=[namespace(name, **labels) for name, labels in zip(("shop", "api", "ops"), teams, strict=True)],
        pods=[_some_pod(number, *each) for number, each in enumerate(given)],
        nodes=[
            node(name, f"192.0.2.{number}", **labels)
            for number, (name, labels) in enumerate(zip(("one", "two"), zones, strict=True))
        ],
        addresses=["198.51.100.7", "203.0.113.9", "169.254.169.254", "2001:db8:ffff::7", "2001:db8:1::99", "fd00::9"],
        domains=["www.example.com", "a.b.example.com", "example.com"],
        accounts=[
            {"kind": "ServiceAccount", "metadata": {"namespace": space, "name": name, "labels": labels}}
            for space, name, labels in owned
        ],
    )


_ACCOUNTS = _one("default", "web", "db")
#: Clusters whose pods, namespaces, nodes and service accounts are as it happens.
CLUSTERS: Some = st.builds(
    _some_cluster,
    st.lists(st.dictionaries(st.just("team"), _one("a", "b"), max_size=1), min_size=3, max_size=3),
    st.lists(
        st.tuples(_SPACES, _labelled("app", "tier"), _LISTENS, _ADDRESSES, _one(False, False, False, True), _ACCOUNTS),
        min_size=3,
        max_size=8,
    ),
    st.lists(st.dictionaries(st.just("zone"), _one("a", "b"), max_size=1), min_size=2, max_size=2),
    st.lists(
        st.tuples(_SPACES, _ACCOUNTS, _labelled("role")), max_size=4, unique_by=lambda owned: (owned[0], owned[1])
    ),
)


# -- policies


def _selector(*keys: str) -> Some:
    key = _one(*keys)
    value = _one("web", "api", "front", "a", "b")
    expression = st.one_of(
        _dict({"key": key, "operator": _one("In", "NotIn"), "values": _few(value, 1)}),
        _dict({"key": key, "operator": _one("Exists", "DoesNotExist")}),
    )
    return st.one_of(
        st.just({}),
        st.builds(lambda each: {"matchLabels": each}, st.dictionaries(key, value, max_size=1)),
        st.builds(lambda each: {"matchExpressions": each}, _few(expression, 1)),
    )


_PODS, _TEAMS = _selector("app", "tier"), _selector("team", "kubernetes.io/metadata.name")
_PEER = st.one_of(
    _maybe(podSelector=_PODS, namespaceSelector=_TEAMS).filter(bool),
    st.builds(lambda cidr: {"ipBlock": {"cidr": cidr}}, _CIDR),
    _one(
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/24"]}},
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32", "10.2.0.0/16"]}},
        {"ipBlock": {"cidr": "::/0", "except": ["2001:db8:1::/48"]}},
    ),
)
_PORT = _one(
    {"port": 80},
    {"port": "http"},
    {"protocol": "UDP"},
    {"protocol": "UDP", "port": 53},
    {"port": 80, "endPort": 500},
    {"port": "http", "protocol": "UDP"},
    {"port": "dns", "protocol": "UDP"},
    {"protocol": "SCTP"},
    {"port": "http", "protocol": "SCTP"},
)


def _policy(api_version: str, kind: str, spec: Some, space: Some | None = None) -> Some:
    def build(given: t.Any, where: str) -> Manifest:
        metadata = {"name": "unnamed", **({"namespace": where} if where else {})}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": given}

    return st.builds(build, spec, st.just("") if space is None else space)


_NETWORK_POLICY = _policy(
    "networking.k8s.io/v1",
    "NetworkPolicy",
    _dict(
        {"podSelector": _PODS},
        policyTypes=_one(["Ingress"], ["Egress"], ["Ingress", "Egress"]),
        ingress=_few(_maybe(**{"from": _few(_PEER), "ports": _few(_PORT)})),
        egress=_few(_maybe(to=_few(_PEER), ports=_few(_PORT))),
    ),
    _SPACES,
)

_NAMESPACED = st.one_of(
    st.builds(lambda spaces: {"namespaces": spaces}, _TEAMS),
    st.builds(lambda spaces, pods: {"pods": {"namespaceSelector": spaces, "podSelector": pods}}, _TEAMS, _PODS),
)
_BEYOND = st.one_of(
    _NAMESPACED,
    st.builds(lambda cidrs: {"networks": cidrs}, _few(_CIDR, 1)),
    st.builds(lambda nodes: {"nodes": nodes}, _selector("zone")),
    st.builds(lambda names: {"domainNames": names}, _few(_one("*.example.com", "example.com"), 1)),
)
_PROTOCOL = _one(
    {"tcp": {"destinationPort": {"number": 80}}},
    {"tcp": {"destinationPort": {"range": {"start": 80, "end": 443}}}},
    {"tcp": {}},
    {"udp": {"destinationPort": {"number": 53}}},
    {"sctp": {"destinationPort": {"number": 80}}},
    {"destinationNamedPort": "http"},
)
_OLD_PORT = _one(
    {"portNumber": {"protocol": "TCP", "port": 80}},
    {"portRange": {"protocol": "UDP", "start": 50, "end": 60}},
    {"namedPort": "http"},
)


def _tiered(actions: Some, ports: dict[str, Some], **needed: Some) -> Some:
    return _dict(
        {"subject": _NAMESPACED, **needed},
        ingress=_few(_dict({"action": actions, "from": _few(_NAMESPACED, 1)}, **ports)),
        egress=_few(_dict({"action": actions, "to": _few(_BEYOND, 1)}, **ports)),
    )


_PRIORITY = st.integers(0, 1000)
_CLUSTER_POLICY = _policy(
    "policy.networking.k8s.io/v1alpha2",
    "ClusterNetworkPolicy",
    _tiered(
        _one("Accept", "Deny", "Pass"),
        {"protocols": _few(_PROTOCOL, 1)},
        tier=_one("Admin", "Baseline"),
        priority=_PRIORITY,
    ),
)
_ADMIN_POLICY = st.one_of(
    _policy(
        "policy.networking.k8s.io/v1alpha1",
        "AdminNetworkPolicy",
        _tiered(_one("Allow", "Deny", "Pass"), {"ports": _few(_OLD_PORT, 1)}, priority=_PRIORITY),
    ),
    _policy(
        "policy.networking.k8s.io/v1alpha1",
        "BaselineAdminNetworkPolicy",
        _tiered(_one("Allow", "Deny"), {"ports": _few(_OLD_PORT, 1)}),
    ),
)

_EXPRESSION = _one(
    "",
    "all()",
    "app == 'web'",
    "app != 'web'",
    "has(tier)",
    "!has(tier) || app in {'web', 'api'}",
    "app not in {'db'} && (has(tier) || app starts with 'a')",
    "has(pcns.team)",
    "pcsa.role == 'a' || app == 'db'",
    "!(app == 'web' && has(tier))",
)
_SET_EXPRESSION = st.one_of(_EXPRESSION, _one("role == 'partner'", "has(role)"))
_SPACE_EXPRESSION = _one("", "all()", "team == 'a'", "has(team)", "projectcalico.org/name == 'ops'")
_MATCHED = st.one_of(
    st.builds(lambda names: {"names": names}, _few(_ACCOUNTS, 1)),
    _one({"selector": "has(role)"}, {"selector": "role == 'a'"}, {"names": ["web"], "selector": "role != 'b'"}),
)
_SERVED = st.builds(
    lambda named: {"services": named}, _one(*({"name": name, "namespace": "shop"} for name in ("web", "out", "no")))
)
_ENTITY = st.one_of(
    _maybe(nets=_few(_CIDR, 1), notNets=_few(_CIDR, 1)),
    _maybe(selector=_SET_EXPRESSION),
    _maybe(notSelector=_EXPRESSION, nets=_few(_CIDR, 1)),
    _maybe(selector=_SET_EXPRESSION, namespaceSelector=_one("all()", "global()", "team == 'a'", "has(team)")),
    _maybe(serviceAccounts=_MATCHED, namespaceSelector=_one("all()", "team == 'a'")),
    _SERVED,
)


def _target(number: bool) -> Some:
    ports = _few(_one(80, "80:500", "http", 8080), 1)
    return st.builds(
        lambda entity, more: {**entity, **more},
        _ENTITY,
        _maybe(ports=ports, notPorts=_few(_one(80, "70:90", "http"), 1)) if number else st.just({}),
    )


_ACTION = _one("Allow", "Deny", "Pass", "Log")
_CALICO_RULE = st.one_of(
    _dict({"action": _ACTION, "protocol": _one("TCP", "UDP", "SCTP")}, source=_ENTITY, destination=_target(True)),
    _dict({"action": _ACTION}, source=_ENTITY, destination=_target(False)),
    _dict({"action": _ACTION, "ipVersion": _one(4, 6)}, source=_ENTITY),
    _dict({"action": _ACTION, "notProtocol": _one("TCP", "UDP")}, source=_ENTITY),
)
_CALICO_SPEC: dict[str, Some] = {
    "tier": _one("default", "security", "late"),
    "order": st.integers(1, 2000),
    "types": _one(["Ingress"], ["Egress"], ["Ingress", "Egress"]),
    "ingress": _few(_CALICO_RULE, 0, 3),
    "egress": _few(_CALICO_RULE, 0, 3),
    "selector": _EXPRESSION,
    "serviceAccountSelector": _one("", "role == 'a'", "!has(role)"),
}
_CALICO = st.one_of(
    _policy("projectcalico.org/v3", "NetworkPolicy", _maybe(**_CALICO_SPEC), _SPACES),
    _policy(
        "projectcalico.org/v3",
        "GlobalNetworkPolicy",
        _maybe(**_CALICO_SPEC, namespaceSelector=_SPACE_EXPRESSION),
    ),
)
_CALICO_OTHERS: Some = st.builds(
    lambda order, default, late: [
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "Tier",
            "metadata": {"name": "security"},
            "spec": {"order": order},
        },
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "Tier",
            "metadata": {"name": "late"},
            "spec": {**late, "defaultAction": default},
        },
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "GlobalNetworkSet",
            "metadata": {"name": "partners", "labels": {"role": "partner"}},
            "spec": {"nets": ["198.51.100.0/24"]},
        },
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "NetworkSet",
            "metadata": {"name": "mine", "namespace": "shop", "labels": {"role": "own"}},
            "spec": {"nets": ["203.0.113.0/24", "fd00::/64"]},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "selector": {"app": "web"},
                "ports": [{"port": 443, "targetPort": "http"}, {"port": 53, "protocol": "UDP"}],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "out", "namespace": "shop"},
            "spec": {"ports": [{"port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "out-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "out"}},
            "endpoints": [{"addresses": ["198.51.100.7"]}],
            "ports": [{"port": 8080}],
        },
    ],
    _one(100, 2_000_000),
    _one("Pass", "Deny"),
    _one({}, {"order": 3_000_000}),
)

_ENDPOINTS = st.one_of(
    _selector("app", "k8s:tier", "io.kubernetes.pod.namespace", "k8s:io.cilium.k8s.namespace.labels.team"),
    st.builds(lambda name: {"matchLabels": {"io.cilium.k8s.policy.serviceaccount": name}}, _ACCOUNTS),
)


def _cilium_peers(word: str) -> list[Some]:
    fqdn = _one({"matchName": "example.com"}, {"matchPattern": "*.example.com"})
    options: dict[str, Some] = {
        f"{word}Endpoints": _few(_ENDPOINTS),
        f"{word}Entities": _few(_one("all", "world", "cluster", "remote-node", "none"), 1),
        f"{word}CIDR": _few(_CIDR, 1),
        f"{word}CIDRSet": _few(
            _one(
                {"cidr": "0.0.0.0/0", "except": ["198.51.100.0/24"]},
                {"cidr": "203.0.113.0/24"},
                {"cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"]},
            ),
            1,
        ),
        **({"toFQDNs": _few(fqdn, 1)} if word == "to" else {}),
    }
    return [st.just({}), *(st.builds(lambda value, key=key: {key: value}, value) for key, value in options.items())]


_CILIUM_PORT = _one(
    {"port": "80", "protocol": "TCP"},
    {"port": "80"},
    {"port": "53", "protocol": "UDP"},
    {"port": "80", "endPort": 500, "protocol": "ANY"},
    {"port": "http", "protocol": "TCP"},
    {"port": "0", "protocol": "UDP"},
    {"port": "80", "protocol": "SCTP"},
    {"port": "http"},
)


def _cilium_rules(word: str, names: bool = False) -> Some:
    to_ports = _few(st.builds(lambda ports: {"ports": ports}, _few(_CILIUM_PORT, 1)), 1)
    peers = _cilium_peers(word)
    choice = st.one_of(*(peers if names or word == "from" else peers[:-1]))
    return _few(st.builds(lambda peer, more: {**peer, **more}, choice, _maybe(toPorts=to_ports)))


def _cilium(names: bool) -> Some:
    """:param names: whether rules allow domain names; nothing can deny them."""
    spec = _dict(
        {"endpointSelector": _selector("app", "k8s:tier")},
        ingress=_cilium_rules("from"),
        ingressDeny=_cilium_rules("from"),
        egress=_cilium_rules("to", names),
        egressDeny=_cilium_rules("to"),
        enableDefaultDeny=_maybe(ingress=st.booleans(), egress=st.booleans()),
    ).filter(lambda given: any(given.get(section) for section in ("ingress", "ingressDeny", "egress", "egressDeny")))
    return st.one_of(
        _policy("cilium.io/v2", "CiliumNetworkPolicy", spec, _SPACES),
        _policy("cilium.io/v2", "CiliumClusterwideNetworkPolicy", spec),
    )


_CILIUM = _cilium(names=True)


def _named(policies: list[Manifest]) -> list[Manifest]:
    """Each with a name of its own, and of cluster policies each with a priority of its own."""
    for number, policy in enumerate(policies):
        policy["metadata"] = {**policy["metadata"], "name": f"p{number}"}
    return policies


_KUBERNETES = st.one_of(_NETWORK_POLICY, _NETWORK_POLICY, _CLUSTER_POLICY)
POLICIES: dict[str, Some] = {
    "kubernetes": st.tuples(_few(st.one_of(_KUBERNETES, _ADMIN_POLICY), 0, 6).map(_named), st.just([])),
    "calico": st.tuples(_few(st.one_of(_KUBERNETES, _CALICO, _CALICO, _CALICO), 0, 6).map(_named), _CALICO_OTHERS),
    "cilium": st.tuples(_few(st.one_of(_KUBERNETES, _CILIUM, _CILIUM), 0, 6).map(_named), st.just([])),
}


def _confined(policies: list[Manifest]) -> list[Manifest]:
    """For a real cluster, whose other pods are nobody's business here."""
    names = ["shop", "api", "ops"]
    for policy in policies:
        if policy["kind"] == "CiliumClusterwideNetworkPolicy":
            key = "k8s:io.kubernetes.pod.namespace"
            policy["spec"] = {
                **policy["spec"],
                "endpointSelector": _within(policy["spec"]["endpointSelector"], key, names),
            }
        if policy["kind"] == "ClusterNetworkPolicy":
            subject = policy["spec"]["subject"]
            pods = subject.get("pods", {"namespaceSelector": subject.get("namespaces"), "podSelector": {}})
            spaces = _within(pods["namespaceSelector"], "kubernetes.io/metadata.name", names)
            policy["spec"] = {**policy["spec"], "subject": {"pods": {**pods, "namespaceSelector": spaces}}}
    return policies


def _within(selector: Manifest, key: str, values: list[str]) -> Manifest:
    more = [*selector.get("matchExpressions", ()), {"key": key, "operator": "In", "values": values}]
    return {**selector, "matchExpressions": more}


def _served(policies: list[Manifest]) -> list[Manifest]:
    """What an API server takes, and what Cilium has without a proxy and labels of nodes."""
    for number, policy in enumerate(policies):
        if policy["kind"] != "ClusterNetworkPolicy":
            continue
        spec = {**policy["spec"], "priority": 10 * number}
        for direction, peers, absent in (("ingress", "from", ()), ("egress", "to", ("domainNames", "nodes"))):
            spec[direction] = [
                {
                    **rule,
                    peers: [peer for peer in rule[peers] if not set(absent) & set(peer)] or [{"namespaces": {}}],
                    "protocols": [_EVERY_TCP if item == {"tcp": {}} else item for item in rule.get("protocols") or ()],
                }
                for rule in spec.get(direction) or ()
            ]
            for rule in spec[direction]:
                if not rule["protocols"]:
                    del rule["protocols"]
        policy["spec"] = spec
    return policies


_EVERY_TCP = {"tcp": {"destinationPort": {"range": {"start": 1, "end": 65535}}}}


#: Policies that Cilium itself enforces on real pods.
REAL: Some = (
    _few(st.one_of(_NETWORK_POLICY, _CLUSTER_POLICY, _cilium(names=False), _cilium(names=False)), 2, 5)
    .map(_named)
    .map(_confined)
    .map(_served)
)
