# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One cluster for the whole run, with a machine of each kind among its nodes."""

from __future__ import annotations

import os
import typing as t

import pytest

from tests.support.shells import Pods
from tests.testbed.machines import Nodes
from tests.testbed.modes import remove_orphans

#: The name of one that stays, for the same test again and again.
_KEPT = os.environ.get("HARDENED_K8S_TEST_NODES", "")


@pytest.fixture(scope="session")
def started() -> list[Nodes]:
    """The cluster, once there is one."""
    return []


@pytest.fixture(scope="session", autouse=True)
def _no_orphans() -> None:
    """Nothing of runs that were killed is left."""
    remove_orphans("test-")


@pytest.fixture(scope="session")
def nodes(started: list[Nodes]) -> t.Iterator[Nodes]:
    instance = Nodes(_KEPT or f"test-nodes-{os.getpid()}")
    try:
        started.append(instance.up())
        yield instance
    finally:
        if not _KEPT:
            instance.down()
        elif instance.is_up():
            instance.only(*instance.fleet.names)  # none stays paused, as nobody would know


@pytest.fixture(autouse=True)
def awake(request: pytest.FixtureRequest, started: list[Nodes]) -> None:
    """Only the machines that a test is about run: those that its mark ``machines`` names, or all of them."""
    mark = request.node.get_closest_marker("machines")
    if "nodes" in request.fixturenames:
        cluster: Nodes = request.getfixturevalue("nodes")
        cluster.only(*(mark.args if mark else cluster.fleet.names))
    else:
        for cluster in started:
            cluster.only()


@pytest.fixture(scope="session")
def pods(nodes: Nodes) -> Pods:
    return Pods(nodes)
