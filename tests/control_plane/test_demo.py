# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the README has people type first does what it says, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.gates.environment import ROOT
from tests.testbed.control_plane import ControlPlane
from tests.testbed.modes import instances

pytestmark = pytest.mark.slow


def demo(action: str, **variables: str) -> str:
    """What it prints.

    :raises AssertionError: it fails.
    """
    command = [sys.executable, "-m", "tests.demo", action]
    settings = {**os.environ, **variables}
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_cluster_of_its_own_is_hardened_and_taken_down(cluster: ControlPlane, prefix: str) -> None:
    name = f"test-{os.getpid()}-{prefix}"
    variables = {"DEMO_NAME": name, "DEMO_ON": cluster.mode}
    try:
        said = demo("up", **variables)
        assert "can-i patch deployments --namespace boutique-shop --as dana --as-group boutique-deployers\nyes" in said
        assert "can-i get secrets --namespace boutique-shop --as dana --as-group boutique-deployers\nno" in said
        assert said.count("privileged") > 1, "the question, and why it is refused"
    finally:
        demo("down", **variables)
    assert name not in [instance.name for instance in instances()]


def test_a_cluster_that_is_there_has_nothing_left_of_it(cluster: ControlPlane) -> None:
    variables = {"DEMO_USE_KUBECONFIG": "1", "KUBECONFIG": str(cluster.kubeconfig)}
    try:
        demo("up", **variables)
        assert "boutique-shop" in cluster.kubectl("get", "namespaces")
    finally:
        demo("down", **variables)
    assert "boutique-shop" not in cluster.kubectl("get", "resourcequota,networkpolicies,rolebindings", "-A")
