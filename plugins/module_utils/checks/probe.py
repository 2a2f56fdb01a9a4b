# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What canaries found out: whether a flow is as declared, is not, or cannot be told."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.manifests.canary import CONTROL, Flow
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest

ENFORCED, NOT_ENFORCED, CANNOT_TELL = "enforced", "not enforced", "cannot tell"
_UNRESOLVED = "DNS"
#: How a call ends before which a name was resolved.
_CALLED = ("TIMEOUT", "REFUSED", "OTHER")
#: How a call that no answer came to ends.
_CLOSED = {"TIMEOUT": "no answer came", "REFUSED": "it was refused", _UNRESOLVED: "its name was not resolved"}


class Outcome(t.NamedTuple):
    """How a call ended.

    :param open: whether it was answered; None when it was not even tried.
    """

    open: t.Optional[bool]
    reason: str


class Verdict(t.NamedTuple):
    """:param verdict: one of ENFORCED, NOT_ENFORCED, CANNOT_TELL."""

    verdict: str
    reason: str


def outcome(pod: t.Optional[Manifest], flow: Flow) -> Outcome:
    """How the call of a client ended, from its pod. Where it only asks DNS, a name that is resolved is an answer."""
    if pod is None:
        return Outcome(None, "its pod is gone")
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated")
        if ended is None:
            waiting = (container.get("state") or {}).get("waiting") or {}
            return Outcome(None, f"its pod did not start: {waiting.get('reason') or 'it has not ended'}")
        if ended.get("exitCode") == 0:
            return Outcome(True, "it was answered")
        words = str(ended.get("message") or "").strip()
        first = re.split(r"\W", words, maxsplit=1)[0]
        if flow.asks_dns and first in _CALLED:
            return Outcome(True, "its name was resolved")
        if first in _CLOSED:
            return Outcome(False, _CLOSED[first])
        return Outcome(None, f"the call failed by itself: {words[:200] or ended.get('reason') or 'no reason given'}")
    return Outcome(None, f"its pod did not start: {_why(status)}")


def answers(pod: t.Optional[Manifest], protocol: str, port: int) -> Outcome:
    """The positive control: whether a server answers itself."""
    name = f"{CONTROL}-{protocol.lower()}-{port}"
    status = (pod or {}).get("status") or {}
    for container in status.get("containerStatuses") or ():
        if container["name"] == name:
            ended = (container.get("state") or {}).get("terminated") or {}
            if ended.get("exitCode") == 0:
                return Outcome(True, "it answers itself")
            return Outcome(False, "it does not answer itself")
    return Outcome(None, f"its pod did not start: {_why(status)}" if pod else "its pod is gone")


def _why(status: t.Mapping[str, t.Any]) -> str:
    told = [c for c in status.get("conditions") or () if c.get("status") == "False" and c.get("message")]
    return str(status.get("message") or (told[0]["message"] if told else "no node took it"))[:200]


def judge(flow: Flow, call: Outcome, control: t.Optional[Outcome]) -> Verdict:
    """Whether a flow is as it is declared.

    :param control: whether the one who is called answers at all; None where that was not tried.
    """
    if control is not None and control.open is None:
        return Verdict(CANNOT_TELL, control.reason)
    if call.open is None:
        return Verdict(CANNOT_TELL, call.reason)
    if call.open:
        return Verdict(ENFORCED, call.reason) if flow.allowed else Verdict(NOT_ENFORCED, "it was answered")
    if control is not None and not control.open:
        return Verdict(CANNOT_TELL, f"{call.reason}, but who is called gives no sign of life either: {control.reason}")
    if flow.allowed:
        # of somebody outside it is not known whether he answers anybody
        return Verdict(NOT_ENFORCED if control else CANNOT_TELL, call.reason)
    if control is None:
        return Verdict(CANNOT_TELL, f"{call.reason}, and nothing shows that anybody there would answer")
    return Verdict(ENFORCED, f"{call.reason}, though {control.reason}")


def judge_all(tried: t.Sequence[t.Tuple[Flow, Outcome, t.Optional[Outcome]]], answered: bool) -> t.List[Verdict]:
    """The verdicts on all flows of a run.

    :param answered: whether any call went through at all; where none does, the network may just not work.
    """
    verdicts = [judge(flow, call, control) for flow, call, control in tried]
    if answered:
        return verdicts
    unsure = "but no call of this run was answered; try one that is allowed, too"
    return [
        Verdict(CANNOT_TELL, f"{found.reason}, {unsure}") if found.verdict == ENFORCED else found for found in verdicts
    ]
