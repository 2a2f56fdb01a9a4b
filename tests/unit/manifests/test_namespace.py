# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Namespaces: labels, Pod Security by stage, the default service account's token."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.arguments import ItemChecker
from ansible_collections.hardened.k8s.plugins.module_utils.findings import STAGES, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import namespace
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    Manifest,
)
from hypothesis import given
from hypothesis import strategies as st

PSA = "pod-security.kubernetes.io/"
DEFAULT = Ref("ServiceAccount", "shop", "default")


def declare(overall: str = "enforce", minor: int | None = 37, /, **options: t.Any) -> Declaration:
    return namespace.declare({"name": "shop", **options}, "namespaces[0] (shop)", Context(overall, minor))


def labels(declaration: Declaration) -> dict[str, str]:
    assert declaration.problems == []
    found = next(item for item in declaration.objects if item["kind"] == "Namespace")
    assert found["metadata"]["name"] == "shop"
    return dict(found["metadata"].get("labels", {}))


def mistake(**options: t.Any) -> str:
    declaration = declare(**options)
    assert declaration.objects == []
    (problem,) = declaration.problems
    assert (problem.item, problem.kind) == ("namespaces[0] (shop)", "Namespace")
    assert problem.remedy
    return problem.reason


def test_a_name_is_a_namespace_and_a_default_account_without_token() -> None:
    declaration = declare()
    assert declaration.objects == [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "shop"},
            "automountServiceAccountToken": False,
        },
    ]
    assert set(declaration.where.values()) == {"namespaces[0] (shop)"}
    assert set(declaration.stages.values()) == {"enforce"}
    assert (declaration.withdrawn, declaration.findings) == ([], [])


# -- Pod Security

BY_STAGE = [
    ("observe", {"audit"}),
    ("warn", {"audit", "warn"}),
    ("enforce", {"audit", "warn", "enforce"}),
]


@pytest.mark.parametrize("level", ["privileged", "baseline", "restricted"])
@pytest.mark.parametrize(("stage", "modes"), BY_STAGE)
def test_a_stage_switches_on_its_modes_and_no_other(stage: str, modes: set[str], level: str) -> None:
    expected = {PSA + mode: level for mode in modes}
    expected |= {f"{PSA}{mode}-version": "v1.37" for mode in modes}
    assert labels(declare(stage, pod_security=level)) == expected


def test_an_items_own_stage_wins() -> None:
    declared = labels(declare("enforce", pod_security="baseline", stage="observe"))
    assert declared == {PSA + "audit": "baseline", PSA + "audit-version": "v1.37"}


@pytest.mark.parametrize(
    ("minor", "given_version", "expected"),
    [
        (37, None, "v1.37"),
        (30, None, "v1.30"),
        (None, None, "latest"),
        (37, "v1.30", "v1.30"),
        (37, "latest", "latest"),
    ],
)
def test_the_version_is_pinned_to_the_api_servers(minor: int | None, given_version: str | None, expected: str) -> None:
    options = {"pod_security_version": given_version} if given_version else {}
    declared = labels(declare("observe", minor, pod_security="restricted", **options))
    assert declared[PSA + "audit-version"] == expected


@pytest.mark.parametrize("version", ["1.37", "v1", "v2.0", "v1.37.2", "v1.037", "v1.37\n", "Latest", "v1.x"])
def test_a_version_that_is_none_is_named(version: str) -> None:
    assert repr(version) in mistake(pod_security="restricted", pod_security_version=version)


def test_a_version_without_a_level_is_a_mistake() -> None:
    assert "no pod_security to go with" in mistake(pod_security_version="latest")


def test_a_level_beside_its_label_is_a_mistake() -> None:
    reason = mistake(pod_security="restricted", labels={PSA + "warn": "baseline"})
    assert "pod-security.kubernetes.io/warn" in reason


def test_labels_stand_beside_the_level_and_without_one_may_be_its_labels() -> None:
    assert labels(declare("observe", pod_security="baseline", labels={"team": "web"}))["team"] == "web"
    assert labels(declare(labels={PSA + "warn": "baseline"})) == {PSA + "warn": "baseline"}


# -- the default service account


@pytest.mark.parametrize("stage", ["observe", "warn"])
def test_below_enforce_the_token_stays_and_is_told(stage: str) -> None:
    declaration = declare(stage)
    assert [item["kind"] for item in declaration.objects] == ["Namespace"]
    assert declaration.withdrawn == [DEFAULT]
    (finding,) = declaration.findings
    assert (finding.rule, finding.ref, finding.refuse) == ("namespace/default-token", DEFAULT, False)


@pytest.mark.parametrize("stage", STAGES)
def test_a_token_that_is_wanted_stays_and_nothing_is_told(stage: str) -> None:
    declaration = declare(stage, default_service_account_token=True)
    assert [item["kind"] for item in declaration.objects] == ["Namespace"]
    assert (declaration.withdrawn, declaration.findings) == ([DEFAULT], [])


# -- mistakes


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "Shop"}, "'Shop'"),
        ({"name": "shop.web"}, "'shop.web'"),
        ({"name": "-shop"}, "'-shop'"),
        ({"name": "a" * 64}, "'" + "a" * 64),
        ({"labels": {"team": "a b"}}, "'a b'"),
        ({"labels": {"-team": "a"}}, "'-team'"),
        ({"labels": {"a/b/c": "d"}}, "a/b"),
        ({"labels": {"on": True}}, "True"),
        ({"annotations": {"on": True}}, "True"),
        ({"annotations": {"a b": "c"}}, "'a b'"),
        ({"labels": {"version": 1.1}}, "1.1"),
        ({"labels": {"hardened.k8s/owner": "me"}}, "hardened.k8s/owner"),
        ({"labels": {"applyset.kubernetes.io/part-of": "mine"}}, "applyset.kubernetes.io/part-of"),
        ({"annotations": {"hardened.k8s/created": "namespace"}}, "hardened.k8s/created"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_declared(options: dict[str, t.Any], text: str) -> None:
    assert text in mistake(**options)


# -- the inverse

_LABELS = st.dictionaries(
    st.sampled_from(["team", "app.kubernetes.io/name", "istio-injection", "a.b"]),
    st.sampled_from(["web", "a.b_c", "", "1"]),
)
_VERSIONS = st.sampled_from(["latest", "v1.30", "v1.37"])


@st.composite
def _items(draw: st.DrawFn) -> dict[str, t.Any]:
    item: dict[str, t.Any] = {
        "labels": draw(_LABELS),
        "annotations": draw(st.dictionaries(st.sampled_from(["owner", "x/y"]), st.text(max_size=5))),
        "default_service_account_token": draw(st.booleans()),
    }
    if draw(st.booleans()):
        item["pod_security"] = draw(st.sampled_from(namespace.LEVELS))
        if draw(st.booleans()):
            item["pod_security_version"] = draw(_VERSIONS)
    else:
        loose = st.sampled_from(["audit", "warn", "enforce"]).map(PSA.__add__)
        item["labels"] |= draw(st.dictionaries(loose, st.sampled_from(namespace.LEVELS)))
    return item


@given(_items(), st.sampled_from(STAGES))
def test_what_is_described_declares_the_same(item: dict[str, t.Any], stage: str) -> None:
    first = declare(stage, **item)
    assert first.problems == []
    described, errors = ItemChecker(namespace.SPEC).check(namespace.describe(first.objects))
    assert errors == []
    again = namespace.declare(described, "again", Context(stage, 30))
    assert again.problems == []
    assert again.objects == first.objects


@given(st.sampled_from(STAGES), st.sampled_from(namespace.LEVELS), _VERSIONS)
def test_a_description_says_level_version_and_stage(stage: str, level: str, version: str) -> None:
    objects = declare(stage, pod_security=level, pod_security_version=version).objects
    described = namespace.describe(objects)
    assert described == {
        "name": "shop",
        "stage": stage,
        "pod_security": level,
        "pod_security_version": version,
        "default_service_account_token": stage != "enforce",
    }


def live(**found: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": found}}


@pytest.mark.parametrize(
    "found",
    [
        {PSA + "enforce": "baseline"},
        {PSA + "audit": "restricted", PSA + "enforce": "baseline"},
        {PSA + "audit": "baseline", PSA + "audit-version": "v1.30", PSA + "warn": "baseline"},
        {PSA + "audit": "strict", PSA + "audit-version": "v1.30"},
    ],
)
def test_labels_that_no_stage_wrote_stay_labels(found: dict[str, str]) -> None:
    described = namespace.describe([live(**found)])
    assert described == {"name": "shop", "labels": found, "default_service_account_token": True}


def test_a_level_of_a_stage_that_the_item_may_not_have_stays_labels() -> None:
    objects = declare("observe", pod_security="baseline").objects
    assert namespace.describe(objects, ["observe"])["stage"] == "observe"
    assert namespace.describe(objects, ["enforce"]) == {
        "name": "shop",
        "labels": {PSA + "audit": "baseline", PSA + "audit-version": "v1.37"},
        "default_service_account_token": True,
    }


@pytest.mark.parametrize(
    ("name", "automount", "token"),
    [("default", False, False), ("default", True, True), ("default", None, True), ("web", False, True)],
)
def test_only_the_default_accounts_token_is_told(name: str, automount: bool | None, token: bool) -> None:
    account: Manifest = {"kind": "ServiceAccount", "metadata": {"name": name}}
    if automount is not None:
        account["automountServiceAccountToken"] = automount
    assert namespace.describe([account, live()])["default_service_account_token"] is token


def test_a_description_leaves_out_what_others_write_for_themselves() -> None:
    theirs = {
        "kubernetes.io/metadata.name": "shop",
        "hardened.k8s/owner": "tenant",
        "applyset.kubernetes.io/part-of": "x",
    }
    assert namespace.describe([live(team="web", **theirs)])["labels"] == {"team": "web"}
