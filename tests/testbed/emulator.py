# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""QEMU: how it is called, what it is told while it runs, and whether this computer's KVM is of use to it."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import json
import os
import shlex
import socket
import struct
import subprocess
import threading
import time
import typing as t
from pathlib import Path

from tests.gates.environment import cache, say
from tests.testbed.cluster import StartError

QEMU = "qemu-system-x86_64"

#: Before a command: it ends with whoever started it, even by ``kill -9``, and with it all that it started. What it
#: mounts goes too.
TIED = ("setpriv", "--pdeathsig", "KILL", "unshare", "--fork", "--kill-child", "--pid", "--mount-proc")

KVM, TCG = "kvm", "tcg"


class EmulatorError(StartError):
    """QEMU refused what it was asked, or has ended."""


@functools.cache
def version() -> str:
    """What QEMU says of itself; a saved state is good for the same one only."""
    return subprocess.run([QEMU, "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]


def accelerator(kernel: Path) -> str:
    """What QEMU runs a machine by: KVM where it serves, otherwise software.

    That there is a device proves nothing: the KVM of some virtual machines runs a BIOS, and no kernel. So a kernel is
    started, without a root, at whose lack it ends; the answer is good until this computer starts again.

    :param kernel: any.
    """
    asked = {"boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(), "qemu": version()}
    memory = cache() / "testbed" / "accelerator.json"
    with contextlib.suppress(FileNotFoundError, ValueError):
        known = json.loads(memory.read_text())
        if {**known, **asked} == known:
            return str(known["accelerator"])
    found = KVM if os.access("/dev/kvm", os.W_OK) and _serves(KVM, kernel) else TCG
    say(f"machines run by {'KVM' if found == KVM else 'emulation: KVM does not serve here'}")
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text(json.dumps({**asked, "accelerator": found}))
    return found


def _serves(accel: str, kernel: Path, seconds: float = 15.0) -> bool:
    """Whether a kernel comes so far as to end."""
    ends = ["-kernel", str(kernel), "-append", "panic=-1", "-no-reboot"]
    command = [*TIED, *_computer(accel, 256), *ends]
    try:
        return subprocess.run(command, capture_output=True, timeout=seconds, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _computer(accel: str, memory: int) -> list[str]:
    # qemu64 has all that Debian needs; what more "max" has is slow to emulate. One processor: two that are emulated wait
    # for each other many times a second, each time until this computer gives the other its turn
    cpu = "host" if accel == KVM else "qemu64"
    options = ["-machine", "pc", "-accel", accel, "-cpu", cpu, "-smp", "1", "-m", str(memory)]
    return [QEMU, *options, "-nodefaults", "-display", "none"]


def hardware(accel: str, memory: int, disk: str) -> list[str]:
    """QEMU's command line but for the network and where it starts.

    In its working directory it has a socket for :class:`Monitor`, and ``console.log``.

    :param memory: in MiB.
    :param disk: as QEMU's ``-drive`` takes it.
    """
    return [
        *_computer(accel, memory),
        *("-drive", f"{disk},if=virtio,cache=unsafe"),  # nobody wants its data after a crash
        *("-device", "virtio-rng-pci"),
        *("-serial", "file:console.log", "-qmp", f"unix:{MONITOR},server=on,wait=off"),
    ]


def network(mac: str, ssh_port: int, tap: int | None = None) -> list[str]:
    """The first network card is for a cluster's network, the second for SSH alone: from there nothing is reached.

    :param mac: the first one's address.
    :param ssh_port: on loopback.
    :param tap: an open file, of :func:`tap`; without one the first card's cable is loose.
    """
    cluster = f"tap,id=cluster,fd={tap}" if tap is not None else "hubport,id=cluster,hubid=0"
    return [
        *("-netdev", cluster, "-device", f"virtio-net-pci,netdev=cluster,mac={mac}"),
        *("-netdev", f"user,id=ssh,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:{ssh_port}-:22"),
        *("-device", "virtio-net-pci,netdev=ssh,mac=52:54:00:00:01:00"),
    ]


def overlay(disk: Path, disk_format: str, changes: Path) -> None:
    """A new disk that is as another one, and keeps only what is written to it."""
    changes.unlink(missing_ok=True)
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", disk_format, "-b", str(disk), str(changes)]
    subprocess.run(create, check=True)


def loaded(state: Path) -> list[str]:
    """Options to go on where a machine was when its state was saved."""
    return ["-incoming", f"exec:cat {shlex.quote(str(state))}"]


MONITOR = "monitor"


class Monitor:
    """A conversation with a QEMU that runs, in QMP.

    :param directory: QEMU's working directory.
    """

    def __init__(self, directory: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        handle = os.open(directory, os.O_PATH)
        try:
            self._socket.connect(f"/proc/self/fd/{handle}/{MONITOR}")  # a socket's own path may be 107 bytes long
        finally:
            os.close(handle)
        self._stream = self._socket.makefile("rw")
        self._read()
        self.ask("qmp_capabilities")

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stream.close()
        self._socket.close()

    def ask(self, command: str, **arguments: t.Any) -> t.Any:
        """What QEMU answers."""
        self._stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._stream.flush()
        while True:
            answer = self._read()
            if "error" in answer:
                raise EmulatorError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def save(self, state: Path) -> None:
        """Stop the machine for good, with all that it has in memory in that file."""
        self.ask("stop")
        self.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.ask("migrate", uri=f"exec:cat > {shlex.quote(str(state))}")
        while (progress := self.ask("query-migrate"))["status"] != "completed":
            if progress["status"] == "failed":
                raise EmulatorError(f"the state could not be saved: {progress.get('error-desc', '')}")
            time.sleep(0.05)
        self.ask("quit")

    def resume(self) -> None:
        """Let it run, when all of its state is loaded: it was stopped when that was saved."""
        while self.ask("query-status")["status"] == "inmigrate":
            time.sleep(0.02)
        self.ask("cont")

    def _read(self) -> dict[str, t.Any]:
        line = self._stream.readline()
        if not line:
            raise EmulatorError("QEMU has ended")
        answer: dict[str, t.Any] = json.loads(line)
        return answer


_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_CLONE_NEWNET = 0x40000000


def tap(namespace: Path, name: str) -> int:
    """A network device that a QEMU is given, in a network namespace in which QEMU itself is not.

    It is there as long as the file is open, so that nothing of it can outlive QEMU.

    :param namespace: such as ``/run/netns/<name>``.
    :returns: the open file.
    """
    found: list[int | OSError] = []

    def opened() -> None:
        try:
            with namespace.open("rb") as there:
                if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(namespace))
            handle = os.open("/dev/net/tun", os.O_RDWR)
            try:
                fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
            except OSError:
                os.close(handle)
                raise
            found.append(handle)
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=opened)  # a namespace is a thread's own, and this one ends in it
    thread.start()
    thread.join()
    (result,) = found
    if isinstance(result, OSError):
        raise result
    return result
