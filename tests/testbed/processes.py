# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that outlive the one that started them, and are ended only while they are still the same.

Each carries the name of its record in its environment, and so do those that it starts: one whose starter was killed
before it could write the record is found by that.
"""

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
    """When a process started, in the kernel's ticks, which tells it from a later one of the same id.

    Empty when it is gone, or has ended and waits for its parent to notice.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


_MARK = "HARDENED_K8S_TESTBED_PROCESSES"


class Processes:
    """The processes of one instance, kept in a file."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._mark = f"{_MARK}={record}"

    def start(
        self, name: str, command: t.Sequence[str], log: Path, directory: Path, pass_fds: t.Sequence[int] = ()
    ) -> None:
        """Start it in a session of its own, and remember it.

        :param pass_fds: open files that it gets.
        """
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                cwd=directory,
                env={**os.environ, _MARK: str(self._record)},
                pass_fds=pass_fds,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        known = {**self._known(), name: (process.pid, started(process.pid))}
        scratch = self._record.with_suffix(".new")
        scratch.write_text(json.dumps(known))
        scratch.replace(self._record)

    def running(self) -> dict[str, int]:
        """Name -> id of those that still run."""
        return {name: pid for name, (pid, since) in self._known().items() if since and started(pid) == since}

    def stop(self, patience: float = 30.0) -> None:
        """Kill them and what they started, whose data nobody wants any more, and wait until they are gone."""
        deadline = time.monotonic() + patience
        ours = set(self.running().values())
        while found := ours | self._marked():
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in found:
                with contextlib.suppress(ChildProcessError):  # started by another process
                    os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
            ours = set(self.running().values())
        self._record.unlink(missing_ok=True)

    def _marked(self) -> set[int]:
        """Those that run with the mark, whoever started them."""
        mark, found = self._mark.encode(), set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                if mark in path.read_bytes().split(b"\0") and started(int(path.parent.name)):
                    found.add(int(path.parent.name))
        return found

    def _known(self) -> dict[str, tuple[int, str]]:
        try:
            return {name: (pid, since) for name, (pid, since) in json.loads(self._record.read_text()).items()}
        except FileNotFoundError:
            return {}
