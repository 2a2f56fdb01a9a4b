# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster with nodes comes up, also after one that was killed, and leaves the machine as it was."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from tests.gates.environment import ROOT
from tests.testbed.cluster import StartError
from tests.testbed.kind import BRIDGE, NODES, Kind
from tests.testbed.packages import need


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    """What the machine is looked at with."""
    need(ip="iproute2", nft="nftables")


def machine(cluster: Kind) -> dict[str, t.Any]:
    """All that a cluster could leave behind, by kind; other clusters may run meanwhile."""
    commands = {
        "links": ["ip", "-brief", "link"],
        "addresses": ["ip", "-brief", "address"],
        "routes": ["ip", "route", "show", "table", "all"],
        "rules": ["nft", "list", "ruleset"],
    }
    found: dict[str, t.Any] = {
        name: subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        for name, command in commands.items()
    }
    found["mounts"] = sorted(Path("/proc/self/mounts").read_text().splitlines())
    # none is left, so no process of a container is
    found["cgroups"] = sorted(Path("/sys/fs/cgroup").rglob(cluster.daemon.group))
    found["files"] = [cluster.directory.exists(), *sorted(Path("/run").glob("*")), *left_in_tmp()]
    found["kernel"] = dict(kernel_settings())
    found["processes"] = processes(cluster)
    found["modules"] = Path("/lib/modules").exists()
    return found


def left_in_tmp() -> list[Path]:
    return sorted(path for word in ("kind", "docker", "containerd") for path in Path("/tmp").glob(f"*{word}*"))


def kernel_settings() -> t.Iterator[tuple[str, str]]:
    """Those that stay as they are unless somebody sets them."""
    for top in ("kernel", "net", "vm", "fs"):
        for path in Path("/proc/sys", top).rglob("*"):
            try:
                if path.stat().st_mode & 0o200 and path.is_file() and path.name != "ns_last_pid":
                    yield str(path), path.read_text()
            except OSError:  # not for reading
                continue


def processes(cluster: Kind) -> list[str]:
    """Those that have to do with a cluster: that were started for it, or know its folder."""
    found, known = [], bytes(cluster.directory)
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if known in (path / "environ").read_bytes() or known in (path / "cmdline").read_bytes():
                found.append(path.name)
    return found


@pytest.fixture
def cluster() -> t.Iterator[Kind]:
    """One that is not up yet."""
    instance = Kind(f"test-rounds-{os.getpid()}", network="bridge")
    yield instance
    instance.down()


def killed_while_it_comes_up(cluster: Kind, seconds: float) -> None:
    """As if somebody lost patience: the command and nothing else is killed, when it has run that long."""
    command = [sys.executable, "-m", "tests.testbed", "up", "--mode=kind", "--network=bridge", f"--name={cluster.name}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(seconds)
        assert process.poll() is None, "it was up already"
        process.send_signal(signal.SIGKILL)
    assert not cluster.is_up()


def test_it_comes_up_after_one_that_was_killed_and_leaves_nothing(cluster: Kind, pytestconfig: pytest.Config) -> None:
    before = machine(cluster)
    for number in range(pytestconfig.getoption("rounds")):
        killed_while_it_comes_up(cluster, (5.0, 1.0, 9.0, 3.0)[number % 4])
        cluster.up()
        server = cluster.server
        assert cluster.up().server == server, "the second call found it up"
        nodes = cluster.get("/api/v1/nodes")["items"]
        assert {node["metadata"]["name"] for node in nodes} == set(NODES)
        with pytest.raises(StartError, match=r"is up with mode kind.*network bridge: take it down first"):
            Kind(cluster.name, network="cilium").up()
        assert processes(cluster)
        cluster.down()
        assert machine(cluster) == before


def test_one_that_is_killed_is_taken_down_without_coming_up_again(cluster: Kind) -> None:
    before = machine(cluster)
    killed_while_it_comes_up(cluster, 8.0)
    cluster.down()
    assert machine(cluster) == before


def test_what_is_on_the_machine_is_reached_through_the_kubeconfig_alone(cilium: t.Any) -> None:
    """The cluster's network is one of its own: its addresses mean nothing outside, its API server's port does."""
    server = cilium.cluster.server
    assert server.startswith("https://127.0.0.1:")
    assert cilium.cluster.get("/readyz") == "ok"
    inside = cilium.cluster.daemon.run("ip", "-brief", "link")
    outside = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    assert BRIDGE in inside
    assert BRIDGE not in outside
