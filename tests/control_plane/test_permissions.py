# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each module does all that it can with the rights of permissions.yml, and says which one is missing with one less."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.control_plane.conftest import Runner
from tests.support.examples import pod, tenant
from tests.testbed.control_plane import ControlPlane

Rules = list[dict[str, list[str]]]
RULES: dict[str, Rules] = yaml.safe_load(Path(__file__).with_name("permissions.yml").read_text())
#: What the examples grant, and so what the caller must hold.
HELD: Rules = [
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["bind", "escalate"]},
]


class Caller(t.NamedTuple):
    """A user with these rights in the whole cluster."""

    cluster: ControlPlane
    name: str

    def give(self, rules: Rules) -> None:
        metadata = {"name": self.name}
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata}
        self.cluster.kubectl("apply", "-f", "-", text=json.dumps({**role, "rules": rules}))


@pytest.fixture
def caller(cluster: ControlPlane, prefix: str) -> Caller:
    caller = Caller(cluster, prefix)
    caller.give([])
    cluster.kubectl("create", "clusterrolebinding", prefix, f"--clusterrole={prefix}", f"--user={prefix}")
    return caller


Sequence = t.Iterator[dict[str, t.Any]]


Calls = t.Iterator[dict[str, t.Any]]


def _namespace(name: str) -> Calls:
    for level in ("baseline", "restricted"):
        both = [{"name": f"{name}-new", "pod_security": level}, {"name": name, "pod_security": level}]
        yield {"namespaces": both}
    yield {"namespaces": [], "prune": True}


def _resource_quota(name: str) -> Calls:
    keys = ["pods", "services", "persistentvolumeclaims", "secrets", "configmaps", "replicationcontrollers"]
    for hard in (7, 6):
        quota = {"namespace": name, "quota": dict.fromkeys(keys, hard), "limits": {"max": {"cpu": hard}}}
        yield {"quotas": [quota]}
    yield {"quotas": [quota], "state": "absent"}


RULE = {"resources": ["configmaps"], "resource_names": ["web"], "verbs": ["get"]}


def _rbac(name: str) -> Calls:
    for role in ("view", "edit"):
        yield {
            "service_accounts": [{"name": "web", "namespace": name, "rules": [RULE]}],
            "roles": [{"name": "r", "namespace": name, "rules": [RULE]}],
            "cluster_roles": [{"name": f"{name}-c", "rules": [RULE], "labels": {"was": role}}],
            "bindings": [
                {"name": "b", "namespace": name, "cluster_role": role, "subjects": [{"group": "team"}]},
                {"name": f"{name}-b", "cluster_role": f"{name}-c", "subjects": [{"group": role}]},
            ],
            "expect": [{"service_account": "web", "namespace": name, "can": ["get configmaps web"]}],
        }
    yield {"prune": True}


def _network_policy(name: str) -> Calls:
    for port in (80, 81):
        yield {"policies": [{"namespace": name, "ingress": [{"ports": [port]}]}]}
    yield {"policies": [{"namespace": name}], "stage": "observe", "prune": True}


def _pod_security_policy(name: str) -> Calls:
    for user in (1000, 2000):
        ranges = [{"min": 1000, "max": user}]
        policy = {"name": name, "namespaces": [name], "run_as_user": {"rule": "MustRunAs", "ranges": ranges}}
        yield {"policies": [policy]}
    yield {"prune": True}


def _pod_security_info(name: str) -> Calls:
    yield {"names": [name], "level": "restricted"}


def _kube2iam(name: str) -> Calls:
    base, home = "arn:aws:iam::111122223333:role/k8s/prod/", f"{name}-agent"
    agent = {"name": f"{name}-agent", "namespace": home, "base_role_arn": base, "region": "eu-central-1"}
    for port in (8181, 9181):
        yield {
            "agents": [{**agent, "image": f"registry.example/kube2iam@sha256:{'0' * 64}", "port": port}],
            "namespaces": [{"name": name, "allowed_roles": [f"web-{port}"]}],
            "guards": [{"name": name, "stage": "observe", "users": [f"user-{port}"]}],
        }
    # the namespace stays, and what was in it goes by itself
    yield {"namespaces": [{"name": home, "allowed_roles": []}], "prune": True}
    yield {"prune": True}


def _tenant(name: str) -> Calls:
    expect = [{"service_account": "web", "can": ["get configmaps web"]}]
    for team in ("a", "b"):
        labels = {"team": team}
        policy = {"read_only_root_filesystem": True, "host_network": team == "a"}
        there = tenant(name, labels=labels, pod_security_policy=policy)
        yield {"tenants": [tenant(f"{name}-new", labels=labels, expect=expect), there]}
    yield {"tenants": [tenant(name)], "prune": True}


def _network_flow_info(name: str) -> Calls:
    yield {"namespaces": [name]}


def _network_probe(name: str) -> Calls:
    flow = {"from": {"namespace": name}, "to": {"namespace": name}, "port": 80, "expect": "allowed"}
    yield {"flows": [flow], "timeout": 0, "settle": 0}


def _tenant_info(name: str) -> Calls:
    yield {"names": [name]}


#: Everything that a module can be asked to do: make, change, make again, step back, remove.
CALLS: dict[str, t.Callable[[str], Calls]] = {
    "namespace": _namespace,
    "resource_quota": _resource_quota,
    "rbac": _rbac,
    "network_policy": _network_policy,
    "pod_security_policy": _pod_security_policy,
    "pod_security_info": _pod_security_info,
    "kube2iam": _kube2iam,
    "tenant": _tenant,
    "tenant_info": _tenant_info,
    "network_flow_info": _network_flow_info,
    "network_probe": _network_probe,
}


def outcome(run: Runner, module: str, caller: Caller) -> list[str]:
    """What goes wrong in all of it."""
    wrong = []
    for params in CALLS[module](caller.name):
        owned = module != "network_probe" and not module.endswith("_info")
        owner: dict[str, t.Any] = {"owner": caller.name} if owned else {}
        result = run(module, impersonate_user=caller.name, **owner, **params)
        if result.get("failed"):
            wrong.append(result["msg"])
    return wrong


def pod_of(name: str) -> dict[str, t.Any]:
    """One that says all that is asked of it: the oldest Kubernetes has nothing that fills it in."""
    made = pod("web", name, requests={"cpu": "100m", "memory": "1Mi"}, limits={"cpu": "100m", "memory": "1Mi"})
    made["spec"]["serviceAccountName"] = "default"
    made["spec"]["automountServiceAccountToken"] = False
    made["spec"]["securityContext"] = {
        "runAsUser": 1000,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    made["spec"]["containers"][0]["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    return made


@pytest.fixture
def busy_namespace(cluster: ControlPlane, prefix: str) -> None:
    """A namespace with a pod in it, which pre-flight checks have to look at."""
    cluster.kubectl("create", "namespace", prefix)
    # the controller makes the default service account, without which no pod is admitted
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", prefix, "--timeout=30s")
    cluster.request("POST", f"/api/v1/namespaces/{prefix}/pods", pod_of(prefix))


@pytest.mark.usefixtures("busy_namespace")
@pytest.mark.parametrize("module", RULES)
def test_the_documented_rights_are_enough(run: Runner, caller: Caller, module: str) -> None:
    caller.give([*RULES[module], *HELD])
    assert outcome(run, module, caller) == []


def test_check_mode_binds_to_a_role_that_is_not_there_yet(run: Runner, cluster: ControlPlane, caller: Caller) -> None:
    """Who may not bind any role has its rules looked up, by the server."""
    cluster.kubectl("create", "namespace", caller.name)
    caller.give([*RULES["rbac"], HELD[0]])
    bound = {"name": "b", "namespace": caller.name, "role": "r", "subjects": [{"user": "ann"}]}
    declared: dict[str, t.Any] = {
        "roles": [{"name": "r", "namespace": caller.name, "rules": [RULE]}],
        "bindings": [bound],
    }
    predicted, done = (
        run("rbac", check=check, impersonate_user=caller.name, owner=caller.name, **declared) for check in (True, False)
    )
    assert not predicted.get("failed")
    assert [item["action"] for item in predicted["objects"]] == ["create", "create"]
    assert [item["action"] for item in done["objects"]] == ["create", "create"]
    # a role that is nowhere is an error in both
    nowhere = {**bound, "name": "c", "role": "missing"}
    for check in (True, False):
        result = run("rbac", check=check, impersonate_user=caller.name, owner=caller.name, bindings=[nowhere])
        assert "missing" in result["msg"]


def single_rights(rules: Rules) -> list[tuple[str, str, str]]:
    return [
        (rule["apiGroups"][0], resource, verb)
        for rule in rules
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


#: The server rarely asks for these: a namespace that is not Active at once, a controller that is quicker than we are.
RARELY = {
    *(("namespace", "namespaces", "get"), ("namespace", "serviceaccounts", "create")),
    ("kube2iam", "namespaces", "get"),
}
#: The tenant module's rights are those of its parts (see tests/unit/test_permissions.py).
ONE_BY_ONE = [
    (module, *right)
    for module, rules in RULES.items()
    for right in single_rights(rules)
    if module != "tenant" and (module, right[1], right[2]) not in RARELY
]


@pytest.mark.slow
@pytest.mark.usefixtures("busy_namespace")
@pytest.mark.parametrize(("module", "group", "resource", "verb"), ONE_BY_ONE)
def test_one_right_less_is_named(
    run: Runner, caller: Caller, module: str, group: str, resource: str, verb: str
) -> None:
    every = [right for right in single_rights(RULES[module]) if right != (group, resource, verb)]
    caller.give([*({"apiGroups": [g], "resources": [r], "verbs": [v]} for g, r, v in every), *HELD])
    wrong = "\n".join(outcome(run, module, caller))
    assert resource in wrong
    assert verb in wrong
