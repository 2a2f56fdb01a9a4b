# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that is busy, breaks, or answers into the void; a run that is killed; two runs at once."""

from __future__ import annotations

import itertools
import random
import threading
import typing as t

import pytest

from tests.control_plane.conftest import Runner
from tests.support.examples import OBJECTS, tenant
from tests.support.modules import run_module, spawn_module
from tests.support.proxy import FAULTS, FaultProxy, fraction
from tests.testbed.control_plane import ControlPlane

SHARE = 0.2


def failed(result: dict[str, t.Any]) -> str:
    return str(result.get("msg", "")) if result.get("failed") else ""


@pytest.mark.parametrize("seed", [1, 2])
def test_faults_on_a_fifth_of_the_requests_lose_nothing_and_do_nothing_twice(
    cluster: ControlPlane, run: Runner, prefix: str, seed: int
) -> None:
    tenants = [tenant(f"{prefix}-{index}") for index in range(4)]
    with FaultProxy(cluster, fraction(SHARE, seed)) as proxy:
        options = {"kubeconfig": proxy.config, "owner": prefix, "prune": True}
        first = run_module("tenant", {**options, "tenants": tenants})
        assert not failed(first)
        changed = run_module(
            "tenant", {**options, "tenants": [tenant(f"{prefix}-0", labels={"team": "b"}), *tenants[1:3]]}
        )
        assert not failed(changed)
        assert set(FAULTS) <= set(proxy.counts), "each kind of fault was there"
    assert len(first["objects"]) == 4 * OBJECTS
    again = run(
        "tenant", owner=prefix, prune=True, tenants=[tenant(f"{prefix}-0", labels={"team": "b"}), *tenants[1:3]]
    )
    assert not again["changed"]
    assert f"{prefix}-3" not in cluster.kubectl("get", "namespaces", "-o", "name")


def test_an_object_whose_answer_was_lost_is_reported_as_what_was_done(cluster: ControlPlane, prefix: str) -> None:
    lost = {"left": 3}

    def choose(method: str, _path: str) -> str:
        if method == "PATCH" and lost["left"]:
            lost["left"] -= 1
            return "lost"
        return ""

    with FaultProxy(cluster, choose) as proxy:
        result = run_module("tenant", {"kubeconfig": proxy.config, "tenants": [tenant(prefix)]})
    assert not failed(result)
    assert {item["action"] for item in result["objects"]} == {"create"}


def test_a_server_that_stays_busy_is_an_error_and_not_a_traceback(
    cluster: ControlPlane, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection.ATTEMPTS", 3)
    with FaultProxy(cluster, lambda method, _path: "error" if method == "PATCH" else "") as proxy:
        result = run_module("namespace", {"kubeconfig": proxy.config, "namespaces": [{"name": prefix}]})
    assert "HTTP 500" in failed(result)
    assert result["problems"][0]["name"] == prefix


@pytest.mark.slow
def test_a_run_that_is_killed_is_completed_by_the_next(cluster: ControlPlane, run: Runner, prefix: str) -> None:
    source = random.Random(prefix)
    tenants = [tenant(f"{prefix}-{index}") for index in range(10)]
    incomplete = 0
    for round_number in range(30):
        labels = {"round": str(round_number)}
        wanted = [{**item, "labels": labels, "quota": {"pods": round_number}} for item in tenants]
        # the label and the quota alone are twenty writes
        _kill_at_write(source.randint(1, 20), cluster, {"owner": prefix, "tenants": wanted})
        if round_number % 5 == 4:
            completed = run("tenant", owner=prefix, tenants=wanted)
            assert not failed(completed)
            incomplete += completed["changed"]
            assert not run("tenant", owner=prefix, tenants=wanted)["changed"]
    assert incomplete, "no run was killed before its last write"


def _kill_at_write(number: int, cluster: ControlPlane, options: dict[str, t.Any]) -> None:
    """Run the module, and kill it when it sends its so many-th write."""
    left, reached = itertools.count(number - 1, -1), threading.Event()

    def choose(method: str, _path: str) -> str:
        if method == "PATCH" and next(left) <= 0:
            reached.set()
        return ""

    with FaultProxy(cluster, choose) as proxy:
        process = spawn_module("tenant", {"kubeconfig": proxy.config, **options})
        assert reached.wait(timeout=120), f"{number} writes were expected"
        process.kill()
        process.wait()


def test_two_runs_at_once_both_end_well_or_say_why(cluster: ControlPlane, run: Runner, prefix: str) -> None:
    tenants = [tenant(f"{prefix}-{index}") for index in range(6)]
    processes = [spawn_module("tenant", {"kubeconfig": cluster.config, "tenants": tenants}) for _run in range(2)]
    codes = [process.wait(timeout=120) for process in processes]
    assert codes == [0, 0]
    assert not run("tenant", tenants=tenants)["changed"]


def test_a_slow_server_is_waited_for(cluster: ControlPlane, prefix: str) -> None:
    barrier = threading.Event()

    def choose(method: str, _path: str) -> str:
        first = method == "PATCH" and not barrier.is_set()
        if first:
            barrier.set()
        return "slow" if first else ""

    with FaultProxy(cluster, choose) as proxy:
        result = run_module("tenant", {"kubeconfig": proxy.config, "tenants": [tenant(prefix)]})
        assert proxy.counts["slow"] == 1
    assert not failed(result)
