# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The evaluator says what the API server's own says, of random pods at every version; and its changes are enough."""

from __future__ import annotations

import json
import os
import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.checks.pod_security_standards import (
    NEWEST,
    OLDEST,
    Change,
    evaluate,
    version,
)

from tests.support.oracle import ask
from tests.support.pods import random_pod
from tests.testbed import binaries

#: 50,000 with HARDENED_K8S_TEST_PODS=50000, which takes a minute and a half.
PODS = int(os.environ.get("HARDENED_K8S_TEST_PODS", "3000"))
LEVELS = ("baseline", "restricted")
MINORS = range(OLDEST, NEWEST + 1)

Fields = dict[str, t.Any]


def said(pod: Fields, level: str) -> list[Fields]:
    """What the evaluator says, in the oracle's form: only where a version says something new."""
    verdicts: list[Fields] = []
    for minor in MINORS:
        found = [[f.reason, f.detail] for f in evaluate(pod["metadata"], pod["spec"], level, minor)]
        if not verdicts or verdicts[-1]["failures"] != found:
            verdicts.append({"minor": minor, "failures": found})
    return verdicts


def test_it_says_what_the_api_server_says() -> None:
    seen: set[str] = set()
    passed = dict.fromkeys(LEVELS, 0)
    for seed, theirs in enumerate(ask(binaries.psa(), map(random_pod, range(PODS)))):
        pod = random_pod(seed)
        for level in LEVELS:
            assert said(pod, level) == theirs[level], f"random_pod({seed}) at {level}"
            passed[level] += not theirs[level][-1]["failures"]
        seen |= {f.check for f in evaluate(pod["metadata"], pod["spec"], "restricted", NEWEST)}
    # the comparison is of worth where both verdicts occur, and every check
    assert min(passed.values()) > PODS / 50
    assert len(seen) == 15


def applied(pod: Fields, changes: t.Iterable[Change]) -> Fields:
    """The pod with these changes."""
    changed: Fields = json.loads(json.dumps(pod))
    for change in changes:
        place, name = change.container
        if place == "volumes":
            index = [v["name"] for v in changed["spec"]["volumes"]].index(name)
            changed["spec"]["volumes"][index] = {"name": name, change.path: change.value}
            continue
        item = changed["spec"]
        if place:
            item = next(c for c in item[place] if c["name"] == name)
        elif change.path.startswith("metadata.annotations."):
            del changed["metadata"]["annotations"][change.path.removeprefix("metadata.annotations.")]
            continue
        *path, last = change.path.split(".")
        for part in path:
            item = item[int(part)] if part.isdigit() else item.setdefault(part, {})
        if change.value is None:
            del item[last]
        else:
            item[last] = change.value
    return changed


@pytest.mark.parametrize("level", LEVELS)
def test_the_changes_make_a_pod_pass_and_each_is_needed(level: str) -> None:
    for seed in range(PODS // 10):
        pod = random_pod(seed)
        changes = [c for f in evaluate(pod["metadata"], pod["spec"], level, NEWEST) for c in f.changes]
        fixed = applied(pod, changes)
        assert evaluate(fixed["metadata"], fixed["spec"], level, NEWEST) == [], f"random_pod({seed})"
        for left_out in changes:
            others = applied(pod, [change for change in changes if change != left_out])
            assert evaluate(others["metadata"], others["spec"], level, NEWEST), f"random_pod({seed}): {left_out}"


def test_changes_are_told_with_container_and_field() -> None:
    spec = {"containers": [{"name": "web", "securityContext": {"privileged": True}}], "hostPID": True}
    (host, privileged) = evaluate({}, spec, "baseline", 37)
    assert [str(change) for change in (*host.changes, *privileged.changes)] == [
        "remove hostPID",
        "remove containers[web].securityContext.privileged",
    ]
    text = [str(change) for failure in evaluate({}, spec, "restricted", 37) for change in failure.changes]
    assert 'set containers[web].securityContext.capabilities.drop: ["ALL"]' in text


@pytest.mark.parametrize(
    ("text", "server", "minor"),
    [
        ("latest", None, 37),
        ("latest", 33, 33),
        ("v1.30", None, 30),
        ("v1.37", 33, 33),
        ("v1.99", None, 37),
        ("v1.9", 30, 24),
    ],
)
def test_the_version_whose_rules_hold(text: str, server: int | None, minor: int) -> None:
    assert version(text, server) == minor
