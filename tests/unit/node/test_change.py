# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A change of a node happens as a whole or not at all, wherever it fails and whoever puts it back."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import time
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.node import api, change, health, kubelet
from ansible_collections.hardened.k8s.plugins.module_utils.node.files import File, plan
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

from tests.support.nodes import FakeNode

_BOOT = ["/bin/sh", "{root}/var/lib/hardened-k8s/change/undo", "boot"]
#: What a change asks of the kernel. Any of these may fail, or be the last that happens.
_CALLS = ("fchmod", "fsync", "link", "mkdir", "rename", "symlink", "unlink")
_MKDIR = os.mkdir
_WANTED = [
    File("/etc/kubernetes/new/folder/created.conf", "new\n", 0o600),
    File("/etc/containerd/config.toml", "version = 3\nchanged = true\n"),
    File("/etc/kubernetes/removed.conf", None),
    File("/etc/kubernetes/mode.conf", "same\n", 0o600),
]


@pytest.fixture
def prepared(fake: FakeNode) -> FakeNode:
    """A node with files of all sorts."""
    fake.write("/etc/containerd/config.toml", "version = 3\n").chmod(0o640)
    fake.write("/etc/kubernetes/removed.conf", "old\n").chmod(0o604)
    fake.write("/etc/kubernetes/mode.conf", "same\n").chmod(0o644)
    return fake


def apply(node: Node) -> None:
    change.apply(node, plan(node, _WANTED), change.restart("kubelet.service"), seconds=1)


def failure(node: Node) -> str:
    """What a change says that went wrong."""
    try:
        apply(node)
    except (HardenedError, OSError) as error:
        return str(error)
    return ""


def leftovers(fake: FakeNode) -> list[str]:
    return [
        str(path)
        for path in fake.root.rglob("*hardened-k8s*")
        if path.name not in ("hardened-k8s", "hardened-k8s.lock")
    ]


class Interruption:
    """Lets the calls before the nth through.

    :param act: what happens instead of that one.
    """

    def __init__(self, nth: int, act: t.Callable[[], None]) -> None:
        self.left, self._act = nth, act

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in _CALLS:
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name)))

    def _wrapped(self, call: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def wrapped(*arguments: t.Any, **keywords: t.Any) -> t.Any:
            # to make a folder that is there fails anyhow, and is no failure
            self.left -= not (call is _MKDIR and Path(arguments[0]).exists())
            if self.left == 0:
                self._act()
            return call(*arguments, **keywords)

        return wrapped


def no_space() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at(fake: FakeNode, nth: int) -> bool:
    """Whether a change in a process of its own was killed before its nth call."""
    context = multiprocessing.get_context("fork")

    def work() -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            Interruption(nth, kill).install(monkeypatch)
            apply(fake.node())

    process = context.Process(target=work)
    process.start()
    process.join()
    return process.exitcode == -signal.SIGKILL


def test_it_is_done_and_leaves_nothing_else(prepared: FakeNode) -> None:
    node = prepared.node()
    apply(node)
    assert plan(node, _WANTED) == []
    assert prepared.restarts() == ["kubelet.service"]
    assert leftovers(prepared) == []
    assert "systemd-run --quiet --collect --unit=hardened-k8s-undo-timer" in prepared.read("/commands")
    assert not prepared.node().exists("/etc/systemd/system/sysinit.target.wants/hardened-k8s-undo.service")


def test_nothing_to_do_is_no_step(prepared: FakeNode) -> None:
    apply(prepared.node())
    assert plan(prepared.node(), _WANTED) == []


def test_what_fails_at_any_point_leaves_everything_as_it_was(prepared: FakeNode) -> None:
    before, nth = prepared.settings(), 0
    while True:
        nth += 1
        interruption = Interruption(nth, no_space)
        with pytest.MonkeyPatch.context() as monkeypatch:
            interruption.install(monkeypatch)
            error = failure(prepared.node())
        assert "No space left on device" in error or not error
        if plan(prepared.node(), _WANTED) == []:  # it was complete, and what it left is cleared away by the next
            assert not change.recover(prepared.node())
            assert leftovers(prepared) == []
            break
        assert prepared.settings() == before, nth
        assert leftovers(prepared) == [], nth
    assert nth > 20


@pytest.mark.parametrize("way", ["next run", "boot"])
def test_a_change_that_was_killed_at_any_point_is_put_back(prepared: FakeNode, way: str) -> None:
    before, nth, commands = prepared.settings(), 1, 0
    while killed_at(prepared, nth):
        complete = prepared.node().exists("/var/lib/hardened-k8s/done")
        if way == "boot":
            Path(f"{prepared.root}/run/hardened-k8s.changing").unlink(missing_ok=True)
            commands = prepared.read("/commands").count("restart")
            script = _BOOT[1].format(root=prepared.root)
            if Path(script).exists():
                subprocess.run([_BOOT[0], script, _BOOT[2]], check=True, env={"PATH": prepared.path})
            assert prepared.read("/commands").count("restart") == commands, "nothing has started yet"
        change.recover(prepared.node())
        if complete:
            assert plan(prepared.node(), _WANTED) == []
            break
        assert _without_journal(prepared.settings()) == before, nth
        nth += 1
    assert nth > 20


def _without_journal(settings: dict[str, t.Any]) -> dict[str, t.Any]:
    """What was not yet a journal when its change was killed is no setting, and the next one begins by removing it."""
    return {
        name: about
        for name, about in settings.items()
        if not name.startswith(("var/lib/hardened-k8s/change.new", "etc/systemd/system/hardened-k8s-undo.service"))
        and not name.endswith("sysinit.target.wants/hardened-k8s-undo.service")
    }


def test_putting_back_can_be_interrupted_and_done_again(prepared: FakeNode) -> None:
    before = prepared.settings()
    assert killed_at(prepared, 30)
    script = Path(_BOOT[1].format(root=prepared.root))
    half = script.read_text().replace("\nsync\n", "\nexit 9\n")
    stopped = subprocess.run(["/bin/sh", "-c", half, "undo", "held"], check=False, env={"PATH": prepared.path})
    assert stopped.returncode == 9
    assert change.recover(prepared.node())
    assert _without_journal(prepared.settings()) == before


def test_a_service_that_does_not_start_with_the_new_settings_runs_on_with_the_old_ones(prepared: FakeNode) -> None:
    before = prepared.settings()
    prepared.breaks("kubelet.service", "/etc/kubernetes/new/folder/created.conf")
    prepared.program("journalctl", "#!/bin/sh\necho it does not like created.conf\n")
    with pytest.raises(HardenedError) as raised:
        apply(prepared.node())
    assert "kubelet.service does not run" in str(raised.value)
    assert "it does not like created.conf" in str(raised.value)
    assert "Everything was put back, and the node is as healthy as it was" in str(raised.value)
    assert prepared.settings() == before
    assert prepared.restarts() == ["kubelet.service", "kubelet.service"]
    assert "ActiveState=active" in prepared.read("/units/kubelet.service")


def test_a_pod_that_is_gone_afterwards_is_a_failure(prepared: FakeNode) -> None:
    effect = change.restart("containerd.service")
    effect.do.append(("rm", "-r", f"{prepared.root}/proc/4711"))
    node = prepared.node()
    with pytest.raises(HardenedError, match="pods have lost all of their processes: 11111111"):
        change.apply(node, plan(node, _WANTED), effect, seconds=1)


def test_nothing_is_restarted_for_a_failure_before_anything_was(prepared: FakeNode) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        Interruption(25, no_space).install(monkeypatch)
        with pytest.raises(HardenedError):
            apply(prepared.node())
    assert prepared.restarts() == []


def test_a_change_that_nobody_confirms_is_put_back_by_its_timer(prepared: FakeNode) -> None:
    before, node = prepared.settings(), prepared.node()
    change.apply(node, plan(node, _WANTED), change.restart("kubelet.service"), seconds=1, hold=300)
    assert "--on-active=300" in prepared.read("/commands")
    assert change.pending(node)
    subprocess.run(["/bin/sh", f"{prepared.root}{change.CHANGE}/undo"], check=True, env={"PATH": prepared.path})
    assert prepared.settings() == before
    assert prepared.restarts() == ["kubelet.service", "kubelet.service"]
    with pytest.raises(HardenedError, match="there is no change to confirm"):
        change.held(node)


def test_a_change_that_is_confirmed_stays(prepared: FakeNode) -> None:
    node = prepared.node()
    change.apply(node, plan(node, _WANTED), change.restart("kubelet.service"), seconds=1, hold=300)
    change.held(node)
    change.confirm(node)
    assert plan(node, _WANTED) == []
    assert leftovers(prepared) == []


def test_two_runs_at_a_time_are_one_too_many(prepared: FakeNode) -> None:
    with (
        prepared.node().alone(),
        pytest.raises(HardenedError, match="another run is changing this node"),
        prepared.node().alone(),
    ):
        pass


def test_a_file_that_is_a_link_stays_one(prepared: FakeNode) -> None:
    real = prepared.write("/etc/real.toml", "a\n")
    (prepared.root / "etc/link.toml").symlink_to(real)
    node = prepared.node()
    change.apply(node, plan(node, [File("/etc/link.toml", "b\n")]), change.Effect(), seconds=1)
    assert (prepared.root / "etc/link.toml").is_symlink()
    assert real.read_text() == "b\n"


def test_containerd_that_runs_and_can_run_no_pods_is_not_healthy(prepared: FakeNode) -> None:
    before = prepared.settings()
    prepared.program(
        "ctr", "#!/bin/sh\n[ ! -e {root}/etc/kubernetes/new ] || echo 'io.containerd.cri.v1 runtime - error'\n"
    )
    node = prepared.node()
    with pytest.raises(HardenedError, match=r"its plug-in .* does not"):
        change.apply(node, plan(node, _WANTED), change.restart("containerd.service"), seconds=1)
    assert prepared.settings() == before


# -- a kubelet that is well, and one of which that is not known


_BEATS = ["10:00:00", "10:00:10", "10:00:10"]


@pytest.mark.parametrize("renewed", [True, False])
def test_what_the_former_kubelet_said_before_it_was_stopped_is_no_proof(prepared: FakeNode, renewed: bool) -> None:
    beats = iter(_BEATS)
    last = mock.Mock(side_effect=lambda _node: (True, next(beats, "10:00:20" if renewed else _BEATS[-1])))
    with mock.patch.object(api, "heartbeat", last):
        said = failure(prepared.node())
    assert ("kubelet has not told the API server anew that it is Ready" in said) is not renewed, said


def test_a_node_that_is_no_longer_ready_some_time_after_a_restart_is_put_back(prepared: FakeNode) -> None:
    """What a kubelet said before it was restarted is there for some time, and its runtime fails after it was started."""
    asked = iter([(True, "1"), (True, "1"), (True, "2"), (True, "2")])

    def last(node: Node) -> tuple[bool, str]:
        if node.exists(_WANTED[0].path):
            return next(asked, (False, "2"))
        return True, str(time.monotonic())

    with mock.patch.object(api, "heartbeat", last):
        said = failure(prepared.node())
    assert "the API server has it as not Ready. Everything was put back, and the node is as healthy as it was" in said


def test_a_node_that_was_put_back_is_waited_for(prepared: FakeNode) -> None:
    """It says that it is not Ready once its kubelet was restarted, and what it said before is nothing to go by."""
    back = iter([(True, "2"), (True, "3"), (False, "3"), (False, "3")])
    made: list[bool] = []
    answers: list[tuple[bool, str]] = []

    def last(node: Node) -> tuple[bool, str]:
        made.append(node.exists(_WANTED[0].path))
        if made[-1] or not any(made):
            return not made[-1], "1"
        answers.append(next(back, (True, "4")))
        return answers[-1]

    with mock.patch.object(api, "heartbeat", last):
        said = failure(prepared.node())
    assert "Everything was put back, and the node is as healthy as it was" in said
    assert (False, "3") in answers
    assert answers[-1][0]


@pytest.mark.parametrize("breaks", [True, False])
def test_a_kubelet_of_which_nobody_can_be_asked_has_to_go_on_running(prepared: FakeNode, breaks: bool) -> None:
    """It is told not to answer, and there is no API server; it would end a moment after it was started."""
    prepared.write("/var/lib/kubelet/config.yaml", "healthzPort: 0\n")
    seen = mock.Mock(side_effect=[False, *[breaks] * 99])
    with (
        mock.patch.object(health, "_TRIAL", 0.5),
        mock.patch.object(health, "_has_ended", seen),
    ):
        said = failure(prepared.node())
    assert ("kubelet.service does not run" in said) is breaks, said


@pytest.mark.parametrize(
    ("flags", "config", "drop_in", "url"),
    [
        ([], "", "", "http://127.0.0.1:10248/healthz"),
        ([], "healthzPort: 0\n", "", ""),
        ([], "healthzPort: 1\n", '{\n  "healthzPort": 2\n}\n', "http://127.0.0.1:2/healthz"),
        (["--healthz-port=3"], "healthzPort: 1\n", "healthzPort: 2\n", "http://127.0.0.1:3/healthz"),
        ([], "healthzBindAddress: 192.0.2.7\n", "", "http://192.0.2.7:10248/healthz"),
        ([], "healthzBindAddress: 0.0.0.0\n", "", "http://127.0.0.1:10248/healthz"),
        ([], 'healthzBindAddress: "::"\n', "", "http://[::1]:10248/healthz"),
        ([], "nested:\n  healthzPort: 7\n", "", "http://127.0.0.1:10248/healthz"),
    ],
)
def test_kubelet_is_asked_where_its_settings_have_it(
    fake: FakeNode, flags: list[str], config: str, drop_in: str, url: str
) -> None:
    fake.kubelet("1.37.2", "--config-dir=/etc/k8s.d", *flags)
    fake.write("/var/lib/kubelet/config.yaml", config)
    fake.write("/etc/k8s.d/50-x.conf", drop_in)
    assert kubelet.healthz_url(fake.node()) == url


def test_a_pods_process_is_no_kubelet_whatever_it_is_called(fake: FakeNode) -> None:
    """What is found is run, by root."""
    fake.process(12, "kubelet")
    fake.write("/proc/12/comm", "kubelet\n")
    fake.write("/proc/12/cmdline", "/var/lib/kubelet/pods/x/evil\0")
    assert kubelet.find(fake.node()).program == f"{fake.bin}/kubelet"
    (fake.root / "proc/100/comm").unlink()
    assert not kubelet.is_running(fake.node())


def test_a_file_that_is_not_ours_keeps_its_mode(fake: FakeNode) -> None:
    """It may hold credentials."""
    fake.write("/etc/containerd/config.toml", "version = 3\n").chmod(0o600)
    node = fake.node()
    (step,) = plan(node, [File("/etc/containerd/config.toml", "version = 3\n\n", None)])
    assert step.mode == 0o600
    assert plan(node, [File("/etc/containerd/config.toml", "version = 3\n", None)]) == []
    (made,) = plan(node, [File("/etc/containerd/other.toml", "", None)])
    assert made.mode == 0o644


def test_where_everything_is_read_nothing_is_kept(fake: FakeNode) -> None:
    fake.write("/etc/crio/crio.conf.d/50-x.conf", "x")
    (step,) = plan(fake.node(), [File("/etc/crio/crio.conf.d/50-x.conf", "y")])
    assert {Path(step.backup).parent, Path(step.draft).parent} == {Path("/etc/crio")}


@pytest.mark.parametrize("fails", [False, True])
def test_systemd_forgets_the_unit_that_it_read_meanwhile(prepared: FakeNode, fails: bool) -> None:
    """A service is restarted after systemd has read its units, and among these is the one that would put it back."""
    prepared.write("/units/hardened-k8s-undo.service", "echo LoadState=loaded\n")
    if fails:
        prepared.breaks("kubelet.service", "/etc/kubernetes/new/folder/created.conf")
    assert bool(failure(prepared.node())) is fails
    said = prepared.read("/commands").splitlines()
    last = len(said) - said[::-1].index("stop hardened-k8s-undo-timer.timer")
    assert "daemon-reload" in said[last:]
