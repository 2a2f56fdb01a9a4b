# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Seccomp profiles: what is wrong is told before it is written; the runtime's own can be had with less in it."""

from __future__ import annotations

import json
import os
import time
import typing as t
from unittest import mock

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.node import seccomp

from tests.support.modules import Result
from tests.support.nodes import CONTAINER, POD, FakeNode

_PROFILE = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"}]}
_WEB = {"name": "web", "profile": _PROFILE}
_PATH = "/var/lib/kubelet/seccomp/k8s/web.v1.json"

#: containerd's, as its client shows it: rules for socket that leave one family out already.
_BASE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "architectures": ["SCMP_ARCH_X86_64"],
    "syscalls": [
        {"names": ["read", "socketcall", "io_uring_setup"], "action": "SCMP_ACT_ALLOW"},
        {
            "names": ["socket"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}],
        },
    ],
}
_CTR = """\
#!/bin/sh
echo "ctr $*" >> {root}/commands
case "$*" in *" info "*) echo '{{"Spec": {{"linux": {{"seccomp": {base}}}}}}}' ;; esac
"""


@pytest.fixture
def node(fake: FakeNode) -> FakeNode:
    fake.write("/proc/sys/kernel/seccomp/actions_logged", "log\n")
    fake.program("ctr", _CTR, base=json.dumps(_BASE))
    return fake


def sync(node: FakeNode, *profiles: dict[str, t.Any], check: bool = False, **params: t.Any) -> Result:
    return node.run("seccomp_profile", check=check, profiles=list(profiles), **params)


def found(result: Result, rule: str) -> list[dict[str, t.Any]]:
    return [finding for finding in result["findings"] if finding["rule"] == rule]


def allowed_families(profile: dict[str, t.Any]) -> set[int]:
    """Of the first fifty, those whose socket a profile lets through, as the kernel would judge."""
    tests: dict[str, t.Callable[[int, int], bool]] = {
        "SCMP_CMP_EQ": lambda a, b: a == b,
        "SCMP_CMP_NE": lambda a, b: a != b,
        "SCMP_CMP_LT": lambda a, b: a < b,
        "SCMP_CMP_LE": lambda a, b: a <= b,
        "SCMP_CMP_GT": lambda a, b: a > b,
        "SCMP_CMP_GE": lambda a, b: a >= b,
    }
    rules = [rule for rule in profile["syscalls"] if "socket" in rule["names"] and rule["action"] == "SCMP_ACT_ALLOW"]
    return {
        family
        for family in range(50)
        for rule in rules
        if all(tests[argument["op"]](family, argument["value"]) for argument in rule.get("args") or [])
    }


def test_profiles_are_written_and_a_second_run_changes_nothing(node: FakeNode) -> None:
    result = sync(node, _WEB)
    assert result["profiles"] == [{"name": "k8s/web.v1.json", "action": "create"}], result
    written = json.loads(node.read(_PATH))
    assert {key: written[key] for key in _PROFILE} == _PROFILE
    assert not sync(node, _WEB)["changed"]
    assert node.restarts() == []
    before = node.read(_PATH)
    with node.server():
        assert sync(node, _WEB, check=True, state="absent")["changed"]
        assert node.read(_PATH) == before
        assert sync(node, state="absent")["changed"]
    assert not (node.root / _PATH[1:]).exists()


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ({**_PROFILE, "defaultAction": "DENY"}, "defaultAction is 'DENY', which is none of SCMP_ACT_ALLOW"),
        ({"defaultAction": "SCMP_ACT_LOG", "sycalls": []}, "sycalls is not known"),
        ({**_PROFILE, "architectures": ["x86"]}, "architectures is 'x86', which is none of"),
        ({"defaultAction": "SCMP_ACT_LOG", "syscalls": {}}, "syscalls is no list"),
        ({**_PROFILE, "architectures": [["SCMP_ARCH_X86"]]}, "architectures is ['SCMP_ARCH_X86'], which is none of"),
        ({**_PROFILE, "architectures": ["SCMP_ARCH_NONE"]}, "architectures is 'SCMP_ARCH_NONE', which is none of"),
        ({**_PROFILE, "defaultErrnoRet": -1}, "defaultErrnoRet is -1, which is no error's number"),
        ({"defaultAction": "SCMP_ACT_LOG", "defaultErrnoRet": 1}, "defaultErrnoRet goes with SCMP_ACT_ERRNO and"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "SCMP_ACT_NOTIFY without listenerPath"),
        ({**_PROFILE, "syscalls": [{"names": [], "action": "SCMP_ACT_LOG"}]}, "syscalls[0].names is no list"),
        ({**_PROFILE, "syscalls": [{"names": ["read"], "action": "LOG"}]}, "syscalls[0].action is 'LOG'"),
        (
            {
                **_PROFILE,
                "syscalls": [
                    {"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 6, "value": "1", "op": "EQ"}]}
                ],
            },
            "syscalls[0].args[0].index is 6, and a system call has six, 0 to 5",
        ),
        (
            {
                **_PROFILE,
                "syscalls": [
                    {
                        "names": ["read"],
                        "action": "SCMP_ACT_LOG",
                        "args": [{"index": 0, "value": 1, "valueTwo": 1 << 64, "op": "SCMP_CMP_MASKED_EQ"}],
                    }
                ],
            },
            "syscalls[0].args[0].valueTwo is no number of 64 bits",
        ),
    ],
)
def test_what_the_runtime_would_not_understand_is_not_written(
    node: FakeNode, profile: dict[str, t.Any], said: str
) -> None:
    before = node.settings()
    result = sync(node, {"name": "web", "profile": profile})
    assert f"profiles[0] (web): {said}" in result["msg"]
    assert node.settings() == before


def test_another_content_needs_another_version_and_another_stage_does_not(node: FakeNode) -> None:
    sync(node, _WEB, stage="observe")
    assert json.loads(node.read(_PATH))["defaultAction"] == "SCMP_ACT_LOG"
    assert sync(node, _WEB)["changed"]
    assert json.loads(node.read(_PATH))["defaultAction"] == "SCMP_ACT_ERRNO"
    other = {**_PROFILE, "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}
    assert "Raise its version to 2" in sync(node, {"name": "web", "profile": other})["msg"]
    assert sync(node, _WEB, {"name": "web", "profile": other, "version": 2})["changed"]


def test_the_runtimes_own_without_what_is_dangerous_today(node: FakeNode) -> None:
    item = {"name": "now", "deny_families": ["AF_ALG"], "deny": ["io_uring_setup"], "allow": ["bpf"]}
    assert sync(node, item)["changed"]
    written = json.loads(node.read("/var/lib/kubelet/seccomp/k8s/now.v1.json"))
    names = {name for rule in written["syscalls"] for name in rule["names"]}
    assert names == {"read", "bpf", "socket"}, "socketcall is a way around"
    assert allowed_families(written) == set(range(50)) - {38, 40}
    assert all(len(rule.get("args") or []) <= 1 for rule in written["syscalls"]), "two would be alternatives to runc"
    assert written["architectures"] == ["SCMP_ARCH_X86_64"]
    # nothing of it stays in containerd
    calls = [line.split()[-3:] for line in node.read("/commands").splitlines() if line.startswith("ctr")]
    assert calls[-2:] == [["containers", "delete", "seccomp"], ["namespaces", "remove", "hardened-k8s"]]


@pytest.mark.parametrize("families", [[38], [0, 1, 49], list(range(50)), [40, 39, 41]])
def test_any_families_can_be_taken(families: list[int]) -> None:
    profile = seccomp.without(_BASE, (), families, ())
    assert allowed_families(profile) == set(range(50)) - {40} - set(families)


def test_a_family_that_does_not_exist_is_told(node: FakeNode) -> None:
    assert "there is no family of sockets AF_AGL" in sync(node, {"name": "x", "deny_families": ["AF_AGL"]})["msg"]
    both = sync(node, {**_WEB, "deny": ["read"]})
    assert "deny, deny_families and allow change a base, not profile" in both["msg"]


def test_what_a_filter_let_through_is_reported_recorded_and_then_refused(node: FakeNode) -> None:
    sync(node, _WEB, stage="observe")
    (node.root / f"var/log/pods/shop_web-0_{POD}").mkdir(parents=True)
    node.process(4711, "nginx", seccomp=2)
    log = 'SECCOMP auid=1 pid={} comm="{}" exe="/bin/x" sig=0 arch=c000003e syscall={} compat=0 code=0x7ffc0000'
    lines = [log.format(4711, "nginx", 41), log.format(99, "sh", 165)]
    node.program("journalctl", "#!/bin/sh\ncat << 'END'\n" + "\n".join(lines) + "\nEND\n")
    result = sync(node, _WEB, stage="observe", record=True)
    assert [finding["affected"] for finding in found(result, "seccomp/would-deny")] == [
        ["mount by sh"],
        ["socket by nginx"],
    ]
    assert result["recorded"].keys() == {"shop/web-0"}
    (rule,) = result["recorded"]["shop/web-0"]["syscalls"]
    assert {"socket", "mount", "execve"} <= set(rule["names"])
    assert "ptrace" not in rule["names"]
    refused = sync(node, _WEB)
    assert "is refused (seccomp/would-deny)" in refused["msg"]
    accepted = {"rule": "seccomp/would-deny", "reason": "a probe", "expires": "2999-01-01"}
    assert sync(node, _WEB, accept=[accepted])["changed"]
    assert not found(sync(node, _WEB), "seccomp/would-deny")


def test_a_process_that_is_called_as_records_are_is_none(node: FakeNode) -> None:
    node.write(
        "/var/log/audit/audit.log", 'type=ANOM_ABEND msg=audit(9999999999.1:2): pid=4711 comm="code=0x7ffc0000"\n'
    )
    assert not sync(node, {"name": "web", "profile": _PROFILE}, record=True).get("failed")


def test_while_the_api_server_cannot_be_asked_what_pods_may_use_stays(node: FakeNode) -> None:
    """As where kubelet is no process of its own, and nobody knows where its kubeconfig is."""
    sync(node, _WEB)
    kept = sync(node, state="absent")
    assert not kept["changed"]
    assert "the API server does not say" in found(kept, "seccomp/still-used")[0]["message"]
    with node.server():
        assert sync(node, state="absent")["changed"]


def test_a_recording_that_is_not_whole_is_told(node: FakeNode) -> None:
    node.program("journalctl", "#!/bin/sh\necho 'audit: rate limit exceeded'\n")
    assert found(sync(node, {"name": "audit", "base": "audit"}, record=True), "seccomp/record-incomplete")


def test_pods_without_a_filter_are_named(node: FakeNode) -> None:
    (node.root / f"var/log/pods/shop_web-0_{POD}").mkdir(parents=True)
    (finding,) = found(sync(node), "seccomp/started-before")
    assert finding["affected"] == ["shop/web-0"]
    node.process(4711, "sleep", seccomp=2)
    assert not sync(node)["findings"]


@pytest.mark.parametrize(
    ("asks", "rule"),
    [
        ({"privileged": True}, "seccomp/privileged"),
        ({"seccompProfile": {"type": "Unconfined"}}, "seccomp/unconfined"),
        ({}, "seccomp/started-before"),
        ({"seccompProfile": {"type": "RuntimeDefault"}}, "seccomp/started-before"),
    ],
)
def test_why_a_container_has_no_filter_is_judged_by_its_own_words(
    node: FakeNode, asks: dict[str, t.Any], rule: str
) -> None:
    """Not by those of the other one, which was privileged."""
    container = {"name": "web", "securityContext": asks}
    other = {"name": "other", "securityContext": {"privileged": True, "seccompProfile": {"type": "Unconfined"}}}
    status = [{"name": "web", "containerID": f"containerd://{CONTAINER}"}, {"name": "other", "containerID": None}]
    pod = {
        "metadata": {"namespace": "shop", "name": "web-0", "uid": POD},
        "spec": {"containers": [container, other]},
        "status": {"containerStatuses": status},
    }
    with node.server(pod):
        findings = sync(node)["findings"]
    assert [(finding["rule"], finding["affected"]) for finding in findings] == [(rule, ["shop/web-0"])]


def test_what_was_logged_is_read_from_all_of_the_daemons_files_and_of_this_boot_only(node: FakeNode) -> None:
    sync(node, _WEB, stage="observe")
    node.program("journalctl", "#!/bin/sh\n")
    node.write("/proc/stat", "btime 1700000000\n")
    for path in (node.root / "var/lib/kubelet/seccomp/k8s").iterdir():
        os.utime(path, (1700000000, 1700000000))  # what was logged before it was written was of others
    record = 'type=SECCOMP msg=audit({}.5:7): pid=99 comm="sh" sig=0 arch=c000003e syscall={} code=0x7ffc0000\n'
    node.write("/var/log/audit/audit.log.2", record.format(1699999999, 41) + record.format(1700000001, 165))
    node.write("/var/log/audit/audit.log", record.format(1700000002, 101))
    (finding,) = found(sync(node, _WEB, stage="observe"), "seccomp/would-deny")
    assert finding["affected"] == ["mount by sh", "ptrace by sh"]


def test_a_name_that_the_library_does_not_know_is_refused(node: FakeNode) -> None:
    wrong = {**_PROFILE, "syscalls": [{"names": ["read", "raed"], "action": "SCMP_ACT_ALLOW"}]}
    result = sync(node, {"name": "web", "profile": wrong})
    assert "(seccomp/unknown-syscall)" in result["msg"]
    assert "raed" in result["msg"]


def test_what_is_changed_in_a_base_is_another_version(node: FakeNode) -> None:
    """A pod that uses it would get another filter when it starts the next time."""
    declared = {"name": "web", "deny": ["mkdir"]}
    assert sync(node, declared)["changed"]
    refused = sync(node, {**declared, "deny": ["mkdir", "write"]})
    assert "k8s/web.v1.json is there with another content" in refused["msg"]
    assert not sync(node, declared)["changed"]
    assert sync(node, {**declared, "deny": ["mkdir", "write"], "version": 2})["changed"]


def test_a_profile_that_logs_what_it_allows_can_be_enforced_no_less_than_another(node: FakeNode) -> None:
    """What it let through while it was observed counts; what it logs once it is enforced does not."""
    logs = {**_PROFILE, "syscalls": [*_PROFILE["syscalls"], {"names": ["ptrace"], "action": "SCMP_ACT_LOG"}]}
    profile = {"name": "web", "profile": logs}
    sync(node, profile, stage="observe")
    record = f'type=SECCOMP msg=audit({time.time() + 9:.0f}.5:7): pid=99 comm="sh" sig=0 arch=c000003e syscall=165 code=0x7ffc0000\n'
    node.write("/var/log/audit/audit.log", record)
    assert "(seccomp/would-deny)" in sync(node, profile)["msg"]
    (node.root / "var/log/audit/audit.log").unlink()
    assert sync(node, profile)["changed"]
    node.write("/var/log/audit/audit.log", record)
    assert not sync(node, profile).get("failed")


def test_a_log_that_is_not_complete_keeps_it_from_being_enforced(node: FakeNode) -> None:
    sync(node, _WEB, stage="observe")
    node.program("journalctl", "#!/bin/sh\necho 'kauditd_printk_skb: 12 callbacks suppressed'\n")
    assert "(seccomp/log-incomplete)" in sync(node, _WEB)["msg"]


@pytest.mark.parametrize("option", ["deny", "allow"])
def test_a_misspelt_name_would_change_nothing_of_a_base(node: FakeNode, option: str) -> None:
    result = sync(node, {"name": "web", option: ["io_uring_stup"]})
    assert "(seccomp/unknown-syscall)" in result["msg"]
    assert "io_uring_stup" in result["msg"]


def test_a_name_of_the_runtimes_own_is_known_whatever_the_library_says(node: FakeNode) -> None:
    newest = {**_BASE, "syscalls": [{"names": ["of_next_year"], "action": "SCMP_ACT_ALLOW"}]}
    node.program("ctr", _CTR, base=json.dumps(newest))
    assert sync(node, {"name": "web", "deny": ["of_next_year"]})["changed"]


class Older:
    """libseccomp as it was before it knew anything of today's."""

    seccomp_syscall_resolve_name = staticmethod(lambda name: -1 if name == b"landlock_restrict_self" else 1)
    seccomp_arch_resolve_name = staticmethod(lambda name: 0 if name == b"loongarch64" else 1)
    seccomp_syscall_resolve_num_arch = mock.Mock(return_value=None)


def test_what_an_older_library_does_not_know_is_refused(node: FakeNode) -> None:
    newer = {**_PROFILE, "syscalls": [{"names": ["landlock_restrict_self"], "action": "SCMP_ACT_ALLOW"}]}
    elsewhere = {**_PROFILE, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_LOONGARCH64"]}
    with mock.patch("ctypes.CDLL", return_value=Older):
        refused = sync(node, {"name": "newer", "profile": newer}, {"name": "elsewhere", "profile": elsewhere})
    assert "does not know SCMP_ARCH_LOONGARCH64. Leave them out" in refused["msg"]
    assert "(seccomp/unknown-syscall): libseccomp of this node" in refused["msg"]


def test_where_there_is_no_library_that_is_said(node: FakeNode) -> None:
    with mock.patch("ctypes.CDLL", side_effect=OSError):
        assert found(sync(node, _WEB), "seccomp/not-checked")


def test_without_seccomp_that_is_said(fake: FakeNode) -> None:
    assert "seccomp cannot be enforced here" in sync(fake, _WEB)["msg"]
