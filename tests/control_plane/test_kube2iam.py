# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube2iam's objects on a real API server: admitted, idempotent, guarded, and gone again."""

from __future__ import annotations

import itertools
import json
import time
import typing as t
from pathlib import Path

import pytest

from tests.control_plane.conftest import Requests, Runner
from tests.support.examples import pod
from tests.support.modules import run_playbook
from tests.testbed.control_plane import ControlPlane

BASE = "arn:aws:iam::111122223333:role/k8s/prod/"
IMAGE = f"registry.example/kube2iam@sha256:{'0' * 64}"
ALLOWED, ROLE = "iam.amazonaws.com/allowed-roles", "iam.amazonaws.com/role"


def actions(result: dict[str, t.Any]) -> dict[str, str]:
    assert "objects" in result, result
    return {f"{item['kind']}/{item['name']}": item["action"] for item in result["objects"]}


def agent(prefix: str, **more: t.Any) -> dict[str, t.Any]:
    return {
        "name": prefix,
        "namespace": prefix,
        "image": IMAGE,
        "base_role_arn": BASE,
        "region": "eu-central-1",
        **more,
    }


def allow_list(cluster: ControlPlane, name: str) -> str | None:
    annotations = cluster.get(f"/api/v1/namespaces/{name}")["metadata"].get("annotations") or {}
    found: str | None = annotations.get(ALLOWED)
    return found


def asking(name: str, namespace: str, role: str, **spec: t.Any) -> dict[str, t.Any]:
    """A pod that asks for a role."""
    made = pod(name, namespace)
    made["metadata"]["annotations"] = {ROLE: role}
    made["spec"].update(spec)
    return made


def test_the_agent_is_admitted_and_a_second_run_writes_nothing(
    run: Runner, cluster: ControlPlane, prefix: str, requests: t.Callable[[], Requests]
) -> None:
    predicted = run("kube2iam", check=True, diff=True, agents=[agent(prefix)])
    done = run("kube2iam", diff=True, agents=[agent(prefix)])
    assert not done.get("failed"), done
    assert actions(done) == actions(predicted)
    assert set(actions(done).values()) == {"create"}
    counted = requests()
    again = run("kube2iam", diff=True, agents=[agent(prefix)])
    assert not again["changed"], again["diff"]
    assert counted.writes() == []
    spec = cluster.get(f"/apis/apps/v1/namespaces/{prefix}/daemonsets/{prefix}")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert "--namespace-restrictions" in container["args"]
    assert not [argument for argument in container["args"] if argument.startswith(("--iptables", "--debug", "--auto"))]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_its_pods_are_admitted_in_its_own_namespace_and_in_no_baseline_one(
    run: Runner, cluster: ControlPlane, prefix: str
) -> None:
    run("kube2iam", agents=[agent(prefix)])
    run("namespace", namespaces=[{"name": f"{prefix}-b", "pod_security": "baseline"}])
    template = cluster.get(f"/apis/apps/v1/namespaces/{prefix}/daemonsets/{prefix}")["spec"]["template"]
    for namespace in (prefix, f"{prefix}-b"):
        template["spec"].pop("serviceAccountName", None)
        template["spec"]["automountServiceAccountToken"] = False
        made = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
        made["metadata"] = {"name": "kube2iam", "namespace": namespace}
        answer = apply(cluster, made, "--dry-run=server")
        assert (answer == "") == (namespace == prefix), answer


def against(cluster: ControlPlane, *command: str, text: str | None = None) -> str:
    """What the server says against it; nothing where it is done."""
    try:
        cluster.kubectl(*command, text=text)
    except RuntimeError as error:
        return str(error)
    return ""


def apply(cluster: ControlPlane, manifest: dict[str, t.Any], *options: str) -> str:
    """What the server says against it."""
    return against(cluster, "create", "-f", "-", *options, text=json.dumps(manifest))


def test_a_change_is_predicted_and_removal_leaves_nothing(run: Runner, cluster: ControlPlane, prefix: str) -> None:
    options: dict[str, t.Any] = {"agents": [agent(prefix)], "guards": [{"name": prefix, "stage": "observe"}]}
    run("kube2iam", **options)
    changed = {**options, "agents": [agent(prefix, port=9191, resources={"limits": {"memory": "131072Ki"}})]}
    predicted = run("kube2iam", check=True, diff=True, **changed)
    done = run("kube2iam", diff=True, **changed)
    assert actions(done) == actions(predicted)
    assert {name for name, action in actions(done).items() if action == "update"} == {f"DaemonSet/{prefix}"}
    assert not run("kube2iam", **changed)["changed"]
    gone = run("kube2iam", state="absent", **changed)
    assert set(actions(gone).values()) == {"delete"}
    left = cluster.kubectl(
        "get",
        "validatingadmissionpolicies,validatingadmissionpolicybindings,clusterroles,clusterrolebindings,daemonsets,ns",
        "-A",
        "-o",
        "name",
    )
    assert prefix not in left


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"default_role": "web"}, "kube2iam/default-role"),
        ({"base_role_arn": "arn:aws:iam::111122223333:role/"}, "kube2iam/no-path"),
        ({"metadata_address": "169.254.169.254"}, "kube2iam/user-data"),
    ],
)
def test_what_opens_something_is_refused(run: Runner, prefix: str, more: dict[str, t.Any], rule: str) -> None:
    result = run("kube2iam", agents=[agent(prefix, **more)])
    assert result["failed"]
    assert rule in result["msg"]
    assert actions(result)[f"DaemonSet/{prefix}"] == "refused"


def test_the_allow_list_comes_from_the_tenants_service_accounts(
    run: Runner, cluster: ControlPlane, prefix: str
) -> None:
    accounts = [{"name": "web", "iam_role": "shop-web"}, {"name": "job"}]
    tenant = {"name": prefix, "service_accounts": accounts, "iam_roles": ["metrics"]}
    assert run("tenant", tenants=[tenant])["changed"]
    assert allow_list(cluster, prefix) == '["metrics", "shop-web"]'
    assert not run("tenant", tenants=[tenant])["changed"]
    (found,) = run("tenant_info", names=[prefix])["tenants"]
    assert found["iam_roles"] == ["metrics", "shop-web"]
    assert not run("tenant", tenants=[found])["changed"]
    run("tenant", tenants=[{"name": prefix, "service_accounts": [{"name": "web"}]}])
    assert allow_list(cluster, prefix) is None


def test_running_pods_that_the_list_does_not_hold_or_that_lose_their_role(
    run: Runner, cluster: ControlPlane, prefix: str
) -> None:
    cluster.kubectl("create", "namespace", prefix)
    made = [asking("a", prefix, "web"), asking("b", prefix, f"{BASE}web"), asking("c", prefix, "api")]
    made.append(asking("d", prefix, "web", hostNetwork=True))
    for item in made:
        cluster.kubectl("create", "-f", "-", text=json.dumps(item))
    result = run("kube2iam", namespaces=[{"name": prefix, "allowed_roles": ["web"]}])
    assert result["failed"]
    found = {finding["rule"]: finding["affected"] for finding in result["findings"]}
    assert found == {"kube2iam/loses-role": ["c (api)"], "kube2iam/host-network": ["d"]}
    assert allow_list(cluster, prefix) is None
    assert run("kube2iam", namespaces=[{"name": prefix, "allowed_roles": ["web", "a*"]}])["changed"]
    assert allow_list(cluster, prefix) == '["a*", "web"]'


def on_host(result: dict[str, t.Any], prefix: str) -> dict[str, list[str]]:
    """Namespace of the test -> its pods of which it is told that they get the node's role."""
    found = [item for item in result["findings"] if item["rule"] == "kube2iam/host-network"]
    assert not [item for item in found if item["refused"]]
    return {item["name"]: item["affected"] for item in found if item["name"].startswith(prefix)}


def test_pods_on_the_host_network_are_told_in_every_run(
    run: Runner, cluster: ControlPlane, prefix: str, requests: t.Callable[[], Requests]
) -> None:
    lists: list[dict[str, t.Any]] = [{"name": f"{prefix}-{name}", "allowed_roles": ["web"]} for name in ("one", "two")]
    for item in lists:
        cluster.kubectl("create", "namespace", item["name"])
    cluster.kubectl("create", "-f", "-", text=json.dumps(asking("a", f"{prefix}-one", "web")))
    cluster.kubectl("create", "-f", "-", text=json.dumps(asking("b", f"{prefix}-one", "web", hostNetwork=True)))
    first = run("kube2iam", namespaces=lists)
    assert first["changed"]
    counted = requests()
    again = run("kube2iam", namespaces=lists)
    assert not again["changed"]
    assert counted.writes() == []
    read = [uri for _verb, uri in counted.sent() if "/pods" in uri]
    assert read
    assert all("spec.hostNetwork%3Dtrue" in uri for uri in read), "no other pod is read where nothing changes"
    others = run("kube2iam", owner=f"{prefix}-other", namespaces=[{**lists[0], "allowed_roles": ["api"]}])
    assert others["failed"]
    for result in (first, again, others):
        assert on_host(result, prefix) == {f"{prefix}-one": ["b"]}
    for item in lists:
        cluster.kubectl("delete", "namespace", item["name"])


def test_with_an_agent_pods_on_the_host_network_that_ask_for_a_role_are_told_anywhere(
    run: Runner, cluster: ControlPlane, prefix: str
) -> None:
    for name in ("asks", "plain"):
        cluster.kubectl("create", "namespace", f"{prefix}-{name}")
    made = [asking("a", f"{prefix}-asks", "web", hostNetwork=True), pod("b", f"{prefix}-asks")]
    made += [pod("c", f"{prefix}-plain"), asking("d", f"{prefix}-plain", "")]
    for item in made:
        item["spec"]["hostNetwork"] = True
        cluster.kubectl("create", "-f", "-", text=json.dumps(item))
    results = [run("kube2iam", agents=[agent(prefix)]) for _time in range(2)]
    assert [result["changed"] for result in results] == [True, False]
    for result in results:
        assert on_host(result, prefix) == {f"{prefix}-asks": ["a"]}
    listed = run(
        "kube2iam", check=True, agents=[agent(prefix)], namespaces=[{"name": f"{prefix}-plain", "allowed_roles": []}]
    )
    assert on_host(listed, prefix) == {f"{prefix}-asks": ["a"], f"{prefix}-plain": ["c", "d"]}
    run("kube2iam", state="absent", agents=[agent(prefix)])
    for name in ("asks", "plain"):
        cluster.kubectl("delete", "namespace", f"{prefix}-{name}")


def test_an_agent_that_goes_by_lists_takes_no_running_pods_role(
    run: Runner, cluster: ControlPlane, prefix: str
) -> None:
    for name in ("listed", "none", "broken"):
        cluster.kubectl("create", "namespace", f"{prefix}-{name}")
        cluster.kubectl("create", "-f", "-", text=json.dumps(asking("web", f"{prefix}-{name}", "web")))
    cluster.kubectl("annotate", "namespace", f"{prefix}-listed", f'{ALLOWED}=["api","web"]')
    cluster.kubectl("annotate", "namespace", f"{prefix}-broken", f"{ALLOWED}=web")
    predicted = run("kube2iam", check=True, agents=[agent(prefix)])
    assert not predicted.get("failed"), "the same play may write lists first"
    result = run("kube2iam", agents=[agent(prefix)])
    assert result["failed"]
    assert actions(result)[f"DaemonSet/{prefix}"] == "refused"
    for found in (predicted, result):
        (finding,) = [item for item in found["findings"] if item["rule"] == "kube2iam/no-list"]
        mine = [affected for affected in finding["affected"] if affected.startswith(prefix)]
        assert mine == [f"{prefix}-broken/web (web)", f"{prefix}-none/web (web)"]
    lists = [{"name": f"{prefix}-{name}", "allowed_roles": ["w*"]} for name in ("none", "broken")]
    done = run("kube2iam", agents=[agent(prefix)], namespaces=lists, force_conflicts=True)
    assert not done.get("failed"), done
    cluster.kubectl("create", "-f", "-", text=json.dumps(asking("late", f"{prefix}-none", "other")))
    assert run("kube2iam", agents=[agent(prefix, port=9191)])["changed"], "it goes by lists already"
    run("kube2iam", state="absent", agents=[agent(prefix)], namespaces=lists)
    for name in ("listed", "none", "broken"):
        cluster.kubectl("delete", "namespace", f"{prefix}-{name}")


class Guarded(t.NamedTuple):
    """A namespace whose pods may have ``web`` and ``job-*``, guarded."""

    cluster: ControlPlane
    name: str

    def patched(self, path: str, patch: dict[str, t.Any], user: str, group: str = "team") -> str:
        """What the server says against a change by somebody who has every right that RBAC gives."""
        command = ["patch", *path.split(), "--type=merge", "-p", json.dumps(patch)]
        return against(self.cluster, *command, f"--as={user}", f"--as-group={group}")

    def bound(self, name: str, resource: str, annotations: dict[str, str]) -> str:
        """What the server says against scheduling a pod with these annotations, as the same."""
        binding: dict[str, t.Any] = {
            "apiVersion": "v1",
            "kind": "Binding",
            "target": {"kind": "Node", "name": "node-1"},
        }
        binding["metadata"] = {"name": name, "namespace": self.name, "annotations": annotations}
        path = f"/api/v1/namespaces/{self.name}/{resource.format(name=name)}"
        command = ["create", f"--raw={path}", "-f", "-", "--as=mallory", "--as-group=team"]
        return against(self.cluster, *command, text=json.dumps(binding))


@pytest.fixture
def guarded(run: Runner, cluster: ControlPlane, prefix: str) -> t.Iterator[Guarded]:
    cluster.kubectl("create", "clusterrolebinding", prefix, "--clusterrole=cluster-admin", "--group=team")
    run("namespace", namespaces=[{"name": prefix}])
    cluster.kubectl("annotate", "namespace", prefix, f'{ALLOWED}=["web","job-*"]')
    guard = {"name": prefix, "base_role_arn": BASE, "users": ["platform"]}
    result = run("kube2iam", owner=prefix, guards=[guard])
    assert not result.get("failed"), result
    place = Guarded(cluster, prefix)
    try:
        probes = itertools.count()
        enforced: dict[str, t.Callable[[], str]] = {
            "namespaces": lambda: place.patched(
                f"namespace {prefix}", annotated(ALLOWED, f'["probe-{next(probes)}"]'), "mallory"
            ),
            "pods": lambda: apply(cluster, asking("probe", prefix, "other"), "--dry-run=server"),
            "bindings": lambda: place.bound("probe", "bindings", {ROLE: "web"}),
        }
        until = time.monotonic() + 60  # each is there when the API server has seen it, which takes a moment
        for policy, probe in enforced.items():
            while "ValidatingAdmissionPolicy" not in probe():
                assert time.monotonic() < until, f"the policy about {policy} is not enforced"
                time.sleep(0.2)
        cluster.kubectl("annotate", "--overwrite", "namespace", prefix, f'{ALLOWED}=["web","job-*"]')
        yield place
    finally:
        run("kube2iam", owner=prefix, state="absent", guards=[guard])


def annotated(key: str, value: str | None) -> dict[str, t.Any]:
    return {"metadata": {"annotations": {key: value}}}


def test_only_those_who_are_named_change_an_allow_list(guarded: Guarded) -> None:
    namespace = f"namespace {guarded.name}"
    for subresource in ("", " --subresource=status"):
        for value in ('["*"]', None):
            assert "only those" in guarded.patched(namespace + subresource, annotated(ALLOWED, value), "mallory")
    assert guarded.patched(namespace, {"metadata": {"labels": {"team": "shop"}}}, "mallory") == ""
    assert guarded.patched(namespace, annotated(ALLOWED, '["web"]'), "platform") == ""
    assert guarded.patched(namespace, annotated(ALLOWED, '["web"]'), "mallory") == ""
    made = {"apiVersion": "v1", "kind": "Namespace", **annotated(ALLOWED, '["*"]')}
    made["metadata"]["name"] = f"{guarded.name}-new"
    assert "only those" in apply(guarded.cluster, made, "--as=mallory", "--as-group=team")


@pytest.mark.parametrize(
    ("role", "fits"),
    [
        ("web", True),
        (f"{BASE}web", True),
        ("job-nightly", True),
        ("webx", False),
        ("xweb", False),
        ("job", False),
        ("arn:aws:iam::111122223333:role/web", False),
        ("*", False),
        (".*", False),
    ],
)
def test_a_pod_only_asks_for_what_its_namespace_may_have(guarded: Guarded, role: str, fits: bool) -> None:
    said = apply(guarded.cluster, asking("web", guarded.name, role), "--as=mallory", "--as-group=team")
    assert ("not one that the namespace may have" in said) != fits, said


def test_pods_without_a_role_and_their_changes_are_not_touched(guarded: Guarded) -> None:
    assert apply(guarded.cluster, pod("plain", guarded.name), "--as=mallory", "--as-group=team") == ""
    assert guarded.patched(f"pod plain -n {guarded.name}", annotated("a", "b"), "mallory") == ""


def test_a_pod_that_is_there_keeps_its_role(guarded: Guarded) -> None:
    apply(guarded.cluster, asking("web", guarded.name, "web"))
    for subresource in ("", " --subresource=status"):
        path = f"pod web -n {guarded.name}{subresource}"
        assert "only those" in guarded.patched(path, annotated(ROLE, "job-x"), "mallory")
        assert "only those" in guarded.patched(path, annotated("iam.amazonaws.com/external-id", "x"), "mallory")
    for subresource in ("resize", "ephemeralcontainers"):  # which change no annotation, whoever asks
        guarded.patched(f"pod web -n {guarded.name} --subresource={subresource}", annotated(ROLE, "job-x"), "mallory")
    found = guarded.cluster.get(f"/api/v1/namespaces/{guarded.name}/pods/web")["metadata"]["annotations"]
    assert found[ROLE] == "web"
    assert guarded.patched(f"pod web -n {guarded.name}", annotated(ROLE, "job-x"), "platform") == ""


@pytest.mark.parametrize("resource", ["pods/{name}/binding", "bindings"])
def test_who_schedules_a_pod_gives_it_no_role(guarded: Guarded, resource: str) -> None:
    """The annotations of a Binding become the pod's."""
    assert apply(guarded.cluster, pod("plain", guarded.name)) == ""
    for key in (ROLE, "iam.amazonaws.com/external-id"):
        assert "only those" in guarded.bound("plain", resource, {key: "web"})
    assert guarded.bound("plain", resource, {"example.com/other": "x"}) == ""
    found = guarded.cluster.get(f"/api/v1/namespaces/{guarded.name}/pods/plain")
    assert ROLE not in found["metadata"]["annotations"]
    assert found["spec"]["nodeName"] == "node-1"


def test_a_pod_on_the_host_network_with_a_role_is_told_what_it_would_get(guarded: Guarded) -> None:
    said = apply(guarded.cluster, asking("web", guarded.name, "web", hostNetwork=True))
    assert "gets the node's role" in said


def test_the_policies_type_check(guarded: Guarded) -> None:
    for part in ("namespaces", "pods", "bindings"):
        path = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{guarded.name}-{part}.hardened.k8s"
        until = time.monotonic() + 60
        while "typeChecking" not in guarded.cluster.get(path).get("status", {}) and time.monotonic() < until:
            time.sleep(0.2)
        status = guarded.cluster.get(path).get("status", {})
        assert status.get("typeChecking", {}).get("expressionWarnings", []) == [], status


def test_the_playbook_makes_it_all_after_the_tenants_and_undoes_it(
    cluster: ControlPlane, prefix: str, tmp_path: Path
) -> None:
    declared = {
        "cluster_owner": prefix,
        "cluster_tenants": [{"name": f"{prefix}-web", "service_accounts": [{"name": "web", "iam_role": "web"}]}],
        "cluster_kube2iam_agents": [agent(prefix)],
        "cluster_kube2iam_guards": [{"name": prefix, "groups": ["platform"], "stage": "warn"}],
    }
    file = tmp_path / "declared.json"
    file.write_text(json.dumps(declared))

    def changed(*more: str) -> int:
        settings = {"K8S_AUTH_KUBECONFIG": str(cluster.kubeconfig)}
        result = run_playbook("hardened.k8s.harden", "-e", f"@{file}", *more, environ=settings)
        assert result["rc"] == 0, result["output"]
        count: int = result["stats"]["localhost"]["changed"]
        return count

    assert [changed("--check"), changed(), changed()] == [2, 2, 0]
    assert allow_list(cluster, f"{prefix}-web") == '["web"]'
    assert cluster.get(f"/apis/apps/v1/namespaces/{prefix}/daemonsets/{prefix}")
    assert changed("-e", "cluster_state=absent") == 2


# -- an agent that is no longer declared


def of_the_agent(cluster: ControlPlane, prefix: str) -> None:
    """One of its pods, which nobody makes where there is no controller for them."""
    agent_set = cluster.get(f"/apis/apps/v1/namespaces/{prefix}/daemonsets/{prefix}")
    made = pod("agent-1", prefix)
    reference = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": prefix, "uid": agent_set["metadata"]["uid"]}
    made["metadata"]["ownerReferences"] = [{**reference, "controller": True}]
    made["metadata"]["labels"] = agent_set["spec"]["selector"]["matchLabels"]
    assert apply(cluster, made) == ""


def test_an_agent_that_is_pruned_takes_its_namespace_and_its_pods_with_it(
    run: Runner, cluster: ControlPlane, prefix: str
) -> None:
    run("kube2iam", agents=[agent(prefix)], owner=prefix)
    of_the_agent(cluster, prefix)
    predicted = run("kube2iam", check=True, prune=True, owner=prefix)
    assert not predicted.get("failed"), predicted["msg"]
    cluster.kubectl("delete", "pod", "agent-1", "-n", prefix, "--force")  # there is no kubelet to do it
    done = run("kube2iam", prune=True, owner=prefix)
    assert actions(done) == actions(predicted)
    assert set(actions(done).values()) == {"delete"}


def test_rights_stay_with_an_agent_whose_namespace_does(run: Runner, cluster: ControlPlane, prefix: str) -> None:
    """Somebody else's pod is in it; otherwise its agent would run on without what it needs."""
    run("kube2iam", agents=[agent(prefix)], owner=prefix)
    assert apply(cluster, pod("other", prefix)) == ""
    refused = run("kube2iam", prune=True, owner=prefix)
    assert "namespace/running-pods" in refused["msg"]
    assert {name for name, action in actions(refused).items() if action == "unchanged"} == {
        f"{kind}/{prefix}" for kind in ("ClusterRole", "ClusterRoleBinding", "DaemonSet", "ServiceAccount")
    }
    assert cluster.get(f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{prefix}")
    cluster.kubectl("delete", "pod", "other", "-n", prefix, "--force")
    assert set(actions(run("kube2iam", prune=True, owner=prefix)).values()) == {"delete"}
