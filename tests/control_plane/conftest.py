# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One API server for the whole run; each test has namespaces of its own."""

from __future__ import annotations

import os
import typing as t
import uuid

import pytest

from tests.support.modules import Result, run_module
from tests.testbed.control_plane import ControlPlane
from tests.testbed.modes import remove_orphans
from tests.testbed.versions import KUBERNETES

_INSTANCES = "test-"


@pytest.fixture(scope="session")
def cluster() -> t.Iterator[ControlPlane]:
    """The API server, in the version that HARDENED_K8S_TEST_KUBERNETES names; compiled where it is missing.

    Each worker of pytest-xdist has one of its own, so that nobody else's requests are counted.
    """
    remove_orphans(_INSTANCES)  # of runs that were killed
    version = os.environ.get("HARDENED_K8S_TEST_KUBERNETES") or KUBERNETES[0]
    instance = ControlPlane(f"{_INSTANCES}{os.getpid()}", version)
    try:
        yield instance.up()
    finally:
        instance.down()


@pytest.fixture
def prefix() -> str:
    """The beginning of names that no other test uses."""
    return f"t{uuid.uuid4().hex[:8]}"


class Runner(t.Protocol):
    def __call__(self, module: str, check: bool = False, diff: bool = False, **params: t.Any) -> Result: ...


@pytest.fixture
def run(cluster: ControlPlane) -> Runner:
    """Runs a module as the administrator: ``run("tenant", tenants=[...])``."""

    def call(module: str, check: bool = False, diff: bool = False, **params: t.Any) -> Result:
        return run_module(module, {"kubeconfig": cluster.config, **params}, check=check, diff=diff)

    return call


class Requests:
    """The requests of one kind of client since a mark, from the API server's own audit log."""

    def __init__(self, cluster: ControlPlane) -> None:
        self._cluster = cluster
        self._mark = cluster.audit_mark()

    def sent(self) -> list[tuple[str, str]]:
        """(verb, URI) of each request that a module of this collection sent."""
        return [
            (event["verb"], event["requestURI"])
            for event in self._cluster.audit(self._mark)
            if event.get("userAgent", "").startswith("hardened.k8s")
        ]

    def writes(self) -> list[tuple[str, str]]:
        """Those that are not mere reading: dry runs count too."""
        return [(verb, uri) for verb, uri in self.sent() if verb not in ("get", "list")]


@pytest.fixture
def requests(cluster: ControlPlane) -> t.Callable[[], Requests]:
    """Call it to begin counting."""
    return lambda: Requests(cluster)
