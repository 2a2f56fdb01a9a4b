# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a level would refuse is told by workload, whether its pods run or only its template is there."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.checks.pod_security import (
    Violation,
    by_level,
    findings,
    violations,
)
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref

Fields = dict[str, t.Any]

SHOP = Ref("Namespace", "", "shop")
JUDGE = by_level("baseline", 37)
GOOD: Fields = {"containers": [{"name": "web", "image": "a"}]}
BAD: Fields = {**GOOD, "hostNetwork": True}


def made(kind: str, name: str, spec: Fields, owner: tuple[str, str] | None = None, **more: t.Any) -> Fields:
    metadata: Fields = {"namespace": "shop", "name": name}
    if owner:
        metadata["ownerReferences"] = [{"kind": owner[0], "name": owner[1], "controller": True}]
    return {"kind": kind, "metadata": metadata, "spec": spec, **more}


def templated(spec: Fields) -> Fields:
    return {"template": {"spec": spec}}


def judged(*objects: Fields) -> list[Fields]:
    return [violation.as_dict() for violation in violations(objects, JUDGE)]


def test_pods_stand_under_what_a_person_would_change() -> None:
    (found,) = judged(
        made("Deployment", "web", templated(BAD)),
        made("ReplicaSet", "web-1", templated(BAD), ("Deployment", "web")),
        made("Pod", "web-1-b", BAD, ("ReplicaSet", "web-1")),
        made("Pod", "web-1-a", BAD, ("ReplicaSet", "web-1")),
    )
    assert (found["kind"], found["name"], found["pods"]) == ("Deployment", "web", ["web-1-a", "web-1-b"])
    assert found["template"]
    assert [failure["reason"] for failure in found["failures"]] == ["host namespaces"]
    assert found["changes"]


def test_a_template_counts_without_a_pod_and_a_pod_without_a_template() -> None:
    cron = made("CronJob", "night", {"jobTemplate": {"spec": templated(BAD)}})
    assert [(item["kind"], item["pods"]) for item in judged(cron)] == [("CronJob", [])]
    scaled = made("StatefulSet", "db", {"replicas": 0, **templated(BAD)})
    assert [item["kind"] for item in judged(scaled)] == ["StatefulSet"]
    assert [item["kind"] for item in judged(made("Pod", "alone", BAD))] == ["Pod"]
    # an operator's own kind is known by the reference alone
    assert [item["kind"] for item in judged(made("Pod", "x-1", BAD, ("Machine", "x")))] == ["Machine"]


@pytest.mark.parametrize(
    "item",
    [
        made("Pod", "done", BAD, status={"phase": "Succeeded"}),
        made("Pod", "failed", BAD, status={"phase": "Failed"}),
        made("Job", "done", templated(BAD), status={"completionTime": "2026-01-01T00:00:00Z"}),
        made("Pod", "good", GOOD),
        made("Deployment", "good", templated(GOOD)),
    ],
)
def test_what_has_ended_or_passes_is_not_told(item: Fields) -> None:
    assert judged(item) == []


def test_what_is_no_pod_at_all_is_told_as_such() -> None:
    (found,) = judged(made("Pod", "odd", {"containers": "none"}))
    assert found["failures"][0]["reason"] == "not a valid pod"


def test_running_pods_refuse_a_level_and_idle_templates_are_told() -> None:
    running, idle = findings(
        SHOP,
        "level baseline",
        violations([made("Pod", "web", BAD), made("Deployment", "idle", templated(BAD))], JUDGE),
    )
    assert (running.rule, running.ref, running.refuse) == ("pod-security/running-pods", SHOP, True)
    assert running.affected == ("Pod web: host namespaces: remove hostNetwork",)
    assert (idle.rule, idle.refuse) == ("pod-security/templates", False)
    assert "level baseline" in running.message
    assert running.remedy
    assert idle.remedy


def test_a_long_list_ends_with_how_many_more_there_are() -> None:
    many = [Violation(Ref("Pod", "shop", f"web-{number:03}"), pods=["x"]) for number in range(70)]
    (finding,) = findings(SHOP, "level baseline", many)
    assert len(finding.affected) == 51
    assert finding.affected[-1].startswith("and 20 more")


def test_pods_that_differ_only_by_node_and_token_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def evaluate(_metadata: Fields, spec: Fields, _level: str, _minor: int) -> list[t.Any]:
        asked.append(spec)
        return []

    monkeypatch.setattr(
        "ansible_collections.hardened.k8s.plugins.module_utils.checks.pod_security_standards.evaluate", evaluate
    )
    judge = by_level("restricted", 37)
    for node, token in (("a", "kube-api-access-4x2zq"), ("b", "kube-api-access-qq9tt")):
        judge({"annotations": None}, {**GOOD, "nodeName": node, "volumes": [{"name": token, "projected": {}}]})
    assert len(asked) == 1
    judge({"annotations": {"container.apparmor.security.beta.kubernetes.io/web": "unconfined"}}, asked[0])
    judge({}, {**GOOD, "volumes": [{"name": "kube-api-access-4x2zq", "hostPath": {}}]})
    assert len(asked) == 3
