# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies of Calico, Cilium and network-policy-api, validated by their own schemas on a real API server."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.resources import KINDS
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import network_cluster
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Context, kind_of

from tests.control_plane.conftest import Requests, Runner
from tests.support.examples import pod
from tests.support.modules import run_playbook
from tests.testbed import crds
from tests.testbed.control_plane import ControlPlane
from tests.testbed.versions import KUBERNETES

Item = dict[str, t.Any]

#: Every way in which a flow can be said.
NETWORK: Item = {
    "networks": {"partners": ["198.51.100.0/24", "2001:db8::/32"]},
    "dns": {"cidrs": ["169.254.20.10/32"]},
    "ingress": [
        {
            "to": {"app": "web"},
            "from": [
                {"namespace": "ingress"},
                {"network": "partners"},
                {"cidr": "192.0.2.0/24", "except": ["192.0.2.8/29"]},
            ],
        },
        {"from": [{"namespace_labels": {"match_expressions": [{"key": "team", "operator": "Exists"}]}, "pods": {}}]},
    ],
    "egress": [
        {
            "to": [{"namespace_labels": {}, "pods": {"app": "api"}}],
            "ports": [80, "http", "53/UDP", "8000-8010", {"protocol": "SCTP"}],
        },
        {
            "from": {"match_expressions": [{"key": "a", "operator": "NotIn", "values": ["b", "c"]}]},
            "to": [{"pods": {"app": "x"}}],
        },
    ],
}
BEYOND: dict[str, Item] = {
    "calico": {
        "egress": [
            {"action": "deny", "to": [{"namespace": "x", "pods": {}, "service_account": "web"}], "ports": [80]},
            {"action": "deny", "to": [{"namespace": "x", "service_account_labels": {"role": "db"}}]},
        ]
    },
    "cilium": {
        "egress": [
            {"to": [{"domains": ["api.example.com", "*.example.net"]}], "ports": [443]},
            {"action": "deny", "to": [{"namespace": "x", "service_account": "web"}]},
        ]
    },
}
RULES: Item = {
    "ingress": [{"action": "deny", "from": [{"namespace": "x"}, {"namespace_labels": {}, "pods": {"app": "y"}}]}],
    "egress": [
        {"action": "deny", "to": [{"cidr": "198.51.100.0/24"}], "ports": [80, "53/UDP", "1-9", {"protocol": "TCP"}]},
        {"action": "deny", "to": [{"network": "old"}]},
    ],
    "networks": {"old": ["203.0.113.0/24"]},
}


@pytest.fixture(scope="module")
def cluster() -> t.Iterator[ControlPlane]:
    """An API server of these tests' own that knows these kinds; others take them for missing."""
    version = os.environ.get("HARDENED_K8S_TEST_KUBERNETES") or KUBERNETES[0]
    instance = ControlPlane(f"test-{os.getpid()}-extended", version)
    try:
        crds.install(instance.up())
        yield instance
    finally:
        instance.down()


@pytest.fixture
def clean(run: Runner, prefix: str) -> t.Iterator[str]:
    """An owner, whose policies of the whole cluster are removed in the end."""
    yield prefix
    run("network_policy", owner=prefix, prune=True)


def twice(run: Runner, requests: t.Callable[[], Requests], **params: t.Any) -> Item:
    """The first of two runs; the second must not write, nor check mode have told another story."""
    predicted = run("network_policy", check=True, diff=True, **params)
    done = run("network_policy", diff=True, **params)
    assert not done.get("failed"), done["msg"]
    assert predicted["objects"] == done["objects"]
    assert predicted["diff"] == done["diff"]
    counted = requests()
    again = run("network_policy", **params)
    assert not again["changed"]
    assert counted.writes() == []
    return done


def actions(result: Item) -> dict[str, str]:
    return {f"{item['kind']}/{item['name']}": item["action"] for item in result["objects"]}


@pytest.mark.parametrize("provider", ["calico", "cilium"])
def test_every_flow_is_valid_and_written_once(
    run: Runner, requests: t.Callable[[], Requests], prefix: str, provider: str
) -> None:
    run("namespace", namespaces=[{"name": prefix}])
    item = {"namespace": prefix, "provider": provider, **NETWORK}
    item["egress"] = [*NETWORK["egress"], *BEYOND[provider]["egress"]]
    created = twice(run, requests, policies=[item], owner=prefix)
    assert set(actions(created).values()) == {"create"}
    own = {"calico": {"NetworkPolicy.projectcalico.org", "NetworkSet"}, "cilium": {"CiliumNetworkPolicy"}}
    assert {entry["kind"] for entry in created["objects"]} == own[provider]
    gone = run("network_policy", policies=[item], owner=prefix, state="absent")
    assert set(actions(gone).values()) == {"delete"}


def test_calico_goes_through_the_stages_and_back(run: Runner, requests: t.Callable[[], Requests], prefix: str) -> None:
    run("namespace", namespaces=[{"name": prefix}])
    policies = [{"namespace": prefix, "provider": "calico", "dns": False}]
    staged, real, allow = (
        "StagedNetworkPolicy/default-deny",
        "NetworkPolicy.projectcalico.org/default-deny",
        "NetworkPolicy.projectcalico.org/stage-warn-allow-all",
    )
    expected = [
        ("observe", {staged: "create"}),
        ("warn", {real: "create", allow: "create", staged: "delete"}),
        ("enforce", {real: "unchanged", allow: "delete"}),
        ("observe", {staged: "create", real: "delete"}),
    ]
    for stage, done in expected:
        assert actions(twice(run, requests, policies=policies, stage=stage, owner=prefix)) == done


@pytest.mark.parametrize("provider", ["calico", "cilium"])
def test_no_step_forward_over_flows_that_are_needed(
    run: Runner, cluster: ControlPlane, prefix: str, provider: str
) -> None:
    run("namespace", namespaces=[{"name": prefix}])
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", prefix, "--timeout=30s")
    for name in ("web", "shop"):
        made = pod(name, prefix)
        made["metadata"]["labels"] = {"app": name}
        cluster.request("POST", f"/api/v1/namespaces/{prefix}/pods", made)
    deny = {"from": {"app": "shop"}, "action": "deny", "to": [{"pods": {"app": "web"}}]}
    ends = {end: {"namespace": prefix, "pod": name} for end, name in (("from", "shop"), ("to", "web"))}
    observed = [{"format": "declared", "log": [{**ends, "port": 80}]}]

    def step(stage: str, flow: Item) -> Item:
        policies = [{"namespace": prefix, "provider": provider, "dns": False, "egress": [flow], "ingress": [{}]}]
        return run("network_policy", policies=policies, stage=stage, observed=observed, owner=prefix)

    assert not step("observe", deny).get("failed")
    assert not step("warn", deny).get("failed")
    refused = step("enforce", deny)
    assert f"{prefix}/shop -> {prefix}/web: 80" in str(refused["findings"])
    kept = {item["name"] for item in refused["objects"] if item["action"] == "refused"}
    assert "stage-warn-allow-all" in kept
    assert not step("warn", deny)["changed"]
    assert not step("enforce", {"to": [{"pods": {}}]}).get("failed")


@pytest.mark.parametrize(
    ("provider", "kind"),
    [
        ("calico", "GlobalNetworkPolicy"),
        ("cilium", "CiliumClusterwideNetworkPolicy"),
        ("cluster_network_policy", "ClusterNetworkPolicy"),
        ("auto", "GlobalNetworkPolicy"),
    ],
)
def test_policies_of_the_whole_cluster(
    run: Runner, requests: t.Callable[[], Requests], clean: str, provider: str, kind: str
) -> None:
    rules = RULES if provider != "auto" else {}
    policy = {"name": clean, "provider": provider, "namespaces": {"owner": clean}, **rules}
    created = twice(run, requests, cluster_policies=[policy], owner=clean)
    assert kind in {entry["kind"] for entry in created["objects"]}
    pruned = run("network_policy", owner=clean, prune=True)
    assert kind in {entry["kind"] for entry in pruned["objects"] if entry["action"] == "delete"}


#: Where only AdminNetworkPolicy is served.
OLD = "policy.networking.k8s.io/v1alpha1"
BASELINE: Item = {"tier": "baseline", "name": "default", "deny_metadata": False}
MORE: list[tuple[Item, str, str]] = [
    ({"provider": "cluster_network_policy"}, "enforce", "AdminNetworkPolicy"),
    ({"provider": "cluster_network_policy", **BASELINE}, "enforce", "BaselineAdminNetworkPolicy"),
    ({"provider": "calico"}, "observe", "StagedGlobalNetworkPolicy"),
    ({"provider": "calico", **BASELINE, "service_account_labels": {"role": "web"}}, "warn", "GlobalNetworkPolicy"),
]


@pytest.mark.parametrize(("more", "stage", "kind"), MORE)
def test_what_is_seldom_written_is_valid_too(
    cluster: ControlPlane, prefix: str, more: Item, stage: str, kind: str
) -> None:
    rules = {
        "ingress": [{"action": "deny", "from": [{"namespace": "x"}, {"namespace_labels": {}, "pods": {"app": "y"}}]}],
        "egress": [{"action": "deny", "to": [{"cidr": "198.51.100.0/24"}], "ports": [80, "53/UDP", "1-9/SCTP"]}],
    }
    context = Context(stage, 37, lambda: [OLD])
    declaration = network_cluster.declare({"name": prefix, **rules, **more}, "here", context)
    assert declaration.problems == []
    assert declaration.objects[-1]["kind"] == kind
    for item in declaration.objects:
        path = KINDS[kind_of(item)].path()
        cluster.request("POST", f"{path}?dryRun=All&fieldValidation=Strict", item)


def test_rules_that_allow_and_pass_with_names(run: Runner, requests: t.Callable[[], Requests], clean: str) -> None:
    rules: Item = {
        "ingress": [{"action": "pass", "from": [{"namespace": "x"}]}, {"action": "allow", "ports": [80]}],
        "egress": [{"action": "allow", "to": [{"domains": ["*.example.com"]}], "ports": ["443"]}],
    }
    policy = {"name": clean, "provider": "cluster_network_policy", "tier": "baseline", **rules}
    assert twice(run, requests, cluster_policies=[policy], owner=clean)["changed"]


def test_what_the_api_server_serves_is_read_by_network_flow_info(
    run: Runner, cluster: ControlPlane, clean: str
) -> None:
    run("namespace", namespaces=[{"name": clean}])
    run("network_policy", policies=[{"namespace": clean, "provider": "calico"}], owner=clean)
    found = run("network_flow_info")
    assert found["engine"] == "calico"
    assert not [f for f in found["findings"] if f["rule"] == "network/no-effect" and f["namespace"] == clean]
    cluster.request("DELETE", f"/api/v1/namespaces/{clean}")


def test_the_playbook_makes_and_undoes_them(cluster: ControlPlane, prefix: str, tmp_path: Path) -> None:
    declared = {
        "cluster_owner": prefix,
        "cluster_tenants": [{"name": prefix, "network": {"provider": "cilium"}}],
        "cluster_network_policies": [{"name": prefix, "provider": "cluster_network_policy"}],
    }
    file = tmp_path / "declared.json"
    file.write_text(json.dumps(declared))

    def changed(*more: str) -> int:
        environ = {"K8S_AUTH_KUBECONFIG": str(cluster.kubeconfig)}
        result = run_playbook("hardened.k8s.harden", "-e", f"@{file}", *more, environ=environ)
        assert result["rc"] == 0, result["output"]
        count: int = result["stats"]["localhost"]["changed"]
        return count

    assert [changed("--check"), changed(), changed(), changed("-e", "cluster_state=absent")] == [2, 2, 0, 2]


def test_what_would_cut_pods_off_from_dns_is_refused(run: Runner, cluster: ControlPlane, clean: str) -> None:
    run("namespace", namespaces=[{"name": clean}])
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", clean, "--timeout=30s")
    for space, name, address in (("kube-system", f"{clean}-dns", "198.51.100.53"), (clean, "web", "198.51.100.2")):
        made = pod(name, space)
        made["metadata"]["labels"] = {"k8s-app": "kube-dns"} if name != "web" else {"app": "web"}
        cluster.request("POST", f"/api/v1/namespaces/{space}/pods", made)
        status = {"status": {"podIPs": [{"ip": address}], "podIP": address}}
        cluster.request(
            "PATCH", f"/api/v1/namespaces/{space}/pods/{name}/status", status, "application/merge-patch+json"
        )
    egress = [{"action": "deny", "to": [{"cidr": "198.51.100.0/24"}]}]
    policy = {"name": clean, "provider": "cluster_network_policy", "egress": egress}
    refused = run("network_policy", cluster_policies=[policy], owner=clean)
    assert "network/cuts-system" in refused["msg"]
    assert f"{clean}/web -> kube-system/kube-dns: 53/UDP" in refused["msg"]
    dns = {
        "action": "allow",
        "to": [{"namespace": "kube-system", "pods": {"k8s-app": "kube-dns"}}],
        "ports": ["53/UDP", 53],
    }
    allowed = {**policy, "egress": [dns, *egress]}
    assert not run("network_policy", cluster_policies=[allowed], owner=clean).get("failed")
    cluster.kubectl("delete", "pod", f"{clean}-dns", "-n", "kube-system", "--force")
