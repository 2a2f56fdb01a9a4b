# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From PodSecurityPolicy manifests, and the RBAC that grants their use, to the options of ``pod_security_policy``.

PodSecurityPolicy forbade what was not mentioned; the options judge only what is. So everything is mentioned here.
"""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError

_Object = t.Mapping[str, t.Any]
_Options = t.Dict[str, t.Any]

_GROUPS = ("policy", "extensions", "*")
_EVERYBODY = "system:authenticated"
_SECCOMP = "seccomp.security.alpha.kubernetes.io/"
_APPARMOR = "apparmor.security.beta.kubernetes.io/"
_ROLES = ("Role", "ClusterRole")
_BINDINGS = ("RoleBinding", "ClusterRoleBinding")


def convert(manifests: t.Iterable[_Object], name: str = "psp") -> _Options:
    """The item for ``policies``, and notes on what changes its meaning.

    :param name: of the item.
    :raises HardenedError: there is no PodSecurityPolicy among them.
    """
    objects = [part for manifest in manifests for part in _parts(manifest)]
    policies = sorted(
        (o for o in objects if o.get("kind") == "PodSecurityPolicy"), key=lambda o: str(o["metadata"]["name"])
    )
    if not policies:
        raise HardenedError(
            "there is no PodSecurityPolicy among the manifests", "Give what kubectl get psp -o yaml printed"
        )
    rights = _Rights(objects)
    notes: t.List[str] = []
    alternatives = []
    for policy in policies:
        found = policy["metadata"]["name"]
        spec, annotations = policy.get("spec") or {}, policy["metadata"].get("annotations") or {}
        unusable = _unusable(spec, annotations)
        if unusable:
            notes.append(f"{found} is left out, as it admitted no pod: {unusable}")
            continue
        notes += [f"{found}: {note}" for note in [*rights.notes(found), *_notes(policy)]]
        by_right = {} if rights.everybody(found) else {"use": True}
        alternatives.append({"name": found, **by_right, **_options(spec), **_profiles(annotations)})
    if not alternatives:
        raise HardenedError("none of the policies admitted any pod", " ".join(notes))
    notes.append(
        "default and kube-* are left out unless allow_system names them; PodSecurityPolicy was in force there, too"
    )
    return {"policies": [{"name": name, "namespace_selector": {}, "any_of": alternatives}], "notes": notes}


def _parts(manifest: _Object) -> t.Iterator[_Object]:
    """The objects of a list, or the object itself."""
    if str(manifest.get("kind", "")).endswith("List"):
        for item in manifest.get("items") or ():
            yield {"kind": str(manifest["kind"])[: -len("List")], **item}
    else:
        yield manifest


def _unusable(spec: _Object, annotations: t.Mapping[str, str]) -> str:
    """Why a policy admitted nothing, such as what the admission plug-in could not even load; empty where it did."""
    if annotations.get(f"{_SECCOMP}defaultProfileName") and not annotations.get(f"{_SECCOMP}allowedProfileNames"):
        return "it has a default seccomp profile and allows none"
    if _rule(spec, "seLinux") == "MustRunAs" and (spec["seLinux"].get("seLinuxOptions")) is None:
        return "seLinux is MustRunAs without seLinuxOptions"
    for field in ("runAsUser", "runAsGroup", "supplementalGroups", "fsGroup"):
        if _rule(spec, field) in ("MustRunAs", "MayRunAs") and not spec[field].get("ranges"):
            return f"{field} is {_rule(spec, field)} without ranges"
    return ""


def _rule(spec: _Object, field: str) -> str:
    return str((spec.get(field) or {}).get("rule") or "RunAsAny")


def _options(spec: _Object) -> _Options:
    """What a policy's spec says, in full."""
    options: _Options = {
        "privileged": bool(spec.get("privileged")),
        "host_network": bool(spec.get("hostNetwork")),
        "host_pid": bool(spec.get("hostPID")),
        "host_ipc": bool(spec.get("hostIPC")),
        "host_ports": [{"min": r["min"], "max": r["max"]} for r in spec.get("hostPorts") or ()],
        "volumes": list(spec.get("volumes") or ()),
        "allowed_capabilities": list(spec.get("allowedCapabilities") or ()),
        "allow_privilege_escalation": spec.get("allowPrivilegeEscalation") is not False,
        "allowed_unsafe_sysctls": list(spec.get("allowedUnsafeSysctls") or ()),
        "allowed_proc_mount_types": list(spec.get("allowedProcMountTypes") or ["Default"]),
        **_strategies(spec),
    }
    for field, option in (
        ("requiredDropCapabilities", "required_drop_capabilities"),
        ("defaultAddCapabilities", "default_add_capabilities"),
        ("forbiddenSysctls", "forbidden_sysctls"),
    ):
        if spec.get(field):
            options[option] = list(spec[field])
    if spec.get("readOnlyRootFilesystem"):
        options["read_only_root_filesystem"] = True
    if spec.get("defaultAllowPrivilegeEscalation") is not None:
        options["default_allow_privilege_escalation"] = spec["defaultAllowPrivilegeEscalation"]
    # empty lists of these allowed everything
    if spec.get("allowedHostPaths"):
        options["allowed_host_paths"] = [
            {"path_prefix": entry["pathPrefix"], "read_only": bool(entry.get("readOnly"))}
            for entry in spec["allowedHostPaths"]
        ]
    if spec.get("allowedFlexVolumes"):
        options["allowed_flex_volumes"] = [entry["driver"] for entry in spec["allowedFlexVolumes"]]
    if spec.get("allowedCSIDrivers"):
        options["allowed_csi_drivers"] = [entry["name"] for entry in spec["allowedCSIDrivers"]]
    return options


def _strategies(spec: _Object) -> _Options:
    """Users, groups, SELinux and the runtime class, where a policy was not indifferent."""
    options: _Options = {}
    for field, option in (
        ("runAsUser", "run_as_user"),
        ("runAsGroup", "run_as_group"),
        ("supplementalGroups", "supplemental_groups"),
        ("fsGroup", "fs_group"),
    ):
        rule = _rule(spec, field)
        if rule == "MustRunAsNonRoot":
            options[option] = {"rule": rule}
        elif rule != "RunAsAny":
            ranges = [{"min": r["min"], "max": r["max"]} for r in spec[field]["ranges"]]
            options[option] = {"rule": rule, "ranges": ranges}
    if _rule(spec, "seLinux") == "MustRunAs":
        options["se_linux"] = {"rule": "MustRunAs", "se_linux_options": dict(spec["seLinux"]["seLinuxOptions"])}
    runtime = spec.get("runtimeClass")
    if runtime is not None:
        options["runtime_class"] = {"allowed_runtime_class_names": list(runtime.get("allowedRuntimeClassNames") or ())}
        if runtime.get("defaultRuntimeClassName"):
            options["runtime_class"]["default_runtime_class_name"] = runtime["defaultRuntimeClassName"]
    return options


def _profiles(annotations: t.Mapping[str, str]) -> _Options:
    """The four annotations. Without the one on allowed seccomp profiles, none could be set."""
    options: _Options = {"allowed_seccomp_profiles": _listed(annotations.get(f"{_SECCOMP}allowedProfileNames"))}
    if annotations.get(f"{_SECCOMP}defaultProfileName"):
        options["default_seccomp_profile"] = annotations[f"{_SECCOMP}defaultProfileName"]
    if f"{_APPARMOR}allowedProfileNames" in annotations:
        options["allowed_app_armor_profiles"] = _listed(annotations[f"{_APPARMOR}allowedProfileNames"])
    if annotations.get(f"{_APPARMOR}defaultProfileName"):
        options["default_app_armor_profile"] = annotations[f"{_APPARMOR}defaultProfileName"]
    return options


def _listed(profiles: t.Optional[str]) -> t.List[str]:
    return profiles.split(",") if profiles else []


def _notes(policy: _Object) -> t.Iterator[str]:
    """What means something else than it did, or should."""
    spec, annotations = policy.get("spec") or {}, policy["metadata"].get("annotations") or {}
    if not annotations.get(f"{_SECCOMP}allowedProfileNames"):
        yield (
            "no seccomp profile may be set, as before; allowed_seccomp_profiles: [runtime/default] "
            "with default_seccomp_profile: runtime/default is what one wants today"
        )
    if spec.get("allowedUnsafeSysctls") is not None or spec.get("forbiddenSysctls"):
        yield "the safe sysctls are those of the cluster's version, which are more than in 1.24"
    if _rule(spec, "supplementalGroups") == "MustRunAs":
        yield "groups that an image lists for its user escape the rule unless supplemental_groups_policy is Strict"
    if "ALL" not in (spec.get("requiredDropCapabilities") or ["ALL"]):
        yield "a container that drops ALL need not name what has to be dropped"


class _Rights:
    """Who may use which policy."""

    def __init__(self, objects: t.Sequence[_Object]) -> None:
        self._roles = {
            (o["kind"], o["metadata"].get("namespace") or "", o["metadata"]["name"]): o.get("rules") or []
            for o in objects
            if o.get("kind") in _ROLES
        }
        self._bindings = [o for o in objects if o.get("kind") in _BINDINGS]

    def _granting(self, policy: str) -> t.Iterator[t.Tuple[_Object, t.Sequence[str]]]:
        """The bindings that grant the use of a policy, with the API groups of the rule."""
        for binding in self._bindings:
            reference = binding["roleRef"]
            space = (binding["metadata"].get("namespace") or "") if reference["kind"] == "Role" else ""
            for rule in self._roles.get((reference["kind"], space, reference["name"]), ()):
                names = rule.get("resourceNames") or [policy]
                groups = [group for group in rule.get("apiGroups") or () if group in _GROUPS]
                verbs, resources = rule.get("verbs") or (), rule.get("resources") or ()
                if (
                    groups
                    and policy in names
                    and {"use", "*"} & {*verbs}
                    and {"podsecuritypolicies", "*"} & {*resources}
                ):
                    yield binding, groups

    def everybody(self, policy: str) -> bool:
        """Whether any requester may use it anywhere, so that nobody needs to be asked."""
        return any(
            binding["kind"] == "ClusterRoleBinding"
            and any(s.get("kind") == "Group" and s.get("name") == _EVERYBODY for s in binding.get("subjects") or ())
            for binding, _groups in self._granting(policy)
        )

    def notes(self, policy: str) -> t.Iterator[str]:
        granting = list(self._granting(policy))
        if not granting:
            yield "no binding among the manifests grants the verb use on it; only who may do anything can use it"
        for binding, groups in granting:
            if groups == ["extensions"]:
                yield (
                    f"{binding['kind']} {binding['metadata']['name']} grants use in the API group extensions, "
                    "which counts no more: write policy into its role"
                )
