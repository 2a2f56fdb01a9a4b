# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role kube2iam on a machine with systemd: from the first run to a boot, a firewall's reload, and its removal."""

from __future__ import annotations

import os
import re
import time
import typing as t
from pathlib import Path

import pytest

from tests.gates.environment import ROOT
from tests.support.modules import run_playbook
from tests.testbed.machine import Machine
from tests.testbed.machines import Machines

_SECRET = "bootstrap-secret"
_ASK = "timeout 5 busybox wget -q -O - http://169.254.169.254/latest/user-data"
_ASK_IPV6 = _ASK.replace("169.254.169.254", "[fd00:ec2::254]")
_PODS = 200

#: The machine's surroundings, and what stands in for kubelet, are those of the molecule scenario.
_FILES = ROOT / "molecule" / "kube2iam" / "files"
_UNITS = {
    "world": """\
[Unit]
DefaultDependencies=no
After=local-fs.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /usr/local/lib/bed/world
""",
    "metadata": """\
[Unit]
Requires=world.service
After=world.service
[Service]
Type=simple
ExecStart=/usr/bin/ip netns exec outside /usr/bin/python3 -u /usr/local/lib/bed/metadata_service.py
""",
    "kubelet": f"""\
[Unit]
Wants=metadata.service
After=metadata.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'until ip netns exec outside {_ASK} > /dev/null; do sleep 0.2; done'
ExecStart=/bin/sh /usr/local/lib/bed/kubelet {_PODS}
[Install]
WantedBy=multi-user.target
""",
}


@pytest.fixture(scope="module")
def machines() -> t.Iterator[Machines]:
    """One in no cluster: what it is a node of does not matter here."""
    instance = Machines(f"test-metadata-{os.getpid()}", machines="apparmor")
    try:
        yield instance.up()
    finally:
        instance.down()


@pytest.fixture(scope="module")
def machine(machines: Machines) -> Machine:
    machine = machines.fleet["apparmor"]
    for file in (_FILES / "world", _FILES / "kubelet", ROOT / "tests" / "packets" / "metadata_service.py"):
        put(machine, f"/usr/local/lib/bed/{file.name}", file.read_text())
    machine.run("sudo systemctl disable --now kubelet; sudo rm -rf /etc/systemd/system/kubelet.service*")
    for name, content in _UNITS.items():
        put(machine, f"/etc/systemd/system/{name}.service", content)
    machine.run("sudo systemctl daemon-reload && sudo systemctl enable --quiet kubelet")
    return machine


def put(machine: Machine, path: str, content: str) -> None:
    machine.run(f"sudo mkdir -p {Path(path).parent} && sudo tee {path} > /dev/null", content)


def asked(machine: Machine) -> str:
    """What a pod that is there gets, by IPv4 and by IPv6."""
    return machine.run("".join(f"sudo ip netns exec pod1 {ask} 2>&1 || true; " for ask in (_ASK, _ASK_IPV6)))


def play(machines: Machines, folder: Path, *arguments: str, **variables: str) -> t.Any:
    book = folder / "site.yml"
    book.write_text(
        "[{hosts: k8s_nodes, become: true, gather_facts: false, roles: [{role: hardened.k8s.kube2iam}], vars: {"
        + ", ".join(f"{name}: {value}" for name, value in variables.items())
        + "}}]\n"
    )
    result = run_playbook(str(book), f"--inventory={machines.fleet.inventory}", "--diff", *arguments)
    print(result["output"])  # what changed, where nothing should have
    assert result["rc"] == 0
    return result["stats"]["apparmor"]


def until(machine: Machine, command: str) -> None:
    deadline = time.monotonic() + 1200
    while True:
        try:
            machine.run(command)
            return
        except RuntimeError:
            assert time.monotonic() < deadline, command
            time.sleep(1)


def test_from_the_first_run_to_the_removal(machines: Machines, machine: Machine, tmp_path: Path) -> None:
    machine.run(f"sudo systemctl start metadata && until sudo ip netns exec outside {_ASK}; do sleep 1; done")
    machine.run("sudo sh /usr/local/lib/bed/kubelet 1")
    assert asked(machine).count(_SECRET) == 2, "otherwise what is closed below would prove nothing"
    before = listed(machine)

    assert play(machines, tmp_path, "--check")["changed"] == 1
    assert listed(machine) == before
    assert play(machines, tmp_path)["changed"] == 1
    assert _SECRET not in asked(machine)
    assert machine.run(f"{_ASK}; {_ASK_IPV6}").count(_SECRET) == 2, "the node itself keeps it"
    assert play(machines, tmp_path)["changed"] == 0
    assert play(machines, tmp_path, "--check")["changed"] == 0

    # pods start as soon as kubelet may; their asking is over when the machine is up
    machines.reboot("apparmor")
    until(machine, "systemctl is-active --quiet kubelet || systemctl is-failed --quiet kubelet")
    machine.run("systemctl is-active kubelet || { sudo journalctl --boot --unit kubelet >&2; exit 1; }")
    answers = machine.run("cat /var/lib/asked").splitlines()
    assert len(answers) == 2 * _PODS, "each by IPv4 and by IPv6"
    assert not [answer for answer in answers if _SECRET in answer]
    assert not [answer for answer in answers if "can't connect" not in answer], "each was refused, and none was lost"
    assert play(machines, tmp_path)["changed"] == 0

    # a firewall that is loaded anew, and an administrator
    for flush in (
        *("systemctl restart nftables", "nft flush ruleset"),
        *("ip rule delete priority 82", "ip -6 rule delete priority 82"),
    ):
        machine.run(f"sudo {flush}")
        assert _SECRET not in asked(machine), flush
        until(machine, "sudo sh /etc/hardened-k8s/metadata check")
    assert "They are back" in machine.run("sudo journalctl --unit=hardened-k8s-metadata-restore --output=cat")
    machine.run("sudo systemctl restart systemd-networkd")
    assert _SECRET not in asked(machine)

    assert play(machines, tmp_path, kube2iam_mode="block_only")["changed"] == 1
    assert _SECRET not in asked(machine)
    assert play(machines, tmp_path, kube2iam_state="absent")["changed"] == 1
    assert listed(machine) == before
    assert asked(machine).count(_SECRET) == 2
    assert play(machines, tmp_path, kube2iam_state="absent")["changed"] == 0


def test_kubelet_does_not_start_when_the_rules_cannot_be_put_in_place(
    machines: Machines, machine: Machine, tmp_path: Path
) -> None:
    play(machines, tmp_path)
    machine.run(
        "sudo systemctl stop hardened-k8s-metadata && sudo rm -f /var/lib/asked &&"
        " printf '#!/bin/sh\\nexit 1\\n' | sudo tee /usr/local/sbin/nft && sudo chmod 755 /usr/local/sbin/nft"
    )
    with pytest.raises(RuntimeError, match="dependency"):
        machine.run("sudo systemctl start kubelet")
    assert "asked" not in machine.run("ls /var/lib")
    machine.run("sudo rm /usr/local/sbin/nft")
    machine.run("sudo systemctl reset-failed; sudo systemctl start hardened-k8s-metadata")


def listed(machine: Machine) -> str:
    """All that the role could have left."""
    found = machine.run(
        "sudo sh -c 'nft list tables; ip rule; ip -6 rule; ip -4 address show dev lo; find /etc/systemd/system /etc/hardened*"
        ' -name "*hardened*"; systemctl list-units --all --plain --no-legend "hardened*"\' 2> /dev/null || true'
    )
    return re.sub(r"valid_lft.*", "", found)
