# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test bed comes up, knows who asked for what, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import time
import typing as t
from pathlib import Path

import pytest

from tests.testbed.cluster import StartError
from tests.testbed.control_plane import API, COMPONENTS, AuditMark, ControlPlane
from tests.testbed.processes import Processes
from tests.testbed.versions import KUBERNETES


@pytest.fixture
def instance(cluster: ControlPlane, prefix: str) -> t.Iterator[ControlPlane]:
    """Another one, which is not up yet."""
    another = ControlPlane(f"test-{os.getpid()}-{prefix}", cluster.kubernetes)
    yield another
    another.down()


def processes_in(directory: Path) -> list[int]:
    """Those that work in a folder, whoever keeps a record of them."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            place = link.readlink()
        except OSError:  # it has ended, or is another user's
            continue
        if place == directory:
            found.append(int(link.parent.name))
    return found


def test_it_comes_up_once_recovers_from_a_crash_and_leaves_nothing(instance: ControlPlane) -> None:
    instance.up()
    running = Processes(instance.directory / "processes.json").running()
    assert running.keys() == set(COMPONENTS)
    server = instance.server
    assert instance.up().server == server, "the second call found it up"

    os.kill(running[API], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while instance.is_up():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    instance.up()
    assert instance.get("/readyz") == "ok"
    survivors = set(processes_in(instance.directory)) & set(running.values())
    assert not survivors

    instance.down()
    assert processes_in(instance.directory) == []
    assert [path for path in instance.directory.parent.iterdir() if instance.name in path.name] == []


def test_an_instance_is_not_replaced_by_one_of_another_version(cluster: ControlPlane) -> None:
    other = next(version for version in KUBERNETES if version != cluster.kubernetes)
    with pytest.raises(StartError, match=f"is up with mode control-plane, Kubernetes {cluster.kubernetes}: take"):
        ControlPlane(cluster.name, other).up()
    assert cluster.is_up()


def test_a_component_that_does_not_start_is_named_with_what_it_said(
    instance: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.testbed.control_plane._API_FLAGS", "--no-such-flag")
    with pytest.raises(StartError, match=r"(?s)^kube-apiserver of .* has ended; .* unknown flag: --no-such-flag"):
        instance.up()
    assert processes_in(instance.directory) == []


def test_what_was_started_but_not_yet_recorded_is_ended_too(instance: ControlPlane) -> None:
    """Whoever starts it may be killed in between."""
    instance.up()
    (instance.directory / "processes.json").unlink()
    assert len(processes_in(instance.directory)) == len(COMPONENTS)
    instance.down()
    assert processes_in(instance.directory) == []


def test_every_request_is_in_the_log_as_soon_as_it_is_answered(cluster: ControlPlane, prefix: str) -> None:
    for number in range(100):
        mark, path = cluster.audit_mark(), f"/api/v1/namespaces?labelSelector={prefix}-{number}"
        cluster.get(path)
        (event,) = [event for event in cluster.audit(mark) if event["requestURI"] == path]
        assert (event["verb"], event["userAgent"], event["user"]["username"]) == ("list", "testbed", "admin")


def test_what_was_received_before_a_mark_is_not_counted_after_it(cluster: ControlPlane, prefix: str) -> None:
    """As when whoever sent it was killed, and the server answers it all the same."""
    path = f"/api/v1/namespaces?labelSelector={prefix}"
    cluster.get(path)
    offset, late = cluster.audit_mark()
    assert path in [event["requestURI"] for event in cluster.audit()]
    assert path in [event["requestURI"] for event in cluster.audit(AuditMark(0, late[:10]))]
    assert path not in [event["requestURI"] for event in cluster.audit(AuditMark(0, late))]
    assert offset


def test_users_are_who_their_certificates_and_tokens_say(cluster: ControlPlane, prefix: str) -> None:
    def name_and_groups(*options: str) -> list[str]:
        wanted = "jsonpath={.status.userInfo.username} {.status.userInfo.groups[*]}"
        return cluster.kubectl("auth", "whoami", "-o", wanted, *options).split()

    certificate, key = cluster.client_certificate("dana", ["devs"])
    dana = name_and_groups("--client-certificate", str(certificate), "--client-key", str(key))
    assert dana == ["dana", "devs", "system:authenticated"]
    cluster.kubectl("create", "namespace", prefix)
    cluster.kubectl("create", "serviceaccount", "web", "--namespace", prefix)
    web = name_and_groups("--token", cluster.service_account_token(prefix, "web"))
    assert web[0] == f"system:serviceaccount:{prefix}:web"
