# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is declared is reached, and nothing else, asked from inside the pods."""

from __future__ import annotations

import json

import pytest

from tests.support.asking import Cluster

SPACE = "molecule-network"


def call(cluster: Cluster, pod: str, to: str) -> str:
    asked = ["exec", f"--namespace={SPACE}", pod, "--", "/boutique", "call", "5s", to]
    _succeeded, said = cluster.run(*asked)
    (outcome,) = json.loads(said)
    return str(outcome["result"])


def address(cluster: Cluster, pod: str) -> str:
    return str(cluster.get("pod", pod, f"--namespace={SPACE}")["status"]["podIP"])


def test_the_declared_flow_is_open_by_name(cluster: Cluster) -> None:
    assert call(cluster, "client", f"server.{SPACE}:8080") == "open"


@pytest.mark.parametrize(
    ("caller", "callee", "port"),
    [
        ("stranger", "server", 8080),
        ("client", "server", 9999),
        ("client", "stranger", 8080),
        ("server", "client", 8080),
    ],
)
def test_any_other_is_blocked(cluster: Cluster, caller: str, callee: str, port: int) -> None:
    assert call(cluster, caller, f"{address(cluster, callee)}:{port}") == "blocked"
