# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Pod Security Standards, as Pod Security admission judges pods, for every version from 1.24 to 1.37.

Reasons and details are those of the API server (k8s.io/pod-security-admission v0.37, policy), word for word, which
tests compare on random pods. Each failure also has the smallest changes that make it go away.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

from ansible_collections.hardened.k8s.plugins.module_utils.manifests.pod_security_rules import SAFE_SYSCTLS

OLDEST, NEWEST = 24, 37

_Object = t.Mapping[str, t.Any]

_LISTS = ("initContainers", "containers", "ephemeralContainers")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"

_CAPABILITIES = frozenset(
    [
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    ]
)
_SELINUX_TYPES = frozenset(["", "container_t", "container_init_t", "container_kvm_t"])
_VOLUMES = frozenset(
    [
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected"),
        "secret",
    ]
)
#: What the API server calls the other kinds, in the order in which it looks; one that it does not know is "unknown".
_OTHER_VOLUMES = (
    *("hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "rbd"),
    *("flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk"),
    *("photonPersistentDisk", "portworxVolume", "scaleIO", "storageos"),
)


class Change(t.NamedTuple):
    """One change to a pod.

    :param container: list and name of the container; empty for the pod.
    :param path: the field, such as ``securityContext.privileged``.
    :param value: what to set it to; None to remove it.
    """

    container: t.Tuple[str, str]
    path: str
    value: t.Any = None

    def __str__(self) -> str:
        place = f"{self.container[0]}[{self.container[1]}].{self.path}" if self.container[0] else self.path
        return f"remove {place}" if self.value is None else f"set {place}: {json.dumps(self.value)}"


@dataclass(frozen=True)
class Failure:
    """One check that a pod fails.

    :param reason: what the API server says of many pods; :param detail: of one.
    """

    check: str
    reason: str
    detail: str
    changes: t.Tuple[Change, ...]


class _Pod:
    """A pod with its containers in the order in which the API server visits them."""

    def __init__(self, metadata: _Object, spec: _Object, minor: int) -> None:
        self.annotations: t.Mapping[str, str] = metadata.get("annotations") or {}
        self.spec = spec
        self.minor = minor
        self.context: _Object = spec.get("securityContext") or {}
        self.containers = [
            (name, container, container.get("securityContext") or {})
            for name in _LISTS
            for container in spec.get(name) or ()
        ]
        self.windows = (spec.get("os") or {}).get("name") == "windows"
        self.user_namespace = spec.get("hostUsers") is False


_Result = t.Optional[t.Tuple[str, str, t.List[Change]]]
_OF_POD = ("", "")


def _quoted(items: t.Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def _containers(names: t.Sequence[str]) -> str:
    return f"{'container' if len(names) == 1 else 'containers'} {_quoted(names)}"


def _number(count: t.Sized, one: str, many: str) -> str:
    return one if len(count) == 1 else many


def _setters(pod: bool, names: t.Sequence[str]) -> str:
    """Who sets a field: the pod, its containers, or both."""
    return " and ".join([*(["pod"] if pod else []), *([_containers(names)] if names else [])])


# -- baseline


def _app_armor(pod: _Pod) -> _Result:
    def wrong(context: _Object) -> t.Optional[str]:
        profile = context.get("appArmorProfile")
        kind = (profile or {}).get("type") or ""
        return kind if profile is not None and kind not in ("RuntimeDefault", "Localhost") else None

    changes: t.List[Change] = []
    kinds: t.Set[str] = set()
    of_pod = wrong(pod.context)
    if of_pod is not None:
        kinds.add(of_pod)
        changes.append(Change(_OF_POD, "securityContext.appArmorProfile"))
    names = []
    for place, container, context in pod.containers:
        kind = wrong(context)
        if kind is not None:
            kinds.add(kind)
            names.append(container["name"])
            changes.append(Change((place, container["name"]), "securityContext.appArmorProfile"))
    annotations = sorted(
        (key, value)
        for key, value in pod.annotations.items()
        if key.startswith(_APPARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    changes += [Change(_OF_POD, f"metadata.annotations.{key}") for key, _value in annotations]
    shown = sorted(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in annotations)
    values = [*sorted(kinds), *shown]
    if not changes:
        return None
    setters = [part for part in [_setters(of_pod is not None, names)] if part]
    if annotations:
        setters.append(_number(annotations, "annotation", "annotations"))
    reason = _number(values, "forbidden AppArmor profile", "forbidden AppArmor profiles")
    return reason, f"{' and '.join(setters)} must not set AppArmor profile type to {_quoted(values)}", changes


def _capabilities_baseline(pod: _Pod) -> _Result:
    names, forbidden, changes = [], set(), []
    for place, container, context in pod.containers:
        wrong = [c for c in (context.get("capabilities") or {}).get("add") or () if c not in _CAPABILITIES]
        if wrong:
            names.append(container["name"])
            forbidden.update(wrong)
            changes.append(_kept((place, container["name"]), context, wrong))
    if not names:
        return None
    detail = f"{_containers(names)} must not include {_quoted(sorted(forbidden))} in securityContext.capabilities.add"
    return "non-default capabilities", detail, changes


def _kept(container: t.Tuple[str, str], context: _Object, wrong: t.Collection[str]) -> Change:
    """The added capabilities but for the wrong ones."""
    kept = [c for c in context["capabilities"]["add"] if c not in wrong]
    return Change(container, "securityContext.capabilities.add", kept or None)


def _host_namespaces(pod: _Pod) -> _Result:
    fields = [name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(name)]
    if not fields:
        return None
    return "host namespaces", ", ".join(f"{name}=true" for name in fields), [Change(_OF_POD, name) for name in fields]


def _host_path_volumes(pod: _Pod) -> _Result:
    names = [v["name"] for v in pod.spec.get("volumes") or () if v.get("hostPath") is not None]
    if not names:
        return None
    changes = [_replaced(name) for name in names]
    return "hostPath volumes", f"{_number(names, 'volume', 'volumes')} {_quoted(names)}", changes


def _replaced(volume: str) -> Change:
    """Nobody but its author knows what should hold a volume's data instead; this is what asks for the least."""
    return Change(("volumes", volume), "emptyDir", {})


def _host_ports(pod: _Pod) -> _Result:
    names: t.List[str] = []
    ports: t.Set[str] = set()
    changes: t.List[Change] = []
    for place, container, _context in pod.containers:
        wrong = [port for port in container.get("ports") or () if port.get("hostPort")]
        if wrong:
            names.append(container["name"])
            ports.update(str(port["hostPort"]) for port in wrong)
            changes += [
                Change((place, container["name"]), f"ports.{index}.hostPort")
                for index, port in enumerate(container["ports"])
                if port.get("hostPort")
            ]
    if not names:
        return None
    use = _number(names, "uses", "use")
    detail = f"{_containers(names)} {use} {_number(ports, 'hostPort', 'hostPorts')} {', '.join(sorted(ports))}"
    return "hostPort", detail, changes


_HANDLERS = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop")


def _at(item: _Object, path: str) -> _Object:
    """What stands below an object at a path, empty where nothing does."""
    for name in path.split("."):
        item = item.get(name) or {}
    return item


def _host_probes(pod: _Pod) -> _Result:
    names, hosts, changes = set(), set(), []
    for place, container, _context in pod.containers:
        for handler in _HANDLERS:
            for kind in ("httpGet", "tcpSocket"):
                host = _at(container, f"{handler}.{kind}").get("host")
                if host:
                    names.add(container["name"])
                    hosts.add(host)
                    changes.append(Change((place, container["name"]), f"{handler}.{kind}.host"))
    if not names:
        return None
    listed = sorted(names)
    what = _number(hosts, "probe or lifecycle host", "probe or lifecycle hosts")
    detail = f"{_containers(listed)} {_number(listed, 'uses', 'use')} {what} {_quoted(sorted(hosts))}"
    return "probe or lifecycle host", detail, changes


def _privileged(pod: _Pod) -> _Result:
    wrong = [(place, c["name"]) for place, c, context in pod.containers if context.get("privileged")]
    if not wrong:
        return None
    detail = f"{_containers([name for _place, name in wrong])} must not set securityContext.privileged=true"
    return "privileged", detail, [Change(container, "securityContext.privileged") for container in wrong]


def _proc_mount(pod: _Pod) -> _Result:
    names, types, changes = [], set(), []
    for place, container, context in pod.containers:
        kind = context.get("procMount")
        if kind is not None and kind != "Default":
            names.append(container["name"])
            types.add(kind)
            changes.append(Change((place, container["name"]), "securityContext.procMount"))
    if not names:
        return None
    detail = f"{_containers(names)} must not set securityContext.procMount to {_quoted(sorted(types))}"
    return "procMount", detail, changes


def _proc_mount_baseline(pod: _Pod) -> _Result:
    return None if pod.user_namespace and pod.minor >= 35 else _proc_mount(pod)


def _se_linux(pod: _Pod) -> _Result:
    allowed = _SELINUX_TYPES | ({"container_engine_t"} if pod.minor >= 31 else set())
    types: t.Set[str] = set()
    fields: t.Set[str] = set()
    changes: t.List[Change] = []

    def wrong(context: _Object, container: t.Tuple[str, str]) -> bool:
        options = context.get("seLinuxOptions") or {}
        found = [field for field in ("user", "role") if options.get(field)]
        if (options.get("type") or "") not in allowed:
            types.add(options["type"])
            found.append("type")
        fields.update(found)
        changes.extend(Change(container, f"securityContext.seLinuxOptions.{field}") for field in found)
        return bool(found)

    of_pod = wrong(pod.context, _OF_POD)
    names = [c["name"] for place, c, context in pod.containers if wrong(context, (place, c["name"]))]
    if not changes:
        return None
    parts = [f"{_number(types, 'type', 'types')} {_quoted(sorted(types))}"] if types else []
    parts += [f"{field} may not be set" for field in ("user", "role") if field in fields]
    detail = f"{_setters(of_pod, names)} set forbidden securityContext.seLinuxOptions: {'; '.join(parts)}"
    return "seLinuxOptions", detail, changes


_SECCOMP = ("RuntimeDefault", "Localhost")


def _seccomp_type(context: _Object) -> t.Optional[str]:
    profile = context.get("seccompProfile")
    return None if profile is None else profile.get("type") or ""


def _seccomp_set(pod: _Pod) -> t.Tuple[bool, t.List[str], t.Set[str], t.List[Change]]:
    """Who sets a profile that is none: the pod, which containers, to what; and how they would not."""
    of_pod = _seccomp_type(pod.context)
    values: t.Set[str] = set()
    changes: t.List[Change] = []
    wrong = of_pod is not None and of_pod not in _SECCOMP
    if wrong:
        values.add(str(of_pod))
        changes.append(Change(_OF_POD, "securityContext.seccompProfile", {"type": "RuntimeDefault"}))
    names = []
    for place, container, context in pod.containers:
        kind = _seccomp_type(context)
        if kind is not None and kind not in _SECCOMP:
            values.add(kind)
            names.append(container["name"])
            fixed = {"type": "RuntimeDefault"}
            changes.append(Change((place, container["name"]), "securityContext.seccompProfile", fixed))
    return wrong, names, values, changes


def _seccomp_baseline(pod: _Pod) -> _Result:
    of_pod, names, values, changes = _seccomp_set(pod)
    if not changes:
        return None
    detail = f"{_setters(of_pod, names)} must not set securityContext.seccompProfile.type to {_quoted(sorted(values))}"
    return "seccompProfile", detail, changes


def _sysctls(pod: _Pod) -> _Result:
    sysctls = pod.context.get("sysctls") or ()
    wrong = [s["name"] for s in sysctls if SAFE_SYSCTLS.get(s["name"], NEWEST + 1) > pod.minor]
    if not wrong:
        return None
    kept = [s for s in sysctls if s["name"] not in wrong]
    return "forbidden sysctls", ", ".join(wrong), [Change(_OF_POD, "securityContext.sysctls", kept or None)]


def _windows_host_process(pod: _Pod) -> _Result:
    def asks(context: _Object) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    of_pod = asks(pod.context)
    wrong = [(place, c["name"]) for place, c, context in pod.containers if asks(context)]
    if not of_pod and not wrong:
        return None
    setters = _setters(of_pod, [name for _place, name in wrong])
    changes = [
        Change(c, "securityContext.windowsOptions.hostProcess") for c in [*([_OF_POD] if of_pod else []), *wrong]
    ]
    return "hostProcess", f"{setters} must not set securityContext.windowsOptions.hostProcess=true", changes


# -- restricted


def _allow_privilege_escalation(pod: _Pod) -> _Result:
    wrong = [
        (place, c["name"])
        for place, c, context in pod.containers
        if context.get("allowPrivilegeEscalation") is not False
    ]
    if not wrong or (pod.windows and pod.minor >= 25):
        return None
    names = [name for _place, name in wrong]
    detail = f"{_containers(names)} must set securityContext.allowPrivilegeEscalation=false"
    changes = [Change(container, "securityContext.allowPrivilegeEscalation", False) for container in wrong]
    return "allowPrivilegeEscalation != false", detail, changes


def _capabilities_restricted(pod: _Pod) -> _Result:
    if pod.windows and pod.minor >= 25:
        return None
    keeping, adding, forbidden, changes = [], [], set(), []
    for place, container, context in pod.containers:
        capabilities = context.get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or ()):
            keeping.append(container["name"])
            changes.append(Change((place, container["name"]), "securityContext.capabilities.drop", ["ALL"]))
        wrong = [c for c in capabilities.get("add") or () if c != "NET_BIND_SERVICE"]
        if wrong:
            adding.append(container["name"])
            forbidden.update(wrong)
            changes.append(_kept((place, container["name"]), context, wrong))
    details = []
    if keeping:
        details.append(f'{_containers(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        listed = _quoted(sorted(forbidden))
        details.append(f"{_containers(adding)} must not include {listed} in securityContext.capabilities.add")
    return ("unrestricted capabilities", "; ".join(details), changes) if details else None


def _restricted_volumes(pod: _Pod) -> _Result:
    names, kinds = [], set()
    for volume in pod.spec.get("volumes") or ():
        present = {key for key, value in volume.items() if value is not None}
        if not present & _VOLUMES:
            names.append(volume["name"])
            kinds.add(next((kind for kind in _OTHER_VOLUMES if kind in present), "unknown"))
    if not names:
        return None
    uses = _number(names, "uses", "use")
    what = _number(kinds, "restricted volume type", "restricted volume types")
    detail = f"{_number(names, 'volume', 'volumes')} {_quoted(names)} {uses} {what} {_quoted(sorted(kinds))}"
    return "restricted volume types", detail, [_replaced(name) for name in names]


def _run_as_non_root(pod: _Pod) -> _Result:
    if pod.user_namespace and pod.minor >= 35:
        return None
    path, reason = "securityContext.runAsNonRoot", "runAsNonRoot != true"
    of_pod = pod.context.get("runAsNonRoot")
    explicit = [(place, c["name"]) for place, c, context in pod.containers if context.get("runAsNonRoot") is False]
    implicit = [c["name"] for _place, c, context in pod.containers if context.get("runAsNonRoot") is None]
    changes = [Change(container, path, True) for container in explicit]
    if of_pod is False or (not of_pod and implicit):
        changes.insert(0, Change(_OF_POD, path, True))
    if of_pod is False or explicit:
        setters = _setters(of_pod is False, [name for _place, name in explicit])
        return reason, f"{setters} must not set securityContext.runAsNonRoot=false", changes
    if implicit and not of_pod:
        return reason, f"pod or {_containers(implicit)} must set securityContext.runAsNonRoot=true", changes
    return None


def _run_as_user(pod: _Pod) -> _Result:
    if pod.user_namespace and pod.minor >= 35:
        return None
    of_pod = pod.context.get("runAsUser") == 0
    wrong = [(place, c["name"]) for place, c, context in pod.containers if context.get("runAsUser") == 0]
    if not of_pod and not wrong:
        return None
    setters = _setters(of_pod, [name for _place, name in wrong])
    changes = [Change(c, "securityContext.runAsUser") for c in [*([_OF_POD] if of_pod else []), *wrong]]
    return "runAsUser=0", f"{setters} must not set runAsUser=0", changes


def _seccomp_restricted(pod: _Pod) -> _Result:
    if pod.windows and pod.minor >= 25:
        return None
    of_pod, names, values, changes = _seccomp_set(pod)
    inherited = _seccomp_type(pod.context) in _SECCOMP
    implicit = [c["name"] for _place, c, context in pod.containers if _seccomp_type(context) is None and not inherited]
    if implicit and not of_pod:
        changes.append(Change(_OF_POD, "securityContext.seccompProfile", {"type": "RuntimeDefault"}))
    if of_pod or names:
        listed = _quoted(sorted(values))
        detail = f"{_setters(of_pod, names)} must not set securityContext.seccompProfile.type to {listed}"
        return "seccompProfile", detail, changes
    if implicit:
        must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        return "seccompProfile", f"pod or {_containers(implicit)} {must}", changes
    return None


class _Check(t.NamedTuple):
    """:param since: the first minor version that has it; :param replaces: the baseline check that it stands for."""

    name: str
    judge: t.Callable[[_Pod], _Result]
    since: int = 0
    replaces: str = ""


_BASELINE = (
    _Check("appArmorProfile", _app_armor),
    _Check("capabilities_baseline", _capabilities_baseline),
    _Check("hostNamespaces", _host_namespaces),
    _Check("hostPathVolumes", _host_path_volumes),
    _Check("hostPorts", _host_ports),
    _Check("hostProbesAndHostLifecycle", _host_probes, since=34),
    _Check("privileged", _privileged),
    _Check("procMount", _proc_mount_baseline),
    _Check("seLinuxOptions", _se_linux),
    _Check("seccompProfile_baseline", _seccomp_baseline),
    _Check("sysctls", _sysctls),
    _Check("windowsHostProcess", _windows_host_process),
)
_RESTRICTED = (
    _Check("allowPrivilegeEscalation", _allow_privilege_escalation),
    _Check("capabilities_restricted", _capabilities_restricted, replaces="capabilities_baseline"),
    _Check("procMount_restricted", _proc_mount, since=35, replaces="procMount"),
    _Check("restrictedVolumes", _restricted_volumes, replaces="hostPathVolumes"),
    _Check("runAsNonRoot", _run_as_non_root),
    _Check("runAsUser", _run_as_user),
    _Check("seccompProfile_restricted", _seccomp_restricted, replaces="seccompProfile_baseline"),
)


def _checks(level: str, minor: int) -> t.List[_Check]:
    restricted = [check for check in _RESTRICTED if check.since <= minor] if level == "restricted" else []
    replaced = {check.replaces for check in restricted}
    return [c for c in _BASELINE if c.since <= minor and c.name not in replaced] + restricted


def _tabled() -> t.Dict[t.Tuple[str, int], t.List[_Check]]:
    minors = range(OLDEST, NEWEST + 1)
    table = {(level, minor): _checks(level, minor) for level in ("baseline", "restricted") for minor in minors}
    return {**table, **{("privileged", minor): [] for minor in minors}}


_TABLE = _tabled()


def version(text: str, server: t.Optional[int] = None) -> int:
    """The minor version whose rules hold: ``v1.33`` is 33; ``latest``, and what is newer than the server, the server's.

    Versions before 1.24 are judged as 1.24.
    """
    newest = min(NEWEST, server) if server else NEWEST
    wanted = newest if text == "latest" else int(text.rpartition(".")[2])
    return max(OLDEST, min(newest, wanted))


def evaluate(metadata: _Object, spec: _Object, level: str, minor: int) -> t.List[Failure]:
    """What a level says of a pod at a version, in the API server's order; nothing when it admits the pod."""
    pod = _Pod(metadata, spec, minor)
    failures = []
    for check in _TABLE[level, minor]:
        result = check.judge(pod)
        if result:
            reason, detail, changes = result
            failures.append(Failure(check.name, reason, detail, tuple(changes)))
    return failures
