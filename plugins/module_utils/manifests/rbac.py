# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Service accounts, roles and bindings.

A binding is named by what it gives and to whom, so that adding one person renames nothing of another's.
"""

from __future__ import annotations

import hashlib
import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import values
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    Expectation,
    Manifest,
    manifest,
)

GROUP = "rbac.authorization.k8s.io"
API_VERSION = f"{GROUP}/v1"
_Item = t.Mapping[str, t.Any]

RULE_SPEC: t.Dict[str, t.Any] = {
    "api_groups": {"type": "list", "elements": "str"},
    "resources": {"type": "list", "elements": "str"},
    "resource_names": {"type": "list", "elements": "str"},
    "verbs": {"type": "list", "elements": "str", "required": True},
    "non_resource_urls": {"type": "list", "elements": "str"},
}
_RULES: t.Dict[str, t.Any] = {"type": "list", "elements": "dict", "options": RULE_SPEC}
_METADATA: t.Dict[str, t.Any] = {"labels": {"type": "dict"}, "annotations": {"type": "dict"}}

SERVICE_ACCOUNT_SPEC: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    **_METADATA,
    "automount": {"type": "bool"},
    "image_pull_secrets": {"type": "list", "elements": "str"},
    "rules": _RULES,
    "roles": {"type": "list", "elements": "str"},
    "cluster_roles": {"type": "list", "elements": "str"},
}
ROLE_SPEC: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    **_METADATA,
    "rules": {**_RULES, "required": True},
}
CLUSTER_ROLE_SPEC: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    **_METADATA,
    "rules": _RULES,
    "aggregate": {"type": "list", "elements": "dict"},
}
_SUBJECT: t.Dict[str, t.Any] = {
    "user": {"type": "str"},
    "group": {"type": "str"},
    "service_account": {"type": "str"},
    "namespace": {"type": "str"},
}
BINDING_SPEC: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    **_METADATA,
    "role": {"type": "str"},
    "cluster_role": {"type": "str"},
    "subjects": {"type": "list", "elements": "dict", "required": True, "options": _SUBJECT},
}
ACCESS_SPEC: t.Dict[str, t.Any] = {**_SUBJECT, "role": {"type": "str", "required": True}}
EXPECT_SPEC: t.Dict[str, t.Any] = {
    "user": {"type": "str"},
    "groups": {"type": "list", "elements": "str"},
    "service_account": {"type": "str"},
    "namespace": {"type": "str"},
    "can": {"type": "list", "elements": "str"},
    "cannot": {"type": "list", "elements": "str"},
}


class _Builder:
    """Collects the objects of one item; a bad one becomes a problem and the others go on."""

    def __init__(self, where: str, context: Context) -> None:
        self.declaration = Declaration()
        self.where = where
        self.stage = context.stage

    def add(self, build: t.Callable[[], t.Sequence[Manifest]], where: str, ref: Ref) -> None:
        try:
            built = build()
        except ItemError as error:
            self.declaration.problem(where, error.reason, error.remedy, ref)
            return
        for item in built:
            self.declaration.add(item, where, self.stage)


def _one(item: _Item, where: str, context: Context, kind: str, build: t.Callable[[_Item], t.Sequence[Manifest]]) -> Declaration:
    builder = _Builder(where, context)
    ref = Ref(kind, item.get("namespace", ""), str(item.get("name", "")))
    builder.add(lambda: build(item), where, ref)
    return builder.declaration


def declare_service_account(item: _Item, where: str, context: Context) -> Declaration:
    """A service account and what it may do: a Role and a RoleBinding of its name, a RoleBinding for each role."""
    return _one(item, where, context, "ServiceAccount", _service_account)


def declare_role(item: _Item, where: str, context: Context) -> Declaration:
    return _one(item, where, context, "Role", _role)


def declare_cluster_role(item: _Item, where: str, context: Context) -> Declaration:
    return _one(item, where, context, "ClusterRole", _cluster_role)


def declare_binding(item: _Item, where: str, context: Context) -> Declaration:
    """A RoleBinding in its namespace, a ClusterRoleBinding without one."""
    kind = "RoleBinding" if item.get("namespace") else "ClusterRoleBinding"
    return _one(item, where, context, kind, _binding)


def declare_expectation(item: _Item, where: str, _context: Context) -> Declaration:
    """What a subject can and cannot do once everything is applied."""
    declaration = Declaration()
    try:
        user, groups = _asked(item)
        for allowed, entries in ((True, item.get("can", ())), (False, item.get("cannot", ()))):
            for entry in entries:
                verb, resource, name = _right(entry)
                declaration.expectations.append(
                    Expectation(user, groups, verb, resource, item.get("namespace", ""), name, allowed, where)
                )
        if not declaration.expectations:
            raise ItemError("nothing is expected", "Say what the subject can or cannot do, such as can: [get pods]")
    except ItemError as error:
        declaration.problem(where, error.reason, error.remedy)
    return declaration


_Declare = t.Callable[[_Item, str, Context], Declaration]


def declare(item: _Item, where: str, context: Context) -> Declaration:
    """The rights in one namespace, as a tenant declares them."""
    namespace = item["namespace"]
    parts: t.Tuple[t.Tuple[str, _Declare], ...] = (
        ("service_accounts", declare_service_account),
        ("roles", declare_role),
        ("bindings", declare_binding),
        ("access", declare_access),
        ("expect", declare_expectation),
    )
    declaration = Declaration()
    for option, declare_part in parts:
        for index, entry in enumerate(item.get(option, ())):
            place = f"{where}.{option}[{index}]"
            home = entry.get("namespace") if option == "access" else namespace
            complete = {**entry, "namespace": home or namespace, "within": namespace}
            declaration.merge(declare_part(complete, place, context))
    return declaration


def declare_access(item: _Item, where: str, context: Context) -> Declaration:
    """A ClusterRole for one subject, in the namespace of the tenant alone."""
    return _one(item, where, context, "RoleBinding", _access)


# -- objects


def _metadata(item: _Item) -> t.Dict[str, t.Dict[str, str]]:
    return {
        "labels": values.labels(item.get("labels", {})),
        "annotations": values.annotations(item.get("annotations", {})),
    }


def _service_account(item: _Item) -> t.List[Manifest]:
    name = values.dns_subdomain(item["name"])
    namespace = values.dns_label(item["namespace"], "namespace")
    body: t.Dict[str, t.Any] = {"automountServiceAccountToken": bool(item.get("automount"))}
    if item.get("image_pull_secrets"):
        body["imagePullSecrets"] = [{"name": values.dns_subdomain(s, "secret")} for s in item["image_pull_secrets"]]
    objects = [manifest("v1", "ServiceAccount", name, namespace, **_metadata(item), **body)]
    subject = _account(name, namespace)
    if item.get("rules"):
        objects.append(_role({"name": name, "namespace": namespace, "rules": item["rules"]})[0])
        objects.append(_role_binding(name, namespace, "Role", name, [subject]))
    for kind, option in (("Role", "roles"), ("ClusterRole", "cluster_roles")):
        for role in item.get(option, ()):
            objects.append(_role_binding(f"{name}-{role}", namespace, kind, role, [subject]))
    return objects


def _account(name: str, namespace: str) -> t.Dict[str, str]:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def _role_binding(
    name: str, namespace: str, role_kind: str, role: str, subjects: t.Sequence[_Item], **metadata: t.Any
) -> Manifest:
    reference = {"apiGroup": GROUP, "kind": role_kind, "name": values.path_segment(role, "role")}
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    return manifest(
        API_VERSION,
        kind,
        values.path_segment(name),
        namespace,
        **metadata,
        roleRef=reference,
        subjects=[dict(subject) for subject in subjects],
    )


def _role(item: _Item) -> t.List[Manifest]:
    name = values.path_segment(item["name"])
    namespace = values.dns_label(item["namespace"], "namespace")
    rules = [_rule(rule, f"rules[{index}]", cluster=False) for index, rule in enumerate(item["rules"])]
    return [manifest(API_VERSION, "Role", name, namespace, **_metadata(item), rules=rules)]


def _cluster_role(item: _Item) -> t.List[Manifest]:
    name = values.path_segment(item["name"])
    rules = [_rule(rule, f"rules[{index}]", cluster=True) for index, rule in enumerate(item.get("rules", ()))]
    if rules and item.get("aggregate"):
        raise ItemError("rules and aggregate exclude each other", "The controller fills in the rules of an aggregated role")
    if not item.get("aggregate"):
        return [manifest(API_VERSION, "ClusterRole", name, **_metadata(item), rules=rules)]
    selectors = [{"matchLabels": values.labels(wanted)} for wanted in item["aggregate"]]
    return [manifest(API_VERSION, "ClusterRole", name, **_metadata(item), aggregationRule={"clusterRoleSelectors": selectors})]


def _rule(rule: _Item, where: str, cluster: bool) -> t.Dict[str, t.Any]:
    """A PolicyRule; the core API group where none is named."""
    verbs = list(rule["verbs"])
    if not verbs:
        raise ItemError(f"{where} has no verbs", "Name them, such as verbs: [get, list, watch]")
    if rule.get("non_resource_urls"):
        if not cluster:
            raise ItemError(f"{where}: non_resource_urls are for cluster roles", "Declare them under cluster_roles")
        if rule.get("resources") or rule.get("api_groups") or rule.get("resource_names"):
            raise ItemError(f"{where} mixes resources and non_resource_urls", "Make two rules of it")
        return {"nonResourceURLs": list(rule["non_resource_urls"]), "verbs": verbs}
    if not rule.get("resources"):
        raise ItemError(f"{where} names no resources", "Name them, such as resources: [configmaps]")
    built: t.Dict[str, t.Any] = {
        "apiGroups": list(rule.get("api_groups", [""])),
        "resources": list(rule["resources"]),
        "verbs": verbs,
    }
    if rule.get("resource_names"):
        built["resourceNames"] = list(rule["resource_names"])
    return built


def _subject(item: _Item, namespace: str) -> t.Dict[str, str]:
    """One of user, group and service_account, as an RBAC subject."""
    given = [option for option in ("user", "group", "service_account") if item.get(option)]
    if len(given) != 1:
        raise ItemError(
            f"a subject is one of user, group and service_account, not {' and '.join(given) or 'none of them'}",
            "Make one entry for each subject",
        )
    name = str(item[given[0]])
    if given[0] != "service_account":
        return {"apiGroup": GROUP, "kind": given[0].capitalize(), "name": name}
    home = item.get("namespace") or namespace
    if not home:
        raise ItemError(f"service account {name} has no namespace", "Say namespace beside service_account")
    return _account(values.dns_subdomain(name), values.dns_label(home, "namespace"))


def _binding(item: _Item) -> t.List[Manifest]:
    namespace = item.get("namespace", "")
    if namespace:
        values.dns_label(namespace, "namespace")
    if bool(item.get("role")) == bool(item.get("cluster_role")):
        raise ItemError("a binding names either role or cluster_role", "Give one of them")
    if item.get("role") and not namespace:
        raise ItemError("a role is bound in its namespace", "Say namespace, or bind a cluster_role")
    if not item["subjects"]:
        raise ItemError("the binding has no subjects", "Name at least one, or remove the binding")
    kind, role = ("Role", item["role"]) if item.get("role") else ("ClusterRole", item["cluster_role"])
    subjects = [_subject(subject, namespace) for subject in item["subjects"]]
    return [_role_binding(item["name"], namespace, kind, role, subjects, **_metadata(item))]


def _access(item: _Item) -> t.List[Manifest]:
    subject = _subject(item, item["within"])
    who = subject["kind"].lower().replace("serviceaccount", "sa")
    space = subject.get("namespace", "")
    holder = f"{space}.{subject['name']}" if space not in ("", item["within"]) else subject["name"]
    name = _segment(f"{item['role']}-{who}-{holder}")
    return [_role_binding(name, item["within"], "ClusterRole", item["role"], [subject])]


def _segment(text: str) -> str:
    """A name that may stand in a path; what had to be replaced is told apart by a digest."""
    plain = re.sub(r"[/%]", "-", text)
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


# -- expectations


def _asked(item: _Item) -> t.Tuple[str, t.Tuple[str, ...]]:
    """User name and groups as the API server sees the subject."""
    user, groups = str(item.get("user") or ""), [str(group) for group in item.get("groups", ())]
    account = item.get("service_account")
    if bool(user) + bool(account) > 1 or not (user or account or groups):
        raise ItemError("expected of whom", "Name one of user and service_account, or groups")
    if account:
        space = item.get("namespace")
        if not space:
            raise ItemError(f"service account {account} has no namespace", "Say namespace beside it")
        user = f"system:serviceaccount:{space}:{account}"
        groups += ["system:serviceaccounts", f"system:serviceaccounts:{space}"]
    return user, tuple([*groups, "system:authenticated"])


def _right(entry: str) -> t.Tuple[str, str, str]:
    """``get pods``, ``create deployments.apps``, ``get configmaps web``, ``get pods/log``, ``get /metrics``."""
    words = entry.split()
    if not 2 <= len(words) <= 3:
        raise ItemError(f"{entry!r} is no right", "Write a verb and a resource, such as get pods, or get configmaps web")
    return words[0], words[1], words[2] if len(words) == 3 else ""


# -- the inverse


def describe(objects: t.Sequence[Manifest]) -> t.Dict[str, t.Any]:
    """The options that declare exactly these service accounts, roles and bindings of one namespace."""
    item: t.Dict[str, t.Any] = {}
    for built in objects:
        described = _DESCRIBE.get(built["kind"], lambda _built: ("", None))(built)
        if described[1]:
            item.setdefault(described[0], []).append(described[1])
    return item


def _described_metadata(built: Manifest) -> t.Dict[str, t.Any]:
    described: t.Dict[str, t.Any] = {"name": built["metadata"]["name"]}
    for part in ("labels", "annotations"):
        told = values.told(built["metadata"].get(part))
        if told:
            described[part] = told
    return described


def _describe_account(built: Manifest) -> t.Tuple[str, t.Any]:
    """The default service account belongs to the namespace; others are described when they hold no token."""
    described = _described_metadata(built)
    if described["name"] == "default" or "automountServiceAccountToken" not in built:
        return "service_accounts", None
    described["automount"] = built["automountServiceAccountToken"]
    if built.get("imagePullSecrets"):
        described["image_pull_secrets"] = [secret["name"] for secret in built["imagePullSecrets"]]
    return "service_accounts", described


def _describe_role(built: Manifest) -> t.Tuple[str, t.Any]:
    rules = [
        {
            option: list(rule[field])
            for option, field in (
                ("api_groups", "apiGroups"),
                ("resources", "resources"),
                ("resource_names", "resourceNames"),
                ("verbs", "verbs"),
            )
            if rule.get(field)
        }
        for rule in built.get("rules") or ()
    ]
    return "roles", {**_described_metadata(built), "rules": rules}


def _describe_binding(built: Manifest) -> t.Tuple[str, t.Any]:
    subjects = []
    for subject in built.get("subjects") or ():
        option = {"User": "user", "Group": "group"}.get(subject["kind"], "service_account")
        described = {option: subject["name"]}
        if subject.get("namespace"):
            described["namespace"] = subject["namespace"]
        subjects.append(described)
    if not subjects:
        return "bindings", None
    reference = built["roleRef"]
    option = "role" if reference["kind"] == "Role" else "cluster_role"
    return "bindings", {**_described_metadata(built), option: reference["name"], "subjects": subjects}


_DESCRIBE: t.Dict[str, t.Callable[[Manifest], t.Tuple[str, t.Any]]] = {
    "ServiceAccount": _describe_account,
    "Role": _describe_role,
    "RoleBinding": _describe_binding,
}
