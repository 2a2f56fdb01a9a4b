# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long thirty AppArmor profiles take on a node, beside a loop of copies with a handler, in one run on one machine.

``python -m tests.benchmarks.nodes [rounds]`` starts the machine, measures, and prints a table. Nothing here asserts a
time. A round takes ten minutes where nothing makes the machine fast.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from tests.support.modules import run_playbook
from tests.testbed.machines import Machines
from tests.testbed.modes import remove_orphans

_PROFILES = 30
_ROUNDS = 3
_RULES = "include <abstractions/base>\nnetwork inet stream,\n/srv/p{}/** r,\n/tmp/** rw,\ndeny /etc/shadow r,\n"

Play = dict[str, t.Any]


def by_module(count: int) -> Play:
    """One call."""
    profiles = [{"name": f"bench-{index}", "rules": _RULES.format(index)} for index in range(count)]
    return {"tasks": [{"name": "Profiles", "hardened.k8s.apparmor_profile": {"profiles": profiles}}]}


def by_copies(count: int) -> Play:
    """A copy for each, and a handler that has all of them loaded."""
    profile = "include <tunables/global>\nprofile loop-{} flags=(attach_disconnected) {{\n{}}}\n"
    items = [{"name": f"loop-{index}", "text": profile.format(index, _RULES.format(index))} for index in range(count)]
    copy = {"content": "{{ item.text }}", "dest": "/etc/apparmor.d/{{ item.name }}", "mode": "0644"}
    task = {"name": "Copy", "ansible.builtin.copy": copy, "loop": items, "notify": "Reload"}
    task["loop_control"] = {"label": "{{ item.name }}"}
    handler = {"name": "Reload", "ansible.builtin.service": {"name": "apparmor", "state": "reloaded"}}
    return {"tasks": [task], "handlers": [handler]}


#: The usual way, and the one that is compared with it.
_WAYS = {by_copies: "copy in a loop", by_module: "hardened.k8s.apparmor_profile"}
_UNDO = "for file in /etc/apparmor.d/loop-*; do [ ! -e $file ] || { apparmor_parser --remove $file; rm $file; }; done"


def measure(machines: Machines, scratch: Path, play: Play) -> float:
    """Seconds that a playbook takes."""
    playbook = scratch / "play.yml"
    playbook.write_text(
        json.dumps([{"name": "Bench", "hosts": "k8s_nodes", "gather_facts": False, "become": True, **play}])
    )
    start = time.monotonic()
    result = run_playbook(str(playbook), f"--inventory={machines.fleet.inventory}")
    if result["rc"]:
        raise RuntimeError(result["output"])
    return time.monotonic() - start


def main() -> None:
    remove_orphans("bench-")  # of runs that were killed
    machines = Machines(f"bench-nodes-{os.getpid()}", machines="apparmor")
    rows: dict[str, list[float]] = {}
    try:
        machines.up()
        with tempfile.TemporaryDirectory() as scratch:
            for _round in range(int(sys.argv[1]) if len(sys.argv) > 1 else _ROUNDS):
                for play, name in _WAYS.items():
                    for when in ("first run", "second run"):
                        seconds = measure(machines, Path(scratch), play(_PROFILES))
                        rows.setdefault(f"{name}, {when}", []).append(seconds)
                measure(machines, Path(scratch), by_module(0))
                machines.fleet["apparmor"].run(f"sudo sh -c '{_UNDO}'")
    finally:
        machines.down()
    print(f"| {_PROFILES} profiles | median s | all |\n| --- | --- | --- |")
    for name, taken in rows.items():
        print(f"| {name} | {statistics.median(taken):.1f} | {', '.join(f'{second:.1f}' for second in taken)} |")
    for when in ("first run", "second run"):
        loop, module = (statistics.median(rows[f"{name}, {when}"]) for name in _WAYS.values())
        print(f"{when}: {loop / module:.1f} times as fast")


if __name__ == "__main__":
    main()
