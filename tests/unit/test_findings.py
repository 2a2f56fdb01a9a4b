# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Findings are refused, accepted by name until a day, or only told."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.findings import (
    Acceptance,
    Finding,
    Ref,
    parse_acceptances,
    settle,
)

TODAY = datetime.date(2026, 7, 1)
ROLE = Ref("Role", "shop", "reader")
RISK = Finding("rbac/secrets", ROLE, "reads every Secret", "Name the Secrets", ("User ann",), refuse=True)


def entry(**changed: t.Any) -> dict[str, t.Any]:
    return {"rule": "rbac/secrets", "reason": "the operator needs them", "expires": "2026-12-31", **changed}


def accepted(namespace: str = "", **changed: t.Any) -> Acceptance:
    (acceptance,), problems = parse_acceptances([entry(**changed)], "accept", TODAY, namespace)
    assert problems == []
    return acceptance


def settled(finding: Finding, *acceptances: Acceptance, stage: str = "enforce") -> Finding:
    (only,) = settle([finding], acceptances, lambda _ref: stage)
    return only


# -- settle


@pytest.mark.parametrize(("stage", "refused"), [("observe", False), ("warn", False), ("enforce", True)])
def test_a_risk_is_refused_at_stage_enforce_alone(stage: str, refused: bool) -> None:
    assert settled(RISK, stage=stage).refused is refused


def test_what_is_only_worth_knowing_is_never_refused() -> None:
    assert not settled(Finding("network/one-sided", ROLE, "no answer")).refused


def test_the_stage_is_that_of_the_object() -> None:
    other = Finding("rbac/exec", Ref("Role", "test", "debug"), "enters pods", refuse=True)
    stages = {ROLE: "enforce", other.ref: "warn"}
    assert [finding.refused for finding in settle([RISK, other], [], stages.__getitem__)] == [True, False]


def test_an_accepted_risk_is_told_with_reason_and_end() -> None:
    finding = settled(RISK, accepted())
    assert not finding.refused
    assert finding.accepted == "the operator needs them (until 2026-12-31)"


def test_of_two_acceptances_the_first_that_fits_is_told() -> None:
    finding = settled(RISK, accepted(name="other"), accepted(reason="first"), accepted(reason="second"))
    assert finding.accepted.startswith("first")


@pytest.mark.parametrize(
    "narrowed",
    [
        {},
        {"kind": "Role"},
        {"namespace": "shop"},
        {"name": "reader"},
        {"kind": "Role", "namespace": "shop", "name": "reader"},
    ],
)
def test_an_acceptance_covers_what_it_names(narrowed: dict[str, str]) -> None:
    assert accepted(**narrowed).covers(RISK)


@pytest.mark.parametrize(
    "narrowed",
    [
        {"rule": "rbac/exec"},
        {"rule": "rbac"},
        {"kind": "ClusterRole"},
        {"namespace": "test"},
        {"name": "read"},
        {"kind": "Role", "namespace": "shop", "name": "writer"},
    ],
)
def test_an_acceptance_covers_nothing_else(narrowed: dict[str, str]) -> None:
    assert not accepted(**narrowed).covers(RISK)


def test_what_a_tenant_accepts_covers_its_own_objects_and_its_namespace() -> None:
    within = accepted(namespace="shop")
    assert within.covers(RISK)
    assert within.covers(Finding("rbac/secrets", Ref("Namespace", "", "shop"), ""))


@pytest.mark.parametrize(
    "ref", [Ref("Role", "test", "shop"), Ref("Namespace", "", "test"), Ref("ClusterRole", "", "shop")]
)
def test_what_a_tenant_accepts_covers_nobody_else(ref: Ref) -> None:
    assert not accepted(namespace="shop").covers(Finding("rbac/secrets", ref, ""))


# -- acceptances


def test_an_acceptance_holds_on_its_last_day() -> None:
    assert accepted(expires="2026-07-01").expires == TODAY


def test_a_date_that_yaml_has_read_is_a_date() -> None:
    assert accepted(expires=datetime.date(2026, 12, 31)).expires == datetime.date(2026, 12, 31)


def test_an_entry_that_names_a_namespace_keeps_it() -> None:
    (acceptance,), _findings = parse_acceptances([entry(namespace="test")], "accept", TODAY, "shop")
    assert acceptance.namespace == "test"


MISTAKES = [
    ({"expires": "2026-06-30"}, "expired on 2026-06-30", "renew expires"),
    ({"expires": "soon"}, "'soon' is not a date", "YYYY-MM-DD"),
    ({"expires": "31.12.2026"}, "'31.12.2026' is not a date", "YYYY-MM-DD"),
    ({"expires": "2026-02-30"}, "'2026-02-30' is not a date", "YYYY-MM-DD"),
    ({"expires": ""}, "'' is not a date", "YYYY-MM-DD"),
    ({"reason": ""}, "needs a reason", "Say in reason"),
    ({"reason": "  "}, "needs a reason", "Say in reason"),
    ({"reason": None}, "needs a reason", "Say in reason"),
]


@pytest.mark.parametrize(("changed", "reason", "remedy"), MISTAKES)
def test_a_mistake_accepts_nothing_and_is_told(changed: dict[str, t.Any], reason: str, remedy: str) -> None:
    acceptances, (problem,) = parse_acceptances([entry(**changed)], "tenants[0].accept", TODAY)
    assert acceptances == []
    assert problem.item == "tenants[0].accept[0] (rbac/secrets)"
    assert reason in problem.reason
    assert remedy in problem.remedy


def test_one_mistake_does_not_take_the_others_along() -> None:
    entries = [entry(), entry(expires="never"), entry(rule="rbac/exec")]
    acceptances, problems = parse_acceptances(entries, "accept", TODAY)
    assert [acceptance.rule for acceptance in acceptances] == ["rbac/secrets", "rbac/exec"]
    assert [problem.item for problem in problems] == ["accept[1] (rbac/secrets)"]


# -- what is told


def test_a_refusal_names_the_object_the_affected_and_both_ways_on() -> None:
    problem = RISK.refusal("roles[0] (reader)")
    assert (problem.item, problem.kind, problem.namespace, problem.name) == (
        "roles[0] (reader)",
        "Role",
        "shop",
        "reader",
    )
    assert "Role shop/reader is refused (rbac/secrets): reads every Secret: User ann" in problem.reason
    assert (
        "Name the Secrets. Or accept it: {rule: rbac/secrets, kind: Role, namespace: shop, name: reader, reason:"
        in problem.remedy
    )


def test_the_way_to_accept_a_refusal_accepts_it() -> None:
    """What the remedy says works, once reason and expires are filled in."""
    text = RISK.refusal("x").remedy.partition("accept it: {")[2]
    named = dict(part.split(": ", 1) for part in text.rstrip("}").split(", "))
    assert accepted(**{key: named[key] for key in named if key not in ("reason", "expires")}).covers(RISK)


def test_a_finding_in_the_result() -> None:
    assert settled(RISK).as_dict() == {
        "rule": "rbac/secrets",
        "kind": "Role",
        "namespace": "shop",
        "name": "reader",
        "message": "reads every Secret",
        "affected": ["User ann"],
        "remedy": "Name the Secrets",
        "refused": True,
        "accepted": "",
    }


@pytest.mark.parametrize(
    ("ref", "text"), [(ROLE, "Role shop/reader"), (Ref("Namespace", "", "shop"), "Namespace shop")]
)
def test_how_an_object_is_named(ref: Ref, text: str) -> None:
    assert str(ref) == text
