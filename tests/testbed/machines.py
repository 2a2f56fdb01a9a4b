# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual machines whose kernels enforce: by themselves, with containerd running, or as nodes of a kind cluster.

Each begins where it was saved: booted, and in no cluster. That it has joined one cannot be saved for good,
since every cluster has keys of its own.
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import json
import os
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.testbed import emulator
from tests.testbed.cluster import Cluster, StartError
from tests.testbed.disks import DISKS
from tests.testbed.kind import BRIDGE, CONTROL_PLANE, GATEWAY, SUBNET, Kind
from tests.testbed.machine import Machine
from tests.testbed.saved import saved
from tests.testbed.versions import KUBERNETES

ALL = ",".join(DISKS)

#: How Ansible goes about it: an emulated machine takes its time to answer, and each new connection costs it some.
_PATIENCE = {
    "ansible_pipelining": True,
    "ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=600s",
    "ansible_ssh_timeout": 300,
}


class Fleet:
    """The machines of one instance.

    :param directory: the instance's.
    :param names: some of :data:`DISKS`, with commas.
    """

    def __init__(self, directory: Path, names: str) -> None:
        unknown = [name for name in names.split(",") if name not in DISKS]
        if unknown:
            raise ValueError(f"there is no machine {', '.join(unknown)}: choose from {ALL}")
        self.names = names.split(",")
        self.inventory = directory / "inventory.yml"
        self._directory = directory

    def __getitem__(self, name: str) -> Machine:
        if name not in self.names:
            raise KeyError(name)
        return Machine(name, self._directory / name)

    def is_up(self) -> bool:
        """Whether whatever was started here runs, these machines or others."""
        machines = self._started()
        return bool(machines) and all(machine.is_up() for machine in machines)

    def prepare(self) -> None:
        """Make those that are missing, one after the other."""
        for name in self.names:
            saved(name)

    def start(self, name: str, tap: t.Callable[[str], int] | None = None) -> None:
        """Start a machine where it was saved; where it runs, it is as if it never had.

        :param tap: makes the device of that name, in the network that the machine is to be plugged into.
        """
        self[name].stop()
        self._begin(name, saved(name).start, tap)

    def reboot(self, name: str, tap: t.Callable[[str], int] | None = None) -> None:
        """Shut a machine down, and start it from what is on its disk."""
        self[name].shut_down()
        self._begin(name, saved(name).boot, tap)

    def cut_power(self, name: str, tap: t.Callable[[str], int] | None = None) -> None:
        """Switch a machine off in the middle of what it does, and start it from what is on its disk by then."""
        self[name].stop()
        self._begin(name, saved(name).boot, tap)

    def _begin(
        self, name: str, begin: t.Callable[[Machine, int | None], None], tap: t.Callable[[str], int] | None
    ) -> None:
        handle = _plugged(tap, f"tap-{name}") if tap else None
        try:
            begin(self[name], handle)
        finally:
            if handle is not None:
                os.close(handle)

    def stop(self) -> None:
        for machine in self._started():
            machine.stop()

    def each(self, act: t.Callable[[str], None]) -> None:
        """Do something with every machine, at the same time."""
        with ThreadPoolExecutor(len(self.names)) as pool:
            for _done in pool.map(act, self.names):
                pass

    def _started(self) -> list[Machine]:
        folders = (self._directory / name for name in DISKS)
        return [Machine(folder.name, folder) for folder in folders if folder.is_dir()]

    def write_inventory(self) -> None:
        """For Ansible; it stays the same, whatever becomes of the machines."""
        content = json.dumps(inventory([self[name] for name in self.names]), indent=2)
        self.inventory.write_text(f"# YAML, as JSON is\n{content}\n")


def _plugged(tap: t.Callable[[str], int], device: str) -> int:
    """The device, once the machine that was switched off a moment ago has let go of it."""
    for _attempt in range(100):
        try:
            return tap(device)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(0.1)
    raise StartError(f"{device} is still in use")


def inventory(machines: t.Iterable[Machine]) -> dict[str, t.Any]:
    """Ansible's, with all of them in the group ``k8s_nodes``.

    Each has a connection of its own that is kept open: by itself, Ansible would take that of another instance's
    machine, as it is of the same name.
    """
    hosts = {
        machine.name: {
            "ansible_ssh_common_args": f"-F {machine.ssh_config}",
            "ansible_control_path": f"%(directory)s/{hashlib.sha256(bytes(machine.ssh_config)).hexdigest()[:10]}",
            "ansible_python_interpreter": "/usr/bin/python3",
            **_PATIENCE,
        }
        for machine in machines
    }
    return {"k8s_nodes": {"hosts": hosts}}


class Machines(Cluster):
    """Machines in no cluster.

    :param machines: their names, with commas.
    """

    mode = "machines"

    def __init__(self, name: str = "default", kubernetes: str = KUBERNETES[0], machines: str = ALL) -> None:
        super().__init__(name, kubernetes)
        self.fleet = Fleet(self.directory, machines)

    def reset(self, machine: str) -> None:
        """Put it back to where it began, whatever has become of it."""
        self.fleet.start(machine)

    def reboot(self, machine: str) -> None:
        """Shut it down, and start it from what is on its disk."""
        self.fleet.reboot(machine)

    def cut_power(self, machine: str) -> None:
        """Switch it off in the middle of what it does, and start it from what is on its disk."""
        self.fleet.cut_power(machine)

    def is_up(self) -> bool:
        return bool(self.description()) and self.fleet.is_up()

    def _wanted(self) -> dict[str, str]:
        return {**super()._wanted(), "machines": ",".join(self.fleet.names)}

    def _prepare(self) -> None:
        self.fleet.prepare()

    def _start(self) -> None:
        self.fleet.write_inventory()
        self.fleet.each(self.fleet.start)

    def _stop(self) -> None:
        super()._stop()
        self.fleet.stop()


class Nodes(Kind):
    """A kind cluster that machines have joined as workers.

    :param machines: their names, with commas.
    """

    mode = "nodes"
    families = "ipv4"  # as what the machines are plugged into

    def __init__(
        self, name: str = "default", kubernetes: str = KUBERNETES[0], network: str = "bridge", machines: str = ALL
    ) -> None:
        if network != "bridge":
            raise ValueError("machines can be reached from pods on the network bridge only")
        super().__init__(name, kubernetes, network)
        self.fleet = Fleet(self.directory / "machines", machines)

    def reset(self, machine: str) -> None:
        """Put it back to where it began, whatever has become of it: a new node, with no pods but those of all nodes."""
        on_it = f"--field-selector=spec.nodeName={machine}"
        self.fleet[machine].stop()
        self.kubectl("delete", "pods", "--all-namespaces", on_it, "--force", "--grace-period=0", "--ignore-not-found")
        self.kubectl("delete", "node", machine, "--ignore-not-found")
        self._join(machine)

    def only(self, *machines: str) -> None:
        """Pause all machines but these, and wait until these are ready where they were paused."""
        for name in self.fleet.names:
            machine = self.fleet[name]
            if name not in machines:
                machine.pause()
            elif machine.is_paused():
                self._until_node_again(name, machine.go_on)

    def reboot(self, machine: str) -> None:
        """Shut a node down, start it from what is on its disk, and wait until it is ready again."""
        self._until_node_again(machine, lambda: self.fleet.reboot(machine, self._tap))

    def cut_power(self, machine: str) -> None:
        """Switch a node off in the middle of what it does, start it from what is on its disk, and wait until it is ready."""
        self._until_node_again(machine, lambda: self.fleet.cut_power(machine, self._tap))

    def _renewed(self, machine: str) -> str:
        """When a node last said that it is alive."""
        lease = self.get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{machine}")
        return str(lease["spec"]["renewTime"])

    def _until_node_again(self, machine: str, act: t.Callable[[], None]) -> None:
        """Do something that a node comes back from, and wait until it has."""
        before = self._renewed(machine)
        act()
        deadline = time.monotonic() + 600
        while self._renewed(machine) == before:  # until then the node is taken for what it was
            if time.monotonic() > deadline:
                raise StartError(f"{machine} runs again, and is no node again")
            time.sleep(1)
        self.kubectl("wait", "--for=condition=Ready", f"node/{machine}", "--timeout=600s")

    def is_up(self) -> bool:
        return super().is_up() and self.fleet.is_up()

    def _wanted(self) -> dict[str, str]:
        return {**super()._wanted(), "machines": ",".join(self.fleet.names)}

    def _prepare(self) -> None:
        super()._prepare()
        self.fleet.prepare()

    def _start(self) -> None:
        super()._start()
        (self.directory / "machines").mkdir()
        self.fleet.write_inventory()
        self.fleet.each(self._join)

    def _stop(self) -> None:
        self.fleet.stop()
        super()._stop()

    def _join(self, name: str) -> None:
        """Start a machine, and have kubeadm make it a node."""
        self.fleet.start(name, self._tap)
        join = self.node(CONTROL_PLANE, "kubeadm", "token", "create", "--print-join-command").strip()
        control_plane = self.node(CONTROL_PLANE, "hostname", "-i").split()[0]
        machine = self.fleet[name]
        try:
            machine.run(_JOIN.format(address=address(name), gateway=GATEWAY, control_plane=control_plane, join=join))
            # kubeadm is content when kubelet has its certificate, before it has made itself known
            for condition in ("create", "condition=Ready"):
                self.kubectl("wait", f"--for={condition}", f"node/{name}", "--timeout=600s")
        except RuntimeError as error:
            said = machine.run("sudo journalctl --quiet --no-pager --lines=40 --unit=kubelet --unit=containerd")
            raise StartError(f"{name} did not become a node: {error}\n{said}") from error

    def _tap(self, device: str) -> int:
        handle = emulator.tap(Path(f"/proc/{self.daemon.pid()}/ns/net"), device)
        try:
            self.daemon.run("ip", "link", "set", device, "master", BRIDGE, "up")
        except RuntimeError:
            os.close(handle)
            raise
        return handle


def address(machine: str) -> str:
    """Its own in the cluster's network: one of the last, as containers get the first."""
    network = ipaddress.ip_network(SUBNET)
    return f"{network.broadcast_address - DISKS[machine].number}/{network.prefixlen}"


_JOIN = (
    """\
set -o errexit
sudo tee /etc/systemd/network/cluster.network > /dev/null << NETWORK
[Match]
Name=eth0

[Network]
Address={address}
Gateway={gateway}
NETWORK
address={address}
echo "KUBELET_EXTRA_ARGS=--node-ip=${{address%/*}}" | sudo tee /etc/default/kubelet > /dev/null
echo "{control_plane} """
    + CONTROL_PLANE
    + """" | sudo tee --append /etc/hosts > /dev/null
sudo networkctl reload
until ip route | grep -q ^default; do sleep 0.2; done
sudo {join} --ignore-preflight-errors=all
"""
)
