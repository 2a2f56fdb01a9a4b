# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AppArmor profiles are in place on disk and in the kernel, or neither; what pods rely on does not change."""

from __future__ import annotations

import os
import typing as t
from unittest import mock

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.node import api

from tests.support.modules import Result
from tests.support.nodes import CONTAINER, POD, FakeNode

_RULES = "file,\ndeny /srv/** w,\n"
_WEB = {"name": "web", "rules": _RULES}


@pytest.fixture
def node(fake: FakeNode) -> FakeNode:
    fake.apparmor("cri-containerd.apparmor.d")
    return fake


def sync(node: FakeNode, *profiles: dict[str, t.Any], check: bool = False, **params: t.Any) -> Result:
    return node.run("apparmor_profile", check=check, profiles=list(profiles), **params)


def found(result: Result, rule: str) -> list[dict[str, t.Any]]:
    return [finding for finding in result["findings"] if finding["rule"] == rule]


def test_profiles_are_written_and_loaded_by_one_call_of_the_parser(node: FakeNode) -> None:
    many = [{"name": f"p{index}", "rules": _RULES} for index in range(30)]
    result = sync(node, *many)
    assert result["changed"], result
    assert "k8s.p29.v1 (enforce)" in node.loaded()
    calls = [line.split()[1:] for line in node.read("/commands").splitlines() if line.startswith("apparmor_parser")]
    assert [call[:2] for call in calls] == [["--skip-kernel-load", "--skip-read-cache"], ["--replace", "--binary"]], (
        "each is compiled once"
    )
    compiled = calls[-1][-1]
    assert compiled.endswith("/k8s.p29.v1")
    assert not os.path.exists(os.path.dirname(compiled)), "nothing is left of what was compiled"
    assert "signal (receive) peer=runc," in node.read("/etc/apparmor.d/k8s.p0.v1")
    assert node.restarts() == []


def test_one_of_which_the_parser_keeps_nothing_is_loaded_from_its_file(node: FakeNode) -> None:
    sync(node, _WEB, {"name": "other", "rules": "# UNKEPT\n"})
    assert "k8s.other.v1 (enforce)" in node.loaded()
    assert "k8s.web.v1 (enforce)" in node.loaded()
    *_checked, one, other = (line.split()[1:] for line in node.read("/commands").splitlines() if "parser" in line)
    assert one[:2] == ["--replace", "--binary"]
    assert other == ["--replace", "--skip-cache", f"{node.root}/etc/apparmor.d/k8s.other.v1"]


def test_a_second_run_changes_nothing(node: FakeNode) -> None:
    sync(node, _WEB)
    commands = node.read("/commands")
    result = sync(node, _WEB)
    assert not result["changed"]
    assert result["profiles"] == [{"name": "k8s.web.v1", "mode": "enforce", "action": "unchanged"}]
    assert not [line for line in node.read("/commands")[len(commands) :].splitlines() if "parser" in line]


def test_check_mode_shows_every_file_and_touches_nothing(node: FakeNode) -> None:
    before = node.settings()
    result = sync(node, _WEB, check=True)
    assert result["changed"]
    assert [diff["after_header"] for diff in result["diff"][:1]] == ["/etc/apparmor.d/k8s.web.v1"]
    assert "deny /srv/** w" in result["diff"][0]["after"]
    assert node.settings() == before
    assert node.loaded() == ["cri-containerd.apparmor.d (enforce)"]


def test_where_the_parser_is_yet_to_be_installed_check_mode_shows_every_file(node: FakeNode) -> None:
    (node.bin / "apparmor_parser").unlink()
    node.write("/sys/kernel/security/apparmor/profiles", "")
    node.write("/proc/200/comm", "containerd\n")
    path = mock.patch.object(FakeNode, "path", f"{node.bin}:/bin")  # this machine may have one
    with path:
        assert "apparmor_parser is not installed" in sync(node, _WEB, check=True)["msg"]
        result = sync(node, _WEB, check=True, parser_expected=True)
    assert [(file["path"], file["action"]) for file in result["files"]] == [("/etc/apparmor.d/k8s.web.v1", "create")]
    assert result["restarted"] == ["containerd.service"]


def test_one_with_a_syntax_error_is_named_and_nothing_is_done(node: FakeNode) -> None:
    before = node.settings()
    result = sync(node, _WEB, {"name": "wrong", "rules": "BAD\n"})
    assert result["failed"]
    assert "profiles (wrong): AppArmor parser error for k8s.wrong.v1 at line 9: syntax error" in result["msg"]
    assert "(web)" not in result["msg"]
    assert node.settings() == before
    assert node.loaded() == ["cri-containerd.apparmor.d (enforce)"]


def test_one_that_the_kernel_does_not_take_is_put_back_with_all_others(node: FakeNode) -> None:
    sync(node, _WEB, stage="observe")
    before, kernel = node.settings(), node.loaded()
    result = sync(node, _WEB, {"name": "wrong", "rules": "UNLOADABLE\n"})
    assert result["failed"]
    assert "Invalid argument. Everything was put back" in result["msg"]
    assert node.settings() == before
    assert sorted(node.loaded()) == sorted(kernel)


def test_other_rules_need_another_version(node: FakeNode) -> None:
    sync(node, _WEB)
    result = sync(node, {**_WEB, "rules": "file,\n"})
    assert "k8s.web.v1 is there with other rules" in result["msg"]
    assert "Raise its version to 2" in result["msg"]
    assert sync(node, {**_WEB, "rules": "file,\n", "version": 2})["changed"]
    assert node.loaded() == ["cri-containerd.apparmor.d (enforce)", "k8s.web.v2 (enforce)"]


def test_one_that_confines_a_pod_stays_until_it_does_no_longer(node: FakeNode) -> None:
    sync(node, _WEB)
    node.process(4711, "nginx", label="k8s.web.v1 (enforce)")
    (node.root / f"var/log/pods/shop_web-0_{POD}").mkdir(parents=True)
    result = sync(node, state="absent")
    assert not result["changed"]
    assert [finding["affected"] for finding in found(result, "apparmor/still-used")] == [["shop/web-0"]]
    assert "k8s.web.v1 (enforce)" in node.loaded()
    node.process(4711, "nginx")
    assert sync(node, state="absent")["changed"]
    assert node.loaded() == ["cri-containerd.apparmor.d (enforce)"]
    assert not (node.root / "etc/apparmor.d/k8s.web.v1").exists()


def test_absent_leaves_what_was_there_before(node: FakeNode) -> None:
    node.write("/etc/apparmor.d/k8s.other.v1", "profile k8s.other.v1 {}\n")
    before, kernel = node.settings(), node.loaded()
    sync(node, _WEB)
    sync(node, state="absent")
    assert node.settings() == before
    assert node.loaded() == kernel
    refused = sync(node, {"name": "other", "rules": _RULES})
    assert "/etc/apparmor.d/k8s.other.v1 is not of owner apparmor_profile" in refused["msg"]


def test_what_complain_mode_let_through_is_reported_and_then_refused(node: FakeNode) -> None:
    sync(node, _WEB, stage="observe")
    assert "audit deny /srv/** w" in node.read("/etc/apparmor.d/k8s.web.v1")
    assert node.loaded()[-1] == "k8s.web.v1 (complain)"
    node.process(4711, "nginx", label="k8s.web.v1 (complain)")
    (node.root / f"var/log/pods/shop_web-0_{POD}").mkdir(parents=True)
    record = 'apparmor="ALLOWED" operation="mknod" profile="k8s.web.v1" name="/srv/x" pid=99 comm="sh" denied_mask="c"'
    node.program("journalctl", f"#!/bin/sh\ncat << 'END'\nAVC {record}\n{record}\nEND\n")
    (finding,) = found(sync(node, _WEB, stage="observe"), "apparmor/would-deny")
    assert finding["affected"] == ["mknod /srv/x (c) by sh"]
    assert "shop/web-0" in finding["message"]
    refused = sync(node, _WEB)
    assert "is refused (apparmor/would-deny)" in refused["msg"]
    assert node.loaded()[-1] == "k8s.web.v1 (complain)"
    accepted = {"rule": "apparmor/would-deny", "reason": "a probe", "expires": "2999-01-01"}
    assert sync(node, _WEB, accept=[accepted])["changed"]
    assert node.loaded()[-1] == "k8s.web.v1 (enforce)"
    assert "  deny /srv/** w" in node.read("/etc/apparmor.d/k8s.web.v1")


def test_what_ended_is_any_of_those_that_the_profile_confines(node: FakeNode) -> None:
    sync(node, _WEB, stage="observe")
    other = POD.replace("1", "2")
    for pid, pod, name in ((4711, POD, "web-0"), (4712, other, "web-1")):
        node.process(pid, "nginx", pod=pod, label="k8s.web.v1 (complain)")
        (node.root / f"var/log/pods/shop_{name}_{pod}").mkdir(parents=True)
    record = 'apparmor="ALLOWED" operation="open" profile="k8s.web.v1" name="/srv/{}" pid={} comm="sh"'
    lines = f"{record.format('a', 4712)}\n{record.format('b', 99)}"
    node.program("journalctl", f"#!/bin/sh\ncat << 'END'\n{lines}\nEND\n")
    findings = found(sync(node, _WEB, stage="observe"), "apparmor/would-deny")
    assert {finding["message"]: finding["affected"] for finding in findings} == {
        "it does not allow what was done in shop/web-1": ["open /srv/a by sh"],
        "it does not allow what was done in one of shop/web-0, shop/web-1": ["open /srv/b by sh"],
    }


def test_at_warn_findings_are_warnings_as_well(node: FakeNode, capfd: pytest.CaptureFixture[str]) -> None:
    result = sync(node, _WEB, stage="warn")
    # printed at once in a process in which Ansible's controller is loaded, as other tests do
    said = f"{result.get('warnings')} {' '.join(capfd.readouterr().err.split())}"
    assert "apparmor/unconfined: unconfined: no profile confines these pods of this node" in said


def test_one_that_the_kernel_lost_is_loaded_again(node: FakeNode) -> None:
    sync(node, _WEB)
    node.apparmor()
    result = sync(node, _WEB)
    assert result["changed"]
    assert result["profiles"][0]["action"] == "load"
    assert node.loaded() == ["k8s.web.v1 (enforce)"]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("/sys/module/apparmor/parameters/enabled", "N\n", "AppArmor cannot be enforced here"),
        ("/etc/containerd/conf.d/x.toml", "  disable_apparmor = true\n", "containerd is told to do without AppArmor"),
        ("/proc/200/environ", "PATH=/bin\0container=docker\0", "containerd runs in a container itself"),
    ],
)
def test_where_it_cannot_be_enforced_that_is_said(node: FakeNode, file: str, content: str, said: str) -> None:
    node.write("/proc/200/comm", "containerd\n")
    node.write(file, content)
    before = node.settings()
    assert said in sync(node, _WEB)["msg"]
    assert node.settings() == before


def test_what_keeps_a_pods_network_is_not_the_pod(node: FakeNode) -> None:
    """containerd gives it no profile, whatever the pod asks for."""
    node.process(4711, "nginx", label="k8s.web.v1 (enforce)")
    node.process(4712, "pause", label="unconfined")
    assert not found(sync(node, _WEB), "apparmor/unconfined")


def test_a_container_does_not_hide_behind_that_name(node: FakeNode) -> None:
    status = {"containerStatuses": [{"name": "web", "containerID": f"containerd://{CONTAINER}"}]}
    pod = {"metadata": {"namespace": "shop", "name": "web-0", "uid": POD}, "spec": {"containers": [{"name": "web"}]}}
    node.process(4711, "pause")
    with node.server({**pod, "status": status}):
        (finding,) = found(sync(node, _WEB, label_node=False), "apparmor/unconfined")
    assert finding["affected"] == ["shop/web-0"]


def test_what_pods_may_ask_for_stays_while_the_api_server_is_silent(node: FakeNode) -> None:
    sync(node, _WEB)
    with node.server(None):
        kept = sync(node, state="absent")
    assert not kept["changed"]
    (finding,) = found(kept, "apparmor/still-used")
    assert "the API server does not say whether pods use it" in finding["message"]
    with node.server():
        assert sync(node, state="absent", label_node=False)["changed"]


def test_on_a_host_with_selinux_the_other_role_is_named(fake: FakeNode) -> None:
    fake.write("/sys/fs/selinux/enforce", "1")
    assert "Use the role hardened.k8s.selinux" in sync(fake, _WEB)["msg"]


@pytest.fixture
def without(node: FakeNode) -> FakeNode:
    """Its runtime has not loaded a profile of its own, as it looked for AppArmor when that was not there yet."""
    node.write("/sys/kernel/security/apparmor/profiles", "")
    return node


def test_a_parser_that_was_upgraded_is_no_reason_to_restart_anything(node: FakeNode) -> None:
    node.write("/proc/200/comm", "containerd\n")
    node.write("/proc/stat", "btime 1000\n")
    node.write("/proc/200/stat", f"200 (containerd) S{' 0' * 18} 100 0\n")
    assert sync(node, _WEB)["restarted"] == []


def test_a_runtime_that_is_older_than_the_parser_looks_again(without: FakeNode) -> None:
    node = without
    node.write("/proc/200/comm", "containerd\n")
    node.write("/proc/stat", "btime 1000\n")
    node.write("/proc/200/stat", f"200 (containerd) S{' 0' * 18} 100 0\n")
    result = sync(node, _WEB)
    assert result["restarted"] == ["containerd.service"], result
    assert node.restarts() == ["containerd.service"]


def test_one_whose_restart_would_end_its_containers_is_left_alone(without: FakeNode) -> None:
    node = without
    node.write("/proc/200/comm", "containerd\n")
    node.write("/proc/200/cgroup", "0::/system.slice/k3s.service\n")
    node.write("/proc/stat", "btime 1000\n")
    node.write("/proc/200/stat", f"200 (containerd) S{' 0' * 18} 100 0\n")
    node.write("/units/k3s.service", "ActiveState=active\nKillMode=control-group\n")
    assert "k3s.service has KillMode=control-group" in sync(node, _WEB)["msg"]
    node.write("/units/k3s.service", "ActiveState=active\nKillMode=process\n")
    assert sync(node, _WEB)["restarted"] == ["k3s.service"]


def test_a_log_that_is_not_complete_keeps_it_from_being_enforced(node: FakeNode) -> None:
    sync(node, _WEB, stage="observe")
    node.program("journalctl", "#!/bin/sh\necho 'net_ratelimit: 12 callbacks suppressed'\n")
    assert sync(node, _WEB, check=True)["changed"], "that is another one's"
    node.program("journalctl", "#!/bin/sh\necho 'kauditd_printk_skb: 12 callbacks suppressed'\n")
    assert "(apparmor/log-incomplete)" in sync(node, _WEB)["msg"]


def test_one_that_confines_a_container_of_nobodys_pod_stays(node: FakeNode) -> None:
    sync(node, _WEB)
    node.write("/proc/77/attr/current", "k8s.web.v1 (enforce)\n")
    (finding,) = [f for f in sync(node)["findings"] if f["rule"] == "apparmor/still-used"]
    assert finding["affected"] == ["processes of no pod"]
    assert "k8s.web.v1 (enforce)" in node.loaded()


def test_containerd_that_reads_another_file_is_judged_by_that(node: FakeNode) -> None:
    node.write("/proc/200/comm", "containerd\n")
    node.write("/proc/200/cmdline", "containerd\0-c\0/var/lib/rancher/k3s/config.toml\0")
    assert sync(node, _WEB)["changed"]
    node.write("/var/lib/rancher/k3s/config.toml", "disable_apparmor = true\n")
    assert "containerd is told to do without AppArmor" in sync(node, _WEB)["msg"]


# -- CRI-O


@pytest.fixture
def crio(node: FakeNode) -> FakeNode:
    node.write("/proc/200/comm", "crio\n")
    node.write("/etc/crio/crio.conf", '[crio.runtime]\n# apparmor_profile = "unconfined"\n')
    return node


def test_crio_that_is_told_to_confine_nobody_is_refused(crio: FakeNode) -> None:
    assert sync(crio, _WEB)["changed"], "what is commented out is not said"
    crio.write("/etc/crio/crio.conf.d/10-x.conf", 'apparmor_profile = "unconfined"\n')
    before = crio.settings()
    assert 'CRI-O is told to confine no pod of itself (apparmor_profile = "unconfined")' in sync(crio, _WEB)["msg"]
    assert crio.settings() == before
    crio.write("/etc/crio/crio.conf.d/20-x.conf", "apparmor_profile = 'crio-default'\n")
    assert not sync(crio, _WEB).get("failed"), "the last one wins"


def test_a_profile_that_crio_gives_to_all_others_stays_and_has_to_be_there(crio: FakeNode) -> None:
    crio.write("/etc/crio/crio.conf", 'apparmor_profile = "k8s.web.v1"\n')
    (missing,) = found(sync(crio), "apparmor/not-loaded")
    assert (missing["name"], missing["affected"]) == (
        "k8s.web.v1",
        ["all pods that ask for none, by CRI-O's apparmor_profile"],
    )
    assert not found(sync(crio, _WEB), "apparmor/not-loaded")
    (kept,) = found(sync(crio, state="absent"), "apparmor/still-used")
    assert kept["affected"] == missing["affected"]
    assert "k8s.web.v1 (enforce)" in crio.loaded()


def test_crio_that_is_older_than_the_parser_looks_again(crio: FakeNode) -> None:
    crio.write("/proc/stat", "btime 1000\n")
    crio.write("/proc/200/stat", f"200 (crio) S{' 0' * 18} 100 0\n")
    crio.write("/units/crio.service", "ActiveState=active\nKillMode=process\n")
    assert sync(crio, _WEB)["restarted"] == ["crio.service"]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"name": "a b", "rules": _RULES}, "a name has up to 40 small letters"),
        ({"name": "web", "version": 0, "rules": _RULES}, "a version is at least 1"),
        ({"name": "web", "rules": "profile x {\n}\n"}, "Give only what is between its braces"),
    ],
)
def test_a_wrong_item_is_named(node: FakeNode, item: dict[str, t.Any], said: str) -> None:
    result = sync(node, item)
    assert f"profiles[0] ({item['name']}): " in result["msg"]
    assert said in result["msg"]


def test_to_take_back_asks_nothing_of_a_kernel(fake: FakeNode) -> None:
    """So that a node whose kernel lost AppArmor can be cleared."""
    fake.write("/proc/200/comm", "containerd\n")
    fake.write("/proc/200/environ", "container=docker\0")
    fake.write("/etc/apparmor.d/k8s.web.v1", "# of hardened.k8s: apparmor_profile\nprofile k8s.web.v1 {\n}\n")
    result = sync(fake, state="absent")
    assert result.get("changed"), result
    assert not (fake.root / "etc/apparmor.d/k8s.web.v1").exists()


def test_a_label_of_a_profile_that_is_no_more_goes_although_the_run_that_removed_it_could_not_say_so(
    node: FakeNode,
) -> None:
    said: list[dict[str, t.Any]] = []
    labels = {"hardened.k8s/apparmor-web.v1": "enforce", "hardened.k8s/apparmor-gone.v1": "enforce", "zone": "a"}
    with node.server() as server, mock.patch.object(api, "heartbeat", return_value=None):
        server.return_value.node = mock.Mock(return_value={"metadata": {"labels": labels}})
        server.return_value.label = mock.Mock(side_effect=lambda changed: said.append(dict(changed)))
        result = sync(node, _WEB)
    assert not result.get("failed"), result
    assert said == [{"hardened.k8s/apparmor-gone.v1": None}]
