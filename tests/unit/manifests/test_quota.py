# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quotas and limit ranges: what the API would refuse, or never count, is a problem beforehand."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.arguments import ItemChecker
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref, settle
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import quota
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    Manifest,
    ref_of,
)
from hypothesis import given
from hypothesis import strategies as st

WHERE = "quotas[0] (shop)"
QUOTA = Ref("ResourceQuota", "shop", "quota")
LIMITS = Ref("LimitRange", "shop", "limits")


def declare(overall: str = "enforce", /, **options: t.Any) -> Declaration:
    return quota.declare({"namespace": "shop", **options}, WHERE, Context(overall, 37))


def specs(**options: t.Any) -> dict[str, t.Any]:
    declaration = declare(**options)
    assert declaration.problems == []
    return {item["metadata"]["name"]: item["spec"] for item in declaration.objects}


def reason(place: str, **options: t.Any) -> str:
    """Why the part at this place is refused."""
    declaration = declare(**options)
    (problem,) = declaration.problems
    assert problem.item == WHERE + place
    assert problem.remedy
    return f"{problem.reason}. {problem.remedy}"


def of_hard(**hard: t.Any) -> str:
    return reason(".quota", quota=hard)


def of_scoped(**quota_options: t.Any) -> str:
    return reason(".quotas[0] (q)", quotas=[{"name": "q", **quota_options}])


def of_limits(kind: str = "Container", /, **limits: t.Any) -> str:
    return reason(".limit_ranges[0] (l)", limit_ranges=[{"name": "l", "limits": [{"type": kind, **limits}]}])


def selector(scope: str, operator: str, *values: str) -> list[dict[str, t.Any]]:
    entry: dict[str, t.Any] = {"scope_name": scope, "operator": operator}
    return [{**entry, "values": list(values)} if values else entry]


# -- quotas


def test_a_quota_and_its_limits_become_two_objects() -> None:
    declaration = declare(
        quota={"pods": 50, "requests.cpu": 0.5, "limits.memory": "16Gi"},
        limits={"default": {"cpu": "500m", "memory": "512Mi"}},
    )
    assert declaration.objects == [
        {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "limits", "namespace": "shop"},
            "spec": {"limits": [{"type": "Container", "default": {"cpu": "500m", "memory": "512Mi"}}]},
        },
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "quota", "namespace": "shop"},
            "spec": {"hard": {"pods": "50", "requests.cpu": "0.5", "limits.memory": "16Gi"}},
        },
    ]
    assert declaration.where == {LIMITS: f"{WHERE}.limits", QUOTA: f"{WHERE}.quota"}
    assert (declaration.findings, declaration.problems, declaration.withdrawn) == ([], [], [])


@pytest.mark.parametrize(
    "key",
    [
        *("pods", "services", "secrets", "configmaps", "persistentvolumeclaims", "replicationcontrollers"),
        *("resourcequotas", "services.nodeports", "services.loadbalancers"),
        *("ephemeral-storage", "requests.ephemeral-storage", "limits.ephemeral-storage", "requests.storage"),
        *("count/pods", "count/deployments.apps", "count/widgets.example.com"),
        "gold.storageclass.storage.k8s.io/requests.storage",
        "gold.fast.storageclass.storage.k8s.io/persistentvolumeclaims",
        "gpu.deviceclass.resource.k8s.io/devices",
        *("requests.example.com/gpu", "requests.deviceclass.resource.kubernetes.io/gpu"),
        *("hugepages-2Mi", "requests.hugepages-1Gi"),
    ],
)
def test_every_key_of_the_api_is_taken(key: str) -> None:
    assert specs(quota={key: 1}) == {"quota": {"hard": {key: "1"}}}


@pytest.mark.parametrize("key", ["pod", "storage", "limits.storage", "requests.pods", "nodes", "a b", "", "/x"])
def test_other_keys_are_a_problem(key: str) -> None:
    said = of_hard(**{key: 1})
    assert repr(key) in said or f"hard[{key}]: no resource that a quota can limit. Use pods" in said


@pytest.mark.parametrize(
    "key", ["count/", "count/Deployments.apps", "count/a/b", "gold.storageclass.storage.k8s.io/pods", "x/y/z"]
)
def test_keys_that_only_look_like_one_are_a_problem(key: str) -> None:
    assert key in of_hard(**{key: 1})


@pytest.mark.parametrize("key", ["example.com/gpu", "limits.example.com/gpu"])
def test_extended_resources_that_the_api_would_never_count_are_a_problem(key: str) -> None:
    assert "write requests.example.com/gpu" in of_hard(**{key: 1})


@pytest.mark.parametrize(
    ("value", "said"),
    [("-1", "negative"), ("2GB", "no quantity"), (True, "no quantity"), ("1.5", "whole number")],
)
def test_amounts_are_checked(value: t.Any, said: str) -> None:
    text = of_hard(pods=value)
    assert "hard[pods]" in text
    assert said in text


@pytest.mark.parametrize("key", ["count/jobs.batch", "gold.storageclass.storage.k8s.io/requests.storage", "secrets"])
def test_objects_and_classes_are_counted_in_whole_numbers(key: str) -> None:
    assert "whole number" in of_hard(**{key: "1500m"})
    assert specs(quota={key: "2000m"})["quota"]["hard"] == {key: "2000m"}
    assert specs(quota={key: "1e30"})["quota"]["hard"] == {key: "1e30"}


@pytest.mark.parametrize("key", ["ephemeral-storage", "limits.ephemeral-storage", "requests.example.com/gpu"])
def test_other_amounts_may_be_fractions(key: str) -> None:
    assert specs(quota={key: "1500m"})["quota"]["hard"] == {key: "1500m"}


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"namespace": "shop", "quotas": [{"hard": {"pods": 1}}]},
        {"namespace": "shop", "quotas": [{"name": "q"}]},
        {"namespace": "shop", "quotas": [{"name": "q", "hard": {}, "scope_selector": [{"operator": "Exists"}]}]},
        {"namespace": "shop", "quotas": [{"name": "q", "hard": {}, "scope_selector": [{"scope_name": "BestEffort"}]}]},
        {"namespace": "shop", "limit_ranges": [{"limits": []}]},
        {"namespace": "shop", "limit_ranges": [{"name": "l"}]},
        {"namespace": "shop", "limit_ranges": [{"name": "l", "limits": [{"max": {"cpu": 1}}]}]},
    ],
)
def test_what_an_item_cannot_do_without_is_asked_for(item: dict[str, t.Any]) -> None:
    _item, (error,) = ItemChecker(quota.SPEC).check(item)
    assert "missing required" in error


def test_an_empty_quota_is_a_problem() -> None:
    assert "limits nothing" in of_scoped(hard={})


def test_one_mistake_does_not_stop_the_others() -> None:
    declaration = declare(
        quota={"pods": "many"},
        quotas=[{"name": "good", "hard": {"pods": 1}}, {"name": "Bad", "hard": {"pods": 1}}],
        limits={"min": {"cpu": "none"}},
    )
    assert [item["metadata"]["name"] for item in declaration.objects] == ["good"]
    assert [problem.item for problem in declaration.problems] == [
        f"{WHERE}.limits",
        f"{WHERE}.quota",
        f"{WHERE}.quotas[1] (Bad)",
    ]


def test_a_name_that_is_given_twice_is_a_problem() -> None:
    declaration = declare(quota={"pods": 1}, quotas=[{"name": "quota", "hard": {"secrets": 1}}])
    assert len(declaration.objects) == 1
    (problem,) = declaration.problems
    assert "declared twice" in problem.reason


def test_a_namespace_that_cannot_be_is_a_problem_of_the_whole_item() -> None:
    declaration = declare(namespace="Shop", quota={"pods": 1})
    assert declaration.objects == []
    assert [problem.item for problem in declaration.problems] == [WHERE]


# -- scopes

POD_KEYS = ["pods", "count/pods", "cpu", "requests.cpu", "limits.memory", "requests.example.com/gpu"]
CLAIM_KEYS = [
    *("persistentvolumeclaims", "count/persistentvolumeclaims", "requests.storage"),
    "gold.storageclass.storage.k8s.io/requests.storage",
]
OTHER_KEYS = ["services", "count/jobs.batch", "requests.ephemeral-storage", "hugepages-2Mi", "secrets"]
ALLOWED = {
    **dict.fromkeys(["Terminating", "NotTerminating", "NotBestEffort"], POD_KEYS),
    **dict.fromkeys(["PriorityClass", "CrossNamespacePodAffinity"], POD_KEYS),
    "BestEffort": ["pods", "count/pods", "requests.example.com/gpu"],
    "VolumeAttributesClass": CLAIM_KEYS,
}


@pytest.mark.parametrize("scope", ALLOWED)
@pytest.mark.parametrize("key", POD_KEYS + CLAIM_KEYS + OTHER_KEYS)
def test_a_scope_goes_with_what_it_selects(scope: str, key: str) -> None:
    options: list[dict[str, t.Any]] = [
        {"hard": {key: 1}, "scopes": [scope]},
        {"hard": {key: 1}, "scope_selector": selector(scope, "Exists")},
    ]
    for scoped in options:
        if key in ALLOWED[scope]:
            assert specs(quotas=[{"name": "q", **scoped}])["q"]["hard"] == {key: "1"}
        else:
            assert f"hard[{key}]: scope {scope}" in of_scoped(**scoped)


def test_scopes_and_selectors_are_written_as_the_api_has_them() -> None:
    spec = specs(
        quotas=[
            {
                "name": "q",
                "hard": {"pods": 0},
                "scopes": ["NotTerminating"],
                "scope_selector": [
                    *selector("PriorityClass", "NotIn", "low", "high"),
                    *selector("NotBestEffort", "Exists"),
                ],
            }
        ]
    )["q"]
    assert spec == {
        "hard": {"pods": "0"},
        "scopes": ["NotTerminating"],
        "scopeSelector": {
            "matchExpressions": [
                {"scopeName": "PriorityClass", "operator": "NotIn", "values": ["low", "high"]},
                {"scopeName": "NotBestEffort", "operator": "Exists"},
            ]
        },
    }


@pytest.mark.parametrize(
    ("scope_selector", "said"),
    [
        (selector("PriorityClass", "In"), "has no values"),
        (selector("PriorityClass", "NotIn"), "has no values"),
        (selector("PriorityClass", "Exists", "high"), "takes no values"),
        (selector("PriorityClass", "DoesNotExist", "high"), "takes no values"),
        (selector("PriorityClass", "In", "not a label"), "is not a label value"),
        (selector("Terminating", "DoesNotExist"), "only knows the operator Exists"),
        (selector("BestEffort", "In", "x"), "only knows the operator Exists"),
    ],
)
def test_selectors_follow_the_apis_rules(scope_selector: list[dict[str, t.Any]], said: str) -> None:
    assert said in of_scoped(hard={"pods": 1}, scope_selector=scope_selector)


@pytest.mark.parametrize("one", ["Terminating", "BestEffort"])
def test_opposite_scopes_exclude_each_other_wherever_they_stand(one: str) -> None:
    both = [one, f"Not{one}"]
    assert "exclude each other" in of_scoped(hard={"pods": 1}, scopes=both)
    mixed = {"scopes": both[:1], "scope_selector": selector(both[1], "Exists")}
    assert "exclude each other" in of_scoped(hard={"pods": 1}, **mixed)


# -- limit ranges


def test_limit_ranges_have_one_entry_for_each_type() -> None:
    limits = [
        {"type": "Pod", "max": {"cpu": 4}, "max_limit_request_ratio": {"cpu": 2}},
        {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}},
    ]
    assert specs(limit_ranges=[{"name": "more", "limits": limits}])["more"] == {
        "limits": [
            {"type": "Pod", "max": {"cpu": "4"}, "maxLimitRequestRatio": {"cpu": "2"}},
            {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}},
        ]
    }
    twice = [limits[0], limits[0]]
    assert "type Pod is declared twice" in reason(
        ".limit_ranges[0] (more)", limit_ranges=[{"name": "more", "limits": twice}]
    )
    assert "limits nothing" in reason(".limit_ranges[0] (more)", limit_ranges=[{"name": "more", "limits": []}])


ORDER = ("min", "default_request", "default", "max")


@pytest.mark.parametrize(("low", "high"), [(low, high) for i, low in enumerate(ORDER) for high in ORDER[i + 1 :]])
def test_amounts_rise_from_min_over_defaults_to_max(low: str, high: str) -> None:
    assert f"{low}[cpu]: 1100m is above {high}, 1" in of_limits(**{low: {"cpu": "1100m"}, high: {"cpu": 1}})
    assert specs(limits={low: {"cpu": "1000m"}, high: {"cpu": 1}})
    assert specs(limits={low: {"cpu": "1100m"}, high: {"memory": 1}})


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_limit_request_ratio": {"cpu": "900m"}}, "is below 1"),
        (
            {"max_limit_request_ratio": {"cpu": "2001m"}, "min": {"cpu": 1}, "max": {"cpu": 2}},
            "is above max/min",
        ),
        (
            {"default": {"example.com/gpu": 2}, "default_request": {"example.com/gpu": 1}},
            "cannot be overcommitted",
        ),
        (
            {"max": {"hugepages-2Mi": "4Mi"}, "default_request": {"hugepages-2Mi": "2Mi"}},
            "cannot be overcommitted",
        ),
        ({"max": {"cpus": 1}}, "max[cpus]: nothing that a Container asks for"),
        ({"max": {"storage": 1}}, "nothing that a Container asks for"),
        ({"max": {"requests.cpu": 1}}, "nothing that a Container asks for"),
        ({"max": {"requests.example.com/gpu": 1}}, "nothing that a Container asks for"),
        ({"max": {"a b": 1}}, "is not a resource"),
        ({"max": {"cpu": "-1"}}, "negative"),
        ({"max": {"cpu": "one"}}, "no quantity"),
        ({"max": {}}, "say nothing"),
        ({}, "say nothing"),
    ],
)
def test_limits_of_containers_follow_the_apis_rules(limits: dict[str, t.Any], said: str) -> None:
    assert said in of_limits(**limits)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_limit_request_ratio": {"cpu": 2}, "min": {"cpu": 1}, "max": {"cpu": 2}},
        {"max_limit_request_ratio": {"cpu": 9}, "min": {"cpu": 0}, "max": {"cpu": 2}},
        {"default": {"example.com/gpu": 1}, "default_request": {"example.com/gpu": "1000m"}},
        {"default_request": {"example.com/gpu": 1}},
        {"max": {"hugepages-2Mi": "4Mi", "ephemeral-storage": "1Gi"}},
    ],
)
def test_limits_at_the_edge_are_taken(limits: dict[str, t.Any]) -> None:
    assert specs(limits=limits)


@pytest.mark.parametrize(
    ("kind", "limits", "said"),
    [
        ("Pod", {"default": {"cpu": 1}}, "default is for type Container"),
        ("Pod", {"default_request": {"cpu": 1}}, "default_request is for type Container"),
        ("PersistentVolumeClaim", {"default": {"storage": 1}}, "default is for type Container"),
        ("PersistentVolumeClaim", {"max": {"cpu": 1}}, "nothing that a PersistentVolumeClaim asks for"),
        ("PersistentVolumeClaim", {"max_limit_request_ratio": {"storage": 2}}, "need min or max of storage"),
    ],
)
def test_other_types_take_less(kind: str, limits: dict[str, t.Any], said: str) -> None:
    assert said in of_limits(kind, **limits)


# -- stages


@pytest.mark.parametrize("stage", ["observe", "warn"])
def test_below_enforce_nothing_is_limited_and_that_is_said(stage: str) -> None:
    options = {"quota": {"pods": 1}, "limits": {"max": {"cpu": 1}}}
    for declaration in (declare(stage, **options), declare(stage=stage, **options)):
        assert declaration.objects == []
        assert declaration.withdrawn == [LIMITS, QUOTA]
        assert [(f.rule, f.ref, f.refuse) for f in declaration.findings] == [
            ("quota/not-enforced", LIMITS, False),
            ("quota/not-enforced", QUOTA, False),
        ]


# -- a quota needs defaults


def no_defaults(declaration: Declaration) -> list[Finding]:
    return [finding for finding in declaration.findings if finding.rule == "quota/no-defaults"]


@pytest.mark.parametrize(
    ("hard", "missing", "example"),
    [
        ("requests.cpu", "requests.cpu", "limits: {default_request: {cpu: 500m}}"),
        ("cpu", "requests.cpu", "limits: {default_request: {cpu: 500m}}"),
        ("memory", "requests.memory", "limits: {default_request: {memory: 256Mi}}"),
        ("limits.memory", "limits.memory", "limits: {default: {memory: 256Mi}}"),
    ],
)
def test_compute_without_defaults_is_refused_with_what_to_add(hard: str, missing: str, example: str) -> None:
    (finding,) = no_defaults(declare(quota={hard: 4}))
    assert finding.ref == QUOTA
    assert finding.refuse
    assert f"must name {missing}," in finding.message
    assert finding.remedy.endswith(example)


def test_what_is_shown_to_add_is_enough() -> None:
    hard = {"cpu": 4, "limits.cpu": 8, "requests.memory": "8Gi"}
    (finding,) = no_defaults(declare(quota=hard))
    assert finding.remedy.endswith("limits: {default: {cpu: 500m}, default_request: {cpu: 500m, memory: 256Mi}}")
    limits = {"default": {"cpu": "500m"}, "default_request": {"cpu": "500m", "memory": "256Mi"}}
    assert declare(quota=hard, limits=limits).findings == []


@pytest.mark.parametrize(
    ("option", "covered"),
    [
        ("default", {"requests.cpu", "limits.cpu"}),
        ("max", {"requests.cpu", "limits.cpu"}),
        ("default_request", {"requests.cpu"}),
        ("min", {"requests.cpu"}),
        ("max_limit_request_ratio", set()),
    ],
)
@pytest.mark.parametrize("key", ["requests.cpu", "limits.cpu"])
def test_a_default_covers_what_the_api_server_fills_in(option: str, covered: set[str], key: str) -> None:
    in_limits = declare(quota={key: 4}, limits={option: {"cpu": 1}})
    in_a_range = declare(
        quota={key: 4},
        limit_ranges=[{"name": "l", "limits": [{"type": "Container", option: {"cpu": 1}}]}],
    )
    assert (not no_defaults(in_limits)) == (not no_defaults(in_a_range)) == (key in covered)


def test_limits_of_pods_are_no_defaults() -> None:
    declaration = declare(
        quota={"requests.cpu": 4},
        limit_ranges=[{"name": "l", "limits": [{"type": "Pod", "max": {"cpu": 1}}]}],
    )
    assert no_defaults(declaration)


@pytest.mark.parametrize("key", ["pods", "requests.ephemeral-storage", "requests.storage", "requests.example.com/gpu"])
def test_other_resources_need_no_defaults(key: str) -> None:
    assert declare(quota={key: 4}).findings == []


@pytest.mark.parametrize("stage", ["observe", "warn"])
def test_a_quota_that_is_not_written_is_not_refused_whatever_the_calls_own_stage(stage: str) -> None:
    (finding,) = no_defaults(declare(stage=stage, quota={"cpu": 4}))
    (settled,) = settle([finding], [], lambda _ref: "enforce")
    assert not settled.refused


# -- described

Options = st.SearchStrategy[dict[str, t.Any]]

NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
AMOUNTS = st.sampled_from(["1", 2, "1000m", "1.5Gi", 1e3])
COMPUTE: Options = st.dictionaries(st.sampled_from(["cpu", "memory"]), AMOUNTS, min_size=1)
LIMIT: Options = st.sampled_from(["default", "default_request", "max", "min"]).flatmap(
    lambda option: COMPUTE.map(lambda amounts: {option: amounts})
)
SCOPED: Options = st.fixed_dictionaries(
    {"name": NAMES, "hard": st.just({"pods": 3})},
    optional={
        "scopes": st.sampled_from([["BestEffort"], ["Terminating", "NotBestEffort"]]),
        "scope_selector": st.sampled_from(
            [selector("PriorityClass", "In", "b", "a"), selector("PriorityClass", "DoesNotExist")]
        ),
    },
)
RANGE: Options = st.fixed_dictionaries(
    {
        "name": NAMES,
        "limits": st.tuples(LIMIT, AMOUNTS).map(
            lambda pair: [{"type": "Container", **pair[0]}, {"type": "Pod", "max": {"cpu": pair[1]}}]
        ),
    }
)
ITEMS: Options = st.fixed_dictionaries(
    {"namespace": st.just("shop")},
    optional={
        "quota": st.dictionaries(st.sampled_from(["pods", "count/jobs.batch"]), AMOUNTS, min_size=1),
        "quotas": st.lists(SCOPED, unique_by=lambda item: str(item["name"]), max_size=3),
        "limits": LIMIT,
        "limit_ranges": st.lists(RANGE, unique_by=lambda item: str(item["name"]), max_size=3),
    },
)


@given(ITEMS)
def test_what_is_described_declares_the_same(item: dict[str, t.Any]) -> None:
    declaration = quota.declare(item, WHERE, Context("enforce", 37))
    stored = declaration.objects
    checked, errors = ItemChecker(quota.SPEC).check({"namespace": "shop", **quota.describe(stored)})
    assert errors == []
    again = quota.declare(checked, WHERE, Context("enforce", 37))
    assert again.problems == []
    assert {ref_of(built): built for built in again.objects} == {ref_of(built): built for built in stored}


def test_the_usual_names_are_described_shortly() -> None:
    options = {"quota": {"pods": "5"}, "limits": {"max": {"cpu": "1"}}}
    assert quota.describe(declare(**options).objects) == options


def test_what_says_nothing_is_not_described() -> None:
    head: dict[str, t.Any] = {"metadata": {"name": "quota", "namespace": "shop"}}
    empty: list[Manifest] = [
        {**head, "kind": "ResourceQuota", "spec": {}},
        {**head, "kind": "LimitRange", "spec": {"limits": None}},
        {
            **head,
            "kind": "LimitRange",
            "spec": {"limits": [{"type": "Pod"}, {"type": "Container", "max": {}}]},
        },
        {**head, "kind": "Secret"},
    ]
    assert quota.describe(empty) == {}
