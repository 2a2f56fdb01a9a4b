# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flows of a real API server's objects."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.control_plane.conftest import Runner
from tests.support.examples import pod
from tests.testbed.control_plane import ControlPlane


def test_a_cluster_is_read_and_a_declaration_is_judged_before_it_is_written(
    run: Runner, cluster: ControlPlane, prefix: str
) -> None:
    for name in (f"{prefix}-web", f"{prefix}-api"):
        run("namespace", namespaces=[{"name": name}])
        cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=30s")
        made = pod("web", name)
        cluster.request("POST", f"/api/v1/namespaces/{name}/pods", made)
    flow = {
        "from": {"namespace": f"{prefix}-web", "pod": "web"},
        "to": {"namespace": f"{prefix}-api", "pod": "web"},
        "port": 80,
    }
    assert not run("network_flow_info", flows=[{**flow, "expect": "allowed"}]).get("failed")
    policies = [{"namespace": f"{prefix}-api"}]
    manifests = run("network_policy", state="rendered", policies=policies)["manifests"]
    predicted = run("network_flow_info", manifests=manifests, flows=[{**flow, "expect": "denied"}])
    assert not predicted.get("failed")
    assert [change for change in predicted["changes"] if f"{prefix}-api/*" in change["to"]]
    run("network_policy", policies=policies)
    written = run("network_flow_info", manifests=manifests, namespaces=[f"{prefix}-api"], flows=[flow])
    assert not written["answers"][0]["allowed"]
    assert written["changes"] == []


def _stored_by_calico(cluster: ControlPlane, kind: str, plural: str, scope: str) -> None:
    """A kind as Calico stores it, on a cluster without its API server."""
    group = "crd.projectcalico.org"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": scope, "names": names, "versions": [version]},
    }
    cluster.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(definition))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{plural}.{group}", "--timeout=60s")


def test_policies_of_calico_count_without_its_api_server(run: Runner, cluster: ControlPlane, prefix: str) -> None:
    run("namespace", namespaces=[{"name": prefix}])
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", prefix, "--timeout=30s")
    for name in ("web", "api"):
        cluster.request("POST", f"/api/v1/namespaces/{prefix}/pods", pod(name, prefix))
    kinds = (("GlobalNetworkPolicy", "globalnetworkpolicies"), ("GlobalNetworkSet", "globalnetworksets"))
    path = "/apis/crd.projectcalico.org/v1"
    try:
        for kind, plural in kinds:
            _stored_by_calico(cluster, kind, plural, "Cluster")
        rule = {"action": "Deny", "destination": {"selector": f"net == '{prefix}'"}}
        spec = {
            "tier": "default",
            "namespaceSelector": f"kubernetes.io/metadata.name == '{prefix}'",
            "types": ["Egress"],
            "egress": [rule, {"action": "Allow"}],
        }
        policy = {"metadata": {"name": f"default.{prefix}"}, "spec": spec}
        shown = json.dumps({"labels": {"net": prefix}})
        listed = {
            "metadata": {"name": prefix, "annotations": {"projectcalico.org/metadata": shown}},
            "spec": {"nets": ["198.51.100.0/24"]},
        }
        for (kind, plural), item in zip(kinds, (policy, listed), strict=True):
            made = {"apiVersion": "crd.projectcalico.org/v1", "kind": kind, **item}
            cluster.request("POST", f"{path}/{plural}", made)
        flow = {"from": {"namespace": prefix, "pod": "web"}, "port": 80}
        flows = [{**flow, "to": {"address": f"{net}.7"}} for net in ("198.51.100", "203.0.113")]
        answers = run("network_flow_info", flows=flows)["answers"]
        assert [answer["allowed"] for answer in answers] == [False, True]
    finally:
        for _kind, plural in kinds:
            cluster.kubectl("delete", "--ignore-not-found", f"crd/{plural}.crd.projectcalico.org")


def test_a_kind_that_is_not_served_is_explained(run: Runner, prefix: str) -> None:
    result = run("network_policy", policies=[{"namespace": prefix, "provider": "calico"}])
    assert result["failed"]
    assert "the cluster does not serve networkpolicies.projectcalico.org" in result["msg"]
    wanting = run("network_policy", cluster_policies=[{"name": prefix}])
    assert "the cluster serves no policies for the whole of it" in wanting["msg"]
    assert not run("network_policy", policies=[{"namespace": prefix, "provider": "auto"}], state="absent").get("failed")


LOG = "tcp LISTEN 0 1 0.0.0.0:80 0.0.0.0:*\ntcp ESTAB 0 0 198.51.100.1:80 198.51.100.2:50000\n"


def test_no_step_forward_over_flows_that_were_seen(run: Runner, cluster: ControlPlane, prefix: str) -> None:
    run("namespace", namespaces=[{"name": prefix}])
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", prefix, "--timeout=30s")
    path = f"/api/v1/namespaces/{prefix}/pods"
    for name, address in (("web", "198.51.100.1"), ("shop", "198.51.100.2")):
        cluster.request("POST", path, pod(name, prefix))
        status = {"status": {"podIPs": [{"ip": address}], "podIP": address}}
        cluster.request("PATCH", f"{path}/{name}/status", status, "application/merge-patch+json")
    observed = [{"format": "ss", "log": LOG}]

    def step(stage: str, **more: object) -> dict[str, t.Any]:
        policies = [{"namespace": prefix, **more}]
        return run("network_policy", diff=True, policies=policies, stage=stage, observed=observed)

    refused = step("enforce")
    assert "network/cuts-flow" in refused["msg"]
    assert f"{prefix}/shop -> {prefix}/web: 80" in refused["msg"]
    assert not step("warn").get("failed")
    # what would be cut is cut by nothing but the removal of what still allows everything
    again = step("enforce")
    assert "network/cuts-flow" in again["msg"]
    assert [item["name"] for item in again["objects"] if item["action"] == "refused"] == ["stage-warn-allow-all"]
    suggested = run("network_flow_info", observed=observed)["suggestion"]["policies"]
    (flows,) = [{key: item[key] for key in ("ingress", "egress")} for item in suggested if item["namespace"] == prefix]
    done = step("enforce", **flows)
    assert not done.get("failed")
    (change,) = [entry["prepared"] for entry in done["diff"] if entry.get("header") == "Flows"]
    assert f"- {prefix}/shop -> {prefix}/web: 0-79, 81-65535, UDP" in change
    assert "+ " not in change
    assert not step("observe").get("failed")
    assert "observed[0]" in run("network_policy", policies=[], observed=[{"format": "ss", "log": "x"}])["msg"]


@pytest.mark.parametrize(("form", "cut"), [("203.0.113.{}", False), ("2001:db8::{}", True)])
def test_flows_are_judged_over_the_version_of_ip_that_they_use(
    run: Runner, cluster: ControlPlane, prefix: str, form: str, cut: bool
) -> None:
    """A policy that names a network of IPv4 cuts the same flow over IPv6."""
    run("namespace", namespaces=[{"name": prefix}])
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", prefix, "--timeout=30s")
    path = f"/api/v1/namespaces/{prefix}/pods"
    # no two pods of the cluster have the same address
    web, shop = (11, 12) if cut else (21, 22)
    for name, number in (("web", web), ("shop", shop)):
        cluster.request("POST", path, pod(name, prefix))
        addresses = [{"ip": f"203.0.113.{number}"}, {"ip": f"2001:db8::{number}"}]
        status = {"status": {"podIPs": addresses, "podIP": addresses[0]["ip"]}}
        cluster.request("PATCH", f"{path}/{name}/status", status, "application/merge-patch+json")
    log = f"tcp LISTEN 0 1 *:80 *:*\ntcp ESTAB 0 0 [{form.format(web)}]:80 [{form.format(shop)}]:50000\n"
    policy = {
        "namespace": prefix,
        "default_deny": False,
        "dns": False,
        "ingress": [{"from": [{"cidr": "203.0.113.0/24"}]}],
    }
    result = run("network_policy", check=True, diff=True, policies=[policy], observed=[{"format": "ss", "log": log}])
    assert bool(result.get("failed")) == cut
    if cut:
        assert f"{prefix}/shop -> {prefix}/web: 80" in str(result["findings"])
        return
    (told,) = [entry["prepared"] for entry in result["diff"] if entry.get("header") == "Flows"]
    assert any(line.endswith(" over IPv6") for line in told.splitlines())


def test_the_networks_own_namespaces_are_left_alone_unless_named(
    run: Runner, cluster: ControlPlane, prefix: str
) -> None:
    def step(stage: str, *named: str, **more: t.Any) -> dict[str, t.Any]:
        policies = [{"namespace": "calico-system", "dns": False}]
        return run("network_policy", policies=policies, stage=stage, allow_system=named, owner=prefix, **more)

    run("namespace", namespaces=[{"name": "calico-system"}], allow_system=["calico-system"])
    assert "allow_system: [calico-system]" in step("warn")["msg"]
    assert not step("warn", "calico-system").get("failed")
    # what is named goes through the stages as others do
    done = step("enforce", "calico-system")
    assert [item["name"] for item in done["objects"] if item["action"] == "delete"] == ["stage-warn-allow-all"]
    assert not step("enforce", "calico-system", state="absent").get("failed")
    cluster.request("DELETE", "/api/v1/namespaces/calico-system")
