# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of a pod security policy, each a pure function: options -> what CEL says of a pod that breaks it.

Each says under which conditions a pod breaks it, and as a list of texts what is wrong: one for each container, volume or
pod at fault, that name it, the field and the remedy. Names and meanings of options are those of PodSecurityPolicy
(k8s.io/kubernetes v1.24, pkg/security/podsecuritypolicy), except that an option which is not declared judges nothing.

Expressions may use ``variables.spec`` and ``variables.annotations`` of the pod, and ``variables.linux``.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import cel
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.cel import (
    Condition,
    Verdict,
    effective,
    own,
    shared,
    text,
    texts,
)

Options = t.Mapping[str, t.Any]

APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"

#: The sysctls that only concern the pod itself, and the minor version from which on the kubelet allows them.
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
    "net.ipv4.tcp_slow_start_after_idle": 37,
    "net.ipv4.tcp_notsent_lowat": 37,
}
NEWEST = 37

#: Kinds of volume as PodSecurityPolicy wrote them, where the pod's field is another word.
_VOLUME_FIELDS = {"cephFS": "cephfs"}


@dataclass(frozen=True)
class Default:
    """A value for a field that a pod leaves open.

    :param path: below ``spec``, or below the container, such as ``securityContext/runAsUser``.
    :param unset: when it is filled in, in terms of the pod, and of ``c`` for a container's field.
    :param value: what is filled in.
    """

    path: str
    unset: str
    value: str
    of_container: bool = False


@dataclass(frozen=True)
class Rule:
    """One rule of one policy.

    :param violations: what is wrong with a pod.
    :param remaining: what is wrong with a pod to which the defaults have yet to be applied.
    """

    name: str
    violations: Verdict
    remaining: Verdict
    defaults: t.Tuple[Default, ...] = ()


#: What a default mends as a whole.
_NOTHING = Verdict()


def _rule(name: str, violations: Verdict, remaining: t.Optional[Verdict] = None, *defaults: Default) -> Rule:
    return Rule(name, violations, violations if remaining is None else remaining, defaults)


def _on_linux(rule: Rule) -> Rule:
    """A rule about fields that pods for Windows cannot set."""
    defaults = tuple(Default(d.path, f"variables.linux && {d.unset}", d.value, d.of_container) for d in rule.defaults)
    violations, remaining = (verdict.only_when("variables.linux") for verdict in (rule.violations, rule.remaining))
    return Rule(rule.name, violations, remaining, defaults)


def _ranges(item: t.Mapping[str, t.Any], option: str) -> t.List[t.Dict[str, int]]:
    """Ranges of numbers, none of them empty."""
    ranges: t.List[t.Dict[str, int]] = item.get("ranges") or []
    for entry in ranges:
        if not 0 <= entry["min"] <= entry["max"] < 2**31:
            raise ItemError(
                f"{option}: {entry['min']} to {entry['max']} is no range", "min is at least 0, max at least min"
            )
    return ranges


def _span(ranges: t.Iterable[t.Mapping[str, int]]) -> str:
    """Ranges as a person writes them."""
    return ", ".join(str(r["min"]) if r["min"] == r["max"] else f"{r['min']}-{r['max']}" for r in ranges) or "none"


def _strategy(options: Options, option: str) -> t.Tuple[str, t.List[t.Dict[str, int]]]:
    """Rule and ranges of a strategy; nothing to judge is ``RunAsAny``."""
    item = options.get(option) or {"rule": "RunAsAny"}
    rule = item["rule"]
    ranges = _ranges(item, option)
    if rule in ("MustRunAs", "MayRunAs") and not ranges:
        raise ItemError(f"{option}: {rule} has no ranges", "Say ranges: [{min: 1000, max: 65535}]")
    return rule, ranges


# -- namespaces of the host, privileges


def privileged(options: Options) -> t.Optional[Rule]:
    """Windows calls it HostProcess, and takes it from the pod, too."""
    if options.get("privileged", True):
        return None
    flag, windows = f"{own('privileged')}.orValue(false)", f"{effective('windowsOptions.?hostProcess')}.orValue(false)"
    said = (
        f"({flag} ? 'securityContext.privileged'"
        " : 'securityContext.windowsOptions.hostProcess of the container or the pod') + ' is true, remove it'"
    )
    return _rule("privileged", cel.containers(f"{flag} || {windows}", said))


def _host_namespace(options: Options, option: str, field: str) -> t.Optional[Rule]:
    if options.get(option, True):
        return None
    said = text(f"{field} is true, remove it")
    return _rule(option, cel.pod(f"variables.spec.?{field}.orValue(false)", said))


def host_network(options: Options) -> t.Optional[Rule]:
    return _host_namespace(options, "host_network", "hostNetwork")


def host_pid(options: Options) -> t.Optional[Rule]:
    return _host_namespace(options, "host_pid", "hostPID")


def host_ipc(options: Options) -> t.Optional[Rule]:
    return _host_namespace(options, "host_ipc", "hostIPC")


def host_ports(options: Options) -> t.Optional[Rule]:
    """In templates hostNetwork has not yet made each port one of the host."""
    ranges = options.get("host_ports")
    if ranges is None:
        return None
    for entry in ranges:
        if not 0 <= entry["min"] <= entry["max"] <= 65535:
            raise ItemError(f"host_ports: {entry['min']} to {entry['max']} is no range", "Ports are 0 to 65535")
    port = (
        "(p.?hostPort.orValue(0) > 0 ? p.hostPort : variables.spec.?hostNetwork.orValue(false) ? p.containerPort : 0)"
    )
    ports = f"c.?ports.orValue([]).map(p, {port})"
    outside = f"h > 0 && !{cel.within('h', ranges)}"
    wrong = f"{ports}.filter(h, {outside})"
    advice = text(f", remove it or use one of: {_span(ranges)}" if ranges else ", remove it")
    said = f"'ports.hostPort is ' + {wrong}.map(h, string(h)).join(', ') + {advice}"
    asked = f"has(c.ports) && {ports}.exists(h, {outside})"
    return _rule("host_ports", cel.containers(f"{wrong}.size() > 0", said, asked))


def host_users(options: Options) -> t.Optional[Rule]:
    if options.get("host_users", True):
        return None
    said = text("hostUsers is not false, set it to false")
    return _on_linux(_rule("host_users", cel.pod("variables.spec.?hostUsers.orValue(true)", said)))


def host_probes(options: Options) -> t.Optional[Rule]:
    if options.get("host_probes", True):
        return None
    handlers = {probe: [probe] for probe in ("livenessProbe", "readinessProbe", "startupProbe")}
    handlers["lifecycle"] = ["lifecycle.?postStart", "lifecycle.?preStop"]
    hosts = {
        field: cel.any_of(
            f"c.?{path}.?{kind}.?host.orValue('') != ''" for path in paths for kind in ("httpGet", "tcpSocket")
        )
        for field, paths in handlers.items()
    }
    said = text("a probe or lifecycle handler names a host, remove host from its httpGet or tcpSocket")
    return _rule(
        "host_probes",
        cel.containers(cel.any_of(f"has(c.{field}) && ({named})" for field, named in hosts.items()), said),
    )


def allow_privilege_escalation(options: Options) -> t.Optional[Rule]:
    allowed, default = (
        options.get("allow_privilege_escalation", True),
        options.get("default_allow_privilege_escalation"),
    )
    if allowed and default is None:
        return None
    if not allowed and default:
        raise ItemError(
            "default_allow_privilege_escalation is true where allow_privilege_escalation is false",
            "Leave default_allow_privilege_escalation out",
        )
    field = own("allowPrivilegeEscalation")
    fill = Default(
        "securityContext/allowPrivilegeEscalation", f"!{field}.hasValue()", "true" if default else "false", True
    )
    if allowed:
        said = text(
            f"securityContext.allowPrivilegeEscalation is not set, set it to {str(bool(default)).lower()}"
            + (" or true" if not default else " or false")
        )
        rule = _rule("allow_privilege_escalation", cel.containers(f"!{field}.hasValue()", said), _NOTHING, fill)
    else:
        said = text("securityContext.allowPrivilegeEscalation is not false, set it to false")
        remaining = cel.containers(f"{field}.orValue(false)", said)
        rule = _rule("allow_privilege_escalation", cel.containers(f"{field}.orValue(true)", said), remaining, fill)
    return _on_linux(rule)


def read_only_root_filesystem(options: Options) -> t.Optional[Rule]:
    if not options.get("read_only_root_filesystem"):
        return None
    field, said = (
        own("readOnlyRootFilesystem"),
        text("securityContext.readOnlyRootFilesystem is not true, set it to true"),
    )
    fill = Default("securityContext/readOnlyRootFilesystem", f"!{field}.hasValue()", "true", True)
    remaining = cel.containers(f"!{field}.orValue(true)", said)
    return _on_linux(
        _rule("read_only_root_filesystem", cel.containers(f"!{field}.orValue(false)", said), remaining, fill)
    )


def allowed_proc_mount_types(options: Options) -> t.Optional[Rule]:
    types = options.get("allowed_proc_mount_types")
    if types is None:
        return None
    field = f"{own('procMount')}.orValue('Default')"
    said = f"'securityContext.procMount is ' + {field} + {text(', set it to one of: ' + ', '.join(types))}"
    return _on_linux(_rule("allowed_proc_mount_types", cel.containers(f"!({field} in {texts(types)})", said)))


# -- capabilities


def allowed_capabilities(options: Options) -> t.Optional[Rule]:
    allowed = options.get("allowed_capabilities")
    if allowed is None or "*" in allowed:
        return None
    allowed = sorted({*allowed, *options.get("default_add_capabilities", ())})
    added = f"{own('capabilities')}.?add.orValue([])"
    wrong, asked = (f"{added}.{macro}(a, !(a in {texts(allowed)}))" for macro in ("filter", "exists"))
    advice = text(f", remove it; allowed: {', '.join(allowed) or 'none'}")
    said = f"'securityContext.capabilities.add has ' + {wrong}.join(', ') + {advice}"
    return _on_linux(_rule("allowed_capabilities", cel.containers(f"{wrong}.size() > 0", said, asked)))


def required_drop_capabilities(options: Options) -> t.Optional[Rule]:
    """Who drops ALL drops each; what has to be dropped cannot be added, in any spelling that a runtime takes."""
    required = options.get("required_drop_capabilities")
    if not required:
        return None
    _check_drops(options, required)
    drop, add = f"{own('capabilities')}.?drop.orValue([])", f"{own('capabilities')}.?add.orValue([])"
    missing = f"{texts(required)}.filter(r, !(r in {drop} || 'ALL' in {drop}))"
    said = f"'securityContext.capabilities.drop lacks ' + {missing}.join(', ') + ', add it'"
    lacking = f"!('ALL' in {drop}) && {texts(required)}.exists(r, !(r in {drop}))"
    kept = [name.upper() for name in required if name != "ALL"]
    taken, asked = (
        f"{add}.{macro}(a, a.upperAscii() in {texts([*kept, *(f'CAP_{name}' for name in kept)])})"
        for macro in ("filter", "exists")
    )
    said_added = f"'securityContext.capabilities.add has ' + {taken}.join(', ') + ', drop it instead'"
    added = cel.containers(f"{taken}.size() > 0", said_added, asked) if kept else _NOTHING
    fill = Default("securityContext/capabilities/drop", f"{missing}.size() > 0", f"{drop} + {missing}", True)
    violations = cel.both(cel.containers(f"{missing}.size() > 0", said, lacking), added)
    return _on_linux(_rule("required_drop_capabilities", violations, added, fill))


def _check_drops(options: Options, required: t.Collection[str]) -> None:
    for option in ("default_add_capabilities", "allowed_capabilities"):
        both = sorted(set(options.get(option, ())) & {*required, "*"})
        if both:
            raise ItemError(
                f"{option} has {both[0]}, which required_drop_capabilities takes away", "Leave it out of one of them"
            )


def default_add_capabilities(options: Options) -> t.Optional[Rule]:
    wanted = options.get("default_add_capabilities")
    if not wanted:
        return None
    drop, add = f"{own('capabilities')}.?drop.orValue([])", f"{own('capabilities')}.?add.orValue([])"
    missing = f"{texts(wanted)}.filter(d, !(d in {drop} || d in {add}))"
    said = f"'securityContext.capabilities neither adds nor drops ' + {missing}.join(', ') + ', do one of them'"
    fill = Default("securityContext/capabilities/add", f"{missing}.size() > 0", f"{add} + {missing}", True)
    return _on_linux(_rule("default_add_capabilities", cel.containers(f"{missing}.size() > 0", said), _NOTHING, fill))


# -- users and groups


def run_as_user(options: Options) -> t.Optional[Rule]:
    rule, ranges = _strategy(options, "run_as_user")
    user = effective("runAsUser")
    if rule == "MustRunAsNonRoot":
        return _non_root(user)
    if rule != "MustRunAs":
        return None
    said = text(f"securityContext.runAsUser of the container or the pod must be in {_span(ranges)}")
    inside = cel.within("u", ranges)
    fill = Default("securityContext/runAsUser", f"!{user}.hasValue()", str(ranges[0]["min"]), True)
    violations = cel.containers(f"!{user}.optMap(u, {inside}).orValue(false)", said)
    remaining = cel.containers(f"{user}.optMap(u, !{inside}).orValue(false)", said)
    return _on_linux(_rule("run_as_user", violations, remaining, fill))


def _non_root(user: str) -> Rule:
    """Also for Windows, where the kubelet looks at the user's name."""
    non_root = effective("runAsNonRoot")
    unset = f"!{non_root}.hasValue() && !{user}.hasValue()"
    wrong = f"(!{non_root}.orValue(true) || {user}.orValue(1) == 0)"
    said = text(
        "it may run as root, set securityContext.runAsNonRoot to true and no runAsUser of 0, here or in the pod"
    )
    fill = Default("securityContext/runAsNonRoot", unset, "true", True)
    return _rule("run_as_user", cel.containers(f"{unset} || {wrong}", said), cel.containers(wrong, said), fill)


def run_as_group(options: Options) -> t.Optional[Rule]:
    rule, ranges = _strategy(options, "run_as_group")
    if rule == "RunAsAny":
        return None
    group, inside = effective("runAsGroup"), cel.within("g", ranges)
    said = text(f"securityContext.runAsGroup of the container or the pod must be in {_span(ranges)}")
    outside = cel.containers(f"{group}.optMap(g, !{inside}).orValue(false)", said)
    if rule == "MayRunAs":
        return _on_linux(_rule("run_as_group", outside))
    fill = Default("securityContext/runAsGroup", f"!{group}.hasValue()", str(ranges[0]["min"]), True)
    violations = cel.containers(f"!{group}.optMap(g, {inside}).orValue(false)", said)
    return _on_linux(_rule("run_as_group", violations, outside, fill))


def supplemental_groups(options: Options) -> t.Optional[Rule]:
    rule, ranges = _strategy(options, "supplemental_groups")
    if rule == "RunAsAny":
        return None
    groups = f"{shared('supplementalGroups')}.orValue([])"
    said = text(f"securityContext.supplementalGroups must be in {_span(ranges)}")
    outside = f"{groups}.exists(g, !{cel.within('g', ranges)})"
    if rule == "MayRunAs":
        return _on_linux(_rule("supplemental_groups", cel.pod(outside, said)))
    fill = Default("securityContext/supplementalGroups", f"{groups}.size() == 0", f"[{ranges[0]['min']}]")
    violations = cel.pod(f"{groups}.size() == 0 || {outside}", said)
    return _on_linux(_rule("supplemental_groups", violations, cel.pod(outside, said), fill))


def fs_group(options: Options) -> t.Optional[Rule]:
    rule, ranges = _strategy(options, "fs_group")
    if rule == "RunAsAny":
        return None
    group, inside = shared("fsGroup"), cel.within("g", ranges)
    said = text(f"securityContext.fsGroup must be in {_span(ranges)}")
    outside = cel.pod(f"{group}.optMap(g, !{inside}).orValue(false)", said)
    if rule == "MayRunAs":
        return _on_linux(_rule("fs_group", outside))
    fill = Default("securityContext/fsGroup", f"!{group}.hasValue()", str(ranges[0]["min"]))
    violations = cel.pod(f"!{group}.optMap(g, {inside}).orValue(false)", said)
    return _on_linux(_rule("fs_group", violations, outside, fill))


def supplemental_groups_policy(options: Options) -> t.Optional[Rule]:
    """Without Strict, the groups that the image lists for its user come on top."""
    wanted = options.get("supplemental_groups_policy")
    if wanted is None:
        return None
    field = shared("supplementalGroupsPolicy")
    said = text(f"securityContext.supplementalGroupsPolicy is not {wanted}, set it to {wanted}")
    fill = Default("securityContext/supplementalGroupsPolicy", f"!{field}.hasValue()", text(wanted))
    violations = cel.pod(f"{field}.orValue('') != {text(wanted)}", said)
    remaining = cel.pod(f"{field}.orValue({text(wanted)}) != {text(wanted)}", said)
    return _on_linux(_rule("supplemental_groups_policy", violations, remaining, fill))


# -- SELinux, AppArmor, seccomp, sysctls


def se_linux(options: Options) -> t.Optional[Rule]:
    strategy = options.get("se_linux") or {"rule": "RunAsAny"}
    if strategy["rule"] == "RunAsAny":
        return None
    wanted = strategy.get("se_linux_options")
    if wanted is None:
        raise ItemError("se_linux: MustRunAs has no se_linux_options", "Say se_linux_options: {level: 's0:c123,c456'}")
    fields = {field: wanted.get(field, "") for field in ("user", "role", "type", "level")}
    same = cel.all_of(
        _same_level(fields[field]) if field == "level" else f"s.?{field}.orValue('') == {text(fields[field])}"
        for field in fields
    )
    shown = ", ".join(f"{field} {value}" for field, value in fields.items() if value) or "nothing set"
    said = text(f"securityContext.seLinuxOptions must be: {shown}")
    value = "{" + ", ".join(f"{text(field)}: {text(value)}" for field, value in fields.items() if value) + "}"
    fill = Default("securityContext/seLinuxOptions", f"!{shared('seLinuxOptions')}.hasValue()", value)
    deviating = cel.containers(f"{own('seLinuxOptions')}.optMap(s, !({same})).orValue(false)", said)
    unlike = f"{shared('seLinuxOptions')}.optMap(s, !({same}))"
    violations = cel.both(cel.pod(f"{unlike}.orValue(true)", said), deviating)
    remaining = cel.both(cel.pod(f"{unlike}.orValue(false)", said), deviating)
    return _on_linux(_rule("se_linux", violations, remaining, fill))


def _same_level(wanted: str) -> str:
    """Whether the level of ``s`` is that one, with its categories in any order."""
    equal = f"s.?level.orValue('') == {text(wanted)}"
    sensitivity, colon, categories = wanted.partition(":")
    if not colon or "," not in categories:
        return equal
    listed = categories.split(",")
    given = f"s.level.substring({len(sensitivity) + 1}).split(',')"
    counted = [f"{given}.filter(x, x == {text(c)}).size() == {listed.count(c)}" for c in sorted(set(listed))]
    same = cel.all_of([f"{given}.size() == {len(listed)}", *counted])
    return f"({equal} || s.?level.orValue('').startsWith({text(sensitivity + ':')}) && {same})"


#: An optional profile of seccomp or AppArmor as PodSecurityPolicy wrote it.
_WRITTEN = (
    "optMap(p, p.type == 'Localhost' ? 'localhost/' + p.?localhostProfile.orValue('')"
    " : p.type == 'RuntimeDefault' ? 'runtime/default' : 'unconfined')"
)


def _profile_value(profile: str) -> str:
    """A profile as the pod's field has it."""
    kind, slash, name = profile.partition("/")
    if kind == "localhost" and slash:
        return f"{{'type': 'Localhost', 'localhostProfile': {text(name)}}}"
    return "{'type': 'RuntimeDefault'}" if kind == "runtime" else "{'type': 'Unconfined'}"


def _profiles(options: Options, option: str) -> t.Optional[t.List[str]]:
    """Allowed profiles, the runtime's default under its one name."""
    profiles = options.get(option)
    if profiles is None:
        return None
    return [_checked_profile(profile, option) for profile in profiles]


def _checked_profile(profile: str, option: str) -> str:
    if profile == "docker/default":
        return "runtime/default"
    if profile in ("runtime/default", "unconfined", "*") or profile.startswith("localhost/"):
        return profile
    raise ItemError(
        f"{option}: {profile!r} is no profile",
        "Profiles are runtime/default, localhost/<name>, unconfined and, allowed, *",
    )


def _default_profile(options: Options, option: str) -> t.Optional[str]:
    profile = options.get(option)
    if profile is None:
        return None
    checked = _checked_profile(profile, option)
    if "*" in checked:
        raise ItemError(f"{option}: {profile!r} is no single profile", "Name one, such as runtime/default")
    return checked


def _is_allowed(profile: str, allowed: t.Iterable[str]) -> bool:
    return any(profile == a or (a.endswith("*") and profile.startswith(a[:-1])) for a in allowed)


def seccomp(options: Options) -> t.Optional[Rule]:
    """A profile on the pod, which its containers inherit; an empty list means that none may be set."""
    allowed = _profiles(options, "allowed_seccomp_profiles")
    default = _default_profile(options, "default_seccomp_profile")
    if default is None and (allowed is None or "*" in allowed):
        return None
    of_pod = f"{shared('seccompProfile')}.{_WRITTEN}.orValue('')"
    of_container = f"{own('seccompProfile')}.{_WRITTEN}"
    defaults = []
    if default is not None:
        value = _profile_value(default)
        defaults = [Default("securityContext/seccompProfile", f"!{shared('seccompProfile')}.hasValue()", value)]
    if allowed is None or "*" in allowed:
        unset = cel.pod(f"{of_pod} == ''", text(f"securityContext.seccompProfile is not set, set it to {default}"))
        return _on_linux(_rule("seccomp", unset, _NOTHING, *defaults))
    if not allowed:
        if default is not None:
            raise ItemError(
                f"default_seccomp_profile {default} is not allowed, as allowed_seccomp_profiles is empty",
                "Allow it, or leave the default out",
            )
        advice = text("securityContext.seccompProfile may not be set, remove it")
        set_here = cel.containers(f"{own('seccompProfile')}.hasValue()", advice)
        return _on_linux(_rule("seccomp", cel.both(cel.pod(f"{of_pod} != ''", advice), set_here)))
    advice = text(f"securityContext.seccompProfile must be one of: {', '.join(allowed)}")
    wrong = f"!{cel.matches(of_pod, allowed)}"
    containers = cel.containers(f"{of_container}.optMap(x, !{cel.matches('x', allowed)}).orValue(false)", advice)
    remaining = wrong
    if default is not None and _is_allowed(default, allowed):
        # one that is not allowed would be refused right after it was filled in
        remaining = f"{of_pod} != '' && {wrong}"
    return _on_linux(
        _rule(
            "seccomp",
            cel.both(cel.pod(wrong, advice), containers),
            cel.both(cel.pod(remaining, advice), containers),
            *defaults,
        )
    )


def app_armor(options: Options) -> t.Optional[Rule]:
    """A profile on every container, by its field, the annotation of old or the pod's field."""
    allowed = _profiles(options, "allowed_app_armor_profiles")
    default = _default_profile(options, "default_app_armor_profile")
    if default is None and (allowed is None or "*" in allowed):
        return None
    profile = (
        f"{own('appArmorProfile')}.{_WRITTEN}"
        f".or(variables.annotations[?'{APPARMOR_ANNOTATION}' + c.name])"
        f".or({shared('appArmorProfile')}.{_WRITTEN}).orValue('')"
    )
    listed = ["runtime/default", "localhost/*", "unconfined"] if allowed is None or "*" in allowed else allowed
    advice = text(f"securityContext.appArmorProfile must be one of: {', '.join(listed) or 'none'}")
    violations = cel.containers(f"!{cel.matches(profile, listed)}", advice)
    if default is None:
        return _on_linux(_rule("app_armor", violations))
    fill = Default("securityContext/appArmorProfile", f"{profile} == ''", _profile_value(default), True)
    filled = _is_allowed(default, listed)
    fine = [cel.matches(profile, listed), *([f"{profile} == ''"] if filled else [])]
    remaining = cel.containers(f"!({cel.any_of(fine)})", advice)
    return _on_linux(_rule("app_armor", violations, remaining, fill))


def sysctls(options: Options) -> t.Optional[Rule]:
    """Safe ones are those of the server's version; a name may be written with dots or slashes."""
    allowed, forbidden = options.get("allowed_unsafe_sysctls"), options.get("forbidden_sysctls")
    if allowed is None and forbidden is None:
        return None
    minor = options.get("minor", NEWEST)
    safe = [name for name, since in SAFE_SYSCTLS.items() if since <= minor]
    allowed = [_dotted(name) for name in allowed or ()]
    forbidden = [_dotted(name) for name in forbidden or ()]
    both = sorted(set(allowed) & set(forbidden))
    if both:
        raise ItemError(f"sysctl {both[0]} is both allowed and forbidden", "Leave it out of one of the lists")
    fine = cel.any_of([cel.matches("n", safe), *([cel.matches("n", allowed)] if allowed else [])])
    wrong, asked = (
        f"{shared('sysctls')}.orValue([]).map(s, s.name.replace('/', '.'))"
        f".{macro}(n, {cel.matches('n', forbidden) if forbidden else 'false'} || !({fine}))"
        for macro in ("filter", "exists")
    )
    said = f"'securityContext.sysctls has ' + {wrong}.join(', ') + ', which this policy does not allow, remove it'"
    return _on_linux(_rule("sysctls", cel.pod(f"{wrong}.size() > 0", said, asked)))


def _dotted(sysctl: str) -> str:
    return sysctl.replace("/", ".")


# -- volumes

_ROOT_CERTIFICATES = "kube-root-ca.crt"
#: What the API server itself mounts for the token of a service account.
_TOKEN_SOURCE = (
    "(has(s.serviceAccountToken) || has(s.configMap) || has(s.downwardAPI))"
    " && (!has(s.serviceAccountToken)"
    " || s.serviceAccountToken.path == 'token' && s.serviceAccountToken.?audience.orValue('') == '')"
    f" && (!has(s.configMap) || s.configMap.?name.orValue('') == '{_ROOT_CERTIFICATES}')"
    " && (!has(s.downwardAPI) || s.downwardAPI.?items.orValue([]).all(d, d.path == 'namespace'"
    " && d.?fieldRef.?apiVersion.orValue('') == 'v1' && d.?fieldRef.?fieldPath.orValue('') == 'metadata.namespace'))"
)


def volumes(options: Options) -> t.Optional[Rule]:
    """Any key beside the name is the volume's kind, so kinds that are yet to be invented are refused, too."""
    kinds = options.get("volumes")
    if kinds is None or "*" in kinds:
        return None
    fields = sorted({_VOLUME_FIELDS.get(kind, kind) for kind in kinds})
    wrong = f"dyn(v).exists(k, k != 'name' && !(k in {texts(fields)}))"
    if "secret" in fields and "projected" not in fields:
        token = f"v.?projected.optMap(q, q.?sources.orValue([]).all(s, {_TOKEN_SOURCE})).orValue(false)"
        wrong = f"{wrong} && !{token}"
    said = f"dyn(v).filter(k, k != 'name').join() + {text(' is no allowed kind of volume, use one of: ' + ', '.join(fields))}"
    return _rule("volumes", cel.volumes(wrong, said))


def allowed_host_paths(options: Options) -> t.Optional[Rule]:
    """Whole segments of a path; what may only be read is mounted read-only by every container."""
    paths = options.get("allowed_host_paths")
    if paths is None:
        return None
    for entry in paths:
        if ".." in entry["path_prefix"].split("/"):
            raise ItemError(f"allowed_host_paths: {entry['path_prefix']} goes upwards", "Leave '..' out")
    wide = [entry["path_prefix"] for entry in paths if not entry.get("read_only")]
    read_only = [entry["path_prefix"] for entry in paths if entry.get("read_only")]
    advice = text(f" is not below one of: {', '.join([*wide, *read_only]) or 'none'}")
    outside = cel.volumes(
        f"has(v.hostPath) && !({_below([*wide, *read_only])})", f"'hostPath ' + v.hostPath.path + {advice}"
    )
    if not read_only:
        return _rule("allowed_host_paths", outside)
    limited = f"has(v.hostPath) && !({_below(wide)}) && ({_below(read_only)})"
    names = f"{cel.items('volumes')}.filter(v, {limited}).map(v, v.name)"
    wrong, asked = (
        f"c.?volumeMounts.orValue([]).{macro}(m, !m.?readOnly.orValue(false) && m.name in limited)"
        for macro in ("filter", "exists")
    )
    said = f"'volumeMounts of ' + {wrong}.map(m, m.name).join(', ') + ' must have readOnly: true'"
    mounting = cel.containers(f"{wrong}.size() > 0", said, asked)
    # a list of one, so that the volumes are looked through once and not for every mount
    mounted = Verdict(
        (Condition("pod", f"[{names}].exists(limited, limited.size() > 0 && !({cel.fine(mounting)}))"),),
        f"[{names}].map(limited, {mounting.wrong})[0]",
    )
    return _rule("allowed_host_paths", cel.both(outside, mounted))


def _below(prefixes: t.Iterable[str]) -> str:
    path = "v.hostPath.path"
    trimmed = [prefix[:-1] if prefix.endswith("/") else prefix for prefix in prefixes]
    return cel.any_of(f"{path} == {text(prefix)} || {path}.startsWith({text(prefix + '/')})" for prefix in trimmed)


def _drivers(options: Options, option: str, field: str) -> t.Optional[Rule]:
    drivers = options.get(option)
    if drivers is None:
        return None
    said = f"'{field} driver ' + v.{field}.driver + {text(' is not allowed, use one of: ' + (', '.join(drivers) or 'none'))}"
    return _rule(option, cel.volumes(f"has(v.{field}) && !(v.{field}.driver in {texts(drivers)})", said))


def allowed_flex_volumes(options: Options) -> t.Optional[Rule]:
    return _drivers(options, "allowed_flex_volumes", "flexVolume")


def allowed_csi_drivers(options: Options) -> t.Optional[Rule]:
    return _drivers(options, "allowed_csi_drivers", "csi")


# -- runtime class, images, tokens, ephemeral containers


def runtime_class(options: Options) -> t.Optional[Rule]:
    """An empty list of allowed names means that none may be set; a pod without one is always allowed."""
    strategy = options.get("runtime_class")
    if not strategy:
        return None
    allowed, default = strategy.get("allowed_runtime_class_names"), strategy.get("default_runtime_class_name")
    field = "variables.spec.?runtimeClassName"
    advice = text(f" is not allowed, use one of: {', '.join(allowed or ()) or 'none'}")
    wrong = _NOTHING
    if allowed is not None and "*" not in allowed:
        refused = f"{field}.optMap(r, !(r in {texts(allowed)})).orValue(false)"
        wrong = cel.pod(refused, f"'runtimeClassName ' + {field}.orValue('') + {advice}")
    if default is None:
        return _rule("runtime_class", wrong) if wrong != _NOTHING else None
    if allowed is not None and "*" not in allowed and default not in allowed:
        raise ItemError(f"runtime_class: the default {default} is not allowed", "Add it to allowed_runtime_class_names")
    unset = cel.pod(f"!{field}.hasValue()", text(f"runtimeClassName is not set, set it to {default}"))
    fill = Default("runtimeClassName", f"!{field}.hasValue()", text(default))
    return _rule("runtime_class", cel.both(unset, wrong), wrong, fill)


def _full_name(image: str) -> str:
    """The name of an image with its registry, as container runtimes complete it.

    The first part is a registry where it could not be a path (distribution/reference, normalize.go).
    """
    host = f"{image}.split('/')[0]"
    marks = [
        f"{host}.contains('.')",
        f"{host}.contains(':')",
        f"{host} == 'localhost'",
        f"{host} != {host}.lowerAscii()",
    ]

    def of_docker(path: str) -> str:
        return f"({path}.contains('/') ? 'docker.io/' : 'docker.io/library/') + {path}"

    shortened = [
        f"{image}.startsWith('{name}/') ? {of_docker(f'{image}.substring({len(name) + 1})')}"
        for name in ("docker.io", "index.docker.io")
    ]
    named = f"{' : '.join(shortened)} : {image}"
    return f"({image}.contains('/') && ({cel.any_of(marks)}) ? ({named}) : {of_docker(image)})"


def _images(name: str, wrong: t.Callable[[str], str], said: str) -> Rule:
    """A rule about every image: those of containers, and volumes that are images."""
    reference = "v.?image.?reference.orValue('')"
    of_volumes = cel.volumes(
        f"{reference} != '' && [{reference}].exists(i, {wrong('i')})", f"'image ' + {reference} + {text(said)}"
    )
    of_containers = cel.containers(
        f"[c.?image.orValue('')].exists(i, {wrong('i')})", f"'image ' + c.?image.orValue('') + {text(said)}"
    )
    return _rule(name, cel.both(of_containers, of_volumes))


def allowed_image_registries(options: Options) -> t.Optional[Rule]:
    registries = options.get("allowed_image_registries")
    if registries is None:
        return None
    known = [registry.rstrip("/") for registry in registries]

    def wrong(image: str) -> str:
        known_to = cel.any_of(f"f.startsWith({text(registry + '/')})" for registry in known)
        return f"![{_full_name(image)}].exists(f, {known_to})"

    return _images("allowed_image_registries", wrong, f" is not from one of: {', '.join(known) or 'none'}")


def require_image_digest(options: Options) -> t.Optional[Rule]:
    if not options.get("require_image_digest"):
        return None
    return _images(
        "require_image_digest",
        lambda image: f"!{image}.matches('@sha256:[0-9a-f]{{64}}$')",
        " has no digest, write it as name@sha256:...",
    )


def automount_service_account_token(options: Options) -> t.Optional[Rule]:
    """What the API server mounts when neither the pod nor its service account says no."""
    if options.get("automount_service_account_token", True):
        return None
    mounted = f"{cel.items('volumes')}.exists(v, v.name.startsWith('kube-api-access-'))"
    said = text("it is given a token of its service account, set automountServiceAccountToken to false")
    asked = "variables.spec.?automountServiceAccountToken.orValue(false)"
    return _rule("automount_service_account_token", cel.pod(f"{asked} || {mounted}", said))


def ephemeral_containers(options: Options) -> t.Optional[Rule]:
    if options.get("ephemeral_containers", True):
        return None
    said = text("ephemeral containers are not allowed, debug with a pod of its own")
    there = cel.items("ephemeralContainers")
    wrong = f"{there}.map(c, 'ephemeral container ' + c.name + ': ' + {said})"
    return _rule("ephemeral_containers", Verdict((Condition("pod", f"{there}.size() > 0"),), wrong))


RULES: t.Tuple[t.Callable[[Options], t.Optional[Rule]], ...] = (
    privileged,
    allow_privilege_escalation,
    host_network,
    host_pid,
    host_ipc,
    host_ports,
    host_users,
    host_probes,
    allowed_capabilities,
    required_drop_capabilities,
    default_add_capabilities,
    read_only_root_filesystem,
    run_as_user,
    run_as_group,
    supplemental_groups,
    supplemental_groups_policy,
    fs_group,
    se_linux,
    seccomp,
    app_armor,
    allowed_proc_mount_types,
    sysctls,
    volumes,
    allowed_host_paths,
    allowed_flex_volumes,
    allowed_csi_drivers,
    runtime_class,
    allowed_image_registries,
    require_image_digest,
    automount_service_account_token,
    ephemeral_containers,
)
#: What an exception may name.
NAMES = tuple(function.__name__ for function in RULES)


def rules(options: Options) -> t.List[Rule]:
    """The rules that these options amount to.

    :raises ItemError: two options contradict each other, or a value is no such thing.
    """
    return [rule for rule in (function(options) for function in RULES) if rule]
