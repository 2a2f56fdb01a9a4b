# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machines' kernels forbid what they are told to, and only that; a test of a role rests on this."""

from __future__ import annotations

import typing as t

import pytest
import testinfra
from testinfra.host import Host

from tests.support.shells import Pods
from tests.testbed.disks import DISKS
from tests.testbed.kind import WORKER
from tests.testbed.machines import Nodes

_MOUNT = "mkdir -p /tmp && mount -t tmpfs tmpfs /tmp && mount | grep -c ' on /tmp '"
_ADMIN = {"capabilities": {"add": ["SYS_ADMIN"]}}

#: All but writing below one folder.
_PROFILE = """\
profile testbed flags=(attach_disconnected) {
  file,
  capability,
  signal,
  deny /srv/closed/** w,
}
"""
_CONTAINER = "runcon system_u:system_r:container_t:s0:c1,c2"
_ENABLE_SELINUX = """\
version = 3
[plugins.'io.containerd.cri.v1.runtime']
enable_selinux = true
"""


def machine(nodes: Nodes, name: str) -> Host:
    """As testinfra sees it, by the inventory that the bed has written."""
    return testinfra.get_host(f"ansible://{name}?ansible_inventory={nodes.fleet.inventory}")


@pytest.mark.parametrize("name", DISKS)
def test_who_connects_is_a_normal_user_that_may_become_root(nodes: Nodes, name: str) -> None:
    host = machine(nodes, name)
    assert host.user().name == "ansible"
    assert host.run("cat /etc/shadow").failed
    with host.sudo():
        assert host.user().name == "root"
        assert host.run("cat /etc/shadow").succeeded


@pytest.mark.parametrize("name", DISKS)
def test_a_machine_reaches_nothing_but_its_cluster(nodes: Nodes, name: str) -> None:
    """Not even what listens on this computer, by the address that QEMU has for it."""
    host = machine(nodes, name)
    assert host.run("curl --silent --insecure --max-time 20 https://kind-control-plane:6443/readyz").stdout == "ok"
    port = nodes.server.rpartition(":")[2]
    assert host.run(f"curl --silent --insecure --max-time 3 https://10.0.2.2:{port}/readyz").failed


# -- AppArmor


@pytest.mark.machines("apparmor")
def test_apparmor_denies_what_a_profile_denies(nodes: Nodes) -> None:
    host = machine(nodes, "apparmor")
    with host.sudo():
        host.run_expect([0], f"mkdir --parents /srv/closed /srv/open && echo '{_PROFILE}' | apparmor_parser --replace")
        write = "sh -c 'echo x > /srv/%s/file'"
        assert host.run(write % "closed").succeeded, "without the profile"
        assert host.run(f"aa-exec --profile=testbed -- {write % 'open'}").succeeded
        denied = host.run(f"aa-exec --profile=testbed -- {write % 'closed'}")
        assert denied.failed
        assert "Permission denied" in denied.stderr


@pytest.mark.machines("apparmor")
def test_apparmor_confines_pods(pods: Pods) -> None:
    pods.run("confined", "apparmor", appArmorProfile={"type": "RuntimeDefault"}, **_ADMIN)
    pods.run("unconfined", "apparmor", appArmorProfile={"type": "Unconfined"}, **_ADMIN)
    assert pods.confinement("confined") == "cri-containerd.apparmor.d (enforce)"
    assert pods.confinement("unconfined") == "unconfined"
    assert pods.sh("unconfined", _MOUNT).strip() == "1"
    with pytest.raises(RuntimeError, match="ermission denied"):
        pods.sh("confined", _MOUNT)


@pytest.mark.machines
def test_where_there_is_no_apparmor_a_pod_that_asks_for_it_is_refused(nodes: Nodes, pods: Pods) -> None:
    """On a node of kind, which is why there are machines."""
    pods.create("refused", WORKER, appArmorProfile={"type": "RuntimeDefault"})
    nodes.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/refused", "--timeout=60s")
    message = nodes.kubectl("get", "pod", "refused", "--output=jsonpath={.status.message}")
    assert "Cannot enforce AppArmor: AppArmor is not enabled on the host" in message


# -- SELinux


@pytest.fixture
def enforcing(nodes: Nodes) -> t.Iterator[Host]:
    """The machine in enforcing mode, for one test: as it comes, new containers do not start in that."""
    host = machine(nodes, "selinux")
    with host.sudo():
        assert host.check_output("getenforce") == "Permissive"
        host.run_expect([0], "setenforce 1")
        yield host
        host.run_expect([0], "setenforce 0")


@pytest.mark.machines("selinux")
def test_selinux_denies_only_when_it_enforces(nodes: Nodes) -> None:
    host = machine(nodes, "selinux")
    with host.sudo():
        assert host.check_output(f"{_CONTAINER} id --context") == "system_u:system_r:container_t:s0:c1,c2"
        assert host.run(f"{_CONTAINER} cat /etc/shadow").succeeded


@pytest.mark.machines("selinux")
def test_selinux_denies_a_container_and_not_the_user(enforcing: Host) -> None:
    denied = enforcing.run(f"{_CONTAINER} cat /etc/shadow")
    assert denied.failed
    assert "Permission denied" in denied.stderr
    assert enforcing.run("cat /etc/shadow").succeeded
    assert enforcing.check_output("id --context") == "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"


@pytest.mark.machines("selinux")
def test_selinux_labels_pods_each_with_categories_of_its_own(nodes: Nodes, pods: Pods) -> None:
    """When containerd is told to, which it is not as it comes."""
    pods.run("unlabelled", "selinux")
    assert ":container_t:" not in pods.confinement("unlabelled")
    host = machine(nodes, "selinux")
    with host.sudo():
        host.run_expect([0], "mkdir --parents /etc/containerd/conf.d")
        host.run_expect([0], f'echo "{_ENABLE_SELINUX}" > /etc/containerd/conf.d/selinux.toml')
        host.run_expect([0], "systemctl restart containerd")
    labels = set()
    for name in ("one", "two"):
        pods.run(name, "selinux")
        user, role, domain, _sensitivity, *categories = pods.confinement(name).split(":")
        assert (user, role, domain) == ("system_u", "system_r", "container_t")
        labels.add(tuple(categories))
        assert len(categories[0].split(",")) == 2
    assert len(labels) == 2


# -- older systems


def test_the_old_machine_is_old_and_its_pods_run(nodes: Nodes, pods: Pods) -> None:
    versions = {name: nodes.get(f"/api/v1/nodes/{name}")["status"]["nodeInfo"] for name in DISKS}
    assert versions["old"]["containerRuntimeVersion"].startswith("containerd://1.6.")
    assert versions["apparmor"]["containerRuntimeVersion"].startswith("containerd://2.")
    assert machine(nodes, "old").check_output("stat --file-system --format=%T /sys/fs/cgroup") == "tmpfs"
    assert machine(nodes, "apparmor").check_output("stat --file-system --format=%T /sys/fs/cgroup") == "cgroup2fs"
    pods.run("on-old", "old")
    assert ":memory:/kubelet/" in pods.sh("on-old", "cat /proc/1/cgroup")
