# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of virtual machines without starting one."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import threading
import typing as t
from pathlib import Path

import pytest

from tests.testbed import emulator
from tests.testbed.cluster import StartError
from tests.testbed.disks import DISKS
from tests.testbed.emulator import KVM, TCG, Monitor, accelerator
from tests.testbed.kind import GATEWAY, SUBNET
from tests.testbed.machine import Machine
from tests.testbed.machines import Fleet, Machines, address, inventory


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something to try KVM with, on a computer that has the device."""
    monkeypatch.setenv("HARDENED_K8S_CACHE", str(tmp_path))
    monkeypatch.setattr(emulator, "version", lambda: "QEMU emulator version 7.2.0")
    monkeypatch.setattr(os, "access", lambda _path, _mode: True)
    return tmp_path / "kernel"


@pytest.mark.parametrize(("serves", "found"), [(True, KVM), (False, TCG)])
def test_kvm_is_taken_when_it_runs_a_kernel_and_tried_once(
    kernel: Path, monkeypatch: pytest.MonkeyPatch, serves: bool, found: str
) -> None:
    tried: list[Path] = []

    def try_it(_accelerator: str, with_kernel: Path) -> bool:
        tried.append(with_kernel)
        return serves

    monkeypatch.setattr(emulator, "_serves", try_it)
    assert [accelerator(kernel), accelerator(kernel)] == [found, found]
    assert tried == [kernel]
    monkeypatch.setattr(emulator, "version", lambda: "QEMU emulator version 8.0.0")
    assert accelerator(kernel) == found
    assert tried == [kernel, kernel], "another QEMU is tried again"


def test_a_note_that_was_cut_off_is_written_anew(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = kernel.parent / "testbed" / "accelerator.json"
    note.parent.mkdir()
    note.write_text('{"boot"')
    monkeypatch.setattr(emulator, "_serves", lambda *_asked: False)
    assert accelerator(kernel) == TCG
    assert json.loads(note.read_text())["accelerator"] == TCG


def test_nothing_is_reached_from_the_card_for_ssh_and_it_is_reached_from_here_alone() -> None:
    options = emulator.network("52:54:00:00:00:01", 20222)
    (ssh,) = (option for option in options if option.startswith("user,"))
    assert {"restrict=on", "hostfwd=tcp:127.0.0.1:20222-:22"} <= set(ssh.split(","))
    assert not any("fd=" in option for option in options)
    assert any("fd=7" in option for option in emulator.network("52:54:00:00:00:01", 20222, tap=7))


def test_a_path_of_a_state_is_one_word_to_the_shell_that_reads_it() -> None:
    assert emulator.loaded(Path("/a b/memory")) == ["-incoming", "exec:cat '/a b/memory'"]


class Answers:
    """QEMU's side of a conversation: each line that is asked gets the next of these."""

    def __init__(self, directory: Path, answers: t.Sequence[dict[str, t.Any]]) -> None:
        self.asked: list[str] = []
        self._answers = answers
        self._listening = socket.socket(socket.AF_UNIX)
        here = os.open(directory, os.O_PATH)
        self._listening.bind(f"/proc/self/fd/{here}/{emulator.MONITOR}")
        os.close(here)
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _address = self._listening.accept()
        self._listening.close()
        with connection, connection.makefile("rw") as stream:
            for answer in [{"QMP": {}}, {"return": {}}, *self._answers]:
                stream.write(json.dumps({"event": "RESUME"}) + "\n" if "return" in answer else "")
                stream.write(json.dumps(answer) + "\n")
                stream.flush()
                self.asked.append(json.loads(stream.readline() or '{"execute": ""}')["execute"])


def test_a_machine_is_let_go_when_all_of_its_state_is_there(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)  # longer than a socket's path may be
    deep.mkdir()
    states: list[dict[str, t.Any]] = [{"return": {"status": status}} for status in ("inmigrate", "inmigrate", "paused")]
    qemu = Answers(deep, [*states, {"return": {}}])
    with Monitor(deep) as monitor:
        monitor.resume()
    assert qemu.asked[:5] == ["qmp_capabilities", "query-status", "query-status", "query-status", "cont"]


def test_what_qemu_refuses_is_told(tmp_path: Path) -> None:
    Answers(tmp_path, [{"error": {"desc": "no such command"}}])
    with Monitor(tmp_path) as monitor, pytest.raises(StartError, match=r"^fly: no such command$"):
        monitor.ask("fly")


def test_machines_in_a_cluster_have_addresses_of_their_own() -> None:
    addresses = [ipaddress.ip_interface(address(name)) for name in DISKS]
    (_first_half, second_half) = ipaddress.ip_network(SUBNET).subnets(1)
    assert len(set(addresses)) == len({disk.mac for disk in DISKS.values()}) == len(DISKS)
    assert all(found.ip in second_half and str(found.network) == SUBNET for found in addresses)
    assert ipaddress.ip_address(GATEWAY) not in {found.ip for found in addresses}


def test_the_inventory_says_how_to_get_in(tmp_path: Path) -> None:
    found = inventory([Machine("apparmor", tmp_path / "apparmor")])["k8s_nodes"]["hosts"]["apparmor"]
    assert found["ansible_python_interpreter"] == "/usr/bin/python3"
    assert found["ansible_ssh_common_args"] == f"-F {tmp_path}/apparmor/ssh_config"


def test_machines_of_the_same_name_share_no_connection(tmp_path: Path) -> None:
    """Otherwise what is played on one is done to the other, as long as that one's connection is kept open."""
    two = (inventory([Machine("apparmor", tmp_path / name / "apparmor")]) for name in ("one", "two"))
    paths = [found["k8s_nodes"]["hosts"]["apparmor"]["ansible_control_path"] for found in two]
    assert len({path % {"directory": "/cp"} for path in paths}) == 2
    assert all(path.startswith("%(directory)s/") for path in paths)


def test_a_machine_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^there is no machine windows: choose from apparmor,selinux,old$"):
        Fleet(tmp_path, "apparmor,windows")


def test_machines_are_up_while_their_processes_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that another command started, which named others."""
    monkeypatch.setenv("HARDENED_K8S_CACHE", str(tmp_path))
    there = Machines("one", machines="apparmor")
    machine = there.fleet["apparmor"]
    machine.directory.mkdir(parents=True)
    assert not there.fleet.is_up()
    machine._processes.start("apparmor", ["sleep", "60"], tmp_path / "log", tmp_path)
    other = Machines("one", machines="old")
    assert other.fleet.is_up()
    other.fleet.stop()
    assert not machine.is_up()
