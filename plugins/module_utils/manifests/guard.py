# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guards: labels and annotations of namespaces that only named subjects may change.

What a namespace may do hangs on them: its Pod Security level, the policies that select it, the IAM roles that its pods
may assume.
"""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import STAGES, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import cel, values
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.admission import (
    ACTIONS,
    VALIDATING,
    bound,
    object_name,
    resources,
)
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.cel import text, texts
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Context, Declaration

_Item = t.Mapping[str, t.Any]

MASTERS = ("group", "system:masters")
#: Who removes a namespace's finalizer, and what the API server writes itself.
_SYSTEM = (("user", "system:apiserver"), ("user", "system:serviceaccount:kube-system:namespace-controller"))

#: What a namespace's Pod Security level, this collection's ownership and kube2iam hang on.
LABELS = ("pod-security.kubernetes.io/*", "hardened.k8s/*", "applyset.kubernetes.io/*")
ANNOTATIONS = ("iam.amazonaws.com/*", "hardened.k8s/*")

#: Labels can also be written through a subresource, which is a right of its own.
NAMESPACES = resources("", ["namespaces", "namespaces/status", "namespaces/finalize"])

SUBJECTS: t.Dict[str, t.Any] = {
    "type": "list",
    "elements": "dict",
    "options": {
        "user": {"type": "str"},
        "group": {"type": "str"},
        "service_account": {"type": "str"},
        "namespace": {"type": "str"},
    },
}
SPEC: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "stage": {"type": "str", "choices": list(STAGES)},
    "subjects": {**SUBJECTS, "required": True},
    "labels": {"type": "list", "elements": "str"},
    "annotations": {"type": "list", "elements": "str"},
}


def declare(item: _Item, where: str, context: Context) -> Declaration:
    """The admission policy of one guard, and its binding."""
    declaration = Declaration()
    stage = item.get("stage") or context.stage
    try:
        name = values.dns_label(item["name"])
        trusted = [subject(entry) for entry in item["subjects"]]
        guarded = {
            "labels": _patterns(item.get("labels", LABELS)),
            "annotations": _patterns(item.get("annotations", ANNOTATIONS)),
        }
    except ItemError as error:
        declaration.problem(where, error.reason, error.remedy, Ref(VALIDATING, "", str(item["name"])))
        return declaration
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [NAMESPACES]},
        "matchConditions": [not_trusted([*trusted, MASTERS, *_SYSTEM])],
        "validations": [
            unchanged(part, patterns, f"only those whom the guard {name} names may do that")
            for part, patterns in guarded.items()
            if patterns
        ],
    }
    for made in bound(object_name(name, "namespaces", context), spec, ACTIONS[stage]):
        declaration.add(made, where, stage)
    return declaration


def _patterns(patterns: t.Iterable[str]) -> t.List[str]:
    """Keys, or beginnings of keys with a ``*`` after them."""
    for pattern in patterns:
        stem = pattern[:-1].rstrip("/") if pattern.endswith("*") else pattern
        if stem or not pattern:
            values.qualified_name(stem.lower(), "key")
    return list(patterns)


def subject(entry: _Item) -> t.Tuple[str, str]:
    """A subject as ``request.userInfo`` has it: (``user`` or ``group``, name)."""
    given = [option for option in ("user", "group", "service_account") if entry.get(option)]
    if len(given) != 1:
        raise ItemError("a subject is one of user, group and service_account", "Make an entry for each")
    (option,) = given
    if option != "service_account":
        return option, entry[option]
    if not entry.get("namespace"):
        raise ItemError(f"service account {entry[option]} has no namespace", "Say namespace beside service_account")
    return "user", f"system:serviceaccount:{entry['namespace']}:{entry[option]}"


def not_trusted(subjects: t.Iterable[t.Tuple[str, str]]) -> t.Dict[str, str]:
    """The match condition that lets these subjects do anything."""
    listed = list(subjects)
    users = [name for kind, name in listed if kind == "user"]
    groups = [name for kind, name in listed if kind == "group"]
    trusted = [f"request.userInfo.username in {texts(users)}"] if users else []
    if groups:
        trusted.append(f"request.userInfo.?groups.orValue([]).exists(g, g in {texts(groups)})")
    return {"name": "not-trusted", "expression": f"!({cel.any_of(trusted)})"}


def unchanged(part: str, patterns: t.Sequence[str], remedy: str) -> t.Dict[str, str]:
    """That no label or annotation with such a key is set, changed or removed.

    :param part: ``labels`` or ``annotations``.
    """
    new = f"dyn(object).metadata.?{part}.orValue({{}})"
    old = f"(request.operation == 'UPDATE' ? dyn(oldObject).metadata.?{part}.orValue({{}}) : {{}})"
    guarded = cel.matches("k", patterns)
    changed = (
        f"({new}.filter(k, {guarded} && !(k in {old} && {old}[k] == {new}[k]))"
        f" + {old}.filter(k, {guarded} && !(k in {new})))"
    )
    return {
        "expression": f"{changed}.size() == 0",
        "messageExpression": f"'it changes {part} ' + {changed}.join(', ') + {text(': ' + remedy)}",
        "message": f"it changes guarded {part}: {remedy}",
        "reason": "Forbidden",
    }
