# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Grants that reach further than they look.

Sources: Kubernetes documentation, "Role Based Access Control Good Practices" (privilege escalation risks); CIS
Kubernetes Benchmark 1.12, 5.1.1 to 5.1.13. A role is judged by its rules, a binding by the effective rules of the
role that it hands out; what a declared role does is said once, of the role, with those who are bound to it.
"""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest, ref_of

Rule = t.Mapping[str, t.Any]
Resolve = t.Callable[[str, str, str], t.Optional[t.Sequence[Rule]]]

_READ = frozenset(["get", "list", "watch"])
_WRITE = frozenset(["create", "update", "patch"])
_CHANGE = _WRITE | {"delete", "deletecollection"}
_RBAC = frozenset(["rbac.authorization.k8s.io"])
_ROLES = frozenset(["roles", "clusterroles"])
_CORE = frozenset([""])
_USER_FACING = ("view", "edit", "admin")


class Risk(t.NamedTuple):
    """A combination that is a risk when one rule has a group, a resource and a verb of each set.

    :param named: still a risk when the rule is narrowed by resourceNames.
    """

    rule: str
    groups: t.FrozenSet[str]
    resources: t.FrozenSet[str]
    verbs: t.FrozenSet[str]
    message: str
    remedy: str
    named: bool = True


_WORKLOADS = (
    (_CORE, frozenset(["pods", "replicationcontrollers"])),
    (frozenset(["apps"]), frozenset(["deployments", "statefulsets", "daemonsets", "replicasets"])),
    (frozenset(["batch"]), frozenset(["jobs", "cronjobs"])),
)

RISKS: t.Tuple[Risk, ...] = (
    Risk(
        "rbac/escalate",
        _RBAC,
        _ROLES,
        frozenset(["escalate"]),
        "escalate writes roles with more rights than its holder has (CIS 5.1.8)",
        "Remove the verb escalate",
    ),
    Risk(
        "rbac/bind",
        _RBAC,
        _ROLES,
        frozenset(["bind"]),
        "bind hands out roles that its holder does not have (CIS 5.1.8)",
        "Remove the verb bind, or name the roles in resource_names",
        named=False,
    ),
    Risk(
        "rbac/impersonate",
        frozenset(["", "authentication.k8s.io"]),
        frozenset(["users", "groups", "serviceaccounts", "uids", "userextras"]),
        frozenset(["impersonate"]),
        "impersonate acts as somebody else (CIS 5.1.8)",
        "Remove the verb impersonate, or name whom in resource_names",
        named=False,
    ),
    Risk(
        "rbac/secrets",
        _CORE,
        frozenset(["secrets"]),
        _READ,
        "reads every Secret in reach, service account tokens among them (CIS 5.1.2)",
        "Name the Secrets in resource_names and leave only get",
        named=False,
    ),
    Risk(
        "rbac/secrets",
        _CORE,
        frozenset(["secrets"]),
        frozenset(["list", "watch"]),
        "list and watch show the content of Secrets, whatever their names are (CIS 5.1.2)",
        "Leave only get on named Secrets",
    ),
    Risk(
        "rbac/exec",
        _CORE,
        frozenset(["pods/exec", "pods/attach", "pods/ephemeralcontainers", "pods/portforward"]),
        frozenset(["get", "create", "update", "patch"]),
        "enters running pods, with all that they may do",
        "Remove these subresources; give them for the time of a repair only",
    ),
    Risk(
        "rbac/nodes-proxy",
        _CORE,
        frozenset(["nodes/proxy"]),
        frozenset(["get", "create", "update", "patch", "delete"]),
        "nodes/proxy is the kubelet's API: commands in every pod, past admission and audit (CIS 5.1.10)",
        "Use nodes/metrics, nodes/stats or nodes/log instead",
    ),
    Risk(
        "rbac/token-request",
        _CORE,
        frozenset(["serviceaccounts/token"]),
        frozenset(["create"]),
        "makes tokens of service accounts, and so acts as them (CIS 5.1.13)",
        "Remove it, or name the service accounts in resource_names",
        named=False,
    ),
    Risk(
        "rbac/csr-approval",
        frozenset(["certificates.k8s.io"]),
        frozenset(["certificatesigningrequests/approval", "signers"]),
        frozenset(["update", "patch", "approve", "sign"]),
        "approves client certificates, for any user name (CIS 5.1.11)",
        "Remove it; approval belongs to the controller",
    ),
    Risk(
        "rbac/admission",
        frozenset(["admissionregistration.k8s.io"]),
        frozenset(
            [
                "mutatingwebhookconfigurations",
                "validatingwebhookconfigurations",
                "validatingadmissionpolicies",
                "validatingadmissionpolicybindings",
                "mutatingadmissionpolicies",
                "mutatingadmissionpolicybindings",
            ]
        ),
        _CHANGE,
        "sees, changes or refuses every object that is admitted (CIS 5.1.12)",
        "Leave only get, list and watch",
    ),
    Risk(
        "rbac/persistent-volumes",
        _CORE,
        frozenset(["persistentvolumes"]),
        frozenset(["create"]),
        "makes hostPath volumes, and so reads and writes the nodes' files (CIS 5.1.9)",
        "Let claims and a storage class make volumes",
    ),
    Risk(
        "rbac/namespaces-patch",
        _CORE,
        frozenset(["namespaces"]),
        frozenset(["update", "patch"]),
        "changes the labels of namespaces, Pod Security levels among them",
        "Leave only get, list and watch",
    ),
)


def _matches(wanted: t.FrozenSet[str], given: t.Sequence[str]) -> bool:
    return "*" in given or not wanted.isdisjoint(given)


def _matches_resource(wanted: t.FrozenSet[str], given: t.Sequence[str]) -> bool:
    """As the API server's authorizer: ``*`` is everything, ``*/sub`` that subresource of anything."""
    if _matches(wanted, given):
        return True
    return any(f"*/{resource.partition('/')[2]}" in given for resource in wanted if "/" in resource)


def _is_everything(rule: Rule) -> bool:
    return "*" in (rule.get("resources") or ()) and "*" in (rule.get("verbs") or ())


def _wildcards(rule: Rule) -> t.List[str]:
    return [
        option
        for option, field in (("api_groups", "apiGroups"), ("resources", "resources"), ("verbs", "verbs"))
        if "*" in (rule.get(field) or ())
    ] + (["non_resource_urls"] if "*" in (rule.get("nonResourceURLs") or ()) else [])


class Reach(t.NamedTuple):
    """One risk found in a list of rules, and which of the rules it comes from."""

    rule: str
    message: str
    remedy: str
    indexes: t.Tuple[int, ...]


def reaches(rules: t.Sequence[Rule], privileged: bool = False, cluster: bool = True) -> t.List[Reach]:
    """The risks in a list of rules, each once.

    :param privileged: the rules hold in a namespace whose pods may do anything to their node.
    :param cluster: the rules are bound cluster-wide; cluster-scoped resources are out of reach otherwise.
    """
    found: t.Dict[t.Tuple[str, str, str], t.List[int]] = {}

    def add(risk: str, message: str, remedy: str, index: int) -> None:
        found.setdefault((risk, message, remedy), []).append(index)

    for index, rule in enumerate(rules):
        wildcards = _wildcards(rule)
        if wildcards:
            add(
                "rbac/wildcard",
                f"* in {' and '.join(wildcards)} grants what does not exist yet, too (CIS 5.1.3)",
                "Name what is needed",
                index,
            )
        if _is_everything(rule):
            continue  # every other risk is in it
        for risk in RISKS:
            if _has(rule, risk) and (cluster or risk.rule not in _CLUSTER_ONLY):
                if not any(key[0] == risk.rule and index in where for key, where in found.items()):
                    add(risk.rule, risk.message, risk.remedy, index)
        if privileged and _writes_workloads(rule):
            add(
                "rbac/workloads-in-privileged-namespace",
                "starts pods where they may do anything to their node (CIS 5.1.4)",
                "Give the workloads a namespace of their own at level baseline or restricted",
                index,
            )
    return [Reach(*key, tuple(indexes)) for key, indexes in found.items()]


#: Cluster-scoped: a RoleBinding cannot give them.
_CLUSTER_ONLY = frozenset(
    ["rbac/nodes-proxy", "rbac/csr-approval", "rbac/admission", "rbac/persistent-volumes"]
)


def _has(rule: Rule, risk: Risk) -> bool:
    return (
        (risk.named or not rule.get("resourceNames"))
        and _matches(risk.groups, rule.get("apiGroups") or ())
        and _matches_resource(risk.resources, rule.get("resources") or ())
        and _matches(risk.verbs, rule.get("verbs") or ())
    )


def _writes_workloads(rule: Rule) -> bool:
    return _matches(_WRITE, rule.get("verbs") or ()) and any(
        _matches(groups, rule.get("apiGroups") or ()) and _matches(resources, rule.get("resources") or ())
        for groups, resources in _WORKLOADS
    )


def subject_text(subject: t.Mapping[str, t.Any]) -> str:
    name = f"{subject['namespace']}/{subject['name']}" if subject.get("namespace") else subject["name"]
    return f"{subject['kind']} {name}"


def risks(objects: t.Sequence[Manifest], resolve: Resolve, privileged_namespaces: t.Collection[str]) -> t.List[Finding]:
    """The findings on declared roles and bindings.

    :param resolve: (kind, namespace, name) of a role -> its effective rules, or None where it is not known.
    """
    roles = [manifest for manifest in objects if manifest["kind"] in ("Role", "ClusterRole")]
    bindings = [manifest for manifest in objects if manifest["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    declared = {ref_of(role) for role in roles}
    holders: t.Dict[Ref, t.List[str]] = {}
    for binding in bindings:
        holders.setdefault(_role_of(binding), []).extend(subject_text(s) for s in binding.get("subjects") or ())
    findings: t.List[Finding] = []
    for role in roles:
        ref = ref_of(role)
        found = reaches(role.get("rules") or (), ref.namespace in privileged_namespaces, role["kind"] == "ClusterRole")
        findings += [_of_role(ref, reach, holders.get(ref, [])) for reach in found]
    for binding in bindings:
        findings += _subjects(binding)
        role_ref = _role_of(binding)
        if role_ref not in declared:
            findings += _of_binding(binding, role_ref, resolve(*role_ref), privileged_namespaces)
    return findings


def _role_of(binding: Manifest) -> Ref:
    reference = binding["roleRef"]
    namespace = binding["metadata"].get("namespace", "") if reference["kind"] == "Role" else ""
    return Ref(reference["kind"], namespace, reference["name"])


def _of_role(ref: Ref, reach: Reach, holders: t.Sequence[str]) -> Finding:
    where = ", ".join(f"rules[{index}]" for index in reach.indexes)
    return Finding(reach.rule, ref, f"{where}: {reach.message}", reach.remedy, tuple(sorted(set(holders))), refuse=True)


def _subjects(binding: Manifest) -> t.Iterator[Finding]:
    """Subjects that are far more than they look."""
    broad = {"system:authenticated", "system:unauthenticated", "system:serviceaccounts"}
    for subject in binding.get("subjects") or ():
        name = subject["name"]
        if name == "system:masters":
            yield Finding(
                "rbac/system-masters",
                ref_of(binding),
                "system:masters passes every check already and cannot be taken away again (CIS 5.1.7)",
                "Bind a group of your own",
                refuse=True,
            )
        elif (subject["kind"] == "Group" and name in broad) or name == "system:anonymous":
            yield Finding(
                "rbac/broad-group",
                ref_of(binding),
                f"{name} is everybody who reaches the API server in this way",
                "Name the users, groups or service accounts that need it",
                (subject_text(subject),),
                refuse=True,
            )


def _of_binding(
    binding: Manifest, role: Ref, rules: t.Optional[t.Sequence[Rule]], privileged_namespaces: t.Collection[str]
) -> t.Iterator[Finding]:
    ref = ref_of(binding)
    subjects = tuple(subject_text(subject) for subject in binding.get("subjects") or ())
    cluster = binding["kind"] == "ClusterRoleBinding"
    if role == Ref("ClusterRole", "", "cluster-admin"):
        reach = "the whole cluster" if cluster else f"namespace {ref.namespace}, its roles and quotas included"
        yield Finding(
            "rbac/cluster-admin",
            ref,
            f"cluster-admin is every right over {reach} (CIS 5.1.1)",
            "Bind a role with the rights that are needed",
            subjects,
            refuse=True,
        )
        return
    if rules is None:
        yield Finding(
            "rbac/role-missing",
            ref,
            f"{role} is neither declared nor in the cluster; the binding gives nothing until it is",
            "Declare the role, or correct its name",
            subjects,
        )
        return
    # the built-in roles were asked for by name; in one namespace that is told, not refused
    asked_for = role.name in _USER_FACING and role.kind == "ClusterRole" and not cluster
    for reach in reaches(rules, ref.namespace in privileged_namespaces, cluster):
        refuse = not asked_for or reach.rule == "rbac/workloads-in-privileged-namespace"
        yield Finding(reach.rule, ref, f"through {role}: {reach.message}", reach.remedy, subjects, refuse=refuse)
