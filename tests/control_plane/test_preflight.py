# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would hurt is found before it is written."""

from __future__ import annotations

import typing as t

import pytest

from tests.control_plane.conftest import Runner
from tests.support.examples import pod
from tests.testbed.control_plane import ControlPlane


@pytest.fixture
def namespace(cluster: ControlPlane, prefix: str) -> str:
    """A namespace of somebody else's, with a privileged pod in it that uses two CPUs."""
    cluster.kubectl("create", "namespace", prefix)
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", prefix, "--timeout=30s")
    busy = pod("busy", prefix, privileged=True, requests={"cpu": "2"})
    cluster.request("POST", f"/api/v1/namespaces/{prefix}/pods", busy)
    return prefix


def rules(result: dict[str, t.Any]) -> dict[str, bool]:
    return {finding["rule"]: finding["refused"] for finding in result["findings"]}


def test_a_level_that_running_pods_violate_is_refused_with_their_names(
    run: Runner, cluster: ControlPlane, namespace: str
) -> None:
    for check in (True, False):
        result = run("namespace", check=check, namespaces=[{"name": namespace, "pod_security": "baseline"}])
        assert result["failed"]
        assert "busy" in result["msg"]
        assert "privileged" in result["msg"]
        assert rules(result) == {"pod-security/running-pods": True}
    assert (
        "pod-security.kubernetes.io/enforce" not in cluster.get(f"/api/v1/namespaces/{namespace}")["metadata"]["labels"]
    )
    warned = run("namespace", namespaces=[{"name": namespace, "pod_security": "baseline", "stage": "warn"}])
    assert not warned.get("failed")
    accept = [{"rule": "pod-security/running-pods", "name": namespace, "reason": "it goes", "expires": "2999-01-01"}]
    accepted = run("namespace", namespaces=[{"name": namespace, "pod_security": "baseline"}], accept=accept)
    assert not accepted.get("failed")
    assert accepted["findings"][0]["accepted"]


def test_a_version_that_running_pods_violate_is_refused_too(run: Runner, cluster: ControlPlane, prefix: str) -> None:
    restricted = {"name": prefix, "pod_security": "restricted"}
    assert not run("namespace", namespaces=[{**restricted, "pod_security_version": "v1.18"}]).get("failed")
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", prefix, "--timeout=30s")
    unfiltered = pod("unfiltered", prefix)
    unfiltered["spec"]["securityContext"] = {"runAsNonRoot": True}
    unfiltered["spec"]["containers"][0]["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    cluster.request("POST", f"/api/v1/namespaces/{prefix}/pods", unfiltered)
    # from v1.19 on, restricted asks for a seccomp profile
    refused = run("namespace", namespaces=[restricted])
    assert rules(refused) == {"pod-security/running-pods": True}
    assert "unfiltered" in refused["msg"]


def test_a_quota_below_what_is_used_is_refused_with_the_numbers(
    run: Runner, cluster: ControlPlane, namespace: str
) -> None:
    def quota(cpu: int) -> list[dict[str, t.Any]]:
        limits = {"default_request": {"cpu": "100m"}}
        return [{"namespace": namespace, "quota": {"pods": 5, "requests.cpu": cpu}, "limits": limits}]

    refused = run("resource_quota", quotas=quota(1))
    assert refused["failed"]
    assert "requests.cpu: used 2, hard 1" in refused["msg"]
    assert {item["kind"]: item["action"] for item in refused["objects"]} == {
        "ResourceQuota": "refused",
        "LimitRange": "create",
    }
    assert not run("resource_quota", quotas=quota(3)).get("failed")
    # now the quota's own status is asked; the controller needs a moment to fill it in
    cluster.kubectl(
        "wait", "--for=jsonpath={.status.used.requests\\.cpu}=2", "quota/quota", "-n", namespace, "--timeout=30s"
    )
    assert "used 2, hard 1" in run("resource_quota", quotas=quota(1))["msg"]
    exceeding = pod("more", namespace, requests={"cpu": "2"})
    with pytest.raises(OSError, match="403"):
        cluster.request("POST", f"/api/v1/namespaces/{namespace}/pods", exceeding)


def test_a_quota_on_memory_without_a_default_is_refused_with_the_line_to_add(run: Runner, namespace: str) -> None:
    result = run("resource_quota", quotas=[{"namespace": namespace, "quota": {"limits.memory": "4Gi"}}])
    assert result["failed"]
    assert "quota/no-defaults" in result["msg"]
    assert "limits: {default: {memory: 256Mi}}" in result["msg"]
    assert rules(result)["quota/pods-without-requests"] is False


def test_a_default_deny_tells_of_pods_and_namespaces_that_it_misses(run: Runner, namespace: str) -> None:
    ingress = [{"to": {"app": "bsuy"}, "from": [{"namespace": f"{namespace}-typo"}], "ports": [80]}]
    found = rules(run("network_policy", policies=[{"namespace": namespace, "dns": False, "ingress": ingress}]))
    assert found == {"network/selects-nothing": False, "network/peer-namespace-missing": False}


def test_a_raw_policy_that_reaches_the_metadata_address_is_refused(run: Runner, namespace: str) -> None:
    raw = [{"name": "all", "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}}]
    for state in ("present", "rendered"):
        result = run("network_policy", state=state, policies=[{"namespace": namespace, "raw": raw}])
        assert result["failed"]
        assert "network/metadata-reachable" in result["msg"]
