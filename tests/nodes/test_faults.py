# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node of a cluster, broken on purpose: it ends Ready on its old settings, its pods go on, the failure says why."""

from __future__ import annotations

import contextlib
import threading
import typing as t

import pytest

from tests.nodes.playing import CLOSED, OnMachine, is_ready, printed
from tests.support.shells import Pods
from tests.testbed.machines import Nodes

pytestmark = pytest.mark.machines("apparmor")

_WRAPPER = "/usr/local/sbin/apparmor_parser"
#: Finds the parser that was put before the real one, while it is to load; and who has called it.
_LOADING = f"pgrep --full '^/bin/sh {_WRAPPER} --replace'"
_MODULE = f"$(ps --no-headers -o ppid $({_LOADING}))"
_FULL = "mkdir -p /mnt/full && mount -t tmpfs -o size=8m tmpfs /mnt/full && cp -a {0}/. /mnt/full; "
_FULL += "dd if=/dev/zero of=/mnt/full/fill 2> /dev/null; mount --bind /mnt/full {0}"
_KEPT = "/etc/systemd/system/containerd.service.d/90-test.conf"


class Broken:
    """The node with AppArmor, and how it was."""

    def __init__(self, nodes: Nodes, pods: Pods, node: OnMachine) -> None:
        self.nodes, self.pods, self.node = nodes, pods, node

    @property
    def ready(self) -> bool:
        return is_ready(self.nodes, "apparmor")

    def bystander(self) -> tuple[str, int]:
        """A pod that has nothing to do with it: which container it has, and how often that was started again."""
        (about,) = self.nodes.get("/api/v1/namespaces/default/pods/bystander")["status"]["containerStatuses"]
        return about["containerID"], about["restartCount"]

    def state(self) -> tuple[t.Any, ...]:
        return self.node.files(), self.node.loaded(), self.bystander()

    def fails(self, said: str, role: str, **options: t.Any) -> None:
        """A role does nothing, and says why."""
        self._unchanged(said, lambda: self.node.play(role, **options))

    def refuses(self, said: str, module: str, **drop_in: t.Any) -> None:
        """So does a module with a drop-in."""
        options = {"drop_ins": [{"name": "50-fault", **drop_in}]}
        self._unchanged(said, lambda: self.node.task(f"hardened.k8s.{module}", options))

    def _unchanged(self, said: str, act: t.Callable[[], dict[str, t.Any]]) -> None:
        before = self.state()
        result = act()
        assert result["rc"] != 0
        assert said in printed(result).replace('\\"', '"')
        assert self.state() == before
        assert self.ready
        assert self.node.run("systemctl is-active containerd kubelet").split() == ["active"] * 2

    @contextlib.contextmanager
    def with_(self, break_it: str, mend: str) -> t.Iterator[None]:
        self.node.run(break_it)
        try:
            yield
        finally:
            self.node.run(mend)

    def parser(self, instead: str) -> contextlib.AbstractContextManager[None]:
        """The parser does something else when it is to load."""
        script = f'case "$*" in *--replace*) {instead} ;; esac; exec /usr/sbin/apparmor_parser "$@"'
        self.node.machine.run(f"sudo tee {_WRAPPER}", text=f"#!/bin/sh\n{script}\n")
        return self.with_(f"chmod 755 {_WRAPPER}", f"rm -f {_WRAPPER}")


@pytest.fixture(scope="module")
def broken(nodes: Nodes, pods: Pods, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Broken]:
    nodes.only("apparmor")
    node = OnMachine(nodes.fleet, "apparmor", tmp_path_factory.mktemp("faults"))
    pods.run("bystander", "apparmor")
    node.applied("apparmor", library=["deny-write"])
    yield Broken(nodes, pods, node)
    node.applied("apparmor", state="absent")
    pods.delete("bystander")


# -- what is declared is wrong: 1 to 12


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ({"name": "wrong", "rules": "file\nnonsense here,\n"}, "syntax error"),
        ({"name": "wrong", "rules": "include <abstractions/no-such-thing>\n"}, "no-such-thing"),
        ({"name": "deny-write", "rules": "file,\n"}, "Raise its version to 2"),
    ],
    ids=["syntax", "include", "changed-under-its-name"],
)
def test_an_apparmor_profile(broken: Broken, profile: dict[str, t.Any], said: str) -> None:
    """The good one beside it is not loaded either."""
    library = [] if profile["name"] == "deny-write" else ["deny-write"]
    broken.fails(said, "apparmor", library=library, profiles=[CLOSED, profile])


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ({"defaultAction": "SCMP_ACT_DENY"}, "defaultAction is 'SCMP_ACT_DENY', which is none of"),
        ({"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["opne"], "action": "SCMP_ACT_ALLOW"}]}, "opne"),
    ],
    ids=["action", "name"],
)
def test_a_seccomp_profile(broken: Broken, profile: dict[str, t.Any], said: str) -> None:
    broken.fails(said, "seccomp", profiles=[{"name": "wrong", "profile": profile}], default=False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seccompDefault": "maybe"}, "kubelet does not take these settings"),
        ({"seccompDefalt": True}, "kubelet does not know seccompDefalt"),
        ({"maxPods": -1}, "kubelet does not take these settings"),
        # good as far as kubelet can tell before it starts
        ({"containerRuntimeEndpoint": "unix:///nowhere.sock"}, "Everything was put back"),
    ],
    ids=["type", "name", "value", "only-seen-when-it-runs"],
)
def test_settings_of_kubelet(broken: Broken, settings: dict[str, t.Any], said: str) -> None:
    broken.refuses(said, "kubelet_config", settings=settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"no_such_setting": True}, "containerd does not take"),
        ({"enable_selinux": "perhaps"}, "containerd does not take"),
        ({"containerd": {"default_runtime_name": "nothing"}}, "Everything was put back"),
    ],
    ids=["name", "type", "only-seen-when-it-runs"],
)
def test_settings_of_containerd(broken: Broken, settings: dict[str, t.Any], said: str) -> None:
    broken.refuses(said, "containerd_config", plugins={"runtime": settings})


# -- the node is not as it should be: 13 to 18


def test_a_containerd_whose_own_file_does_not_parse(broken: Broken) -> None:
    """It runs, and would not start again: nothing is added to that."""
    config = "/etc/containerd/config.toml"
    keep = f"[ ! -e {config} ] || cp -a {config} /run/kept.toml"
    mend = f"if [ -e /run/kept.toml ]; then mv /run/kept.toml {config}; else rm {config}; fi"
    with broken.with_(f"{keep}; echo 'version = = 3' > {config}", mend):
        broken.refuses("config dump", "containerd_config", plugins={"runtime": {"enable_selinux": True}})


def test_a_containerd_whose_restart_would_end_every_container(broken: Broken) -> None:
    unit = f"mkdir -p {_KEPT.rpartition('/')[0]}; printf '[Service]\\nKillMode=control-group\\n' > {_KEPT}"
    with broken.with_(f"{unit}; systemctl daemon-reload", f"rm {_KEPT}; systemctl daemon-reload"):
        said = "so that a restart would end every container"
        broken.refuses(said, "containerd_config", plugins={"runtime": {"enable_selinux": True}})


@pytest.mark.parametrize(
    ("role", "folder", "options"),
    [
        ("apparmor", "/etc/apparmor.d", {"library": ["deny-write"], "profiles": [CLOSED]}),
        ("seccomp", "/var/lib/kubelet/seccomp", {"library": ["audit"], "default": False}),
    ],
    ids=["apparmor", "seccomp"],
)
def test_a_full_disk(broken: Broken, role: str, folder: str, options: dict[str, t.Any]) -> None:
    """Where profiles are: a file system of its own, with no room."""
    with broken.with_(f"mkdir -p {folder}; {_FULL.format(folder)}", f"umount {folder} /mnt/full"):
        broken.fails("No space left on device", role, **options)


def test_a_file_system_that_is_read_only(broken: Broken) -> None:
    ro = "mount --bind /etc/apparmor.d /etc/apparmor.d && mount -o remount,bind,ro /etc/apparmor.d"
    with broken.with_(ro, "umount /etc/apparmor.d"):
        broken.fails("Read-only file system", "apparmor", library=["deny-write"], profiles=[CLOSED])


def test_a_parser_that_cannot_load(broken: Broken) -> None:
    """It finds the syntax right, and fails when it is to load."""
    with broken.parser("echo no >&2; exit 1"):
        broken.fails("Everything was put back", "apparmor", library=["deny-write"], profiles=[CLOSED])


# -- somebody else, and what ends half-way: 19 to 22


def test_another_run_at_the_same_time(broken: Broken) -> None:
    hold = "systemd-run --quiet --unit=test-lock flock /run/hardened-k8s.lock sleep 1000; sleep 1"
    with broken.with_(hold, "systemctl stop test-lock"):
        broken.fails("another run is changing this node", "apparmor", library=["deny-write"], profiles=[CLOSED])


def half_way(broken: Broken) -> threading.Thread:
    """A run that has written, and not loaded yet."""
    thread = threading.Thread(target=lambda: broken.node.play("apparmor", library=["deny-write"], profiles=[CLOSED]))
    thread.start()
    broken.node.run(f"until [ -e /var/lib/hardened-k8s/change/activated ] && {_LOADING}; do sleep 0.2; done")
    assert broken.node.run("ls /etc/apparmor.d/k8s.closed.v1")
    return thread


def test_a_run_that_is_asked_to_end(broken: Broken) -> None:
    before = broken.state()
    with broken.parser("sleep 1000"):
        run = half_way(broken)
        broken.node.run(f"kill {_MODULE}")
        run.join()
    assert broken.state() == before
    assert broken.ready


def test_a_run_that_is_killed(broken: Broken) -> None:
    """The next one puts it back first."""
    before = broken.state()
    with broken.parser("sleep 1000"):
        run = half_way(broken)
        broken.node.run(f"kill -KILL {_MODULE} $({_LOADING})")
        run.join()
    recovered = broken.node.applied("apparmor", library=["deny-write"])
    assert "what it had done was put back first" in printed(recovered)
    assert recovered["changed"] == 0
    assert broken.state() == before
    assert broken.ready


def test_a_power_cut_between_writing_and_loading(broken: Broken) -> None:
    """The next boot puts it back, before containerd and kubelet start."""
    files, loaded, _pod = broken.state()
    with broken.parser("sleep 1000"):
        run = half_way(broken)
        broken.nodes.cut_power("apparmor")
        run.join()
    broken.node.run("until systemctl is-active --quiet containerd kubelet; do sleep 1; done")
    assert (broken.node.files(), broken.node.loaded()) == (files, loaded)
    assert broken.node.run("systemctl is-failed hardened-k8s-undo.service || true").strip() != "failed"
    broken.nodes.kubectl("wait", "--for=condition=Ready", "node/apparmor", "--timeout=600s")
    broken.nodes.kubectl("wait", "--for=condition=Ready", "pod/bystander", "--timeout=600s")
