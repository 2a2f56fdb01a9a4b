# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When two objects say the same, and which owned fields are no longer declared.

The quantities are those of the Kubernetes documentation and of resource.Quantity (k8s.io/apimachinery,
pkg/api/resource/quantity_test.go).
"""

from __future__ import annotations

import copy
import typing as t
from decimal import Decimal

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.canonical import (
    FIELD_MANAGER,
    beyond,
    own_fields,
    quantity_text,
    satisfied,
    shared,
    view,
)
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import values
from hypothesis import given
from hypothesis import strategies as st

QUANTITIES = [
    # an integer, with the largest suffix that keeps it one
    ("0", "0"),
    ("0m", "0"),
    ("0Ki", "0"),
    ("-0", "0"),
    ("1", "1"),
    ("+1", "1"),
    ("1.0", "1"),
    ("1000m", "1"),
    ("100m", "100m"),
    ("0.1", "100m"),
    (".5", "500m"),
    ("0.5", "500m"),
    ("1500m", "1500m"),
    ("1.5", "1500m"),
    ("1.", "1"),
    ("1000", "1k"),
    ("1500", "1500"),
    ("12000", "12k"),
    ("1000k", "1M"),
    ("1000000", "1M"),
    ("1024", "1024"),
    ("128974848", "128974848"),
    ("129M", "129M"),
    ("0.1M", "100k"),
    ("12E", "12E"),
    ("1000P", "1E"),
    ("1000E", "1e21"),
    ("9223372036854775808", "9223372036854775808"),
    # binary suffixes stay binary from 1024 on
    ("1Ki", "1Ki"),
    ("0.5Ki", "512"),
    ("0.001Ki", "1024m"),
    ("1024Ki", "1Mi"),
    ("1.5Gi", "1536Mi"),
    ("1Gi", "1Gi"),
    ("1024Mi", "1Gi"),
    ("123Mi", "123Mi"),
    ("1Ei", "1Ei"),
    ("1.5Ki", "1536"),
    ("-1024Ki", "-1Mi"),
    # exponents stay exponents, in steps of three
    ("1e3", "1e3"),
    ("1E3", "1e3"),
    ("129e6", "129e6"),
    ("128974848000m", "128974848"),
    ("1e2", "100"),
    ("12e4", "120e3"),
    ("1e21", "1e21"),
    ("1e-3", "1e-3"),
    ("100e-2", "1"),
    # never finer than a billionth, rounded up
    ("1n", "1n"),
    ("1000n", "1u"),
    ("0.1n", "1n"),
    ("1.0000000001", "1000000001n"),
]


@pytest.mark.parametrize(("written", "stored"), QUANTITIES)
def test_a_quantity_has_one_spelling(written: str, stored: str) -> None:
    assert quantity_text(written) == stored


@pytest.mark.parametrize(("number", "stored"), [(1, "1"), (0.5, "500m"), (2000, "2k"), (0, "0"), (1e-05, "10e-6")])
def test_numbers_that_yaml_has_read_are_quantities(number: float, stored: str) -> None:
    assert quantity_text(number) == stored


@pytest.mark.parametrize("text", ["", "1 Gi", "1GB", "Gi", "abc", "1e", "--1", "1Kii", "1,5"])
def test_what_is_no_quantity_is_left_alone(text: str) -> None:
    assert quantity_text(text) == text


@st.composite
def _quantities(draw: st.DrawFn) -> str:
    number = draw(st.integers(0, 10**6))
    fraction = draw(st.sampled_from(["", ".5", ".25", ".125"]))
    return f"{number}{fraction}{draw(st.sampled_from(['', 'm', 'k', 'M', 'G', 'Ki', 'Mi', 'Gi', 'e3', 'E-1']))}"


@given(_quantities())
def test_the_canonical_form_has_the_same_value_and_is_its_own_canonical_form(text: str) -> None:
    canonical = quantity_text(text)
    assert values.quantity(canonical) == values.quantity(text)
    assert quantity_text(canonical) == canonical


# -- satisfied


def _object(kind: str, api: str = "v1", name: str = "x", **body: t.Any) -> dict[str, t.Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, **body}


def _quota(**hard: str) -> dict[str, t.Any]:
    return _object("ResourceQuota", spec={"hard": hard})


def _live(desired: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """As the API server gives an object back: with book-keeping of its own."""
    live = copy.deepcopy(dict(desired))
    live["metadata"].update({"uid": "1", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"})
    return live


RBAC = "rbac.authorization.k8s.io/v1"
NETWORK = "networking.k8s.io/v1"
RULE = {"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["get", "list"]}
RULE_TURNED = {"apiGroups": [""], "resources": ["services", "pods"], "verbs": ["list", "get"]}
OTHER_RULE = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}
ANN = {"kind": "User", "name": "ann"}
ANN_FULL = {**ANN, "apiGroup": "rbac.authorization.k8s.io"}
BOB = {"kind": "Group", "name": "bob"}
VIEW = {"kind": "ClusterRole", "name": "view"}
VIEW_FULL = {**VIEW, "apiGroup": "rbac.authorization.k8s.io"}

SAME: list[tuple[str, dict[str, t.Any], dict[str, t.Any]]] = [
    ("quantity spelling", _quota(cpu="1"), _quota(cpu="1000m")),
    ("keys of others", _quota(cpu="1", pods="5"), _quota(cpu="1")),
    (
        "order of rules",
        _object("Role", RBAC, rules=[OTHER_RULE, RULE]),
        _object("Role", RBAC, rules=[RULE, OTHER_RULE]),
    ),
    ("order within rules", _object("Role", RBAC, rules=[RULE]), _object("Role", RBAC, rules=[RULE_TURNED])),
    (
        "order and defaults of subjects",
        _object("RoleBinding", RBAC, roleRef=VIEW_FULL, subjects=[BOB, ANN_FULL]),
        _object("RoleBinding", RBAC, roleRef=VIEW, subjects=[ANN, BOB]),
    ),
    ("no rules", _object("Role", RBAC, rules=None), _object("Role", RBAC, rules=[])),
    (
        "no policy types, no protocol",
        _object(
            "NetworkPolicy",
            NETWORK,
            spec={
                "podSelector": {},
                "ingress": [{"ports": [{"port": 80, "protocol": "TCP"}]}],
                "policyTypes": ["Ingress"],
            },
        ),
        _object("NetworkPolicy", NETWORK, spec={"ingress": [{"ports": [{"port": 80}]}]}),
    ),
    (
        "defaults that a limit range derives from max",
        _object(
            "LimitRange",
            spec={
                "limits": [
                    {
                        "type": "Container",
                        "max": {"cpu": "1"},
                        "default": {"cpu": "1"},
                        "defaultRequest": {"cpu": "1"},
                    }
                ]
            },
        ),
        _object("LimitRange", spec={"limits": [{"type": "Container", "max": {"cpu": "1000m"}}]}),
    ),
    (
        "image pull secrets that others added",
        _object("ServiceAccount", imagePullSecrets=[{"name": "theirs"}, {"name": "ours"}]),
        _object("ServiceAccount", imagePullSecrets=[{"name": "ours"}]),
    ),
]


@pytest.mark.parametrize(("live", "desired"), [case[1:] for case in SAME], ids=[case[0] for case in SAME])
def test_an_object_that_says_the_same_in_another_way_satisfies(
    live: dict[str, t.Any], desired: dict[str, t.Any]
) -> None:
    assert satisfied(_live(live), desired)


DIFFERENT: list[tuple[str, dict[str, t.Any], dict[str, t.Any]]] = [
    ("another quantity", _quota(cpu="2"), _quota(cpu="1")),
    ("a key is missing", _quota(cpu="1"), _quota(cpu="1", pods="5")),
    ("a rule more", _object("Role", RBAC, rules=[RULE, OTHER_RULE]), _object("Role", RBAC, rules=[RULE])),
    (
        "a verb more",
        _object("Role", RBAC, rules=[{**RULE, "verbs": ["*"]}]),
        _object("Role", RBAC, rules=[RULE]),
    ),
    (
        "a subject more",
        _object("RoleBinding", RBAC, roleRef=VIEW, subjects=[ANN, BOB]),
        _object("RoleBinding", RBAC, roleRef=VIEW, subjects=[ANN]),
    ),
    (
        "everybody instead of one label",
        _object("NetworkPolicy", NETWORK, spec={"podSelector": {}, "policyTypes": ["Ingress"]}),
        _object(
            "NetworkPolicy",
            NETWORK,
            spec={"podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress"]},
        ),
    ),
    (
        "token handed out",
        _object("ServiceAccount", automountServiceAccountToken=True),
        _object("ServiceAccount", automountServiceAccountToken=False),
    ),
    (
        "token by default",
        _object("ServiceAccount"),
        _object("ServiceAccount", automountServiceAccountToken=False),
    ),
    (
        "an image pull secret is missing",
        _object("ServiceAccount", imagePullSecrets=[{"name": "theirs"}]),
        _object("ServiceAccount", imagePullSecrets=[{"name": "ours"}]),
    ),
    # an empty selector selects everything, an absent one nothing, so they are not alike
    (
        "a namespace selector of everything",
        _object("NetworkPolicy", NETWORK, spec={"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}),
        _object(
            "NetworkPolicy",
            NETWORK,
            spec={"podSelector": {}, "ingress": [{"from": [{"podSelector": {}, "namespaceSelector": {}}]}]},
        ),
    ),
]


@pytest.mark.parametrize(("live", "desired"), [case[1:] for case in DIFFERENT], ids=[case[0] for case in DIFFERENT])
def test_an_object_that_says_something_else_does_not_satisfy(live: dict[str, t.Any], desired: dict[str, t.Any]) -> None:
    assert not satisfied(_live(live), desired)


@pytest.mark.parametrize("directions", [["ingress"], ["egress"], ["ingress", "egress"]])
def test_a_network_rule_that_others_widened_does_not_satisfy(directions: list[str]) -> None:
    """More peers or rules let more in: a list of rules is one value."""
    spec: dict[str, t.Any] = {"podSelector": {}, "policyTypes": [d.capitalize() for d in directions]}
    for direction in directions:
        spec[direction] = [{"ports": [{"port": 80, "protocol": "TCP"}]}]
    desired = _object("NetworkPolicy", NETWORK, spec=spec)
    live = _live(desired)
    assert satisfied(live, desired)
    live["spec"][directions[0]].append({})
    assert not satisfied(live, desired)


def test_satisfying_changes_neither_object() -> None:
    live, desired = _live(SAME[-2][1]), copy.deepcopy(SAME[-2][2])
    before = copy.deepcopy((live, desired))
    satisfied(live, desired)
    view(live)
    assert (live, desired) == before


# -- view


def test_view_drops_book_keeping_status_and_empty_metadata() -> None:
    live = _live(_quota(cpu="1000m"))
    live["status"] = {"used": {"cpu": "0"}}
    live["metadata"].update({"managedFields": [], "labels": {}, "annotations": None, "generation": 3})
    assert view(live) == {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "x", "namespace": "shop"},
        "spec": {"hard": {"cpu": "1"}},
    }


def test_view_of_a_namespace_has_no_finalizers_and_not_the_label_that_the_server_sets() -> None:
    live = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"kubernetes.io/metadata.name": "shop", "team": "web"}},
        "spec": {"finalizers": ["kubernetes"]},
    }
    assert view(live) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"team": "web"}},
    }


@pytest.mark.parametrize("case", [*SAME, *DIFFERENT], ids=lambda case: str(case[0]))
def test_view_is_a_projection(case: tuple[str, dict[str, t.Any], dict[str, t.Any]]) -> None:
    once = view(case[1])
    assert view(once) == once


LIMIT = {
    "type": "Container",
    "max": {"cpu": "2"},
    "min": {"cpu": "100m", "memory": "1Mi"},
    "default": {"cpu": "1"},
}
LIMITS_FILLED = [
    (LIMIT, {"default": {"cpu": "1"}, "defaultRequest": {"cpu": "1", "memory": "1Mi"}}),
    ({**LIMIT, "defaultRequest": {"cpu": "500m"}}, {"defaultRequest": {"cpu": "500m", "memory": "1Mi"}}),
    ({"type": "Container", "max": {"cpu": "2"}}, {"default": {"cpu": "2"}, "defaultRequest": {"cpu": "2"}}),
    (
        {"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}},
        {"default": {"cpu": "2"}, "defaultRequest": {"cpu": "2"}},
    ),
    ({"type": "Container", "min": {"cpu": "1"}}, {"default": None, "defaultRequest": {"cpu": "1"}}),
    ({"type": "Pod", "max": {"cpu": "2"}}, {"default": None, "defaultRequest": None}),
]


@pytest.mark.parametrize(("limit", "filled"), LIMITS_FILLED)
def test_a_limit_range_is_filled_in_as_by_the_api_server(limit: dict[str, t.Any], filled: dict[str, t.Any]) -> None:
    """SetDefaults_LimitRangeItem: max fills default, default fills defaultRequest, min what is left."""
    shown = view(_object("LimitRange", spec={"limits": [limit]}))["spec"]["limits"][0]
    assert {field: shown.get(field) for field in filled} == filled


# -- what a field manager owns


def _managed(**entry: t.Any) -> dict[str, t.Any]:
    entries = [{"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {}}, **entry}]
    return {"metadata": {"name": "x", "managedFields": entries}}


def test_own_fields_are_those_that_this_manager_applied() -> None:
    assert own_fields(_managed()) == {"f:spec": {}}


@pytest.mark.parametrize("entry", [{"manager": "kubectl"}, {"operation": "Update"}, {"subresource": "status"}])
def test_fields_of_another_manager_operation_or_subresource_are_not_own(entry: dict[str, str]) -> None:
    assert own_fields(_managed(**entry)) is None


@pytest.mark.parametrize("metadata", [{}, {"managedFields": None}, {"managedFields": []}])
def test_nothing_is_owned_without_managed_fields(metadata: dict[str, t.Any]) -> None:
    assert own_fields({"metadata": metadata}) is None


BEYOND: list[tuple[str, dict[str, t.Any], t.Any, list[str]]] = [
    ("all of it is desired", {"f:a": {"f:b": {}}}, {"a": {"b": 1}}, []),
    ("a leaf is not", {"f:a": {"f:b": {}, "f:c": {}}}, {"a": {"b": 1}}, [".a.c"]),
    ("a branch is not, named once", {"f:a": {"f:b": {}}}, {}, [".a"]),
    ("none is not desired", {"f:a": {}}, {"a": None}, [".a"]),
    ("false and zero are desired", {"f:a": {}, "f:b": {}}, {"a": False, "b": 0}, []),
    ("the dot is the field itself", {"f:a": {".": {}, "f:b": {}}}, {"a": {"b": 1}}, []),
    ("the dot of what is gone", {"f:a": {".": {}, "f:b": {}}}, {"a": {}}, [".a.b"]),
    ("a label with dots and a slash", {"f:labels": {"f:a.b/c": {}}}, {"labels": {"a.b/c": "d"}}, []),
    ("such a label that is gone", {"f:labels": {"f:a.b/c": {}}}, {"labels": {"x": "y"}}, [".labels.a.b/c"]),
    ("a key with a colon", {"f:a:b": {}}, {"a:b": 1}, []),
    ("a keyed element", {"f:s": {'k:{"name":"x"}': {".": {}, "f:name": {}}}}, {"s": [{"name": "x"}]}, []),
    (
        "such an element is gone",
        {"f:s": {'k:{"name":"x"}': {".": {}}}},
        {"s": [{"name": "y"}]},
        ['.s[{"name":"x"}]'],
    ),
    (
        "a field of a keyed element is gone",
        {"f:s": {'k:{"name":"x"}': {"f:name": {}, "f:extra": {}}}},
        {"s": [{"name": "x"}]},
        ['.s[{"name":"x"}].extra'],
    ),
    (
        "a key that the server filled in",
        {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}},
        {"ports": [{"port": 80}]},
        [],
    ),
    (
        "a value of a set",
        {"f:finalizers": {'v:"a"': {}, 'v:"b"': {}}},
        {"finalizers": ["a"]},
        ['.finalizers["b"]'],
    ),
    ("a number in a set", {"f:n": {"v:1": {}, "v:2": {}}}, {"n": [2]}, [".n[1]"]),
    ("a set that is gone", {"f:finalizers": {'v:"a"': {}}}, {}, [".finalizers"]),
    ("a map became a value", {"f:a": {"f:b": {}}}, {"a": "text"}, [".a.b"]),
    ("a list became a map", {"f:a": {'k:{"name":"x"}': {}}}, {"a": {"name": "x"}}, ['.a[{"name":"x"}]']),
]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"manager": "kubectl-create", "fieldsV1": {"f:spec": {"f:hard": {}}}}, True),
        ({"manager": "helm", "fieldsV1": {"f:spec": {"f:hard": {"f:pods": {}}, "f:scopes": {}}}}, True),
        ({"manager": "helm", "fieldsV1": {"f:metadata": {}, "f:spec": {"f:scopes": {}}}}, False),
        ({"manager": "kubectl-label", "fieldsV1": {"f:metadata": {}}}, False),
        ({"manager": "controller", "fieldsV1": {"f:spec": {"f:hard": {}}}, "subresource": "status"}, False),
        ({"manager": "before-1.18"}, False),
    ],
)
def test_a_field_is_shared_where_another_manager_owns_it_or_something_in_it(entry: t.Any, expected: bool) -> None:
    own = {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {"f:hard": {}}}}
    assert shared({"metadata": {"managedFields": [own, entry]}}, "spec.hard") is expected
    assert not shared({"metadata": {"managedFields": [own]}}, "spec.hard")


@pytest.mark.parametrize(
    ("fields", "desired", "expected"), [case[1:] for case in BEYOND], ids=[case[0] for case in BEYOND]
)
def test_beyond_names_what_is_owned_and_no_longer_desired(
    fields: dict[str, t.Any], desired: t.Any, expected: list[str]
) -> None:
    assert list(beyond(fields, desired)) == expected


_TREES = st.recursive(
    st.integers(0, 3),
    lambda below: st.dictionaries(st.text("abc./", min_size=1, max_size=4), below, min_size=1, max_size=4),
    max_leaves=12,
)


def _fields(tree: t.Any) -> dict[str, t.Any]:
    return {f"f:{key}": _fields(item) for key, item in tree.items()} if isinstance(tree, dict) else {}


@given(_TREES)
def test_nothing_is_beyond_what_it_was_applied_from(tree: t.Any) -> None:
    assert list(beyond(_fields(tree), tree)) == []


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(), min_size=1), st.data())
def test_every_field_that_is_taken_away_is_beyond(tree: dict[str, int], data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.sampled_from(sorted(tree))))
    left = {key: item for key, item in tree.items() if key not in gone}
    assert set(beyond(_fields(tree), left)) == {f".{key}" for key in gone}


def test_decimal_values_do_not_pass_through_binary_floats() -> None:
    assert values.quantity("0.1") + values.quantity("0.2") == Decimal("0.3")
