# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pod security as a whole: stages, alternatives, exceptions, guards, defaults, tenants, and who would be refused."""

from __future__ import annotations

import copy
import datetime
import itertools
import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Api, ApiError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Context
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.pod_security_policy import MUTATING_SINCE, declare

from tests.control_plane.conftest import Requests, Runner
from tests.support.admission import until
from tests.support.modules import actions
from tests.support.pod_security import CASES, EVERY_RULE, busy_pod, plain_pod
from tests.testbed.control_plane import ControlPlane
from tests.testbed.versions import minor

Fields = dict[str, t.Any]

_CONTENT = "application/strategic-merge-patch+json"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
#: Rules that no pod of these tests asks about.
QUIET = {"host_pid": False, "host_ipc": False}
NO_HOST = {"name": "no-host", "host_network": False}
NO_ROOT = {"name": "no-root", "run_as_user": {"rule": "MustRunAsNonRoot"}}


class Person:
    """Somebody who asks an API server for something: what it answers, and what it warns of."""

    def __init__(self, cluster: ControlPlane, name: str | None = None) -> None:
        self._api = Api({"kubeconfig": cluster.config, **({"impersonate_user": name} if name else {})})

    def ask(self, method: str, path: str, body: Fields, dry: bool = True, content: str = "application/json") -> str:
        """Empty when it is done without a word."""
        try:
            answer = self._api.request(method, path, {"dryRun": "All"} if dry else None, body, content)
        except ApiError as error:
            return f"refused: {error.message}"
        return "; ".join(f"warning: {text}" for text in answer.warnings)

    def create(self, pod: Fields, dry: bool = True) -> str:
        return self.ask("POST", f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods", pod, dry)

    def label(self, namespace: str, labels: dict[str, str], through: str = "", dry: bool = True) -> str:
        """:param through: the subresource, such as ``/status``."""
        path = f"/api/v1/namespaces/{namespace}{through}"
        return self.ask("PATCH", path, {"metadata": {"labels": labels}}, dry, _CONTENT)

    def patch(self, namespace: str, resource: str, body: Fields) -> str:
        """:param resource: such as ``apps/v1/deployments/web``, or ``v1/pods/web/ephemeralcontainers``."""
        group, version, kind = resource.rpartition("v1/")
        root = f"/apis/{group}" if group else "/api/"
        return self.ask("PATCH", f"{root}{version}namespaces/{namespace}/{kind}", body, content=_CONTENT)

    def debugged(self, pod: Fields, container: Fields) -> Fields:
        """An ephemeral container as it would be stored."""
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/ephemeralcontainers"
        patch = {"spec": {"ephemeralContainers": [container]}}
        spec: Fields = self._api.request("PATCH", path, {"dryRun": "All"}, patch, _CONTENT).body["spec"]
        (added,) = spec["ephemeralContainers"]
        return t.cast(Fields, added)

    def made(self, pod: Fields) -> Fields:
        """A pod as it would be stored."""
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods"
        spec: Fields = self._api.request("POST", path, {"dryRun": "All"}, pod).body["spec"]
        return spec


@pytest.fixture
def admin(cluster: ControlPlane) -> Person:
    return Person(cluster)


def space(cluster: ControlPlane, name: str) -> str:
    """A namespace that takes pods."""
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("wait", f"--namespace={name}", "--for=create", "serviceaccount/default", "--timeout=30s")
    return name


@pytest.fixture
def dana(cluster: ControlPlane, prefix: str) -> Person:
    """She may make pods, workloads and labels in the namespace of the test."""
    space(cluster, prefix)
    kinds = "pods,pods/ephemeralcontainers,deployments.apps,namespaces,namespaces/status"
    rules = ["--verb=create,get,update,patch", f"--resource={kinds}"]
    cluster.kubectl("create", "clusterrole", prefix, *rules)
    cluster.kubectl("create", "clusterrolebinding", prefix, f"--clusterrole={prefix}", f"--user=dana-{prefix}")
    return Person(cluster, f"dana-{prefix}")


def asking(prefix: str, labels: Fields | None = None, **spec: t.Any) -> Fields:
    pod = plain_pod("asked", prefix)
    pod["metadata"]["labels"] = labels or {}
    return {**pod, "spec": {**pod["spec"], **spec}}


@pytest.fixture
def declared(
    run: Runner, cluster: ControlPlane, dana: Person, prefix: str, admin: Person
) -> t.Iterator[t.Callable[..., Fields]]:
    """Apply one policy, and wait until the API server has taken notice of it."""
    assert dana, "whose namespace it is for"
    canary = space(cluster, f"{prefix}-canary")
    written = itertools.count()

    def apply(stage: str = "enforce", **options: t.Any) -> Fields:
        chosen = {} if "namespace_selector" in options else {"namespaces": [prefix]}
        policy = {"name": prefix, **chosen, **options}
        result = run("pod_security_policy", stage=stage, policies=[policy], owner=prefix)
        if result.get("failed"):
            return result
        # written last of all: once it is in force, the others are
        group = 5000 + next(written)
        name = f"{canary}-{group}"
        only = {"rule": "MustRunAs", "ranges": [{"min": group, "max": group}]}
        last = {"name": name, "namespaces": [canary], "host_pid": False, "fs_group": only}
        run("pod_security_policy", policies=[last], owner=canary, prune=True)
        until(lambda: name in admin.create(asking(canary, hostPID=True)))
        # the server takes notice of what is filled in by itself, and of what is refused by itself
        if int(minor(cluster.kubernetes)) >= MUTATING_SINCE:
            until(lambda: admin.create(asking(canary)) == "")
        return result

    yield apply
    for owner in (prefix, canary):
        run("pod_security_policy", policies=[], owner=owner, prune=True)


def test_stages_audit_then_warn_then_refuse(declared: t.Callable[..., Fields], dana: Person, prefix: str) -> None:
    pod = asking(prefix, hostNetwork=True)
    declared("observe", host_network=False)
    assert dana.create(pod) == ""
    declared("warn", host_network=False)
    assert "warning: " in dana.create(pod)
    assert "hostNetwork is true" in dana.create(pod)
    declared("enforce", host_network=False)
    assert dana.create(pod).startswith("refused: ")
    assert dana.create(asking(prefix)) == ""


def test_who_writes_a_workload_is_warned_and_not_stopped(
    declared: t.Callable[..., Fields], dana: Person, prefix: str
) -> None:
    declared(privileged=False)
    container = {"name": "web", "image": "a", "securityContext": {"privileged": True}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    said = dana.ask("POST", f"/apis/apps/v1/namespaces/{prefix}/deployments", deployment)
    assert said.startswith("warning: ")
    assert "container web: " in said
    container["securityContext"] = {}
    assert dana.ask("POST", f"/apis/apps/v1/namespaces/{prefix}/deployments", deployment) == ""


def test_a_pod_passes_that_any_of_the_policies_admits(
    declared: t.Callable[..., Fields], dana: Person, prefix: str
) -> None:
    declared(any_of=[NO_HOST, NO_ROOT])
    assert dana.create(asking(prefix)) == ""
    assert dana.create(asking(prefix, hostNetwork=True, securityContext={"runAsUser": 7})) == ""
    said = dana.create(asking(prefix, hostNetwork=True, securityContext={"runAsUser": 0}))
    assert said.startswith("refused: ")
    assert "no-host: pod: hostNetwork is true" in said
    assert "no-root: " in said


def test_the_right_to_use_a_policy_is_the_requesters_or_the_service_accounts(
    declared: t.Callable[..., Fields], dana: Person, cluster: ControlPlane, prefix: str
) -> None:
    declared(any_of=[{**NO_HOST, "use": True}, {"name": "free", "privileged": True, "use": True}])
    pod, free = asking(prefix), asking(prefix, hostNetwork=True)
    assert "may use any of the policies" in dana.create(pod)
    right = ["--verb=use", "--resource=podsecuritypolicies.policy"]
    cluster.kubectl("create", "role", "small", *right, "--resource-name=no-host", f"--namespace={prefix}")
    cluster.kubectl("create", "rolebinding", "small", "--role=small", f"--user=dana-{prefix}", f"--namespace={prefix}")
    until(lambda: dana.create(pod) == "")
    assert "hostNetwork is true" in dana.create(free)
    cluster.kubectl("create", "serviceaccount", "driver", f"--namespace={prefix}")
    cluster.kubectl("create", "role", "big", *right, "--resource-name=free", f"--namespace={prefix}")
    bound = f"--serviceaccount={prefix}:driver"
    cluster.kubectl("create", "rolebinding", "big", "--role=big", bound, f"--namespace={prefix}")
    until(lambda: dana.create({**free, "spec": {**free["spec"], "serviceAccountName": "driver"}}) == "")
    assert "hostNetwork is true" in dana.create(free)


def exception(**changes: t.Any) -> Fields:
    return {
        "name": "cache",
        "rules": ["host_network"],
        "match_labels": {"app": "cache"},
        "owner": "team-shop",
        "reason": "until version 3",
        "expires": "2999-12-31",
        **changes,
    }


def test_an_exception_is_for_its_workload_and_nobody_claims_it_for_himself(
    declared: t.Callable[..., Fields], admin: Person, dana: Person, prefix: str
) -> None:
    result = declared(host_network=False, privileged=False, exceptions=[exception()])
    (found,) = [finding for finding in result["findings"] if finding["rule"] == "pod-security/exception"]
    assert "until 2999-12-31, wanted by team-shop: until version 3" in found["message"]
    excepted = asking(prefix, {"app": "cache"}, hostNetwork=True)
    assert admin.create(excepted) == ""
    assert "hostNetwork is true" in admin.create(asking(prefix, {"app": "web"}, hostNetwork=True))
    privileged = copy.deepcopy(excepted)
    privileged["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    assert "privileged is true" in admin.create(privileged), "an exception is for its rules alone"
    said = dana.create(excepted)
    assert "its exception cache covers" in said
    assert "ask team-shop" in said


def test_who_is_named_in_the_guard_may_run_what_an_exception_covers(
    declared: t.Callable[..., Fields], dana: Person, prefix: str
) -> None:
    declared(host_network=False, exceptions=[exception()], guard=[{"user": f"dana-{prefix}"}])
    assert dana.create(asking(prefix, {"app": "cache"}, hostNetwork=True)) == ""


def test_who_may_change_an_excepted_workload_cannot_take_it_over(
    declared: t.Callable[..., Fields], admin: Person, dana: Person, prefix: str
) -> None:
    """Its labels and replicas are hers to change, what it runs is not: neither images, templates nor debuggers."""
    declared(host_network=False, privileged=False, exceptions=[exception(rules=["host_network", "privileged"])])
    excepted = asking(prefix, {"app": "cache"}, hostNetwork=True)
    assert admin.create(excepted, dry=False) == ""
    template = {"metadata": excepted["metadata"], "spec": excepted["spec"]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "cache"}}, "template": template},
    }
    assert admin.ask("POST", f"/apis/apps/v1/namespaces/{prefix}/deployments", deployment, dry=False) == ""
    image = {"containers": [{"name": "web", "image": "evil"}]}
    debugger = {"name": "debugger", "image": "evil", "securityContext": {"privileged": True}}
    for resource, harmless, taken in (
        ("v1/pods/asked", {"metadata": {"labels": {"team": "shop"}}}, {"spec": image}),
        ("apps/v1/deployments/web", {"spec": {"replicas": 2}}, {"spec": {"template": {"spec": image}}}),
        ("v1/pods/asked/ephemeralcontainers", None, {"spec": {"ephemeralContainers": [debugger]}}),
    ):
        if harmless:
            assert dana.patch(prefix, resource, harmless) == ""
        assert "its exception cache covers" in dana.patch(prefix, resource, taken)
        assert admin.patch(prefix, resource, taken) == "", "the administrator of last resort"


def test_an_exception_that_has_ended_is_an_error(run: Runner, prefix: str) -> None:
    policy = {"name": prefix, "namespaces": [prefix], **QUIET, "exceptions": [exception(expires="2026-01-01")]}
    result = run("pod_security_policy", policies=[policy], owner=prefix)
    assert result["failed"]
    assert "exception cache expired on 2026-01-01" in result["msg"]


def test_after_the_last_day_of_an_exception_the_api_server_refuses_by_itself(
    cluster: ControlPlane, admin: Person, prefix: str
) -> None:
    """As if nobody had run anything since."""
    space(cluster, prefix)
    ended = exception(name="ended", match_labels={"app": "old"}, expires="2026-01-01")
    item = {"name": prefix, "namespaces": [prefix], "host_network": False, "exceptions": [exception(), ended]}
    made = declare(item, "", Context("enforce", today=datetime.date(2026, 1, 1)))
    assert made.problems == []
    paths = {
        "ValidatingAdmissionPolicy": f"{_ADMISSION}/validatingadmissionpolicies",
        "ValidatingAdmissionPolicyBinding": f"{_ADMISSION}/validatingadmissionpolicybindings",
    }
    try:
        for manifest in made.objects:
            cluster.request("POST", paths[manifest["kind"]], manifest)
        until(lambda: "hostNetwork is true" in admin.create(asking(prefix, hostNetwork=True)))
        assert "hostNetwork is true" in admin.create(asking(prefix, {"app": "old"}, hostNetwork=True))
        assert admin.create(asking(prefix, {"app": "cache"}, hostNetwork=True)) == ""
    finally:
        for manifest in made.objects:
            cluster.request("DELETE", f"{paths[manifest['kind']]}/{manifest['metadata']['name']}")


def test_a_guard_keeps_labels_from_all_but_those_it_names(
    run: Runner, cluster: ControlPlane, admin: Person, dana: Person, prefix: str
) -> None:
    guard = {"name": prefix, "subjects": [{"user": "platform"}], "labels": [f"{prefix}.example/*"], "annotations": []}
    try:
        run("pod_security_policy", guards=[guard], owner=prefix)
        label = {f"{prefix}.example/level": "low"}
        until(lambda: dana.label(prefix, label).startswith("refused: "))
        assert f"only those whom the guard {prefix} names may do that" in dana.label(prefix, label)
        assert f"only those whom the guard {prefix} names may do that" in dana.label(prefix, label, "/status")
        assert dana.label(prefix, {"team": "shop"}) == dana.label(prefix, {"team": "shop"}, "/status") == ""
        cluster.kubectl("create", "clusterrolebinding", f"{prefix}-2", f"--clusterrole={prefix}", "--user=platform")
        until(lambda: Person(cluster, "platform").label(prefix, label) == "")
        assert admin.label(prefix, label) == "", "the administrator of last resort"
    finally:
        run("pod_security_policy", guards=[], owner=prefix, prune=True)


DEFAULTS: Fields = {
    "required_drop_capabilities": ["NET_RAW"],
    "read_only_root_filesystem": True,
    "allow_privilege_escalation": False,
    "run_as_user": {"rule": "MustRunAs", "ranges": [{"min": 1000, "max": 2000}]},
    "fs_group": {"rule": "MustRunAs", "ranges": [{"min": 3000, "max": 3000}]},
    "default_seccomp_profile": "runtime/default",
    "allowed_seccomp_profiles": ["runtime/default"],
}


def test_a_label_that_selects_a_namespace_is_kept_from_all_but_those_it_names(
    declared: t.Callable[..., Fields], admin: Person, dana: Person, prefix: str
) -> None:
    assert admin.label(prefix, {"team": "shop"}, dry=False) == ""
    selector = {"match_labels": {"team": "shop"}}
    declared(host_network=False, namespace_selector=selector, guard=[{"user": "platform"}])
    assert "hostNetwork is true" in dana.create(asking(prefix, hostNetwork=True))
    for through in ("", "/status"):
        assert "it changes labels team" in dana.label(prefix, {"team": "other"}, through)
        assert dana.label(prefix, {"other": "thing"}, through) == ""
    assert admin.label(prefix, {"team": "other"}) == ""


def test_defaults_are_filled_in_once_or_required(
    declared: t.Callable[..., Fields], admin: Person, cluster: ControlPlane, prefix: str
) -> None:
    declared(**DEFAULTS)
    if int(minor(cluster.kubernetes)) < MUTATING_SINCE:
        said = admin.create(asking(prefix))
        assert said.startswith("refused: ")
        assert "readOnlyRootFilesystem" in said
        return
    spec = admin.made(asking(prefix))
    for container in (*spec["containers"], *spec["initContainers"]):
        context = container["securityContext"]
        assert context["capabilities"]["drop"] == ["NET_RAW"]
        assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (True, False)
    assert spec["securityContext"]["fsGroup"] == 3000
    users = {
        c["securityContext"].get("runAsUser", spec["securityContext"].get("runAsUser")) for c in spec["containers"]
    }
    assert users == {1000}
    assert admin.made({**asking(prefix), "spec": spec}) == spec, "a second time changes nothing"
    assert admin.create(asking(prefix), dry=False) == ""
    debugger = admin.debugged(asking(prefix), {"name": "debugger", "image": "busybox"})
    assert debugger["securityContext"] == {
        "capabilities": {"drop": ["NET_RAW"]},
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "runAsUser": 1000,
    }


def test_the_expressions_of_whole_policies_pass_the_type_check(run: Runner, cluster: ControlPlane, prefix: str) -> None:
    """Of all rules together, alternatives with rights to use, exceptions and guards."""
    named = {"namespaces": [prefix]}
    used = [{**rule, "use": True} for rule in (NO_HOST, NO_ROOT)]
    excepted = exception(service_accounts=["cache"])
    selected = {"namespace_selector": {"match_labels": {"team": "shop"}}, "guard": [{"group": "platform"}]}
    policies = [
        {"name": f"{prefix}-every", **named, **EVERY_RULE},
        {"name": f"{prefix}-any", **named, "any_of": used},
        {"name": f"{prefix}-exceptions", **named, "host_network": False, "exceptions": [excepted]},
        {"name": f"{prefix}-guard", **selected, "host_pid": False},
    ]
    guards = [{"name": f"{prefix}-labels", "subjects": [{"user": "platform"}]}]
    path = f"{_ADMISSION}/validatingadmissionpolicies"

    def warnings() -> dict[str, t.Any]:
        found = [item for item in cluster.get(path)["items"] if item["metadata"]["name"].startswith(prefix)]
        return {item["metadata"]["name"]: item.get("status", {}).get("typeChecking") for item in found}

    try:
        result = run("pod_security_policy", stage="enforce", policies=policies, guards=guards, owner=prefix)
        assert not result.get("failed"), result["msg"]
        until(lambda: None not in warnings().values())
        assert len(warnings()) == 2 * len(policies) + 3, "three guards beside those of pods and templates"
        assert not any(warnings().values()), warnings()
    finally:
        run("pod_security_policy", policies=[], guards=[], owner=prefix, prune=True)


def test_a_second_run_writes_nothing_and_check_mode_tells_the_truth(
    run: Runner, requests: t.Callable[[], Requests], cluster: ControlPlane, prefix: str
) -> None:
    policies = [
        {"name": f"{prefix}-{name}".replace("_", "-"), "namespaces": [prefix], **case.options}
        for name, case in CASES.items()
    ]
    first: Fields = {
        "policies": policies,
        "guards": [{"name": prefix, "subjects": [{"group": "platform"}]}],
        "owner": prefix,
    }
    try:
        predicted, done = (run("pod_security_policy", check=check, diff=True, **first) for check in (True, False))
        assert (predicted["objects"], predicted["diff"]) == (done["objects"], done["diff"])
        counted = requests()
        again = run("pod_security_policy", diff=True, **first)
        assert (again["changed"], again["diff"], counted.writes()) == (False, [], [])
        less: Fields = {**first, "policies": policies[:2], "guards": [], "prune": True}
        predicted, done = (run("pod_security_policy", check=check, diff=True, **less) for check in (True, False))
        assert (predicted["objects"], predicted["diff"]) == (done["objects"], done["diff"])
        assert set(actions(done).values()) == {"unchanged", "delete"}
    finally:
        run("pod_security_policy", policies=[], owner=prefix, prune=True)
    served = cluster.kubectl("api-resources", "--api-group=admissionregistration.k8s.io", "-o", "name").split()
    kinds = [name for name in served if "admissionpolic" in name]
    assert kinds
    assert prefix not in cluster.kubectl("get", ",".join(kinds), "-o", "name")


def test_manifests_for_the_api_servers_own_folder(run: Runner, prefix: str) -> None:
    policy = {"name": prefix, "namespaces": [prefix], **CASES["privileged"].options}
    result = run("pod_security_policy", state="rendered", static=True, policies=[policy])
    names = {manifest["metadata"]["name"] for manifest in result["manifests"]}
    assert names
    assert all(name.endswith(".static.k8s.io") for name in names)
    kinds = {manifest["kind"] for manifest in result["manifests"]}
    assert kinds <= {f"{kind}AdmissionPolicy{part}" for kind in ("Validating", "Mutating") for part in ("", "Binding")}


def test_what_runs_and_would_be_refused_keeps_a_policy_from_being_enforced(
    run: Runner, declared: t.Callable[..., Fields], admin: Person, dana: Person, prefix: str
) -> None:
    assert dana.create(asking(prefix, hostNetwork=True), dry=False) == ""
    refused = declared(host_network=False)
    assert refused["failed"]
    assert "pod-security/running-pods" in refused["msg"]
    assert "Pod asked" in refused["msg"]
    assert admin.create(asking(prefix, hostNetwork=True)).count("hostNetwork is true") == 0
    found = run("pod_security_info", names=[prefix], policy={"host_network": False})
    assert [(item["kind"], item["name"], item["pods"]) for item in found["violations"]] == [("Pod", "asked", ["asked"])]
    assert run("pod_security_info", names=[prefix], level="baseline")["violations"][0]["changes"]
    assert run("pod_security_info", names=[prefix], policy={"host_pid": False})["violations"] == []


def test_manifests_are_judged_without_a_cluster(run: Runner) -> None:
    pod = asking("shop", hostNetwork=True)
    found = run("pod_security_info", manifests=[pod, {"kind": "Service", "metadata": {"name": "a"}}], level="baseline")
    assert [item["name"] for item in found["violations"]] == ["asked"]
    assert found["judged"] == 1


def test_a_tenant_has_a_policy_of_its_own(run: Runner, cluster: ControlPlane, admin: Person, prefix: str) -> None:
    tenant = {"name": prefix, "pod_security_policy": {"host_network": False, "require_image_digest": True}}
    try:
        done = run("tenant", tenants=[tenant], owner=prefix)
        assert not done.get("failed"), done["msg"]
        until(lambda: "hostNetwork is true" in admin.create(asking(prefix, hostNetwork=True)))
        assert not run("tenant", tenants=[tenant], owner=prefix)["changed"]
    finally:
        run("tenant", state="absent", tenants=[tenant], owner=prefix)
    assert prefix not in cluster.kubectl("get", "validatingadmissionpolicies", "-o", "name")


def test_all_rules_together_cost_a_tenth_of_what_the_server_allows(
    declared: t.Callable[..., Fields], admin: Person, prefix: str
) -> None:
    """A pod with ten times as many containers as 64 is still judged, by its last one and where each breaks every rule."""
    declared(**EVERY_RULE)
    pod = busy_pod("asked", prefix, containers=640)
    pod["spec"]["containers"][-1]["securityContext"]["capabilities"]["add"] = ["SYS_ADMIN"]
    said = "container web-639: securityContext.capabilities.add has SYS_ADMIN, remove it; allowed: NET_BIND_SERVICE"
    assert admin.create(pod).endswith(f"denied request: {said}"), "and nothing else"
    pod = busy_pod("asked", prefix, containers=640, careful=False)
    assert "container web-0: securityContext.privileged is true, remove it" in admin.create(pod)
