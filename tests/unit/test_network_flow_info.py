# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module network_flow_info, from objects instead of a cluster."""

from __future__ import annotations

import typing as t

import pytest

from tests.gates.environment import ROOT
from tests.support.boutique import EXAMPLE, pods
from tests.support.flows import CLUSTER
from tests.support.modules import run_module

DENY: dict[str, t.Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny", "namespace": "api"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
}
SERVICE: dict[str, t.Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "api", "namespace": "api"},
    "spec": {"selector": {"app": "api"}, "ports": [{"name": "web", "port": 443, "targetPort": "http"}]},
}
OBJECTS = [*CLUSTER.namespaces, *CLUSTER.pods, *CLUSTER.nodes, SERVICE]
WEB, SERVED = {"namespace": "shop", "workload": "web"}, {"namespace": "api", "service": "api"}


def run(**params: t.Any) -> dict[str, t.Any]:
    return run_module("network_flow_info", {"objects": OBJECTS, **params})


def test_answers_name_the_policy() -> None:
    question = {"from": WEB, "to": SERVED, "port": 443}
    (before,) = run(flows=[question])["answers"]
    assert (before["allowed"], before["port"], before["to"]) == (True, "80", "api/api")
    (after,) = run(flows=[question], manifests=[DENY])["answers"]
    assert not after["allowed"]
    assert after["ingress"]["name"] == "deny"
    assert "isolates api/api for ingress" in after["ingress"]["reason"]


def test_an_answer_that_is_not_expected_fails() -> None:
    asked = [{"from": WEB, "to": SERVED, "port": "web", "expect": "denied"}]
    result = run(flows=asked)
    assert result["failed"]
    assert result["msg"].startswith("flows[0]: shop/web -> api/api: 80 is allowed, expected denied")
    assert not run(flows=asked, manifests=[DENY]).get("failed")


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (
            {"from": WEB, "to": {"namespace": "api", "service": "nobody"}, "port": 1},
            "to: there is no service api/nobody",
        ),
        ({"from": WEB, "to": SERVED, "port": 80}, "service api has no port 80"),
        ({"from": WEB, "to": SERVED}, "the flow has no port"),
        ({"from": {"pod": "web-1"}, "to": SERVED, "port": 443}, "from has a pod without a namespace"),
        ({"from": {}, "to": SERVED, "port": 443}, "from names nobody"),
        ({"from": {"address": "2001:db8::1"}, "to": SERVED, "port": 443}, "not an address of IPv4"),
        ({"from": WEB, "to": SERVED, "port": 443, "protocol": "GRE"}, "protocol 'GRE' is unknown"),
        ({"from": WEB, "to": {"address": "192.0.2.1"}, "port": "x"}, "port x is not a port of"),
    ],
)
def test_questions_that_make_no_sense(flow: t.Any, message: str) -> None:
    result = run(flows=[flow])
    assert result["failed"]
    assert message in result["msg"]


#: Services have addresses, which nobody is at: calls are sent on before policies are asked.
ADDRESSED = {**SERVICE, "spec": {**SERVICE["spec"], "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"]}}
OUTSIDE: list[dict[str, t.Any]] = [
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "out", "namespace": "api"},
        "spec": {"clusterIP": "10.96.0.8", "ports": [{"port": 80}]},
    },
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "out-1", "namespace": "api", "labels": {"kubernetes.io/service-name": "out"}},
        "endpoints": [{"addresses": ["198.51.100.7"]}],
        "ports": [{"port": 8080, "protocol": "TCP"}],
    },
]


def test_the_address_of_a_service_is_who_is_behind_it() -> None:
    objects = [*CLUSTER.namespaces, *CLUSTER.pods, ADDRESSED, *OUTSIDE]
    behind, outside, nobody = (
        run(objects=objects, flows=[{"from": WEB, "to": {"address": address}, "port": port}])["answers"]
        for address, port in (("10.96.0.7", 443), ("10.96.0.8", 80), ("10.96.0.9", 80))
    )
    assert [(each["to"], each["port"]) for each in behind] == [("api/api", "80")]
    assert [(each["to"], each["port"]) for each in (*outside, *nobody)] == [("0.0.0.0/0", "8080"), ("0.0.0.0/0", "80")]
    named = run(objects=objects, flows=[{"from": WEB, "to": {"namespace": "api", "service": "out"}, "port": 80}])
    assert named["answers"] == outside
    wrong = run(objects=objects, flows=[{"from": WEB, "to": {"address": "10.96.0.7"}, "port": 80}])
    assert "service api has no port 80" in wrong["msg"]


def test_what_was_sent_to_a_service_is_seen_where_it_was_sent_on_to() -> None:
    """A socket of a client shows the address of the service."""
    log = "tcp ESTAB 0 0 10.1.0.1:50000 10.96.0.7:443\ntcp ESTAB 0 0 10.1.0.1:50001 10.96.0.8:80\n"
    observed = [{"format": "ss", "log": log}]
    objects = [*CLUSTER.namespaces, *CLUSTER.pods, ADDRESSED, *OUTSIDE]
    result = run(objects=objects, observed=observed, manifests=[DENY])
    assert {item["namespace"]: item for item in result["suggestion"]["policies"]} == {
        "api": {
            "namespace": "api",
            "ingress": [{"to": {"app": "api"}, "from": [{"namespace": "shop", "pods": {"app": "web"}}], "ports": [80]}],
        },
        "shop": {
            "namespace": "shop",
            "egress": [
                {"from": {"app": "web"}, "to": [{"namespace": "api", "pods": {"app": "api"}}], "ports": [80]},
                {"from": {"app": "web"}, "to": [{"cidr": "198.51.100.7/32"}], "ports": [8080]},
            ],
        },
    }
    (cut,) = [finding for finding in result["findings"] if finding["rule"] == "network/cuts-flow"]
    assert cut["affected"] == ["shop/web -> api/api: 80 (seen)"]


def test_changes_matrices_and_findings() -> None:
    result = run(manifests=[DENY], namespaces=["api"], pictures=["text", "svg", "html"])
    assert result["engine"] == "kubernetes"
    assert {change["change"] for change in result["changes"]} == {"closes"}
    (matrix,) = result["matrices"]
    assert {"text", "svg", "html"} <= set(matrix)
    assert result["findings"] == []
    assert "changes" not in run()
    assert run(namespaces=["none"])["msg"] == "namespaces: there are no pods in namespace none"


def test_what_was_seen_is_suggested_and_not_cut() -> None:
    log = "tcp LISTEN 0 1 0.0.0.0:80 0.0.0.0:*\ntcp ESTAB 0 0 10.1.1.1:80 10.1.0.1:50000\n"
    observed = [{"format": "ss", "log": log}]
    suggested = run(observed=observed)["suggestion"]
    assert [item["namespace"] for item in suggested["policies"]] == ["api", "shop"]
    policies = run_module("network_policy", {"state": "rendered", "policies": suggested["policies"]})["manifests"]
    assert not [f for f in run(observed=observed, manifests=policies)["findings"] if f["rule"] == "network/cuts-flow"]
    (cut,) = [f for f in run(observed=observed, manifests=[DENY])["findings"] if f["rule"] == "network/cuts-flow"]
    assert cut["affected"] == ["shop/web -> api/api: 80 (seen)"]
    assert "no line of ss" in run(observed=[{"format": "ss", "log": "x"}])["msg"]


def test_what_is_no_object_is_refused() -> None:
    assert "manifests[0] is no Kubernetes object" in run(manifests=[{"kind": "NetworkPolicy"}])["msg"]


def test_objects_that_are_not_as_their_kind_has_to_be_are_refused() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "api"}, "spec": ["x"]}
    result = run(manifests=[pod])
    assert result["failed"]
    assert "is not as its kind has to be" in result["msg"]


TEMPLATE: dict[str, t.Any] = {
    "metadata": {"labels": {"app": "new"}},
    "spec": {"containers": [{"name": "main", "ports": [{"name": "http", "containerPort": 8081}]}]},
}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Deployment", {"template": TEMPLATE}),
        ("StatefulSet", {"template": TEMPLATE}),
        ("CronJob", {"jobTemplate": {"spec": {"template": TEMPLATE}}}),
    ],
)
def test_a_workload_without_pods_is_there_with_its_template(kind: str, spec: dict[str, t.Any]) -> None:
    made = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "new", "namespace": "api"}, "spec": spec}
    asked = {"from": WEB, "to": {"namespace": "api", "workload": "new"}, "port": "http"}
    (open_, closed) = (run(flows=[asked], manifests=each)["answers"] for each in ([made], [made, DENY]))
    assert [(answer["port"], answer["allowed"]) for answer in (*open_, *closed)] == [("8081", True), ("8081", False)]
    assert run(manifests=[made])["changes"] == []


def test_a_workload_that_runs_is_there_as_it_runs() -> None:
    metadata = {"name": "api", "namespace": "api"}
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": TEMPLATE}}
    (answer,) = run(flows=[{"from": WEB, "to": {"namespace": "api", "workload": "api"}, "port": 80}], manifests=[made])[
        "answers"
    ]
    assert answer["to"] == "api/api"


def test_what_is_needed_is_not_cut() -> None:
    log = [{"from": WEB, "to": {"namespace": "api", "workload": "api"}, "port": 80}]
    observed = [{"format": "declared", "log": log}]
    result = run(observed=observed, manifests=[DENY])
    (cut,) = [finding for finding in result["findings"] if finding["rule"] == "network/cuts-flow"]
    assert cut["affected"] == ["shop/web -> api/api: 80 (declared)"]
    assert {item["namespace"] for item in result["suggestion"]["policies"]} == {"api", "shop"}
    assert "is not a pod or workload" in run(observed=[{"format": "declared", "log": [{**log[0], "to": {}}]}])["msg"]


def test_the_matrix_in_the_documentation_is_that_of_the_example() -> None:
    declared = {name.partition("_")[2]: value for name, value in EXAMPLE.items()}
    objects = [*run_module("tenant", {"state": "rendered", **declared})["manifests"], *pods("image")]
    (matrix,) = run_module("network_flow_info", {"objects": objects, "namespaces": ["boutique-shop"]})["matrices"]
    assert f"```text\n{matrix['text']}```" in (ROOT / "docs" / "network.md").read_text()
