# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What clusters with nodes are made of: images, forwarded connections, packages, verdicts."""

from __future__ import annotations

import concurrent.futures
import fcntl
import hashlib
import importlib.util
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import typing as t
from pathlib import Path

import pytest

from tests.gates.environment import ROOT
from tests.support.boutique import CALLS, HIDDEN_PORT, HOMES, PORTS, SERVICES, pods
from tests.support.reach import verdict
from tests.testbed import binaries, packages
from tests.testbed.cluster import StartError
from tests.testbed.images import Image, Link, layer, save
from tests.testbed.kind import Kind
from tests.testbed.modes import instance, instances
from tests.testbed.node_image import HERE
from tests.testbed.versions import KUBERNETES, PAUSE


@pytest.fixture
def wrapper() -> t.Any:
    """The node's runc for machines without CAP_SYS_RESOURCE, which is no module of a package."""
    path = HERE / "node" / "usr" / "local" / "lib" / "without_sys_resource.py"
    spec = importlib.util.spec_from_file_location("without_sys_resource", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_layer_has_files_that_can_be_executed_links_and_nothing_that_changes(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o775)
    files: dict[str, Path | bytes | Link] = {
        "/bin/program": program,
        "/bin/other": Link("program"),
        "/etc/config": b"x",
    }
    made = layer(files)
    assert made == layer(dict(reversed(files.items())))
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        found = {entry.name: (entry.mode, entry.uid, entry.mtime, entry.linkname) for entry in tar}
    assert found == {
        "bin/other": (0o755, 0, 0, "program"),
        "bin/program": (0o755, 0, 0, ""),
        "etc/config": (0o755, 0, 0, ""),
    }


def test_an_archive_has_each_layer_once_and_says_what_it_is(tmp_path: Path) -> None:
    shared, own = layer({"/a": b"a"}), layer({"/b": b"b"})
    save(
        [Image(["one:1", "two:1"], [shared], {"Entrypoint": ["/a"]}), Image(["three:1"], [shared, own], {})],
        tmp_path / "images.tar",
    )
    with tarfile.open(tmp_path / "images.tar") as tar:
        content = {entry.name: t.cast("t.IO[bytes]", tar.extractfile(entry)).read() for entry in tar}
    first, second = json.loads(content["manifest.json"])
    assert (first["RepoTags"], second["RepoTags"]) == (["one:1", "two:1"], ["three:1"])
    assert [content[name] for name in second["Layers"]] == [shared, own]
    assert first["Layers"] == second["Layers"][:1]
    config = json.loads(content[first["Config"]])
    assert config["config"] == {"Entrypoint": ["/a"]}
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(shared).hexdigest()}"]
    assert len(content) == 5  # two layers, two configurations, the manifest


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["--log", "x", "create", "--bundle", "/b", "id"], "/b/config.json"),
        (["run", "-b", "/b", "id"], "/b/config.json"),
        (["create", "id"], "./config.json"),
        (["exec", "--process", "/p.json", "id"], "/p.json"),
        (["exec", "id", "sh"], ""),
        (["delete", "id"], ""),
    ],
)
def test_what_runc_starts_is_found(wrapper: t.Any, arguments: list[str], file: str) -> None:
    assert wrapper.asked(arguments) == file


def test_what_needs_the_missing_capability_is_taken_out(wrapper: t.Any) -> None:
    process = {"capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "ambient": []}, "oomScoreAdj": -998}
    wrapper.without(process)
    assert process == {"capabilities": {"bounding": ["CAP_CHOWN"], "ambient": []}, "oomScoreAdj": 0}
    wrapper.without(process := {"oomScoreAdj": 5})
    assert process == {"oomScoreAdj": 5}


@pytest.fixture
def forwarded() -> t.Iterator[tuple[socket.socket, tuple[str, int]]]:
    """A listening socket, and where connections to it come out of the other side."""
    with socket.create_server(("127.0.0.1", 0)) as target, socket.create_server(("127.0.0.1", 0)) as listening:
        number = str(listening.fileno())
        command = [sys.executable, "-m", "tests.testbed.forward", number, *map(str, target.getsockname())]
        with subprocess.Popen(command, cwd=ROOT, pass_fds=[listening.fileno()]) as process:
            yield target, listening.getsockname()
            process.kill()


def test_a_forwarded_connection_passes_both_ways_and_ends_where_it_is_ended(
    forwarded: tuple[socket.socket, tuple[str, int]],
) -> None:
    target, address = forwarded
    data = bytes(range(256)) * 10000
    with socket.create_connection(address, timeout=60) as client:
        server, _from = target.accept()
        with server:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: server.recv(65536), b"")) == data
            server.sendall(b"answer")
        assert b"".join(iter(lambda: client.recv(65536), b"")) == b"answer"


def test_where_nobody_listens_a_forwarded_connection_ends(
    forwarded: tuple[socket.socket, tuple[str, int]],
) -> None:
    target, address = forwarded
    target.close()
    with socket.create_connection(address, timeout=60) as client:
        try:
            assert client.recv(1) == b""
        except ConnectionResetError:
            return


def test_what_is_there_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    packages.need(sh="nothing")


def test_who_may_not_install_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(StartError, match=r"need root, and these packages: some-package$"):
        packages.need(no_such_program="some-package", sh="other-package")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StartError, match=r"there is no apt-get here.*some-package"):
        packages.need(no_such_program="some-package")


def test_two_that_miss_the_same_install_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker of a test run finds that it is missing; apt-get refuses where another one is at work."""
    log, tool = tmp_path / "log", tmp_path / "tool"
    (tmp_path / "apt-get").write_text(
        f"#!/bin/sh\nmkdir {tmp_path}/busy || exit 100\necho $2 >> {log}\nsleep 0.3\nrmdir {tmp_path}/busy\n"
        f"test $2 != install || {{ echo > {tool}; chmod 755 {tool}; }}\n"
    )
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(packages, "_POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setenv("HARDENED_K8S_CACHE", str(tmp_path / "cache"))
    with concurrent.futures.ThreadPoolExecutor() as workers:
        for done in [workers.submit(packages.need, tool="some-package") for _worker in range(3)]:
            done.result()
    assert log.read_text().split() == ["update", "install"]
    assert not (tmp_path / "policy-rc.d").exists()


def test_what_kept_services_from_starting_goes_although_the_run_that_made_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "_POLICY", policy)
    policy.write_text(packages._NO)
    with packages._no_services():
        assert policy.exists()
    assert not policy.exists()
    policy.write_text("#!/bin/sh\nexit 0\n")
    with packages._no_services():
        pass
    assert policy.read_text() == "#!/bin/sh\nexit 0\n", "somebody else's"


def test_who_waits_for_packages_waits_for_what_a_run_that_was_killed_still_installs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARDENED_K8S_CACHE", str(tmp_path))
    with binaries.alone(tmp_path / "made") as lock:
        child = subprocess.Popen(["sleep", "60"], pass_fds=[lock])
    try:
        with (tmp_path / "made" / "lock").open("w") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        child.kill()
        child.wait()


def test_an_instance_is_found_as_what_it_was_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that was killed before it was up, so that all of it is cleared away."""
    monkeypatch.setenv("HARDENED_K8S_CACHE", str(tmp_path))
    directory = tmp_path / "run" / "mine"
    directory.mkdir(parents=True)
    about = {"mode": "kind", "Kubernetes": KUBERNETES[0], "network": "bridge"}
    (directory / "begun.json").write_text(json.dumps(about))
    found = instance("mine")
    assert isinstance(found, Kind)
    assert found.network == "bridge"
    assert not found.is_up()
    assert instance("other").mode == "control-plane"
    (directory / "begun.json").write_text('{"mode": "later"}')
    assert instances() == []
    with pytest.raises(ValueError, match="mine is an instance of another checkout, with mode later"):
        instance("mine")


def test_clusters_with_nodes_have_the_newest_kubernetes_only() -> None:
    with pytest.raises(ValueError, match=f"run Kubernetes {KUBERNETES[0]} only"):
        Kind("mine", KUBERNETES[-1])


def test_the_sandbox_image_is_the_one_that_nodes_have() -> None:
    assert f"'registry.k8s.io/pause:{PAUSE}'" in (HERE / "node/etc/containerd/config.toml").read_text()


def test_the_stand_ins_are_the_shops_services_with_its_addresses() -> None:
    manifests = pods("image")
    deployments = {item["metadata"]["name"]: item for item in manifests if item["kind"] == "Deployment"}
    assert deployments.keys() == SERVICES == HOMES.keys()
    services = {item["metadata"]["name"]: item["spec"]["ports"][0] for item in manifests if item["kind"] == "Service"}
    assert {name: port["targetPort"] for name, port in services.items()} == PORTS
    made = set()
    for name, deployment in deployments.items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        for variable in container["env"]:
            if variable["name"].endswith("_ADDR"):
                callee = variable["value"].partition(".")[0]
                assert variable["value"] == f"{callee}.{HOMES[callee]}:{services[callee]['port']}"
                made.add((name, callee, PORTS[callee]))
    assert made == CALLS


def test_a_verdict_tells_what_is_not_enforced_before_what_is_missing() -> None:
    fine = {**dict.fromkeys(CALLS, "open"), ("emailservice", "frontend", 8080): "blocked"}
    assert str(verdict(fine)) == "enforced as declared"
    missing = {**fine, ("frontend", "cartservice", 7070): "blocked"}
    assert str(verdict(missing)) == "1 declared calls fail"
    # refused is not blocked: the network has let it through
    ignored = {**missing, ("emailservice", "frontend", HIDDEN_PORT): "refused"}
    assert str(verdict(ignored)) == "NetworkPolicy is not enforced: 1 undeclared calls are not blocked"
