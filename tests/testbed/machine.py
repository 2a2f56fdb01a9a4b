# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One virtual machine: QEMU's process, and the way in by SSH."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import time
import typing as t
from pathlib import Path

from tests.testbed import emulator
from tests.testbed.cluster import StartError, free_ports
from tests.testbed.emulator import Monitor
from tests.testbed.processes import Processes

#: The user that Ansible connects as: a normal one, who can become root.
USER = "ansible"


class Machine:
    """A machine in a folder of its own, where its log is.

    :param name: what it is called everywhere, also by itself.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.ssh_config = directory / "ssh_config"
        #: Where the one connection is that all commands share, as making one takes a second where it is emulated.
        self._shared = directory / "ssh"
        self._processes = Processes(directory / "processes.json")

    # -- life

    def start(
        self, keys: Path, hardware: t.Sequence[str], mac: str, begin: t.Sequence[str], tap: int | None = None
    ) -> None:
        """Start it, and wait until it can be worked on.

        :param keys: the folder of ``key``, the user's private one, and ``host_key.pub``.
        :param hardware: of :func:`emulator.hardware`.
        :param mac: of its network card in a cluster's network.
        :param begin: a kernel to boot, or a state to load.
        :param tap: an open file of :func:`emulator.tap`.
        """
        (port,) = free_ports(1)
        shutil.copy(keys / "key", self.directory)
        (self.directory / "known_hosts").write_text(f"{self.name} {(keys / 'host_key.pub').read_text()}")
        self.ssh_config.write_text(self._settings(port))
        command = [*hardware, *emulator.network(mac, port, tap), *begin]
        files = [] if tap is None else [tap]
        (self.directory / emulator.MONITOR).unlink(missing_ok=True)
        self._processes.start(self.name, command, self.directory / "qemu.log", self.directory, pass_fds=files)
        self._until(self._resume, OSError)
        self._until(self._set_clock, RuntimeError)

    def stop(self) -> None:
        """Switch it off."""
        self._processes.stop()
        self._shared.unlink(missing_ok=True)  # whoever held that connection ends now that it is broken

    def shut_down(self) -> None:
        """Have it end by itself, with all that it has to write on its disk."""
        with contextlib.suppress(RuntimeError):  # it may be quicker than its answer
            self.run("sudo systemctl poweroff --no-block")
        deadline = time.monotonic() + 900
        while self.is_up():
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} does not end: {self._said()}")
            time.sleep(0.2)
        self.stop()

    def is_up(self) -> bool:
        return self.name in self._processes.running()

    def pause(self) -> None:
        """Have it stand still: one that is emulated keeps half a core busy with nothing at all."""
        with self.monitor() as monitor:
            monitor.ask("stop")

    def is_paused(self) -> bool:
        with self.monitor() as monitor:
            return str(monitor.ask("query-status")["status"]) == "paused"

    def go_on(self) -> None:
        """The contrary, at today's time."""
        with self.monitor() as monitor:
            monitor.ask("cont")
        self._until(self._set_clock, RuntimeError)

    def monitor(self) -> Monitor:
        """QEMU's own ear."""
        return Monitor(self.directory)

    def _resume(self) -> None:
        with self.monitor() as monitor:
            monitor.resume()

    def _set_clock(self) -> None:
        """It stood still while the machine was saved."""
        self.run(f"sudo date --set=@{time.time():.3f}", patience=120)

    def _until(self, act: t.Callable[[], None], refusal: type[Exception], seconds: float = 900.0) -> None:
        """Try something until the machine is ready for it."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                act()
            except refusal as error:
                said = self._said()
                if not self.is_up():
                    raise StartError(f"{self.name} has ended: {said}") from error
                if time.monotonic() > deadline:
                    raise StartError(f"{self.name} does not answer: {error}\n{said}") from error
                time.sleep(0.1)
            else:
                return

    def _said(self) -> str:
        """The end of its logs."""
        logs = [self.directory / name for name in ("qemu.log", "console.log")]
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in logs if log.exists())

    # -- use

    @property
    def ssh(self) -> list[str]:
        """The beginning of a command that runs in it, as the user."""
        return ["ssh", "-F", str(self.ssh_config), self.name]

    def run(self, command: str, text: str | None = None, patience: float = 600.0) -> str:
        """What a shell command prints there, as the user.

        :param text: its standard input.
        :raises RuntimeError: with what it complained about.
        """
        try:
            done = subprocess.run(
                [*self.ssh, command], input=text or "", capture_output=True, text=True, timeout=patience, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{self.name}: {command}: not done in {patience:.0f} s") from error
        if done.returncode:
            raise RuntimeError(f"{self.name}: {command}: {done.stderr.strip() or done.stdout.strip()}")
        return str(done.stdout)

    def _settings(self, port: int) -> str:
        settings = {
            "HostName": "127.0.0.1",
            "Port": port,
            "User": USER,
            "IdentityFile": self.directory / "key",
            "IdentitiesOnly": "yes",
            "HostKeyAlias": self.name,
            "UserKnownHostsFile": self.directory / "known_hosts",
            "StrictHostKeyChecking": "yes",
            "ConnectTimeout": 60,
            "LogLevel": "ERROR",
            # the usual one is safe from quantum computers, and takes four times as long
            "KexAlgorithms": "curve25519-sha256",
        }
        if len(bytes(self._shared)) < 107 - len(".0123456789abcdef"):  # a socket's path has a limit
            settings |= {"ControlMaster": "auto", "ControlPath": self._shared, "ControlPersist": "yes"}
        return f"Host {self.name}\n" + "".join(f"    {key} {shlex.quote(str(v))}\n" for key, v in settings.items())
