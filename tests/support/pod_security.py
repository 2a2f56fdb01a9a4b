# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of pod security policies, each with what keeps it and what breaks it."""

from __future__ import annotations

import copy
import typing as t

Fields = dict[str, t.Any]

DIGEST = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
LISTS = ("containers", "initContainers", "ephemeralContainers")
#: Fields that the API takes in no ephemeral container.
NOT_EPHEMERAL = {"ports", "livenessProbe", "lifecycle"}
#: And those that it takes in no init container that ends.
NOT_INIT = {"livenessProbe", "lifecycle"}


class Case(t.NamedTuple):
    """A rule.

    :param said: what the refusal says beside the name of the container.
    :param good: fields of a container, or of the pod where ``of_pod``, that keep it; :param bad: that break it.
    """

    options: Fields
    said: str
    good: Fields
    bad: Fields
    of_pod: bool = False


def context(**fields: t.Any) -> Fields:
    return {"securityContext": fields}


def volume(**source: t.Any) -> Fields:
    return {"volumes": [{"name": "data", **source}]}


RANGE = [{"min": 1000, "max": 2000}]
MUST = {"rule": "MustRunAs", "ranges": RANGE}

CASES: dict[str, Case] = {
    "privileged": Case(
        {"privileged": False}, "privileged is true", context(privileged=False), context(privileged=True)
    ),
    "windows_host_process": Case(
        {"privileged": False},
        "windowsOptions.hostProcess of the container or the pod is true",
        {"os": {"name": "windows"}},
        {"os": {"name": "windows"}, "hostNetwork": True, **context(windowsOptions={"hostProcess": True})},
        True,
    ),
    "allow_privilege_escalation": Case(
        {"allow_privilege_escalation": False},
        "allowPrivilegeEscalation is not false",
        context(allowPrivilegeEscalation=False),
        context(allowPrivilegeEscalation=True),
    ),
    "host_network": Case({"host_network": False}, "hostNetwork is true", {}, {"hostNetwork": True}, True),
    "host_pid": Case({"host_pid": False}, "hostPID is true", {}, {"hostPID": True}, True),
    "host_ipc": Case({"host_ipc": False}, "hostIPC is true", {}, {"hostIPC": True}, True),
    "host_ports": Case(
        {"host_ports": [{"min": 8000, "max": 8010}]},
        "ports.hostPort is 8011",
        {"ports": [{"containerPort": 80, "hostPort": 8010}, {"containerPort": 81}]},
        {"ports": [{"containerPort": 80, "hostPort": 8010}, {"containerPort": 81, "hostPort": 8011}]},
    ),
    "host_users": Case({"host_users": False}, "hostUsers is not false", {"hostUsers": False}, {}, True),
    "host_probes": Case(
        {"host_probes": False},
        "names a host",
        {"livenessProbe": {"httpGet": {"port": 80}}},
        {"lifecycle": {"preStop": {"httpGet": {"port": 80, "host": "192.0.2.1"}}}},
    ),
    "allowed_capabilities": Case(
        {"allowed_capabilities": ["CHOWN"]},
        "capabilities.add has SYS_ADMIN",
        context(capabilities={"add": ["CHOWN"]}),
        context(capabilities={"add": ["CHOWN", "SYS_ADMIN"]}),
    ),
    "required_drop_capabilities": Case(
        {"required_drop_capabilities": ["NET_RAW"], "mutate": False},
        "capabilities.drop lacks NET_RAW",
        context(capabilities={"drop": ["ALL"]}),
        context(capabilities={"drop": ["CHOWN"]}),
    ),
    "capabilities_otherwise_spelled": Case(
        {"required_drop_capabilities": ["NET_RAW"], "mutate": False},
        "capabilities.add has cap_net_raw",
        context(capabilities={"drop": ["ALL"], "add": ["CHOWN"]}),
        context(capabilities={"drop": ["ALL"], "add": ["CHOWN", "cap_net_raw"]}),
    ),
    "default_add_capabilities": Case(
        {"default_add_capabilities": ["CHOWN"], "mutate": False},
        "neither adds nor drops CHOWN",
        context(capabilities={"drop": ["CHOWN"]}),
        {},
    ),
    "read_only_root_filesystem": Case(
        {"read_only_root_filesystem": True},
        "readOnlyRootFilesystem is not true",
        context(readOnlyRootFilesystem=True),
        context(readOnlyRootFilesystem=False),
    ),
    "run_as_user": Case({"run_as_user": MUST}, "runAsUser", context(runAsUser=1000), context(runAsUser=2001)),
    "run_as_non_root": Case(
        {"run_as_user": {"rule": "MustRunAsNonRoot"}}, "may run as root", context(runAsUser=1), context(runAsUser=0)
    ),
    "run_as_group": Case(
        {"run_as_group": {"rule": "MayRunAs", "ranges": RANGE}},
        "runAsGroup",
        context(runAsGroup=2000),
        context(runAsGroup=999),
    ),
    "supplemental_groups": Case(
        {"supplemental_groups": MUST},
        "supplementalGroups must be in 1000-2000",
        context(supplementalGroups=[1000, 1500]),
        context(supplementalGroups=[1000, 5]),
        True,
    ),
    "supplemental_groups_policy": Case(
        {"supplemental_groups_policy": "Strict"},
        "supplementalGroupsPolicy is not Strict",
        context(supplementalGroupsPolicy="Strict"),
        context(supplementalGroupsPolicy="Merge"),
        True,
    ),
    "fs_group": Case({"fs_group": MUST}, "fsGroup must be", context(fsGroup=1000), context(fsGroup=0), True),
    "se_linux": Case(
        {"se_linux": {"rule": "MustRunAs", "se_linux_options": {"level": "s0:c1,c2"}}},
        "seLinuxOptions must be: level s0:c1,c2",
        context(seLinuxOptions={"level": "s0:c2,c1"}),
        context(seLinuxOptions={"level": "s0:c2,c3"}),
    ),
    "seccomp": Case(
        {
            "allowed_seccomp_profiles": ["runtime/default", "localhost/k8s/*"],
            "default_seccomp_profile": "runtime/default",
        },
        "seccompProfile must be one of: runtime/default, localhost/k8s/*",
        context(seccompProfile={"type": "Localhost", "localhostProfile": "k8s/web.v1.json"}),
        context(seccompProfile={"type": "Localhost", "localhostProfile": "other/web.json"}),
    ),
    "app_armor": Case(
        {"allowed_app_armor_profiles": ["localhost/k8s.web.v2"]},
        "appArmorProfile must be one of: localhost/k8s.web.v2",
        context(appArmorProfile={"type": "Localhost", "localhostProfile": "k8s.web.v2"}),
        {},
    ),
    "allowed_proc_mount_types": Case(
        {"allowed_proc_mount_types": ["Unmasked"]},
        "procMount is Default",
        context(procMount="Unmasked"),
        context(procMount="Default"),
    ),
    "sysctls": Case(
        {"allowed_unsafe_sysctls": ["kernel.msg*"], "forbidden_sysctls": ["kernel.msgmax", "net.ipv4.tcp_syncookies"]},
        "sysctls has kernel.msgmax",
        context(sysctls=[{"name": "kernel/msgmnb", "value": "1"}, {"name": "net.ipv4.tcp_rmem", "value": "1 1 1"}]),
        context(sysctls=[{"name": "kernel/msgmax", "value": "1"}]),
        True,
    ),
    "volumes": Case(
        {"volumes": ["secret", "emptyDir"]},
        "volume data: nfs is no allowed kind of volume",
        volume(emptyDir={}),
        volume(nfs={"server": "192.0.2.1", "path": "/"}),
        True,
    ),
    "allowed_host_paths": Case(
        {"allowed_host_paths": [{"path_prefix": "/data/"}]},
        "hostPath /database is not below",
        volume(hostPath={"path": "/data/x"}),
        volume(hostPath={"path": "/database"}),
        True,
    ),
    "read_only_host_paths": Case(
        {"allowed_host_paths": [{"path_prefix": "/data", "read_only": True}]},
        "volumeMounts of data must have readOnly: true",
        {"volumeMounts": [{"name": "data", "mountPath": "/a", "readOnly": True}]},
        {"volumeMounts": [{"name": "data", "mountPath": "/a"}]},
    ),
    "allowed_flex_volumes": Case(
        {"allowed_flex_volumes": ["example.com/a"]},
        "flexVolume driver example.com/b",
        volume(flexVolume={"driver": "example.com/a"}),
        volume(flexVolume={"driver": "example.com/b"}),
        True,
    ),
    "allowed_csi_drivers": Case(
        {"allowed_csi_drivers": ["a.example.com"]},
        "csi driver b.example.com",
        volume(csi={"driver": "a.example.com"}),
        volume(csi={"driver": "b.example.com"}),
        True,
    ),
    "runtime_class": Case(
        {"runtime_class": {"allowed_runtime_class_names": ["gvisor"]}},
        "runtimeClassName kata is not allowed",
        {"runtimeClassName": "gvisor"},
        {"runtimeClassName": "kata"},
        True,
    ),
    "allowed_image_registries": Case(
        {"allowed_image_registries": ["registry.example.com/shop", "docker.io/library"]},
        "image registry.example.com/shopping is not from",
        {"image": "registry.example.com/shop/web"},
        {"image": "registry.example.com/shopping"},
    ),
    "registry_in_capitals": Case(
        {"allowed_image_registries": ["docker.io"]},
        "image REGISTRY/busybox is not from",
        {"image": "index.docker.io/library/busybox"},
        {"image": "REGISTRY/busybox"},
    ),
    "image_volumes": Case(
        {"allowed_image_registries": ["docker.io/library"]},
        "volume data: image quay.io/x",
        volume(image={"reference": "busybox"}),
        volume(image={"reference": "quay.io/x"}),
        True,
    ),
    "require_image_digest": Case(
        {"require_image_digest": True}, "has no digest", {"image": f"x@{DIGEST}"}, {"image": "x:sha256"}
    ),
    "automount_service_account_token": Case(
        {"automount_service_account_token": False},
        "automountServiceAccountToken to false",
        {"automountServiceAccountToken": False},
        {},
        True,
    ),
    "ephemeral_containers": Case({"ephemeral_containers": False}, "ephemeral containers are not allowed", {}, {}),
}


def merged(below: t.Any, above: t.Any) -> t.Any:
    """Dictionaries merge at any depth; anything else above replaces what is below."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: merged(below.get(key), value) for key, value in above.items()}}
    return copy.deepcopy(above)


#: Every rule at once, as a careful administrator would have them.
EVERY_RULE: Fields = {
    **dict.fromkeys(("privileged", "allow_privilege_escalation", "host_network", "host_pid", "host_ipc"), False),
    **dict.fromkeys(("host_users", "host_probes", "automount_service_account_token", "ephemeral_containers"), False),
    **dict.fromkeys(("read_only_root_filesystem", "require_image_digest"), True),
    **dict.fromkeys(("run_as_user", "run_as_group", "supplemental_groups", "fs_group"), MUST),
    "supplemental_groups_policy": "Strict",
    "host_ports": [{"min": 8000, "max": 8010}],
    "allowed_capabilities": ["NET_BIND_SERVICE"],
    "required_drop_capabilities": ["ALL"],
    "se_linux": {"rule": "MustRunAs", "se_linux_options": {"level": "s0:c1,c2"}},
    "allowed_seccomp_profiles": ["runtime/default", "localhost/k8s/*"],
    "allowed_app_armor_profiles": ["runtime/default"],
    "allowed_proc_mount_types": ["Default"],
    "allowed_unsafe_sysctls": ["kernel.msg*"],
    "forbidden_sysctls": ["kernel.msgmax"],
    "volumes": ["configMap", "emptyDir", "projected", "secret", "hostPath", "csi", "flexVolume"],
    "allowed_host_paths": [{"path_prefix": "/data", "read_only": True}],
    "allowed_csi_drivers": ["a.example.com"],
    "allowed_flex_volumes": ["example.com/a"],
    "runtime_class": {"allowed_runtime_class_names": []},
    "allowed_image_registries": ["docker.io/library"],
}


def careful_pod(name: str, namespace: str, containers: int = 1) -> Fields:
    """A pod that keeps all of these rules and the level ``restricted``, with an init container beside the others."""
    pod = plain_pod(name, namespace)
    (container,), (setup,) = pod["spec"]["containers"], pod["spec"]["initContainers"]
    own = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
    pod["spec"] |= {
        "automountServiceAccountToken": False,
        "hostUsers": False,
        "securityContext": {
            **dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), 1500),
            **{key: {"type": "RuntimeDefault"} for key in ("seccompProfile", "appArmorProfile")},
            "runAsNonRoot": True,
            "supplementalGroups": [1500],
            "supplementalGroupsPolicy": "Strict",
            "seLinuxOptions": {"level": "s0:c1,c2"},
        },
        "containers": [
            {**container, "name": f"web-{number}", "securityContext": copy.deepcopy(own)}
            for number in range(containers)
        ],
        "initContainers": [{**setup, "securityContext": copy.deepcopy(own)}],
    }
    return pod


def busy_pod(name: str, namespace: str, containers: int, careful: bool = True) -> Fields:
    """A pod with as much for each rule to look at as a large one has, all of it as the rules want it or none.

    Every container mounts each of 16 volumes.
    """
    pod = careful_pod(name, namespace, containers)
    numbers = range(8)
    paths = [{"name": f"path-{n}", "hostPath": {"path": f"/data/applications/shop/{n}"}} for n in numbers]
    settings = [{"name": f"settings-{n}", "configMap": {"name": f"settings-{n}"}} for n in numbers]
    pod["spec"]["volumes"] = [*paths, *settings]
    probe: Fields = {"httpGet": {"path": "/", "port": 8000, **({} if careful else {"host": "192.0.2.1"})}}
    for index, container in enumerate(pod["spec"]["containers"]):
        container |= {
            "volumeMounts": [
                {"name": volume["name"], "mountPath": f"/{volume['name']}", "readOnly": careful}
                for volume in pod["spec"]["volumes"]
            ],
            "ports": [{"containerPort": 8000 + 8 * index + n} for n in numbers],
            "livenessProbe": probe,
            "lifecycle": {"preStop": probe},
        }
        if careful:
            container["securityContext"]["capabilities"]["add"] = ["NET_BIND_SERVICE"]
        else:
            unconfined = {key: {"type": "Unconfined"} for key in ("seccompProfile", "appArmorProfile")}
            container |= {
                "image": "quay.io/shop/web:latest",
                "securityContext": {
                    **dict.fromkeys(("privileged", "allowPrivilegeEscalation"), True),
                    **dict.fromkeys(("runAsUser", "runAsGroup"), 0),
                    **unconfined,
                    "capabilities": {"add": ["NET_ADMIN", "SYS_ADMIN"]},
                    "seLinuxOptions": {"level": "s0"},
                },
            }
    return pod


def plain_pod(name: str, namespace: str) -> Fields:
    """A pod that asks for nothing."""
    containers = [{"name": "web", "image": f"busybox@{DIGEST}"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": containers, "initContainers": [{"name": "setup", "image": f"busybox@{DIGEST}"}]},
    }


def with_fields(pod: Fields, case: Case, fields: Fields, lists: str = "containers") -> Fields:
    """The pod with fields that make or break a rule, every other container keeping it."""
    made = copy.deepcopy(pod)
    if case.of_pod:
        made["spec"] = merged(made["spec"], fields)
        return made
    for name in LISTS:
        for container in made["spec"].get(name, ()):
            chosen = fields if name == lists else case.good
            left_out = NOT_INIT if name == "initContainers" else frozenset()
            container.update(merged(container, {key: chosen[key] for key in chosen.keys() - left_out}))
    return made


def surroundings(name: str) -> Fields:
    """What a case's pods need beside it: of the pod, for fields that the API takes only so."""
    if name == "read_only_host_paths":
        return volume(hostPath={"path": "/data/x"})
    if name == "allowed_proc_mount_types":
        return {"hostUsers": False}
    return {
        "se_linux": context(seLinuxOptions={"level": "s0:c1,c2"}),
        "seccomp": context(seccompProfile={"type": "RuntimeDefault"}),
    }.get(name, {})
