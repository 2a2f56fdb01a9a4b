# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Subjects may do what was declared and nothing else, asked in their own names."""

from __future__ import annotations

import pytest

from tests.support.asking import Cluster

SPACE = "molecule-rbac"


@pytest.mark.parametrize(
    ("verb", "resource", "expected"),
    [
        ("get", "configmap/web", True),
        ("get", "configmap/other", False),
        ("list", "configmaps", False),
        ("get", "secrets", False),
    ],
)
def test_a_service_account_reads_its_own(cluster: Cluster, verb: str, resource: str, expected: bool) -> None:
    assert cluster.may(f"{SPACE}:web", verb, resource, SPACE) is expected
    assert not cluster.may(f"{SPACE}:web", verb, resource, "default")


@pytest.mark.parametrize(
    ("verb", "resource", "expected"),
    [
        ("patch", "deployments.apps", True),
        ("get", "pods/log", True),
        ("create", "deployments.apps", False),
        ("create", "pods/exec", False),
        ("get", "secrets", False),
    ],
)
def test_a_team_rolls_out(cluster: Cluster, verb: str, resource: str, expected: bool) -> None:
    group = "--as-group=molecule-deployers"
    name, _slash, below = resource.partition("/")
    options = [f"--subresource={below}"] if below else []
    assert cluster.may("ann", verb, name, SPACE, group, *options) is expected
    assert not cluster.may("ann", verb, name, SPACE, "--as-group=others", *options)
