# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A docker daemon of the bed's own, which no other one on the machine notices.

It lives in a network, mount and process namespace of its own: its bridges, addresses and rules are in a network that
only it has, and when its first process is killed, the kernel ends every container and unmounts everything.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from tests.gates.environment import ROOT
from tests.testbed import packages
from tests.testbed.cluster import StartError
from tests.testbed.processes import Processes

_CGROUPS = Path("/sys/fs/cgroup")
#: What it is remembered by among the instance's processes.
DOCKERD = "dockerd"

#: As process 1 of its namespace. Where docker and containerd keep sockets and mounts is a /run of their own; what
#: docker would make, as every node has the machine's modules, goes there too, and what containerd says when it is ended.
_INIT = """\
set -o errexit
mount -t tmpfs tmpfs /run
mkdir /run/upper /run/work /run/tmp
export TMPDIR=/run/tmp
if [ ! -d /lib/modules ]; then
  lib="$(readlink -f /lib)"
  mount -t overlay overlay -o "lowerdir=$lib,upperdir=/run/upper,workdir=/run/work" "$lib"
  mkdir /lib/modules
fi
ip link set lo up
dockerd "$@" &
wait "$!"
"""


class Daemon:
    """The daemon of one instance.

    :param directory: the instance's.
    :param data: where it keeps its images and containers.
    :param dns: whom containers ask about names of the outside, which there is none of: one who refuses at once.
    """

    def __init__(self, directory: Path, data: Path, processes: Processes, dns: str = "127.0.0.1") -> None:
        self._directory = directory
        self._data = data
        self._processes = processes
        self._dns = dns
        self._socket = directory / "docker.sock"
        #: Every container is below this cgroup.
        self.group = f"hardened-k8s-{hashlib.sha256(bytes(directory)).hexdigest()[:12]}"

    # -- life

    def start(self) -> None:
        """Start it, and wait until it answers."""
        packages.need(dockerd="docker.io", docker="docker.io", iptables="iptables", ip="iproute2", unshare="util-linux")
        if len(bytes(self._socket)) > 107:
            raise StartError(f"a socket's path has 107 characters at most: {self._socket}")
        (self._directory / "docker.json").write_text(json.dumps(self._settings()))
        self._take_part()
        command = [
            *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("bash", "-c", _INIT, "bash", "--config-file", str(self._directory / "docker.json")),
        ]
        self._processes.start(DOCKERD, command, self._directory / "dockerd.log", self._directory)
        deadline = time.monotonic() + 60
        while not self._answers():
            if DOCKERD not in self._processes.running() or time.monotonic() > deadline:
                said = (self._directory / "dockerd.log").read_text()[-3000:]
                raise StartError(f"dockerd did not start; its log ends with:\n{said}")
            time.sleep(0.05)

    def _take_part(self) -> None:
        """Let containers have their part of a busy machine: a cgroup counts as one process unless it says more."""
        cpu = _CGROUPS / "cpu"
        group = (cpu if cpu.is_dir() else _CGROUPS) / self.group
        group.mkdir(exist_ok=True)
        for name, part in (("cpu.shares", "16384"), ("cpu.weight", "1600")):  # cgroup v1, cgroup v2
            with contextlib.suppress(OSError):
                (group / name).write_text(part)

    def _settings(self) -> dict[str, t.Any]:
        settings: dict[str, t.Any] = {
            "hosts": [f"unix://{self._socket}"],
            "data-root": str(self._data),
            "bridge": "none",
            "dns": [self._dns],
            "cgroup-parent": f"/{self.group}",
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "storage-driver": "overlay2",
            "log-driver": "json-file",
        }
        if not _bounding_set() >> 24 & 1:  # CAP_SYS_RESOURCE, which runc cannot give then
            runc = ROOT / "tests" / "testbed" / "node" / "usr" / "local" / "bin" / "without-sys-resource"
            settings |= {"runtimes": {"bed": {"path": str(runc)}}, "default-runtime": "bed"}
        return settings

    def _answers(self) -> bool:
        if not self._socket.exists():
            return False
        with contextlib.suppress(RuntimeError):
            return bool(self.docker("version", "--format", "{{.Server.Version}}"))
        return False

    def shut_down(self) -> None:
        """End it in good order, so that what it keeps can be used again."""
        os.kill(_child(self.pid()), signal.SIGTERM)
        deadline = time.monotonic() + 30
        while DOCKERD in self._processes.running() and time.monotonic() < deadline:
            time.sleep(0.05)
        self._processes.stop()

    def clear(self) -> None:
        """Remove what it leaves outside its folders, once its processes are gone: empty cgroups."""
        roots = [_CGROUPS] if (_CGROUPS / "cgroup.procs").exists() else list(_CGROUPS.iterdir())
        for root in roots:
            top = root / self.group
            deadline = time.monotonic() + 10
            while top.exists() and not top.parent.is_symlink():
                for directory, _directories, _files in os.walk(top, topdown=False):
                    with contextlib.suppress(OSError):  # the last process leaves a little later than it ends
                        Path(directory).rmdir()
                if time.monotonic() > deadline:
                    raise StartError(f"{top} is still in use")
                time.sleep(0.01)

    # -- use

    @property
    def environ(self) -> dict[str, str]:
        """What docker and kind have to know, nothing of the user's own settings."""
        return {
            **os.environ,
            "DOCKER_HOST": f"unix://{self._socket}",
            "DOCKER_CONFIG": str(self._directory / "docker-client"),
            "PATH": os.pathsep.join(["/usr/bin", "/usr/sbin", os.environ["PATH"]]),
        }

    def docker(self, *arguments: str, text: str | None = None) -> str:
        """What a docker command prints.

        :param text: its standard input.
        :raises RuntimeError: with what it complained about.
        """
        return output(["docker", *arguments], environ=self.environ, text=text)

    def pid(self) -> int:
        """Process 1 of its namespaces."""
        return _child(self._processes.running()[DOCKERD])

    def enter(self) -> list[str]:
        """The beginning of a command that is to run in its namespaces, such as ``[*enter(), "ip", "link"]``."""
        return ["nsenter", "--target", str(self.pid()), "--net", "--mount", "--pid"]

    def run(self, *command: str) -> str:
        """What a command in its namespaces prints.

        :raises RuntimeError: with what it complained about.
        """
        return output([*self.enter(), *command], environ=self.environ)

    def background(self, name: str, *command: str) -> None:
        """Start a command in its namespaces, which ends with it.

        :param name: what it is remembered by.
        """
        self._processes.start(name, [*self.enter(), *command], self._directory / f"{name}.log", self._directory)

    def forward(self, name: str, port: int, address: str, to: int) -> None:
        """Make a port of its network one of this machine's, at 127.0.0.1, as long as it runs.

        :param name: what the forwarding process is remembered by.
        """
        with socket.create_server(("127.0.0.1", port), backlog=128) as listening:
            command = ["nsenter", "--target", str(self.pid()), "--net", sys.executable]
            command += ["-m", "tests.testbed.forward", str(listening.fileno()), address, str(to)]
            log = self._directory / f"{name}.log"
            self._processes.start(name, command, log, ROOT, pass_fds=[listening.fileno()])


def output(command: t.Sequence[str], *, environ: t.Mapping[str, str], text: str | None = None) -> str:
    """What a command prints.

    :raises RuntimeError: with what it complained about.
    """
    done = subprocess.run(command, env=environ, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _child(pid: int) -> int:
    """The first process that a process started."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _bounding_set() -> int:
    """The capabilities that processes started here can ever have."""
    lines = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["CapBnd"], 16)
