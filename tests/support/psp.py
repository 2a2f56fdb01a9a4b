# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random PodSecurityPolicies, and random pods that today's API takes; each from a seed.

Pods are made for today's API. What the old one wrote elsewhere (profiles, in annotations) is translated for the oracle.
"""

from __future__ import annotations

import copy
import random
import typing as t

Fields = dict[str, t.Any]

SECCOMP = "seccomp.security.alpha.kubernetes.io/"
APPARMOR = "apparmor.security.beta.kubernetes.io/"
NUMBERS = (0, 1, 5, 10, 15, 20)
CAPABILITIES = ("CHOWN", "NET_RAW", "SYS_TIME", "KILL")
PROFILES = ("runtime/default", "localhost/a", "localhost/b", "unconfined")
SYSCTLS = ("kernel.shm_rmid_forced", "net.ipv4.tcp_syncookies", "kernel.msgmax", "kernel.msgmnb", "net.core.somaxconn")
LEVELS = ("s0:c1,c2", "s0:c2,c1", "s0:c1", "s0", "s1:c1,c2", "s0:c1,c1,c2")
CLASSES = ("gvisor", "kata")
PATHS = ("/data", "/data/", "/data/a", "/database", "/logs", "/logs/x", "/")
TOKEN = {
    "defaultMode": 420,
    "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {
            "downwardAPI": {
                "items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]
            }
        },
    ],
}
_SOURCES: tuple[Fields, ...] = (
    *({"hostPath": {"path": path}} for path in PATHS),
    {"emptyDir": {}},
    {"secret": {"secretName": "a"}},
    {"configMap": {"name": "a"}},
    {"persistentVolumeClaim": {"claimName": "a"}},
    {"nfs": {"server": "192.0.2.1", "path": "/"}},
    {"csi": {"driver": "a.example.com"}},
    {"csi": {"driver": "b.example.com"}},
    {"flexVolume": {"driver": "example.com/a"}},
    {"flexVolume": {"driver": "example.com/b"}},
    {"cephfs": {"monitors": ["192.0.2.1"]}},
    {"projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "vault"}}]}},
    {"projected": TOKEN},
    {"projected": {"sources": [{"configMap": {"name": "other"}}]}},
)
_KINDS = (
    *("hostPath", "emptyDir", "secret", "configMap", "persistentVolumeClaim", "nfs", "csi", "flexVolume", "cephFS"),
    "projected",
)


class Dice(random.Random):
    """Seeded chance."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.rate = self.choice((0.02, 0.1, 0.3))

    def often(self, rate: float = 0.5) -> bool:
        return self.random() < rate

    def some(self, values: t.Sequence[t.Any], most: int = 3) -> list[t.Any]:
        return self.sample(values, self.randint(0, min(most, len(values))))

    def maybe(self, fields: Fields, name: str, *values: t.Any) -> None:
        self.sometimes(fields, name, self.rate, *values)

    def sometimes(self, fields: Fields, name: str, rate: float, *values: t.Any) -> None:
        if self.random() < rate:
            fields[name] = self.choice(values)

    def ranges(self) -> list[Fields]:
        return [
            {"min": low, "max": high}
            for low, high in (sorted(self.choices(NUMBERS, k=2)) for _i in range(self.randint(1, 2)))
        ]


# -- policies


def policy(dice: Dice, name: str) -> Fields:
    """A PodSecurityPolicy as the API server of 1.24 would have stored it; most of them restrict a few things."""
    unsafe = dice.choice((["*"], [], ["kernel.msgm*"], ["kernel.msgmax", "net.core.*"]))
    spec: Fields = {
        **{name: dice.often(0.6) for name in ("privileged", "hostNetwork", "hostPID", "hostIPC")},
        "volumes": ["*"] if dice.often(0.6) else dice.sample(_KINDS, 7),
        "allowedUnsafeSysctls": unsafe,
        **_users(dice),
        **_capabilities(dice),
    }
    dice.sometimes(spec, "hostPorts", 0.6, [{"min": 0, "max": 65535}], [{"min": 8000, "max": 8001}])
    dice.sometimes(spec, "allowPrivilegeEscalation", 0.3, True, False)
    default = dice.often() and spec.get("allowPrivilegeEscalation", True)
    dice.sometimes(spec, "defaultAllowPrivilegeEscalation", 0.3, default)
    dice.sometimes(spec, "readOnlyRootFilesystem", 0.3, True, False)
    paths = [{"pathPrefix": path, "readOnly": dice.often()} for path in dice.sample(PATHS, 2)]
    dice.sometimes(spec, "allowedHostPaths", 0.3, paths)
    dice.sometimes(spec, "allowedFlexVolumes", 0.2, [{"driver": "example.com/a"}])
    dice.sometimes(spec, "allowedCSIDrivers", 0.2, [{"name": "a.example.com"}])
    if unsafe == []:
        dice.sometimes(spec, "forbiddenSysctls", 0.5, ["net.*"], ["kernel.msgmax"], ["kernel.shm_rmid_forced"])
    dice.sometimes(spec, "allowedProcMountTypes", 0.3, ["Default"], ["Unmasked"], ["Default", "Unmasked"])
    allowed = dice.choice((["*"], [], ["gvisor"], list(CLASSES)))
    default = {"defaultRuntimeClassName": "gvisor"} if allowed and dice.often() else {}
    dice.sometimes(spec, "runtimeClass", 0.3, {"allowedRuntimeClassNames": allowed, **default})
    return {
        "apiVersion": "policy/v1beta1",
        "kind": "PodSecurityPolicy",
        "metadata": {"name": name, "annotations": _annotations(dice)},
        "spec": spec,
    }


def _users(dice: Dice) -> Fields:
    def strategy(*rules: str) -> Fields:
        rule = dice.choice(rules) if dice.often(0.35) else "RunAsAny"
        return {"rule": rule, "ranges": dice.ranges()} if rule in ("MustRunAs", "MayRunAs") else {"rule": rule}

    groups = ("MayRunAs", "MustRunAs")
    found = {
        "runAsUser": strategy("MustRunAs", "MustRunAsNonRoot"),
        "supplementalGroups": strategy(*groups),
        "fsGroup": strategy(*groups),
        "seLinux": {"rule": "RunAsAny"},
    }
    dice.sometimes(found, "runAsGroup", 0.3, strategy(*groups))
    options = {"level": dice.choice(LEVELS)}
    dice.sometimes(options, "type", 0.3, "container_t")
    dice.sometimes(found, "seLinux", 0.2, {"rule": "MustRunAs", "seLinuxOptions": options})
    return found


def _capabilities(dice: Dice) -> Fields:
    """What is dropped can neither be allowed nor added."""
    if dice.often(0.4):
        return {
            "allowedCapabilities": ["*"],
            "defaultAddCapabilities": dice.some(CAPABILITIES) if dice.often(0.2) else [],
        }
    dropped = dice.some(CAPABILITIES, 2) if dice.often(0.3) else []
    others = [name for name in CAPABILITIES if name not in dropped]
    return {
        "requiredDropCapabilities": dropped,
        "allowedCapabilities": dice.some(others),
        "defaultAddCapabilities": dice.some(others, 1) if dice.often(0.2) else [],
    }


def _annotations(dice: Dice) -> dict[str, str]:
    annotations = {f"{SECCOMP}allowedProfileNames": "*"}
    if dice.often(0.3):
        annotations[f"{SECCOMP}allowedProfileNames"] = ",".join(dice.sample((*PROFILES, "docker/default"), 2))
    if dice.often(0.1):
        del annotations[f"{SECCOMP}allowedProfileNames"]
    if dice.often(0.3):
        annotations[f"{SECCOMP}defaultProfileName"] = dice.choice((*PROFILES, "docker/default"))
    if dice.often(0.2):
        annotations[f"{APPARMOR}allowedProfileNames"] = ",".join(dice.sample(PROFILES, 2))
    if dice.often(0.25):
        annotations[f"{APPARMOR}defaultProfileName"] = dice.choice(PROFILES)
    return annotations


class Cluster(t.NamedTuple):
    """Policies, and who may use which: the requester, the service account ``default``, everybody."""

    policies: list[Fields]
    user: list[str]
    account: list[str]
    everybody: list[str]


def cluster(seed: str) -> Cluster:
    dice = Dice(seed)
    names = [f"p{index}" for index in range(dice.choice((1, 1, 2, 3)))]
    user, account = dice.some(names), dice.some(names)
    everybody = dice.some(names) or ([] if user or account else names)
    return Cluster([policy(dice, name) for name in names], user, account, everybody)


# -- pods


def profile(name: str) -> Fields:
    """A profile as the field of a pod has it."""
    kind, _slash, local = name.partition("/")
    if kind == "localhost":
        return {"type": "Localhost", "localhostProfile": local}
    return {"type": "RuntimeDefault" if kind == "runtime" else "Unconfined"}


def _shared_context(dice: Dice) -> Fields:
    context: Fields = {}
    dice.maybe(context, "runAsUser", *NUMBERS)
    dice.maybe(context, "runAsGroup", *NUMBERS)
    dice.maybe(context, "runAsNonRoot", True, False)
    dice.maybe(context, "seccompProfile", *map(profile, PROFILES))
    dice.maybe(context, "appArmorProfile", *map(profile, PROFILES))
    selinux = {"level": dice.choice(LEVELS)}
    dice.maybe(selinux, "type", "container_t")
    dice.maybe(context, "seLinuxOptions", selinux)
    return context


def _container(dice: Dice, name: str, pod: Fields, port: int) -> Fields:
    context = _shared_context(dice)
    add = dice.some(CAPABILITIES, 2)
    drop = [name for name in dice.some(CAPABILITIES, 2) if name not in add]
    dice.maybe(context, "capabilities", {"add": add, "drop": drop}, {"drop": drop}, {"add": add}, {})
    dice.maybe(context, "privileged", True, False)
    dice.maybe(context, "allowPrivilegeEscalation", True, *([] if context.get("privileged") else [False]))
    dice.maybe(context, "readOnlyRootFilesystem", True, False)
    if pod.get("hostUsers") is False:
        dice.maybe(context, "procMount", "Default", "Unmasked")
    container: Fields = {"name": name, "image": "a"}
    if context or dice.often(0.2):
        container["securityContext"] = context
    if dice.often(dice.rate):
        container["ports"] = [{"containerPort": port}]
        if not pod.get("hostNetwork") and dice.often():
            container["ports"][0]["hostPort"] = port
    mounts = [
        {"name": volume["name"], "mountPath": f"/{volume['name']}", "readOnly": dice.often()}
        for volume in pod.get("volumes", ())
        if dice.often(0.6)
    ]
    return {**container, **({"volumeMounts": mounts} if mounts else {})}


def pod(seed: str, namespace: str) -> Fields:
    """A pod that today's API takes."""
    dice = Dice(seed)
    spec: Fields = {"automountServiceAccountToken": dice.often(0.3)}
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        dice.maybe(spec, name, True, False)
    if not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")) and dice.often(0.3):
        spec["hostUsers"] = False
    dice.maybe(spec, "runtimeClassName", *CLASSES)
    if dice.often(dice.rate):
        spec["volumes"] = [{"name": f"v{i}", **s} for i, s in enumerate(copy.deepcopy(dice.some(_SOURCES, 3)))]
    context = _shared_context(dice)
    dice.maybe(context, "fsGroup", *NUMBERS)
    dice.maybe(context, "supplementalGroups", dice.some(NUMBERS, 2) or [1])
    # the API takes no sysctl of a namespace that is shared with the host
    names = [n for n in SYSCTLS if not spec.get("hostNetwork" if n.startswith("net.") else "hostIPC")]
    dice.maybe(context, "sysctls", [{"name": name, "value": "1"} for name in dice.some(names, 2)])
    if context:
        spec["securityContext"] = context
    spec["containers"] = [_container(dice, f"c{i}", spec, 8000 + i) for i in range(dice.choice((1, 1, 2)))]
    if dice.often(0.3):
        spec["initContainers"] = [_container(dice, "i0", spec, 8010)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": namespace}, "spec": spec}


def as_of_old(pod: Fields) -> Fields:
    """The pod as it came to PodSecurityPolicy: profiles in annotations, and the token that is mounted before."""
    old: Fields = copy.deepcopy(pod)
    spec, annotations = old["spec"], {}
    spec["serviceAccountName"] = "default"
    spec.pop("hostUsers", None)
    shared = spec.get("securityContext", {}).pop("appArmorProfile", None)
    if "seccompProfile" in spec.get("securityContext", {}):
        annotations[f"{SECCOMP}pod"] = _written(spec["securityContext"]["seccompProfile"])
    for container in containers(old):
        own = container.get("securityContext", {}).pop("appArmorProfile", None) or shared
        if own:
            annotations[f"container.{APPARMOR}{container['name']}"] = _written(own)
    if spec["automountServiceAccountToken"]:
        spec["volumes"] = [*spec.get("volumes", ()), {"name": "kube-api-access", "projected": TOKEN}]
    old["metadata"]["annotations"] = annotations
    return old


def of_today(changed: Fields, pod: Fields) -> Fields:
    """A pod of today with what was filled in for it in the form of old, in a namespace without policies."""
    made: Fields = copy.deepcopy(pod)
    made["metadata"]["namespace"] = "default"
    filled = essence(changed)
    made["spec"]["securityContext"] = filled["pod"]
    if filled["runtimeClassName"]:
        made["spec"]["runtimeClassName"] = filled["runtimeClassName"]
    for container in containers(made):
        container["securityContext"] = {k: v for k, v in filled[container["name"]].items() if v is not None}
    return made


def _written(profile: Fields) -> str:
    if profile["type"] == "Localhost":
        return f"localhost/{profile['localhostProfile']}"
    return "runtime/default" if profile["type"] == "RuntimeDefault" else "unconfined"


def containers(pod: Fields) -> list[Fields]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


# -- comparison


def essence(pod: Fields) -> Fields:
    """What a policy may have filled in, of a pod of today or of old, in one form."""
    spec, annotations = pod["spec"], pod["metadata"].get("annotations", {})
    context = _plain(spec.get("securityContext"))
    shared = context.pop("appArmorProfile", None)
    if f"{SECCOMP}pod" in annotations:
        context["seccompProfile"] = profile(annotations[f"{SECCOMP}pod"].replace("docker/", "runtime/"))
    found = {"pod": context, "runtimeClassName": spec.get("runtimeClassName")}
    for container in containers(pod):
        own = _plain(container.get("securityContext"))
        written = annotations.get(f"container.{APPARMOR}{container['name']}")
        own["appArmorProfile"] = own.get("appArmorProfile") or (profile(written) if written else shared)
        found[container["name"]] = own
    return found


def _plain(context: Fields | None) -> Fields:
    """A security context without what is empty, lists of capabilities in order."""
    plain = {}
    for key, value in (context or {}).items():
        kept = {k: sorted(v) for k, v in value.items() if v} if key == "capabilities" else value
        if kept not in ({}, [], None):
            plain[key] = kept
    return plain
