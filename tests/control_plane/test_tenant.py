# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a tenant becomes, and that it stays so: the contracts of the API half against a real API server."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.control_plane.conftest import Requests, Runner
from tests.support.examples import OBJECTS, pod, tenant
from tests.support.modules import actions
from tests.testbed.control_plane import ControlPlane
from tests.testbed.versions import minor

Count = t.Callable[[], Requests]


def test_a_first_run_creates_everything_and_a_second_one_sends_no_write(
    run: Runner, requests: Count, prefix: str
) -> None:
    tenants = [tenant(f"{prefix}-{index}") for index in range(5)]
    first = run("tenant", tenants=tenants)
    assert first["changed"]
    assert set(actions(first).values()) == {"create"}
    assert len(first["objects"]) == 5 * OBJECTS
    counted = requests()
    second = run("tenant", tenants=tenants)
    assert not second["changed"]
    assert set(actions(second).values()) == {"unchanged"}
    assert counted.writes() == []
    assert len(counted.sent()) <= 12


def test_check_mode_predicts_a_first_run_a_change_and_a_prune(run: Runner, requests: Count, prefix: str) -> None:
    owner: dict[str, t.Any] = {"owner": prefix, "prune": True}
    steps: list[list[dict[str, t.Any]]] = [
        [tenant(f"{prefix}-a"), tenant(f"{prefix}-b")],
        [
            tenant(f"{prefix}-a", labels={"team": "other"}, quota={"pods": 10}, access=[]),
            tenant(f"{prefix}-b", stage="warn"),
        ],
        [tenant(f"{prefix}-a", service_accounts=[], network={"default_deny": False})],
    ]
    for tenants in steps:
        counted = requests()
        predicted = run("tenant", check=True, diff=True, tenants=tenants, **owner)
        assert all("dryRun=All" in uri or verb == "delete" for verb, uri in counted.writes())
        done = run("tenant", diff=True, tenants=tenants, **owner)
        assert actions(predicted) == actions(done)
        assert predicted["changed"]
        assert done["changed"]
        assert predicted["diff"] == done["diff"]
        assert predicted["findings"] == done["findings"]
        assert not run("tenant", tenants=tenants, **owner)["changed"]


def test_the_diff_shows_creation_change_and_deletion(run: Runner, prefix: str) -> None:
    options: dict[str, t.Any] = {"owner": prefix, "prune": True}
    created = run("namespace", diff=True, namespaces=[{"name": prefix, "labels": {"a": "1"}}], **options)
    (namespace,) = [d for d in created["diff"] if d["after_header"] == f"Namespace {prefix}"]
    assert namespace["before"] == ""
    assert "a: '1'" in namespace["after"]
    assert not {"uid", "managedFields", "resourceVersion"} & set(namespace["after"].split())
    updated = run("namespace", diff=True, namespaces=[{"name": prefix, "labels": {"a": "2"}}], **options)
    (change,) = updated["diff"]
    assert "a: '1'" in change["before"]
    assert "a: '2'" in change["after"]
    gone = run("namespace", diff=True, namespaces=[], **options)
    (removed,) = [d for d in gone["diff"] if d["before_header"] == f"Namespace {prefix}"]
    assert removed["after"] == ""


def test_what_is_no_longer_declared_is_removed_from_inside_an_object(
    run: Runner, cluster: ControlPlane, prefix: str
) -> None:
    account = {"name": "web", "namespace": prefix, "labels": {"keep": "1", "drop": "1"}}
    rules = [{"resources": ["configmaps"], "verbs": ["get"]}, {"resources": ["pods"], "verbs": ["list"]}]
    run("namespace", namespaces=[{"name": prefix}])
    run("rbac", service_accounts=[account], roles=[{"name": "r", "namespace": prefix, "rules": rules}])
    result = run(
        "rbac",
        service_accounts=[{**account, "labels": {"keep": "1"}}],
        roles=[{"name": "r", "namespace": prefix, "rules": rules[:1]}],
    )
    assert set(actions(result).values()) == {"update"}
    labels = cluster.get(f"/api/v1/namespaces/{prefix}/serviceaccounts/web")["metadata"]["labels"]
    assert labels["keep"] == "1"
    assert "drop" not in labels
    role = cluster.get(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{prefix}/roles/r")
    assert len(role["rules"]) == 1


def test_pod_security_labels_follow_the_stage(run: Runner, cluster: ControlPlane, prefix: str) -> None:
    modes = {"observe": {"audit"}, "warn": {"audit", "warn"}, "enforce": {"audit", "warn", "enforce"}}
    for stage, expected in [*modes.items(), ("observe", {"audit"})]:
        run("namespace", stage=stage, namespaces=[{"name": prefix, "pod_security": "restricted"}])
        labels = cluster.get(f"/api/v1/namespaces/{prefix}")["metadata"]["labels"]
        present = {key.rpartition("/")[2]: value for key, value in labels.items() if "pod-security" in key}
        assert {mode for mode in present if not mode.endswith("-version")} == expected
        assert {value for key, value in present.items() if key.endswith("-version")} == {
            f"v1.{minor(cluster.kubernetes)}"
        }


def test_stages_take_back_what_they_no_longer_do(run: Runner, cluster: ControlPlane, prefix: str) -> None:
    def names(path: str) -> set[str]:
        return {item["metadata"]["name"] for item in cluster.get(path)["items"]}

    quotas = f"/api/v1/namespaces/{prefix}/resourcequotas"
    policies = f"/apis/networking.k8s.io/v1/namespaces/{prefix}/networkpolicies"
    account = f"/api/v1/namespaces/{prefix}/serviceaccounts/default"
    flows = {"default-deny", "allow-dns", "allow-ingress-web", "allow-egress-web"}
    expected = {
        "enforce": ({"quota"}, flows, False),
        "warn": (set(), flows | {"stage-warn-allow-all"}, None),
        "observe": (set(), set(), None),
    }
    for stage in ("observe", "warn", "enforce", "warn", "observe"):
        result = run("tenant", tenants=[tenant(prefix)], stage=stage)
        assert not result.get("failed")
        assert (names(quotas), names(policies), cluster.get(account).get("automountServiceAccountToken")) == expected[
            stage
        ]


def test_an_object_that_says_the_same_already_stays_its_makers(
    run: Runner, cluster: ControlPlane, requests: Count, prefix: str
) -> None:
    cluster.kubectl("create", "namespace", prefix)
    cluster.kubectl("create", "quota", "quota", "-n", prefix, "--hard=pods=1000m")
    counted = requests()
    result = run("resource_quota", quotas=[{"namespace": prefix, "quota": {"pods": 1}}])
    assert not result["changed"]
    assert counted.writes() == []
    assert not run("resource_quota", state="absent", quotas=[{"namespace": prefix, "quota": {"pods": 1}}])["changed"]


def test_an_adopted_namespace_is_given_back_and_an_own_one_deleted(
    run: Runner, cluster: ControlPlane, prefix: str
) -> None:
    adopted, own = f"{prefix}-adopted", f"{prefix}-own"
    cluster.kubectl("create", "namespace", adopted)
    before = cluster.get(f"/api/v1/namespaces/{adopted}")
    tenants = [tenant(adopted), tenant(own)]
    run("tenant", tenants=tenants, owner=prefix)
    result = run("tenant", tenants=tenants, owner=prefix, state="absent")
    assert not result.get("failed")
    done = actions(result)
    assert done[f"Namespace//{adopted}"] == "release"
    assert done[f"Namespace//{own}"] == "delete"
    after = cluster.get(f"/api/v1/namespaces/{adopted}")
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    assert "annotations" not in after["metadata"]
    account = cluster.get(f"/api/v1/namespaces/{adopted}/serviceaccounts/default")
    assert "automountServiceAccountToken" not in account
    for kind in ("resourcequotas", "limitranges"):
        assert cluster.get(f"/api/v1/namespaces/{adopted}/{kind}")["items"] == []
    assert own not in cluster.kubectl("get", "namespaces", "-o", "name")
    assert not run("tenant", tenants=tenants, owner=prefix, state="absent")["changed"]


def test_what_others_made_and_a_run_changed_is_given_back(run: Runner, cluster: ControlPlane, prefix: str) -> None:
    cluster.kubectl("create", "namespace", prefix)
    cluster.kubectl("create", "serviceaccount", "web", "-n", prefix)
    cluster.kubectl("create", "quota", "quota", "-n", prefix, "--hard=pods=5")
    declared = {
        "name": prefix,
        "quota": {"pods": 5, "services": 3},
        "service_accounts": [{"name": "web"}, {"name": "own"}],
    }
    changed = actions(run("tenant", tenants=[declared], owner=prefix))
    assert changed[f"ResourceQuota/{prefix}/quota"] == "update"
    assert changed[f"ServiceAccount/{prefix}/web"] == "update"
    undone = actions(run("tenant", tenants=[declared], owner=prefix, state="absent"))
    assert undone[f"ResourceQuota/{prefix}/quota"] == "release"
    assert undone[f"ServiceAccount/{prefix}/web"] == "release"
    assert undone[f"ServiceAccount/{prefix}/own"] == "delete"
    quota = cluster.get(f"/api/v1/namespaces/{prefix}/resourcequotas/quota")
    assert quota["spec"]["hard"] == {"pods": "5"}
    account = cluster.get(f"/api/v1/namespaces/{prefix}/serviceaccounts/web")
    assert "automountServiceAccountToken" not in account
    assert not {"labels", "annotations"} & set(account["metadata"])


def test_a_network_policy_whose_selector_was_taken_over_is_deleted(
    run: Runner, cluster: ControlPlane, prefix: str
) -> None:
    """What is left of it would be about every pod of the namespace."""
    cluster.kubectl("create", "namespace", prefix)
    theirs = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow-dns", "namespace": prefix},
        "spec": {"podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress"], "ingress": [{}]},
    }
    path = f"/apis/networking.k8s.io/v1/namespaces/{prefix}/networkpolicies"
    query = "?fieldManager=theirs&force=true"
    cluster.request("PATCH", f"{path}/allow-dns{query}", theirs, "application/apply-patch+yaml")
    options: dict[str, t.Any] = {"policies": [{"namespace": prefix}], "owner": prefix}
    assert "theirs" in run("network_policy", **options)["msg"]
    taken = actions(run("network_policy", force_conflicts=True, **options))
    assert taken[f"NetworkPolicy/{prefix}/allow-dns"] == "update"
    run("network_policy", state="absent", **options)
    assert cluster.get(path)["items"] == []


def test_prune_touches_only_its_owner_and_never_a_namespace_with_pods(
    run: Runner, cluster: ControlPlane, prefix: str
) -> None:
    one, two = f"{prefix}-one", f"{prefix}-two"
    rules = {"pod_security_policy": {"run_as_user": {"rule": "MustRunAs", "ranges": [{"min": 1000, "max": 1000}]}}}
    run("tenant", tenants=[{"name": one}, {"name": two, "quota": {"pods": 2}, "network": {}, **rules}], owner=one)
    run("rbac", service_accounts=[{"name": "other", "namespace": two}], owner=two)
    cluster.kubectl("create", "serviceaccount", "foreign", "-n", two)
    busy = pod("busy", two)
    busy["spec"]["securityContext"] = {"runAsUser": 1000}
    cluster.request("POST", f"/api/v1/namespaces/{two}/pods", busy)
    for check in (True, False):
        refused = run("tenant", check=check, diff=True, tenants=[{"name": one}], owner=one, prune=True)
        assert refused["failed"]
        assert "namespace/running-pods" in refused["msg"]
        assert "busy" in refused["msg"]
        # neither is what is in it, nor said to be
        assert not refused["changed"]
        assert refused["diff"] == []
        assert set(actions(refused).values()) == {"unchanged", "refused"}
    assert "allow-dns" in cluster.kubectl("get", "networkpolicies", "-n", two, "-o", "name")
    assert two in cluster.kubectl("get", "namespaces", "-o", "name")
    accept = [{"rule": "namespace/running-pods", "name": two, "reason": "test", "expires": "2999-12-31"}]
    cluster.kubectl("delete", "pod", "busy", "-n", two, "--force", "--grace-period=0")
    done = run("tenant", tenants=[{"name": one}], owner=one, prune=True, accept=accept)
    assert actions(done)[f"Namespace//{two}"] == "delete"
    assert {action for item, action in actions(done).items() if f"{two}." in item} == {"delete"}
    assert actions(done)[f"Namespace//{one}"] == "unchanged"


def test_policies_stay_with_a_namespace_that_is_not_gone_in_time(
    run: Runner, cluster: ControlPlane, prefix: str
) -> None:
    held = f"{prefix}-held"
    rules = {"pod_security_policy": {"privileged": False}}
    run("tenant", tenants=[{"name": prefix}, {"name": held, **rules}], owner=prefix)
    cluster.kubectl("patch", "namespace", held, "-p", '{"metadata": {"finalizers": ["example.com/hold"]}}')
    prune: dict[str, t.Any] = {"tenants": [{"name": prefix}], "owner": prefix, "prune": True}
    late = run("tenant", wait_timeout=2, **prune)
    assert late["failed"]
    policies = {item: action for item, action in actions(late).items() if f"/{held}." in item}
    assert set(policies.values()) == {"unchanged"}
    assert f"{held}.pods." in cluster.kubectl("get", "validatingadmissionpolicybindings", "-o", "name")
    cluster.kubectl("patch", "namespace", held, "-p", '{"metadata": {"finalizers": null}}')
    cluster.kubectl("wait", "--for=delete", f"namespace/{held}", "--timeout=60s")
    gone = actions(run("tenant", **prune))
    assert {item: gone[item] for item in policies} == dict.fromkeys(policies, "delete")
    assert f"/{held}." not in cluster.kubectl("get", "validatingadmissionpolicies", "-o", "name")


def test_nothing_is_pruned_while_an_item_is_wrong(run: Runner, cluster: ControlPlane, prefix: str) -> None:
    run("tenant", tenants=[{"name": prefix}], owner=prefix)
    result = run("tenant", tenants=[{"name": prefix, "qouta": {}}], owner=prefix, prune=True)
    assert result["failed"]
    assert "nothing is pruned" in result["msg"]
    assert prefix in cluster.kubectl("get", "namespaces", "-o", "name")


def test_a_changed_role_of_a_binding_is_a_replacement(run: Runner, cluster: ControlPlane, prefix: str) -> None:
    binding = {"name": "b", "namespace": prefix, "cluster_role": "view", "subjects": [{"group": "team"}]}
    run("namespace", namespaces=[{"name": prefix}])
    run("rbac", bindings=[binding])
    predicted = run("rbac", check=True, diff=True, bindings=[{**binding, "cluster_role": "edit"}])
    done = run("rbac", diff=True, bindings=[{**binding, "cluster_role": "edit"}])
    assert actions(predicted) == actions(done) == {f"RoleBinding/{prefix}/b": "replace"}
    assert predicted["diff"] == done["diff"]
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{prefix}/rolebindings/b"
    assert cluster.get(path)["roleRef"]["name"] == "edit"


def test_a_namespace_on_its_way_out_is_made_anew_once_it_is_gone(
    run: Runner, cluster: ControlPlane, prefix: str
) -> None:
    run("tenant", tenants=[tenant(prefix)])
    cluster.kubectl("delete", "namespace", prefix, "--wait=false")
    result = run("tenant", tenants=[tenant(prefix)])
    assert not result.get("failed"), result
    assert cluster.get(f"/api/v1/namespaces/{prefix}")["status"]["phase"] == "Active"
    assert not run("tenant", tenants=[tenant(prefix)])["changed"]


@pytest.mark.parametrize("name", ["kube-system", "default"])
def test_the_clusters_own_namespaces_are_left_alone_unless_named(run: Runner, cluster: ControlPlane, name: str) -> None:
    before = cluster.get(f"/api/v1/namespaces/{name}")["metadata"]["resourceVersion"]
    for state in ("present", "absent"):
        result = run("namespace", state=state, namespaces=[{"name": name, "pod_security": "restricted"}])
        assert result["failed"]
        assert f"allow_system: [{name}]" in result["msg"]
    assert cluster.get(f"/api/v1/namespaces/{name}")["metadata"]["resourceVersion"] == before


def test_a_system_namespace_that_is_named_is_hardened(run: Runner, cluster: ControlPlane) -> None:
    namespaces = [{"name": "kube-public", "pod_security": "baseline"}]
    assert run("namespace", namespaces=namespaces, allow_system=["kube-public"])["changed"]
    undone = run("namespace", namespaces=namespaces, allow_system=["kube-public"], state="absent")
    assert actions(undone)["Namespace//kube-public"] == "release"
    assert "pod-security" not in str(cluster.get("/api/v1/namespaces/kube-public")["metadata"]["labels"])


def test_the_same_objects_in_two_hands_are_a_conflict_that_names_the_owner(run: Runner, prefix: str) -> None:
    run("namespace", namespaces=[{"name": prefix, "labels": {"a": "1"}}])
    result = run("tenant", tenants=[{"name": prefix, "labels": {"a": "2"}}])
    assert result["failed"]
    assert "belongs to owner namespace" in result["msg"]
    assert run("tenant", tenants=[{"name": prefix, "labels": {"a": "2"}}], force_conflicts=True)["changed"]


def test_another_managers_field_is_not_stolen(run: Runner, cluster: ControlPlane, prefix: str) -> None:
    run("namespace", namespaces=[{"name": prefix}])
    cluster.kubectl("create", "quota", "quota", "-n", prefix, "--hard=pods=5")
    result = run("resource_quota", quotas=[{"namespace": prefix, "quota": {"pods": 7}}])
    assert result["failed"]
    assert "kubectl" in result["msg"]
    assert ".spec.hard.pods" in result["msg"]
    assert "force_conflicts" in result["msg"]
    assert cluster.get(f"/api/v1/namespaces/{prefix}/resourcequotas/quota")["spec"]["hard"]["pods"] == "5"
    assert run("resource_quota", quotas=[{"namespace": prefix, "quota": {"pods": 7}}], force_conflicts=True)["changed"]


def test_rendered_manifests_are_what_a_run_would_have_made(run: Runner, cluster: ControlPlane, prefix: str) -> None:
    rendered = run("tenant", state="rendered", tenants=[tenant(prefix, pod_security_version="v1.30")])
    assert not rendered["changed"]
    assert len(rendered["manifests"]) == OBJECTS
    for manifest in rendered["manifests"]:
        cluster.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(manifest))
    assert not run("tenant", tenants=[tenant(prefix, pod_security_version="v1.30")])["changed"]
