# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test bed's own rules: what it compiles, whose processes it ends, which faults it injects."""

from __future__ import annotations

import json
import os
import re
import subprocess
import typing as t
from pathlib import Path

import pytest

from tests.support.proxy import FAULTS, fraction
from tests.testbed.__main__ import parser
from tests.testbed.binaries import COMMANDS, SOURCES, digest, go_version, progress
from tests.testbed.cluster import StartError
from tests.testbed.control_plane import ControlPlane
from tests.testbed.lock import MODULES, go_mod, published
from tests.testbed.modes import instances, remove_orphans
from tests.testbed.processes import Processes, started
from tests.testbed.versions import (
    BOUTIQUE,
    CALICO,
    CILIUM,
    CNI_PLUGINS,
    CONTAINERD,
    COREDNS,
    ETCD,
    GO,
    KIND,
    KUBERNETES,
    PAUSE,
    POD_SECURITY,
    POD_SECURITY_POLICY,
    minor,
)


@pytest.fixture
def sleeper() -> t.Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


@pytest.fixture
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where instances are kept, for this test alone."""
    monkeypatch.setenv("HARDENED_K8S_CACHE", str(tmp_path))
    return tmp_path / "run"


LOCKED = sorted(path.parent.name for path in SOURCES.glob("*/go.mod"))


@pytest.mark.parametrize("module", [f"node-{KUBERNETES[0]}", *(f"kube-{version}" for version in KUBERNETES)])
def test_every_module_of_kubernetes_is_of_its_version(module: str) -> None:
    version = module.partition("-")[2]
    text = (SOURCES / module / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{version}\n" in text
    replaced = dict(re.findall(r"^\t(\S+) => \1 (\S+)$", text, re.MULTILINE))
    assert replaced.keys() >= {"k8s.io/api", "k8s.io/apiserver", "k8s.io/kubectl"}
    assert set(replaced.values()) == {f"v0.{minor(version)}.{version.split('.')[2]}"}


@pytest.mark.parametrize("module", LOCKED)
def test_the_oldest_go_is_enough(module: str) -> None:
    found = re.search(r"^go ([\d.]+)$", (SOURCES / module / "go.mod").read_text(), re.MULTILINE)
    assert found
    assert tuple(map(int, found.group(1).split("."))) <= GO


def test_the_libraries_of_kubernetes_are_replaced_by_what_is_published() -> None:
    theirs = """\
module k8s.io/kubernetes

replace k8s.io/kubectl => ./staging/src/k8s.io/kubectl

replace (
\tk8s.io/api => ./staging/src/k8s.io/api
\texample.com/fork => example.com/other v1.0.0
)
"""
    assert published("1.38.1", theirs) == {
        "k8s.io/kubectl": "k8s.io/kubectl v0.38.1",
        "k8s.io/api": "k8s.io/api v0.38.1",
    }


def test_a_lock_asks_for_one_module_its_replacements_and_its_commands() -> None:
    assert go_mod("example.com/m", "1.2.3", {"a": "b v1.0.0"}, ["example.com/m/cmd/x"]).splitlines()[4:] == [
        "require example.com/m v1.2.3",
        "",
        "replace (",
        "\ta => b v1.0.0",
        ")",
        "",
        "tool (",
        "\texample.com/m/cmd/x",
        ")",
    ]


def test_what_is_locked_is_what_is_compiled() -> None:
    """Every program has one version, but Kubernetes several; what lies there unused would only mislead."""
    versions = {
        "agnhost": KUBERNETES[0],
        "boutique": BOUTIQUE,
        "calico-schemas": CALICO,
        "pause": PAUSE,
        "kind": KIND,
        "etcd": ETCD,
        "containerd": CONTAINERD,
        "cni": CNI_PLUGINS,
        "coredns": COREDNS,
        "cilium": CILIUM,
        "node": KUBERNETES[0],
        "psa": POD_SECURITY,
        "psp": POD_SECURITY_POLICY,
    }
    assert {*versions, "kube"} == set(COMMANDS)
    one = (f"{program}-{version}" for program, version in versions.items())
    assert sorted([*one, *(f"kube-{version}" for version in KUBERNETES)]) == LOCKED
    for program in MODULES.keys() & versions.keys():
        text = (SOURCES / f"{program}-{versions[program]}" / "go.mod").read_text()
        assert f"{MODULES[program]} v{versions[program]}" in text
        tools = re.findall(r"^(?:\t|tool )(\S+)$", text, re.MULTILINE)
        assert [package for package in COMMANDS[program].values() if package != "." and package not in tools] == []


def test_a_binary_is_known_by_its_sources_and_flags(tmp_path: Path) -> None:
    one, other = tmp_path / "one.go", tmp_path / "other.go"
    for path in (one, other):
        path.write_text("package main")
    known = digest([one], "-s")
    assert known == digest([one], "-s")
    one.write_text("package main // changed")
    assert len({known, digest([one], "-s"), digest([other], "-s"), digest([other], "-w")}) == 4


def test_progress_names_what_go_is_at() -> None:
    assert progress("") == "at work"
    assert progress("go: downloading k8s.io/api v0.37.2\n") == "1 modules downloaded"
    log = "go: downloading k8s.io/api v0.37.2\nk8s.io/api/core/v1\nk8s.io/api/apps/v1\n"
    assert progress(log) == "2 packages, now k8s.io/api/apps/v1"


def test_the_version_of_a_go_that_does_not_run_is_none(tmp_path: Path) -> None:
    go = tmp_path / "go"
    for script, version in (("echo go version go1.26.8 linux/amd64", (1, 26, 8)), ("exit 1", ())):
        go.write_text(f"#!/bin/sh\n{script}\n")
        go.chmod(0o755)
        assert go_version(str(go)) == version


def test_processes_are_ended_and_forgotten(tmp_path: Path) -> None:
    record = tmp_path / "processes.json"
    processes = Processes(record)
    for name in ("one", "two"):
        processes.start(name, ["sleep", "60"], tmp_path / f"{name}.log", tmp_path)
    running = processes.running()
    assert running.keys() == {"one", "two"}
    assert Processes(record).running() == running
    processes.stop()
    assert not any(map(started, running.values()))
    assert processes.running() == {}
    assert not record.exists()


def test_a_process_that_only_has_the_id_of_an_old_one_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    record = tmp_path / "processes.json"
    record.write_text(json.dumps({"etcd": [sleeper.pid, "1"]}))
    assert Processes(record).running() == {}
    Processes(record).stop()
    assert sleeper.poll() is None


def test_a_process_that_has_ended_is_gone_though_its_parent_has_not_noticed(
    sleeper: subprocess.Popen[bytes],
) -> None:
    assert started(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert started(sleeper.pid) == ""


def test_only_what_a_dead_process_left_is_an_orphan(run_directory: Path, sleeper: subprocess.Popen[bytes]) -> None:
    alive, dead = sleeper.pid, 2**22 + 1  # above the kernel's highest id
    alive_ones = {f"test-{alive}", f"test-{alive}-static", f"other-{dead}", "test-me"}
    for name in (*alive_ones, f"test-{dead}", f"test-{dead}-static", f"test-machines-selinux-{dead}"):
        (run_directory / name).mkdir(parents=True)
        (run_directory / name / "processes.json").write_text("{}")
    remove_orphans("test-")
    assert {instance.name for instance in instances()} == alive_ones


def test_logs_of_one_that_did_not_come_up_are_there_after_it_was_taken_down(
    run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ControlPlane("fails")

    def start() -> None:
        (cluster.directory / "etcd.log").write_text("no space left\n")
        raise StartError("etcd did not start")

    monkeypatch.setattr(cluster, "_prepare", lambda: None)
    monkeypatch.setattr(cluster, "_start", start)
    with pytest.raises(StartError):
        cluster.up()
    cluster.down()
    assert list(run_directory.glob("fails*")) == []
    assert (cluster.failed / "etcd.log").read_text() == "no space left\n"


@pytest.mark.parametrize("name", ["", "../x", "A", "-x", "x" * 62])
def test_a_name_that_is_no_folders_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name of an instance"):
        ControlPlane(name)


def test_what_follows_kubectl_is_kubectls() -> None:
    chosen = parser().parse_args(["kubectl", "--name", "demo", "get", "pods", "--namespace", "x", "-h"])
    assert chosen.name == "demo"
    assert chosen.arguments == ["get", "pods", "--namespace", "x", "-h"]


def test_faults_are_the_same_for_the_same_seed_and_all_kinds_come_in_turn() -> None:
    def drawn(share: float, seed: int) -> list[str]:
        choose = fraction(share, seed)
        return [choose("GET", "/") for _turn in range(200)]

    assert drawn(0.2, 1) == drawn(0.2, 1) != drawn(0.2, 2)
    assert set(drawn(0.2, 1)) == {*FAULTS, ""}
    assert 20 < len([fault for fault in drawn(0.2, 1) if fault]) < 60
    assert drawn(0, 1) == [""] * 200
    assert drawn(1, 1)[: len(FAULTS)] == list(FAULTS)
