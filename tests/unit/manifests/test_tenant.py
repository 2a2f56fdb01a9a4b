# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tenant is the sum of its topics, completed from its profile, and is described as it was declared."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.arguments import ItemChecker
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import STAGES, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import (
    namespace,
    network,
    quota,
    rbac,
    tenant,
)
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    Manifest,
    ref_of,
)
from hypothesis import given
from hypothesis import strategies as st

WHERE = "tenants[0] (shop)"

FULL: dict[str, t.Any] = {
    "name": "shop",
    "labels": {"team": "web"},
    "pod_security": "restricted",
    "pod_security_version": "v1.30",
    "quota": {"pods": "20", "requests.cpu": "4"},
    "limits": {"default": {"cpu": "500m"}, "default_request": {"cpu": "100m"}},
    "service_accounts": [{"name": "web", "automount": True}],
    "roles": [{"name": "reader", "rules": [{"resources": ["configmaps"], "verbs": ["get"]}]}],
    "bindings": [{"name": "readers", "role": "reader", "subjects": [{"service_account": "web"}]}],
    "access": [{"group": "web-team", "role": "view"}],
    "network": {"ingress": [{"to": {"app": "web"}, "from": [{"namespace": "edge"}], "ports": [8080]}]},
}


def declare(item: dict[str, t.Any], stage: str = "enforce") -> Declaration:
    """Checked as the module checks it, then declared."""
    checked, errors = ItemChecker(tenant.SPEC).check(item)
    assert errors == []
    return tenant.declare(checked, WHERE, Context(stage, 37))


def refs(declaration: Declaration) -> set[str]:
    assert declaration.problems == []
    return {str(ref_of(built)) for built in declaration.objects}


# -- what is declared


def test_a_tenant_is_all_of_its_topics() -> None:
    assert refs(declare(FULL)) == {
        "Namespace shop",
        "ServiceAccount shop/default",
        "ServiceAccount shop/web",
        "ResourceQuota shop/quota",
        "LimitRange shop/limits",
        "Role shop/reader",
        "RoleBinding shop/readers",
        "RoleBinding shop/view-group-web-team",
        "NetworkPolicy shop/default-deny",
        "NetworkPolicy shop/allow-dns",
        "NetworkPolicy shop/allow-ingress-web",
    }


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_declared_outside_the_tenants_namespace(stage: str) -> None:
    for built in declare(FULL, stage).objects:
        ref = ref_of(built)
        assert (ref.name if ref.kind == "Namespace" else ref.namespace) == "shop"
        assert ref.kind in tenant.KINDS


def test_a_policy_of_a_tenant_is_bound_to_its_namespace_alone() -> None:
    declaration = declare({"name": "shop", "pod_security_policy": {"privileged": False}})
    bindings = [o for o in declaration.objects if o["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert {binding["metadata"]["name"] for binding in bindings} == {
        "shop.pods.hardened.k8s",
        "shop.templates.hardened.k8s",
    }
    for binding in bindings:
        assert binding["spec"]["matchResources"]["namespaceSelector"] == {
            "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["shop"]}]
        }


def test_what_is_not_declared_is_not_touched() -> None:
    declaration = declare({"name": "shop"})
    assert refs(declaration) == {"Namespace shop", "ServiceAccount shop/default"}
    assert declaration.withdrawn == []


def test_an_empty_network_is_the_default_one() -> None:
    objects = refs(declare({"name": "shop", "network": {}}))
    assert {"NetworkPolicy shop/default-deny", "NetworkPolicy shop/allow-dns"} <= objects


@pytest.mark.parametrize(
    ("topic", "options"),
    [
        (quota.declare, ("quota", "limits")),
        (rbac.declare, ("service_accounts", "roles", "bindings", "access")),
    ],
)
def test_a_topic_declares_the_same_on_its_own(topic: t.Any, options: tuple[str, ...]) -> None:
    own = {option: FULL[option] for option in options}
    alone = topic({"namespace": "shop", **own}, WHERE, Context("enforce", 37))
    within = {ref_of(built): built for built in declare(FULL).objects}
    assert alone.objects
    assert [within[ref_of(built)] for built in alone.objects] == alone.objects


@pytest.mark.parametrize(("modules", "tenants"), [("enforce", "observe"), ("observe", "enforce")])
def test_a_tenants_own_stage_holds_for_all_of_it(modules: str, tenants: str) -> None:
    assert declare({**FULL, "stage": tenants}, modules).objects == declare(FULL, tenants).objects


@pytest.mark.parametrize("stage", ["observe", "warn"])
def test_below_enforce_what_restricts_is_withdrawn_and_rights_stay(stage: str) -> None:
    declaration = declare(FULL, stage)
    kinds = {built["kind"] for built in declaration.objects}
    assert {"Role", "RoleBinding"} <= kinds
    assert not {"ResourceQuota", "LimitRange"} & kinds
    assert {Ref("ResourceQuota", "shop", "quota"), Ref("LimitRange", "shop", "limits")} <= set(declaration.withdrawn)


def test_what_is_not_enforced_yet_is_a_finding() -> None:
    rules = {finding.rule for finding in declare(FULL, "observe").findings}
    assert {"quota/not-enforced", "network/not-enforced", "namespace/default-token"} <= rules


def test_every_object_knows_its_place_and_stage() -> None:
    declaration = declare(FULL)
    place = {str(ref): where for ref, where in declaration.where.items()}
    assert place["ResourceQuota shop/quota"] == f"{WHERE}.quota"
    assert place["Role shop/reader"] == f"{WHERE}.roles[0]"
    assert place["NetworkPolicy shop/allow-ingress-web"].startswith(f"{WHERE}.network")
    assert {declaration.stages[ref_of(built)] for built in declaration.objects} == {"enforce"}


def test_one_mistake_leaves_the_other_topics() -> None:
    declaration = declare({**FULL, "quota": {"pods": "many"}})
    (problem,) = declaration.problems
    assert problem.item == f"{WHERE}.quota"
    assert "'many'" in problem.reason
    kinds = {built["kind"] for built in declaration.objects}
    assert kinds == {"Namespace", "ServiceAccount", "LimitRange", "Role", "RoleBinding", "NetworkPolicy"}


def test_a_wrong_name_is_told_once() -> None:
    declaration = declare({**FULL, "name": "Shop"})
    (problem,) = declaration.problems
    assert "'Shop'" in problem.reason
    assert (declaration.objects, declaration.withdrawn) == ([], [])


def test_the_default_account_declared_twice_names_both_places() -> None:
    declaration = declare({"name": "shop", "service_accounts": [{"name": "default"}]})
    (problem,) = declaration.problems
    assert "ServiceAccount shop/default is declared twice" in problem.reason
    assert WHERE in problem.reason


# -- profiles

PROFILES = {
    "web": {
        "pod_security": "restricted",
        "labels": {"tier": "web", "cost": "low"},
        "quota": {"pods": 10, "requests.cpu": 2},
        "network": {"default_deny": True, "dns": True},
        "roles": [{"name": "a"}],
    }
}


def expand(**item: t.Any) -> dict[str, t.Any]:
    return tenant.expand({"name": "shop", **item}, {"profiles": PROFILES})


def test_a_tenant_without_a_profile_is_as_it_is() -> None:
    assert expand(quota={"pods": 1}) == {"name": "shop", "quota": {"pods": 1}}


def test_a_profile_completes_a_tenant() -> None:
    assert expand(profile="web") == {"name": "shop", "profile": "web", **PROFILES["web"]}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"pod_security": "baseline"}, {"pod_security": "baseline"}),
        ({"labels": {"cost": "high"}}, {"labels": {"tier": "web", "cost": "high"}}),
        ({"quota": {"pods": 20}}, {"quota": {"pods": 20, "requests.cpu": 2}}),
        (
            {"network": {"dns": {"cidrs": ["192.0.2.1/32"]}}},
            {"network": {"default_deny": True, "dns": {"cidrs": ["192.0.2.1/32"]}}},
        ),
        ({"roles": [{"name": "b"}]}, {"roles": [{"name": "b"}]}),
        ({"roles": []}, {"roles": []}),
        ({"quota": None}, {"quota": None}),
    ],
)
def test_what_a_tenant_says_itself_wins(own: dict[str, t.Any], expected: dict[str, t.Any]) -> None:
    assert expand(profile="web", **own) == {"name": "shop", "profile": "web", **PROFILES["web"], **expected}


def test_a_profiles_quota_can_be_taken_back() -> None:
    declaration = declare(expand(profile="web", quota=None, network=None, roles=[]))
    assert {built["kind"] for built in declaration.objects} == {"Namespace", "ServiceAccount"}


def test_expanding_changes_neither_tenant_nor_profile() -> None:
    before = copy.deepcopy(PROFILES)
    expand(profile="web", labels={"a": "b"}, quota={"pods": 1})["labels"]["c"] = "d"
    assert before == PROFILES


@pytest.mark.parametrize(
    ("params", "known"),
    [
        ({"profiles": PROFILES}, "web"),
        ({"profiles": {"wbe": None, "b": {}}}, "b, wbe"),
        ({"profiles": None}, "none is"),
        ({}, "none is"),
    ],
)
def test_a_profile_that_is_not_there_is_named_with_those_that_are(params: dict[str, t.Any], known: str) -> None:
    with pytest.raises(HardenedError) as caught:
        tenant.expand({"name": "shop", "profile": "wbe"}, params)
    assert "profile wbe" in caught.value.message
    assert known in caught.value.remedy


# -- the inverse

_NAMES = st.sampled_from(["web", "db", "a.b", "cache-1"])
_QUANTITIES = st.sampled_from(["1", "500m", "2Gi", "0"])


def _some(value: st.SearchStrategy[t.Any]) -> st.SearchStrategy[list[t.Any]]:
    return st.lists(value, max_size=2, unique_by=lambda entry: entry["name"])


_RULES = st.lists(
    st.fixed_dictionaries(
        {
            "api_groups": st.lists(st.sampled_from(["", "apps", "*"]), min_size=1, max_size=2, unique=True),
            "resources": st.lists(st.sampled_from(["pods", "deployments"]), min_size=1, max_size=2, unique=True),
            "verbs": st.lists(st.sampled_from(["get", "list", "*"]), min_size=1, max_size=2, unique=True),
        },
        optional={"resource_names": st.lists(_NAMES, min_size=1, max_size=2, unique=True)},
    ),
    min_size=1,
    max_size=2,
)
_SUBJECTS = st.lists(
    st.sampled_from(
        [
            {"user": "ann"},
            {"group": "ops"},
            {"service_account": "web"},
            {"service_account": "x", "namespace": "ci"},
        ]
    ),
    min_size=1,
    max_size=3,
)
_FLOWS = {
    "ingress": [{"to": {"app": "web"}, "from": [{"namespace": "edge"}], "ports": [80, "53/UDP"]}],
    "egress": [{"from": {"app": "web"}, "to": [{"cidr": "192.0.2.0/24"}]}, {"ports": [443]}],
}
_TENANTS = st.fixed_dictionaries(
    {"name": st.just("shop")},
    optional={
        "stage": st.sampled_from(STAGES),
        "labels": st.dictionaries(_NAMES, st.sampled_from(["", "a", "1"]), max_size=2),
        "annotations": st.dictionaries(_NAMES, st.text(max_size=4), max_size=2),
        "pod_security": st.sampled_from(namespace.LEVELS),
        "default_service_account_token": st.booleans(),
        "quota": st.dictionaries(st.sampled_from(["pods", "requests.cpu", "limits.memory"]), st.just("1"), max_size=3),
        "quotas": _some(
            st.fixed_dictionaries(
                {"name": _NAMES, "hard": st.just({"pods": "3"})},
                optional={"scopes": st.sampled_from([["BestEffort"], ["NotTerminating", "PriorityClass"]])},
            )
        ),
        "limits": st.fixed_dictionaries(
            {"max": st.dictionaries(st.sampled_from(["cpu", "memory"]), _QUANTITIES, min_size=1)}
        ),
        "service_accounts": _some(
            st.fixed_dictionaries({"name": _NAMES}, optional={"automount": st.booleans(), "rules": _RULES})
        ),
        "roles": _some(st.fixed_dictionaries({"name": st.sampled_from(["r1", "r2"]), "rules": _RULES})),
        "bindings": _some(
            st.fixed_dictionaries(
                {
                    "name": st.sampled_from(["b1", "b2"]),
                    "cluster_role": st.just("view"),
                    "subjects": _SUBJECTS,
                }
            )
        ),
        "access": st.lists(
            st.sampled_from([{"user": "ann", "role": "edit"}, {"group": "a b", "role": "view"}]),
            max_size=2,
            unique_by=str,
        ),
        "network": st.fixed_dictionaries(
            {},
            optional={
                "default_deny": st.booleans(),
                "dns": st.booleans(),
                **{option: st.just(flows) for option, flows in _FLOWS.items()},
            },
        ),
    },
)


@given(_TENANTS, st.sampled_from(STAGES))
def test_what_is_described_declares_the_same(item: dict[str, t.Any], stage: str) -> None:
    first = declare(item, stage)
    assert first.problems == []
    described = tenant.describe(first.objects)
    again = declare(copy.deepcopy(described))
    assert again.problems == []
    assert _by_ref(again.objects) == _by_ref(first.objects)


@given(_TENANTS)
def test_a_description_is_its_own_description(item: dict[str, t.Any]) -> None:
    described = tenant.describe(declare(item).objects)
    assert tenant.describe(declare(copy.deepcopy(described)).objects) == described


def _by_ref(objects: list[Manifest]) -> dict[Ref, Manifest]:
    return {ref_of(built): built for built in objects}


def test_what_stage_warn_wrote_is_described_at_stage_warn() -> None:
    flows = FULL["network"]
    described = tenant.describe(declare({"name": "shop", "network": flows}, "warn").objects)
    assert described["stage"] == "warn"
    assert "raw" not in described["network"]


def test_a_description_says_nothing_of_topics_without_objects() -> None:
    assert tenant.describe(declare({"name": "shop"}).objects) == {
        "name": "shop",
        "stage": "enforce",
        "default_service_account_token": False,
    }


def test_every_option_belongs_to_a_topic() -> None:
    topics = {**namespace.SPEC, **quota.SPEC}
    own = set(tenant.SPEC) - set(topics)
    assert own == {
        "profile",
        "iam_roles",
        "accept",
        "network",
        "service_accounts",
        "roles",
        "bindings",
        "access",
        "expect",
        "pod_security_policy",
    }
    assert set(tenant.SPEC["network"]["options"]) == set(network.SPEC) - {"namespace", "stage"}
