# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds that this collection writes: their paths, and what the API server makes of their fields.

Fixed on purpose: no discovery request is ever sent. List types, defaults and immutable fields are those of
the API's own types (``listType`` and ``SetDefaults_*`` in k8s.io/api and k8s.io/kubernetes, 1.30 to 1.37).
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest, kind_of
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.network_providers import (
    CALICO_VERSION,
    CILIUM_VERSION,
)

#: Waves of writing: what others need first; rights and denials only once what they refer to is there.
FIRST, MIDDLE, LAST = 0, 1, 2

RBAC_GROUP = "rbac.authorization.k8s.io"
POLICY_VERSION, OLD_POLICY_VERSION = "policy.networking.k8s.io/v1alpha2", "policy.networking.k8s.io/v1alpha1"


def _no_defaults(_manifest: Manifest) -> None:
    """The server fills in nothing."""


@dataclass(frozen=True)
class Kind:
    """One kind of object.

    :param sets: paths of lists whose order means nothing; ``[]`` stands for each element of a list.
    :param keyed: lists that the server merges by a key (``listType=map``): path to key fields.
    :param quantities: paths of maps whose values are quantities.
    :param durations: paths of values that are Go durations.
    :param immutable: fields that only a new object can change.
    :param core: fields without which the rest of an object means nothing, or something else.
    :param fill: writes the server's defaults into a manifest, in place.
    """

    api_version: str
    name: str
    plural: str
    namespaced: bool = True
    wave: int = MIDDLE
    sets: t.FrozenSet[str] = frozenset()
    keyed: t.Mapping[str, t.Tuple[str, ...]] = field(default_factory=dict)
    quantities: t.FrozenSet[str] = frozenset()
    durations: t.FrozenSet[str] = frozenset()
    immutable: t.Tuple[str, ...] = ()
    core: t.Tuple[str, ...] = ()
    fill: t.Callable[[Manifest], None] = _no_defaults

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def key(self) -> str:
        """As :class:`Ref` names it: with the group where Kubernetes itself has a kind of this name."""
        return kind_of({"apiVersion": self.api_version, "kind": self.name})

    @property
    def extension(self) -> bool:
        """Whether a cluster serves it only where somebody installed it."""
        return self.api_version in (CALICO_VERSION, CILIUM_VERSION, POLICY_VERSION, OLD_POLICY_VERSION)

    @property
    def resource(self) -> str:
        """As RBAC rules and error messages name it, such as ``roles.rbac.authorization.k8s.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "") -> str:
        """The collection's path, or one object's; without a namespace that of all namespaces."""
        prefix = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        if self.namespaced and namespace:
            prefix += f"/namespaces/{namespace}"
        return f"{prefix}/{self.plural}/{name}" if name else f"{prefix}/{self.plural}"


def _fill_service_account(manifest: Manifest) -> None:
    manifest.setdefault("automountServiceAccountToken", True)  # what leaving it open means


def _fill_subjects(manifest: Manifest) -> None:
    for subject in manifest.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", RBAC_GROUP)
    manifest.get("roleRef", {}).setdefault("apiGroup", RBAC_GROUP)


def _fill_network_policy(manifest: Manifest) -> None:
    spec = manifest.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for rule in [*(spec.get("ingress") or ()), *(spec.get("egress") or ())]:
        for port in rule.get("ports") or ():
            port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _fill_limit_range(manifest: Manifest) -> None:
    for limit in manifest.get("spec", {}).get("limits") or ():
        if limit.get("type") != "Container":
            continue
        default = {**limit.get("max", {}), **limit.get("default", {})}
        request = {**limit.get("min", {}), **default, **limit.get("defaultRequest", {})}
        if default:
            limit["default"] = default
        if request:
            limit["defaultRequest"] = request


def _fill_admission(manifest: Manifest) -> None:
    for part in ("matchConstraints", "matchResources"):
        matched = manifest.get("spec", {}).get(part)
        if matched is not None:
            matched.setdefault("matchPolicy", "Equivalent")
            matched.setdefault("namespaceSelector", {})
            matched.setdefault("objectSelector", {})


_TEMPLATE = "spec.template.spec"
_CONTAINER = f"{_TEMPLATE}.containers[]"

_RULE_SETS = frozenset(
    ["rules"] + [f"rules[].{part}" for part in ("apiGroups", "resources", "resourceNames", "verbs", "nonResourceURLs")]
)
_AGGREGATION_SETS = frozenset(["aggregationRule.clusterRoleSelectors"])
_NETWORK_SETS = frozenset(
    ["spec.policyTypes", "spec.podSelector.matchExpressions", "spec.podSelector.matchExpressions[].values"]
    + [
        path
        for direction, peers in (("spec.ingress", "from"), ("spec.egress", "to"))
        for path in (
            direction,
            f"{direction}[].ports",
            f"{direction}[].{peers}",
            f"{direction}[].{peers}[].ipBlock.except",
            f"{direction}[].{peers}[].podSelector.matchExpressions",
            f"{direction}[].{peers}[].podSelector.matchExpressions[].values",
            f"{direction}[].{peers}[].namespaceSelector.matchExpressions",
            f"{direction}[].{peers}[].namespaceSelector.matchExpressions[].values",
        )
    ]
)
_LIMITS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")

_RBAC = f"{RBAC_GROUP}/v1"


def _admission(name: str, plural: str, wave: int, core: str) -> Kind:
    """One of the kinds of admission policies; variables, named and in an order of their own, are compared as they are."""
    return Kind(
        "admissionregistration.k8s.io/v1",
        name,
        plural,
        namespaced=False,
        wave=wave,
        core=(core,),
        fill=_fill_admission,
    )


KINDS: t.Dict[str, Kind] = {
    kind.key: kind
    for kind in (
        Kind("v1", "Namespace", "namespaces", namespaced=False, wave=FIRST),
        Kind(
            "v1",
            "ServiceAccount",
            "serviceaccounts",
            keyed={"imagePullSecrets": ("name",), "secrets": ("name",)},
            fill=_fill_service_account,
        ),
        Kind(
            "v1",
            "ResourceQuota",
            "resourcequotas",
            sets=frozenset(["spec.scopes", "spec.scopeSelector.matchExpressions"]),
            quantities=frozenset(["spec.hard"]),
            core=("spec.hard",),
        ),
        Kind(
            "v1",
            "LimitRange",
            "limitranges",
            sets=frozenset(["spec.limits"]),
            quantities=frozenset(f"spec.limits[].{part}" for part in _LIMITS),
            core=("spec.limits",),
            fill=_fill_limit_range,
        ),
        Kind(_RBAC, "Role", "roles", sets=_RULE_SETS, core=("rules",)),
        Kind(
            _RBAC,
            "ClusterRole",
            "clusterroles",
            namespaced=False,
            sets=_RULE_SETS | _AGGREGATION_SETS,
            core=("rules",),
        ),
        Kind(
            _RBAC,
            "RoleBinding",
            "rolebindings",
            wave=LAST,
            sets=frozenset(["subjects"]),
            immutable=("roleRef",),
            core=("roleRef",),
            fill=_fill_subjects,
        ),
        Kind(
            _RBAC,
            "ClusterRoleBinding",
            "clusterrolebindings",
            namespaced=False,
            wave=LAST,
            sets=frozenset(["subjects"]),
            immutable=("roleRef",),
            core=("roleRef",),
            fill=_fill_subjects,
        ),
        Kind(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            "networkpolicies",
            sets=_NETWORK_SETS,
            core=("spec.podSelector",),
            fill=_fill_network_policy,
        ),
        Kind(POLICY_VERSION, "ClusterNetworkPolicy", "clusternetworkpolicies", namespaced=False),
        Kind(OLD_POLICY_VERSION, "AdminNetworkPolicy", "adminnetworkpolicies", namespaced=False),
        Kind(OLD_POLICY_VERSION, "BaselineAdminNetworkPolicy", "baselineadminnetworkpolicies", namespaced=False),
        Kind(CALICO_VERSION, "Tier", "tiers", namespaced=False, wave=FIRST),
        Kind(CALICO_VERSION, "NetworkPolicy", "networkpolicies"),
        Kind(CALICO_VERSION, "GlobalNetworkPolicy", "globalnetworkpolicies", namespaced=False),
        Kind(CALICO_VERSION, "StagedNetworkPolicy", "stagednetworkpolicies"),
        Kind(CALICO_VERSION, "StagedGlobalNetworkPolicy", "stagedglobalnetworkpolicies", namespaced=False),
        Kind(CALICO_VERSION, "NetworkSet", "networksets", wave=FIRST),
        Kind(CALICO_VERSION, "GlobalNetworkSet", "globalnetworksets", namespaced=False, wave=FIRST),
        Kind(CILIUM_VERSION, "CiliumNetworkPolicy", "ciliumnetworkpolicies"),
        Kind(CILIUM_VERSION, "CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies", namespaced=False),
        Kind(
            "apps/v1",
            "DaemonSet",
            "daemonsets",
            wave=LAST,
            keyed={
                f"{_TEMPLATE}.containers": ("name",),
                f"{_CONTAINER}.env": ("name",),
                f"{_CONTAINER}.ports": ("containerPort", "protocol"),
            },
            quantities=frozenset([f"{_CONTAINER}.resources.limits", f"{_CONTAINER}.resources.requests"]),
            core=(_TEMPLATE,),
        ),
        # a policy does nothing until it is bound; defaults are filled in before anybody is refused for lacking them
        _admission("MutatingAdmissionPolicy", "mutatingadmissionpolicies", FIRST, "spec.mutations"),
        _admission("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", MIDDLE, "spec.policyName"),
        _admission("ValidatingAdmissionPolicy", "validatingadmissionpolicies", MIDDLE, "spec.validations"),
        _admission("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", LAST, "spec.policyName"),
    )
}

#: Kinds that are only read, for pre-flight checks.
READ_ONLY: t.Dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("v1", "Pod", "pods"),
        Kind("v1", "Service", "services"),
        Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
        Kind("v1", "Secret", "secrets"),
        Kind("v1", "ConfigMap", "configmaps"),
        Kind("v1", "ReplicationController", "replicationcontrollers"),
        Kind("apps/v1", "Deployment", "deployments"),
        Kind("apps/v1", "StatefulSet", "statefulsets"),
        Kind("apps/v1", "DaemonSet", "daemonsets"),
        Kind("apps/v1", "ReplicaSet", "replicasets"),
        Kind("batch/v1", "Job", "jobs"),
        Kind("batch/v1", "CronJob", "cronjobs"),
    )
}


def wave(manifest: Manifest) -> int:
    """When to write an object: a policy that only denies comes after those that allow, so that no flow is cut between."""
    spec = manifest.get("spec") or {}
    if manifest["kind"] == "CiliumNetworkPolicy":
        # an empty rule isolates, and allows nothing
        return LAST if not any(spec.get("ingress") or ()) and not any(spec.get("egress") or ()) else MIDDLE
    if manifest["kind"] == "NetworkPolicy" and not spec.get("ingress") and not spec.get("egress"):
        return LAST
    return KINDS[kind_of(manifest)].wave


def object_path(ref: Ref) -> str:
    return KINDS[ref.kind].path(ref.namespace, ref.name)
