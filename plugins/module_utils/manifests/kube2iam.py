# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube2iam: the agent on every node, the roles that namespaces may have, and who may change them.

The agent is what kube2iam 0.15 is with everything off that opens something. The redirect to it is the node's own
(role ``kube2iam``), so it needs no privilege, and without it pods are refused.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import STAGES, Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import values
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    Manifest,
    manifest,
)

ROLE = "iam.amazonaws.com/role"
EXTERNAL_ID = "iam.amazonaws.com/external-id"
ALLOWED_ROLES = "iam.amazonaws.com/allowed-roles"

_Item = t.Mapping[str, t.Any]

#: Where requests go that are not for credentials: the kubelet's health port on the node itself, which knows none of
#: these paths and answers 404, upon which SDKs go on without a token.
NOWHERE = "127.0.0.1:10248"

#: A path may have more in it for IAM, but not for kube2iam, which then does not start.
_BASE_ARN = re.compile(r"arn:[\w-]+:iam::[0-9]{12}:role/(?P<path>(?:[\w.-]+/)*)", re.ASCII)
_PATTERN = re.compile(r"[\w+=.@/:*-]+", re.ASCII)
#: Stars alone; an ARN whose name is stars, which stand for a path, too; one that is cut off by a star before any path.
_EVERY = re.compile(
    r"/*\*[*/]*|(?:arn:[^/]*|[^/]*:role)/(?:.*/)?\*[*/]*|arn:[^*/]*(?:\*[^/]*:|\*)?(?:role)?\*+", re.IGNORECASE
)
_IMAGE = re.compile(r"[\w./:-]+(?:@sha256:[0-9a-f]{64})?", re.ASCII)
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]+")
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::[0-9]{1,5})?", re.ASCII)

#: When a node is emptied, its agent outlives the pods that end there, which may still need credentials.
_STAYS = {"cluster-autoscaler.kubernetes.io/enable-ds-eviction": "false"}

AGENT_SPEC: t.Dict[str, t.Any] = {
    "name": {"type": "str"},
    "namespace": {"type": "str"},
    "image": {"type": "str", "required": True},
    "base_role_arn": {"type": "str", "required": True},
    "region": {"type": "str", "required": True},
    "default_role": {"type": "str"},
    "port": {"type": "int"},
    "metrics_port": {"type": "int"},
    "metadata_address": {"type": "str"},
    "node_selector": {"type": "dict"},
    "priority_class": {"type": "str"},
    "resources": {"type": "dict"},
    "image_pull_secrets": {"type": "list", "elements": "str"},
}
NAMESPACE_SPEC: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "allowed_roles": {"type": "list", "elements": "str", "required": True},
}
GUARD_SPEC: t.Dict[str, t.Any] = {
    "name": {"type": "str"},
    "base_role_arn": {"type": "str"},
    "users": {"type": "list", "elements": "str"},
    "groups": {"type": "list", "elements": "str"},
    "stage": {"type": "str", "choices": list(STAGES)},
}

ADMISSION = "admissionregistration.k8s.io/v1"
POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
_ACTIONS = {"observe": ["Audit"], "warn": ["Warn", "Audit"], "enforce": ["Deny", "Audit"]}


# -- the roles that a namespace may have


def allow_list(roles: t.Iterable[str]) -> str:
    """The annotation's value: in one order, so that the same roles are the same text.

    :raises ItemError: an entry cannot be a role.
    """
    checked = sorted(set(roles))
    for role in checked:
        if not _PATTERN.fullmatch(role):
            raise ItemError(
                f"{role!r} is no role that kube2iam could give", "Write a role's name below the base ARN, or its ARN"
            )
    return json.dumps(checked)


def wide(ref: Ref, roles: t.Iterable[str]) -> t.Iterator[Finding]:
    """Entries that let a namespace have whatever role there is, or will be, at all or below an ARN's path.

    That path may be the agents' base ARN, which a namespace's list does not say.
    """
    found = sorted(role for role in roles if _EVERY.fullmatch(role))
    if found:
        yield Finding(
            "kube2iam/every-role",
            ref,
            "its pods may have every role that its nodes may assume, or every one below a path",
            "Name the roles of the namespace, or give them a prefix of their own below the base ARN: shop-*, or shop/*",
            affected=tuple(found),
            refuse=True,
        )


def declare_namespace(item: _Item, where: str, context: Context) -> Declaration:
    """The allow list of a namespace that no tenant declares."""
    declaration = Declaration()
    ref = Ref("Namespace", "", str(item["name"]))
    try:
        name = values.dns_label(item["name"], "namespace")
        annotations = {ALLOWED_ROLES: allow_list(item["allowed_roles"])}
    except ItemError as error:
        declaration.problem(where, error.reason, error.remedy, ref)
        return declaration
    declaration.add(manifest("v1", "Namespace", name, annotations=annotations), where, context.stage)
    declaration.findings += wide(ref, item["allowed_roles"])
    return declaration


def allow(declaration: Declaration, roles: t.Sequence[str], where: str, name: str) -> None:
    """Let a namespace that a tenant declares have these roles, by its annotation."""
    ref = Ref("Namespace", "", name)
    namespace = next((m for m in declaration.objects if m["kind"] == "Namespace"), None)
    if namespace is None:
        return  # what is wrong with it is told already
    annotations = namespace["metadata"].setdefault("annotations", {})
    if ALLOWED_ROLES in annotations:
        declaration.problem(
            where,
            f"iam_role and the annotation {ALLOWED_ROLES} say the same thing twice",
            "Leave the annotation out",
            ref,
        )
        return
    try:
        annotations[ALLOWED_ROLES] = allow_list(roles)
    except ItemError as error:
        declaration.problem(where, error.reason, error.remedy, ref)
        return
    declaration.findings += wide(ref, roles)


def allowed_roles(annotations: _Item) -> t.Optional[t.List[str]]:
    """The roles in an annotation, where it is as :func:`allow_list` writes it; the inverse."""
    try:
        roles = json.loads(annotations.get(ALLOWED_ROLES, ""))
        if isinstance(roles, list) and roles and allow_list(roles) == annotations[ALLOWED_ROLES]:
            return roles
    except (ItemError, TypeError, ValueError):
        pass
    return None


# -- the agent


def declare_agent(item: _Item, where: str, context: Context) -> Declaration:
    """A DaemonSet and all that it needs, in a namespace of its own."""
    declaration = Declaration()
    name, namespace = str(item.get("name") or "kube2iam"), str(item.get("namespace") or "kube2iam")
    ref = Ref("DaemonSet", namespace, name)
    try:
        values.dns_label(name)
        values.dns_label(namespace, "namespace")
        body = _daemon_set(item, name)
    except ItemError as error:
        declaration.problem(where, error.reason, error.remedy, ref)
        return declaration
    labels = {"app.kubernetes.io/name": "kube2iam", "app.kubernetes.io/instance": name}
    pod_security = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
    rules = [{"apiGroups": [""], "resources": ["namespaces", "pods"], "verbs": ["list", "watch"]}]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    account = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    objects = [
        manifest("v1", "ServiceAccount", name, namespace, labels, automountServiceAccountToken=False),
        manifest("rbac.authorization.k8s.io/v1", "ClusterRole", name, labels=labels, rules=rules),
        manifest(
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            name,
            labels=labels,
            roleRef=reference,
            subjects=[account],
        ),
        manifest("apps/v1", "DaemonSet", name, namespace, labels, spec=body),
    ]
    if namespace != "default" and not namespace.startswith("kube-"):
        # the host network takes the level privileged: here, and nowhere else
        objects.insert(0, manifest("v1", "Namespace", namespace, labels={**pod_security, **_part_of()}))
    for built in objects:
        declaration.add(built, where, context.stage)
    declaration.findings += _agent_findings(item, ref)
    return declaration


def _part_of() -> t.Dict[str, str]:
    return {"app.kubernetes.io/part-of": "kube2iam"}


def _base_arn(text: t.Any) -> str:
    match = _BASE_ARN.fullmatch(str(text) if str(text).endswith("/") else f"{text}/")
    if not match:
        raise ItemError(
            f"base_role_arn {text!r} is none that kube2iam takes",
            "Write it as arn:aws:iam::111122223333:role/k8s/prod/, with a path of letters, digits, ., - and _",
        )
    return match.group(0)


def _matching(pattern: t.Pattern[str], item: _Item, option: str, example: str) -> str:
    if not pattern.fullmatch(str(item[option])):
        raise ItemError(f"{option} {item[option]!r} is none", f"Write it as {example}")
    return str(item[option])


def _ports(item: _Item) -> t.Tuple[int, int]:
    port, metrics = item.get("port") or 8181, item.get("metrics_port") or 8182
    if port == metrics:
        raise ItemError(
            f"port and metrics_port are both {port}", "Metrics name the roles: give them a port of their own"
        )
    if values.port_number(port) < 1024 or values.port_number(metrics) < 1024:
        raise ItemError("the agent is not root, and cannot have a port below 1024", "Choose higher ones")
    return port, metrics


def _arguments(item: _Item) -> t.List[str]:
    port, metrics = _ports(item)
    arguments = [
        f"--app-port={port}",
        f"--metrics-port={metrics}",
        f"--base-role-arn={_base_arn(item['base_role_arn'])}",
        "--namespace-restrictions",
        "--namespace-restriction-format=glob",
        f"--metadata-addr={_metadata_address(item)}",
        "--node=$(NODE_NAME)",
        "--use-regional-sts-endpoint",
        "--log-level=info",
    ]
    if item.get("default_role"):
        if not _PATTERN.fullmatch(item["default_role"]) or "*" in item["default_role"]:
            raise ItemError(f"default_role {item['default_role']!r} is no role", "Write a role's name, or its ARN")
        arguments.append(f"--default-role={item['default_role']}")
    return arguments


def _metadata_address(item: _Item) -> str:
    return _matching(_ADDRESS, {"metadata_address": NOWHERE, **item}, "metadata_address", NOWHERE)


def _quantities(given: t.Any, what: str) -> t.Dict[str, str]:
    if not isinstance(given, dict):
        raise ItemError(f"{what} {given!r} is no dictionary", "Write it as {cpu: 10m, memory: 64Mi}")
    for key, value in given.items():
        values.qualified_name(key, "resource")
        values.quantity(value)
    return {str(key): str(value) for key, value in given.items()}


def _resources(item: _Item) -> t.Dict[str, t.Dict[str, str]]:
    given = item.get("resources") or {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
    unknown = sorted(map(str, set(given) - {"requests", "limits"}))
    if unknown:
        raise ItemError(f"resources has {unknown[0]}", "It has requests and limits")
    return {str(part): _quantities(amounts, f"resources.{part}") for part, amounts in given.items()}


def _container(item: _Item) -> t.Dict[str, t.Any]:
    port, metrics = _ports(item)
    return {
        "name": "kube2iam",
        "image": _matching(_IMAGE, item, "image", "registry.example/kube2iam@sha256:..."),
        "imagePullPolicy": "IfNotPresent",
        "args": _arguments(item),
        "env": [
            {"name": "AWS_REGION", "value": _matching(_REGION, item, "region", "eu-central-1")},
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}}},
        ],
        "ports": [
            {"name": "http", "containerPort": port, "hostPort": port, "protocol": "TCP"},
            {"name": "metrics", "containerPort": metrics, "hostPort": metrics, "protocol": "TCP"},
        ],
        # ready when it knows its instance; alive while it listens: restarts help nobody when AWS does not answer
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, "periodSeconds": 5},
        "livenessProbe": {"tcpSocket": {"port": "http"}, "initialDelaySeconds": 30, "periodSeconds": 10},
        "resources": _resources(item),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        },
    }


def _daemon_set(item: _Item, name: str) -> t.Dict[str, t.Any]:
    selected = {"app.kubernetes.io/name": "kube2iam", "app.kubernetes.io/instance": name}
    pod: t.Dict[str, t.Any] = {
        "automountServiceAccountToken": True,
        "containers": [_container(item)],
        "dnsPolicy": "Default",
        "enableServiceLinks": False,
        "hostNetwork": True,
        "nodeSelector": {"kubernetes.io/os": "linux", **values.labels(item.get("node_selector", {}))},
        "priorityClassName": values.dns_subdomain(
            item.get("priority_class") or "system-node-critical", "priority_class"
        ),
        "securityContext": {
            "runAsGroup": 65534,
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "serviceAccountName": name,
        "terminationGracePeriodSeconds": 10,
        # on every node whose pods are led to it, whatever else is kept away from there
        "tolerations": [{"operator": "Exists"}],
    }
    if item.get("image_pull_secrets"):
        names = [values.dns_subdomain(secret, "image_pull_secrets") for secret in item["image_pull_secrets"]]
        pod["imagePullSecrets"] = [{"name": secret} for secret in names]
    return {
        "selector": {"matchLabels": selected},
        "template": {"metadata": {"labels": selected, "annotations": dict(_STAYS)}, "spec": pod},
        # one node at a time: while its agent is away, pods of that node get no credentials
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        "minReadySeconds": 5,
    }


def _agent_findings(item: _Item, ref: Ref) -> t.Iterator[Finding]:
    if item.get("default_role"):
        yield Finding(
            "kube2iam/default-role",
            ref,
            "every pod that asks for none gets the default role, in every namespace",
            "Leave default_role out, or give it a role without permissions and accept this",
            affected=(item["default_role"],),
            refuse=True,
        )
    if "@sha256:" not in item["image"]:
        yield Finding(
            "kube2iam/image-tag",
            ref,
            "the image may become another one under the same name, and it holds the keys to every role of its pods",
            "Name it by its digest, as registry.example/kube2iam@sha256:...",
            affected=(item["image"],),
        )
    if _base_arn(item["base_role_arn"]).endswith(":role/"):
        yield Finding(
            "kube2iam/no-path",
            ref,
            "the base ARN is that of every role of the account, the nodes' own one included",
            "Give the roles of pods a path, such as role/k8s/prod/, with hardened.k8s.iam_pod_role",
            refuse=True,
        )
    address = _metadata_address(item)
    if address != NOWHERE:  # the metadata service has more spellings than can be told, and others may lead to it
        yield Finding(
            "kube2iam/user-data",
            ref,
            "the agent hands on there what is not for credentials: where that leads to the metadata service, every pod "
            "can read the instance's user data",
            "Leave metadata_address out",
            affected=(address,),
            refuse=True,
        )


# -- who may change what the agent goes by


def declare_guard(item: _Item, where: str, context: Context) -> Declaration:
    """Admission policies: allow lists and the roles of running pods are for named subjects to change."""
    declaration = Declaration()
    name, stage = str(item.get("name") or "kube2iam"), item.get("stage") or context.stage
    ref = Ref(POLICY, "", f"{name}-namespaces.hardened.k8s")
    try:
        values.dns_label(name)
        base = _base_arn(item["base_role_arn"]) if item.get("base_role_arn") else ""
    except ItemError as error:
        declaration.problem(where, error.reason, error.remedy, ref)
        return declaration
    named = _named(item.get("users", ()), item.get("groups", ()))
    for part, spec in (
        ("namespaces", _namespace_policy(named)),
        ("pods", _pod_policy(named, base)),
        ("bindings", _binding_policy(named)),
    ):
        full = f"{name}-{part}.hardened.k8s"
        binding = {"policyName": full, "validationActions": _ACTIONS[stage]}
        declaration.add(manifest(ADMISSION, POLICY, full, spec=spec), where, stage)
        declaration.add(manifest(ADMISSION, BINDING, full, spec=binding), where, stage)
    if not item.get("users") and not item.get("groups"):
        declaration.findings.append(
            Finding(
                "kube2iam/guard-nobody",
                ref,
                "nobody but system:masters may change allow lists any more, this call perhaps not either",
                "Name in users or groups who runs this collection",
            )
        )
    return declaration


def _literal(text: str) -> str:
    """A text as CEL reads it; JSON's escapes are among CEL's."""
    return json.dumps(text)


def _named(users: t.Iterable[str], groups: t.Iterable[str]) -> str:
    """CEL: whether the request is of a subject that is named."""
    user_list = ", ".join(_literal(str(user)) for user in sorted(set(users)))
    group_list = ", ".join(_literal(str(group)) for group in sorted({"system:masters", *groups}))
    by_group = f"request.userInfo.?groups.orValue([]).exists(g, g in [{group_list}])"
    return f"request.userInfo.username in [{user_list}] || {by_group}" if user_list else by_group


def _annotation(of: str, key: str) -> str:
    return f"{of}.metadata.?annotations[?{_literal(key)}].orValue('')"


def _before(key: str) -> str:
    return f"oldObject == null ? '' : {_annotation('oldObject', key)}"


def _policy(
    named: str, resources: t.Sequence[str], variables: t.Mapping[str, str], checks: t.Sequence[t.Tuple[str, str]]
) -> t.Dict[str, t.Any]:
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            "resourceRules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": list(resources),
                    "scope": "*",
                }
            ],
        },
        "variables": [{"name": name, "expression": text} for name, text in {"named": named, **variables}.items()],
        "validations": [
            {"expression": expression, "message": message, "reason": "Forbidden"} for expression, message in checks
        ],
    }


def _namespace_policy(named: str) -> t.Dict[str, t.Any]:
    variables = {"now": _annotation("object", ALLOWED_ROLES), "before": _before(ALLOWED_ROLES)}
    message = f"only those whom the policy names may change {ALLOWED_ROLES}: it says which AWS roles pods may have"
    # a namespace's annotations can also be written with its status and its finalizers
    resources = ("namespaces", "namespaces/finalize", "namespaces/status")
    return _policy(named, resources, variables, [("variables.now == variables.before || variables.named", message)])


def _pod_policy(named: str, base: str) -> t.Dict[str, t.Any]:
    short = f"(%s.startsWith({_literal(base)}) ? %s.substring({len(base)}) : %s)" if base else "%s"
    pattern = f"{short.replace('%s', 'p')}.replace('.', '[.]').replace('+', '[+]').replace('*', '.*')"
    variables = {
        "role": _annotation("object", ROLE),
        "before": _before(ROLE),
        "external": _annotation("object", EXTERNAL_ID),
        "externalBefore": _before(EXTERNAL_ID),
        "patterns": (
            f"{_annotation('namespaceObject', ALLOWED_ROLES)}"
            ".replace('[', '').replace(']', '').replace('\"', '').split(',').map(p, p.trim())"
        ),
    }
    role = short.replace("%s", "variables.role")
    same = "variables.role == variables.before && variables.external == variables.externalBefore"
    fits = f"variables.patterns.exists(p, p != '' && {role}.matches('^' + {pattern} + '$'))"
    without = "oldObject != null || variables.role == ''"
    checks = [
        (
            f"oldObject == null || variables.named || ({same})",
            f"only those whom the policy names may change {ROLE} of a pod that is there",
        ),
        (f"{without} || {fits}", f"the role in {ROLE} is not one that the namespace may have"),
        (
            f"{without} || !object.spec.?hostNetwork.orValue(false)",
            f"a pod on the host network gets the node's role, whatever {ROLE} says",
        ),
    ]
    return _policy(named, ("pods", "pods/status"), variables, checks)


def _binding_policy(named: str) -> t.Dict[str, t.Any]:
    """A pod also gets the annotations of whoever schedules it."""
    variables = {"role": _annotation("object", ROLE), "external": _annotation("object", EXTERNAL_ID)}
    expression = "(variables.role == '' && variables.external == '') || variables.named"
    message = f"only those whom the policy names may give a pod {ROLE} by scheduling it"
    return _policy(named, ("bindings", "pods/binding"), variables, [(expression, message)])


# -- what running pods would feel


def asked_role(pod: Manifest) -> str:
    """The role that a pod asks for, if any."""
    return (pod["metadata"].get("annotations") or {}).get(ROLE) or ""


def on_host(ref: Ref, pods: t.Iterable[Manifest]) -> Finding:
    """Pods of a namespace that are on the host network, and so not held in by its allow list."""
    return Finding(
        "kube2iam/host-network",
        ref,
        "these pods are on the host network, where kube2iam does not see them: they get the node's role",
        "Take them off the host network, or keep it away with pod_security: baseline",
        affected=tuple(sorted(pod["metadata"]["name"] for pod in pods)[:20]),
    )


def running_pods(ref: Ref, roles: t.Sequence[str], pods: t.Iterable[Manifest]) -> t.Iterator[Finding]:
    """Pods of a namespace that its allow list takes a role from.

    :param roles: what it may have.
    """
    without = []
    for pod in pods:
        role = asked_role(pod)
        if not role or (pod.get("spec") or {}).get("hostNetwork"):
            continue
        if not any(_may_fit(entry, role) for entry in roles):
            without.append(f"{pod['metadata']['name']} ({role})")
    if without:
        yield Finding(
            "kube2iam/loses-role",
            ref,
            "these pods ask for a role that is not in the list, and would get no credentials any more",
            "Add the role with iam_role, or remove the annotation from the workload",
            affected=tuple(sorted(without)[:20]),
            refuse=True,
        )


def restricted(daemon_set: t.Optional[Manifest]) -> bool:
    """Whether an agent goes by allow lists."""
    return "--namespace-restrictions" in _told(daemon_set)


def _told(daemon_set: t.Optional[Manifest]) -> t.List[str]:
    """The arguments of an agent."""
    pod = (daemon_set or {}).get("spec", {}).get("template", {}).get("spec") or {}
    return [argument for container in pod.get("containers") or () for argument in container.get("args") or ()]


def unlisted_pods(
    agent: Manifest, lists: t.Mapping[str, t.Optional[str]], pods: t.Iterable[Manifest], sure: bool
) -> t.Iterator[Finding]:
    """Pods of a cluster that get no role any more from an agent that goes by allow lists.

    :param lists: the annotations of all namespaces.
    :param sure: whether no list is still to come.
    """
    told = dict(argument.split("=", 1) for argument in _told(agent) if "=" in argument)
    base, default = told.get("--base-role-arn", ""), told.get("--default-role")
    without = []
    for pod in pods:
        metadata = pod["metadata"]
        role = asked_role(pod)
        if not role or (pod.get("spec") or {}).get("hostNetwork"):
            continue
        entries = _entries(lists.get(metadata["namespace"])) + ([default] if default else [])
        if not any(_may_fit(entry, role, base) for entry in entries):
            without.append(f"{metadata['namespace']}/{metadata['name']} ({role})")
    if without:
        yield Finding(
            "kube2iam/no-list",
            Ref("DaemonSet", agent["metadata"]["namespace"], agent["metadata"]["name"]),
            "these pods ask for a role that no list of their namespace has, and would get no credentials",
            "Add the role first, with iam_role of a tenant or in namespaces, or remove the annotation from the workload",
            affected=tuple(sorted(without)[:20]),
            refuse=sure,
        )


def _entries(text: t.Optional[str]) -> t.List[str]:
    """The roles in an annotation, as kube2iam reads it: none where it cannot."""
    try:
        entries = json.loads(text or "[]")
    except ValueError:
        return []
    return [entry for entry in entries if isinstance(entry, str)] if isinstance(entries, list) else []


def _may_fit(entry: str, role: str, base: str = "") -> bool:
    """Whether an entry may mean a role; names are compared with names, and ARNs with ARNs.

    :param base: the agent's base ARN; where it is not known, it may end at any slash of an ARN.
    """
    if _is_arn(entry) == _is_arn(role):
        return _fits(entry, role)
    if base:
        return _fits(entry, base + role) if _is_arn(entry) else _fits(base + entry, role)
    entries = _below(entry) if _is_arn(entry) else [entry]
    roles = _below(role) if _is_arn(role) else [role]
    return any(_fits(part, name) for part in entries for name in roles)


def _is_arn(text: str) -> bool:
    return text.lower().startswith("arn:")


def _fits(entry: str, role: str) -> bool:
    """As kube2iam's globs do: ``*`` is any text, slashes included."""
    return re.fullmatch(".*".join(map(re.escape, entry.split("*"))), role, re.DOTALL) is not None


def _below(arn: str) -> t.List[str]:
    """What a base ARN may leave of an ARN: all after a slash, or from a star on that stands for more than a name."""
    named = arn.rpartition("/")[0] or arn
    return [arn[m.end() :] for m in re.finditer("/", arn)] + [arn[m.start() :] for m in re.finditer(r"\*", named)]
