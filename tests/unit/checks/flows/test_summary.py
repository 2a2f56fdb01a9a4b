# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person is shown of flows: names, the matrix and its pictures, changes, findings."""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import audit, judge, observed, ports, summary
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.enquiry import Enquiry
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.flows import CLUSTER, POLICIES
from tests.unit.checks.flows.test_semantics import cilium, cnp, gnp, np

Manifest = dict[str, t.Any]
OBJECTS = [*CLUSTER.namespaces, *CLUSTER.pods, *CLUSTER.nodes]
DENY = "{podSelector: {}, policyTypes: [Ingress, Egress]}"
FROM_WEB = (
    "{podSelector: {matchLabels: {app: api}}, ingress: [{ports: [{port: 80}], from: "
    "[{namespaceSelector: {matchLabels: {team: a}}, podSelector: {matchLabels: {app: web}}}]}]}"
)


def rules(asked: Enquiry) -> list[tuple[str, str]]:
    return [(finding.rule, finding.ref.name) for finding in asked.findings()]


def test_a_matrix_says_who_reaches_whom() -> None:
    asked = Enquiry([*OBJECTS, np("api", DENY, "deny"), np("api", FROM_WEB, "web")])
    shown = asked.matrix("api", ["text", "svg", "html"])
    assert shown["flows"] == [{"from": "shop/web", "to": "api", "ports": "80"}]
    assert "shop/web" in shown["text"]
    assert len({len(line) for line in shown["text"].splitlines()[1:2]}) == 1
    drawing = ElementTree.fromstring(shown["svg"])
    assert drawing.tag.endswith("svg")
    assert [text for text in drawing.itertext() if text == "80"]
    assert "<table>" in shown["html"]


def test_pictures_hold_no_markup_of_others() -> None:
    pod = {**CLUSTER.pods[3], "metadata": {"name": "x", "namespace": "api", "labels": {"app": "<b>&"}}}
    shown = Enquiry([pod, np("api", DENY)]).matrix("api", ["svg", "html"])
    assert "<b>" not in shown["html"]
    ElementTree.fromstring(shown["svg"])


@pytest.mark.parametrize("engine", ["kubernetes", "calico", "cilium"])
@settings(max_examples=20)
@given(data=st.data())
def test_a_matrix_has_exactly_the_flows(engine: str, data: t.Any) -> None:
    policies, others = data.draw(POLICIES[engine])
    asked = Enquiry([*OBJECTS, *policies, *others], engine)
    table = summary.matrix(asked.after, "shop")
    inside = set(asked.world.in_namespace("shop"))
    point = ports.point("TCP", 80)
    for row, source in enumerate(table.sides):
        for column, destination in enumerate(table.sides):
            told = ports.contains(table.cells.get((row, column), ()), point)
            for one in asked.world.numbers(source.mask):
                for other in asked.world.numbers(destination.mask):
                    if {one, other} & inside and not (row == column and one == other):
                        assert asked.after.flow(one, other, point).allowed == told


@pytest.mark.parametrize("engine", ["kubernetes", "calico", "cilium"])
@settings(max_examples=20)
@given(data=st.data())
def test_changes_are_the_difference(engine: str, data: t.Any) -> None:
    policies, others = data.draw(POLICIES[engine])
    more, _others = data.draw(POLICIES[engine])
    for number, policy in enumerate(more):
        policy["metadata"] = {**policy["metadata"], "name": f"p{number + 3}"}
    asked = Enquiry([*OBJECTS, *policies, *others], engine, declared=more)
    told = summary.changes(asked.before, asked.after)
    for protocol, port in (("TCP", 80), ("UDP", 53), ("TCP", 8080)):
        point = ports.point(protocol, port)
        for one in range(len(asked.world.endpoints)):
            for other in range(len(asked.world.endpoints)):
                was, will = (each.flow(one, other, point).allowed for each in (asked.before, asked.after))
                found = {
                    change.opens
                    for change in told
                    if change.sources >> one & 1
                    and change.destinations >> other & 1
                    and ports.contains(change.ports, point)
                }
                assert found == ({will} if was != will else set())


def test_changes_in_words() -> None:
    asked = Enquiry(OBJECTS, declared=[np("api", "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}", "deny")])
    outside = ["ops/*", "shop/*", "every pod on the host's network", "every node", "everywhere outside"]
    assert asked.changes() == [{"change": "closes", "from": outside, "to": ["api/*"], "ports": "all"}]
    assert Enquiry(OBJECTS).changes() == []


def test_rules_that_decide_nothing() -> None:
    policies = [
        np(
            "api",
            "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}, {from: [{podSelector: {matchLabels: {app: db}}}]}]}",
            "twice",
        ),
        np("api", "{podSelector: {matchLabels: {app: gone}}, ingress: [{}]}", "none"),
        np("api", "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: gone}}}]}]}", "nobody"),
    ]
    asked = Enquiry([*OBJECTS, *policies])
    assert sorted(rules(asked)) == [
        ("network/unused-rule", "nobody"),
        ("network/unused-rule", "none"),
        ("network/unused-rule", "twice"),
    ]


@pytest.mark.parametrize("version", [4, 6])
def test_a_rule_about_the_other_version_of_ip_is_not_called_unused(version: int) -> None:
    """Calico has a rule for each network: of the metadata addresses one is of either version."""
    nets = "{{action: Deny, destination: {{nets: ['{}']}}}}"
    deny = [nets.format("169.254.169.254/32"), nets.format("fd00:ec2::254/128")]
    deny += [f"{{action: Deny, ipVersion: {each}, protocol: UDP}}" for each in (4, 6)]
    rules = f"[{', '.join(deny)}]"
    asked = Enquiry([*OBJECTS, gnp(f"{{selector: all(), types: [Egress], egress: {rules}}}")], "calico", version)
    assert asked.findings() == []


def test_what_the_other_end_denies() -> None:
    out = "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {team: b}}}]}]}"
    asked = Enquiry([*OBJECTS, np("shop", out, "out"), np("api", "{podSelector: {}}", "deny")])
    (finding,) = asked.findings()
    assert (finding.rule, finding.ref.name) == ("network/unreachable", "out")
    assert "NetworkPolicy api/deny isolates" in finding.message


def test_an_allow_that_an_admin_tier_denies() -> None:
    admin = cnp(
        "{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {matchLabels: {team: a}}}]}]}",
        "admin",
    )
    asked = Enquiry([*OBJECTS, admin, np("api", FROM_WEB, "web")])
    assert ("network/unused-rule", "web") in rules(asked)


def test_priorities_that_are_the_same() -> None:
    spec = "{{tier: Admin, priority: 1, subject: {{namespaces: {{}}}}, ingress: [{{action: {}, from: [{{namespaces: {{}}}}]}}]}}"
    asked = Enquiry([*OBJECTS, cnp(spec.format("Accept"), "a"), cnp(spec.format("Deny"), "b")])
    assert ("network/ambiguous-priority", "a") in rules(asked)


def test_policies_that_nothing_enforces() -> None:
    asked = Enquiry([*OBJECTS, gnp("{selector: all()}", "mine")], "kubernetes")
    (finding,) = asked.findings()
    assert (finding.rule, finding.message) == ("network/no-effect", "kubernetes does not enforce it")
    wrong = Enquiry([*OBJECTS, gnp("{selector: 'app = web'}", "mine")], "calico")
    assert "cannot be read" in wrong.findings()[0].message


def test_policies_about_nodes_alone_are_nothing_to_complain_of() -> None:
    policies = [
        gnp("{selector: all(), preDNAT: true, applyOnForward: true}", "nodes"),
        cilium("", "{nodeSelector: {}, ingress: [{}]}", "host"),
    ]
    for engine, policy in zip(("calico", "cilium"), policies, strict=True):
        assert Enquiry([*OBJECTS, policy], engine).findings() == []


@pytest.mark.parametrize(
    ("label", "engine"), [("calico-node", "calico"), ("cilium", "cilium"), ("kube-dns", "kubernetes")]
)
def test_whose_agents_run_is_whose_rules_hold(label: str, engine: str) -> None:
    metadata = {"name": "agent", "namespace": "kube-system", "labels": {"k8s-app": label}}
    agent = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"hostNetwork": True}}
    asked = Enquiry([*OBJECTS, agent, np("api", DENY)])
    assert asked.after.book.engine == engine
    assert Enquiry([*OBJECTS, agent], "calico").after.book.engine == "calico"


def test_flows_that_would_be_cut() -> None:
    asked = Enquiry(OBJECTS, declared=[np("api", FROM_WEB, "web")])
    web, scan = asked.world.pod("shop", "web-1"), asked.world.pod("ops", "scan-1")
    api = asked.world.pod("api", "api-1")
    assert web is not None
    assert scan is not None
    assert api is not None
    flows = [audit.Seen(each, api, ports.point("TCP", 80), "seen") for each in (web, scan)]
    (finding,) = audit.cut(asked.after, flows, Ref("NetworkPolicy", "", ""))
    assert finding.refuse
    assert finding.affected == ("ops/scan-1 -> api/api: 80 (seen)",)


def test_the_used_rules_are_those_that_decide() -> None:
    found = Enquiry([*OBJECTS, np("api", FROM_WEB, "web")]).after
    assert isinstance(found, judge.Judge)
    assert found.used() == {(0, 0, "ingress", 0)}


SYSTEM: list[Manifest] = [
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "dns-1", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
        "status": {"podIPs": [{"ip": "10.9.0.1"}]},
    },
    {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "master", "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.99"}]},
    },
]


#: Where the API server is that runs on no node of the cluster.
SLICES: Manifest = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
    "endpoints": [{"addresses": ["203.0.113.1"]}],
    "ports": [{"name": "https", "port": 443, "protocol": "TCP"}],
}


def test_the_way_to_an_api_server_elsewhere_is_guarded_too() -> None:
    spec = "{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [203.0.113.0/24]}]}]}"
    asked = Enquiry([*OBJECTS, *SYSTEM, SLICES], declared=[cnp(spec, "guard")])
    planned = {Ref("ClusterNetworkPolicy", "", "guard")}
    (found,) = audit.newly_cut(asked.before, asked.after, asked.system(), planned, told=audit.SYSTEM)
    assert found.refuse
    assert {line.rpartition(" -> ")[2] for line in found.affected} == {"203.0.113.0/24: 443"}


@pytest.mark.parametrize(
    ("cidr", "cut"),
    [("10.9.0.0/16", "kube-system/kube-dns: 53/UDP"), ("192.0.2.0/24", "master: 6443"), ("203.0.113.0/24", "")],
)
def test_denials_for_the_whole_cluster_that_cut_it_off_are_noticed(cidr: str, cut: str) -> None:
    spec = "{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [%s]}]}]}"
    policy = cnp(spec % cidr, "guard")
    asked = Enquiry([*OBJECTS, *SYSTEM], declared=[policy])
    planned = {Ref("ClusterNetworkPolicy", "", "guard")}
    found = list(audit.newly_cut(asked.before, asked.after, asked.system(), planned, told=audit.SYSTEM))
    assert [(f.rule, f.refuse) for f in found] == ([("network/cuts-system", True)] if cut else [])
    assert not cut or [line for line in found[0].affected if line.endswith(cut)]
    # who was cut off before is none of its business
    before = Enquiry([*OBJECTS, *SYSTEM, cnp(spec % cidr, "old")], declared=[policy])
    assert not list(audit.newly_cut(before.before, before.after, before.system(), planned, told=audit.SYSTEM))


def test_needed_flows_of_somebody_who_is_not_there_are_told() -> None:
    asked = Enquiry(OBJECTS)
    here = {"namespace": "shop", "workload": "web"}
    log = [{"from": here, "to": {**here, "workload": name}, "port": 80} for name in ("api", "nobody")]
    flows = observed.parse("declared", log)
    (finding,) = audit.unchecked(asked.nobodys(flows))
    assert (finding.rule, finding.refuse) == ("network/not-checked", False)
    assert "shop/web -> shop/nobody: 80" in finding.message
    assert {flow.where for flow in asked.seen(flows)} == {"declared"}


def test_cilium_knows_where_the_api_server_is() -> None:
    spec = "{endpointSelector: {}, egress: [{toEntities: [kube-apiserver]}]}"
    slices: Manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "endpoints": [{"addresses": ["198.51.100.1"]}],
    }
    other = {**slices, "metadata": {**slices["metadata"], "namespace": "shop"}}
    ends = {"node": {"node": "master"}, "worker": {"node": "one"}, "outside": {"address": "198.51.100.1"}}
    for more, reached in (([], {"node"}), ([slices], {"outside"}), ([other], {"node"})):
        asked = Enquiry([*OBJECTS, *SYSTEM, cilium("shop", spec), *more])
        source = {"namespace": "shop", "pod": "web-1"}
        answers = {name: asked.ask({"from": source, "to": end, "port": 6443}) for name, end in ends.items()}
        assert {name for name, (answer,) in answers.items() if answer.verdict.allowed} == reached
