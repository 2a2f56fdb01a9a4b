# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is found in roles and bindings, in whatever disguise; and what is not."""

from __future__ import annotations

import re
import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.checks import rbac
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import api_resources
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest
from hypothesis import given
from hypothesis import strategies as st

Rule = dict[str, t.Any]

PRIVILEGED = {"kube-system", "storage"}
RBAC = "rbac.authorization.k8s.io"
CERTIFICATES, ADMISSION = "certificates.k8s.io", "admissionregistration.k8s.io"


def rule(verbs: str, resources: str, group: str = "", names: str = "") -> Rule:
    """A PolicyRule; the words of a list are separated by spaces, ``core`` is the core group."""
    groups = ["" if word == "core" else word for word in group.split()] or [""]
    built: Rule = {"apiGroups": groups, "resources": resources.split(), "verbs": verbs.split()}
    return {**built, "resourceNames": names.split()} if names else built


def urls(verbs: str, paths: str) -> Rule:
    return {"nonResourceURLs": paths.split(), "verbs": verbs.split()}


def role(name: str, *rules: Rule, namespace: str = "", labels: dict[str, str] | None = None) -> Manifest:
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"kind": kind, "metadata": {**metadata, "labels": labels or {}}, "rules": list(rules)}


def binding(name: str, reference: str, *subjects: str, namespace: str = "") -> Manifest:
    """``Role/name`` or ``ClusterRole/name`` for subjects like ``Group/name``, ``ServiceAccount/ns/name``."""
    kind, _slash, of = reference.partition("/")
    found = []
    for subject in subjects or ("Group/team",):
        what, *space, who = subject.split("/")
        found.append({"kind": what, "name": who, **({"namespace": space[0]} if space else {})})
    return {
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": name, "namespace": namespace} if namespace else {"name": name},
        "roleRef": {"kind": kind, "name": of},
        "subjects": found,
    }


def risks(*objects: Manifest, there: dict[str, list[Rule]] | None = None) -> list[Finding]:
    """The findings, with these roles there: ``ClusterRole/name`` or ``Role/namespace/name`` -> rules."""

    def resolve(kind: str, namespace: str, name: str) -> list[Rule] | None:
        return (there or {}).get("/".join(part for part in (kind, namespace, name) if part))

    return rbac.risks(objects, resolve, PRIVILEGED)


def refused(*objects: Manifest, **there: t.Any) -> set[str]:
    return {finding.rule.partition("/")[2] for finding in risks(*objects, **there) if finding.refuse}


def told(*objects: Manifest, **there: t.Any) -> set[str]:
    return {finding.rule.partition("/")[2] for finding in risks(*objects, **there) if not finding.refuse}


CORE = {
    *(
        "wildcard",
        "secrets",
        "exec",
        "nodes-proxy",
        "token-request",
        "persistent-volumes",
        "namespaces-patch",
    ),
    "impersonate",
}

#: A rule of a ClusterRole, and what it is refused for.
CLUSTER: list[tuple[Rule, str]] = [
    # harmless
    (rule("get list watch", "configmaps pods services"), ""),
    (rule("get", "pods/log"), ""),
    (rule("create update patch delete", "deployments", "apps"), ""),
    (rule("get list watch", "roles clusterroles", RBAC), ""),
    (rule("create update patch delete", "roles rolebindings", RBAC), ""),
    (rule("get list watch", "mutatingwebhookconfigurations", ADMISSION), ""),
    (rule("get list watch delete", "persistentvolumes"), ""),
    (rule("get list watch create delete", "namespaces"), ""),
    (rule("get", "nodes/metrics nodes/stats nodes/log"), ""),
    (rule("create", "certificatesigningrequests", CERTIFICATES), ""),
    (urls("get", "/metrics /healthz/*"), ""),
    # wildcards by themselves
    (rule("*", "configmaps"), "wildcard"),
    (rule("get", "*", "apps"), "wildcard"),
    (rule("get", "configmaps", "*"), "wildcard"),
    (rule("get", "*/status"), "wildcard"),
    (rule("*", "*", "*"), "wildcard"),
    (urls("get", "*"), "wildcard"),
    (urls("get", "/*"), "wildcard"),
    (urls("*", "/metrics"), "wildcard"),
    (rule("*", "*"), " ".join(CORE)),
    (
        rule("*", "*", "*", names="x"),
        "wildcard escalate exec nodes-proxy csr-approval admission persistent-volumes namespaces-patch",
    ),
    # escalate and bind
    (rule("escalate", "roles", RBAC), "escalate"),
    (rule("escalate", "clusterroles", RBAC, names="web"), "escalate"),
    (rule("escalate", "*", "*"), "wildcard escalate"),
    (rule("*", "roles", RBAC), "wildcard escalate bind"),
    (rule("get escalate bind", "roles", "apps " + RBAC), "escalate bind"),
    (rule("escalate", "roles"), ""),
    (rule("bind", "clusterroles", RBAC), "bind"),
    (rule("bind", "clusterroles", RBAC, names="view edit"), ""),
    (rule("bind", "clusterroles", RBAC, names="view cluster-admin"), "bind"),
    (rule("bind", "clusterroles", RBAC, names="system:node"), "bind"),
    # impersonate
    (rule("impersonate", "users"), "impersonate"),
    (rule("impersonate", "groups"), "impersonate"),
    (rule("impersonate", "serviceaccounts"), "impersonate"),
    (rule("impersonate", "users", names="alice"), ""),
    (rule("impersonate", "groups", names="team system:masters"), "impersonate"),
    (rule("impersonate", "users", names="system:kube-controller-manager"), "impersonate"),
    (rule("*", "serviceaccounts"), "wildcard impersonate"),
    (rule("impersonate", "*"), "wildcard impersonate"),
    (rule("impersonate", "uids userextras/scopes", "authentication.k8s.io"), ""),
    (rule("impersonate:user-info", "users", "authentication.k8s.io"), "impersonate"),
    (rule("impersonate:user-info", "groups", "authentication.k8s.io", names="*"), "impersonate"),
    (rule("impersonate:serviceaccount", "serviceaccounts", "*"), "wildcard impersonate"),
    (rule("impersonate:associated-node", "nodes", "authentication.k8s.io"), ""),
    (rule("impersonate-on:user-info:list", "pods"), ""),
    # secrets
    (rule("get", "secrets"), "secrets"),
    (rule("list", "secrets"), "secrets"),
    (rule("watch", "configmaps secrets", "core apps"), "secrets"),
    (rule("patch", "secrets"), "secrets"),
    (rule("deletecollection", "secrets"), "secrets"),
    (rule("create update delete", "secrets"), ""),
    (rule("get", "secrets", names="web"), ""),
    (rule("get list watch patch", "secrets", names="web"), ""),
    (rule("*", "secrets"), "wildcard secrets"),
    (rule("get", "*"), "wildcard secrets exec nodes-proxy"),
    (rule("get", "secrets", "*"), "wildcard secrets"),
    (rule("get", "secrets", "apps"), ""),
    # into pods
    (rule("create", "pods/exec"), "exec"),
    (rule("get", "pods/exec"), "exec"),
    (rule("create", "pods/attach"), "exec"),
    (rule("create", "pods/portforward"), "exec"),
    (rule("patch", "pods/ephemeralcontainers"), "exec"),
    (rule("update", "pods/ephemeralcontainers", names="web-0"), "exec"),
    (rule("get", "pods/ephemeralcontainers"), ""),
    (rule("create", "*/exec"), "wildcard exec"),
    (rule("create", "*/portforward", "*"), "wildcard exec"),
    (rule("*", "*/ephemeralcontainers"), "wildcard exec"),
    (rule("list watch", "pods/exec"), ""),
    (rule("create", "pods/*"), ""),  # matches nothing
    # nodes
    (rule("get", "nodes/proxy"), "nodes-proxy"),
    (rule("create", "nodes/proxy", names="node-1"), "nodes-proxy"),
    (rule("get", "*/proxy"), "wildcard nodes-proxy"),
    (rule("get list", "nodes"), ""),
    # tokens
    (rule("create", "serviceaccounts/token"), "token-request"),
    (rule("create", "serviceaccounts/token", names="ci"), ""),
    (rule("create", "*/token"), "wildcard token-request"),
    (rule("*", "serviceaccounts/token"), "wildcard token-request"),
    # certificates
    (rule("update", "certificatesigningrequests/approval", CERTIFICATES), "csr-approval"),
    (rule("patch", "*/approval", CERTIFICATES), "wildcard csr-approval"),
    (rule("get", "certificatesigningrequests/approval", CERTIFICATES), ""),
    (rule("approve", "signers", CERTIFICATES), "csr-approval"),
    (rule("approve", "signers", CERTIFICATES, names="kubernetes.io/kube-apiserver-client"), "csr-approval"),
    (rule("approve", "signers", CERTIFICATES, names="kubernetes.io/*"), "csr-approval"),
    (rule("approve", "signers", CERTIFICATES, names="kubernetes.io/kubelet-serving example.com/*"), ""),
    (rule("sign", "signers", CERTIFICATES), ""),
    # admission
    (rule("create", "mutatingwebhookconfigurations", ADMISSION), "admission"),
    (rule("patch", "validatingwebhookconfigurations", ADMISSION, names="mine"), "admission"),
    (rule("delete", "validatingadmissionpolicies", ADMISSION), "admission"),
    (rule("deletecollection", "validatingadmissionpolicybindings", ADMISSION), "admission"),
    (rule("update", "mutatingadmissionpolicies", ADMISSION), "admission"),
    (rule("create", "mutatingadmissionpolicybindings", ADMISSION), "admission"),
    (rule("create", "*", ADMISSION), "wildcard admission"),
    (rule("patch", "*", "*"), "wildcard secrets exec nodes-proxy csr-approval admission namespaces-patch"),
    # volumes and namespaces
    (rule("create", "persistentvolumes"), "persistent-volumes"),
    (rule("create", "persistentvolumeclaims"), ""),
    (rule("patch", "namespaces"), "namespaces-patch"),
    (rule("update", "namespaces", names="shop"), "namespaces-patch"),
    (rule("patch", "namespaces/status"), "namespaces-patch"),
    (rule("update", "namespaces/finalize"), "namespaces-patch"),
    (rule("update", "*/finalize"), "wildcard namespaces-patch"),
]


@pytest.mark.parametrize(("given", "expected"), CLUSTER, ids=[rbac.quoted(given) for given, _expected in CLUSTER])
def test_a_rule_of_a_cluster_role(given: Rule, expected: str) -> None:
    assert refused(role("r", given)) == set(expected.split())


#: A rule of a Role: what has no namespace is out of its reach, with the exceptions that the API server makes.
LOCAL: list[tuple[Rule, str]] = [
    (rule("get", "secrets"), "secrets"),
    (rule("create", "pods/exec"), "exec"),
    (rule("escalate", "roles", RBAC), "escalate"),
    (rule("escalate", "clusterroles", RBAC), ""),
    (rule("bind", "clusterroles", RBAC), "bind"),
    (rule("impersonate", "serviceaccounts"), "impersonate"),
    (rule("impersonate", "users groups"), ""),
    (rule("patch", "namespaces"), "namespaces-patch"),
    (rule("patch", "namespaces/status"), "namespaces-patch"),
    (rule("create", "persistentvolumes"), ""),
    (rule("get", "nodes/proxy"), ""),
    (rule("update", "certificatesigningrequests/approval", CERTIFICATES), ""),
    (rule("create", "mutatingwebhookconfigurations", ADMISSION), ""),
    (rule("*", "*"), "wildcard secrets exec token-request namespaces-patch impersonate"),
    (rule("*", "*", "*"), "wildcard"),
]


@pytest.mark.parametrize(("given", "expected"), LOCAL, ids=[rbac.quoted(given) for given, _expected in LOCAL])
def test_a_rule_of_a_role(given: Rule, expected: str) -> None:
    assert refused(role("r", given, namespace="shop")) == set(expected.split())


@given(
    index=st.sampled_from(range(len(CLUSTER))),
    wild=st.sets(st.sampled_from(["apiGroups", "resources", "verbs"])),
)
def test_a_wildcard_hides_no_risk(index: int, wild: set[str]) -> None:
    """Whatever is found of a rule is found of one that grants more, unless that grants everything."""
    given, _expected = CLUSTER[index]
    if "nonResourceURLs" in given:
        return
    wider = {**given, **{part: ["*"] for part in wild}}
    found = refused(role("r", wider))
    assert refused(role("r", given)) <= found or rbac.is_everything(wider)
    assert ("wildcard" in found) >= bool(wild)


# -- what grants nothing

NOTHING: list[tuple[Rule, str, str]] = [
    (rule("create", "pods/*"), "pods/* matches nothing", "Name"),
    (rule("get*", "pods"), "get* matches nothing", "Name"),
    (rule("get", "widgets", "*.example.com"), "*.example.com matches nothing", "Name"),
    (rule("create get", "configmaps", names="web"), "create with resource_names", "without resource_names"),
    (
        rule("deletecollection", "configmaps", names="web"),
        "deletecollection with resource_names",
        "leave it out",
    ),
    (rule("get", "pod"), "there is no pod in API group core", "Write pods"),
    (rule("get", "deployments"), "there is no deployments in API group core", "Write deployments.apps"),
    (
        rule("get", "secrets", "apps batch"),
        "there is no secrets in API group apps and batch",
        "Write secrets",
    ),
    (rule("get", "pods/logs"), "there is no pods/logs in API group core", "Write pods/log"),
    (rule("get", "rubbish"), "there is no rubbish in API group core", "Correct its name"),
    (rule("GET", "pods"), "nobody asks for the verb GET there", "Write get"),
    (rule("get lst", "pods"), "nobody asks for the verb lst there", "Write list"),
    (rule("get read", "pods"), "nobody asks for the verb read there", "The verbs are create, delete"),
    (rule("list", "pods/log"), "nobody asks for the verb list there", "The verbs are get"),
    (rule("list", "pods pods/log"), "nobody asks for list on pods/log", "Its verbs are get"),
    (rule("delete", "events namespaces/finalize"), "nobody asks for delete on namespaces/finalize", "update"),
    (rule("frobnicate", "*"), "nobody asks for the verb frobnicate there", "The verbs are"),
]


@pytest.mark.parametrize(("given", "reason", "remedy"), NOTHING, ids=[rbac.quoted(entry[0]) for entry in NOTHING])
def test_what_grants_nothing_is_told(given: Rule, reason: str, remedy: str) -> None:
    found = [finding for finding in risks(role("r", rule("get", "nodes"), given)) if finding.rule == "rbac/no-effect"]
    (finding,) = found
    assert not finding.refuse
    assert finding.message.startswith(f"rules[1] ({rbac.quoted(given)}): {reason}")
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    "given",
    [
        rule("get list watch", "pods pods/log"),
        rule("get list create", "pods pods/exec", names="web-0"),
        rule("create", "pods/exec serviceaccounts/token", names="web-0"),
        rule("get list watch", "configmaps", names="web"),
        rule("lst", "gadgets", "example.com"),
        rule("get", "deployments", "core extensions"),
        rule("get", "pod", "*"),
        rule("get", "pods deployments", "core apps"),
        rule("*", "*"),
        rule("update", "*/scale", "apps"),
        rule("use", "configmaps", names="exempt"),
        rule("impersonate", "users groups serviceaccounts"),
        rule("impersonate", "userextras/scopes uids", "authentication.k8s.io"),
        rule("impersonate-on:user-info:get", "pods"),
        rule("approve sign", "signers", CERTIFICATES),
        rule("bind escalate", "roles clusterroles", RBAC),
        rule("associated-node:update", "resourceclaims/driver", "resource.k8s.io"),
        urls("get", "/metrics"),
    ],
    ids=rbac.quoted,
)
def test_what_grants_something_is_not(given: Rule) -> None:
    assert "no-effect" not in told(role("r", given))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (rule("get", "nodes"), True),
        (rule("create", "persistentvolumes"), True),
        (rule("impersonate", "users"), True),
        (rule("get bind", "clusterroles", RBAC), False),
        (rule("get", "clusterroles", RBAC), True),
        (rule("get patch", "namespaces"), False),
        (rule("get", "pods"), False),
    ],
)
def test_what_has_no_namespace_is_not_for_a_role(given: Rule, expected: bool) -> None:
    assert ("no-effect" in told(role("r", given, namespace="shop"))) is expected
    assert "no-effect" not in told(role("r", given))


# -- a role and its holders


def test_a_finding_names_the_role_its_rules_and_everyone_who_holds_it() -> None:
    found = risks(
        role(
            "reader",
            rule("get", "pods"),
            rule("get list", "secrets"),
            rule("watch", "secrets"),
            namespace="shop",
        ),
        binding("one", "Role/reader", "User/alice", "ServiceAccount/ci/deployer", namespace="shop"),
        binding("two", "Role/reader", "Group/team", "User/alice", namespace="shop"),
        binding("other", "Role/reader", "User/elsewhere", namespace="other"),
        there={"Role/other/reader": []},
    )
    (finding,) = found
    assert finding.rule == "rbac/secrets"
    assert finding.ref == Ref("Role", "shop", "reader")
    assert finding.message.startswith("rules[1] (get,list secrets), rules[2] (watch secrets): reads every Secret")
    assert finding.affected == ("Group team", "ServiceAccount ci/deployer", "User alice")
    assert "resource_names" in finding.remedy


def test_what_labels_add_a_role_to_is_told() -> None:
    labels = {f"{RBAC}/aggregate-to-view": "true", "example.com/monitoring": "true"}
    total = {
        "kind": "ClusterRole",
        "metadata": {"name": "monitoring"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"example.com/monitoring": "true"}}]},
    }
    found = risks(
        role("secrets", rule("get", "secrets"), labels=labels),
        total,
        binding("b", "ClusterRole/monitoring", "Group/sre"),
        there={"ClusterRole/monitoring": [rule("get", "secrets"), rule("get", "nodes/proxy")]},
    )
    assert [(finding.rule, finding.ref.name) for finding in found] == [
        ("rbac/secrets", "secrets"),
        ("rbac/nodes-proxy", "monitoring"),
    ]
    assert found[0].affected == (
        "Group sre",
        "everyone with ClusterRole monitoring",
        "everyone with ClusterRole view",
    )
    assert found[1].message.startswith("rules[1] (get nodes/proxy)")


def test_making_and_reading_one_secret_is_having_a_token() -> None:
    create, read = rule("create", "secrets"), rule("get", "secrets", names="tls")
    (finding,) = risks(role("r", create, rule("get", "pods"), read, namespace="shop"))
    assert (finding.rule, finding.refuse) == ("rbac/token-request", False)
    assert finding.message.startswith("rules[0] (create secrets), rules[2] (get secrets): creates and reads")
    assert told(role("r", rule("create patch", "secrets", names="tls"))) == {"token-request", "no-effect"}
    for harmless in ([create], [read], [read, rule("create", "secrets", names="tls")]):
        assert "token-request" not in told(role("r", *harmless))
    assert told(role("r", create, rule("get", "secrets"))) == set()


# -- bindings

WRITES_PODS = [
    rule("create", "pods"),
    rule("patch", "deployments", "apps"),
    rule("update", "daemonsets", "apps"),
    rule("create", "cronjobs", "batch"),
    rule("create", "jobs", "*"),
    rule("create", "*", "apps"),
    rule("*", "statefulsets", "apps"),
    rule("create", "replicationcontrollers"),
    rule("patch", "deployments", "apps", names="coredns"),
]


@pytest.mark.parametrize("given", WRITES_PODS, ids=rbac.quoted)
def test_pods_where_they_may_do_anything(given: Rule) -> None:
    name = "workloads-in-privileged-namespace"
    assert name in refused(role("r", given, namespace="kube-system"))
    assert name in refused(role("r", given, namespace="storage"))
    assert name not in refused(role("r", given, namespace="shop"))
    declared, there = role("r", given), {"ClusterRole/r": [given]}
    assert name not in refused(declared)
    for objects in ((declared,), ()):
        assert name in refused(*objects, binding("b", "ClusterRole/r"), there=there)
        assert name in refused(*objects, binding("b", "ClusterRole/r", namespace="kube-system"), there=there)
        assert name not in refused(*objects, binding("b", "ClusterRole/r", namespace="shop"), there=there)


@pytest.mark.parametrize(
    "given",
    [rule("get list watch delete", "pods"), rule("create", "pods/eviction"), rule("create", "services")],
)
def test_nothing_that_starts_pods(given: Rule) -> None:
    assert refused(role("r", given), binding("b", "ClusterRole/r", namespace="kube-system")) == set()


def test_of_a_declared_role_a_binding_only_says_what_its_place_adds() -> None:
    declared = role("r", rule("create", "pods/exec"), rule("create", "pods"))
    found = risks(declared, binding("b", "ClusterRole/r", namespace="kube-system"))
    assert [(finding.rule, finding.ref.kind) for finding in found] == [
        ("rbac/exec", "ClusterRole"),
        ("rbac/workloads-in-privileged-namespace", "RoleBinding"),
    ]
    assert found[1].message.startswith("through ClusterRole r, rules[1] (create pods): starts pods in namespace")
    everything = risks(role("r", rule("*", "*", "*")), binding("b", "ClusterRole/r"))
    assert [finding.rule for finding in everything] == ["rbac/wildcard"]


def test_a_role_of_the_cluster_is_judged_by_its_effective_rules() -> None:
    there = {"ClusterRole/ops": [rule("get", "pods"), rule("get", "nodes/proxy"), rule("get", "secrets")]}
    found = risks(binding("b", "ClusterRole/ops", "User/bob"), there=there)
    assert [(finding.rule, finding.affected) for finding in found] == [
        ("rbac/nodes-proxy", ("User bob",)),
        ("rbac/secrets", ("User bob",)),
    ]
    assert found[0].ref == Ref("ClusterRoleBinding", "", "b")
    assert found[0].message.startswith("through ClusterRole ops, rules[1] (get nodes/proxy): ")
    assert refused(binding("b", "ClusterRole/ops", namespace="shop"), there=there) == {"secrets"}
    assert refused(binding("b", "Role/r", namespace="shop"), there={"Role/shop/r": [rule("get", "secrets")]}) == {
        "secrets"
    }


def test_a_role_that_is_nowhere() -> None:
    (finding,) = risks(binding("b", "Role/r", namespace="shop"), there={"Role/other/r": [], "ClusterRole/r": []})
    assert (finding.rule, finding.refuse) == ("rbac/role-missing", False)
    assert "Role shop/r is not declared here" in finding.message


@pytest.mark.parametrize("there", [None, {"ClusterRole/edit": list(rbac.EDIT), "ClusterRole/admin": list(rbac.EDIT)}])
def test_user_facing_roles_are_told_in_a_namespace_and_refused_in_all(there: t.Any) -> None:
    """Also where no cluster can be asked."""
    for name in ("edit", "admin"):
        (finding,) = risks(binding("b", f"ClusterRole/{name}", namespace="shop"), there=there)
        assert (finding.rule, finding.refuse, finding.affected) == (
            "rbac/user-facing",
            False,
            ("Group team",),
        )
        for reach in ("reads every Secret", "enters running pods", "acts as others", "makes tokens"):
            assert reach in finding.message
        assert refused(binding("b", f"ClusterRole/{name}"), there=there) == {"user-facing"}
        assert refused(binding("b", f"ClusterRole/{name}", namespace="kube-system"), there=there) == {
            "workloads-in-privileged-namespace"
        }
    harmless = {"ClusterRole/view": [rule("get list watch", "pods")]}
    assert risks(binding("b", "ClusterRole/view", namespace="shop")) == []
    assert risks(binding("b", "ClusterRole/view"), there=harmless) == []


def test_view_is_what_the_cluster_made_of_it() -> None:
    there = {"ClusterRole/view": [rule("get list watch", "secrets")]}
    assert told(binding("b", "ClusterRole/view", namespace="shop"), there=there) == {"user-facing"}
    assert refused(binding("b", "ClusterRole/view"), there=there) == {"user-facing"}


def test_a_declared_role_named_like_a_user_facing_one_is_judged_as_declared() -> None:
    found = risks(role("edit", rule("get", "pods")), binding("b", "ClusterRole/edit"))
    assert found == []


@pytest.mark.parametrize("namespace", ["", "shop"])
def test_cluster_admin(namespace: str) -> None:
    (finding,) = risks(binding("b", "ClusterRole/cluster-admin", "User/root", namespace=namespace))
    assert (finding.rule, finding.refuse, finding.affected) == ("rbac/cluster-admin", True, ("User root",))
    assert ("in namespace shop" if namespace else "over the whole cluster") in finding.message


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Group/system:masters", "system-masters"),
        ("User/system:masters", ""),
        ("Group/system:authenticated", "broad-group"),
        ("Group/system:unauthenticated", "broad-group"),
        ("Group/system:serviceaccounts", "broad-group"),
        ("User/system:anonymous", "broad-group"),
        ("Group/system:serviceaccounts:shop", ""),
        ("User/system:kube-scheduler", ""),
        ("ServiceAccount/shop/web", ""),
    ],
)
def test_subjects_that_are_more_than_they_look(subject: str, expected: str) -> None:
    for namespace in ("", "shop"):
        found = risks(role("r", rule("get", "pods")), binding("b", "ClusterRole/r", subject, namespace=namespace))
        assert [(finding.rule, finding.refuse) for finding in found] == [(f"rbac/{expected}", True)] * bool(expected)


def test_rights_of_the_default_service_account_are_told() -> None:
    objects = role("r", rule("get", "pods")), binding("b", "ClusterRole/r", "ServiceAccount/shop/default")
    assert told(*objects) == {"default-account"}
    assert refused(*objects) == set()


# -- the whole


def test_every_finding_says_what_to_do() -> None:
    objects = [role(f"r{index}", given) for index, (given, _expected) in enumerate(CLUSTER)]
    objects += [role(f"n{index}", entry[0]) for index, entry in enumerate(NOTHING)]
    for finding in risks(*objects, binding("b", "ClusterRole/edit"), binding("c", "ClusterRole/cluster-admin")):
        assert re.fullmatch(r"rbac/[a-z-]+", finding.rule)
        assert finding.message
        assert re.match(r"[A-Z].*[^.]$", finding.remedy)


def test_an_object_without_any_of_it() -> None:
    assert risks(role("r"), role("s", namespace="shop"), {"kind": "ServiceAccount", "metadata": {"name": "a"}}) == []


WORDS = st.lists(
    st.sampled_from(["*", "", "get", "pods", "pods/exec", "apps", "*/x", "x*", "/a", "secrets"]), max_size=3
)


@given(
    rules=st.lists(
        st.dictionaries(
            st.sampled_from(["apiGroups", "resources", "resourceNames", "verbs", "nonResourceURLs"]),
            st.none() | WORDS,
        ),
        max_size=3,
    ),
    namespace=st.sampled_from(["", "shop", "kube-system"]),
)
def test_any_rules_are_judged(rules: list[Rule], namespace: str) -> None:
    """As the cluster has them: with missing, null and empty lists."""
    for objects, there in (
        ([role("r", *rules, namespace=namespace)], {}),
        ([binding("b", "ClusterRole/r", namespace=namespace)], {"ClusterRole/r": rules}),
    ):
        for finding in risks(*objects, there=there):
            assert finding.ref.name in ("r", "b")


def test_the_table_of_resources_is_whole() -> None:
    """That it is right is asked of an API server."""
    assert api_resources.find("apps", "deployments/scale") == api_resources.Resource(
        True, frozenset(["get", "patch", "update"])
    )
    assert api_resources.find("", "pods/log") == api_resources.Resource(True, frozenset(["get"]))
    assert api_resources.find("", "namespaces/finalize") == api_resources.Resource(False, frozenset(["update"]))
    roles = api_resources.find(RBAC, "roles")
    assert roles is not None
    assert {"bind", "escalate", "get", "deletecollection"} <= roles.verbs
    for group, resources in api_resources.RESOURCES.items():
        for name in resources:
            assert api_resources.split(api_resources.joined(group, name)) == (group, name)
            assert api_resources.joined(group, name) in api_resources.nearest(name)
    words = {verb for found in api_resources.RESOURCES.values() for entry in found.values() for verb in entry.verbs}
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*(:[a-z-]+)?", verb) for verb in words)
