# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users get for mistakes: one message that names the item and the remedy, and the valid rest applied."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from tests.control_plane.conftest import Runner
from tests.support.examples import OBJECTS, tenant
from tests.support.modules import run_module
from tests.testbed.control_plane import ControlPlane

#: What is wrong -> words that the message must have: the item, the value, the remedy.
WRONG: dict[str, tuple[dict[str, t.Any], list[str]]] = {
    "unknown option": ({"qouta": {"pods": 1}}, ["qouta", "Supported parameters", "documentation"]),
    "unknown nested option": ({"network": {"ingres": []}}, ["network", "ingres"]),
    "bad quantity": ({"quota": {"pods": "5x"}}, [".quota", "pods", "5x", "2Gi"]),
    "bad resource": ({"quota": {"requests.cores": 1}}, ["requests.cores", "requests.cpu"]),
    "bad label": ({"labels": {"a b": "c"}}, ["a b", "label key"]),
    "bad label value": ({"labels": {"a": "no spaces"}}, ["no spaces", "label value"]),
    "port out of range": ({"network": {"ingress": [{"ports": [99999]}]}}, ["ingress[0]", "99999", "65535"]),
    "host bits": ({"network": {"egress": [{"to": [{"cidr": "192.0.2.1/24"}]}]}}, ["192.0.2.1/24", "192.0.2.0/24"]),
    "metadata address": (
        {"network": {"egress": [{"to": [{"cidr": "169.254.169.254/32"}]}]}},
        ["169.254.169.254", "metadata"],
    ),
    "no verbs": ({"roles": [{"name": "r", "rules": [{"resources": ["pods"], "verbs": []}]}]}, ["rules[0]", "verbs"]),
    "two subjects in one": ({"access": [{"user": "a", "group": "b", "role": "view"}]}, ["access[0]", "user and group"]),
    "bad stage": ({"stage": "enforced"}, ["enforced", "observe, warn, enforce"]),
    "no such profile": ({"profile": "nope"}, ["nope", "profiles"]),
    "expired acceptance": (
        {"accept": [{"rule": "rbac/exec", "reason": "x", "expires": "2020-01-01"}]},
        ["accept[0]", "rbac/exec", "expired on 2020-01-01"],
    ),
    "acceptance without a date": (
        {"accept": [{"rule": "rbac/exec", "reason": "x", "expires": "soon"}]},
        ["accept[0]", "soon", "YYYY-MM-DD"],
    ),
    "scopes that exclude each other": (
        {"quotas": [{"name": "q", "hard": {"pods": 1}, "scopes": ["Terminating", "NotTerminating"]}]},
        ["quotas[0]", "Terminating", "NotTerminating"],
    ),
    "minimum above maximum": (
        {"limits": {"min": {"cpu": 2}, "max": {"cpu": 1}}},
        [".limits", "min[cpu]", "2 is above max, 1"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_named_and_the_rest_is_applied(run: Runner, prefix: str, case: str) -> None:
    part, words = WRONG[case]
    result = run("tenant", tenants=[{"name": f"{prefix}-bad", **part}, tenant(f"{prefix}-good")])
    assert result["failed"]
    for word in ["tenants[0]", f"{prefix}-bad", *words]:
        assert word in result["msg"]
    assert all(problem["remedy"] for problem in result["problems"])
    good = [item for item in result["objects"] if f"{prefix}-good" in (item["namespace"], item["name"])]
    assert len(good) == OBJECTS
    assert {item["action"] for item in good} == {"create"}


def test_a_tenant_declared_twice_is_named_with_both_places(run: Runner, prefix: str) -> None:
    result = run("tenant", tenants=[{"name": prefix}, {"name": f"{prefix}-b"}, {"name": prefix, "labels": {"a": "b"}}])
    assert result["failed"]
    assert f"tenants[2] ({prefix})" in result["msg"]
    assert f"tenants[0] ({prefix})" in result["msg"]


def test_an_unknown_field_in_a_raw_policy_is_refused_by_the_server(run: Runner, prefix: str) -> None:
    raw = [{"name": "typo", "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingres": [{}]}}]
    result = run("tenant", tenants=[{"name": prefix, "network": {"raw": raw}}])
    assert result["failed"]
    assert "spec.ingres" in result["msg"]
    failed = [item["name"] for item in result["objects"] if item["action"] == "failed"]
    assert failed == ["typo"]


def test_nobody_grants_what_they_do_not_hold(cluster: ControlPlane, run: Runner, prefix: str) -> None:
    run("namespace", namespaces=[{"name": prefix}])
    cluster.kubectl(
        "create", "clusterrole", prefix, "--verb=list,get,create,patch", "--resource=roles,rolebindings,clusterroles"
    )
    cluster.kubectl("create", "clusterrolebinding", prefix, f"--clusterrole={prefix}", f"--user={prefix}")
    roles = [
        {"name": "more", "namespace": prefix, "rules": [{"resources": ["configmaps"], "verbs": ["get"]}]},
        {
            "name": "same",
            "namespace": prefix,
            "rules": [{"api_groups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["get"]}],
        },
    ]
    result = run("rbac", roles=roles, impersonate_user=prefix)
    assert result["failed"]
    for word in (f"Role {prefix}/more", "configmaps", "not currently held", "escalate"):
        assert word in result["msg"]
    assert {item["name"]: item["action"] for item in result["objects"]} == {"more": "failed", "same": "create"}


def test_a_risk_is_refused_until_it_is_accepted(run: Runner, prefix: str) -> None:
    run("namespace", namespaces=[{"name": prefix}])
    roles = [
        {"name": "reader", "namespace": prefix, "rules": [{"resources": ["secrets"], "verbs": ["get"]}]},
        {"name": "harmless", "namespace": prefix, "rules": [{"resources": ["pods"], "verbs": ["get"]}]},
    ]
    for check in (True, False):
        refused = run("rbac", roles=roles, check=check)
        assert refused["failed"]
        assert "rbac/secrets" in refused["msg"]
        assert "accept it" in refused["msg"]
        assert [i["action"] for i in refused["objects"] if i["name"] == "reader"] == ["refused"]
    accept = [{"rule": "rbac/secrets", "name": "reader", "reason": "the operator reads them", "expires": "2999-01-01"}]
    accepted = run("rbac", roles=roles, accept=accept)
    assert not accepted.get("failed")
    (finding,) = accepted["findings"]
    assert "the operator reads them (until 2999-01-01)" in finding["accepted"]
    warned = run("rbac", roles=[{**roles[0], "name": "other"}], stage="warn")
    assert not warned.get("failed")
    assert warned["findings"][0]["rule"] == "rbac/secrets"


def test_an_acceptance_that_nothing_needs_is_told(run: Runner, prefix: str) -> None:
    accept = [{"rule": "rbac/exec", "reason": "once", "expires": "2999-01-01"}]
    result = run("namespace", namespaces=[{"name": prefix}], accept=accept)
    assert [finding["rule"] for finding in result["findings"]] == ["accept/unused"]


def test_expected_rights_are_asked_of_the_server(run: Runner, prefix: str) -> None:
    tenants = [
        tenant(
            prefix,
            expect=[
                {"service_account": "web", "can": ["get configmaps web"], "cannot": ["get configmaps other"]},
                {"groups": ["team-shop"], "can": ["get pods", "get pods/log"], "cannot": ["get secrets"]},
                {"user": "nobody", "cannot": ["get pods"]},
            ],
        )
    ]
    result = run("tenant", tenants=tenants)
    assert [item["holds"] for item in result["expectations"]] == [True] * 6
    tenants[0]["expect"] = [{"groups": ["team-shop"], "can": ["delete pods"]}]
    result = run("tenant", tenants=tenants)
    assert result["failed"]
    assert "group team-shop" in result["msg"]
    assert "cannot delete pods" in result["msg"]


BROKEN: dict[str, tuple[t.Callable[[dict[str, t.Any], Path], t.Any], list[str]]] = {
    "missing": (lambda _config, tmp: str(tmp / "nowhere"), ["nowhere", "cannot be used"]),
    "truncated": (lambda config, tmp: _file(tmp, json.dumps(config)[:-80]), ["cannot be used"]),
    "empty": (lambda _config, tmp: _file(tmp, ""), ["cannot be used"]),
    "not a kubeconfig": (lambda _config, tmp: _file(tmp, "[1, 2]"), ["cannot be used"]),
    "closed port": (lambda config, _tmp: _server(config, "https://127.0.0.1:1"), ["127.0.0.1:1", "cannot be reached"]),
    "another CA": (lambda config, _tmp: _server(config, None), ["certificate", "another server"]),
    "expired token": (lambda config, _tmp: _token(config, "old"), ["401", "expired"]),
}


def _file(directory: Path, text: str) -> str:
    path = directory / "kubeconfig"
    path.write_text(text)
    return str(path)


def _server(config: dict[str, t.Any], server: str | None) -> dict[str, t.Any]:
    details = config["clusters"][0]["cluster"]
    del details["certificate-authority-data"]
    if server:
        details.update({"server": server, "insecure-skip-tls-verify": True})
    return config


def _token(config: dict[str, t.Any], token: str) -> dict[str, t.Any]:
    config["users"][0]["user"]["token"] = token
    return config


@pytest.mark.parametrize("case", BROKEN)
def test_a_kubeconfig_that_does_not_serve_is_named(cluster: ControlPlane, tmp_path: Path, case: str) -> None:
    make, words = BROKEN[case]
    result = run_module("namespace", {"kubeconfig": make(cluster.config, tmp_path), "namespaces": [{"name": "x"}]})
    assert result["failed"]
    for word in words:
        assert word in result["msg"]
    assert cluster.token not in json.dumps(result)


def test_a_server_that_is_no_api_server_is_named(cluster: ControlPlane) -> None:
    config = _server(cluster.config, cluster.server + "/nowhere")
    result = run_module("namespace", {"kubeconfig": config, "namespaces": [{"name": "x"}]})
    assert result["failed"]
    assert "does not answer as a Kubernetes API server" in result["msg"]


def test_no_permission_for_one_kind_names_the_verb(cluster: ControlPlane, run: Runner, prefix: str) -> None:
    run("namespace", namespaces=[{"name": prefix}])
    cluster.kubectl("create", "role", prefix, "-n", prefix, "--verb=list,create,patch", "--resource=limitranges")
    cluster.kubectl("create", "role", f"{prefix}-r", "-n", prefix, "--verb=list,get", "--resource=resourcequotas")
    for role in (prefix, f"{prefix}-r"):
        cluster.kubectl("create", "rolebinding", role, "-n", prefix, f"--role={role}", f"--user={prefix}")
    quotas = [{"namespace": prefix, "quota": {"persistentvolumeclaims": 0}, "limits": {"default": {"cpu": 1}}}]
    # what the new quota counts may not be listed: that is said before anything is written
    result = run("resource_quota", quotas=quotas, impersonate_user=prefix)
    assert result["failed"]
    assert "persistentvolumeclaims" in result["msg"]
    assert "list" in result["msg"]
    cluster.kubectl(
        "create", "role", f"{prefix}-p", "-n", prefix, "--verb=list", "--resource=persistentvolumeclaims,pods"
    )
    cluster.kubectl("create", "rolebinding", f"{prefix}-p", "-n", prefix, f"--role={prefix}-p", f"--user={prefix}")
    result = run("resource_quota", quotas=quotas, impersonate_user=prefix)
    assert result["failed"]
    assert "patch" in result["msg"]
    assert "resourcequotas" in result["msg"]
    assert {item["kind"]: item["action"] for item in result["objects"]} == {
        "ResourceQuota": "failed",
        "LimitRange": "create",
    }


def test_a_label_without_a_value_does_not_open_a_policy_to_every_pod(run: Runner, prefix: str) -> None:
    network = {"ingress": [{"to": {"app": None}, "from": [{"namespace": "ingress-nginx"}]}]}
    result = run("tenant", tenants=[{"name": prefix, "network": network}])
    assert result["failed"]
    assert "ingress[0]" in result["msg"]
    assert "NetworkPolicy" not in {item["kind"] for item in result["objects"]}
