# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The roles apparmor and seccomp on nodes of a cluster: what pods may and may not, what is found, and the way back."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.gates.environment import ROOT
from tests.nodes.playing import CLOSED, Node, OnKind, OnMachine, is_ready, printed
from tests.support.shells import Pods
from tests.testbed.kind import WORKER
from tests.testbed.machines import Nodes
from tests.testbed.versions import PAUSE

pytestmark = pytest.mark.machines("apparmor")

_LIBRARY = ["batch-job", "database", "deny-write", "no-network", "web-server"]
_WRITE = "mkdir -p /srv/closed && echo x > /srv/closed/file"
_ACCEPT = [{"rule": "apparmor/would-deny", "reason": "a probe", "expires": "2999-01-01"}]
_SECCOMP: dict[str, t.Any] = {
    "library": ["audit", "no-af-alg", "runtime-default"],
    "profiles": [{"name": "no-mkdir", "deny": ["mkdir", "mkdirat"]}],
}


@pytest.fixture(scope="module")
def machine(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> OnMachine:
    nodes.only("apparmor")
    return OnMachine(nodes.fleet, "apparmor", tmp_path_factory.mktemp("confinement"))


@pytest.fixture
def node(machine: OnMachine) -> t.Iterator[OnMachine]:
    """The machine with AppArmor, on which a test leaves nothing."""
    before = machine.files()
    yield machine
    for role in ("apparmor", "seccomp"):
        result = machine.play(role, state="absent")
        assert result["rc"] == 0, result["output"]
    assert machine.loaded() == {}
    assert machine.files() == before


def restarts(nodes: Nodes, pod: str) -> int:
    about = nodes.get(f"/api/v1/namespaces/default/pods/{pod}")
    return int(about["status"]["containerStatuses"][0]["restartCount"])


def labels(nodes: Nodes, name: str = "apparmor") -> dict[str, str]:
    found = nodes.get(f"/api/v1/nodes/{name}")["metadata"]["labels"]
    return {key: value for key, value in found.items() if key.startswith("hardened.k8s/")}


def localhost(profile: str) -> dict[str, t.Any]:
    return {"type": "Localhost", "localhostProfile": profile}


# -- AppArmor


def test_apparmor_from_check_mode_to_undo(nodes: Nodes, node: OnMachine) -> None:
    before = node.files()
    shown = node.play("apparmor", "--check", "--diff", library=_LIBRARY)
    assert shown["rc"] == 0, shown["output"]
    assert shown["changed"] == 1
    assert all(f"+++ after: /etc/apparmor.d/k8s.{name}.v1" in shown["output"] for name in _LIBRARY)
    assert (node.files(), node.loaded(), labels(nodes)) == (before, {}, {})

    assert node.applied("apparmor", library=_LIBRARY)["changed"] == 1
    assert node.loaded() == {f"k8s.{name}.v1": "enforce" for name in _LIBRARY}
    assert labels(nodes) == {f"hardened.k8s/apparmor-{name}.v1": "enforce" for name in _LIBRARY}
    started = node.run("systemctl show containerd kubelet --property=ExecMainStartTimestampMonotonic")
    second = node.applied("apparmor", library=_LIBRARY)
    assert second["changed"] == 0
    assert second["ok"] + second["skipped"] <= 8
    assert node.run("systemctl show containerd kubelet --property=ExecMainStartTimestampMonotonic") == started

    assert node.applied("apparmor", library=_LIBRARY, state="absent")["changed"] == 1
    assert (node.files(), node.loaded(), labels(nodes)) == (before, {}, {})


#: Profile -> what a pod may, and may not.
_MAY = {
    "batch-job": ("echo x > /dev/shm/x && cat /dev/shm/x", "echo x > /bin/x"),
    "database": ("mkdir /dev/shm/x && cat /proc/1/cmdline", "echo x > /bin/x"),
    "deny-write": ("echo x > /dev/shm/x && cat /dev/shm/x", "echo x > /bin/x"),
    "no-network": ("echo x > /bin/x", "nc -w 1 127.0.0.1 9"),
    "web-server": ("echo x > /dev/shm/x && cat /proc/1/status", "echo x > /bin/x"),
}


def test_a_ready_profile_lets_a_pod_do_what_it_is_for_and_nothing_else(
    nodes: Nodes, pods: Pods, node: OnMachine
) -> None:
    assert sorted(_MAY) == _LIBRARY
    node.applied("apparmor", library=_LIBRARY)
    for name in _LIBRARY:
        pods.create(name, "apparmor", appArmorProfile=localhost(f"k8s.{name}.v1"))
    pods.wait(*_LIBRARY)
    for name, (may, may_not) in _MAY.items():
        assert pods.confinement(name) == f"k8s.{name}.v1 (enforce)"
        pods.sh(name, may)
        with pytest.raises(RuntimeError, match="ermission denied"):
            pods.sh(name, may_not)

    kept = node.applied("apparmor", state="absent")
    assert "apparmor/still-used: k8s.database.v1" in kept["output"]
    assert "default/database" in kept["output"]
    assert labels(nodes)["hardened.k8s/apparmor-database.v1"] == "enforce"
    pods.delete(*_LIBRARY)


def test_apparmor_observes_pods_first(pods: Pods, node: OnMachine) -> None:
    node.applied("apparmor", stage="observe", profiles=[CLOSED])
    pods.create("tried", "apparmor", appArmorProfile=localhost("k8s.closed.v1"))
    pods.create("free", "apparmor", appArmorProfile={"type": "Unconfined"})
    pods.create("early", "apparmor", appArmorProfile=localhost("k8s.later.v1"))
    pods.wait("tried", "free")
    pods.sh("tried", _WRITE)
    observed = printed(node.applied("apparmor", stage="observe", profiles=[CLOSED]))
    assert "apparmor/would-deny: k8s.closed.v1: it does not allow what was done in default/tried" in observed
    assert "/srv/closed/file" in observed
    unconfined = observed.partition("apparmor/unconfined: unconfined: ")[2].partition("apparmor/")[0]
    assert "default/free" in unconfined
    assert "default/tried" not in unconfined, "what keeps its network has no profile, and is no container of it"
    assert "apparmor/not-loaded: k8s.later.v1: pods of this node ask for it, and it is not loaded here" in observed
    refused = node.play("apparmor", profiles=[CLOSED])
    assert refused["rc"] != 0
    assert "is refused (apparmor/would-deny)" in printed(refused)
    assert node.loaded() == {"k8s.closed.v1": "complain"}
    node.applied("apparmor", profiles=[CLOSED], accept=_ACCEPT)
    assert pods.confinement("tried") == "k8s.closed.v1 (enforce)"
    with pytest.raises(RuntimeError, match="ermission denied"):
        pods.sh("tried", _WRITE)
    pods.delete("tried", "free", "early")


# -- seccomp


def test_seccomp_from_check_mode_to_undo(nodes: Nodes, pods: Pods, node: OnMachine) -> None:
    before = node.files()
    pods.create("older", "apparmor")
    pods.create("privileged", "apparmor", privileged=True)
    pods.create("asking", "apparmor", seccompProfile={"type": "Unconfined"})
    pods.wait("older", "privileged", "asking")
    assert not pods.is_filtered("older")

    shown = node.play("seccomp", "--check", "--diff", **_SECCOMP)
    assert shown["rc"] == 0, shown["output"]
    assert shown["changed"] == 2
    assert "+++ after: /var/lib/kubelet/seccomp/k8s/no-mkdir.v1.json" in shown["output"]
    assert "+++ after: /etc/kubernetes/kubelet.conf.d/50-seccomp.conf" in shown["output"]
    assert node.files() == before

    assert node.applied("seccomp", **_SECCOMP)["changed"] == 2
    assert is_ready(nodes, "apparmor")
    configured = json.loads(nodes.kubectl("get", "--raw", "/api/v1/nodes/apparmor/proxy/configz"))
    assert configured["kubeletconfig"]["seccompDefault"] is True
    started = node.run("systemctl show kubelet --property=ExecMainStartTimestampMonotonic")
    second = node.applied("seccomp", **_SECCOMP)
    assert second["changed"] == 0
    assert second["ok"] + second["skipped"] <= 8
    assert node.run("systemctl show kubelet --property=ExecMainStartTimestampMonotonic") == started
    found = printed(second)
    for rule, name in (("started-before", "older"), ("privileged", "privileged"), ("unconfined", "asking")):
        about = found.partition(f"seccomp/{rule}: ")[2].partition("seccomp/")[0]
        assert f"default/{name}" in about, found

    pods.create("newer", "apparmor")
    names = ["no-mkdir", "no-af-alg", "runtime-default"]
    for name in names:
        pods.create(name, "apparmor", seccompProfile=localhost(f"k8s/{name}.v1.json"))
    pods.wait("newer", *names)
    for name in ("newer", *names):
        assert pods.is_filtered(name)
    pods.sh("runtime-default", "mkdir /x")
    with pytest.raises(RuntimeError, match="Operation not permitted"):
        pods.sh("no-mkdir", "mkdir /x")

    kept = node.applied("seccomp", state="absent")
    assert "seccomp/still-used: k8s/no-mkdir.v1.json" in kept["output"]
    pods.delete("newer", *names)
    node.applied("seccomp", state="absent")
    assert node.files() == before
    assert is_ready(nodes, "apparmor")
    assert [restarts(nodes, name) for name in ("older", "privileged", "asking")] == [0, 0, 0]
    pods.delete("older", "privileged", "asking")


def test_what_a_pod_did_under_audit_is_the_smallest_profile_for_it(pods: Pods, node: OnMachine) -> None:
    audit = {"stage": "observe", "library": ["audit"], "record": True}
    node.applied("seccomp", **audit)
    pods.run("recorded", "apparmor", seccompProfile=localhost("k8s/audit.v1.json"))
    pods.sh("recorded", "mkdir /made && rmdir /made")
    profile = {"name": "smallest", "profile": "{{ seccomp_result.recorded['default/recorded'] }}"}
    write = {"name": "Write", "hardened.k8s.seccomp_profile": {"owner": "smallest", "profiles": [profile]}}
    given = {f"seccomp_{name}": value for name, value in audit.items()}
    result = node.tasks([write], given, roles=["hardened.k8s.seccomp"])
    assert result["rc"] == 0, result["output"]
    assert "seccomp/record-incomplete" not in result["output"]
    pods.delete("recorded")

    pods.run("replayed", "apparmor", seccompProfile=localhost("k8s/smallest.v1.json"))
    pods.sh("replayed", "mkdir /made && rmdir /made")
    for other in ("chmod 700 /bin", "ln -s a /x"):
        with pytest.raises(RuntimeError, match="Operation not permitted"):
            pods.sh("replayed", other)
    pods.delete("replayed")
    removed = node.task("hardened.k8s.seccomp_profile", {"owner": "smallest", "state": "absent"})
    assert removed["rc"] == 0, removed["output"]


# -- the playbook; other nodes


@pytest.mark.machines("apparmor", "old")
def test_the_playbook_hardens_one_node_after_the_other(nodes: Nodes, pods: Pods, node: OnMachine) -> None:
    """Also the old one, with containerd 1.6 and cgroup v1."""
    roles = "{{ ['seccomp'] if inventory_hostname == 'old' else ['apparmor', 'seccomp'] }}"
    given = {"harden_node_roles": roles, "apparmor_library": ["no-network"], "seccomp_library": ["no-af-alg"]}

    def harden(*arguments: str, **more: t.Any) -> dict[str, dict[str, int]]:
        limit = "--limit=apparmor,old"
        result = node.playbook(f"{ROOT}/playbooks/harden.yml", {**given, **more}, limit, *arguments)
        assert result["rc"] == 0, result["output"]
        found: dict[str, dict[str, int]] = result["stats"]
        return found

    def changed(stats: dict[str, dict[str, int]]) -> dict[str, int]:
        return {name: about["changed"] for name, about in stats.items()}

    assert changed(harden("--tags=nodes", "--check")) == {"apparmor": 3, "old": 2}
    assert changed(harden("--tags=seccomp")) == {"apparmor": 2, "old": 2}
    assert changed(harden("--tags=nodes")) == {"apparmor": 1, "old": 0}
    assert changed(harden("--tags=nodes")) == {"apparmor": 0, "old": 0}
    assert is_ready(nodes, "old")
    for name in ("apparmor", "old"):
        pods.create(f"hardened-{name}", name, seccompProfile=localhost("k8s/no-af-alg.v1.json"))
        pods.create(f"default-{name}", name)
    for name in ("apparmor", "old"):
        pods.wait(f"hardened-{name}", f"default-{name}")
        for kind in ("hardened", "default"):
            assert pods.is_filtered(f"{kind}-{name}")
        pods.delete(f"hardened-{name}", f"default-{name}")
    assert changed(harden("--tags=nodes", apparmor_state="absent", seccomp_state="absent")) == {"apparmor": 3, "old": 2}


@pytest.mark.machines("old")
def test_settings_of_an_older_containerd_are_written_in_its_own_format(
    nodes: Nodes, pods: Pods, tmp_path: t.Any
) -> None:
    """That of 1.6, which calls what runs pods otherwise, and of which a drop-in replaces all settings."""
    node = OnMachine(nodes.fleet, "old", tmp_path)
    before = node.files()
    setting: dict[str, t.Any] = {"max_container_log_line_size": 4321}
    alone = {"drop_ins": [{"name": "50-test", "plugins": {"runtime": setting}}]}
    refused = node.task("hardened.k8s.containerd_config", alone)
    assert "would lose others: plugins.io.containerd.grpc.v1.cri.sandbox_image" in printed(refused)
    whole = {**setting, "sandbox_image": f"registry.k8s.io/pause:{PAUSE}"}
    drop_in = {"name": "50-test", "plugins": {"runtime": whole}}
    result = node.task("hardened.k8s.containerd_config", {"drop_ins": [drop_in]})
    assert (result["rc"], result["changed"]) == (0, 1), result["output"]
    assert "max_container_log_line_size = 4321" in node.run("containerd config dump")
    assert is_ready(nodes, "old")
    pods.run("on-old", "old")
    pods.delete("on-old")
    again = node.task("hardened.k8s.containerd_config", {"drop_ins": [drop_in]})
    assert (again["rc"], again["changed"]) == (0, 0), again["output"]
    assert node.task("hardened.k8s.containerd_config", {"state": "absent"})["changed"] == 1
    assert node.files() == before


@pytest.fixture(params=["selinux", WORKER])
def other(request: pytest.FixtureRequest, nodes: Nodes, tmp_path: t.Any) -> Node:
    """A node whose kernel has no AppArmor for it."""
    name: str = request.param
    return OnKind(nodes, name, tmp_path) if name == WORKER else OnMachine(nodes.fleet, name, tmp_path)


@pytest.mark.machines("selinux")
def test_where_it_cannot_be_enforced_the_role_says_so_and_changes_nothing(other: Node) -> None:
    reason = "AppArmor cannot be enforced here" if other.name == WORKER else "Use the role hardened.k8s.selinux"
    before = other.files()
    for arguments in ((), ("--check",)):
        result = other.play("apparmor", *arguments, library=_LIBRARY, profiles=[CLOSED])
        assert result["rc"] != 0
        assert reason in printed(result)
    assert other.applied("apparmor", state="absent")["changed"] == 0
    assert other.files() == before


@pytest.mark.machines
def test_seccomp_holds_on_a_node_of_kind_too(nodes: Nodes, pods: Pods, tmp_path: t.Any) -> None:
    node = OnKind(nodes, WORKER, tmp_path)
    before = node.files()
    assert node.applied("seccomp", **_SECCOMP)["changed"] == 2
    assert node.applied("seccomp", **_SECCOMP)["changed"] == 0
    pods.create("on-kind", WORKER)
    pods.create("no-mkdir", WORKER, seccompProfile=localhost("k8s/no-mkdir.v1.json"))
    pods.wait("on-kind", "no-mkdir")
    assert pods.is_filtered("on-kind")
    with pytest.raises(RuntimeError, match="Operation not permitted"):
        pods.sh("no-mkdir", "mkdir /x")
    pods.delete("on-kind", "no-mkdir")
    assert node.applied("seccomp", state="absent")["changed"] == 2
    assert node.files() == before
