# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines that have booted once and were saved with all that they had in memory: every other one goes on from there.

To load a state takes seconds, to boot takes a minute and more where processors are emulated.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import typing as t
from pathlib import Path

from tests.gates.environment import cache, say
from tests.testbed import binaries, disks, emulator, packages
from tests.testbed.cluster import StartError
from tests.testbed.disks import DISKS
from tests.testbed.machine import Machine

#: Of each machine, in MiB: SELinux's policy takes half of it while it is compiled.
MEMORY = 1536
_ARGUMENTS = "root=/dev/vda rw console=ttyS0 net.ifnames=0"
#: Nothing is at work any more, and what has been read from the disk need not be kept.
_SETTLED = "systemctl is-system-running --wait || systemctl --failed --no-legend"
_EMPTY = "sudo journalctl --quiet --sync; sync; echo 3 | sudo tee /proc/sys/vm/drop_caches"


class Saved(t.NamedTuple):
    """A machine that was saved.

    :param disk: the folder of its disk, which nobody writes to.
    :param directory: of what it has written, and of its memory.
    """

    name: str
    disk: Path
    directory: Path

    def start(self, machine: Machine, tap: int | None = None) -> None:
        """Have a machine go on from here.

        :param tap: an open file of :func:`emulator.tap`.
        """
        emulator.overlay(self.directory / "changes", "qcow2", _changes(machine))
        _start(machine, self, emulator.loaded(self.directory / "memory"), tap)

    def boot(self, machine: Machine, tap: int | None = None) -> None:
        """Have a machine that is off boot, from what is on its disk."""
        _start(machine, self, _kernel(self.name, self.disk), tap)


def saved(name: str) -> Saved:
    """The machine of that name, booted and saved if it is not there yet."""
    packages.need(
        qemu_system_i386="qemu-system-x86",  # the program that is needed has an underscore in its name
        qemu_img="qemu-utils",
        setpriv="util-linux",
        ssh="openssh-client",
    )
    disk = disks.disk(name)
    known_by = [disk.name, _ARGUMENTS, _SETTLED, _EMPTY, emulator.version()]
    # what was saved by one accelerator is none of the other's, nor another disk's, which has keys of its own
    accelerator = emulator.accelerator(disk / "kernel")
    known_by += [*emulator.hardware(accelerator, MEMORY, ""), *emulator.network("", 0)]
    known_by.append((disk / "host_key.pub").read_text())
    digest = hashlib.sha256("\0".join(known_by).encode()).hexdigest()[:12]
    home = cache() / "testbed" / f"machine-{name}-{digest}"
    found = Saved(name, disk, home)
    with binaries.alone(home):
        if not (home / "memory").exists():
            start = time.monotonic()
            say(f"booting the machine {name}")
            _boot(found)
            say(f"booted and saved the machine {name} in {time.monotonic() - start:.0f} s")
    return found


def _boot(target: Saved) -> None:
    scratch, disk = target.directory / "scratch", target.disk
    machine = Machine(target.name, scratch)
    machine.stop()  # of one that was interrupted
    shutil.rmtree(scratch, ignore_errors=True)
    (target.directory / "accelerator").write_text(emulator.accelerator(disk / "kernel"))
    try:
        emulator.overlay(disk / "disk", "raw", _changes(machine))
        _start(machine, target, _kernel(target.name, disk), before=emulator.TIED)
        state = machine.run(_SETTLED)
        if state.strip() != "running":
            raise StartError(f"{machine.name} has booted, but not all of it: {state}")
        machine.run(_EMPTY)
        with machine.monitor() as monitor:
            monitor.save(scratch / "memory")
    finally:
        machine.stop()
    for part in ("console.log", "changes", "memory"):  # with the memory, all is there
        (scratch / part).rename(target.directory / part)
    shutil.rmtree(scratch)


def _kernel(name: str, disk: Path) -> list[str]:
    arguments = f"{_ARGUMENTS} {DISKS[name].arguments}".strip()
    return ["-kernel", str(disk / "kernel"), "-initrd", str(disk / "ramdisk"), "-append", arguments]


def _changes(machine: Machine) -> Path:
    """The machine's own disk, of which only what it changes takes room."""
    machine.directory.mkdir(parents=True, exist_ok=True)
    return machine.directory / "changes"


def _start(
    machine: Machine,
    origin: Saved,
    begin: t.Sequence[str],
    tap: int | None = None,
    before: t.Sequence[str] = (),
) -> None:
    """Start QEMU with the machine's own disk.

    :param before: QEMU's command.
    """
    accelerator = (origin.directory / "accelerator").read_text()
    hardware = emulator.hardware(accelerator, MEMORY, f"file={_changes(machine)},format=qcow2")
    machine.start(origin.disk, [*before, *hardware], DISKS[origin.name].mac, begin, tap)
