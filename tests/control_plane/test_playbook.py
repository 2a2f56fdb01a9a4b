# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook and the example, as a user runs them."""

from __future__ import annotations

import pytest

from tests.gates.environment import ROOT
from tests.support.modules import run_playbook
from tests.testbed.control_plane import ControlPlane

EXAMPLE = ROOT / "playbooks" / "examples" / "online_boutique.yml"
SPACES = {f"boutique-{layer}" for layer in ("load", "web", "shop", "checkout", "data")}


def test_one_run_hardens_the_example_a_second_changes_nothing_and_absent_undoes_it(cluster: ControlPlane) -> None:
    def harden(*arguments: str) -> dict[str, int]:
        environ = {
            "K8S_AUTH_KUBECONFIG": str(cluster.kubeconfig),
            # as ansible-core 2.24 will have it
            "ANSIBLE_INJECT_FACT_VARS": "false",
        }
        result = run_playbook("hardened.k8s.harden", "-e", f"@{EXAMPLE}", *arguments, environ=environ)
        assert result["rc"] == 0, result["output"]
        stats: dict[str, int] = result["stats"]["localhost"]
        return stats

    def spaces() -> set[str]:
        return {item["metadata"]["name"] for item in cluster.get("/api/v1/namespaces")["items"]} & SPACES

    assert harden("--check", "--diff")["changed"] == 1
    assert spaces() == set()
    assert harden()["changed"] == 1
    assert spaces() == SPACES
    assert harden()["changed"] == 0
    assert harden("--check")["changed"] == 0
    as_team = ["--as=dev", "--as-group=boutique-deployers", "-n", "boutique-web"]
    assert cluster.kubectl("auth", "can-i", "patch", "deployments.apps", *as_team).strip() == "yes"
    with pytest.raises(RuntimeError):  # kubectl says no, and ends with 1
        cluster.kubectl("auth", "can-i", "get", "secrets", *as_team)
    assert harden("-e", "cluster_state=absent")["changed"] == 1
    assert spaces() == set()


def test_an_empty_list_prunes_nothing(cluster: ControlPlane) -> None:
    environ = {"K8S_AUTH_KUBECONFIG": str(cluster.kubeconfig)}
    result = run_playbook("hardened.k8s.harden", "-e", "cluster_prune=true", environ=environ)
    assert result["rc"] != 0
    assert "would delete all that owner tenant has" in result["output"]
