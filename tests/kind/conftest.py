# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clusters whose pods run, one for each pod network; the example runs in them, and is hardened while it runs."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

import pytest

from tests.support.boutique import EXAMPLE_FILE, HOMES, as_list, pods
from tests.support.modules import run_playbook
from tests.support.reach import Reach, Shop, verdict
from tests.testbed import binaries
from tests.testbed.kind import BRIDGE, Kind
from tests.testbed.modes import remove_orphans
from tests.testbed.node_image import BOUTIQUE

#: Where a cloud's instances ask for their own credentials.
METADATA = "169.254.169.254:80"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rounds", type=int, default=1, help="how many times a cluster comes and goes; default: 1")


@contextlib.contextmanager
def running(network: str) -> t.Iterator[Kind]:
    remove_orphans("test-")  # of runs that were killed
    cluster = Kind(f"test-{network}-{os.getpid()}", network=network)
    try:
        yield cluster.up()
    finally:
        cluster.down()


class Hardened(t.NamedTuple):
    """The example in a cluster, with what was reached before and after it was hardened."""

    cluster: Kind
    shop: Shop
    before: Reach
    after: Reach
    #: Whether each service reached the metadata service, before and after.
    metadata_before: dict[str, str]
    metadata_after: dict[str, str]


def harden(network: str, patience: float) -> t.Iterator[Hardened]:
    with running(network) as cluster:
        serve_metadata(cluster)
        shop = deploy(cluster)
        before = settled(shop, lambda reach: set(reach.values()) == {"open"}, patience=60)
        metadata_before = metadata(shop)
        settings = {"K8S_AUTH_KUBECONFIG": str(cluster.kubeconfig)}
        result = run_playbook("hardened.k8s.harden", "-e", f"@{EXAMPLE_FILE}", environ=settings)
        assert result["rc"] == 0, result["output"]
        after = settled(shop, lambda reach: not any(verdict(reach)), patience)
        yield Hardened(cluster, shop, before, after, metadata_before, metadata(shop))


@pytest.fixture(scope="session")
def cilium() -> t.Iterator[Hardened]:
    """Where the network enforces policies."""
    yield from harden("cilium", patience=60)


@pytest.fixture(scope="session")
def bridge() -> t.Iterator[Hardened]:
    """Where it does not."""
    yield from harden("bridge", patience=0)


def serve_metadata(cluster: Kind) -> None:
    """A service at the metadata address, next to the nodes and not on them, as clouds have it."""
    address, _colon, port = METADATA.partition(":")
    cluster.daemon.run("ip", "address", "add", f"{address}/32", "dev", BRIDGE)
    environ = [f"ADDRESS={address}", f"PORT={port}", "SERVICE=metadata"]
    cluster.daemon.background("metadata", "env", *environ, str(binaries.boutique()))


def deploy(cluster: Kind) -> Shop:
    """The shop as somebody runs it who has not heard of hardening."""
    namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in set(HOMES.values())]
    accounts = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": space}}
        for name, space in HOMES.items()
    ]
    cluster.kubectl("apply", "--filename=-", text=as_list([*namespaces, *accounts, *pods(BOUTIQUE)]))
    for name, space in HOMES.items():
        cluster.kubectl("rollout", "status", f"deployment/{name}", f"--namespace={space}", "--timeout=180s")
    return Shop(cluster)


def metadata(shop: Shop) -> dict[str, str]:
    return {
        service: shop.call(service, METADATA, patience="5s")[METADATA]
        for service in ("frontend", "redis-cart", "loadgenerator")
    }


def settled(shop: Shop, expected: t.Callable[[Reach], bool], patience: float) -> Reach:
    """What is reached, once it is as expected, or still is not: pods and networks take a while to follow."""
    deadline = time.monotonic() + patience
    while True:
        found = shop.reach("3s")
        if expected(found) or time.monotonic() > deadline:
            return found
