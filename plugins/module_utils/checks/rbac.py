# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Grants that reach further than they look, and grants that reach nothing.

Rules are read as the RBAC authorizer reads them: ``*`` in a list is everything, ``*/exec`` that subresource
of everything, and nothing else is a wildcard. What a declared role hands out is said once, of the role, with
everyone who gets it; a binding is judged by the effective rules of a role that is not declared here, and by
what only its place makes a risk.

Naming objects in ``resourceNames`` is a remedy, not a risk, wherever a request has a name to compare: list
and watch in the field selector ``metadata.name``, create in server-side apply alone, deletecollection never.

Sources: Kubernetes documentation, "Role Based Access Control Good Practices" and "Using RBAC Authorization";
CIS Kubernetes Benchmark 1.12, 5.1.1 to 5.1.13; kubernetes/kubernetes, pkg/apis/rbac/v1/evaluation_helpers.go.
That patch and deletecollection answer with content, and that namespaces/status and namespaces/finalize write
labels, is tried on an API server (tests/control_plane/test_rbac.py).
"""

from __future__ import annotations

import difflib
import functools
import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import api_resources
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest, ref_of

Rule = t.Mapping[str, t.Any]
Resolve = t.Callable[[str, str, str], t.Optional[t.Sequence[Rule]]]
_Words = t.FrozenSet[str]


def _words(text: str) -> _Words:
    return frozenset(text.split())


_ANY_NAME, _NO_NAME = ".*", "(?!)"
#: Users and groups that Kubernetes itself gives every right, or nearly; ``*`` stands for many groups at once.
_MIGHTY = r"\*|system:(masters|kube-.*|node.*)"


class Risk(t.NamedTuple):
    """A rule is this risk when it has the group, one of the resources and one of the verbs.

    :param local: those of the resources that a Role gives within its namespace although they have none.
    :param names: a rule narrowed by resourceNames still is the risk when one of them matches.
    """

    rule: str
    group: str
    resources: _Words
    verbs: _Words
    message: str
    remedy: str
    local: _Words = frozenset()
    names: str = _ANY_NAME

    def within_a_namespace(self) -> Risk:
        """With those resources alone that a Role can give."""
        known = api_resources.RESOURCES[self.group]
        given = (name for name in self.resources if name in self.local or known[name].namespaced)
        return self._replace(resources=frozenset(given))

    def with_wildcards(self) -> Risk:
        """With ``*/exec`` beside ``pods/exec``."""
        stars = (f"*/{name.partition('/')[2]}" for name in self.resources if "/" in name)
        return self._replace(resources=self.resources.union(stars))


_RBAC = "rbac.authorization.k8s.io"
_SECRETS = _words("secrets")
#: patch answers with the whole object, deletecollection with all of them, in a dry run too.
SHOWS_SECRETS = _words("get list watch patch deletecollection")
NAMESPACES = _words("namespaces namespaces/finalize namespaces/status")
_ENTER = (
    "enters running pods, with all that they may do",
    "Leave it out; give it for the time of a repair only",
)
_APPROVE = (
    "approves client certificates for any user name (CIS 5.1.11)",
    "Leave it out, or name signers of your own in resource_names",
)
_IMPERSONATE = (
    "acts as others (CIS 5.1.8)",
    "Name whom in resource_names, in a rule for each of users, groups and serviceaccounts",
)

RISKS: t.Tuple[Risk, ...] = (
    Risk(
        "rbac/escalate",
        _RBAC,
        _words("roles clusterroles"),
        _words("escalate"),
        "writes roles with more rights than its holder has (CIS 5.1.8)",
        "Leave the verb escalate out",
    ),
    Risk(
        "rbac/bind",
        _RBAC,
        _words("roles clusterroles"),
        _words("bind"),
        "hands out roles that its holder does not have (CIS 5.1.8)",
        "Name the roles in resource_names, cluster-admin not among them",
        local=_words("clusterroles"),
        names=r"cluster-admin|system:.*",
    ),
    Risk(
        "rbac/impersonate",
        "",
        _words("users groups serviceaccounts"),
        _words("impersonate"),
        *_IMPERSONATE,
        names=_MIGHTY,
    ),
    Risk(
        "rbac/impersonate",
        "authentication.k8s.io",
        _words("users groups serviceaccounts nodes"),
        _words("impersonate:user-info impersonate:serviceaccount impersonate:arbitrary-node"),
        *_IMPERSONATE,
        names=_MIGHTY,
    ),
    Risk(
        "rbac/secrets",
        "",
        _SECRETS,
        SHOWS_SECRETS,
        "reads every Secret in reach, tokens of service accounts among them (CIS 5.1.2)",
        "Name the Secrets in resource_names",
        names=_NO_NAME,
    ),
    Risk("rbac/exec", "", _words("pods/exec pods/attach pods/portforward"), _words("get create"), *_ENTER),
    Risk("rbac/exec", "", _words("pods/ephemeralcontainers"), _words("update patch"), *_ENTER),
    Risk(
        "rbac/nodes-proxy",
        "",
        _words("nodes/proxy"),
        _words("get create update patch delete"),
        "is the kubelet's own API: commands in every pod, past admission and audit (CIS 5.1.10)",
        "Name what is needed: nodes/metrics, nodes/stats, nodes/log, nodes/healthz, nodes/configz",
    ),
    Risk(
        "rbac/token-request",
        "",
        _words("serviceaccounts/token"),
        _words("create"),
        "makes tokens of service accounts, and so acts as them (CIS 5.1.13)",
        "Name the service accounts in resource_names",
        names=_NO_NAME,
    ),
    Risk(
        "rbac/csr-approval",
        "certificates.k8s.io",
        _words("certificatesigningrequests/approval"),
        _words("update patch"),
        *_APPROVE,
    ),
    Risk(
        "rbac/csr-approval",
        "certificates.k8s.io",
        _words("signers"),
        _words("approve"),
        *_APPROVE,
        names=r"kubernetes\.io/(\*|kube-apiserver-client.*|legacy-unknown)",
    ),
    Risk(
        "rbac/admission",
        "admissionregistration.k8s.io",
        _words(
            "mutatingadmissionpolicies mutatingadmissionpolicybindings mutatingwebhookconfigurations"
            " validatingadmissionpolicies validatingadmissionpolicybindings validatingwebhookconfigurations"
        ),
        _words("create update patch delete deletecollection"),
        "sees, changes or lets pass whatever is admitted (CIS 5.1.12)",
        "Leave only get, list and watch",
    ),
    Risk(
        "rbac/persistent-volumes",
        "",
        _words("persistentvolumes"),
        _words("create"),
        "makes hostPath volumes, and so reads and writes the nodes' files (CIS 5.1.9)",
        "Let claims and a storage class make volumes",
    ),
    Risk(
        "rbac/namespaces-patch",
        "",
        NAMESPACES,
        _words("update patch"),
        "changes labels of namespaces: Pod Security levels, and whom network policies let in",
        "Leave only get, list and watch",
        local=NAMESPACES,
    ),
)

_IN_THE_CLUSTER = tuple(risk.with_wildcards() for risk in RISKS)
_IN_A_NAMESPACE = tuple(
    risk.with_wildcards() for risk in (risk.within_a_namespace() for risk in RISKS) if risk.resources
)

_WORKLOADS = (
    ("", _words("pods replicationcontrollers")),
    ("apps", _words("daemonsets deployments replicasets statefulsets")),
    ("batch", _words("cronjobs jobs")),
)
_WRITE = _words("create update patch")


# -- one rule


def _has(wanted: _Words, given: t.Iterable[str]) -> bool:
    return not wanted.isdisjoint(given) or "*" in given


def _grants(rule: Rule, group: str, resources: _Words, verbs: _Words) -> bool:
    """Whether the authorizer would allow one of the verbs on one of the resources, under some name."""
    groups = rule.get("apiGroups") or ()
    return (
        (group in groups or "*" in groups)
        and _has(resources, rule.get("resources") or ())
        and _has(verbs, rule.get("verbs") or ())
    )


def _names(rule: Rule, pattern: str) -> bool:
    names = rule.get("resourceNames") or ()
    return not names or any(re.fullmatch(pattern, name) for name in names)


def is_everything(rule: Rule) -> bool:
    return not rule.get("resourceNames") and all(
        "*" in (rule.get(part) or ()) for part in ("apiGroups", "resources", "verbs")
    )


def _wildcards(rule: Rule) -> t.List[str]:
    """The options of a rule in which a wildcard stands."""
    options = (
        ("api_groups", "apiGroups", "[*]"),
        ("resources", "resources", r"\*(/.+)?"),
        ("verbs", "verbs", "[*]"),
        ("non_resource_urls", "nonResourceURLs", "/?[*]"),
    )
    return [
        option for option, part, pattern in options if any(re.fullmatch(pattern, text) for text in rule.get(part) or ())
    ]


def quoted(rule: Rule) -> str:
    what = [*(rule.get("resources") or ()), *(rule.get("nonResourceURLs") or ())]
    return f"{','.join(rule.get('verbs') or ())} {','.join(what)}"


def no_effect(rule: Rule, cluster: bool) -> t.Iterator[t.Tuple[str, str]]:
    """What in a rule grants nothing, as (reason, remedy).

    :param cluster: the rule is a ClusterRole's.
    """
    if rule.get("nonResourceURLs"):
        return
    resources, verbs = rule.get("resources") or (), rule.get("verbs") or ()
    for text in (*resources, *verbs, *(rule.get("apiGroups") or ())):
        if "*" in text.lstrip("*") or (text.startswith("*") and text != "*" and not text.startswith("*/")):
            yield f"{text} matches nothing; wildcards are * and */subresource", "Name what is needed"
    unnamed = " and ".join(verb for verb in ("create", "deletecollection") if verb in verbs)
    if rule.get("resourceNames") and unnamed and not any("/" in resource for resource in resources):
        reason = f"{unnamed} with resource_names: these requests carry no name, server-side apply aside"
        yield reason, f"Put {unnamed} into a rule without resource_names, or leave it out"
    yield from _unknown(rule, cluster)


def _unknown(rule: Rule, cluster: bool) -> t.Iterator[t.Tuple[str, str]]:
    """Resources and verbs that Kubernetes does not have, where every group is one of its own."""
    groups = rule.get("apiGroups") or ()
    if not all(group in api_resources.RESOURCES for group in groups):
        return
    meant = {resource: _meant(resource, groups) for resource in rule.get("resources") or ()}
    every = [known for resource in meant.values() for known in resource]
    verbs = [verb for verb in rule.get("verbs") or () if verb == "*" or "*" not in verb]
    useful = [verb for verb in verbs if not every or _asked(verb, every)]
    for verb in verbs:
        if verb not in useful:
            yield f"nobody asks for the verb {verb} there", _meant_verb(verb, every)
    for resource, known in meant.items():
        if not known:
            near = api_resources.nearest(resource)
            reason = f"there is no {resource} in API group {' and '.join(group or 'core' for group in groups)}"
            yield reason, f"Write {near}" if near else "Correct its name"
        elif useful and not any(_asked(verb, known) for verb in useful):
            yield f"nobody asks for {', '.join(useful)} on {resource}", f"Its verbs are {_verbs(known)}"
        elif not cluster and not _in_reach(resource, known, useful):
            yield f"{resource} has no namespace, and a Role gives nothing outside of its own", "Use a cluster role"


def _meant(resource: str, groups: t.Iterable[str]) -> t.List[api_resources.Resource]:
    """What a resource of a rule is in those of its groups that have it."""
    if "*" in resource:
        return [known for group in groups for known in api_resources.RESOURCES[group].values()]
    found = (api_resources.find(group, resource) for group in groups)
    return [known for known in found if known]


def _asked(verb: str, resources: t.Iterable[api_resources.Resource]) -> bool:
    return any(api_resources.is_asked(verb, resource.verbs) for resource in resources)


def _verbs(resources: t.Iterable[api_resources.Resource]) -> str:
    return ", ".join(sorted({verb for resource in resources for verb in resource.verbs}))


def _meant_verb(verb: str, resources: t.Iterable[api_resources.Resource]) -> str:
    verbs = _verbs(resources)
    near = difflib.get_close_matches(verb.lower(), verbs.split(", "), 1, 0.7)
    return f"Write {near[0]}" if near else f"The verbs are {verbs}"


def _in_reach(resource: str, known: t.Iterable[api_resources.Resource], verbs: t.Iterable[str]) -> bool:
    """Whether a Role can give it; a request for a namespace is one within it, and a binding too."""
    return (
        any(entry.namespaced for entry in known)
        or resource in NAMESPACES
        or (resource == "clusterroles" and _has(_words("bind"), verbs))
    )


# -- the rules of a role


class Reach(t.NamedTuple):
    """One risk in a list of rules, and which of them it comes from."""

    rule: str
    message: str
    remedy: str
    indexes: t.Tuple[int, ...]
    refuse: bool = True


def reaches(rules: t.Sequence[Rule], cluster: bool) -> t.List[Reach]:
    """The risks in a list of rules, each once, wherever they are bound.

    :param cluster: they can be bound in the whole cluster; what has no namespace is out of reach otherwise.
    """
    found: t.Dict[t.Tuple[str, str, str], t.List[int]] = {}
    for index, rule in enumerate(rules):
        for risk in _of_rule(rule, cluster):
            indexes = found.setdefault(risk, [])
            if index not in indexes:
                indexes.append(index)
    reached = [Reach(*risk, tuple(indexes)) for risk, indexes in found.items()]
    return reached + _minting(rules)


def _of_rule(rule: Rule, cluster: bool) -> t.Iterator[t.Tuple[str, str, str]]:
    """Rule, message and remedy of each risk in one rule."""
    if is_everything(rule):
        yield "rbac/wildcard", "every right there is and will be (CIS 5.1.1, 5.1.3)", "Name what is needed"
        return
    wildcards = _wildcards(rule)
    if wildcards:
        message = f"* in {' and '.join(wildcards)} grants what does not exist yet, too (CIS 5.1.3)"
        yield "rbac/wildcard", message, "Name what is needed"
    for risk in _IN_THE_CLUSTER if cluster else _IN_A_NAMESPACE:
        if _grants(rule, risk.group, risk.resources, risk.verbs) and _names(rule, risk.names):
            yield risk.rule, risk.message, risk.remedy


def _minting(rules: t.Sequence[Rule]) -> t.List[Reach]:
    """Who creates Secrets and reads one of them can have a token of any service account of the namespace."""
    readable = [index for index, rule in enumerate(rules) if _grants(rule, "", _SECRETS, SHOWS_SECRETS)]
    made = [
        index
        for index, rule in enumerate(rules)
        if _grants(rule, "", _SECRETS, _words("create"))
        and (not rule.get("resourceNames") or _has(_words("patch update"), rule.get("verbs") or ()))
    ]
    if not made or not readable or any(not rules[index].get("resourceNames") for index in readable):
        return []  # who reads all Secrets is told that
    message = "creates and reads a Secret of type kubernetes.io/service-account-token, and so acts as that account"
    remedy = "Make the Secret another way, and leave create out"
    return [Reach("rbac/token-request", message, remedy, tuple(sorted({*made, *readable})), refuse=False)]


def starts_pods(rules: t.Sequence[Rule]) -> t.Tuple[int, ...]:
    """The rules that start pods, directly or through a workload; not those that grant everything anyway."""
    return tuple(
        index
        for index, rule in enumerate(rules)
        if not is_everything(rule) and any(_grants(rule, group, resources, _WRITE) for group, resources in _WORKLOADS)
    )


# -- roles and bindings

_CLUSTER_ADMIN = Ref("ClusterRole", "", "cluster-admin")
#: What matters of the user-facing roles where no cluster can be asked (plugin/pkg/auth/authorizer/rbac/
#: bootstrappolicy of kubernetes/kubernetes): edit, and so admin, which adds roles and bindings to it.
EDIT: t.Tuple[Rule, ...] = (
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]},
    {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]},
    {
        "apiGroups": [""],
        "resources": ["pods", "pods/attach", "pods/exec", "pods/portforward"],
        "verbs": ["create"],
    },
)
_USER_FACING: t.Mapping[Ref, t.Sequence[Rule]] = {
    Ref("ClusterRole", "", "view"): (),
    Ref("ClusterRole", "", "edit"): EDIT,
    Ref("ClusterRole", "", "admin"): EDIT,
}
_BROAD = {
    ("Group", "system:authenticated"): "everybody with any credential at all, every service account too",
    ("Group", "system:serviceaccounts"): "every service account of the cluster",
    ("Group", "system:unauthenticated"): "anybody who reaches the API server",
    ("User", "system:anonymous"): "anybody who reaches the API server",
}


def risks(objects: t.Sequence[Manifest], resolve: Resolve, privileged_namespaces: t.Collection[str]) -> t.List[Finding]:
    """The findings on declared roles and bindings.

    :param resolve: (kind, namespace, name) of a role -> its effective rules, or None where it is not known.
    :param privileged_namespaces: those whose pods may do anything to their node, ``kube-system`` among them.
    """
    judge = _Judge(objects, resolve, privileged_namespaces)
    return [
        *(finding for ref in judge.roles for finding in judge.role(ref)),
        *(finding for binding in judge.bindings for finding in judge.binding(binding)),
    ]


class _Effective(t.NamedTuple):
    """What a role amounts to that is not declared here.

    :param pods: the rules that start pods.
    """

    rules: t.Sequence[Rule]
    reaches: t.Sequence[Reach]
    pods: t.Tuple[int, ...]


class _Judge:
    def __init__(self, objects: t.Sequence[Manifest], resolve: Resolve, privileged: t.Collection[str]) -> None:
        self.resolve, self.privileged = resolve, privileged
        # a hundred tenants bind the same few
        self.effective = functools.lru_cache(maxsize=None)(self._effective)
        self.roles = {ref_of(item): item for item in objects if item["kind"] in ("Role", "ClusterRole")}
        self.bindings = [item for item in objects if item["kind"] in ("RoleBinding", "ClusterRoleBinding")]
        self.bound: t.Dict[Ref, t.List[str]] = {}
        for binding in self.bindings:
            self.bound.setdefault(_role_of(binding), []).extend(_subjects(binding))
        #: cluster roles that are added up from others, and the labels that choose these
        self.aggregates = [
            *((ref, {f"{_RBAC}/aggregate-to-{ref.name}": "true"}) for ref in _USER_FACING),
            *((ref, labels) for ref, role in self.roles.items() for labels in _selectors(role)),
        ]

    def role(self, ref: Ref) -> t.Iterator[Finding]:
        """What a declared role hands out, and to whom."""
        role, cluster = self.roles[ref], ref.kind == "ClusterRole"
        rules = role.get("rules") or ()
        if "aggregationRule" in role:
            declared = self._added_up(ref)
            rules = [{} if rule in declared else rule for rule in self.resolve(*ref) or ()]
        holders = self._holders(ref)
        for reach in reaches(rules, cluster):
            yield _finding(ref, reach, rules, holders)
        if ref.namespace in self.privileged:
            yield from self._pods(ref, rules, starts_pods(rules), holders)
        for index, rule in enumerate(role.get("rules") or ()):
            for reason, remedy in no_effect(rule, cluster):
                yield Finding("rbac/no-effect", ref, f"rules[{index}] ({quoted(rule)}): {reason}", remedy)

    def binding(self, binding: Manifest) -> t.Iterator[Finding]:
        """Whom a binding reaches, and with what; of a declared role only what its place adds."""
        ref, role, subjects = ref_of(binding), _role_of(binding), _subjects(binding)
        yield from _broad(ref, binding.get("subjects") or ())
        if role == _CLUSTER_ADMIN:
            reach = f"in namespace {ref.namespace}" if ref.namespace else "over the whole cluster"
            message = f"cluster-admin is every right {reach} (CIS 5.1.1)"
            remedy = "Bind a role with what is needed"
            yield Finding("rbac/cluster-admin", ref, message, remedy, subjects, refuse=True)
        elif role in self.roles:
            rules = [*(self.roles[role].get("rules") or ()), *self._added_up(role)]
            if role.kind == "ClusterRole":
                yield from self._pods(ref, rules, starts_pods(rules), subjects, f"through {role}, ")
        else:
            yield from self._elsewhere(ref, role, subjects)

    def _effective(self, role: Ref, cluster: bool) -> t.Optional[_Effective]:
        rules = self.resolve(*role)
        if rules is None:
            rules = _USER_FACING.get(role)
        return None if rules is None else _Effective(rules, reaches(rules, cluster), starts_pods(rules))

    def _elsewhere(self, ref: Ref, role: Ref, subjects: t.Tuple[str, ...]) -> t.Iterator[Finding]:
        """What a role gives that is not declared here, by a binding that is."""
        known, through = self.effective(role, not ref.namespace), f"through {role}, "
        if known is None:
            message = f"{role} is not declared here, nor known to be there; without it nothing is given"
            yield Finding("rbac/role-missing", ref, message, "Correct its name, or declare it", subjects)
            return
        if role in _USER_FACING:
            yield from _user_facing(ref, role, known.reaches, subjects)
        else:
            for reach in known.reaches:
                yield _finding(ref, reach, known.rules, subjects, through)
        if ref.namespace or role not in _USER_FACING:
            yield from self._pods(ref, known.rules, known.pods, subjects, through)

    def _pods(
        self,
        ref: Ref,
        rules: t.Sequence[Rule],
        indexes: t.Tuple[int, ...],
        subjects: t.Sequence[str],
        through: str = "",
    ) -> t.Iterator[Finding]:
        """Starting pods, where these may do anything to their node."""
        if indexes and (not ref.namespace or ref.namespace in self.privileged):
            place = f"namespace {ref.namespace}" if ref.namespace else "every namespace, kube-system too"
            message = f"starts pods in {place}, where they may do anything to their node (CIS 5.1.4)"
            remedy = "Give it in namespaces at Pod Security level baseline or restricted alone"
            reach = Reach("rbac/workloads-in-privileged-namespace", message, remedy, indexes)
            yield _finding(ref, reach, rules, subjects, through)

    def _added_up(self, ref: Ref) -> t.List[Rule]:
        """The rules that declared cluster roles add to this one."""
        return [
            rule
            for aggregate, labels in self.aggregates
            if aggregate == ref
            for role in self.roles.values()
            if labels.items() <= _labels(role).items()
            for rule in role.get("rules") or ()
        ]

    def _holders(self, ref: Ref) -> t.List[str]:
        """Who is bound to a declared role, or to one that it is added to."""
        holders = list(self.bound.get(ref, ()))
        for aggregate, labels in self.aggregates:
            if ref.kind == "ClusterRole" and labels.items() <= _labels(self.roles[ref]).items():
                holders += [f"everyone with {aggregate}", *self.bound.get(aggregate, ())]
        return holders


def _labels(role: Manifest) -> t.Mapping[str, str]:
    return role["metadata"].get("labels") or {}


def _selectors(role: Manifest) -> t.Iterator[t.Mapping[str, str]]:
    for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
        yield selector["matchLabels"]


def _role_of(binding: Manifest) -> Ref:
    reference = binding["roleRef"]
    namespace = binding["metadata"].get("namespace", "") if reference["kind"] == "Role" else ""
    return Ref(reference["kind"], namespace, reference["name"])


def _subject(subject: t.Mapping[str, t.Any]) -> str:
    name = f"{subject['namespace']}/{subject['name']}" if subject.get("namespace") else subject["name"]
    return f"{subject['kind']} {name}"


def _subjects(binding: Manifest) -> t.Tuple[str, ...]:
    return tuple(map(_subject, binding.get("subjects") or ()))


def _finding(ref: Ref, reach: Reach, rules: t.Sequence[Rule], subjects: t.Iterable[str], through: str = "") -> Finding:
    where = ", ".join(f"rules[{index}] ({quoted(rules[index])})" for index in reach.indexes)
    affected = tuple(sorted(set(subjects)))
    return Finding(reach.rule, ref, f"{through}{where}: {reach.message}", reach.remedy, affected, refuse=reach.refuse)


def _user_facing(ref: Ref, role: Ref, reached: t.Sequence[Reach], subjects: t.Tuple[str, ...]) -> t.Iterator[Finding]:
    """view, edit and admin were asked for by name: in one namespace that is told, not refused."""
    if reached:
        place = f"in namespace {ref.namespace}" if ref.namespace else "in every namespace"
        message = f"{role.name} {place}: {'; '.join(dict.fromkeys(reach.message for reach in reached))}"
        remedy = "Bind view, or a role with what is needed" if ref.namespace else "Bind it in single namespaces"
        yield Finding("rbac/user-facing", ref, message, remedy, subjects, refuse=not ref.namespace)


def _broad(ref: Ref, subjects: t.Iterable[t.Mapping[str, t.Any]]) -> t.Iterator[Finding]:
    """Subjects that are far more than they look."""
    for subject in subjects:
        kind, name, text = subject["kind"], subject["name"], (_subject(subject),)
        if (kind, name) == ("Group", "system:masters"):
            message = "system:masters passes every check already, and no binding takes that away (CIS 5.1.7)"
            yield Finding("rbac/system-masters", ref, message, "Bind a group of your own", text, refuse=True)
        elif (kind, name) in _BROAD:
            message, remedy = f"{name} is {_BROAD[kind, name]}", "Name the users, groups or service accounts"
            yield Finding("rbac/broad-group", ref, message, remedy, text, refuse=True)
        elif (kind, name) == ("ServiceAccount", "default"):
            message = "every pod that names no service account gets what default gets (CIS 5.1.5)"
            yield Finding("rbac/default-account", ref, message, "Bind a service account of its own", text)
