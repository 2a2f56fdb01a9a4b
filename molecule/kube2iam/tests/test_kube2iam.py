# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pod of the node gets nothing of the node's, and only who may decides on the roles of pods."""

from __future__ import annotations

import json

import pytest
import testinfra
from testinfra.host import Host

from tests.support.asking import Cluster

_ADDRESSES = ("169.254.169.254", "[fd00:ec2::254]")
_ROLES = "iam.amazonaws.com/allowed-roles"


@pytest.fixture
def cluster() -> Cluster:
    """The machine is a node of none; this is the one that the agent was made in."""
    return Cluster(testinfra.get_host("local://"))


@pytest.mark.parametrize("address", _ADDRESSES)
def test_the_node_keeps_its_metadata_and_its_pod_is_refused(host: Host, address: str) -> None:
    ask = f"timeout 5 busybox wget -O - http://{address}/latest/user-data 2>&1"
    with host.sudo():
        assert "bootstrap-secret" in host.check_output(ask)
        done = host.run(f"ip netns exec pod1 {ask}")
    assert "can't connect" in done.stdout
    assert "bootstrap-secret" not in done.stdout


def test_the_rules_come_before_kubelet_and_are_watched(host: Host) -> None:
    assert host.service("hardened-k8s-metadata").is_enabled
    assert host.service("hardened-k8s-metadata-restore.timer").is_running
    with host.sudo():
        assert "hardened-k8s-metadata.service" in host.check_output("systemctl show --property=Requires kubelet")
        host.check_output("sh /etc/hardened-k8s/metadata check")


def test_the_agent_is_there_with_the_smallest_rights(cluster: Cluster) -> None:
    spec = cluster.get("daemonset", "molecule-agent", "--namespace=molecule-agent")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert "--namespace-restrictions" in container["args"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    account = f"molecule-agent:{spec['serviceAccountName']}"
    assert cluster.may(account, "watch", "pods", "molecule-pods", "--all-namespaces")
    assert not cluster.may(account, "get", "secrets", "molecule-pods")
    assert not cluster.may(account, "update", "namespaces", "molecule-pods")


def test_only_named_subjects_change_which_roles_pods_may_have(cluster: Cluster) -> None:
    allowed = cluster.get("namespace", "molecule-pods")["metadata"]["annotations"][_ROLES]
    assert json.loads(allowed) == ["web"]
    change = ["annotate", "namespace", "molecule-pods", f'{_ROLES}=["*"]', "--overwrite", "--dry-run=server"]
    admitted, said = cluster.run(*change, "--as=someone")
    assert not admitted
    assert "which AWS roles pods may have" in said
    admitted, said = cluster.run(*change, "--as=someone", "--as-group=platform")
    assert admitted, said
