# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that outlive the one that started them, and are ended only while they are still the same."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import typing as t
from pathlib import Path


def started(pid: int) -> str:
    """When a process started, in the kernel's ticks: with its id, what tells it from a later one. Empty if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


class Processes:
    """The processes of one instance, kept in a file."""

    def __init__(self, record: Path) -> None:
        self._record = record

    def _known(self) -> dict[str, tuple[int, str]]:
        try:
            return {name: (pid, since) for name, (pid, since) in json.loads(self._record.read_text()).items()}
        except (OSError, ValueError):
            return {}

    def start(self, name: str, command: t.Sequence[str], log: Path, directory: Path) -> None:
        """Start it in a session of its own, and remember it."""
        with log.open("w") as output:
            process = subprocess.Popen(
                command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        known = {**self._known(), name: (process.pid, started(process.pid))}
        scratch = self._record.with_suffix(".new")
        scratch.write_text(json.dumps(known))
        scratch.replace(self._record)

    def running(self) -> dict[str, int]:
        """Name -> id of those that still run."""
        return {name: pid for name, (pid, since) in self._known().items() if since and started(pid) == since}

    def stop(self, patience: float = 15.0) -> None:
        """End them, last started first: asked at first, then killed."""
        names = list(self._known())[::-1]
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            running = self.running()
            for name in names:
                if name in running:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(running[name], number)
            deadline = time.monotonic() + seconds
            while self.running() and time.monotonic() < deadline:
                _reap()
                time.sleep(0.05)
        self._record.unlink(missing_ok=True)


def _reap() -> None:
    """Take note of children that have ended, where they are this process's own."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
