# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SELinux comes to a node in two changes; each happens as a whole or not at all, and the switch has to be confirmed."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
import typing as t
from unittest import mock

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding
from ansible_collections.hardened.k8s.plugins.module_utils.node import api, change, health, selinux
from ansible_collections.hardened.k8s.plugins.module_utils.node.module import Wanted
from ansible_collections.hardened.k8s.plugins.module_utils.node.selinux_report import Report

from tests.support.modules import Result
from tests.support.nodes import POD, FakeNode

_OWN = "hardened_k8s_selinux_node"
_AVC = (
    'type=AVC msg=audit({when}:1): avc:  denied  {{ {what} }} for  pid=4711 comm="app" {path}dev="vda" '
    "scontext=system_u:system_r:{source}:s0:c1,c2 tcontext=system_u:object_r:{target}:s0 tclass={kind} permissive=1\n"
)


@pytest.fixture
def node(fake: FakeNode) -> FakeNode:
    fake.selinux()
    return fake


def make(node: FakeNode, check: bool = False, **params: t.Any) -> Result:
    return node.run("selinux_node", check=check, **params)


def denied(
    node: FakeNode, source: str, target: str, what: str = "read", kind: str = "file", path: str = "", when: float = 9e9
) -> None:
    shown = f'path="{path}" ' if path else ""
    line = _AVC.format(when=f"{when:.3f}", what=what, path=shown, source=source, target=target, kind=kind)
    before = node.read("/var/log/audit/audit.log") if (node.root / "var/log/audit/audit.log").exists() else ""
    node.write("/var/log/audit/audit.log", before + line)


def enforcing(node: FakeNode) -> bool:
    return node.read("/sys/fs/selinux/enforce").strip() == "1"


def next_boot(node: FakeNode) -> str:
    return node.read("/etc/selinux/config").split("SELINUX=")[1].splitlines()[0]


def rules(result: Result) -> list[str]:
    return sorted(finding["rule"] for finding in result["findings"])


def files(node: FakeNode) -> dict[str, t.Any]:
    return {name: about for name, about in node.settings().items() if about[0] == "file"}


# -- labels, while nothing is denied


def test_labels_are_made_right_by_one_change_of_the_policy(node: FakeNode) -> None:
    result = make(node, stage="observe")
    assert not result.get("failed"), result
    assert node.modules() == [_OWN]
    assert node.labels()["/usr/local/bin/containerd"] == "dockerd_exec_t"
    assert node.labels()["/var/lib/kubelet/config.yaml"] == "container_var_lib_t"
    assert result["restarted"] == ["containerd.service"]
    assert node.restarts() == ["containerd.service"]
    assert sum(line.startswith("semodule") for line in node.read("/commands").splitlines()) == 1
    assert "enable_selinux = true" in node.read("/etc/containerd/conf.d/50-selinux.toml")
    assert "kubernetes_tmpfs_t" in node.read(f"/etc/hardened-k8s/selinux/{_OWN}.cil")
    assert not enforcing(node)
    assert next_boot(node) == "permissive"


def test_a_second_run_changes_nothing(node: FakeNode) -> None:
    make(node, stage="observe")
    commands = node.read("/commands")
    result = make(node, stage="observe")
    assert not result["changed"], result["diff"]
    asked = [line.split()[0] for line in node.read("/commands")[len(commands) :].splitlines()]
    assert not {"semodule", "chcon", "restart", "setsebool"} & set(asked)


def test_check_mode_says_what_is_to_be_done_and_touches_nothing(node: FakeNode) -> None:
    before, labels = node.settings(), node.labels()
    result = make(node, check=True)
    assert result["changed"]
    said = result["diff"][-1]["prepared"]
    assert f"module {_OWN}: to be installed" in said
    assert (
        "label of /usr/local/bin/containerd: system_u:object_r:bin_t:s0 -> system_u:object_r:dockerd_exec_t:s0" in said
    )
    assert "mode: permissive -> enforcing" in said
    assert "SELINUX in /etc/selinux/config: permissive -> enforcing, once that is confirmed" in said
    assert any("enable_selinux" in diff.get("after", "") for diff in result["diff"])
    assert (node.settings(), node.labels(), enforcing(node)) == (before, labels, False)


def test_folders_in_place_of_the_usual_ones_get_their_labels(node: FakeNode) -> None:
    node.write("/data/kubelet/pods/x", "")
    for path in ("/data/kubelet", "/data/kubelet/pods", "/data/kubelet/pods/x"):
        node.labelled(path, "system_u:object_r:default_t:s0")
    node.kubelet("1.37.2", "--root-dir=/data/kubelet")
    result = make(node, stage="observe")
    assert not result.get("failed"), result
    assert '(filecon "/data/kubelet(/.*)?" any' in node.read(f"/etc/hardened-k8s/selinux/{_OWN}.cil")
    assert {node.labels()[path] for path in ("/data/kubelet", "/data/kubelet/pods/x")} == {"kube_t"}
    assert not make(node, stage="observe")["changed"]


def test_a_link_to_nothing_is_labelled_as_well(node: FakeNode) -> None:
    node.write("/srv/data/x", "")
    (node.root / "srv/data/link").symlink_to("/nowhere")
    for path in ("/srv/data", "/srv/data/x", "/srv/data/link"):
        node.labelled(path, "system_u:object_r:var_t:s0")
    declared: dict[str, t.Any] = {"fcontexts": [{"target": "/srv/data(/.*)?", "setype": "container_file_t"}]}
    make(node, stage="observe", **declared)
    assert node.labels()["/srv/data/link"] == "container_file_t"
    assert not make(node, stage="observe", **declared)["changed"]


def test_labels_booleans_and_modules_of_ones_own_come_and_go(node: FakeNode) -> None:
    node.write("/srv/data/x", "")
    for path in ("/srv/data", "/srv/data/x"):
        node.labelled(path, "system_u:object_r:var_t:s0")
    before = files(node)
    declared: dict[str, t.Any] = {
        "fcontexts": [{"target": "/srv/data(/.*)?", "setype": "container_file_t"}],
        "booleans": {"container_manage_cgroup": True},
        "modules": [{"name": "shop", "cil": "(allow a_t b_t (file (read)))"}],
    }
    result = make(node, stage="observe", **declared)
    assert not result.get("failed"), result
    assert node.labels()["/srv/data/x"] == "container_file_t"
    assert node.modules() == [_OWN, "shop"]
    assert node.read("/sys/fs/selinux/booleans/container_manage_cgroup") == "1 1"
    assert not make(node, stage="observe", **declared)["changed"]
    make(node, stage="observe", **{**declared, "modules": []})
    assert node.modules() == [_OWN]
    assert make(node, state="absent")["changed"]
    assert (node.modules(), node.labels()["/srv/data/x"]) == ([], "var_t")
    assert node.read("/sys/fs/selinux/booleans/container_manage_cgroup") == "0 0"
    assert files(node) == before
    assert not make(node, state="absent")["changed"]


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"modules": [{"name": "a-b", "cil": "(x)"}]}, "modules[0] (a-b): a module's name has letters"),
        ({"modules": [{"name": "a", "cil": "(allow a_t"}]}, "modules[0] (a): its parentheses do not match"),
        ({"modules": [{"name": "a", "cil": "(x)"}, {"name": "a", "cil": "(x)"}]}, "modules[1] (a): declared twice"),
        ({"fcontexts": [{"target": "/etc(/.*)?", "setype": "a_t"}]}, "it is about a part of the system"),
        ({"fcontexts": [{"target": "srv", "setype": "a_t"}]}, "target is no path"),
        ({"fcontexts": [{"target": "/srv/(", "setype": "a_t"}]}, "no regular expression"),
        ({"fcontexts": [{"target": "/srv/x", "setype": "a b"}]}, "setype is no type"),
        ({"booleans": {"no_such": True}}, "booleans (no_such): the policy has no such boolean"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_done(node: FakeNode, params: dict[str, t.Any], reason: str) -> None:
    before = node.settings()
    result = make(node, **params)
    assert reason in result["msg"]
    assert (node.settings(), enforcing(node), node.restarts()) == (before, False, [])


def test_a_policy_that_knows_no_containers_is_refused(node: FakeNode) -> None:
    known = [line for line in node.read("/policy").splitlines() if "dockerd" not in line]
    node.write("/policy", "\n".join(known) + "\n")
    result = make(node)
    assert "it has no type for /usr/local/bin/containerd" in result["msg"]
    assert "container-selinux" in result["msg"]
    assert node.modules() == []


def test_a_module_that_does_not_compile_leaves_everything_as_it_was(node: FakeNode) -> None:
    before, labels = node.settings(), node.labels()
    result = make(node, modules=[{"name": "wrong", "cil": "(allow BAD b_t (file (read)))"}])
    assert "unknown type BAD. Everything was put back" in result["msg"]
    assert (node.modules(), node.labels(), enforcing(node)) == ([], labels, False)
    assert node.settings().keys() - before.keys() <= {"var/lib/selinux/default/active/modules"}


def test_a_containerd_that_does_not_come_up_again_leaves_everything_as_it_was(node: FakeNode) -> None:
    labels = node.labels()
    node.breaks("containerd.service", "/etc/containerd/conf.d/50-selinux.toml")
    result = make(node)
    assert "Everything was put back" in result["msg"]
    assert (node.modules(), node.labels(), enforcing(node)) == ([], labels, False)
    assert not (node.root / "etc/containerd/conf.d/50-selinux.toml").exists()


def test_a_power_cut_after_the_policy_was_changed_is_undone_at_boot(node: FakeNode) -> None:
    """The policy and labels outlive a boot, so the boot undoes them, too."""
    labels = node.labels()
    cut = mock.patch.object(change, "_undone", side_effect=HardenedError("the power is cut"))
    with mock.patch.object(health, "wait", side_effect=HardenedError("cut")), cut:
        make(node, stage="observe")
    assert node.modules() == [_OWN]
    undo = node.root / "var/lib/hardened-k8s/change/undo"
    subprocess.run(["sh", str(undo), "boot"], check=True, env={"PATH": node.path})
    assert (node.modules(), node.labels()) == ([], labels)
    assert not undo.exists()


# -- the switch


def test_enforcing_has_to_be_confirmed_and_only_then_outlives_a_boot(node: FakeNode) -> None:
    result = make(node)
    assert not result.get("failed"), result
    assert (result["pending"], enforcing(node), next_boot(node)) == (True, True, "permissive")
    assert "systemd-run" in node.read("/commands")
    assert "--on-active=300" in node.read("/commands")
    confirmed = make(node, confirm=True)
    assert not confirmed.get("failed"), confirmed
    assert (confirmed["changed"], confirmed["pending"], confirmed["mode"]) == (True, False, "enforcing")
    assert next_boot(node) == "enforcing"
    again = make(node)
    assert (again["changed"], again["pending"]) == (False, False)


def test_what_nobody_confirms_is_put_back(node: FakeNode) -> None:
    make(node)
    undo = node.root / "var/lib/hardened-k8s/change/undo"
    subprocess.run(["sh", str(undo)], check=True, env={"PATH": node.path})
    assert not enforcing(node)
    late = make(node, confirm=True)
    assert "there is no change to confirm" in late["msg"]
    assert not enforcing(node)


def test_the_next_run_puts_back_what_was_not_confirmed(node: FakeNode) -> None:
    make(node)
    result = make(node, stage="observe")
    assert result["recovered"]
    assert not enforcing(node)


def test_a_node_that_cannot_start_containers_any_more_goes_back_at_once(node: FakeNode) -> None:
    node.write("/refuses", "runc did not terminate successfully\n")
    result = make(node)
    assert "no container can be started any more: runc did not terminate successfully" in result["msg"]
    assert "Everything was put back" in result["msg"]
    assert (enforcing(node), next_boot(node)) == (False, "permissive")


def test_it_stays_permissive_while_something_would_be_denied_unless_that_is_accepted(node: FakeNode) -> None:
    make(node, stage="observe")
    denied(node, "dockerd_t", "kubernetes_tmpfs_t", "relabelfrom", "dir")
    denied(node, "logrotate_t", "var_t")
    seen = make(node, stage="warn")
    assert rules(seen) == ["selinux/denied-elsewhere", "selinux/started-before", "selinux/would-deny"]
    refused = make(node)
    assert "selinux/would-deny" in refused["msg"]
    assert "(allow dockerd_t kubernetes_tmpfs_t (dir (relabelfrom)))" in refused["msg"]
    assert not enforcing(node)
    risk = {"rule": "selinux/would-deny", "name": "dockerd_t", "reason": "Known", "expires": "2999-01-01"}
    assert make(node, accept=[risk])["pending"]


def test_what_was_denied_before_labels_were_right_does_not_count(node: FakeNode) -> None:
    denied(node, "initrc_t", "container_var_lib_t", when=1.0)
    denied(node, "dockerd_t", "bin_t", when=1.0)
    assert make(node)["pending"]


def test_what_is_denied_once_labels_are_right_counts_in_the_same_run(node: FakeNode) -> None:
    denied(node, "dockerd_t", "bin_t", when=time.time() + 1000)
    assert "selinux/would-deny" in make(node)["msg"]
    assert not enforcing(node)


def test_what_was_denied_while_it_was_observed_keeps_it_from_enforcing(node: FakeNode) -> None:
    """Although the run that is to enforce changes the policy, which now denies again without a word what it may."""
    make(node, stage="observe")
    settled = node.root / "var/lib/hardened-k8s/selinux-selinux_node.settled"
    os.utime(settled, (time.time() - 1000, time.time() - 1000))
    denied(node, "dockerd_t", "kubernetes_tmpfs_t", "relabelfrom", "dir", when=time.time() - 500)
    refused = make(node, modules=[{"name": "other", "cil": "(allow a_t b_t (file (read)))"}])
    assert "selinux/would-deny" in refused["msg"]
    assert (enforcing(node), node.modules()) == (False, [_OWN, "other"])


def test_what_the_policy_allows_by_now_does_not_count(node: FakeNode) -> None:
    make(node, stage="observe")
    denied(node, "dockerd_t", "kubernetes_tmpfs_t", "relabelfrom", "dir")
    with mock.patch.object(selinux, "allows", return_value=True):
        assert make(node)["pending"]


@pytest.mark.parametrize("domain", ["mount_t", "iptables_t"])
def test_what_kubelet_calls_matters_as_kubelet_does(node: FakeNode, domain: str) -> None:
    make(node, stage="observe")
    denied(node, domain, "container_var_lib_t", "mounton", "dir")
    assert "selinux/would-deny" in make(node)["msg"]


def test_a_log_that_is_not_complete_keeps_it_from_enforcing(node: FakeNode) -> None:
    make(node, stage="observe")
    node.program("journalctl", "#!/bin/sh\necho 'audit: rate limit exceeded'\n")
    assert "selinux/log-incomplete" in make(node)["msg"]
    assert not enforcing(node)


def test_an_api_server_that_cannot_be_asked_keeps_it_from_enforcing_unless_that_is_accepted(node: FakeNode) -> None:
    """Nobody could say whether the node stays Ready, nor which pods use what of the node's files."""
    node.write("/etc/kubernetes/kubelet.conf", "server: https://192.0.2.1:6443\ncertificate-authority-data: none\n")
    assert "(selinux/api-silent)" in make(node)["msg"]
    assert not enforcing(node)
    risk = {"rule": "selinux/api-silent", "kind": "Node", "reason": "Known", "expires": "2999-01-01"}
    assert make(node, accept=[risk])["pending"]


def test_a_switch_after_which_something_is_denied_is_put_back_instead_of_confirmed(node: FakeNode) -> None:
    make(node)
    denied(node, "dockerd_t", "kubernetes_tmpfs_t", "relabelfrom", "dir")
    refused = make(node, confirm=True)
    assert "selinux/would-deny" in refused["msg"]
    assert "it was put back" in refused["msg"]
    assert (enforcing(node), next_boot(node)) == (False, "permissive")
    assert "there is no change to confirm" in make(node, confirm=True)["msg"]


@pytest.mark.parametrize("renewed", [True, False])
def test_a_switch_after_which_kubelet_says_no_more_is_put_back(node: FakeNode, renewed: bool) -> None:
    """The API server has it as Ready for some time, whatever has become of it."""
    beats = itertools.count() if renewed else itertools.repeat(0)
    last = mock.Mock(side_effect=lambda _node: (True, str(next(beats))))
    make(node, stage="observe")
    with mock.patch.object(api, "heartbeat", last):
        result = make(node, health_timeout=1)
    assert enforcing(node) is renewed
    assert ("kubelet has not told the API server anew that it is Ready" in result.get("msg", "")) is not renewed


def test_a_node_that_is_not_ready_is_not_confirmed(node: FakeNode) -> None:
    make(node)
    with mock.patch.object(api, "heartbeat", return_value=(False, "")):
        assert "the node is not healthy" in make(node, confirm=True)["msg"]
    assert next_boot(node) == "permissive"


def test_what_is_still_made_right_when_the_switch_is_confirmed_stays(node: FakeNode) -> None:
    """Nobody would confirm that a second time."""
    make(node)
    node.labelled("/usr/local/bin/containerd", "system_u:object_r:bin_t:s0")
    confirmed = make(node, confirm=True)
    assert not confirmed.get("failed"), confirmed
    assert (confirmed["pending"], next_boot(node)) == (False, "enforcing")
    assert not (node.root / "var/lib/hardened-k8s/change").exists()
    assert not make(node).get("recovered")


def test_one_that_enforces_already_is_told_what_is_denied_and_not_refused(node: FakeNode) -> None:
    make(node)
    make(node, confirm=True)
    denied(node, "dockerd_t", "kubernetes_tmpfs_t", "relabelfrom", "dir")
    node.write("/etc/kubernetes/kubelet.conf", "server: https://192.0.2.1:6443\ncertificate-authority-data: none\n")
    again = make(node)
    assert not again.get("failed"), again
    assert {"selinux/would-deny", "selinux/api-silent"}.issubset(rules(again))


def test_what_was_denied_before_the_switch_was_judged_before_it(node: FakeNode) -> None:
    make(node, stage="observe")
    settled = node.root / "var/lib/hardened-k8s/selinux-selinux_node.settled"
    os.utime(settled, (time.time() - 1000, time.time() - 1000))
    denied(node, "dockerd_t", "kubernetes_tmpfs_t", "relabelfrom", "dir", when=time.time() - 500)
    risk = {"rule": "selinux/would-deny", "name": "dockerd_t", "reason": "Known", "expires": "2999-01-01"}
    assert make(node, accept=[risk])["pending"]
    assert not make(node, confirm=True).get("failed")


def test_what_was_about_a_file_that_has_another_label_by_now_does_not_count(node: FakeNode) -> None:
    make(node, stage="observe")
    node.write("/srv/data/x", "")
    node.labelled("/srv/data/x", "system_u:object_r:var_t:s0")
    denied(node, "container_t", "var_t", path="/srv/data/x")
    assert "selinux/would-deny" in rules(make(node, stage="observe"))
    node.labelled("/srv/data/x", "system_u:object_r:container_file_t:s0")
    assert "selinux/would-deny" not in rules(make(node, stage="observe"))


def test_one_that_enforced_before_anybody_came_goes_on_to_when_observed(fake: FakeNode) -> None:
    fake.selinux("enforcing")
    result = make(fake, stage="observe")
    assert not result.get("failed"), result
    assert (enforcing(fake), next_boot(fake), result["mode"]) == (True, "enforcing", "enforcing")
    assert not make(fake, stage="observe", confirm=True)["changed"]
    assert not make(fake, stage="observe")["changed"]


def test_what_is_changed_while_it_enforces_is_put_back_unless_it_is_confirmed(fake: FakeNode) -> None:
    fake.selinux("enforcing")
    before, labels = files(fake), fake.labels()
    assert make(fake)["pending"]
    assert fake.modules() == [_OWN]
    assert "--on-active=300" in fake.read("/commands")
    undo = fake.root / "var/lib/hardened-k8s/change/undo"
    subprocess.run(["sh", str(undo)], check=True, env={"PATH": fake.path})
    assert (files(fake), fake.labels(), fake.modules()) == (before, labels, [])
    make(fake)
    confirmed = make(fake, confirm=True)
    assert (confirmed["pending"], enforcing(fake), fake.modules()) == (False, True, [_OWN])
    assert not make(fake)["changed"]


def test_one_that_enforces_already_has_to_go_on_starting_containers(fake: FakeNode) -> None:
    fake.selinux("enforcing")
    before, labels = files(fake), fake.labels()
    fails = "[ ! -e {root}/etc/containerd/conf.d/50-selinux.toml ] || {{ echo no; exit 1; }}"
    fake.program("ctr", f"#!/bin/sh\ncase \"$*\" in *'images list'*) echo a/pause:3 ;; *' run '*) {fails} ;; esac\n")
    result = make(fake)
    assert "no container can be started any more" in result["msg"]
    assert (files(fake), fake.labels()) == (before, labels)


@pytest.mark.parametrize(("value", "then"), [("off", "0 0"), ("no", "0 0"), ("on", "1 1"), (True, "1 1")])
def test_a_boolean_means_what_is_written(node: FakeNode, value: t.Any, then: str) -> None:
    make(node, stage="observe", booleans={"container_manage_cgroup": value})
    assert node.read("/sys/fs/selinux/booleans/container_manage_cgroup") == then


def test_a_boolean_that_is_neither_is_refused(node: FakeNode) -> None:
    refused = make(node, stage="observe", booleans={"container_manage_cgroup": "maybe"})
    assert "booleans (container_manage_cgroup): 'maybe' is neither on nor off" in refused["msg"]


def test_below_enforce_what_is_denied_without_a_word_is_logged(node: FakeNode) -> None:
    silent = node.root / "var/lib/selinux/default/active/disable_dontaudit"
    make(node, stage="observe")
    assert silent.exists()
    make(node)
    assert not silent.exists()
    make(node, stage="observe", disable_dontaudit=False)
    assert not silent.exists()


def test_back_to_observe_is_one_word(node: FakeNode) -> None:
    make(node)
    make(node, confirm=True)
    result = make(node, stage="observe")
    assert not result.get("failed"), result
    assert (enforcing(node), next_boot(node)) == (False, "permissive")


def test_absent_gives_back_what_was_there(node: FakeNode) -> None:
    before, labels = files(node), node.labels()
    make(node)
    make(node, confirm=True)
    result = make(node, state="absent")
    assert not result.get("failed"), result
    assert (enforcing(node), next_boot(node), node.modules()) == (False, "permissive", [])
    assert node.labels() == labels
    assert files(node) == before
    assert not (node.root / "etc/hardened-k8s").exists()
    assert not make(node, state="absent")["changed"]


# -- other nodes


def test_a_host_with_apparmor_is_refused_with_the_other_role(fake: FakeNode) -> None:
    fake.apparmor()
    result = make(fake)
    assert "this host has AppArmor" in result["msg"]
    assert "hardened.k8s.apparmor" in result["msg"]


def test_a_host_without_any_is_refused(fake: FakeNode) -> None:
    assert "SELinux cannot be enforced here" in make(fake)["msg"]


def test_one_that_is_switched_off_is_labelled_at_its_next_boot_and_never_enforces_at_once(node: FakeNode) -> None:
    (node.root / "sys/fs/selinux/enforce").unlink()
    node.write("/etc/selinux/config", "SELINUX=disabled\nSELINUXTYPE=default\n")
    result = make(node)
    assert (result["reboot_required"], result["pending"], next_boot(node)) == (True, False, "permissive")
    assert (node.root / ".autorelabel").exists()
    assert not make(node)["changed"]


def test_preparing_one_that_is_switched_off_can_be_taken_back(node: FakeNode) -> None:
    (node.root / "sys/fs/selinux/enforce").unlink()
    node.write("/etc/selinux/config", "SELINUX=disabled\nSELINUXTYPE=default\n").chmod(0o600)
    before = files(node)
    make(node)
    result = make(node, state="absent")
    assert not result.get("failed"), result
    assert files(node) == before
    assert not (node.root / ".autorelabel").exists()


def test_one_that_was_switched_off_is_so_again_after_all(node: FakeNode) -> None:
    (node.root / "sys/fs/selinux/enforce").unlink()
    node.write("/etc/selinux/config", "SELINUX=disabled\nSELINUXTYPE=default\n")
    make(node)
    # it is booted
    (node.root / ".autorelabel").unlink()
    node.write("/sys/fs/selinux/enforce", "0")
    denied(node, "dockerd_t", "bin_t", when=time.time())
    assert make(node)["pending"], "what was denied before labels were right does not count"
    make(node, confirm=True)
    make(node, state="absent")
    assert next_boot(node) == "disabled"


@pytest.mark.parametrize("hold", [-1, 0, 29])
def test_a_switch_that_nobody_can_confirm_in_time_is_refused(node: FakeNode, hold: int) -> None:
    assert "Give at least 30" in make(node, hold=hold)["msg"]
    assert not enforcing(node)


def test_a_module_of_somebody_elses_is_not_replaced(node: FakeNode) -> None:
    theirs = node.write("/var/lib/selinux/default/active/modules/400/mypol/cil", "(allow a_t b_t (file (read)))\n")
    result = make(node, stage="observe", modules=[{"name": "mypol", "cil": "(allow a_t b_t (file (write)))"}])
    assert "module mypol: the policy has one of that name, which is not of owner" in result["msg"]
    assert theirs.read_text() == "(allow a_t b_t (file (read)))\n"
    assert node.modules() == ["mypol"]


def test_the_journal_is_asked_for_what_counts_and_no_more(node: FakeNode) -> None:
    """What it got from the kernel has lost its own time."""
    node.program("journalctl", '#!/bin/sh\necho "journalctl $*" >> {root}/commands\n')
    make(node, stage="observe")
    make(node, stage="observe")
    asked = [line for line in node.read("/commands").splitlines() if line.startswith("journalctl")]
    since = int((node.root / "var/lib/hardened-k8s/selinux-selinux_node.settled").stat().st_mtime)
    assert asked
    assert all(f"--since=@{since}" in line or f"--since=@{since + 1}" in line for line in asked), asked


def test_tools_that_are_missing_are_named(node: FakeNode) -> None:
    (node.bin / "matchpathcon").unlink()
    with mock.patch.dict("os.environ", {"PATH": "/nowhere"}):
        assert "matchpathcon is not installed" in make(node)["msg"]


def test_crio_is_told_to_label_containers(node: FakeNode) -> None:
    node.write("/proc/90/comm", "crio\n")
    (node.root / "proc/90/exe").unlink()
    (node.root / "proc/90/exe").symlink_to("/usr/bin/crio")
    node.write("/proc/90/attr/current", "system_u:system_r:container_runtime_t:s0")
    node.write("/policy", node.read("/policy") + "/usr/bin/crio container_runtime_exec_t\n")
    node.write("/units/crio.service", "ActiveState=active\nSubState=running\n")
    result = make(node, stage="observe")
    assert result["restarted"] == ["crio.service"], result
    assert node.read("/etc/crio/crio.conf.d/50-hardened-k8s-selinux.conf").endswith("[crio.runtime]\nselinux = true\n")


# -- what is worth knowing


def report(node: FakeNode, *asked: dict[str, t.Any]) -> list[Finding]:
    wanted = Wanted()
    labels = mock.patch.object(selinux, "label", node._label)
    with labels, mock.patch.object(api, "Api") as server:
        server.return_value.pods.return_value = list(asked)
        Report(node.node(), wanted, True, set()).make(0.0, True)
    return wanted.findings


def pod(name: str, spec: dict[str, t.Any], uid: str = "") -> dict[str, t.Any]:
    return {"metadata": {"namespace": "shop", "name": name, "uid": uid or name}, "spec": {"containers": [{}], **spec}}


def claim(name: str, **context: t.Any) -> dict[str, t.Any]:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    return pod(name, {"volumes": volumes, "securityContext": context})


@pytest.mark.parametrize("domain", ["initrc_t", "spc_t", "container_runtime_t"])
def test_pods_that_nothing_confines_are_told_but_for_those_that_are_to_be_free(node: FakeNode, domain: str) -> None:
    """What containers start in, where the runtime labels none, is a matter of the policy."""
    node.process(4711, "sleep", label=f"system_u:system_r:{domain}:s0")
    assert [f.rule for f in report(node, pod("old", {}, POD))] == ["selinux/started-before"]
    asking = {"containers": [{"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}]}
    assert report(node, pod("asking", asking, POD)) == []
    assert report(node, pod("free", {"containers": [{"securityContext": {"privileged": True}}]}, POD)) == []
    node.process(4711, "sleep", label="system_u:system_r:container_t:s0:c1,c2")
    assert report(node, pod("new", {}, POD)) == []


def test_pods_with_the_same_categories_are_told(node: FakeNode) -> None:
    other = POD.replace("1", "9")
    node.process(4711, "sleep", label="system_u:system_r:container_t:s0:c1,c2")
    node.process(4712, "sleep", pod=other, label="system_u:system_r:container_t:s0:c1,c2")
    (finding,) = report(node, pod("a", {}, POD), pod("b", {}, other))
    assert (finding.rule, finding.affected) == ("selinux/same-categories", ("shop/a", "shop/b"))
    node.process(4712, "sleep", pod=other, label="system_u:system_r:container_t:s0:c1,c3")
    assert report(node, pod("a", {}, POD), pod("b", {}, other)) == []


def test_pods_that_share_a_volume_with_different_labels_are_told(node: FakeNode) -> None:
    node.process(4711, "sleep", label="system_u:system_r:container_t:s0:c1,c2")
    level = {"seLinuxOptions": {"level": "s0:c1,c2"}}
    (finding,) = report(node, claim("a", **level), claim("b", seLinuxOptions={"level": "s0:c3,c4"}))
    assert finding.rule == "selinux/shared-volume"
    assert finding.affected == ("a: level=s0:c1,c2", "b: level=s0:c3,c4")
    assert report(node, claim("a", **level), claim("b", **level)) == []
    recursive = {"seLinuxChangePolicy": "Recursive"}
    (finding,) = report(node, claim("a", **level), claim("b", **recursive))
    assert finding.affected == ("b: none", "a: level=s0:c1,c2"), "one of them has it mounted with its label"
    assert report(node, claim("a", **level, **recursive), claim("b", **recursive)) == []


@pytest.mark.parametrize(
    ("context", "refused"),
    [({}, True), ({"privileged": True}, False), ({"seLinuxOptions": {"type": "spc_t"}}, False)],
)
def test_a_path_of_the_node_that_a_pod_could_not_use_is_refused(
    node: FakeNode, context: dict[str, t.Any], refused: bool
) -> None:
    node.process(4711, "sleep", label="system_u:system_r:container_t:s0:c1,c2")
    node.labelled("/srv/data", "system_u:object_r:var_t:s0")
    container = {"securityContext": context, "volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    asked = pod("a", {"containers": [container], "volumes": [{"name": "v", "hostPath": {"path": "/srv/data"}}]})
    with mock.patch.object(selinux, "allows", return_value=False):
        found = [(f.rule, f.ref.name, f.affected, f.refuse) for f in report(node, asked)]
    assert found == ([("selinux/host-path", "/srv/data", ("shop/a",), True)] if refused else [])


def test_a_denial_says_label_before_boolean_before_rule(node: FakeNode) -> None:
    node.process(4711, "sleep", label="system_u:system_r:container_t:s0:c1,c2")
    node.write("/var/lib/kubelet/x", "")
    node.labelled("/var/lib/kubelet/x", "system_u:object_r:default_t:s0")
    denied(node, "container_t", "default_t", path="/var/lib/kubelet/x")
    denied(node, "container_t", "cgroup_t", "write")
    denied(node, "container_t", "var_t", path="/srv/x")
    denied(node, "container_t", "proc_t", kind="lnk_file")
    remedies = [finding.remedy for finding in report(node)]
    assert [remedy.split()[0] for remedy in remedies] == ["Let", "It", "Allow", "Label"]
    assert "container_manage_cgroup" in remedies[0]
    assert "restorecon -R /var/lib/kubelet/x makes it container_var_lib_t" in remedies[1]
