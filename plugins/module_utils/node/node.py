# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node: its files and its commands, and nothing that another node would lack."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError

#: Where programs are. sudo and cron give less than that, and /opt/bin is where systems without packages put them.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin"
LOCK = "/run/hardened-k8s.lock"
#: The last is of a process that ends between the opening of its file and the reading.
_GONE = (FileNotFoundError, NotADirectoryError, ProcessLookupError)
#: What containerd has to say besides.
_REMARK = re.compile(r"time=\S+ level=(?:debug|info|warning) ")


class Done(t.NamedTuple):
    """What a command came to."""

    rc: int
    out: str
    err: str

    def complaint(self) -> str:
        """What it said that went wrong, on one line."""
        lines = [line for line in (self.err or self.out).splitlines() if not _REMARK.match(line)]
        return " ".join(" ".join(lines).split())[-2000:] or f"exit status {self.rc}"


class Node:
    """This machine.

    :param root: what stands for ``/``, which tests have somewhere else.
    :param path: where programs are looked for.
    """

    def __init__(self, root: str = "/", path: str = PATH) -> None:
        self.root = root.rstrip("/")
        self._path = path

    # -- files

    def real(self, path: str) -> str:
        """Where a path of the node is for this process."""
        return self.root + path

    def read(self, path: str) -> t.Optional[bytes]:
        """A file's content; None when there is no such file, or it is of a process that has ended."""
        try:
            with open(self.real(path), "rb") as file:
                return file.read()
        except _GONE:
            return None

    def text(self, path: str) -> str:
        """A file's content as text; empty when there is no such file."""
        return (self.read(path) or b"").decode("utf-8", "replace")

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.real(path))

    def is_folder(self, path: str) -> bool:
        return os.path.isdir(self.real(path))

    def names(self, folder: str) -> t.List[str]:
        """What is in a folder; nothing when there is none."""
        try:
            return sorted(os.listdir(self.real(folder)))
        except _GONE:
            return []

    # -- commands

    def find(self, program: str) -> t.Optional[str]:
        """Where a program is."""
        return shutil.which(program, path=self._path)

    def run(
        self,
        *command: str,
        check: bool = True,
        seconds: float = 300.0,
        stdin: str = "",
        environ: t.Optional[t.Mapping[str, str]] = None,
        before: t.Optional[t.Callable[[], None]] = None,
    ) -> Done:
        """What a command comes to.

        :param check: whether one that fails is an error.
        :param environ: more variables for it.
        :param before: done in the new process, before the command.
        :raises HardenedError: it is not there, is not done in time, or fails.
        """
        settings = {"PATH": self._path, "LC_ALL": "C", "HOME": "/root", **(environ or {})}
        try:
            done = subprocess.run(
                command,
                input=stdin,
                env=settings,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=seconds,
                preexec_fn=before,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise HardenedError(f"{' '.join(command)}: not done in {seconds:.0f} s") from error
        except OSError as error:
            raise HardenedError(f"{command[0]}: {error.strerror}") from error
        result = Done(done.returncode, done.stdout, done.stderr)
        if check and result.rc:
            raise HardenedError(f"{' '.join(command)}: {result.complaint()}")
        return result

    def unit(self, name: str, *properties: str) -> t.Dict[str, str]:
        """Properties of a systemd unit; none where there is no systemd."""
        if not self.find("systemctl"):
            return {}
        done = self.run("systemctl", "show", name, f"--property={','.join(properties)}", check=False)
        lines = (line.partition("=") for line in done.out.splitlines())
        return {key: value for key, equals, value in lines if equals}

    @contextlib.contextmanager
    def alone(self) -> t.Iterator[None]:
        """Nobody else changes this node meanwhile.

        :raises HardenedError: somebody does.
        """
        os.makedirs(os.path.dirname(self.real(LOCK)), exist_ok=True)
        with open(self.real(LOCK), "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HardenedError(
                    "another run is changing this node", "Wait until it is done, then run again"
                ) from None
            yield
