# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines come up, go back to where they began, and leave this computer as it was."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from tests.gates.environment import ROOT
from tests.support.shells import Pods
from tests.testbed.cluster import Cluster, StartError
from tests.testbed.disks import DISKS
from tests.testbed.machines import Machines, Nodes


@pytest.fixture
def machines() -> t.Iterator[Machines]:
    """One in no cluster, which is not up yet."""
    instance = Machines(f"test-machines-{os.getpid()}", machines="apparmor")
    yield instance
    instance.down()


def left_behind(machines: Cluster) -> list[str]:
    """Processes that have to do with the instance's folder, files, and network devices of machines."""
    mark, found = bytes(machines.directory), []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if any(mark in (process / name).read_bytes() for name in ("cmdline", "environ")):
                found.append(str(process))
    devices = [str(path) for path in Path("/sys/class/net").glob("tap-*")]
    return [*found, *devices, *map(str, machines.directory.parent.glob(f"{machines.name}*"))]


def test_ansible_manages_them_by_the_inventory(nodes: Nodes) -> None:
    command = ["ansible", "k8s_nodes", f"--inventory={nodes.fleet.inventory}", "--become", "--module-name=command"]
    settings = {
        **os.environ,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
    }
    done = subprocess.run(
        [*command, "--args=id --user --name"], env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {line.partition(" ")[0]: line.rpartition(" ")[2] for line in done.stdout.splitlines()}
    assert found == dict.fromkeys(DISKS, "root")


def test_they_are_nodes_of_the_cluster(nodes: Nodes) -> None:
    listed = json.loads(nodes.kubectl("get", "nodes", "--output=json"))["items"]
    ready = {
        node["metadata"]["name"]: next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready")
        for node in listed
    }
    assert ready.keys() >= DISKS.keys()
    assert set(ready.values()) == {"True"}


def test_a_node_that_is_reset_is_a_new_node(nodes: Nodes, pods: Pods) -> None:
    pods.run("before", "apparmor")
    uid = nodes.get("/api/v1/nodes/apparmor")["metadata"]["uid"]
    nodes.fleet["apparmor"].run("sudo touch /etc/left && sudo systemctl disable --now apparmor")
    nodes.reset("apparmor")
    assert nodes.fleet["apparmor"].run("systemctl is-enabled apparmor; ls /etc/left || true").split() == ["enabled"]
    assert nodes.get("/api/v1/nodes/apparmor")["metadata"]["uid"] != uid
    with pytest.raises(RuntimeError, match="NotFound"):
        nodes.kubectl("get", "pod", "before")
    pods.run("after", "apparmor", appArmorProfile={"type": "RuntimeDefault"})
    assert pods.confinement("after") == "cri-containerd.apparmor.d (enforce)"


def test_machines_come_up_after_some_that_were_killed_and_leave_nothing(machines: Machines) -> None:
    up = [sys.executable, "-m", "tests.testbed", "up", "--mode=machines", "--machines=apparmor"]
    with subprocess.Popen([*up, f"--name={machines.name}"], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while not (machines.directory / "apparmor" / "qemu.log").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not machines.is_up()
    machines.up()
    machine = machines.fleet["apparmor"]
    booted = machine.run("cat /proc/sys/kernel/random/boot_id; echo mine > left")
    machines.up()
    assert machine.run("cat left").strip() == "mine"
    with pytest.raises(StartError, match=r"is up with .*machines apparmor: take it down first"):
        Machines(machines.name, machines="old").up()

    machines.reset("apparmor")
    assert machine.run("ls left 2> /dev/null || cat /proc/sys/kernel/random/boot_id") == booted, "not booted anew"
    assert abs(float(machine.run("date +%s.%N")) - time.time()) < 30, "its clock does not go on where it was saved"
    assert machine.run("systemctl is-active containerd").strip() == "active"
    images = machine.run("sudo ctr --namespace k8s.io images list --quiet").split()
    assert any(name.startswith("registry.k8s.io/pause:") for name in images)

    machines.down()
    assert left_behind(machines) == []


@pytest.mark.machines
def test_nodes_that_were_killed_while_they_join_are_taken_down_and_leave_nothing() -> None:
    instance = Nodes(f"test-joining-{os.getpid()}", machines="old")
    up = [sys.executable, "-m", "tests.testbed", "up", "--mode=nodes", "--machines=old", f"--name={instance.name}"]
    try:
        with subprocess.Popen(up, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            while not (instance.directory / "machines" / "old" / "qemu.log").exists():
                assert process.poll() is None
                time.sleep(0.1)
            process.send_signal(signal.SIGKILL)
        assert not instance.is_up()
    finally:
        instance.down()
    assert left_behind(instance) == []
