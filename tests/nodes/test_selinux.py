# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role selinux: on a machine by itself, whose faults are put back, and on a node of a cluster, whose pods it confines."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import typing as t

import pytest

from tests.gates.environment import ROOT
from tests.nodes.playing import OnMachine, is_ready, printed
from tests.support.shells import Pods
from tests.testbed.disks import SHELL
from tests.testbed.machines import Machines, Nodes

_SHARED = [{"target": "/srv/shared(/.*)?", "setype": "container_file_t"}]
_LABELS = (
    "find /usr/local/bin /etc/containerd /etc/selinux /etc/hardened-k8s /opt/cni /etc/cni -type f -exec stat --format='%C %n' {} +"
    " 2> /dev/null | sort"
)
_MODULES = "semodule --list-modules=full | grep -v '^100 ' || true"
_UNIT = "/etc/systemd/system/containerd.service.d"
#: By which containerd does not come up again once it is to label containers.
_BREAK = """\
[Service]
ExecStartPre=/usr/bin/test ! -e /etc/containerd/conf.d/50-selinux.toml
"""
#: Or for a long time does not.
_HANG = """\
[Service]
ExecStartPre=/bin/sh -c "test ! -e /etc/containerd/conf.d/50-selinux.toml || exec sleep 1001"
TimeoutStartSec=infinity
"""


class State(t.NamedTuple):
    """All that the role could have changed."""

    files: str
    labels: str
    modules: str
    enforcing: str
    booleans: str
    silent: str


def state(node: OnMachine) -> State:
    return State(
        node.files(),
        node.run(_LABELS),
        node.run(_MODULES),
        mode(node),
        node.run("cat /sys/fs/selinux/booleans/* 2> /dev/null | md5sum"),
        node.run("ls /var/lib/selinux/default/active/disable_dontaudit 2> /dev/null || true"),
    )


def mode(node: OnMachine) -> str:
    return {"0": "permissive", "1": "enforcing"}[node.run("cat /sys/fs/selinux/enforce").strip()]


def next_boot(node: OnMachine) -> str:
    return node.run("grep ^SELINUX= /etc/selinux/config").strip().partition("=")[2]


def domain(node: OnMachine, program: str) -> str:
    return node.run(f"ps -o label= -C {program}").split(":")[2]


# -- a machine by itself


@pytest.fixture(scope="module")
def machines() -> t.Iterator[Machines]:
    instance = Machines(f"test-machines-selinux-{os.getpid()}", machines="selinux")
    try:
        yield instance.up()
    finally:
        instance.down()


@pytest.fixture(scope="module")
def alone(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> OnMachine:
    return OnMachine(machines.fleet, "selinux", tmp_path_factory.mktemp("selinux"))


@pytest.mark.parametrize(
    ("fault", "options", "said"),
    [
        (
            "true",
            {"modules": [{"name": "wrong", "cil": "(allow nobody_knows_t self (file (read)))"}]},
            "wrong/cil:2",
        ),
        (
            f"mkdir -p {_UNIT}; printf '{_BREAK}' > {_UNIT}/break.conf; systemctl daemon-reload",
            {},
            "systemctl restart containerd.service",
        ),
    ],
    ids=["a module that does not compile", "a containerd that does not come up again"],
)
def test_what_fails_is_put_back(alone: OnMachine, fault: str, options: dict[str, t.Any], said: str) -> None:
    alone.run(fault)
    before = state(alone)
    try:
        failed = alone.play("selinux", stage="observe", health_timeout=60, **options)
        assert failed["rc"] != 0
        assert said in printed(failed)
        assert "Everything was put back" in printed(failed)
        assert state(alone) == before
        assert alone.run("systemctl is-active containerd").strip() == "active"
    finally:
        alone.run(f"rm -f {_UNIT}/break.conf; systemctl daemon-reload")


def test_from_check_mode_over_enforcing_to_undo(alone: OnMachine) -> None:
    alone.run("mkdir -p /srv/shared && touch /srv/shared/file")
    before = state(alone)
    shown = alone.play("selinux", "--check", "--diff", fcontexts=_SHARED)
    assert (shown["rc"], shown["changed"]) == (0, 1), shown["output"]
    for said in (
        "+enable_selinux = true",
        "label of /usr/local/bin/containerd: system_u:object_r:bin_t:s0 -> system_u:object_r:dockerd_exec_t:s0",
        "mode: permissive -> enforcing",
    ):
        assert said in shown["output"]
    assert state(alone) == before

    first = alone.applied("selinux", fcontexts=_SHARED)
    assert first["changed"] == 2, "made, and confirmed"
    assert (mode(alone), next_boot(alone), domain(alone, "containerd")) == ("enforcing", "enforcing", "dockerd_t")
    assert alone.run(f"ctr --namespace k8s.io run --rm {SHELL} trial echo started") == "started\n"
    second = alone.applied("selinux", fcontexts=_SHARED)
    assert second["changed"] == 0
    assert second["ok"] + second["skipped"] <= 8

    assert alone.applied("selinux", state="absent")["changed"] == 1
    assert state(alone) == before


def test_a_switch_that_cuts_everybody_off_is_put_back_by_the_node_itself(machines: Machines, alone: OnMachine) -> None:
    """sshd may not run the program that a new session begins with: nobody notices while one is still connected."""
    machines.reset("selinux")
    alone.run("chcon --type=shadow_t $(ls /usr/lib/openssh/sshd-session)")
    cut = alone.play("selinux", hold=60)
    assert cut["rc"] != 0
    assert cut["unreachable"] == 1, cut["output"]
    deadline = time.monotonic() + 600
    found = ""
    while found != "permissive":
        assert time.monotonic() < deadline, f"it is {found or 'out of reach'}"
        with contextlib.suppress(RuntimeError):  # nobody gets in
            found = mode(alone)
        time.sleep(5)
    assert (found, next_boot(alone)) == ("permissive", "permissive")


def test_a_power_cut_half_way_is_put_back_by_the_next_boot(machines: Machines, alone: OnMachine) -> None:
    """The policy is rebuilt and the labels are changed; containerd is being restarted."""
    machines.reset("selinux")
    alone.run(f"mkdir -p {_UNIT}; printf '{_HANG}' > {_UNIT}/break.conf; systemctl daemon-reload")
    before = state(alone)
    run = threading.Thread(target=lambda: alone.play("selinux", stage="observe", fcontexts=_SHARED))
    run.start()
    alone.run("until pgrep --full --exact 'sleep 1001'; do sleep 1; done")
    assert state(alone) != before
    machines.cut_power("selinux")
    run.join()
    alone.run("until systemctl is-active --quiet containerd; do sleep 1; done")
    assert state(alone) == before
    assert alone.run("systemctl is-failed hardened-k8s-undo.service || true").strip() != "failed"


# -- a node of a cluster


@pytest.fixture(scope="module")
def node(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> OnMachine:
    nodes.only("selinux")
    nodes.reset("selinux")  # as other tests have had it
    return OnMachine(nodes.fleet, "selinux", tmp_path_factory.mktemp("selinux-node"))


def hardened(node: OnMachine, **options: t.Any) -> dict[str, t.Any]:
    """By the playbook, which learns that this node has SELinux."""
    given = {f"selinux_{name}": value for name, value in options.items()}
    result = node.playbook(f"{ROOT}/playbooks/harden.yml", given, "--limit=selinux", "--tags=selinux")
    assert result["rc"] == 0, result["output"]
    return result


@pytest.mark.machines("selinux")
def test_a_node_enforces_with_its_pods_and_after_a_boot(nodes: Nodes, pods: Pods, node: OnMachine) -> None:
    node.run("mkdir -p /srv/shared /srv/closed && echo it > /srv/shared/file && echo it > /srv/closed/file")
    pods.run("before", "selinux")
    assert ":container_t:" not in pods.confinement("before")

    first = hardened(node, fcontexts=_SHARED, health_timeout=600, hold=900)
    assert (mode(node), next_boot(node)) == ("enforcing", "enforcing")
    assert (domain(node, "containerd"), domain(node, "kubelet")) == ("dockerd_t", "kubelet_t")
    assert is_ready(nodes, "selinux")
    assert "selinux/started-before" in printed(first)
    assert "default/before" in printed(first)
    assert pods.sh("before", "echo lives").strip() == "lives"
    assert pods.typed("before", "[ -t 1 ] && echo lives").strip() == "lives"
    again = hardened(node, fcontexts=_SHARED)
    assert again["changed"] == 0, again["output"]

    labels = []
    for name in ("one", "two"):
        pods.run(name, "selinux", volumes={"/shared": "/srv/shared", "/closed": "/srv/closed", "/scratch": ""})
        user, role, domain_, *level = pods.confinement(name).split(":")
        assert (user, role, domain_) == ("system_u", "system_r", "container_t")
        labels.append(":".join(level))
        assert pods.sh(name, "cat /var/run/secrets/kubernetes.io/serviceaccount/token").count(".") == 2
        assert pods.sh(name, "echo x > /scratch/x && cat /scratch/x").strip() == "x"
        assert pods.sh(name, "cat /shared/file").strip() == "it"
        with pytest.raises(RuntimeError, match="ermission denied"):
            pods.sh(name, "cat /closed/file")
    assert len(set(labels)) == 2, "two pods have the same categories"
    assert f"system_u:system_r:container_t:{labels[0]}" in node.run("ps -eo label")
    # another one, as root, as if it had broken out: a pod's files and the node's own
    (scratch,) = node.run(f"find /var/lib/kubelet/pods -path '*{uid(nodes, 'two')}*' -name x").split()
    pods.run("burglar", "selinux", volumes={"/other": os.path.dirname(scratch), "/node": "/etc"})
    for path in ("/other/x", "/node/shadow"):
        with pytest.raises(RuntimeError, match="ermission denied"):
            pods.sh("burglar", f"cat {path}")
    assert pods.sh("two", "cat /scratch/x").strip() == "x"

    told = node.play("selinux", "--check", fcontexts=_SHARED)
    assert "is refused (selinux/host-path)" in printed(told)
    assert "/srv/closed" in printed(told)

    nodes.reboot("selinux")
    assert mode(node) == "enforcing"
    pods.run("later", "selinux")
    assert ":container_t:" in pods.confinement("later")

    pods.delete("one", "two", "burglar")
    hardened(node, state="absent", health_timeout=600)
    assert mode(node) == "permissive"
    assert is_ready(nodes, "selinux")
    assert pods.sh("later", "echo lives").strip() == "lives"


def uid(nodes: Nodes, pod: str) -> str:
    return str(nodes.get(f"/api/v1/namespaces/default/pods/{pod}")["metadata"]["uid"])
