# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a node is well: its services, what its kubelet says, and whether its pods are still there.

What counts is that nothing is worse than it was: what did not run before need not run afterwards.
"""

from __future__ import annotations

import time
import typing as t
import urllib.error
import urllib.request
from dataclasses import dataclass, replace

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.node import api, kubelet, pods
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

_SERVICES = ("containerd.service", "crio.service", "kubelet.service")
_PAUSE = 1.0
#: Seconds that a kubelet has to go on running of which nobody can be asked; one whose settings are wrong ends sooner.
_TRIAL = 20.0
#: Seconds that a node has to stay well after a restart where the API server is asked: kubelet looks at its runtime every
#: 5 s, and says every 10 s how the node is (nodeStatusUpdateFrequency). What it said before says nothing of what is now.
_SETTLED = 16.0


@dataclass(frozen=True)
class Health:
    """A node at one moment.

    :param services: those that run.
    :param kubelet: whether it answers that it is well; None when it is told not to answer.
    :param ready: what the API server was told by the kubelet; None when that cannot be asked.
    :param heartbeat: when the kubelet last said so.
    :param pods: uids of those with a process.
    """

    services: t.FrozenSet[str]
    kubelet: t.Optional[bool]
    ready: t.Optional[bool]
    heartbeat: str
    pods: t.FrozenSet[str]


def look(node: Node) -> Health:
    """How it is now."""
    ready, heartbeat = (api.heartbeat(node) if kubelet.is_running(node) else None) or (None, "")
    return Health(_running(node), _answers(node), ready, heartbeat, _pods(node))


def wait(node: Node, before: Health, restarted: t.Sequence[str], seconds: float, heartbeat: bool = False) -> None:
    """Until it is as well as it was.

    :param restarted: units that have to show it anew.
    :param heartbeat: whether kubelet has to, though it was not restarted.
    :raises HardenedError: it is not in that time, or can no longer become so.
    """
    deadline = time.monotonic() + seconds
    well, settled = 0.0, _SETTLED if before.ready and (restarted or heartbeat) else 0.0
    anew = heartbeat or any("kubelet" in unit for unit in restarted)
    if anew:
        if before.ready:
            # the former one has renewed its lease until it was stopped, which says nothing of this one
            before = replace(before, heartbeat=(api.heartbeat(node) or (None, before.heartbeat))[1])
        elif not before.kubelet and not heartbeat:
            settled = _TRIAL
    while True:
        reason, now = _worse(node, before, restarted, anew), time.monotonic()
        well = 0.0 if reason else well or now
        if well and now >= well + settled:
            return
        dead = [unit for unit in restarted if _has_ended(node, unit)]
        if dead or (reason and now > deadline):
            reason = reason or f"{', '.join(dead)} does not run"
            raise HardenedError(f"the node is not healthy: {reason}{''.join(_said(node, unit) for unit in dead)}")
        time.sleep(_PAUSE)


def _worse(node: Node, before: Health, restarted: t.Sequence[str], anew: bool) -> str:
    """In what the node is worse than it was; empty when it is not."""
    stopped = before.services - _running(node)
    if stopped:
        return f"{', '.join(sorted(stopped))} does not run"
    if any("containerd" in unit for unit in restarted) and _without_pods(node):
        return f"containerd runs, but its plug-in {_without_pods(node)} does not"
    if before.kubelet and _answers(node) is False:
        return "kubelet does not answer /healthz"
    if before.ready:
        ready, heartbeat = api.heartbeat(node) or (None, "")
        if not ready:
            return "the API server does not answer" if ready is None else "the API server has it as not Ready"
        if anew and heartbeat == before.heartbeat:
            return "kubelet has not told the API server anew that it is Ready"
    lost = before.pods - _pods(node)
    lost -= api.ended(node, lost) if lost else set()
    return f"pods have lost all of their processes: {', '.join(sorted(lost))}" if lost else ""


def _running(node: Node) -> t.FrozenSet[str]:
    return frozenset(name for name in _SERVICES if node.unit(name, "ActiveState").get("ActiveState") == "active")


def _without_pods(node: Node) -> str:
    """The part of containerd that runs pods, where it failed to start: kubelet would only notice half a minute later."""
    said = node.run("ctr", "plugins", "list", check=False).out if node.find("ctr") else ""
    rows = [line.split() for line in said.splitlines()]
    return next((f"{row[0]}.{row[1]}" for row in rows if row[-1:] == ["error"] and "cri" in f"{row[0]}.{row[1]}"), "")


def _pods(node: Node) -> t.FrozenSet[str]:
    return frozenset(process.pod for process in pods.processes(node))


def _answers(node: Node) -> t.Optional[bool]:
    """kubelet's /healthz, where its settings have it."""
    url = kubelet.healthz_url(node)
    if not url:
        return None
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _has_ended(node: Node, unit: str) -> bool:
    """Whether a unit that was restarted has failed, and so will again."""
    about = node.unit(unit, "ActiveState", "SubState")
    return about.get("ActiveState") == "failed" or about.get("SubState") == "auto-restart"


def _said(node: Node, unit: str) -> str:
    """The last that a unit complained about."""
    if not node.find("journalctl"):
        return ""
    done = node.run("journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=5", f"--unit={unit}", check=False)
    lines = [line for line in done.out.splitlines() if line.strip()]
    return f"; {unit} said: {' '.join(lines[-3:])[-1500:]}" if lines else ""
