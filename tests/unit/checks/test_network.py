# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is found in network policies, by themselves and with others."""

from __future__ import annotations

import itertools
import re
import typing as t
from types import MappingProxyType

import pytest
import yaml
from ansible_collections.hardened.k8s.plugins.module_utils.checks import network as checks
from ansible_collections.hardened.k8s.plugins.module_utils.checks import selectors
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import network
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Context, Manifest
from hypothesis import given
from hypothesis import strategies as st

WEB, API = {"app": "web"}, {"app": "api"}
SPACES: t.Mapping[str, dict[str, str]] = MappingProxyType(
    {
        "web": {"team": "shop"},
        "api": {"team": "shop"},
        "ops": {"team": "ops"},
        "kube-system": {},
    }
)


def declare(namespace: str, **options: t.Any) -> list[Manifest]:
    stage = options.pop("stage", "enforce")
    declaration = network.declare({"namespace": namespace, **options}, "", Context(stage))
    assert declaration.problems == []
    return declaration.objects


def raw(namespace: str, spec: t.Any, name: str = "raw") -> list[Manifest]:
    return declare(namespace, default_deny=False, dns=False, raw=[{"name": name, "spec": spec}])


def pod(namespace: str, **labels: str) -> Manifest:
    return {"kind": "Pod", "metadata": {"name": "pod", "namespace": namespace, "labels": labels}}


def find(
    rule: str,
    policies: list[Manifest],
    namespaces: t.Any = SPACES,
    pods: list[Manifest] | None = None,
    stored: t.Sequence[Manifest] = (),
) -> list[Finding]:
    found = checks.check(policies, namespaces, pods, stored)
    assert all(finding.remedy for finding in found)
    return [finding for finding in found if finding.rule == f"network/{rule}"]


# -- by themselves


def test_a_policy_that_selects_no_pod() -> None:
    policies = declare("web", ingress=[{"to": WEB}, {"to": API}])
    (finding,) = find("selects-nothing", policies, pods=[pod("web", app="web"), pod("api", app="api")])
    assert (finding.ref.name, finding.refuse) == ("allow-ingress-api", False)


@pytest.mark.parametrize("pods", [None, [], [pod("api", app="api")]])
def test_without_pods_nothing_is_said_of_them(pods: t.Any) -> None:
    assert find("selects-nothing", declare("web", ingress=[{"to": WEB}]), pods=pods) == []


@pytest.mark.parametrize(
    ("egress", "reached"),
    [
        ([{}], "egress[0] reaches 169.254.169.254/32, fd00:ec2::254/128,"),
        ([{"to": []}], "egress[0] reaches 169.254.169.254/32, fd00:ec2::254/128,"),
        (
            [{"to": [{"podSelector": {}}]}, {"to": [{"ipBlock": {"cidr": "169.254.0.0/16"}}]}],
            "egress[1] reaches 169.254.169.254/32,",
        ),
        (
            [{"to": [{"ipBlock": {"cidr": "::/0", "except": ["2001:db8::/32"]}}]}],
            "egress[0] reaches fd00:ec2::254/128,",
        ),
        (
            [{"to": [{"ipBlock": {"cidr": "::ffff:169.254.169.0/120"}}]}],
            "egress[0] reaches 169.254.169.254/32,",
        ),
        (
            [{"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}], "ports": [{"port": 5432}]}],
            "egress[0] reaches",
        ),
    ],
)
def test_raw_egress_to_the_metadata_address_is_refused(egress: t.Any, reached: str) -> None:
    (finding,) = find("metadata-reachable", raw("web", {"egress": egress}))
    assert finding.message.startswith(reached)
    assert finding.refuse


@pytest.mark.parametrize(
    "spec",
    [
        {"ingress": [{}]},
        {"egress": [{}], "policyTypes": ["Ingress"]},
        {"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}]}]},
        {"egress": [{"to": [{"ipBlock": {"cidr": "nonsense"}}, {"namespaceSelector": {}}]}]},
    ],
)
def test_what_does_not_reach_the_metadata_address(spec: t.Any) -> None:
    assert find("metadata-reachable", raw("web", spec)) == []


def test_the_policy_of_stage_warn_is_not_judged() -> None:
    assert find("metadata-reachable", declare("web", stage="warn")) == []


def test_a_peer_namespace_that_is_not_there() -> None:
    policies = declare("web", egress=[{"to": [{"namespace": "api"}, {"namespace": "apii"}]}])
    (finding,) = find("peer-namespace-missing", policies)
    assert finding.message == "egress[0].to[1] is about namespace apii, which neither exists nor is declared"
    assert find("peer-namespace-missing", policies, namespaces=None) == []


def test_a_peer_whose_labels_no_namespace_has() -> None:
    policies = declare("web", ingress=[{"from": [{"namespace_labels": {"team": "shopp"}}]}])
    (finding,) = find("peer-namespace-missing", policies)
    assert finding.message == "ingress[0].from[0] selects namespaces by labels that none has"
    assert find("peer-namespace-missing", declare("web", ingress=[{"from": [{"namespace_labels": {}}]}])) == []


# -- both ends


def call(**more: t.Any) -> list[Manifest]:
    flow = {"from": WEB, "to": [{"namespace": "api", "pods": API}], "ports": [8080], **more}
    return declare("web", egress=[flow])


@pytest.mark.parametrize(
    "answer",
    [
        {"to": API, "from": [{"namespace": "web", "pods": WEB}], "ports": [8080]},
        {"to": API, "from": [{"namespace_labels": {"team": "shop"}}], "ports": ["8000-9000"]},
        {"to": API, "ports": ["http"]},
        {"from": [{"cidr": "0.0.0.0/0"}]},
        {"to": {"tier": "back"}, "from": [{"namespace": "web", "pods": {"role": "front"}}]},
    ],
)
def test_a_call_that_the_other_side_lets_in(answer: t.Any) -> None:
    assert find("one-sided", [*call(), *declare("api", ingress=[answer])]) == []


@pytest.mark.parametrize(
    "answer",
    [
        {"to": API, "from": [{"namespace": "web", "pods": WEB}], "ports": [8081]},
        {"to": API, "from": [{"namespace": "web", "pods": WEB}], "ports": ["8080/UDP"]},
        {"to": API, "from": [{"namespace": "web", "pods": API}]},
        {"to": API, "from": [{"namespace_labels": {"team": "ops"}}]},
        {"to": API, "from": [{"pods": WEB}]},
        {"to": API, "from": [{"cidr": "192.0.2.0/24"}]},
        {"to": {"app": "other"}, "from": [{"namespace": "web"}]},
        {"to": {"match_expressions": [{"key": "app", "operator": "NotIn", "values": ["api"]}]}},
    ],
)
def test_a_call_that_the_other_side_does_not_let_in(answer: t.Any) -> None:
    policies = [*call(), *declare("api", ingress=[answer])]
    found = [f for f in find("one-sided", policies) if f.ref.namespace == "web"]
    assert [(f.ref.name, f.message) for f in found] == [
        (
            "allow-egress-web",
            "egress[0].to[0] allows what namespace api denies: no ingress rule there lets it through",
        )
    ]
    assert found[0].affected == ("namespace api",)
    assert found[0].remedy == (
        "Declare in api: ingress: [{to: {app: api}, from: [{namespace: web, pods: {app: web}}], ports: [8080]}]"
    )


def test_stored_policies_answer_and_deny_too() -> None:
    assert len(find("one-sided", call(), stored=declare("api"))) == 1
    stored = declare("api", ingress=[{"to": API, "from": [{"namespace": "web"}]}])
    assert find("one-sided", call(), stored=stored) == []


def test_who_denies_nothing_need_not_answer() -> None:
    assert find("one-sided", call()) == []
    assert find("one-sided", [*call(), *declare("api", default_deny=False, ingress=[{"to": WEB}])]) == []


def test_pods_that_a_policy_isolates_need_an_answer_without_a_default_deny() -> None:
    flow = {"to": API, "from": [{"namespace": "ops"}]}
    policies = [*call(), *declare("api", default_deny=False, ingress=[flow])]
    assert [f.ref.name for f in find("one-sided", policies)] == ["allow-egress-web"]


def test_ingress_from_pods_that_may_not_call() -> None:
    policies = [*declare("api", ingress=[{"to": API, "from": [{"namespace": "web"}]}]), *declare("web")]
    (finding,) = find("one-sided", policies)
    assert finding.ref.name == "allow-ingress-api"
    assert finding.remedy == "Declare in web: egress: [{to: [{namespace: api, pods: {app: api}}]}]"


def test_both_ends_in_one_namespace() -> None:
    one = {"from": WEB, "to": [{"pods": API}]}
    (finding,) = find("one-sided", declare("web", egress=[one]))
    assert finding.remedy == "Declare in web: ingress: [{to: {app: api}, from: [{pods: {app: web}}]}]"
    other = {"to": API, "from": [{"pods": WEB}]}
    assert find("one-sided", declare("web", egress=[one], ingress=[other])) == []


def test_a_policy_may_answer_itself() -> None:
    everybody: list[t.Any] = [{"podSelector": {}}]
    spec = {"ingress": [{"from": everybody}], "egress": [{"to": everybody}]}
    assert find("one-sided", raw("web", spec)) == []


def test_of_namespaces_selected_by_labels_one_answer_is_enough() -> None:
    ask = {"from": {"app": "scraper"}, "to": [{"namespace_labels": {"team": "shop"}, "pods": API}]}
    policies = [*declare("ops", egress=[ask]), *declare("web"), *declare("api")]
    (finding,) = find("one-sided", policies)
    assert finding.affected == ("namespace api", "namespace web")
    answer = declare("api", ingress=[{"to": API, "from": [{"namespace": "ops"}]}])
    assert find("one-sided", [*declare("ops", egress=[ask]), *declare("web"), *answer]) == []


def test_egress_to_everybody_asks_for_no_answer() -> None:
    policies = [*declare("web", egress=[{"from": WEB}]), *declare("api")]
    assert find("one-sided", policies, namespaces={"web": {}, "api": {}}) == []


def test_labels_that_are_not_known_may_fit() -> None:
    answer = {"to": API, "from": [{"namespace_labels": {"team": "shop"}}]}
    policies = [*call(), *declare("api", ingress=[answer])]
    assert find("one-sided", policies, namespaces=None) == []
    answer["from"] = [{"namespace": "ops"}]
    assert len(find("one-sided", [*call(), *declare("api", ingress=[answer])], namespaces=None)) == 1


def test_stage_warn_is_judged_as_stage_enforce_will_be() -> None:
    flow = {"from": WEB, "to": [{"namespace": "api"}]}
    policies = [*declare("web", stage="warn", egress=[flow]), *declare("api", stage="warn")]
    assert len(find("one-sided", policies)) == 1
    assert len(find("one-sided", declare("web", egress=[flow]), stored=declare("api", stage="warn"))) == 1


_NAMES = st.sampled_from(["web", "api", "ops"])
_PODS = st.sampled_from([{}, WEB, API])
_PORTS = st.lists(st.sampled_from([80, "80/UDP", "http", "80-90"]), min_size=1, max_size=2)


@given(_NAMES, _PODS, _NAMES, _PODS, _PORTS, st.booleans())
def test_the_remedy_is_a_remedy(home: str, ours: t.Any, space: str, theirs: t.Any, ports: t.Any, outward: bool) -> None:
    """What a finding says to declare makes it go away, read as the YAML that it is."""
    near, option, far = ("from", "egress", "to") if outward else ("to", "ingress", "from")
    flow = {near: ours, far: [{"namespace": space, "pods": theirs}], "ports": ports}
    options: dict[str, dict[str, t.Any]] = {space: {}, home: {option: [flow]}}
    (finding,) = find("one-sided", [p for name, each in options.items() for p in declare(name, **each)])
    match = re.fullmatch(r"Declare in (\S+): (.*)", finding.remedy)
    assert match
    assert match[1] == space
    options[space] = {**options[space], **yaml.safe_load(match[2])}
    assert find("one-sided", [p for name, each in options.items() for p in declare(name, **each)]) == []


# -- DNS


def test_egress_without_dns() -> None:
    policies = declare("web", dns=False, egress=[{"from": WEB, "to": [{"namespace": "api"}]}])
    (finding,) = find("no-dns", policies)
    assert (finding.ref.name, finding.affected) == ("allow-egress-web", ("allow-egress-web",))
    assert find("no-dns", declare("web", egress=[{"from": WEB, "to": [{"namespace": "api"}]}])) == []


def test_pods_that_may_call_nobody_need_no_names() -> None:
    assert find("no-dns", declare("web", dns=False, ingress=[{"to": WEB}])) == []


@pytest.mark.parametrize(
    ("flow", "served"),
    [
        ({"to": [{"namespace": "kube-system"}], "ports": ["53/UDP"]}, True),
        ({"to": [{"namespace": "kube-system", "pods": {"k8s-app": "kube-dns"}}]}, True),
        ({"to": [{"namespace_labels": {}}], "ports": ["1-1023/UDP"]}, True),
        ({"to": [{"namespace": "dns", "pods": {"app": "coredns"}}], "ports": ["dns/UDP"]}, True),
        ({"to": [{"cidr": "169.254.20.10/32"}], "ports": ["53/UDP", "53"]}, True),
        ({}, True),
        ({"to": [{"namespace": "kube-system"}], "ports": [53]}, False),
        ({"to": [{"namespace": "kube-system", "pods": API}]}, False),
        ({"to": [{"namespace_labels": {"team": "shop"}}]}, False),
        ({"to": [{"cidr": "192.0.2.0/24"}]}, False),
        ({"from": API, "to": [{"namespace": "kube-system"}]}, False),
    ],
)
def test_what_serves_for_dns(flow: t.Any, served: bool) -> None:
    caller = {"from": WEB, "to": [{"namespace": "api"}], "ports": [8080]}
    found = find("no-dns", declare("web", dns=False, egress=[caller, {"name": "dns", **flow}]))
    assert served != any("allow-egress-web" in finding.affected for finding in found)


def test_pods_that_are_known_decide_who_can_ask() -> None:
    """A pod may have a label of its own for DNS, which the policies alone do not tell."""
    flows = [
        {"from": WEB, "to": [{"namespace": "api"}]},
        {"from": {"dns": "yes"}, "to": [{"namespace": "kube-system"}]},
    ]
    policies = declare("web", dns=False, egress=flows)
    assert len(find("no-dns", policies)) == 1
    assert find("no-dns", policies, pods=[pod("web", app="web", dns="yes")]) == []
    assert len(find("no-dns", policies, pods=[pod("web", app="web")])) == 1


# -- selectors and ports against every case there is

_KEYS, _VALUES = ("a", "b"), ("x", "y", "z")
_REQUIREMENTS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(_KEYS),
            st.sampled_from(["In", "NotIn"]),
            st.frozensets(st.sampled_from(_VALUES), min_size=1),
        ),
        st.tuples(st.sampled_from(_KEYS), st.sampled_from(["Exists", "DoesNotExist"]), st.just(frozenset[str]())),
    ),
    max_size=3,
).map(tuple)
#: Every set of labels over the keys and values above, and one value beyond them.
_CASES: list[dict[str, str]] = [
    {key: value for key, value in zip(_KEYS, values, strict=True) if value}
    for values in itertools.product((*_VALUES, "other", ""), repeat=len(_KEYS))
]


@given(_REQUIREMENTS, _REQUIREMENTS)
def test_overlap_and_within_agree_with_every_case(one: t.Any, other: t.Any) -> None:
    mine = [labels for labels in _CASES if selectors.matches(one, labels)]
    theirs = [labels for labels in _CASES if selectors.matches(other, labels)]
    assert selectors.overlap(one, other) == any(labels in theirs for labels in mine)
    assert selectors.within(one, other) == all(labels in theirs for labels in mine)


@pytest.mark.parametrize(
    ("expression", "matched"),
    [
        ({"operator": "In", "values": ["x", "y"]}, ["x", "y"]),
        ({"operator": "NotIn", "values": ["x", "y"]}, ["z", None]),
        ({"operator": "Exists"}, ["x", "y", "z"]),
        ({"operator": "DoesNotExist"}, [None]),
    ],
)
def test_expressions_match_as_in_kubernetes(expression: t.Any, matched: list[str | None]) -> None:
    wanted = selectors.requirements({"matchLabels": {"b": "x"}, "matchExpressions": [{"key": "a", **expression}]})
    for value in (*_VALUES, None):
        labels = {"b": "x", "a": value} if value else {"b": "x"}
        assert selectors.matches(wanted, labels) == (value in matched)
    assert not selectors.matches(wanted, {"a": "x"})


_PORT = st.one_of(
    st.fixed_dictionaries(
        {"port": st.integers(1, 5)},
        optional={"endPort": st.integers(5, 8), "protocol": st.sampled_from(["UDP"])},
    ),
    st.fixed_dictionaries({"protocol": st.sampled_from(["TCP", "UDP"])}),
)


def _numbers(ports: list[t.Any]) -> set[tuple[str, int]]:
    every = [("TCP", number) for number in range(1, 10)] + [("UDP", number) for number in range(1, 10)]
    return {
        (protocol, number)
        for protocol, number in every
        if not ports
        or any(
            port.get("protocol", "TCP") == protocol
            and ("port" not in port or port["port"] <= number <= port.get("endPort", port["port"]))
            for port in ports
        )
    }


@given(st.lists(_PORT, max_size=2), st.lists(_PORT, max_size=2))
def test_ports_meet_where_they_have_a_number_in_common(one: list[t.Any], other: list[t.Any]) -> None:
    assert selectors.ports_meet(one, other) == bool(_numbers(one) & _numbers(other))
