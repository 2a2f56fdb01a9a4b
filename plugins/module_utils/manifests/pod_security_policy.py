# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pod security policies as admission policies of the API server itself: what a pod may ask for, without a webhook.

An item becomes a ValidatingAdmissionPolicy that judges pods, one that warns the authors of workloads, a
MutatingAdmissionPolicy that fills in defaults, and their bindings. Policies that are alternatives to each other stand
in one object, as a pod has to pass every ValidatingAdmissionPolicy but needs only one of them.
"""

from __future__ import annotations

import datetime
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import STAGES, Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import cel, guard, values
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.admission import (
    ACTIONS,
    KINDS,
    MUTATING,
    VALIDATING,
    bound,
    object_name,
    resources,
)
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.cel import text, texts
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    Fill,
    Manifest,
)
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.pod_security_rules import (
    NAMES,
    NEWEST,
    Default,
    Rule,
    rules,
)

_Item = t.Mapping[str, t.Any]

#: From this minor version on a MutatingAdmissionPolicy is served without being asked for.
MUTATING_SINCE = 36
_SYSTEM = ("default", "kube-node-lease", "kube-public", "kube-system")
_NAME_LABEL = "kubernetes.io/metadata.name"
#: An expression may ask the authorizer twice, a whole policy 28 times (k8s.io/apiserver, pkg/cel/library/cost.go).
_MOST_USED = 13
#: The API server takes 5 KiB of a message, and the plain one instead of a longer.
_LONGEST = 4000

#: Who makes pods for workloads; pods that an exception covers are theirs to make, as the workload was admitted.
_CONTROLLERS = tuple(
    ("user", f"system:serviceaccount:kube-system:{name}-controller")
    for name in ("cronjob", "daemon-set", "deployment", "job", "replicaset", "replication", "statefulset")
)

_RANGE: t.Dict[str, t.Any] = {
    "type": "list",
    "elements": "dict",
    "options": {"min": {"type": "int", "required": True}, "max": {"type": "int", "required": True}},
}
_TEXTS: t.Dict[str, t.Any] = {"type": "list", "elements": "str"}
_SWITCH: t.Dict[str, t.Any] = {"type": "bool"}


def _strategy(*choices: str) -> t.Dict[str, t.Any]:
    return {
        "type": "dict",
        "options": {"rule": {"type": "str", "required": True, "choices": list(choices)}, "ranges": _RANGE},
    }


_GROUPS = _strategy("RunAsAny", "MayRunAs", "MustRunAs")

#: What a pod may ask for; the first part in the words of PodSecurityPolicy.
RULES_SPEC: t.Dict[str, t.Any] = {
    "privileged": _SWITCH,
    "default_add_capabilities": _TEXTS,
    "required_drop_capabilities": _TEXTS,
    "allowed_capabilities": _TEXTS,
    "volumes": _TEXTS,
    "host_network": _SWITCH,
    "host_ports": _RANGE,
    "host_pid": _SWITCH,
    "host_ipc": _SWITCH,
    "se_linux": {
        "type": "dict",
        "options": {
            "rule": {"type": "str", "required": True, "choices": ["RunAsAny", "MustRunAs"]},
            "se_linux_options": {
                "type": "dict",
                "options": {name: {"type": "str"} for name in ("user", "role", "type", "level")},
            },
        },
    },
    "run_as_user": _strategy("RunAsAny", "MustRunAsNonRoot", "MustRunAs"),
    "run_as_group": _GROUPS,
    "supplemental_groups": _GROUPS,
    "fs_group": _GROUPS,
    "read_only_root_filesystem": _SWITCH,
    "default_allow_privilege_escalation": _SWITCH,
    "allow_privilege_escalation": _SWITCH,
    "allowed_host_paths": {
        "type": "list",
        "elements": "dict",
        "options": {"path_prefix": {"type": "str", "required": True}, "read_only": {"type": "bool"}},
    },
    "allowed_flex_volumes": _TEXTS,
    "allowed_csi_drivers": _TEXTS,
    "allowed_unsafe_sysctls": _TEXTS,
    "forbidden_sysctls": _TEXTS,
    "allowed_proc_mount_types": _TEXTS,
    "runtime_class": {
        "type": "dict",
        "options": {
            "allowed_runtime_class_names": _TEXTS,
            "default_runtime_class_name": {"type": "str"},
        },
    },
    "allowed_seccomp_profiles": _TEXTS,
    "default_seccomp_profile": {"type": "str"},
    "allowed_app_armor_profiles": _TEXTS,
    "default_app_armor_profile": {"type": "str"},
    # what PodSecurityPolicy could not say
    "supplemental_groups_policy": {"type": "str", "choices": ["Strict", "Merge"]},
    "allowed_image_registries": _TEXTS,
    "require_image_digest": _SWITCH,
    "automount_service_account_token": _SWITCH,
    "host_users": _SWITCH,
    "host_probes": _SWITCH,
    "ephemeral_containers": _SWITCH,
}
_EXCEPTION_SPEC: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "rules": {"type": "list", "elements": "str", "choices": list(NAMES)},
    "namespaces": _TEXTS,
    "match_labels": {"type": "dict"},
    "service_accounts": _TEXTS,
    "owner": {"type": "str", "required": True},
    "reason": {"type": "str", "required": True},
    "expires": {"type": "str", "required": True},
}
SPEC: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "stage": {"type": "str", "choices": list(STAGES)},
    "namespaces": _TEXTS,
    "namespace_selector": {
        "type": "dict",
        "options": {
            "match_labels": {"type": "dict"},
            "match_expressions": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "key": {"type": "str", "required": True},
                    "operator": {
                        "type": "str",
                        "required": True,
                        "choices": ["In", "NotIn", "Exists", "DoesNotExist"],
                    },
                    "values": _TEXTS,
                },
            },
        },
    },
    **RULES_SPEC,
    "use": _SWITCH,
    "any_of": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, "use": _SWITCH, **RULES_SPEC},
    },
    "mutate": _SWITCH,
    "exceptions": {"type": "list", "elements": "dict", "options": _EXCEPTION_SPEC},
    "guard": guard.SUBJECTS,
}


class _Place(t.NamedTuple):
    """Where CEL finds a pod in what is admitted: its spec and its metadata."""

    spec: str
    metadata: str


def _pod_in(root: str) -> _Place:
    return _Place(f"{root}.spec", f"{root}.metadata")


def _held_by(root: str) -> str:
    """The template of a workload, at either depth."""
    return f"dyn({root}).spec.?jobTemplate.?spec.orValue(dyn({root}).spec).template"


def _template_in(root: str) -> _Place:
    return _Place(f"{_held_by(root)}.spec", f"{_held_by(root)}.?metadata.orValue({{}})")


_PODS = resources("", ["pods"], ["CREATE"])
_DEBUGGED = resources("", ["pods/ephemeralcontainers"], ["UPDATE"])
_CHANGED = resources("", ["pods"], ["UPDATE"])
_WORKLOADS = [
    resources("", ["replicationcontrollers"]),
    resources("apps", ["daemonsets", "deployments", "replicasets", "statefulsets"]),
    resources("batch", ["cronjobs", "jobs"]),
]
#: Rules about what an update of a running pod may change.
_OF_IMAGES = frozenset(["allowed_image_registries", "require_image_digest"])


@dataclass(frozen=True)
class _Exception:
    """Who is let off which rules until when; all of them where none is named."""

    name: str
    rules: t.Tuple[str, ...]
    namespaces: t.Tuple[str, ...]
    labels: t.Mapping[str, str]
    accounts: t.Tuple[str, ...]
    owner: str
    reason: str
    expires: datetime.date

    def covers(self, place: _Place, dated: bool) -> str:
        """Whether it covers a pod.

        :param dated: with the day on which it ends; before admission is through with its changes, an object has no dates.
        """
        conditions = [f"request.namespace in {texts(self.namespaces)}"]
        for key, value in sorted(self.labels.items()):
            conditions.append(f"{place.metadata}.?labels[?{text(key)}].orValue('') == {text(value)}")
        if self.accounts:
            account = f"{place.spec}.?serviceAccountName.orValue('default')"
            conditions.append(f"{account} in {texts(self.accounts)}")
        if dated:
            conditions.append(self._not_ended())
        return cel.all_of(conditions)

    def _not_ended(self) -> str:
        """That the request comes before the end: expressions have no clock, but the API server dates what it stores.

        A new object has its date of creation. What an update changes is dated among the managed fields, whatever dates
        the requester wrote there; where these are missing the exception does not hold.
        """
        after = self.expires + datetime.timedelta(days=1)
        before = f"timestamp('{after.isoformat()}T00:00:00Z')"

        def dated(field: str) -> str:
            return f"{field}.optMap(at, timestamp(at) < {before}).orValue(false)"

        changes = "dyn(object).metadata.?managedFields.orValue([])"
        updated = f"{changes}.size() > 0 && {changes}.all(m, {dated('m.?time')})"
        return f"(request.operation == 'CREATE' ? {dated('dyn(object).metadata.?creationTimestamp')} : {updated})"

    @property
    def guarded(self) -> bool:
        """Whether those who make pods could claim it for themselves."""
        return bool(self.labels or self.accounts)


@dataclass(frozen=True)
class Alternative:
    """One policy of those of which a pod needs to pass one."""

    name: str
    use: bool
    rules: t.Tuple[Rule, ...]


@dataclass(frozen=True)
class _Policy:
    """An item, read and checked."""

    name: str
    stage: str
    selector: t.Dict[str, t.Any]
    alternatives: t.Tuple[Alternative, ...]
    mutate: bool
    exceptions: t.Tuple[_Exception, ...]
    guard: t.Tuple[t.Tuple[str, str], ...]
    labels: t.Tuple[str, ...]
    context: Context

    @property
    def defaults(self) -> bool:
        return any(rule.defaults for alternative in self.alternatives for rule in alternative.rules)

    @property
    def several(self) -> bool:
        return len(self.alternatives) > 1

    def object_name(self, part: str) -> str:
        return object_name(self.name, part, self.context)


# -- options -> policy


def declare(item: _Item, where: str, context: Context) -> Declaration:
    """The admission policies of one item, and their bindings."""
    declaration = Declaration()
    try:
        policy = _read(item, context)
    except ItemError as error:
        declaration.problem(where, error.reason, error.remedy, Ref(VALIDATING, "", str(item["name"])))
        return declaration
    for made in _objects(policy):
        declaration.add(made, where, policy.stage)
    for part in ("pods", "templates", "defaults", "guard"):
        for kind in KINDS:
            ref = Ref(kind, "", policy.object_name(part))
            if ref not in declaration.where and kind.startswith(MUTATING) == (part == "defaults"):
                declaration.withdraw(ref, where)
    declaration.findings += _findings(policy)
    declaration.fills += _fills(policy, item, where)
    return declaration


def _fills(policy: _Policy, item: _Item, where: str) -> t.Iterator[Fill]:
    """What it fills in alone; to the lists of capabilities several can add."""
    if not policy.mutate or policy.stage != "enforce":
        return
    namespaces = frozenset(item["namespaces"]) if "namespaces" in item else None
    ref = Ref(MUTATING, "", policy.object_name("defaults"))
    filled = {(d.path, d.value) for a in policy.alternatives for rule in a.rules for d in rule.defaults}
    for path, value in sorted(filled):
        if not path.startswith("securityContext/capabilities/"):
            yield Fill(path.replace("/", "."), value, namespaces, ref, where)


def _read(item: _Item, context: Context) -> _Policy:
    minor = context.minor or NEWEST
    mutate = item.get("mutate", minor >= MUTATING_SINCE)
    if mutate and minor < MUTATING_SINCE:
        raise ItemError(
            f"mutate needs Kubernetes 1.{MUTATING_SINCE}, this API server is 1.{minor}",
            "Leave mutate out; the defaults are then required of whoever makes a pod",
        )
    return _Policy(
        name=values.dns_label(item["name"]),
        stage=item.get("stage") or context.stage,
        selector=_selector(item, context.allow_system),
        alternatives=alternatives(item, minor),
        mutate=mutate,
        exceptions=_exceptions(item, context.today or datetime.date.today()),
        guard=tuple(guard.subject(entry) for entry in item.get("guard", ())),
        labels=_selected_by(item.get("namespace_selector") or {}),
        context=context,
    )


def _selected_by(selected: _Item) -> t.Tuple[str, ...]:
    """The labels that decide which namespaces a policy is for, but for the one that nobody can change."""
    keys = {*selected.get("match_labels", {}), *(e["key"] for e in selected.get("match_expressions", ()))}
    return tuple(sorted(keys - {_NAME_LABEL}))


def _selector(item: _Item, allow_system: t.Collection[str]) -> t.Dict[str, t.Any]:
    """The namespaces that are bound; the cluster's own are left out unless they were named."""
    names, selected = item.get("namespaces"), item.get("namespace_selector")
    if (names is None) == (selected is None):
        raise ItemError(
            "a policy is for namespaces or for a namespace_selector, one of them",
            "Say namespaces: [shop-web], or namespace_selector: {} for all but the cluster's own",
        )
    if names is not None:
        for name in names:
            values.dns_label(name, "namespace")
        system = sorted({name for name in names if name in _SYSTEM} - set(allow_system))
        if system:
            raise ItemError(
                f"the policy would restrict {system[0]}, a namespace of the cluster itself",
                f"Leave it out, or name it in allow_system: [{system[0]}]",
            )
        return {"matchExpressions": [{"key": _NAME_LABEL, "operator": "In", "values": list(names)}]}
    selected = selected or {}
    expressions = [_expression(entry) for entry in selected.get("match_expressions", ())]
    spared = [name for name in _SYSTEM if name not in allow_system]
    if spared:
        expressions.append({"key": _NAME_LABEL, "operator": "NotIn", "values": spared})
    selector: t.Dict[str, t.Any] = {}
    if selected.get("match_labels"):
        selector["matchLabels"] = values.labels(selected["match_labels"])
    if expressions:
        selector["matchExpressions"] = expressions
    return selector


def _expression(entry: _Item) -> t.Dict[str, t.Any]:
    listed = entry["operator"] in ("In", "NotIn")
    if listed != bool(entry.get("values")):
        raise ItemError(
            f"namespace_selector: {entry['operator']} {'needs' if listed else 'takes no'} values",
            "In and NotIn take values, Exists and DoesNotExist none",
        )
    expression = {"key": values.label_key(entry["key"]), "operator": entry["operator"]}
    if listed:
        expression["values"] = [values.label_value(value) for value in entry["values"]]
    return expression


def alternatives(item: _Item, minor: int) -> t.Tuple[Alternative, ...]:
    """The policies of which a pod needs to pass one, in the order in which PodSecurityPolicy tried them.

    :raises ItemError: they contradict themselves or each other.
    """
    own = {option: item[option] for option in RULES_SPEC if option in item}
    if not item.get("any_of"):
        found = [_alternative({**own, "name": item["name"], "use": item.get("use", False)}, minor)]
    elif own or "use" in item:
        raise ItemError(
            f"any_of does not go with {min(own, default='use')} beside it", "Say it within each entry of any_of"
        )
    else:
        found = [_alternative(entry, minor) for entry in item["any_of"]]
    names = [alternative.name for alternative in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ItemError(f"any_of has two policies {twice}", "Rename one of them")
    used = sum(alternative.use for alternative in found)
    if used > _MOST_USED:
        raise ItemError(
            f"any_of has {used} policies that need the right to use them, more than the API server's cost limit allows",
            f"Merge some of them: {_MOST_USED} at most",
        )
    return tuple(sorted(found, key=lambda alternative: alternative.name))


def _alternative(item: _Item, minor: int) -> Alternative:
    options = {option: item[option] for option in RULES_SPEC if option in item}
    found = rules({**options, "minor": minor})
    name = values.dns_subdomain(item["name"], "name of a policy")
    return Alternative(name, bool(item.get("use")), tuple(found))


def _exceptions(item: _Item, today: datetime.date) -> t.Tuple[_Exception, ...]:
    exceptions = [_exception(entry, item.get("namespaces", ()), today) for entry in item.get("exceptions", ())]
    names = [exception.name for exception in exceptions]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ItemError(f"there are two exceptions {twice}", "Rename one of them")
    return tuple(exceptions)


def _exception(item: _Item, namespaces: t.Sequence[str], today: datetime.date) -> _Exception:
    """
    :param namespaces: those of the policy, which an exception that names none holds for.
    """
    name = values.dns_label(item["name"], "exception")
    try:
        expires = datetime.date.fromisoformat(item["expires"])
    except ValueError as error:
        raise ItemError(
            f"exception {name}: expires {item['expires']!r} is not a date", "Write it as YYYY-MM-DD"
        ) from error
    if expires < today:
        raise ItemError(
            f"exception {name} expired on {expires.isoformat()}",
            f"Remove it, or renew expires after asking {item['owner']} again",
        )
    for part in ("owner", "reason"):
        if not item[part].strip():
            raise ItemError(f"exception {name} needs a {part}", "Say in owner and reason who wants it and why")
    spaces = item.get("namespaces") or namespaces
    if not spaces:
        raise ItemError(f"exception {name} is for no namespace", "Name them in namespaces")
    return _Exception(
        name=name,
        rules=tuple(item.get("rules", ())),
        namespaces=tuple(values.dns_label(space, "namespace") for space in spaces),
        labels=values.labels(item.get("match_labels", {})),
        accounts=tuple(item.get("service_accounts", ())),
        owner=item["owner"],
        reason=item["reason"],
        expires=expires,
    )


def _findings(policy: _Policy) -> t.Iterator[Finding]:
    pods = Ref(VALIDATING, "", policy.object_name("pods"))
    for exception in policy.exceptions:
        ruled = ", ".join(exception.rules) or "every rule"
        yield Finding(
            rule="pod-security/exception",
            ref=pods,
            message=f"exception {exception.name} from {ruled} until {exception.expires.isoformat()}, "
            f"wanted by {exception.owner}: {exception.reason}",
            affected=exception.namespaces,
            remedy="Remove the exception once its workload keeps the policy",
        )
    if policy.labels and not policy.guard:
        yield Finding(
            rule="pod-security/unguarded-selector",
            ref=pods,
            message=f"whoever may edit a namespace's label {policy.labels[0]} takes the namespace out of the policy",
            affected=tuple(policy.labels),
            remedy="Name who alone may do that in guard, or name the namespaces",
        )


# -- policy -> objects


def _objects(policy: _Policy) -> t.Iterator[Manifest]:
    def named(part: str, spec: t.Dict[str, t.Any], stage: str) -> t.Iterator[Manifest]:
        return bound(policy.object_name(part), spec, ACTIONS[stage], policy.selector)

    yield from named("pods", _validating(policy, "pods"), policy.stage)
    yield from named("templates", _validating(policy, "templates"), "observe" if policy.stage == "observe" else "warn")
    if policy.mutate and policy.defaults and policy.stage == "enforce":
        yield from bound(policy.object_name("defaults"), _mutating(policy), (), policy.selector, MUTATING)
    guarded = [exception for exception in policy.exceptions if exception.guarded]
    if guarded or (policy.guard and policy.labels):
        yield from bound(policy.object_name("guard"), _guarding(policy, guarded), ACTIONS[policy.stage])


def _variables(pairs: t.Iterable[t.Tuple[str, str]]) -> t.List[t.Dict[str, str]]:
    return [{"name": name, "expression": expression} for name, expression in pairs]


def _pod_variables(place: _Place) -> t.List[t.Tuple[str, str]]:
    return [
        ("spec", place.spec),
        ("annotations", f"{place.metadata}.?annotations.orValue({{}})"),
        ("linux", "variables.spec.?os.?name.orValue('linux') != 'windows'"),
    ]


def _exempt_variables(policy: _Policy, place: _Place, dated: bool) -> t.List[t.Tuple[str, str]]:
    """One for each rule that somebody is let off."""
    named = sorted({rule for exception in policy.exceptions for rule in exception.rules})
    return [
        (f"exempt_{rule}", cel.any_of(f"({e.covers(place, dated)})" for e in policy.exceptions if rule in e.rules))
        for rule in named
    ]


class _Judgement:
    """The variables that say what each alternative finds wrong; what two have in common is said once.

    The API server evaluates a variable when it is first asked for: what is wrong, only with a pod that is not fine.
    """

    def __init__(self, policy: _Policy, exempt: t.Collection[str]) -> None:
        self._policy = policy
        self._exempt = exempt
        self._known: t.Dict[str, str] = {}
        self.variables: t.List[t.Tuple[str, str]] = []

    def _variable(self, name: str, expression: str) -> str:
        if expression not in self._known:
            self._known[expression] = name
            self.variables.append((name, expression))
        return f"variables.{self._known[expression]}"

    def _verdicts(self, index: int, kind: str) -> t.Iterator[t.Tuple[str, cel.Verdict]]:
        """Rules of an alternative, but for those who are let off.

        :param kind: ``violations`` or ``remaining``.
        """
        for rule in self._policy.alternatives[index].rules:
            verdict: cel.Verdict = getattr(rule, kind)
            if f"exempt_{rule.name}" in self._exempt:
                verdict = verdict.only_when(f"!variables.exempt_{rule.name}")
            if verdict.conditions:
                yield rule.name, verdict

    def _suffix(self, index: int, kind: str) -> str:
        return (f"_{index}" if self._policy.several else "") + ("_left" if kind == "remaining" else "")

    def fine(self, index: int, kind: str) -> str:
        """The variable that says whether an alternative finds nothing wrong."""
        verdicts = (verdict for _name, verdict in self._verdicts(index, kind))
        return self._variable(f"fine{self._suffix(index, kind)}", cel.fine(*verdicts))

    def wrong(self, index: int, kind: str) -> str:
        """The variable with everything that is wrong for an alternative."""
        suffix = self._suffix(index, kind)
        parts = [self._variable(name + suffix, verdict.wrong) for name, verdict in self._verdicts(index, kind)]
        return self._variable(f"wrong{suffix}", cel.total(parts))


def _validating(policy: _Policy, part: str) -> t.Dict[str, t.Any]:
    place = _pod_in("object") if part == "pods" else _template_in("object")
    exempt = _exempt_variables(policy, place, dated=True)
    judged = _Judgement(policy, {name for name, _expression in exempt})
    # before defaults are filled in, and in templates, what they mend is not wrong
    filled = part == "pods" and policy.stage == "enforce"
    kind = "violations" if filled or not policy.mutate else "remaining"
    fine, wrong = ([of(index, kind) for index in range(len(policy.alternatives))] for of in (judged.fine, judged.wrong))
    used = _used(policy) if part == "pods" else {}
    variables = [*_pod_variables(place), *exempt, *judged.variables, *((v, e) for v, e in used.values())]
    spec: t.Dict[str, t.Any] = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": _judged_resources(policy) if part == "pods" else _WORKLOADS},
        "variables": _variables(variables),
        "validations": _validations(policy, fine, wrong, used),
    }
    conditions = [*_match_conditions(policy, place, part), *(_not_fine(policy, place, kind) if part == "pods" else ())]
    if conditions:
        spec["matchConditions"] = conditions
    return spec


def _not_fine(policy: _Policy, place: _Place, kind: str) -> t.Iterator[t.Dict[str, str]]:
    """The condition that is done with a pod to which no rule of an alternative objects.

    That is nearly every pod; for others the API server evaluates everything, the message included, which it makes also
    for a pod that passes. Whether somebody is let off, or may use an alternative, is for then.
    """
    free = [
        cel.fine(*(getattr(rule, kind) for rule in alternative.rules))
        for alternative in policy.alternatives
        if not alternative.use
    ]
    if free:
        passes = cel.any_of(f"({fine})" for fine in free) if policy.several else free[0]
        yield {"name": "breaks-a-rule", "expression": f"!({_without_variables(passes, place)})"}


def _judged_resources(policy: _Policy) -> t.List[t.Dict[str, t.Any]]:
    """Plain updates of pods are left alone, as finalizers have to go away, but for new images."""
    return [_PODS, _DEBUGGED, *([_CHANGED] if _judges_images(policy) else [])]


def _judges_images(policy: _Policy) -> bool:
    return any(rule.name in _OF_IMAGES for alternative in policy.alternatives for rule in alternative.rules)


def _match_conditions(policy: _Policy, place: _Place, part: str) -> t.List[t.Dict[str, str]]:
    conditions = [
        {"name": f"exception-{exception.name}", "expression": f"!({exception.covers(place, dated=part != 'defaults')})"}
        for exception in policy.exceptions
        if not exception.rules
    ]
    if part == "templates":
        changed = f"{_held_by('object')} != {_held_by('oldObject')}"
        conditions.append({"name": "new-template", "expression": f"request.operation == 'CREATE' || {changed}"})
    elif part == "pods" and _judges_images(policy):
        images = _new_images("object", "oldObject")
        expression = f"request.operation == 'CREATE' || request.?subResource.orValue('') != '' || {images}"
        conditions.append({"name": "new-images", "expression": expression})
    return conditions


def _used(policy: _Policy) -> t.Dict[int, t.Tuple[str, str]]:
    """Alternative -> the variable that says whether the pod's service account or the requester may use it."""
    found = {}
    for index, alternative in enumerate(policy.alternatives):
        if alternative.use:
            check = (
                ".group('policy').resource('podsecuritypolicies').namespace(request.namespace)"
                f".name({text(alternative.name)}).check('use').allowed()"
            )
            account = "variables.spec.?serviceAccountName.orValue('')"
            expression = f"{account} != '' && authorizer.serviceAccount(request.namespace, {account}){check} || authorizer{check}"
            found[index] = (f"use_{index}" if policy.several else "use", expression)
    return found


def _validations(
    policy: _Policy, fine: t.Sequence[str], wrong: t.Sequence[str], used: t.Mapping[int, t.Tuple[str, str]]
) -> t.List[t.Dict[str, str]]:
    """Who may use any of the policies, where that is asked; and that one of these finds nothing wrong."""
    found = []
    if used and len(used) == len(wrong):
        names = ", ".join(alternative.name for alternative in policy.alternatives)
        found.append(
            {
                "expression": cel.any_of(f"variables.{name}" for name, _expression in used.values()),
                "message": f"neither you nor the pod's service account may use any of the policies {names}: "
                "get the verb use on podsecuritypolicies.policy of that name in this namespace",
                "reason": "Forbidden",
            }
        )
    passed = [
        cel.all_of([*([f"variables.{used[index][0]}"] if index in used else []), name])
        for index, name in enumerate(fine)
    ]
    # the API server makes the message also for a pod that passes
    each = [f"({good} ? '' : {bad}.join('; '))" for good, bad in zip(fine, wrong)]
    said = each[0]
    if policy.several:
        parts = [f"{text(a.name + ': ')} + {of_it}" for a, of_it in zip(policy.alternatives, each)]
        said = "'it needs to pass one of these policies" + (" that you may use" if used else "") + ". ' + "
        said += " + ' | ' + ".join(parts)
        free = [name for index, name in enumerate(fine) if index not in used]
        said = f"({cel.any_of(free)} ? '' : {said})"
    found.append(
        {
            "expression": cel.any_of(passed),
            "messageExpression": f"[{said}].map(m, m.size() > {_LONGEST} ? m.substring(0, {_LONGEST}) + ' ...' : m)[0]",
            "message": f"pod security policy {policy.name} does not allow it",
            "reason": "Forbidden",
        }
    )
    return found


# -- defaults


def _mutating(policy: _Policy) -> t.Dict[str, t.Any]:
    place = _pod_in("object")
    exempt = _exempt_variables(policy, place, dated=False)
    names = {name for name, _expression in exempt}
    variables = [*_pod_variables(place), *exempt]
    only = policy.alternatives[0]
    if policy.several or only.use:
        judged = _Judgement(policy, names)
        used = _used(policy)
        chosen = _chosen(policy, judged, used)
        variables += [*judged.variables, *used.values(), ("chosen", chosen)]
        expression = "[]"
        for index in reversed(range(len(policy.alternatives))):
            patches = _patches(policy.alternatives[index], names)
            expression = f"variables.chosen == {index} ? {patches} : {expression}"
    else:
        expression = _patches(only, names)
    spec: t.Dict[str, t.Any] = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": {"resourceRules": [_PODS, _DEBUGGED]},
        "variables": _variables(variables),
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
    }
    spec["matchConditions"] = [*_match_conditions(policy, place, "defaults"), _something_left_open(policy, place)]
    return spec


def _something_left_open(policy: _Policy, place: _Place) -> t.Dict[str, str]:
    """The condition that leaves alone who has said everything: to patch a pod costs more than to judge it.

    It may let more through than there is to fill in, such as what an exception lets off.
    """
    defaults = [default for a in policy.alternatives for rule in a.rules for default in rule.defaults]
    of_pod = [default.unset for default in defaults if not default.of_container]
    of_containers = cel.any_of(f"({default.unset})" for default in defaults if default.of_container)
    lists = [f"{cel.items(name)}.exists(c, {of_containers})" for name, _title in cel.CONTAINERS]
    open_ = cel.any_of([*(f"({unset})" for unset in of_pod), *(lists if of_containers != "false" else [])])
    return {"name": "something-left-open", "expression": _without_variables(open_, place)}


def _without_variables(expression: str, place: _Place) -> str:
    """An expression of a rule where there are no variables; what stands in literals stays."""
    token = re.compile(r"'(?:[^'\\]|\\.)*'|variables\.(?:spec|annotations|linux)\b")
    known: t.Dict[str, str] = {}

    def replaced(found: t.Match[str]) -> str:
        return known.get(found.group(), found.group())

    for name, value in _pod_variables(place):  # which may refer to those before them
        known[f"variables.{name}"] = f"({token.sub(replaced, value)})"
    return token.sub(replaced, expression)


def _chosen(policy: _Policy, judged: _Judgement, used: t.Mapping[int, t.Tuple[str, str]]) -> str:
    """The index of the alternative whose defaults a pod gets, as PodSecurityPolicy chose; -1 for none.

    A policy that admits the pod as it is goes before one that would have to change it, then the name decides.
    """
    expression = "-1"
    for kind in ("remaining", "violations"):
        for index in reversed(range(len(policy.alternatives))):
            usable = [f"variables.{used[index][0]}"] if index in used else []
            value = index if kind == "remaining" else -1
            expression = f"{cel.all_of([judged.fine(index, kind), *usable])} ? {value} : {expression}"
    return expression


def _patches(alternative: Alternative, exempt: t.Collection[str]) -> str:
    """The JSON patches that fill in an alternative's defaults: in new pods, and in containers added for debugging."""
    defaults = []
    for rule in alternative.rules:
        guard = f"!variables.exempt_{rule.name} && " if f"exempt_{rule.name}" in exempt else ""
        defaults += [Default(d.path, guard + d.unset, d.value, d.of_container) for d in rule.defaults]
    if not defaults:
        return "[]"
    of_pod = [default for default in defaults if not default.of_container]
    of_containers = [default for default in defaults if default.of_container]
    new = [_filled("variables.spec", "'/spec/'", of_pod)] if of_pod else []
    added = "[]"
    if of_containers:
        for lists in ("containers", "initContainers"):
            inside = _filled("c", f"'/spec/{lists}/' + string(i) + '/'", of_containers)
            new.append(f"{cel.items(lists)}.transformList(i, c, {inside}).flatten()")
        inside = _filled("c", "'/spec/ephemeralContainers/' + string(i) + '/'", of_containers)
        there = "oldObject.spec.?ephemeralContainers.orValue([]).exists(o, o.name == c.name)"
        added = f"{cel.items('ephemeralContainers')}.transformList(i, c, !{there}, {inside}).flatten()"
    return f"(request.operation == 'CREATE' ? {cel.total(new)} : {added})"


def _filled(root: str, path: str, defaults: t.Sequence[Default]) -> str:
    """Patches for the fields of one thing, after those for the objects around them that are not there.

    :param root: the pod's spec or a container, in CEL; :param path: its JSON pointer, in CEL, with a slash.
    """
    around: t.Dict[str, t.List[str]] = {}
    for default in defaults:
        parts = default.path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            around.setdefault("/".join(parts[:depth]), []).append(f"({default.unset})")
    made = []
    for name, needed in sorted(around.items()):
        there = f"{root}.?{name.replace('/', '.?')}.hasValue()"
        made.append(f"(!{there} && ({cel.any_of(needed)}) ? [{_patch(path, name, '{}')}] : [])")
    made += [f"({default.unset} ? [{_patch(path, default.path, default.value)}] : [])" for default in defaults]
    return "(" + cel.total(made) + ")"


def _patch(path: str, name: str, value: str) -> str:
    return f"JSONPatch{{op: 'add', path: {path} + {text(name)}, value: {value}}}"


# -- guard


def _guarding(policy: _Policy, exceptions: t.Sequence[_Exception]) -> t.Dict[str, t.Any]:
    """What keeps exceptions, and the labels that the policy selects by, from those who are not named.

    A pod is covered by an exception once its labels say so: whoever could write them could exempt himself.
    """
    name = policy.name
    judged: t.List[t.Dict[str, t.Any]] = []
    validations: t.List[t.Dict[str, str]] = []
    if exceptions:
        judged += [resources("", ["pods"]), _DEBUGGED, *_WORKLOADS]
    for exception in exceptions:
        remedy = f"change its labels or service account, or ask {exception.owner}"
        validations.append(
            {
                "expression": f"request.resource.resource == 'namespaces' || {_not_claimed(exception)}",
                "message": f"only those whom the guard of pod security policy {name} names may run, change or debug what "
                f"its exception {exception.name} covers: {remedy}",
                "reason": "Forbidden",
            }
        )
    if policy.guard and policy.labels:
        judged.append(guard.NAMESPACES)
        labels = guard.unchanged(
            "labels", policy.labels, f"only those whom pod security policy {name} names may do that"
        )
        labels["expression"] = f"request.resource.resource != 'namespaces' || {labels['expression']}"
        validations.append(labels)
    trusted = [*policy.guard, guard.MASTERS, *_CONTROLLERS]
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": judged},
        "matchConditions": [guard.not_trusted(trusted)],
        "validations": validations,
    }


def _not_claimed(exception: _Exception) -> str:
    """That no pod or workload comes under an exception; what is under it may change, but not in what it runs.

    Otherwise whoever may edit, or debug, a workload of somebody else's would run what he likes under its exception.
    """

    def covered(root: str) -> str:
        pod, template = (exception.covers(place(root), dated=False) for place in (_loose_pod_in, _template_in))
        return f"(request.resource.resource == 'pods' ? ({pod}) : ({template}))"

    debugged = "request.?subResource.orValue('') != ''"
    same = (
        f"(request.resource.resource == 'pods' ? !({debugged} || {_new_images('dyn(object)', 'dyn(oldObject)')})"
        f" : {_held_by('object')} == {_held_by('oldObject')})"
    )
    return f"!{covered('object')} || request.operation == 'UPDATE' && {covered('oldObject')} && {same}"


def _new_images(new: str, old: str) -> str:
    """That a pod's images change, which are all that an update can change of what its containers run."""
    return cel.any_of(
        f"{new}.spec.{lists}.map(c, c.image) != {old}.spec.{lists}.map(c, c.image)"
        for lists in ("containers", "?initContainers.orValue([])")
    )


def _loose_pod_in(root: str) -> _Place:
    """A pod where the object may be a workload, too."""
    return _pod_in(f"dyn({root})")
