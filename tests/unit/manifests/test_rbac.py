# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rights become service accounts, roles and bindings, and back; every mistake is told."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.hardened.k8s.plugins.module_utils.arguments import ItemChecker
from ansible_collections.hardened.k8s.plugins.module_utils.checks import rbac as checks
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import rbac, tenant
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    Manifest,
    ref_of,
)
from ansible_collections.hardened.k8s.plugins.modules import rbac as module
from hypothesis import given
from hypothesis import strategies as st

CONTEXT = Context("enforce", 37)
GROUP = "rbac.authorization.k8s.io"
READ = {"resources": ["configmaps"], "verbs": ["get"]}
READ_RULE = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}


def declare(**options: t.Any) -> Declaration:
    """What a tenant named ``shop`` declares."""
    return rbac.declare({"namespace": "shop", **options}, "tenants[0] (shop)", CONTEXT)


def objects(declaration: Declaration) -> dict[str, Manifest]:
    assert declaration.problems == []
    return {str(ref_of(item)): item for item in declaration.objects}


def rules(*declared: dict[str, t.Any], cluster: bool = False) -> t.Any:
    function = rbac.declare_cluster_role if cluster else rbac.declare_role
    item = {"name": "r", "rules": list(declared), **({} if cluster else {"namespace": "shop"})}
    (role,) = objects(function(item, "roles[0] (r)", CONTEXT)).values()
    return role["rules"]


def mistakes(declaration: Declaration) -> list[str]:
    assert all(problem.remedy for problem in declaration.problems)
    return [f"{problem.item}: {problem.reason}" for problem in declaration.problems]


# -- service accounts


def test_a_service_account_holds_no_token() -> None:
    (account,) = objects(declare(service_accounts=[{"name": "web"}])).values()
    assert account == {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "web", "namespace": "shop"},
        "automountServiceAccountToken": False,
    }


def test_everything_of_a_service_account() -> None:
    item = {
        "name": "web",
        "automount": True,
        "labels": {"app": "web"},
        "annotations": {"example.com/why": "it calls the API"},
        "image_pull_secrets": ["registry"],
    }
    (account,) = objects(declare(service_accounts=[item])).values()
    assert account["automountServiceAccountToken"] is True
    assert account["imagePullSecrets"] == [{"name": "registry"}]
    assert account["metadata"]["labels"] == {"app": "web"}
    assert account["metadata"]["annotations"] == {"example.com/why": "it calls the API"}


def test_rights_of_a_service_account_are_named_after_it() -> None:
    item = {"name": "web", "rules": [READ], "roles": ["deployer"], "cluster_roles": ["view", "system:basic"]}
    found = objects(declare(service_accounts=[item]))
    assert found["Role shop/web"]["rules"] == [READ_RULE]
    subjects = [{"kind": "ServiceAccount", "name": "web", "namespace": "shop"}]
    assert {key: value["roleRef"]["name"] for key, value in found.items() if "roleRef" in value} == {
        "RoleBinding shop/web": "web",
        "RoleBinding shop/web-deployer": "deployer",
        "RoleBinding shop/web-view": "view",
        "RoleBinding shop/web-system:basic": "system:basic",
    }
    assert all(value["subjects"] == subjects for value in found.values() if "subjects" in value)
    assert found["RoleBinding shop/web-view"]["roleRef"]["kind"] == "ClusterRole"
    assert found["RoleBinding shop/web-deployer"]["roleRef"]["kind"] == "Role"


def test_a_wrong_right_leaves_the_account_and_its_other_rights() -> None:
    wrong = {"name": "web", "rules": [READ, {"verbs": ["get"]}], "roles": ["a/b", "deployer"]}
    declaration = declare(service_accounts=[wrong, {"name": "api"}])
    assert mistakes(declaration) == [
        "tenants[0] (shop).service_accounts[0].rules[1]: the rule names no resources",
        "tenants[0] (shop).service_accounts[0].roles[0]: role 'a/b' cannot be a name",
    ]
    assert [str(ref_of(item)) for item in declaration.objects] == [
        "ServiceAccount shop/web",
        "RoleBinding shop/web-deployer",
        "ServiceAccount shop/api",
    ]


def test_names_that_collide_are_told() -> None:
    accounts = [{"name": "web", "cluster_roles": ["api"]}, {"name": "web-api", "rules": [READ]}]
    (text,) = mistakes(declare(service_accounts=accounts))
    assert "RoleBinding shop/web-api is declared twice" in text
    assert "service_accounts[0].cluster_roles[0]" in text


# -- rules


def test_the_core_group_unless_a_resource_names_its_own() -> None:
    names = ["pods", "deployments.apps", "services", "deployments.apps/scale", "jobs.batch"]
    assert rules({"resources": names, "verbs": ["get"], "resource_names": ["web"]}) == [
        {"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["get"], "resourceNames": ["web"]},
        {
            "apiGroups": ["apps"],
            "resources": ["deployments", "deployments/scale"],
            "verbs": ["get"],
            "resourceNames": ["web"],
        },
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"], "resourceNames": ["web"]},
    ]


def test_wildcards_stay_what_they_are() -> None:
    assert rules({"resources": ["*", "*.apps", "*/scale"], "verbs": ["*"]}) == [
        {"apiGroups": [""], "resources": ["*", "*/scale"], "verbs": ["*"]},
        {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]},
    ]


def test_with_groups_a_resource_is_taken_as_it_is() -> None:
    rule = {"api_groups": ["", "apps"], "resources": ["pods", "a.b"], "verbs": ["get"]}
    assert rules(rule) == [{"apiGroups": ["", "apps"], "resources": ["pods", "a.b"], "verbs": ["get"]}]


def test_paths_are_for_cluster_roles() -> None:
    rule = {"non_resource_urls": ["/metrics", "/healthz/*"], "verbs": ["get"]}
    assert rules(rule, cluster=True) == [{"nonResourceURLs": ["/metrics", "/healthz/*"], "verbs": ["get"]}]
    item = {"name": "r", "namespace": "shop", "rules": [rule]}
    (text,) = mistakes(rbac.declare_role(item, "roles[0] (r)", CONTEXT))
    assert text == "roles[0] (r).rules[0]: non_resource_urls have no namespace"


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"resources": ["pods"], "verbs": []}, "the rule has no verbs"),
        ({"resources": [], "verbs": ["get"]}, "the rule names no resources"),
        ({"resources": [""], "verbs": ["get"]}, "resources [''] has an entry that is empty"),
        (
            {"resources": ["pods"], "verbs": ["get "]},
            "verbs ['get '] has an entry that is empty or has spaces",
        ),
        (
            {"resources": ["pods"], "resource_names": [""], "verbs": ["get"]},
            "resource_names [''] has an entry",
        ),
        ({"non_resource_urls": ["metrics"], "verbs": ["get"]}, "'metrics' is no path"),
        ({"non_resource_urls": ["/a/*/b"], "verbs": ["get"]}, "'/a/*/b' is no path"),
        ({"non_resource_urls": ["/a"], "resources": ["pods"], "verbs": ["get"]}, "mixes resources and"),
        ({"non_resource_urls": ["/a"], "resource_names": ["x"], "verbs": ["get"]}, "mixes resources and"),
    ],
)
def test_a_wrong_rule_is_told_and_keeps_its_role_away(rule: dict[str, t.Any], reason: str) -> None:
    declaration = rbac.declare_cluster_role({"name": "r", "rules": [READ, rule]}, "cluster_roles[0] (r)", CONTEXT)
    assert declaration.objects == []
    (text,) = mistakes(declaration)
    assert text.startswith("cluster_roles[0] (r).rules[1]: ")
    assert reason in text


def test_every_mistake_of_a_role_at_once() -> None:
    item = {
        "name": "a/b",
        "namespace": "Shop",
        "rules": [{"verbs": ["get"]}, READ, {"resources": ["x"], "verbs": []}],
    }
    declaration = rbac.declare_role(item, "roles[0] (a/b)", CONTEXT)
    assert [problem.item for problem in declaration.problems] == [
        "roles[0] (a/b)",
        "roles[0] (a/b).rules[0]",
        "roles[0] (a/b).rules[2]",
    ]
    assert declaration.objects == []


# -- cluster roles that are added up


def test_an_aggregated_role_leaves_its_rules_to_the_server() -> None:
    item = {"name": "monitoring", "aggregate": [{"example.com/monitoring": "true"}, {"tier": "base"}]}
    (role,) = objects(rbac.declare_cluster_role(item, "cluster_roles[0]", CONTEXT)).values()
    assert "rules" not in role
    assert role["aggregationRule"] == {
        "clusterRoleSelectors": [
            {"matchLabels": {"example.com/monitoring": "true"}},
            {"matchLabels": {"tier": "base"}},
        ]
    }


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"aggregate": [{"a": "b"}], "rules": [READ]},
            "cluster_roles[0]: the API server would overwrite rules",
        ),
        ({"aggregate": [{}]}, "cluster_roles[0].aggregate[0]: an empty label map adds up every cluster role"),
        ({"aggregate": [{"a": "b c"}]}, "cluster_roles[0].aggregate[0]: 'b c' is not a label value"),
    ],
)
def test_what_cannot_be_added_up(options: dict[str, t.Any], reason: str) -> None:
    declaration = rbac.declare_cluster_role({"name": "r", **options}, "cluster_roles[0]", CONTEXT)
    assert declaration.objects == []
    assert [text[: len(reason)] for text in mistakes(declaration)] == [reason]


# -- bindings


def bind(**options: t.Any) -> Declaration:
    item = {"name": "b", "subjects": [{"group": "team"}], **options}
    return rbac.declare_binding(item, "bindings[0] (b)", CONTEXT)


def test_a_binding_has_a_namespace_or_the_whole_cluster() -> None:
    (binding,) = objects(bind(namespace="shop", role="deployer")).values()
    assert (binding["kind"], binding["roleRef"]["kind"]) == ("RoleBinding", "Role")
    (binding,) = objects(bind(namespace="shop", cluster_role="view")).values()
    assert (binding["kind"], binding["roleRef"]["kind"]) == ("RoleBinding", "ClusterRole")
    (binding,) = objects(bind(cluster_role="view")).values()
    assert (binding["kind"], binding["roleRef"]["kind"]) == ("ClusterRoleBinding", "ClusterRole")
    assert "namespace" not in binding["metadata"]


def test_subjects_of_every_kind() -> None:
    subjects = [
        {"user": "alice@example.com"},
        {"group": "oidc:team/shop"},
        {"service_account": "web"},
        {"service_account": "argo.cd", "namespace": "gitops"},
    ]
    (binding,) = objects(bind(namespace="shop", role="r", subjects=subjects)).values()
    assert binding["subjects"] == [
        {"apiGroup": GROUP, "kind": "User", "name": "alice@example.com"},
        {"apiGroup": GROUP, "kind": "Group", "name": "oidc:team/shop"},
        {"kind": "ServiceAccount", "name": "web", "namespace": "shop"},
        {"kind": "ServiceAccount", "name": "argo.cd", "namespace": "gitops"},
    ]


@pytest.mark.parametrize(
    ("options", "where", "reason"),
    [
        ({}, "", "the binding names neither role and cluster_role"),
        (
            {"role": "a", "cluster_role": "b", "namespace": "shop"},
            "",
            "the binding names both role and cluster_role",
        ),
        ({"role": "a"}, "", "role a can only be bound in its namespace"),
        ({"cluster_role": "view", "namespace": ""}, "", "namespace '' is not a DNS label"),
        ({"cluster_role": "a%b"}, "", "role 'a%b' cannot be a name"),
        ({"cluster_role": "view", "subjects": []}, "", "the binding has no subjects"),
        ({"cluster_role": "view", "subjects": [{}]}, ".subjects[0]", "this is none of them"),
        (
            {"cluster_role": "view", "subjects": [{"user": "a", "group": "b"}]},
            ".subjects[0]",
            "user and group",
        ),
        (
            {"cluster_role": "view", "subjects": [{"service_account": "a"}]},
            ".subjects[0]",
            "a has no namespace",
        ),
        (
            {"cluster_role": "view", "subjects": [{"user": "a"}, {"group": "a", "namespace": "b"}]},
            ".subjects[1]",
            "a group belongs to no namespace",
        ),
    ],
)
def test_a_wrong_binding_is_told(options: dict[str, t.Any], where: str, reason: str) -> None:
    declaration = bind(**options)
    assert declaration.objects == []
    (text,) = mistakes(declaration)
    assert text.startswith(f"bindings[0] (b){where}: ")
    assert reason in text


# -- access of a tenant


def test_each_subject_has_a_binding_of_its_own() -> None:
    access = [
        {"group": "team-shop", "role": "edit"},
        {"user": "alice", "role": "view"},
        {"service_account": "ci", "role": "view"},
        {"service_account": "ci", "namespace": "gitops", "role": "view"},
        {"service_account": "ci", "namespace": "shop", "role": "edit"},
    ]
    found = objects(declare(access=access))
    assert sorted(found) == [
        "RoleBinding shop/edit-group-team-shop",
        "RoleBinding shop/edit-sa-ci",
        "RoleBinding shop/view-sa-ci",
        "RoleBinding shop/view-sa-gitops:ci",
        "RoleBinding shop/view-user-alice",
    ]
    assert all(item["roleRef"]["kind"] == "ClusterRole" for item in found.values())
    assert found["RoleBinding shop/view-sa-gitops:ci"]["subjects"][0]["namespace"] == "gitops"


def test_another_person_renames_nobody_elses_binding() -> None:
    one = objects(declare(access=[{"user": "bob", "role": "view"}]))
    two = objects(declare(access=[{"user": "alice", "role": "view"}, {"user": "bob", "role": "view"}]))
    assert one.items() <= two.items()


def test_subjects_that_differ_only_in_what_a_name_cannot_have_are_told_apart() -> None:
    users = ["https://idp/a", "https:%%idp-a", "https:--idp-a"]
    found = objects(declare(access=[{"user": user, "role": "view"} for user in users]))
    assert len(found) == 3
    assert [item["subjects"][0]["name"] for item in found.values()] == users
    assert not any(set("/%") & set(item["metadata"]["name"]) for item in found.values())


def test_wrong_access_is_told_where_it_stands() -> None:
    access = [
        {"user": "a", "group": "b", "role": "view"},
        {"user": "alice", "role": "view"},
        {"user": "bob", "namespace": "other", "role": "view"},
        {"user": "carol", "role": "a/b"},
    ]
    declaration = declare(access=access)
    assert [text.partition(": ")[0] for text in mistakes(declaration)] == [
        "tenants[0] (shop).access[0]",
        "tenants[0] (shop).access[2]",
        "tenants[0] (shop).access[3]",
    ]
    assert [str(ref_of(item)) for item in declaration.objects] == ["RoleBinding shop/view-user-alice"]


# -- expectations


def expect(**options: t.Any) -> Declaration:
    return rbac.declare_expectation(options, "expect[0]", CONTEXT)


def test_a_right_is_asked_as_it_is_written() -> None:
    can = ["get pods", "create deployments.apps", "get pods/log", "get configmaps web", "get /metrics"]
    declaration = expect(user="alice", namespace="shop", can=can, cannot=["list secrets"])
    assert declaration.problems == []
    assert [(e.verb, e.resource, e.namespace, e.name, e.allowed) for e in declaration.expectations] == [
        ("get", "pods", "shop", "", True),
        ("create", "deployments.apps", "shop", "", True),
        ("get", "pods/log", "shop", "", True),
        ("get", "configmaps", "shop", "web", True),
        ("get", "/metrics", "", "", True),
        ("list", "secrets", "shop", "", False),
    ]


@pytest.mark.parametrize(
    ("entry", "namespace", "name"),
    [
        ("get nodes", "", ""),
        ("create persistentvolumes", "", ""),
        ("impersonate groups system:masters", "", "system:masters"),
        ("delete namespaces", "shop", "shop"),
        ("patch namespaces/status", "shop", "shop"),
        ("get namespaces other", "shop", "other"),
        ("list namespaces", "", ""),
        ("create namespaces", "", ""),
        ("get widgets.example.com", "shop", ""),
        ("frobnicate widgets.example.com", "shop", ""),
        ("* *", "shop", ""),
        ("get *.apps", "shop", ""),
        ("use configmaps exempt", "shop", "exempt"),
        ("impersonate:user-info users.authentication.k8s.io", "", ""),
        ("impersonate userextras.authentication.k8s.io/scopes", "", ""),
    ],
)
def test_a_request_has_a_namespace_where_the_api_server_gives_it_one(entry: str, namespace: str, name: str) -> None:
    """A Role never gives what has no namespace, but a SubjectAccessReview with one would say that it does."""
    (asked,) = expect(groups=["team"], namespace="shop", cannot=[entry]).expectations
    assert (asked.namespace, asked.name) == (namespace, name)


@pytest.mark.parametrize(
    ("subject", "user", "groups"),
    [
        ({"user": "alice"}, "alice", ("system:authenticated",)),
        ({"user": "alice", "groups": ["a"]}, "alice", ("a", "system:authenticated")),
        ({"groups": ["a", "b"]}, "", ("a", "b", "system:authenticated")),
        ({"groups": ["system:unauthenticated"]}, "", ("system:unauthenticated",)),
        ({"user": "system:anonymous"}, "system:anonymous", ("system:unauthenticated",)),
        (
            {"service_account": "web", "namespace": "shop"},
            "system:serviceaccount:shop:web",
            ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"),
        ),
        (
            {"user": "system:serviceaccount:shop:web"},
            "system:serviceaccount:shop:web",
            ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"),
        ),
    ],
)
def test_a_subject_has_the_groups_that_authentication_gives_it(
    subject: dict[str, t.Any], user: str, groups: tuple[str, ...]
) -> None:
    (asked,) = expect(**subject, can=["get pods"]).expectations
    assert (asked.user, asked.groups) == (user, groups)


@pytest.mark.parametrize(
    ("options", "where", "reason", "remedy"),
    [
        ({"can": ["get pods"]}, "", "of nobody", "Name one of"),
        ({"user": "a", "service_account": "b", "can": ["get pods"]}, "", "of both user", "two entries"),
        ({"service_account": "b", "can": ["get pods"]}, "", "b has no namespace", "Say namespace"),
        ({"user": "a"}, "", "nothing is expected", "can or cannot"),
        ({"user": "a", "can": ["pods"]}, ".can[0]", "'pods' is no right", "a verb and a resource"),
        ({"user": "a", "can": ["get pods web now"]}, ".can[0]", "is no right", "a verb and a resource"),
        (
            {"user": "a", "cannot": ["get secret"]},
            ".cannot[0]",
            "core API group has no resource secret",
            "secrets",
        ),
        ({"user": "a", "cannot": ["get cm"]}, ".cannot[0]", "no resource cm", "kubectl api-resources"),
        ({"user": "a", "cannot": ["create deployments"]}, ".cannot[0]", "core API group", "deployments.apps"),
        (
            {"user": "a", "cannot": ["get pods.apps"]},
            ".cannot[0]",
            "apps API group has no resource pods",
            "pods",
        ),
        ({"user": "a", "cannot": ["exec pods"]}, ".cannot[0]", "nobody asks to exec pods", "Its verbs are"),
        ({"user": "a", "cannot": ["list pods/log"]}, ".cannot[0]", "nobody asks to list pods/log", "get"),
        ({"user": "a", "can": ["get pods", "GET pods"]}, ".can[1]", "nobody asks to GET pods", "get"),
        (
            {"user": "a", "can": ["get deployments/scale.apps"]},
            ".can[0]",
            "no resource",
            "deployments.apps/scale",
        ),
    ],
)
def test_a_slip_of_the_pen_is_no_assurance(options: dict[str, t.Any], where: str, reason: str, remedy: str) -> None:
    declaration = expect(**options)
    assert declaration.expectations == []
    (problem,) = declaration.problems
    assert problem.item == f"expect[0]{where}"
    assert reason in problem.reason
    assert remedy in problem.remedy


def test_one_wrong_right_does_not_stop_the_other_list() -> None:
    declaration = expect(user="a", can=["get pods"], cannot=["get secret", "list pods/log"])
    assert [problem.item for problem in declaration.problems] == [
        "expect[0].cannot[0]",
        "expect[0].cannot[1]",
    ]
    assert [asked.allowed for asked in declaration.expectations] == [True]


def test_a_tenant_expects_in_its_own_namespace() -> None:
    declaration = declare(expect=[{"service_account": "web", "cannot": ["get secrets"]}])
    (asked,) = declaration.expectations
    assert (asked.user, asked.namespace) == ("system:serviceaccount:shop:web", "shop")
    assert asked.where == "tenants[0] (shop).expect[0]"


# -- the module's documentation

EXAMPLES = {task["name"]: task["hardened.k8s.rbac"] for task in yaml.safe_load(module.EXAMPLES)}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_examples_declare_what_they_say(example: dict[str, t.Any]) -> None:
    for option, (spec, declare_one) in module.TOPIC.items.items():
        for raw in example.get(option, ()):
            item, errors = ItemChecker(spec).check(raw)
            declaration = declare_one(item, option, CONTEXT)
            assert (errors, declaration.problems) == ([], [])
            assert declaration.objects or declaration.expectations


def test_the_documentation_names_every_finding() -> None:
    said = set(re.findall(r"rbac/[a-z-]+", module.DOCUMENTATION))
    assert said == set(re.findall(r'"(rbac/[a-z-]+)"', Path(checks.__file__).read_text(encoding="utf-8")))


def documented(suboptions: dict[str, t.Any]) -> dict[str, t.Any]:
    """Documented options, as an argument spec."""
    return {
        name: {
            **{key: said[key] for key in ("type", "elements", "required") if key in said},
            **({"options": documented(said["suboptions"])} if "suboptions" in said else {}),
        }
        for name, said in suboptions.items()
    }


def test_the_documentation_has_every_option() -> None:
    options = yaml.safe_load(module.DOCUMENTATION)["options"]
    for option, (spec, _declare) in module.TOPIC.items.items():
        assert documented(options[option]["suboptions"]) == spec


# -- the inverse


def described(*found: Manifest) -> dict[str, t.Any]:
    return rbac.describe(found)


def account(name: str, **body: t.Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": "shop"},
        **body,
    }


def test_an_account_that_leaves_its_token_open_has_it_mounted() -> None:
    found = [account(name, automountServiceAccountToken=name == "a") for name in "ab"] + [account("open")]
    expected = {"a": True, "b": False, "open": True}
    assert described(*found) == {
        "service_accounts": [{"name": name, "automount": mounted} for name, mounted in expected.items()]
    }


def test_what_options_cannot_say_is_told() -> None:
    empty = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "empty", "namespace": "shop"},
        "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "r"},
    }
    kept = account("web", automountServiceAccountToken=False)
    found = [
        kept,
        account("default", automountServiceAccountToken=False),
        account("old", secrets=[{"name": "old-token"}]),
        empty,
    ]
    assert described(*found) == {"service_accounts": [{"name": "web", "automount": False}]}
    left_out = rbac.undescribed(found)
    assert list(left_out) == [Ref("ServiceAccount", "shop", "old"), Ref("RoleBinding", "shop", "empty")]
    assert all(left_out.values())
    assert rbac.undescribed([account("default"), kept]) == {}
    special = account("default", imagePullSecrets=[{"name": "registry"}])
    assert list(rbac.undescribed([special])) == [Ref("ServiceAccount", "shop", "default")]
    assert described(special) == {}


def test_book_keeping_is_no_part_of_a_description() -> None:
    found = account("web", automountServiceAccountToken=False)
    found["metadata"]["labels"] = {"hardened.k8s/owner": "rbac", "app": "web"}
    found["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    (item,) = described(found)["service_accounts"]
    assert item == {"name": "web", "automount": False, "labels": {"app": "web"}}


def test_the_core_group_is_only_left_out_where_no_resource_could_be_split() -> None:
    for resource, groups in (("pods", None), ("deployments.apps", [""]), ("pods/x.y", [""])):
        rule = {"apiGroups": [""], "resources": [resource], "verbs": ["get"]}
        role = {"kind": "Role", "metadata": {"name": "r", "namespace": "shop"}, "rules": [rule]}
        ((option,),) = (item["rules"] for item in described(role)["roles"])
        assert option.get("api_groups") == groups
        assert rules(option) == [rule]


NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
ROLE_NAMES = st.one_of(NAMES, st.sampled_from(["system:x", "Team.A", "a:b", "view", "edit"]))
LABELS = st.dictionaries(NAMES, st.from_regex(r"[A-Za-z0-9]{0,6}", fullmatch=True), max_size=2)
RESOURCES = st.sampled_from(["pods", "pods/log", "deployments.apps", "deployments.apps/scale", "*", "*.apps", "*/x"])
RULES = st.fixed_dictionaries(
    {
        "resources": st.lists(RESOURCES, min_size=1, max_size=3, unique=True),
        "verbs": st.lists(st.sampled_from(["get", "list", "*", "create"]), min_size=1, unique=True),
    },
    optional={
        "api_groups": st.lists(st.sampled_from(["", "apps", "*", "x.io"]), max_size=2, unique=True),
        "resource_names": st.lists(NAMES, max_size=2, unique=True),
    },
)
ANYBODY = st.sampled_from(["alice", "https://idp/alice", "system:masters", "a%b", "Größe"])
SUBJECTS = st.one_of(
    st.builds(lambda name: {"user": name}, ANYBODY),
    st.builds(lambda name: {"group": name}, ANYBODY),
    st.builds(lambda name: {"service_account": name}, NAMES),
    st.builds(lambda name, space: {"service_account": name, "namespace": space}, NAMES, NAMES),
)
METADATA = {"labels": LABELS, "annotations": LABELS}


def lists(required: dict[str, t.Any], optional: dict[str, t.Any]) -> st.SearchStrategy[list[t.Any]]:
    return st.lists(st.fixed_dictionaries(required, optional=optional), max_size=3)


RIGHTS = st.fixed_dictionaries(
    {},
    optional={
        "service_accounts": lists(
            {"name": NAMES},
            {
                **METADATA,
                "automount": st.booleans(),
                "image_pull_secrets": st.lists(NAMES, max_size=2),
                "rules": st.lists(RULES, max_size=2),
                "roles": st.lists(ROLE_NAMES, max_size=2),
                "cluster_roles": st.lists(ROLE_NAMES, max_size=2),
            },
        ),
        "roles": lists({"name": ROLE_NAMES, "rules": st.lists(RULES, max_size=3)}, METADATA),
        "bindings": st.lists(
            st.builds(
                lambda kind, role, rest: {**rest, kind: role},
                st.sampled_from(["role", "cluster_role"]),
                ROLE_NAMES,
                st.fixed_dictionaries(
                    {"name": ROLE_NAMES, "subjects": st.lists(SUBJECTS, min_size=1, max_size=3)},
                    optional=METADATA,
                ),
            ),
            max_size=3,
        ),
        "access": st.lists(st.builds(lambda who, role: {**who, "role": role}, SUBJECTS, ROLE_NAMES), max_size=3),
    },
)
ITEM_SPEC = {option: tenant.SPEC[option] for option in ("service_accounts", "roles", "bindings", "access")}


@given(options=RIGHTS)
def test_what_is_described_declares_the_same(options: dict[str, t.Any]) -> None:
    checker = ItemChecker(ITEM_SPEC)
    item, errors = checker.check(options)
    assert errors == []
    declaration = declare(**item)
    assert all("declared twice" in problem.reason for problem in declaration.problems)
    back, errors = checker.check(rbac.describe(declaration.objects))
    assert errors == []
    again = objects(declare(**back))
    assert again == {str(ref_of(built)): built for built in declaration.objects if not is_default(built)}


def is_default(built: Manifest) -> bool:
    return bool(built["kind"] == "ServiceAccount" and built["metadata"]["name"] == "default")


@given(
    options=st.dictionaries(
        st.sampled_from([*ITEM_SPEC, "expect"]),
        st.lists(
            st.dictionaries(
                st.sampled_from(
                    [
                        "name",
                        "namespace",
                        "rules",
                        "roles",
                        "role",
                        "subjects",
                        "user",
                        "can",
                        "cannot",
                        "aggregate",
                    ]
                ),
                st.recursive(
                    st.text(max_size=8) | st.booleans() | st.integers() | st.sampled_from(["get pods", "*", "a b c"]),
                    lambda inner: (
                        st.lists(inner, max_size=2)
                        | st.dictionaries(
                            st.sampled_from(["verbs", "resources", "user", "api_groups"]), inner, max_size=3
                        )
                    ),
                ),
            ),
            max_size=2,
        ),
    )
)
def test_whatever_passes_the_argument_spec_is_declared_or_told(options: dict[str, t.Any]) -> None:
    item, errors = ItemChecker({**ITEM_SPEC, "expect": tenant.SPEC["expect"]}).check(options)
    if not errors:
        declaration = declare(**item)
        assert all(problem.remedy and problem.item for problem in declaration.problems)
