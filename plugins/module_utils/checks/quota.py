# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a quota is below what its namespace uses today, and which pods it would refuse when they restart.

What is used is what the quota's own status says where it counts the same thing already; otherwise it is added
up from the objects, as the API server's evaluators do (k8s.io/kubernetes, pkg/quota/v1/evaluator/core).
"""

from __future__ import annotations

import typing as t
from decimal import ROUND_CEILING, Decimal

from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import values
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest, ref_of
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.quota import container_defaults, demanded

#: Kinds that a quota counts by their plural.
_COUNTED = {
    "pods": "Pod",
    "services": "Service",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "secrets": "Secret",
    "configmaps": "ConfigMap",
    "replicationcontrollers": "ReplicationController",
    "resourcequotas": "ResourceQuota",
}
_PLURALS = {kind: plural for plural, kind in _COUNTED.items()}
_STORAGE_CLASS = ".storageclass.storage.k8s.io/"
#: What a pod's quality of service depends on, and what a pod may ask for as a whole.
_QUALITY = frozenset(f"{side}.{name}" for side in ("requests", "limits") for name in ("cpu", "memory"))
_AFFECTED = 50

Usage = t.Dict[str, Decimal]


def counted_kinds(quota: Manifest, live: t.Optional[Manifest]) -> t.Set[str]:
    """The kinds whose objects must be read to judge this quota, because its status does not tell.

    :param live: the quota as it is stored, if it is.
    """
    known = _known_usage(quota, live)
    return {_kind_of(key) for key in _lowered(quota, live) if key not in known} - {""}


def over_limit(
    quota: Manifest, live: t.Optional[Manifest], objects: t.Mapping[str, t.Sequence[Manifest]]
) -> t.Optional[Finding]:
    """The finding that a namespace already uses more than the quota will allow.

    :param objects: the namespace's objects of :func:`counted_kinds`, by kind.
    """
    known = _known_usage(quota, live)
    over = []
    for key, limit in sorted(_lowered(quota, live).items()):
        used = known[key] if key in known else _used(key, quota, objects.get(_kind_of(key), ()))
        if used > limit:
            over.append(f"{key}: used {_text(used)}, hard {quota['spec']['hard'][key]}")
    if not over:
        return None
    return Finding(
        "quota/below-use",
        ref_of(quota),
        "the namespace uses more than the quota allows; nothing that is gone could be made again",
        "Raise these limits to at least what is used, or remove workloads first",
        tuple(over),
        refuse=True,
    )


def without_requests(
    quota: Manifest, limit_ranges: t.Iterable[Manifest], pods: t.Iterable[Manifest]
) -> t.Optional[Finding]:
    """The finding that running pods name too little for the quota, and that no default will help them.

    :param limit_ranges: those that will be in force beside the quota.
    """
    needed = demanded(quota)
    for limit_range in limit_ranges:
        for limit in limit_range["spec"]["limits"]:
            if limit["type"] == "Container":
                needed -= container_defaults(limit)
    affected = [
        f"{pod['metadata']['name']}/{container['name']}: {', '.join(sorted(lacking))}"
        for pod in pods
        if _alive(pod) and _selected(pod, quota) and not pod["spec"].get("resources")
        for container in _containers(pod)
        for lacking in [needed - set(_resources(container))]
        if lacking
    ]
    if not affected:
        return None
    more = [f"and {len(affected) - _AFFECTED} more"] if len(affected) > _AFFECTED else []
    return Finding(
        "quota/pods-without-requests",
        ref_of(quota),
        "these containers do not name what the quota will ask of them; their pods would not start again",
        "Add requests and limits to their workloads, or defaults to the declaration (limits)",
        (*affected[:_AFFECTED], *more),
    )


# -- what has to be counted


def _scope_selectors(quota: Manifest) -> t.List[t.Tuple[str, str, t.Tuple[str, ...]]]:
    """(scope, operator, values) of all that selects for a quota, in no particular order."""
    spec = quota["spec"]
    expressions = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    return sorted(
        [(scope, "Exists", ()) for scope in spec.get("scopes") or ()]
        + [(e["scopeName"], e["operator"], tuple(sorted(e.get("values") or ()))) for e in expressions]
    )


def _same_scopes(quota: Manifest, live: t.Optional[Manifest]) -> bool:
    return live is not None and _scope_selectors(quota) == _scope_selectors(live)


def _known_usage(quota: Manifest, live: t.Optional[Manifest]) -> Usage:
    """What the live quota's status already counts, when it selects the same objects."""
    if live is None or not _same_scopes(quota, live):
        return {}
    used = (live.get("status") or {}).get("used") or {}
    return {key: values.quantity(value) for key, value in used.items()}


def _lowered(quota: Manifest, live: t.Optional[Manifest]) -> Usage:
    """The limits that are new or lower than before: only these can be below what is used by this change."""
    before: t.Mapping[str, t.Any] = {}
    if live is not None and _same_scopes(quota, live):
        before = live["spec"].get("hard") or {}
    wanted = {key: values.quantity(value) for key, value in quota["spec"]["hard"].items()}
    return {key: limit for key, limit in wanted.items() if key not in before or limit < values.quantity(before[key])}


def _kind_of(key: str) -> str:
    """The kind that has to be listed to count a key; empty where this collection knows no path."""
    if key.startswith("count/"):
        return _COUNTED.get(key[len("count/") :], "")
    if key.startswith("services."):
        return "Service"
    if key == "requests.storage" or _STORAGE_CLASS in key:
        return "PersistentVolumeClaim"
    if key.endswith(".deviceclass.resource.k8s.io/devices"):
        return ""
    return _COUNTED.get(key, "Pod")


def _used(key: str, quota: Manifest, objects: t.Sequence[Manifest]) -> Decimal:
    usage = _USAGE.get(_kind_of(key), _count)
    return sum((usage(item).get(key, Decimal(0)) for item in objects if _selected(item, quota)), Decimal(0))


def _text(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _count(item: Manifest) -> Usage:
    plural = _PLURALS[item["kind"]]
    return {plural: Decimal(1), f"count/{plural}": Decimal(1)}


# -- scopes


def _selected(item: Manifest, quota: Manifest) -> bool:
    """Whether an object is within all scopes of a quota."""
    in_scope = _volume_in_scope if item["kind"] == "PersistentVolumeClaim" else _pod_in_scope
    return all(in_scope(item, *selector) for selector in _scope_selectors(quota))


def _pod_in_scope(pod: Manifest, scope: str, operator: str, wanted: t.Collection[str]) -> bool:
    if scope == "PriorityClass":
        return _matches([pod["spec"].get("priorityClassName")], operator, wanted)
    if scope == "CrossNamespacePodAffinity":
        return _crosses_namespaces(pod)
    if scope in ("Terminating", "NotTerminating"):
        return (pod["spec"].get("activeDeadlineSeconds") is not None) == (scope == "Terminating")
    return scope in ("BestEffort", "NotBestEffort") and _best_effort(pod) == (scope == "BestEffort")


def _volume_in_scope(claim: Manifest, scope: str, operator: str, wanted: t.Collection[str]) -> bool:
    """By the class that a claim has, asks for, or is changing to."""
    status = claim.get("status") or {}
    names = [
        claim["spec"].get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    ]
    return scope == "VolumeAttributesClass" and _matches(names, operator, wanted)


def _matches(names: t.Iterable[t.Optional[str]], operator: str, wanted: t.Collection[str]) -> bool:
    """Whether one of these names (or that there is none) is what a scope's selector asks for."""
    there = [name for name in names if name]
    return {
        "In": any(name in wanted for name in there),
        "NotIn": not there or any(name not in wanted for name in there),
        "Exists": bool(there),
        "DoesNotExist": not there,
    }[operator]


def _crosses_namespaces(pod: Manifest) -> bool:
    affinity = pod["spec"].get("affinity") or {}
    for part in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(part) or {}
        preferred = terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        every = [
            *(terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ()),
            *(entry["podAffinityTerm"] for entry in preferred),
        ]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in every):
            return True
    return False


def _best_effort(pod: Manifest) -> bool:
    known = (pod.get("status") or {}).get("qosClass")
    if known:
        return bool(known == "BestEffort")
    asking = [pod["spec"]] if pod["spec"].get("resources") else _containers(pod)
    return not any(amount for part in asking for key, amount in _resources(part).items() if key in _QUALITY)


# -- pods


def _alive(pod: Manifest) -> bool:
    """Not at its end, nor on its way there: what it uses will be free without anybody's doing."""
    finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not finished and not pod["metadata"].get("deletionTimestamp")


def _containers(pod: Manifest) -> t.List[t.Dict[str, t.Any]]:
    return [*(pod["spec"].get("initContainers") or ()), *(pod["spec"].get("containers") or ())]


def _add(total: Usage, other: Usage) -> Usage:
    return {key: total.get(key, Decimal(0)) + other.get(key, Decimal(0)) for key in {*total, *other}}


def _most(one: Usage, other: Usage) -> Usage:
    return {key: max(one.get(key, Decimal(0)), other.get(key, Decimal(0))) for key in {*one, *other}}


def _resources(asking: t.Mapping[str, t.Any]) -> Usage:
    """``requests.cpu`` and the like of a container, or of a pod's spec as a whole."""
    resources = asking.get("resources") or {}
    return {
        f"{side}.{name}": values.quantity(amount)
        for side in ("requests", "limits")
        for name, amount in (resources.get(side) or {}).items()
    }


def _pod_usage(pod: Manifest) -> Usage:
    """What a pod counts for; one that ends is only counted as stored.

    Containers and sidecars together, or the greediest moment of the init containers; what the pod asks for as
    a whole instead, where it does; plus overhead. A resize that is under way counts as if it were done.
    """
    stored = {"count/pods": Decimal(1)}
    if not _alive(pod):
        return stored
    running: Usage = {}
    sidecars: Usage = {}
    starting: Usage = {}
    for container in pod["spec"].get("initContainers") or ():
        usage = _resources(container)
        if container.get("restartPolicy") == "Always":
            usage = sidecars = _add(sidecars, usage)
        else:
            usage = _add(sidecars, usage)
        starting = _most(starting, usage)
    for container in pod["spec"].get("containers") or ():
        running = _add(running, _resources(container))
    usage = {**_most(_add(running, sidecars), starting), **_resources(pod["spec"])}
    for name, amount in (pod["spec"].get("overhead") or {}).items():
        usage = _add(usage, {f"requests.{name}": values.quantity(amount)})
        if usage.get(f"limits.{name}"):
            usage = _add(usage, {f"limits.{name}": values.quantity(amount)})
    plain = {key[len("requests.") :]: amount for key, amount in usage.items() if key.startswith("requests.")}
    return {**stored, "pods": Decimal(1), **plain, **usage}


# -- services and claims


def _service_usage(service: Manifest) -> Usage:
    """Load balancers have node ports too, unless they are told not to."""
    kind, ports = service["spec"].get("type"), service["spec"].get("ports") or ()
    node_ports = len(ports) if kind in ("NodePort", "LoadBalancer") else 0
    if kind == "LoadBalancer" and service["spec"].get("allocateLoadBalancerNodePorts") is False:
        node_ports = sum(1 for port in ports if port.get("nodePort"))
    return {
        **_count(service),
        "services.loadbalancers": Decimal(kind == "LoadBalancer"),
        "services.nodeports": Decimal(node_ports),
    }


def _claim_usage(claim: Manifest) -> Usage:
    """What is asked for, or already allocated if that is more; in all and for the storage class."""
    spec, status = claim["spec"], claim.get("status") or {}
    amounts = [(spec.get("resources") or {}).get("requests") or {}, status.get("allocatedResources") or {}]
    storage = max(values.quantity(amount.get("storage", 0)) for amount in amounts)
    usage = {
        "persistentvolumeclaims": Decimal(1),
        "requests.storage": storage.to_integral_value(ROUND_CEILING),
    }
    annotations = claim["metadata"].get("annotations") or {}
    name = annotations.get("volume.beta.kubernetes.io/storage-class", spec.get("storageClassName"))
    by_class = {f"{name}{_STORAGE_CLASS}{key}": amount for key, amount in usage.items()}
    return {**_count(claim), **usage, **(by_class if name else {})}


_USAGE: t.Mapping[str, t.Callable[[Manifest], Usage]] = {
    "Pod": _pod_usage,
    "Service": _service_usage,
    "PersistentVolumeClaim": _claim_usage,
}
