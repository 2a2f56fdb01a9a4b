# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Service accounts, roles, bindings, and what is expected of them.

Names follow from what an object gives and to whom, so that another right or another person renames nothing:

* a service account's own ``rules`` are a Role and a RoleBinding of its name,
* each of its ``roles`` and ``cluster_roles`` is a RoleBinding ``<service account>-<role>``,
* each entry of a tenant's ``access`` is a RoleBinding ``<role>-<user, group or sa>-<subject>``; a service
  account of another namespace is ``<namespace>:<name>`` there.
"""

from __future__ import annotations

import hashlib
import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import api_resources, values
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    Expectation,
    Manifest,
    manifest,
    ref_of,
)

GROUP = "rbac.authorization.k8s.io"
API_VERSION = f"{GROUP}/v1"

_Item = t.Mapping[str, t.Any]
_Built = t.TypeVar("_Built")

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


class _Parts:
    """Collects what one item declares; a part that is wrong becomes a problem, and the others go on."""

    def __init__(self, where: str, context: Context) -> None:
        self.declaration = Declaration()
        self.where = where
        self.stage = context.stage

    def attempt(self, where: str, ref: Ref, build: t.Callable[..., _Built], *given: t.Any) -> t.Optional[_Built]:
        try:
            return build(*given)
        except ItemError as error:
            self.declaration.problem(where, error.reason, error.remedy, ref)
            return None

    def each(
        self, option: str, ref: Ref, build: t.Callable[..., _Built], entries: t.Sequence[t.Any], *given: t.Any
    ) -> t.Optional[t.List[_Built]]:
        """What each entry of an option becomes, or None when one of them is wrong; every mistake is told."""
        places = [f"{self.where}.{option}[{index}]" for index in range(len(entries))]
        tried = [self.attempt(place, ref, build, entry, *given) for place, entry in zip(places, entries)]
        built = [part for part in tried if part is not None]
        return built if len(built) == len(entries) else None

    def rules(self, ref: Ref, rules: t.Sequence[_Item], cluster: bool) -> t.Optional[t.List[t.Dict[str, t.Any]]]:
        built = self.each("rules", ref, _policy_rules, rules, cluster)
        return None if built is None else [rule for part in built for rule in part]

    def add(self, built: Manifest, where: str = "") -> None:
        self.declaration.add(built, where or self.where, self.stage)


# -- what is declared


def declare_service_account(item: _Item, where: str, context: Context) -> Declaration:
    """A service account and what it may do in its namespace."""
    parts = _Parts(where, context)
    name, namespace = str(item["name"]), str(item["namespace"])
    account = parts.attempt(where, Ref("ServiceAccount", namespace, name), _service_account, item)
    if account is None:
        return parts.declaration
    parts.add(account)
    subjects = [_account(name, namespace)]
    if item.get("rules"):
        rules = parts.rules(Ref("Role", namespace, name), item["rules"], False)
        if rules is not None:
            parts.add(manifest(API_VERSION, "Role", name, namespace, rules=rules))
            parts.add(_bound({"name": name, "namespace": namespace}, _reference("Role", name), subjects))
    for kind, option in (("Role", "roles"), ("ClusterRole", "cluster_roles")):
        for index, role in enumerate(item.get(option, ())):
            place, head = f"{where}.{option}[{index}]", {"name": f"{name}-{role}", "namespace": namespace}
            reference = parts.attempt(place, Ref("RoleBinding", namespace, head["name"]), _reference, kind, role)
            if reference is not None:
                parts.add(_bound(head, reference, subjects), place)
    return parts.declaration


def declare_role(item: _Item, where: str, context: Context) -> Declaration:
    """A Role with exactly the declared rules."""
    return _declare_role("Role", item, where, context)


def declare_cluster_role(item: _Item, where: str, context: Context) -> Declaration:
    """A ClusterRole with exactly the declared rules, or one that the API server adds up from others."""
    if not item.get("aggregate"):
        return _declare_role("ClusterRole", item, where, context)
    parts = _Parts(where, context)
    ref = Ref("ClusterRole", "", str(item["name"]))
    head = parts.attempt(where, ref, _head, item)
    selectors = parts.each("aggregate", ref, _selector, item["aggregate"])
    if item.get("rules"):
        remedy = "Put the rules into a cluster role with one of the labels"
        parts.declaration.problem(where, "the API server would overwrite rules with those of aggregate", remedy, ref)
    elif head is not None and selectors is not None:
        parts.add(manifest(API_VERSION, "ClusterRole", **head, aggregationRule={"clusterRoleSelectors": selectors}))
    return parts.declaration


def _declare_role(kind: str, item: _Item, where: str, context: Context) -> Declaration:
    parts = _Parts(where, context)
    ref = Ref(kind, item.get("namespace", ""), str(item["name"]))
    head = parts.attempt(where, ref, _head, item)
    rules = parts.rules(ref, item.get("rules", ()), kind == "ClusterRole")
    if head is not None and rules is not None:
        parts.add(manifest(API_VERSION, kind, **head, rules=rules))
    return parts.declaration


def declare_binding(item: _Item, where: str, context: Context) -> Declaration:
    """A RoleBinding in its namespace, a ClusterRoleBinding without one."""
    parts = _Parts(where, context)
    namespace = item.get("namespace", "")
    # an empty namespace is a mistake to be told: it must not make a right in one namespace one in all of them
    kind = "RoleBinding" if "namespace" in item else "ClusterRoleBinding"
    ref = Ref(kind, namespace, str(item["name"]))
    head = parts.attempt(where, ref, _head, item)
    reference = parts.attempt(where, ref, _referenced, item)
    subjects = parts.each("subjects", ref, _subject, item["subjects"], namespace)
    if not item["subjects"]:
        parts.declaration.problem(where, "the binding has no subjects", "Name at least one, or remove the binding", ref)
    elif head is not None and reference is not None and subjects is not None:
        parts.add(_bound(head, reference, subjects))
    return parts.declaration


def declare_expectation(item: _Item, where: str, context: Context) -> Declaration:
    """What a subject can and cannot do once everything is applied."""
    parts = _Parts(where, context)
    namespace = item.get("namespace", "")
    asked = parts.attempt(where, Ref("", namespace, ""), _asked, item)
    if not item.get("can") and not item.get("cannot"):
        parts.declaration.problem(where, "nothing is expected", "Say it in can or cannot, such as can: [get pods]")
    for option in ("can", "cannot"):
        rights = parts.each(option, Ref("", namespace, ""), _right, item.get(option, ()), namespace)
        for verb, resource, space, name in rights or ():
            if asked is not None:
                parts.declaration.expectations.append(
                    Expectation(*asked, verb, resource, space, name, option == "can", where)
                )
    return parts.declaration


_PARTS: t.Tuple[t.Tuple[str, t.Callable[[_Item, str, Context], Declaration]], ...] = (
    ("service_accounts", declare_service_account),
    ("roles", declare_role),
    ("bindings", declare_binding),
    ("expect", declare_expectation),
)


def declare(item: _Item, where: str, context: Context) -> Declaration:
    """The rights in one namespace, as a tenant declares them."""
    namespace = item["namespace"]
    declaration = Declaration()
    for option, declare_part in _PARTS:
        for index, entry in enumerate(item.get(option, ())):
            place = f"{where}.{option}[{index}]"
            declaration.merge(declare_part({**entry, "namespace": namespace}, place, context))
    for index, entry in enumerate(item.get("access", ())):
        declaration.merge(_declare_access(entry, namespace, f"{where}.access[{index}]", context))
    return declaration


def _declare_access(item: _Item, namespace: str, where: str, context: Context) -> Declaration:
    """A ClusterRole for one subject, in one namespace alone."""
    parts = _Parts(where, context)
    ref = Ref("RoleBinding", namespace, "")
    subject = parts.attempt(where, ref, _subject, item, namespace)
    reference = parts.attempt(where, ref, _reference, "ClusterRole", item["role"])
    if subject is not None and reference is not None:
        head = {"name": _access_name(item["role"], subject, namespace), "namespace": namespace}
        parts.add(_bound(head, reference, [subject]))
    return parts.declaration


# -- objects


def _head(item: _Item, name: t.Callable[[t.Any], str] = values.path_segment) -> t.Dict[str, t.Any]:
    """Name, namespace, labels and annotations, checked."""
    head: t.Dict[str, t.Any] = {"name": name(item["name"])}
    if "namespace" in item:
        head["namespace"] = values.dns_label(item["namespace"], "namespace")
    head["labels"] = values.labels(item.get("labels", {}))
    head["annotations"] = values.annotation_map(item.get("annotations", {}))
    return head


def _service_account(item: _Item) -> Manifest:
    body: t.Dict[str, t.Any] = {"automountServiceAccountToken": bool(item.get("automount"))}
    if item.get("image_pull_secrets"):
        names = [values.dns_subdomain(name, "image_pull_secrets") for name in item["image_pull_secrets"]]
        body["imagePullSecrets"] = [{"name": name} for name in names]
    return manifest("v1", "ServiceAccount", **_head(item, values.dns_subdomain), **body)


def _bound(head: _Item, reference: _Item, subjects: t.Sequence[_Item]) -> Manifest:
    kind = "RoleBinding" if "namespace" in head else "ClusterRoleBinding"
    return manifest(API_VERSION, kind, **head, roleRef=reference, subjects=list(subjects))


def _selector(labels: _Item) -> t.Dict[str, t.Dict[str, str]]:
    if not labels:
        raise ItemError("an empty label map adds up every cluster role there is", "Name a label")
    return {"matchLabels": values.labels(labels)}


def _reference(kind: str, name: str) -> t.Dict[str, str]:
    return {"apiGroup": GROUP, "kind": kind, "name": values.path_segment(name, "role")}


def _referenced(item: _Item) -> t.Dict[str, str]:
    role, cluster_role = item.get("role"), item.get("cluster_role")
    if bool(role) == bool(cluster_role):
        raise ItemError(f"the binding names {'both' if role else 'neither'} role and cluster_role", "Name one of them")
    if role and "namespace" not in item:
        raise ItemError(f"role {role} can only be bound in its namespace", "Say namespace, or bind a cluster_role")
    return _reference("Role", role) if role else _reference("ClusterRole", str(cluster_role))


def _account(name: str, namespace: str) -> t.Dict[str, str]:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def _subject(item: _Item, namespace: str) -> t.Dict[str, str]:
    """One of user, group and service_account, as an RBAC subject.

    :param namespace: that of a service account which names none.
    """
    given = [option for option in ("user", "group", "service_account") if item.get(option)]
    if len(given) != 1:
        named = f"these are {' and '.join(given)}" if given else "this is none of them"
        raise ItemError(f"a subject is one of user, group and service_account; {named}", "Make an entry for each")
    (option,) = given
    if option == "service_account":
        home = item.get("namespace") or namespace
        if not home:
            raise ItemError(f"service account {item[option]} has no namespace", "Say namespace beside service_account")
        return _account(values.dns_subdomain(item[option], option), values.dns_label(home, "namespace"))
    if "namespace" in item:
        raise ItemError(f"a {option} belongs to no namespace", "Leave namespace out; it is that of a service account")
    return {"apiGroup": GROUP, "kind": option.capitalize(), "name": str(item[option])}


def _access_name(role: str, subject: _Item, namespace: str) -> str:
    """A name for one subject's role; what cannot stand in a name is replaced and told apart by a digest."""
    kind = {"User": "user", "Group": "group", "ServiceAccount": "sa"}[subject["kind"]]
    home = subject.get("namespace", namespace)
    name = f"{role}-{kind}-{subject['name'] if home == namespace else home + ':' + subject['name']}"
    plain = re.sub(r"[/%]", "-", name)
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


# -- rules


def _policy_rules(rule: _Item, cluster: bool) -> t.List[t.Dict[str, t.Any]]:
    """The PolicyRules of one rule: one, or one for each API group that its resources are written with."""
    verbs, names = _texts(rule, "verbs"), _texts(rule, "resource_names")
    if not verbs:
        raise ItemError("the rule has no verbs", "Name them, such as verbs: [get, list, watch]")
    if rule.get("non_resource_urls"):
        return [{"nonResourceURLs": _paths(rule, cluster), "verbs": verbs}]
    resources = _texts(rule, "resources")
    if not resources:
        raise ItemError("the rule names no resources", "Name them, such as resources: [configmaps]")
    by_groups: t.Dict[t.Tuple[str, ...], t.List[str]] = {}
    if rule.get("api_groups"):
        by_groups[tuple(rule["api_groups"])] = resources
    else:
        for group, resource in map(api_resources.split, resources):
            by_groups.setdefault((group,), []).append(resource)
    narrowed = {"resourceNames": names} if names else {}
    return [
        {"apiGroups": list(groups), "resources": resources, "verbs": verbs, **narrowed}
        for groups, resources in by_groups.items()
    ]


def _texts(rule: _Item, option: str) -> t.List[str]:
    texts = list(rule.get(option, ()))
    if any(not text or text != text.strip() for text in texts):
        raise ItemError(f"{option} {texts!r} has an entry that is empty or has spaces around it", "Correct it")
    return texts


def _paths(rule: _Item, cluster: bool) -> t.List[str]:
    if not cluster:
        raise ItemError("non_resource_urls have no namespace", "Declare them under cluster_roles")
    if rule.get("resources") or rule.get("api_groups") or rule.get("resource_names"):
        raise ItemError("the rule mixes resources and non_resource_urls", "Make two rules of it")
    paths = _texts(rule, "non_resource_urls")
    for path in paths:
        if path != "*" and (not path.startswith("/") or "*" in path[:-1]):
            raise ItemError(f"{path!r} is no path", "Begin it with '/'; only its end may be '*'")
    return paths


# -- expectations


def _asked(item: _Item) -> t.Tuple[str, t.Tuple[str, ...]]:
    """User name and groups of the subject, completed as the API server would after authentication."""
    user, account, groups = (
        str(item.get("user", "")),
        item.get("service_account"),
        list(item.get("groups", ())),
    )
    if user and account:
        raise ItemError("the expectation is of both user and service_account", "Make two entries of it")
    if not (user or account or groups):
        raise ItemError("the expectation is of nobody", "Name one of user and service_account, or groups")
    if account:
        if not item.get("namespace"):
            raise ItemError(f"service account {account} has no namespace", "Say namespace beside service_account")
        space = values.dns_label(item["namespace"], "namespace")
        user = f"system:serviceaccount:{space}:{values.dns_subdomain(account, 'service_account')}"
    if user.startswith("system:serviceaccount:"):
        groups += ["system:serviceaccounts", f"system:serviceaccounts:{user.split(':')[2]}"]
    if not {"system:authenticated", "system:unauthenticated"} & set(groups):
        groups.append("system:unauthenticated" if user == "system:anonymous" else "system:authenticated")
    return user, tuple(groups)


def _right(entry: str, namespace: str) -> t.Tuple[str, str, str, str]:
    """Verb, resource, namespace and name of ``get pods``, ``create jobs.batch``, ``get configmaps web``.

    A slip of the pen would make a ``cannot`` hold for ever: what Kubernetes itself has is checked.
    """
    words = entry.split()
    if not 2 <= len(words) <= 3:
        raise ItemError(
            f"{entry!r} is no right", "Write a verb and a resource, such as get pods, or get configmaps web"
        )
    verb, resource, name = words[0], words[1], words[2] if len(words) == 3 else ""
    if resource.startswith("/"):
        return verb, resource, "", name
    group, plain = api_resources.split(resource)
    if group not in api_resources.RESOURCES or "*" in plain:
        return verb, resource, namespace, name
    known = api_resources.find(group, plain)
    if known is None:
        meant = api_resources.nearest(plain)
        remedy = f"Write {meant}" if meant else "Write it as kubectl api-resources lists it, such as deployments.apps"
        raise ItemError(f"{entry!r}: the {group or 'core'} API group has no resource {plain}", remedy)
    if not api_resources.is_asked(verb, known.verbs):
        raise ItemError(
            f"{entry!r}: nobody asks to {verb} {resource}", f"Its verbs are {', '.join(sorted(known.verbs))}"
        )
    if plain.startswith("namespaces") and verb not in ("create", "list", "watch"):
        return verb, resource, namespace, name or namespace  # a request for a namespace is one within it
    return verb, resource, namespace if known.namespaced else "", name


# -- the inverse


def describe(objects: t.Sequence[Manifest]) -> t.Dict[str, t.Any]:
    """The options that declare exactly these service accounts, roles and bindings of one namespace.

    What they cannot say is left out, and told by :func:`undescribed`.
    """
    item: t.Dict[str, t.Any] = {}
    for built in objects:
        if built["kind"] in _DESCRIBED and not _unsaid(built):
            option, describe_one = _DESCRIBED[built["kind"]]
            item.setdefault(option, []).append({**_described_metadata(built), **describe_one(built)})
    return item


def undescribed(objects: t.Sequence[Manifest]) -> t.Dict[Ref, str]:
    """Which of these objects :func:`describe` leaves out, and why.

    A ``default`` service account that the namespace's own option says all of is none of them.
    """
    reasons = {ref_of(built): _unsaid(built) for built in objects if built["kind"] in _DESCRIBED}
    return {ref: reason for ref, reason in reasons.items() if reason and reason != _NAMESPACES_OWN}


_NAMESPACES_OWN = "said by default_service_account_token"


def _unsaid(built: Manifest) -> str:
    """Why an object cannot be said in options; empty where it can."""
    if built["kind"] == "RoleBinding" and not built.get("subjects"):
        return "it has no subjects, and so gives nothing"
    if built["kind"] != "ServiceAccount":
        return ""
    if built.get("secrets"):
        return "its list of mountable secrets has no option"
    if built["metadata"]["name"] != "default":
        return ""
    own = len(_described_metadata(built)) == 1 and not built.get("imagePullSecrets")
    return _NAMESPACES_OWN if own else "default_service_account_token is all that can be said of a default account"


def _described_metadata(built: Manifest) -> t.Dict[str, t.Any]:
    described: t.Dict[str, t.Any] = {"name": built["metadata"]["name"]}
    for part in ("labels", "annotations"):
        told = values.told(built["metadata"].get(part))
        if told:
            described[part] = told
    return described


def _describe_account(built: Manifest) -> t.Dict[str, t.Any]:
    described: t.Dict[str, t.Any] = {"automount": built.get("automountServiceAccountToken") is not False}
    if built.get("imagePullSecrets"):
        described["image_pull_secrets"] = [secret["name"] for secret in built["imagePullSecrets"]]
    return described


def _describe_role(built: Manifest) -> t.Dict[str, t.Any]:
    return {"rules": [_describe_rule(rule) for rule in built.get("rules") or ()]}


def _describe_rule(rule: _Item) -> t.Dict[str, t.Any]:
    fields = (
        ("api_groups", "apiGroups"),
        ("resources", "resources"),
        ("resource_names", "resourceNames"),
        ("verbs", "verbs"),
    )
    described = {option: list(rule[field]) for option, field in fields if rule.get(field)}
    # a dot in a resource's name splits it where the groups are not said
    if described.get("api_groups") == [""] and not any("." in name for name in described["resources"]):
        del described["api_groups"]
    return described


def _describe_binding(built: Manifest) -> t.Dict[str, t.Any]:
    options = {"User": "user", "Group": "group", "ServiceAccount": "service_account"}
    subjects = [
        {options[subject["kind"]]: subject["name"], **{k: v for k, v in subject.items() if k == "namespace"}}
        for subject in built["subjects"]
    ]
    role = "role" if built["roleRef"]["kind"] == "Role" else "cluster_role"
    return {role: built["roleRef"]["name"], "subjects": subjects}


_DESCRIBED: t.Dict[str, t.Tuple[str, t.Callable[[Manifest], t.Dict[str, t.Any]]]] = {
    "ServiceAccount": ("service_accounts", _describe_account),
    "Role": ("roles", _describe_role),
    "RoleBinding": ("bindings", _describe_binding),
}
