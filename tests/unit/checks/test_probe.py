# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What canaries are, and what is concluded from them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.checks import probe
from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import canary

FROM, TO = {"namespace": "shop", "labels": {"app": "web", "pod-template-hash": "x"}}, {"namespace": "api"}


def flow(allowed: bool = False, **more: t.Any) -> canary.Flow:
    expect = "allowed" if allowed else "denied"
    return canary.parse({"from": FROM, "to": TO, "port": 80, "expect": expect, **more})


def ended(code: int, message: str = "") -> dict[str, t.Any]:
    state = {"terminated": {"exitCode": code, "message": message}}
    return {"status": {"containerStatuses": [{"name": "client", "state": state}]}}


OPEN, SHUT, GONE = probe.Outcome(True, "yes"), probe.Outcome(False, "no"), probe.Outcome(None, "gone")


@pytest.mark.parametrize(
    ("allowed", "call", "control", "verdict"),
    [
        (False, SHUT, OPEN, probe.ENFORCED),
        (False, OPEN, OPEN, probe.NOT_ENFORCED),
        (False, OPEN, None, probe.NOT_ENFORCED),
        (False, SHUT, SHUT, probe.CANNOT_TELL),
        (False, SHUT, GONE, probe.CANNOT_TELL),
        (False, SHUT, None, probe.CANNOT_TELL),
        (True, OPEN, OPEN, probe.ENFORCED),
        (True, OPEN, None, probe.ENFORCED),
        (True, SHUT, OPEN, probe.NOT_ENFORCED),
        (True, SHUT, SHUT, probe.CANNOT_TELL),
        (True, SHUT, None, probe.CANNOT_TELL),
        (True, GONE, OPEN, probe.CANNOT_TELL),
        (False, GONE, OPEN, probe.CANNOT_TELL),
    ],
)
def test_a_denial_is_proved_only_by_somebody_who_would_have_answered(
    allowed: bool, call: probe.Outcome, control: t.Any, verdict: str
) -> None:
    assert probe.judge(flow(allowed), call, control).verdict == verdict


def test_a_run_in_which_no_call_is_answered_proves_nothing() -> None:
    denied = (flow(), SHUT, OPEN)
    assert [found.verdict for found in probe.judge_all([denied], answered=True)] == [probe.ENFORCED]
    (found,) = probe.judge_all([denied], answered=False)
    assert found.verdict == probe.CANNOT_TELL
    assert "no call of this run was answered" in found.reason
    wrong = (flow(allowed=True), SHUT, OPEN)
    assert [found.verdict for found in probe.judge_all([wrong], answered=False)] == [probe.NOT_ENFORCED]


@pytest.mark.parametrize(
    ("pod", "is_open", "reason"),
    [
        (ended(0), True, "it was answered"),
        (ended(1, "TIMEOUT\n"), False, "no answer came"),
        (ended(1, "REFUSED"), False, "it was refused"),
        (ended(1, "DNS: no such host"), False, "its name was not resolved"),
        (ended(1, "OTHER: network is unreachable"), None, "the call failed by itself: OTHER: network is unreachable"),
        (ended(137), None, "no reason given"),
        (None, None, "its pod is gone"),
        ({"status": {"conditions": [{"status": "False", "message": "0/0 nodes"}]}}, None, "0/0 nodes"),
        (
            {"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}},
            None,
            "its pod did not start: ErrImagePull",
        ),
    ],
)
def test_how_a_call_ended(pod: t.Any, is_open: bool | None, reason: str) -> None:
    found = probe.outcome(pod, flow())
    assert found.open == is_open
    assert reason in found.reason


@pytest.mark.parametrize(
    ("words", "is_open"),
    [("TIMEOUT", True), ("REFUSED", True), ("OTHER: no route to host", True), ("DNS: timeout", False)],
)
def test_whether_a_name_is_resolved(words: str, is_open: bool) -> None:
    asked = flow(to={"domain": "www.example.com"}, port=53)
    assert probe.outcome(ended(1, words), asked).open == is_open
    assert probe.outcome(ended(0), asked).open
    # at an address, port 53 is one like others
    assert probe.outcome(ended(1, "TIMEOUT"), flow(to={"address": "192.0.2.53"}, port=53)).open is False


def test_flows_in_words() -> None:
    assert str(flow()) == "shop/app=web -> api/*: 80"
    assert str(flow(protocol="UDP", to={"address": "2001:db8::1"})) == "shop/app=web -> 2001:db8::1: 80/UDP over IPv6"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"to": {}}, "to names nobody"),
        ({"to": {"namespace": "a", "address": "192.0.2.1"}}, "to names namespace and address"),
        ({"to": {"address": "nowhere"}}, "is no address"),
        ({"from": {"labels": {}}}, "from has no namespace"),
        ({"port": 0}, "out of range"),
    ],
)
def test_mistakes(more: t.Any, message: str) -> None:
    with pytest.raises(ItemError, match=message):
        flow(**more)


def test_nobody_takes_a_canary_for_its_own() -> None:
    pod = canary.client(canary.Run("run", canary.IMAGE, 60), "run-client-0", flow(), "192.0.2.1", "uid")
    assert pod["metadata"]["labels"] == {"app": "web", canary.PROBE: "run"}
    (owner,) = pod["metadata"]["ownerReferences"]
    assert owner["controller"]
    assert pod["spec"]["readinessGates"]
    assert not pod["spec"]["automountServiceAccountToken"]
