# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flows become NetworkPolicies, and back; the metadata addresses stay out of reach."""

from __future__ import annotations

import ipaddress
import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.arguments import ItemChecker
from ansible_collections.hardened.k8s.plugins.module_utils.checks import network as checks
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import network
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    Manifest,
)
from hypothesis import given
from hypothesis import strategies as st

ALONE = {"default_deny": False, "dns": False}
WEB = {"app": "web"}


def declare(overall: str = "enforce", /, **options: t.Any) -> Declaration:
    return network.declare({"namespace": "shop", **options}, "policies[0] (shop)", Context(overall, 37))


def specs(declaration: Declaration) -> dict[str, t.Any]:
    assert declaration.problems == []
    return {item["metadata"]["name"]: item["spec"] for item in declaration.objects}


def rule(option: str, **flow: t.Any) -> t.Any:
    """The only rule of the only policy that a flow declares."""
    (spec,) = specs(declare(**ALONE, **{option: [flow]})).values()
    (found,) = spec[option]
    return found


def mistakes(**options: t.Any) -> list[str]:
    declaration = declare(**{**ALONE, **options})
    assert declaration.objects == []
    assert all(problem.remedy for problem in declaration.problems)
    return [f"{problem.item}: {problem.reason}" for problem in declaration.problems]


# -- what is declared


def test_nothing_but_a_namespace_denies_both_ways_and_allows_dns() -> None:
    declaration = declare()
    assert declaration.objects[0] == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "default-deny", "namespace": "shop"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }
    dns = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    ports = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    assert specs(declaration)["allow-dns"] == {
        "podSelector": {},
        "egress": [{"to": [dns], "ports": ports}],
        "policyTypes": ["Egress"],
    }
    assert len(declaration.objects) == 2


def test_dns_elsewhere_and_on_the_node() -> None:
    option = {"namespace": "dns", "pods": {"app": "coredns"}, "cidrs": ["169.254.20.10/32"]}
    (spec,) = specs(declare(default_deny=False, dns=option)).values()
    assert spec["egress"][0]["to"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "dns"}},
            "podSelector": {"matchLabels": {"app": "coredns"}},
        },
        {"ipBlock": {"cidr": "169.254.20.10/32"}},
    ]


def test_an_empty_dns_dictionary_is_the_default() -> None:
    assert specs(declare(dns={})) == specs(declare(dns=True))
    assert "allow-dns" not in specs(declare(dns=False))


def test_a_flow_is_a_rule_of_a_policy_of_its_direction() -> None:
    flow = {"to": WEB, "from": [{"namespace": "front", "pods": {"app": "proxy"}}], "ports": [8080]}
    assert specs(declare(**ALONE, ingress=[flow])) == {
        "allow-ingress-web": {
            "podSelector": {"matchLabels": WEB},
            "ingress": [
                {
                    "from": [
                        {
                            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "front"}},
                            "podSelector": {"matchLabels": {"app": "proxy"}},
                        }
                    ],
                    "ports": [{"protocol": "TCP", "port": 8080}],
                }
            ],
            "policyTypes": ["Ingress"],
        }
    }


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ({"pods": WEB}, {"podSelector": {"matchLabels": WEB}}),
        ({"pods": {}}, {"podSelector": {}}),
        ({"namespace_labels": {}}, {"namespaceSelector": {}}),
        (
            {"namespace_labels": {"match_expressions": [{"key": "team", "operator": "Exists"}]}, "pods": WEB},
            {
                "namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]},
                "podSelector": {"matchLabels": WEB},
            },
        ),
        ({"cidr": "192.0.2.0/24"}, {"ipBlock": {"cidr": "192.0.2.0/24"}}),
        (
            {"cidr": "2001:DB8::/32", "except": ["2001:db8:1::/48"]},
            {"ipBlock": {"cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"]}},
        ),
    ],
)
def test_peers(peer: t.Any, expected: t.Any) -> None:
    assert rule("ingress", **{"from": [peer]})["from"] == [expected]


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (8080, {"protocol": "TCP", "port": 8080}),
        ("8080", {"protocol": "TCP", "port": 8080}),
        ("8080/udp", {"protocol": "UDP", "port": 8080}),
        ("http", {"protocol": "TCP", "port": "http"}),
        ("http-8080/SCTP", {"protocol": "SCTP", "port": "http-8080"}),
        ("8000-8010", {"protocol": "TCP", "port": 8000, "endPort": 8010}),
        ("8000-8010/UDP", {"protocol": "UDP", "port": 8000, "endPort": 8010}),
        ({"port": "dns", "protocol": "UDP"}, {"protocol": "UDP", "port": "dns"}),
        ({"port": 8000, "end_port": "8000"}, {"protocol": "TCP", "port": 8000, "endPort": 8000}),
        ({"protocol": "SCTP"}, {"protocol": "SCTP"}),
    ],
)
def test_ports(port: t.Any, expected: t.Any) -> None:
    assert rule("ingress", ports=[port])["ports"] == [expected]


def test_ingress_from_everywhere_is_said_by_saying_nothing() -> None:
    assert rule("ingress", to=WEB) == {}


# -- names


@pytest.mark.parametrize(
    ("pods", "name"),
    [
        ({}, "allow-egress-all"),
        (WEB, "allow-egress-web"),
        ({"app.kubernetes.io/name": "web"}, "allow-egress-web"),
        ({"app": "all"}, "allow-egress-all-453cd72c"),
        ({"app": "Web"}, "allow-egress-web-"),
        ({"app": "a.-b"}, "allow-egress-a-b-"),
        ({"tier": "back", "app": "web"}, "allow-egress-web-back-"),
        ({"match_expressions": [{"key": "app", "operator": "Exists"}]}, "allow-egress-"),
    ],
)
def test_names_can_be_read(pods: t.Any, name: str) -> None:
    (found,) = specs(declare(**ALONE, egress=[{"from": pods}]))
    assert found.startswith(name)
    assert (found == name) != name.endswith("-")


_LABELS = st.dictionaries(
    st.sampled_from(["app", "tier", "app.kubernetes.io/name", "example.com/x"]),
    st.sampled_from(["web", "Web", "api", "all", "a.b", "a_b", "x" * 63, ""]),
    max_size=2,
)


@given(st.lists(_LABELS, min_size=1, max_size=5), _LABELS)
def test_another_flow_renames_no_policy(some: list[dict[str, str]], another: dict[str, str]) -> None:
    def names(flows: list[dict[str, str]]) -> dict[str, t.Any] | None:
        declaration = declare(**ALONE, ingress=[{"to": pods} for pods in flows])
        # app and app.kubernetes.io/name of one value: the user is asked for a name
        return None if declaration.problems else {k: v["podSelector"] for k, v in specs(declaration).items()}

    before, after = names(some), names([another, *some])
    if before is not None and after is not None:
        assert before.items() <= after.items()
        assert len(before) == len({tuple(sorted(pods.items())) for pods in some})


def test_flows_of_the_same_pods_share_a_policy() -> None:
    flows = [{"to": WEB, "ports": [80]}, {"to": {"app": "api"}}, {"to": {"match_labels": WEB}, "ports": [81]}]
    found = specs(declare(**ALONE, ingress=flows))
    assert list(found) == ["allow-ingress-web", "allow-ingress-api"]
    assert [r["ports"][0]["port"] for r in found["allow-ingress-web"]["ingress"]] == [80, 81]


def test_flows_of_one_name_share_a_policy_across_directions() -> None:
    declared = declare(
        **ALONE,
        ingress=[{"name": "web", "to": WEB, "ports": [80]}],
        egress=[{"name": "web", "from": WEB, "to": [{"pods": {"app": "api"}}]}],
    )
    assert specs(declared) == {
        "web": {
            "podSelector": {"matchLabels": WEB},
            "ingress": [{"ports": [{"protocol": "TCP", "port": 80}]}],
            "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "api"}}}]}],
            "policyTypes": ["Ingress", "Egress"],
        }
    }


# -- stages


def test_observe_writes_nothing_and_says_what_enforce_would() -> None:
    declaration = declare("observe", ingress=[{"to": WEB}])
    names = ["default-deny", "allow-dns", "allow-ingress-web"]
    assert declaration.objects == []
    withdrawn = [Ref("NetworkPolicy", "shop", name) for name in [*names, "stage-warn-allow-all"]]
    assert declaration.withdrawn == withdrawn
    (finding,) = declaration.findings
    assert (finding.rule, finding.affected, finding.refuse) == ("network/not-enforced", tuple(names), False)


def test_warn_lets_everything_through_beside_the_policies() -> None:
    found = specs(declare("warn"))
    assert found.pop("stage-warn-allow-all") == {
        "podSelector": {},
        "ingress": [{}],
        "egress": [{}],
        "policyTypes": ["Ingress", "Egress"],
    }
    assert found == specs(declare("enforce"))


def test_enforce_withdraws_the_policy_of_stage_warn() -> None:
    declaration = declare("enforce")
    assert declaration.withdrawn == [Ref("NetworkPolicy", "shop", "stage-warn-allow-all")]


def test_an_items_own_stage_wins() -> None:
    assert declare("enforce", stage="observe").objects == []


def test_where_names_the_option_of_each_policy() -> None:
    declaration = declare(egress=[{"from": WEB}])
    places = {ref.name: place for ref, place in declaration.where.items()}
    assert places["allow-egress-web"] == "policies[0] (shop).egress[0]"
    assert places["allow-dns"] == "policies[0] (shop).dns"


# -- mistakes


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"namespace": "Shop"}, ".namespace: namespace 'Shop' is not a DNS label"),
        ({"dns": "always"}, ".dns: 'always' is neither true, false nor a dictionary"),
        ({"dns": {"cidr": "192.0.2.1/32"}}, ".dns: unknown option cidr"),
        ({"dns": {"cidrs": "192.0.2.1/32"}}, ".dns: cidrs: '192.0.2.1/32' is not a list"),
        ({"dns": {"pods": "kube-dns"}}, ".dns: 'kube-dns' is not a map of labels"),
        ({"ingress": [{"from": []}]}, ".ingress[0]: from is empty, which would be everywhere"),
        ({"ingress": [{"ports": []}]}, ".ingress[0]: ports is empty, which would be all ports"),
        ({"ingress": [{"from": [{}]}]}, ".ingress[0]: from[0]: the peer names nobody"),
        ({"ingress": [{"to": {"app": "no spaces"}}]}, ".ingress[0]: 'no spaces' is not a label value"),
        ({"ingress": [{"to": {"match_labels": ["app"]}}]}, ".ingress[0]: ['app'] is not a map of labels"),
        (
            {"ingress": [{"to": {"match_labels": WEB, "app": "x"}}]},
            ".ingress[0]: label app beside match_labels",
        ),
        (
            {"ingress": [{"to": {"match_expressions": [{"key": "a", "operator": "in", "values": ["b"]}]}}]},
            ".ingress[0]: match_expressions[0]: operator 'in' is unknown",
        ),
        (
            {"ingress": [{"to": {"match_expressions": [{"key": "a", "operator": "In", "values": "b"}]}}]},
            ".ingress[0]: match_expressions[0]: values: 'b' is not a list",
        ),
        (
            {"ingress": [{"to": {"match_expressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}]},
            ".ingress[0]: match_expressions[0]: operator Exists takes no values",
        ),
        ({"egress": [{"ports": [99999]}]}, ".egress[0]: ports[0]: port 99999 is out of range"),
        ({"egress": [{"ports": ["8010-8000"]}]}, ".egress[0]: ports[0]: end_port 8000 has no lower number"),
        (
            {"egress": [{"ports": [{"end_port": 80}]}]},
            ".egress[0]: ports[0]: end_port 80 has no lower number",
        ),
        (
            {"egress": [{"ports": [{"port": "http", "end_port": 80}]}]},
            ".egress[0]: ports[0]: end_port 80 has no lower number",
        ),
        ({"egress": [{"ports": ["80/ICMP"]}]}, ".egress[0]: ports[0]: protocol 'ICMP' is unknown"),
        ({"egress": [{"ports": ["80/"]}]}, ".egress[0]: ports[0]: protocol '' is unknown"),
        ({"egress": [{"ports": [True]}]}, ".egress[0]: ports[0]: 'True' is no port name"),
        ({"egress": [{"ports": [{}]}]}, ".egress[0]: ports[0]: the port says nothing"),
        (
            {"egress": [{"to": [{"cidr": "192.0.2.1/24"}]}]},
            ".egress[0]: to[0]: '192.0.2.1/24' has host bits set",
        ),
        (
            {"egress": [{"to": [{"cidr": "192.0.2.0/24", "except": ["192.0.2.0/24"]}]}]},
            ".egress[0]: to[0]: except 192.0.2.0/24 is not a part of 192.0.2.0/24",
        ),
        (
            {"egress": [{"to": [{"cidr": "192.0.2.0/24", "except": ["2001:db8::/64"]}]}]},
            ".egress[0]: to[0]: except 2001:db8::/64 is not a part of 192.0.2.0/24",
        ),
        (
            {"egress": [{"to": [{"cidr": "192.0.2.0/24", "pods": WEB}]}]},
            ".egress[0]: to[0]: cidr and pods in one peer",
        ),
        ({"egress": [{"to": [{"except": ["192.0.2.0/24"]}]}]}, ".egress[0]: to[0]: except without cidr"),
        (
            {"egress": [{"to": [{"namespace": "a", "namespace_labels": {}}]}]},
            ".egress[0]: to[0]: namespace and namespace_labels in one peer",
        ),
        (
            {"egress": [{"to": [{"cidr": "169.254.169.254/32"}]}]},
            ".egress[0]: to[0]: 169.254.169.254/32 is where instances get their metadata",
        ),
        (
            {"dns": {"cidrs": ["fd00:ec2::254/128"]}},
            ".dns: cidrs[0]: fd00:ec2::254/128 is where instances get their metadata",
        ),
        (
            {"egress": [{"to": [{"cidr": "::ffff:169.254.0.0/112"}]}]},
            ".egress[0]: to[0]: ::ffff:a9fe:0/112 is an IPv4-mapped IPv6 network",
        ),
        (
            {"ingress": [{"name": "a", "to": WEB}], "egress": [{"name": "a"}]},
            ".egress[0]: policy a is about other pods at ingress[0]",
        ),
        (
            {"dns": True, "ingress": [{"name": "allow-dns"}]},
            ".ingress[0]: policy allow-dns is already declared at dns",
        ),
        (
            {"ingress": [{"name": "stage-warn-allow-all"}]},
            ".ingress[0]: stage-warn-allow-all is the policy that stage warn adds",
        ),
        ({"raw": [{"name": "a_b", "spec": {}}]}, ".raw[0]: name 'a_b' is not a DNS subdomain"),
        (
            {"raw": [{"name": "a", "spec": {"egress": [{"to": {"podSelector": {}}}]}}]},
            ".raw[0]: spec.egress[0].to: {'podSelector': {}} is not a list",
        ),
        (
            {"raw": [{"name": "a", "spec": {"egress": [{"ports": [{"endPort": "80"}]}]}}]},
            ".raw[0]: spec.egress[0].ports[0].endPort: '80' is not a number",
        ),
    ],
)
def test_mistakes_are_named(options: t.Any, text: str) -> None:
    (found,) = mistakes(**options)
    assert found.startswith(f"policies[0] (shop){text}")
    assert found.endswith("none of the item's policies is written")


def test_every_mistake_is_told_at_once() -> None:
    found = mistakes(dns=7, ingress=[{"ports": [0]}, {"to": WEB}, {"from": []}])
    assert [text.split(": ")[0].removeprefix("policies[0] (shop)") for text in found] == [
        ".dns",
        ".ingress[0]",
        ".ingress[2]",
    ]


# -- random items


def _selectors() -> st.SearchStrategy[dict[str, t.Any]]:
    keys, texts = st.sampled_from(["app", "tier", "example.com/x"]), st.sampled_from(["web", "api", "1", ""])
    expressions = st.one_of(
        st.fixed_dictionaries(
            {
                "key": keys,
                "operator": st.sampled_from(["In", "NotIn"]),
                "values": st.lists(texts, min_size=1, max_size=3),
            }
        ),
        st.fixed_dictionaries({"key": keys, "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
    )
    labels = st.dictionaries(keys, texts, max_size=2)
    both = {"match_labels": labels, "match_expressions": st.lists(expressions, max_size=2)}
    return st.one_of(labels, st.fixed_dictionaries({}, optional=both))


@st.composite
def _blocks(draw: st.DrawFn) -> dict[str, t.Any]:
    """CIDRs of all sizes, often around the metadata addresses, with exceptions of all sizes within."""
    addresses = [*network.METADATA, *map(ipaddress.ip_network, ("192.0.2.7/32", "2001:db8::7/128"))]
    address = draw(st.sampled_from(addresses))
    outer = address.supernet(new_prefix=draw(st.integers(0, address.max_prefixlen)))
    block: dict[str, t.Any] = {"cidr": str(outer)}
    if outer.prefixlen < outer.max_prefixlen:
        bits = st.integers(outer.prefixlen + 1, outer.max_prefixlen)
        inner = draw(st.lists(bits, max_size=2))
        near = [n for n in addresses if n.network_address in outer]
        block["except"] = [str(draw(st.sampled_from(near)).supernet(new_prefix=prefix)) for prefix in inner]
    return block


def _peers() -> st.SearchStrategy[dict[str, t.Any]]:
    names = st.sampled_from(["shop", "front", "kube-system"])
    return st.one_of(
        st.fixed_dictionaries({"pods": _selectors()}),
        st.fixed_dictionaries({"namespace": names}, optional={"pods": _selectors()}),
        st.fixed_dictionaries({"namespace_labels": _selectors()}, optional={"pods": _selectors()}),
        _blocks(),
    )


_PORTS = st.one_of(
    st.integers(1, 65535),
    st.sampled_from(["http", "53/UDP", "8000-8010", "8000-8010/SCTP", "9-9", {"protocol": "UDP"}]),
)


def _flows(direction: network.Direction) -> st.SearchStrategy[list[dict[str, t.Any]]]:
    optional = {
        "name": st.sampled_from(["one", "two", "allow-ingress-web", "default-deny"]),
        direction.pods: _selectors(),
        direction.peers: st.lists(_peers(), min_size=1, max_size=3),
        "ports": st.lists(_PORTS, min_size=1, max_size=3),
    }
    return st.lists(st.fixed_dictionaries({}, optional=optional), max_size=3)


_RAW_SPECS = st.sampled_from(
    [
        {},
        {"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]},
        {"podSelector": {}, "policyTypes": ["Ingress"]},
        {
            "podSelector": {"matchLabels": WEB},
            "ingress": [{"ports": [{"port": 80}]}],
            "policyTypes": ["Ingress"],
        },
        {
            "podSelector": {"matchLabels": WEB},
            "ingress": [{"ports": [{"protocol": "TCP", "port": 80}]}],
            "policyTypes": ["Ingress", "Egress"],
        },
        {
            "podSelector": {},
            "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}],
            "policyTypes": ["Egress"],
        },
        {
            "podSelector": {"matchLabels": WEB},
            "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "api"}}}]}],
            "policyTypes": ["Egress"],
        },
    ]
)
_RAW = st.lists(st.fixed_dictionaries({"name": st.sampled_from(["raw", "allow-dns"]), "spec": _RAW_SPECS}), max_size=1)
_DNS = st.one_of(
    st.booleans(),
    st.fixed_dictionaries(
        {},
        optional={
            "namespace": st.just("dns"),
            "pods": _selectors(),
            "cidrs": st.lists(_blocks().map(lambda block: block["cidr"]), max_size=2),
        },
    ),
)
_ITEMS = st.fixed_dictionaries(
    {"namespace": st.just("shop")},
    optional={
        "stage": st.sampled_from(["warn", "enforce"]),
        "default_deny": st.booleans(),
        "dns": _DNS,
        "ingress": _flows(network.INGRESS),
        "egress": _flows(network.EGRESS),
        "raw": _RAW,
    },
)


@given(_ITEMS)
def test_what_is_described_declares_the_same(item: dict[str, t.Any]) -> None:
    stage = item.pop("stage", "enforce")
    first = declare(stage, **item)
    again = declare(stage, **network.describe(first.objects, stage))
    assert again.problems == []
    assert sorted(again.objects, key=_by_name) == sorted(first.objects, key=_by_name)


def _by_name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def test_a_description_is_as_short_as_what_was_written() -> None:
    flows = {
        "ingress": [{"to": WEB, "from": [{"namespace": "front"}], "ports": [8080, "53/UDP"]}],
        "egress": [
            {"from": WEB, "to": [{"namespace_labels": {"team": "x"}, "pods": {"app": "api"}}]},
            {"from": WEB, "to": [{"cidr": "192.0.2.0/24", "except": ["192.0.2.1/32"]}], "ports": ["1-2"]},
        ],
    }
    item = {"namespace": "shop", "default_deny": True, "dns": {"cidrs": ["169.254.20.10/32"]}, **flows}
    assert network.describe(declare(**item).objects) == item


def test_what_stage_warn_left_behind_is_raw_at_stage_enforce_and_refused() -> None:
    left = declare("warn").objects
    assert network.allows_all(left)
    declaration = declare("enforce", **network.describe(left))
    assert sorted(declaration.objects, key=_by_name) == sorted(left, key=_by_name)
    assert declaration.withdrawn == []
    (finding,) = declaration.findings
    assert (finding.rule, finding.ref.name) == ("network/metadata-reachable", "stage-warn-allow-all")
    assert finding.refuse


def test_what_flows_cannot_say_is_raw() -> None:
    spec = {"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]}
    (policy,) = declare(**ALONE, raw=[{"name": "open", "spec": spec}]).objects
    assert network.describe([policy])["raw"] == [{"name": "open", "spec": spec}]


# -- the metadata addresses


@pytest.mark.parametrize(
    ("cidr", "excepted", "expected"),
    [
        ("169.254.0.0/16", [], ["169.254.169.254/32"]),
        ("169.254.169.254/31", [], ["169.254.169.254/32"]),
        ("0.0.0.0/0", ["10.0.0.0/8"], ["10.0.0.0/8", "169.254.169.254/32"]),
        ("0.0.0.0/0", ["169.254.0.0/16"], ["169.254.0.0/16"]),
        ("0.0.0.0/0", ["169.254.169.254/32"], ["169.254.169.254/32"]),
        ("::/0", [], ["fd00:ec2::254/128"]),
        ("fd00::/8", ["fd00:ec2::/32"], ["fd00:ec2::/32"]),
        ("192.0.2.0/24", [], None),
    ],
)
def test_metadata_is_excepted_once(cidr: str, excepted: list[str], expected: t.Any) -> None:
    peer = {"cidr": cidr, "except": excepted}
    (found,) = rule("egress", to=[peer])["to"]
    assert found["ipBlock"].get("except") == expected


def test_ingress_networks_are_left_alone() -> None:
    (found,) = rule("ingress", **{"from": [{"cidr": "0.0.0.0/0"}]})["from"]
    assert found == {"ipBlock": {"cidr": "0.0.0.0/0"}}


def test_egress_to_everywhere_still_means_pods_and_networks() -> None:
    assert rule("egress", **{"from": WEB})["to"] == [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}},
        {"ipBlock": {"cidr": "::/0", "except": ["fd00:ec2::254/128"]}},
        {"namespaceSelector": {}},
    ]


def _egress_reaches(policies: list[Manifest], address: str) -> bool:
    """Deliberately naive: every peer of every rule, in terms of single addresses."""
    wanted = ipaddress.ip_address(address)

    def has(block: t.Any) -> bool:
        taken_out = any(wanted in ipaddress.ip_network(inner) for inner in block.get("except", []))
        return wanted in ipaddress.ip_network(block["cidr"]) and not taken_out

    for policy in policies:
        for egress in policy["spec"].get("egress", []):
            if not egress.get("to") or any(has(peer["ipBlock"]) for peer in egress["to"] if "ipBlock" in peer):
                return True
    return False


@given(_ITEMS)
def test_no_flow_reaches_metadata(item: dict[str, t.Any]) -> None:
    flows = {key: value for key, value in item.items() if key not in ("raw", "stage")}
    for address in ("169.254.169.254", "fd00:ec2::254"):
        assert not _egress_reaches(declare(**flows).objects, address)


@given(_ITEMS)
def test_exceptions_lie_within_their_network(item: dict[str, t.Any]) -> None:
    """What the API server asks of an ipBlock."""
    for policy in declare(**item).objects:
        rules = [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]
        for peer in (peer for each in rules for peer in [*each.get("from", []), *each.get("to", [])]):
            block = peer.get("ipBlock", {})
            for inner in map(ipaddress.ip_network, block.get("except", [])):
                outer = ipaddress.ip_network(block["cidr"])
                assert inner.network_address in outer
                assert inner.prefixlen > outer.prefixlen


@given(_ITEMS)
def test_the_check_agrees_on_what_reaches_metadata(item: dict[str, t.Any]) -> None:
    policies = [p for p in declare(**item).objects if _by_name(p) != "stage-warn-allow-all"]
    found = {f.ref.name for f in checks.check(policies, None, None, []) if f.rule == "network/metadata-reachable"}
    addresses = ("169.254.169.254", "fd00:ec2::254")
    assert found == {_by_name(p) for p in policies if any(_egress_reaches([p], a) for a in addresses)}


# -- anything at all

_ANYTHING = st.recursive(
    st.one_of(st.booleans(), st.integers(-1, 70000), st.sampled_from(["", "a", "53", "In", "0.0.0.0/0"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(
                [
                    *("app", "match_labels", "match_expressions", "key", "operator", "values", "port"),
                    *("end_port", "protocol", "cidr", "cidrs", "except", "pods", "namespace", "to", "from"),
                    *("egress", "ingress", "ports", "ipBlock", "podSelector", "matchLabels", "policyTypes"),
                ]
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(sorted(network.SPEC)), _ANYTHING, max_size=3),
    st.fixed_dictionaries(
        {"namespace": st.just("shop")},
        optional={
            "dns": _ANYTHING,
            "ingress": st.lists(st.fixed_dictionaries({"to": _ANYTHING, "ports": _ANYTHING}), max_size=1),
            "egress": st.lists(st.fixed_dictionaries({"to": _ANYTHING, "from": _ANYTHING}), max_size=1),
            "raw": st.lists(st.fixed_dictionaries({"name": _ANYTHING, "spec": _ANYTHING}), max_size=1),
        },
    ),
)
def test_no_input_is_a_traceback(loose: dict[str, t.Any], closer: dict[str, t.Any]) -> None:
    checker = ItemChecker(network.SPEC)
    for raw in (loose, closer):
        item, errors = checker.check(raw)
        if not errors:
            declaration = network.declare(item, "policies[0]", Context("enforce"))
            checks.check(declaration.objects, {}, [], [])
            assert network.describe(declaration.objects)
