# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of kubelet and containerd: in files of their own, judged before they are written, taken back exactly."""

from __future__ import annotations

import typing as t
from unittest import mock

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

from tests.support.modules import Result
from tests.support.nodes import FakeNode

_DROP_IN = "/etc/kubernetes/kubelet.conf.d/50-seccomp.conf"
_UNIT = "/etc/systemd/system/kubelet.service.d/90-hardened-k8s.conf"
_SECCOMP = {"name": "50-seccomp", "settings": {"seccompDefault": True}}
_TOML = "/etc/containerd/conf.d/50-selinux.toml"
_SELINUX = {"name": "50-selinux", "plugins": {"runtime": {"enable_selinux": True}}}


def files(fake: FakeNode) -> dict[str, tuple[str, int, str]]:
    """Without folders, which may stay when they are empty."""
    return {name: about for name, about in fake.settings().items() if about[0] == "file"}


def kubelet(fake: FakeNode, *drop_ins: dict[str, t.Any], **params: t.Any) -> Result:
    return fake.run("kubelet_config", drop_ins=list(drop_ins), **params)


def containerd(fake: FakeNode, *drop_ins: dict[str, t.Any], **params: t.Any) -> Result:
    return fake.run("containerd_config", drop_ins=list(drop_ins), **params)


# -- kubelet


def test_kubelet_gets_a_file_and_a_folder_to_read_it_from_and_is_restarted_once(fake: FakeNode) -> None:
    before = files(fake)
    result = kubelet(fake, _SECCOMP)
    assert [(file["path"], file["action"]) for file in result["files"]] == [(_DROP_IN, "create"), (_UNIT, "create")]
    assert '"seccompDefault": true' in fake.read(_DROP_IN)
    assert "--config-dir=/etc/kubernetes/kubelet.conf.d" in fake.read(_UNIT)
    assert fake.restarts() == ["kubelet.service"]
    # as systemd would have started it
    fake.kubelet("1.37.2", "--config-dir=/etc/kubernetes/kubelet.conf.d")
    second = kubelet(fake, _SECCOMP)
    assert (second["changed"], second["restarted"]) == (False, [])
    assert kubelet(fake, state="absent")["changed"]
    assert files(fake) == before
    assert fake.restarts() == ["kubelet.service"] * 2


def test_kubelet_that_has_a_folder_keeps_it(fake: FakeNode) -> None:
    fake.kubelet("1.37.2", "--config-dir", "/etc/k8s.d")
    fake.write("/etc/k8s.d/10-others.conf", "{}\n")
    result = kubelet(fake, _SECCOMP)
    assert [file["path"] for file in result["files"]] == ["/etc/k8s.d/50-seccomp.conf"]
    kubelet(fake, state="absent")
    assert fake.read("/etc/k8s.d/10-others.conf") == "{}\n"


def test_an_older_kubelet_has_its_own_file_edited_and_kubeadm_told(fake: FakeNode) -> None:
    fake.kubelet("1.29.9")
    original = fake.read("/var/lib/kubelet/config.yaml") + "seccompDefault: false\ntlsCipherSuites:\n- A\n- B\n"
    fake.write("/var/lib/kubelet/config.yaml", original)
    before = files(fake)
    settings = {"seccompDefault": True, "tlsCipherSuites": ["C"], "readOnlyPort": 0}
    assert kubelet(fake, {"name": "50-seccomp", "settings": settings})["changed"]
    edited = fake.read("/var/lib/kubelet/config.yaml")
    assert "\nseccompDefault: true # of hardened.k8s:\n" in edited
    assert "\n# was, before hardened.k8s: - B\n" in edited
    assert '"seccompDefault": true' in fake.read("/etc/kubernetes/patches/kubeletconfiguration+merge.json")
    assert not kubelet(fake, {"name": "50-seccomp", "settings": settings})["changed"]
    assert kubelet(fake, state="absent")["changed"]
    assert files(fake) == before
    assert fake.read("/var/lib/kubelet/config.yaml") == original


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seccompDefault": "maybe"}, "kubelet does not take these settings: failed to merge kubelet configs"),
        ({"seccompDefalt": True}, "kubelet does not know seccompDefalt, of 50-seccomp"),
    ],
)
def test_what_kubelet_itself_refuses_is_not_written(fake: FakeNode, settings: dict[str, t.Any], said: str) -> None:
    before = fake.settings()
    for check in (True, False):
        result = kubelet(fake, {"name": "50-seccomp", "settings": settings}, check=check)
        assert said in result["msg"]
    assert fake.settings() == before
    assert fake.restarts() == []


def test_a_flag_that_would_win_is_a_mistake(fake: FakeNode) -> None:
    fake.kubelet("1.37.2", "--seccomp-default=false")
    assert "kubelet was started with --seccomp-default" in kubelet(fake, _SECCOMP)["msg"]


def test_kubelet_that_does_not_come_back_gets_its_old_settings(fake: FakeNode) -> None:
    before = fake.settings()
    fake.breaks("kubelet.service", _DROP_IN)
    result = kubelet(fake, _SECCOMP)
    assert "kubelet.service does not run" in result["msg"]
    assert "Everything was put back" in result["msg"]
    assert fake.settings() == before
    assert fake.restarts() == ["kubelet.service"] * 2


def test_a_unit_that_leaves_no_place_is_told(fake: FakeNode) -> None:
    fake.write("/units/kubelet.service", "ActiveState=active\nExecStart=kubelet\n")
    assert "it is not known where to add one" in kubelet(fake, _SECCOMP)["msg"]


# -- containerd


def test_containerd_gets_a_file_and_one_line_that_imports_it(fake: FakeNode) -> None:
    fake.write("/etc/containerd/config.toml", "version = 3\nroot = '/data'\n")
    before = files(fake)
    result = containerd(fake, _SELINUX)
    assert not result.get("failed"), result
    assert [file["path"] for file in result["files"]] == [_TOML, "/etc/containerd/config.toml"]
    assert '[plugins."io.containerd.cri.v1.runtime"]\nenable_selinux = true\n' in fake.read(_TOML)
    imported = fake.read("/etc/containerd/config.toml").splitlines()[0]
    assert imported == 'imports = ["/etc/containerd/conf.d/*.toml"] # by hardened.k8s'
    assert containerd(fake, state="absent")["changed"]
    assert files(fake) == before
    assert fake.restarts() == ["containerd.service"] * 2


def test_the_format_is_the_one_that_containerds_own_file_has(fake: FakeNode) -> None:
    fake.write("/etc/containerd/config.toml", "version = 2\n")
    containerd(fake, _SELINUX)
    assert '[plugins."io.containerd.grpc.v1.cri"]' in fake.read(_TOML)
    fake.write("/etc/containerd/config.toml", "[plugins.cri]\n")
    assert "is of format 1" in containerd(fake, {**_SELINUX, "name": "60-selinux"})["msg"]


@pytest.mark.parametrize(
    ("plugins", "said"),
    [
        ({"runtime": {"misspelt": True}}, "containerd does not take misspelt = true"),
        ({"runtime": {"x": "= = "}}, "containerd does not take these settings: containerd: failed to load TOML"),
        ({"runtime": True}, "runtime has no dictionary of settings"),
    ],
)
def test_what_containerd_itself_refuses_is_not_written(fake: FakeNode, plugins: dict[str, t.Any], said: str) -> None:
    fake.write("/etc/containerd/config.toml", "version = 3\n")
    before = fake.settings()
    assert said in containerd(fake, {"name": "50-selinux", "plugins": plugins})["msg"]
    assert fake.settings() == before
    assert fake.restarts() == []


def test_containerd_whose_restart_would_end_its_containers_is_left_alone(fake: FakeNode) -> None:
    fake.write("/units/containerd.service", "ActiveState=active\nKillMode=control-group\n")
    fake.write("/etc/containerd/config.toml", "version = 3\n")
    before = fake.settings()
    assert "a restart would end every container" in containerd(fake, _SELINUX)["msg"]
    assert fake.settings() == before


def test_containerds_own_file_keeps_its_mode(fake: FakeNode) -> None:
    fake.write("/etc/containerd/config.toml", "version = 3\nroot = '/data'\n").chmod(0o600)
    before = files(fake)
    containerd(fake, _SELINUX)
    assert files(fake)["etc/containerd/config.toml"][1] == 0o600
    containerd(fake, state="absent")
    assert files(fake) == before


def test_a_file_of_the_users_with_nothing_but_its_format_stays(fake: FakeNode) -> None:
    fake.write("/etc/containerd/config.toml", "version = 3\n")
    before = files(fake)
    containerd(fake, _SELINUX)
    containerd(fake, state="absent")
    assert files(fake) == before


def test_one_that_was_made_goes_again(fake: FakeNode) -> None:
    before = files(fake)
    containerd(fake, _SELINUX)
    assert "/etc/containerd/*" not in fake.read("/etc/containerd/config.toml")
    containerd(fake, state="absent")
    assert files(fake) == before


#: One that replaces a whole plug-in by what a later file says of it, and prints which files it found.
_REPLACING = """\
#!/usr/bin/env python3
import glob, os, re, sys
def load(path, tables, files):
    text = open(path).read()
    files.append(path)
    for head, body in re.findall(r"^\\[([^\\n]+)\\]\\n((?:(?!\\[).*\\n?)*)", text, re.M):
        tables[head] = [line for line in body.splitlines() if "=" in line]
    for imports in re.findall(r"^imports = \\[(.*?)\\]", text, re.M):
        for pattern in re.findall(r'"([^"]+)"', imports):
            pattern = pattern if os.path.exists(pattern) else pattern.replace("/etc", "{root}/etc", 1)
            for name in sorted(glob.glob(pattern)):
                load(name, tables, files)
tables, files = {{}}, []
load(sys.argv[2], tables, files)
print("version = 2")
print("imports =", str(files[1:]).replace("'", '"'))
for head, lines in tables.items():
    print("[" + head + "]", *lines, sep="\\n")
"""


@pytest.mark.parametrize("name", ["60-log", "10-log"])
def test_what_another_owner_has_said_of_the_same_part_is_not_lost(fake: FakeNode, name: str) -> None:
    fake.program("containerd", _REPLACING)
    fake.write("/etc/containerd/config.toml", "version = 2\n")
    assert not containerd(fake, _SELINUX, owner="selinux").get("failed")
    second = containerd(fake, _SELINUX, owner="selinux")
    assert not second["changed"], second
    before = files(fake)
    log = {"name": name, "plugins": {"runtime": {"max_container_log_line_size": 1}}}
    said = containerd(fake, log)["msg"]
    assert "would lose others" in said or "does not take max_container_log_line_size" in said
    assert files(fake) == before
    # its own earlier words may go
    other = {"name": "50-selinux", "plugins": {"runtime": {"selinux_category_range": 512}}}
    assert not containerd(fake, other, owner="selinux").get("failed")


@pytest.mark.parametrize("name", ["../x", "a/b", "50-x.conf.toml", "50.conf"])
def test_a_name_is_no_path(fake: FakeNode, name: str) -> None:
    failed = [kubelet(fake, {**_SECCOMP, "name": name}), containerd(fake, {**_SELINUX, "name": name})]
    assert any("this is no file's name" in result.get("msg", "") for result in failed)


def test_two_of_a_name_are_one_too_many(fake: FakeNode) -> None:
    assert "declared twice" in kubelet(fake, _SECCOMP, _SECCOMP)["msg"]
    assert "declared twice" in containerd(fake, _SELINUX, _SELINUX)["msg"]


# -- what cannot be read or written


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/run/hardened-k8s.lock"), "Set become: true"),
        (IsADirectoryError(21, "Is a directory", "/etc/x"), "IsADirectoryError: [Errno 21] Is a directory: '/etc/x'"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), "surrogates not allowed"),
    ],
)
def test_what_the_system_refuses_is_an_error_with_its_remedy(fake: FakeNode, error: Exception, said: str) -> None:
    with mock.patch.object(Node, "alone", side_effect=error):
        result = kubelet(fake, _SECCOMP)
    assert result["failed"]
    assert said in result["msg"]
    assert "exception" not in result
