# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a quota is below what its namespace uses today, and which pods it would refuse when they restart.

What is used is what the quota's own status says where it counts the same thing already; otherwise it is added
up from the objects, as the API server's evaluators do (k8s.io/kubernetes, pkg/quota/v1/evaluator/core).
"""

from __future__ import annotations

import typing as t
from decimal import Decimal

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
_FINISHED = ("Succeeded", "Failed")
Usage = t.Dict[str, Decimal]


def _spec(quota: Manifest) -> t.Tuple[t.List[str], t.List[t.Dict[str, t.Any]]]:
    spec = quota["spec"]
    return sorted(spec.get("scopes") or ()), (spec.get("scopeSelector") or {}).get("matchExpressions") or []


def _known_usage(quota: Manifest, live: t.Optional[Manifest]) -> Usage:
    """What the live quota's status already counts, when it selects the same pods."""
    if live is None or _spec(live) != _spec(quota):
        return {}
    used = (live.get("status") or {}).get("used") or {}
    return {key: values.quantity(value) for key, value in used.items()}


def _lowered(quota: Manifest, live: t.Optional[Manifest]) -> t.Dict[str, Decimal]:
    """The resources whose limit is new or lower than before: only these can be below what is used."""
    before = (live or {}).get("spec", {}).get("hard", {}) if live and _spec(live) == _spec(quota) else {}
    wanted = {key: values.quantity(value) for key, value in quota["spec"]["hard"].items()}
    return {
        key: limit for key, limit in wanted.items() if key not in before or limit < values.quantity(before[key])
    }


def _kind_of(key: str) -> str:
    """The kind that has to be listed to count a key; empty where this collection knows no path."""
    if key.startswith("count/"):
        return _COUNTED.get(key[len("count/") :], "")
    if key in _COUNTED:
        return _COUNTED[key]
    if key.startswith("services."):
        return "Service"
    if key == "requests.storage" or ".storageclass.storage.k8s.io/" in key:
        return "PersistentVolumeClaim"
    return "Pod"


def counted_kinds(quota: Manifest, live: t.Optional[Manifest]) -> t.Set[str]:
    """The kinds whose objects must be read to judge this quota, because its status does not tell."""
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


def _text(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _used(key: str, quota: Manifest, objects: t.Sequence[Manifest]) -> Decimal:
    if _kind_of(key) == "Pod":
        counted = [pod for pod in objects if _selected(pod, quota)]
        if key in ("pods", "count/pods"):
            return Decimal(len(counted))
        return sum((_pod_usage(pod).get(key, Decimal(0)) for pod in counted), Decimal(0))
    if _kind_of(key) == "Service" and key.startswith("services."):
        return Decimal(sum(_service_counts(service, key) for service in objects))
    if _kind_of(key) == "PersistentVolumeClaim" and not key.endswith("persistentvolumeclaims"):
        return sum((_claimed(claim) for claim in objects if _of_class(claim, key)), Decimal(0))
    if ".storageclass.storage.k8s.io/" in key:
        return Decimal(sum(_of_class(claim, key) for claim in objects))
    return Decimal(len(objects))


# -- pods


def _containers(pod: Manifest) -> t.List[t.Dict[str, t.Any]]:
    return list(pod["spec"].get("containers") or ())


def _best_effort(pod: Manifest) -> bool:
    every = [*_containers(pod), *(pod["spec"].get("initContainers") or ())]
    return not any(
        amounts.get(resource)
        for container in every
        for amounts in (container.get("resources") or {}).values()
        if isinstance(amounts, dict)
        for resource in ("cpu", "memory")
    )


def _selected(pod: Manifest, quota: Manifest) -> bool:
    """Whether a quota counts this pod: not when it has ended, and only within the quota's scopes."""
    if (pod.get("status") or {}).get("phase") in _FINISHED:
        return False
    scopes, selector = _spec(quota)
    every = [{"scopeName": scope, "operator": "Exists"} for scope in scopes] + selector
    return all(_in_scope(pod, expression) for expression in every)


def _in_scope(pod: Manifest, expression: t.Mapping[str, t.Any]) -> bool:
    scope, operator, wanted = expression["scopeName"], expression["operator"], expression.get("values") or []
    terminating = pod["spec"].get("activeDeadlineSeconds") is not None
    if scope == "PriorityClass":
        name = pod["spec"].get("priorityClassName") or ""
        return {
            "In": name in wanted,
            "NotIn": name not in wanted,
            "Exists": bool(name),
            "DoesNotExist": not name,
        }[operator]
    if scope == "CrossNamespacePodAffinity":
        return _crosses_namespaces(pod)
    return {
        "Terminating": terminating,
        "NotTerminating": not terminating,
        "BestEffort": _best_effort(pod),
        "NotBestEffort": not _best_effort(pod),
    }.get(scope, False)


def _crosses_namespaces(pod: Manifest) -> bool:
    affinity = pod["spec"].get("affinity") or {}
    for part in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(part) or {}
        every = list(terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        every += [
            entry["podAffinityTerm"] for entry in terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in every):
            return True
    return False


def _add(total: Usage, other: t.Mapping[str, Decimal]) -> Usage:
    return {key: total.get(key, Decimal(0)) + other.get(key, Decimal(0)) for key in {*total, *other}}


def _most(one: t.Mapping[str, Decimal], other: t.Mapping[str, Decimal]) -> Usage:
    return {key: max(one.get(key, Decimal(0)), other.get(key, Decimal(0))) for key in {*one, *other}}


def _resources(container: t.Mapping[str, t.Any]) -> Usage:
    usage: Usage = {}
    for side, amounts in (container.get("resources") or {}).items():
        if side in ("requests", "limits"):
            usage.update({f"{side}.{resource}": values.quantity(amount) for resource, amount in amounts.items()})
    return usage


def _pod_usage(pod: Manifest) -> Usage:
    """Containers and sidecars together, or the greediest moment of the init containers; plus overhead."""
    running: Usage = {}
    sidecars: Usage = {}
    starting: Usage = {}
    for container in pod["spec"].get("initContainers") or ():
        usage = _resources(container)
        if container.get("restartPolicy") == "Always":
            sidecars = _add(sidecars, usage)
            starting = _most(starting, sidecars)
        else:
            starting = _most(starting, _add(sidecars, usage))
    for container in _containers(pod):
        running = _add(running, _resources(container))
    usage = _most(_add(running, sidecars), starting)
    for resource, amount in (pod["spec"].get("overhead") or {}).items():
        for side in ("requests", "limits"):
            if side == "requests" or f"limits.{resource}" in usage:
                usage = _add(usage, {f"{side}.{resource}": values.quantity(amount)})
    plain = {key.partition(".")[2]: amount for key, amount in usage.items() if key.startswith("requests.")}
    return {**plain, **usage}


# -- services and claims


def _service_counts(service: Manifest, key: str) -> int:
    kind = service["spec"].get("type")
    if key == "services.loadbalancers":
        return int(kind == "LoadBalancer")
    ports = service["spec"].get("ports") or ()
    if kind == "LoadBalancer" and service["spec"].get("allocateLoadBalancerNodePorts") is False:
        return sum(1 for port in ports if port.get("nodePort"))
    return len(ports) if kind in ("NodePort", "LoadBalancer") else 0


def _of_class(claim: Manifest, key: str) -> bool:
    name, mark, _rest = key.partition(".storageclass.storage.k8s.io/")
    return not mark or claim["spec"].get("storageClassName") == name


def _claimed(claim: Manifest) -> Decimal:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return values.quantity(requests.get("storage", 0))


# -- pods that would not start again


def without_requests(
    quota: Manifest, limit_ranges: t.Sequence[Manifest], pods: t.Sequence[Manifest]
) -> t.Optional[Finding]:
    """The finding that running pods name too little for the quota and no default will help them."""
    needed = demanded(quota)
    for limit_range in limit_ranges:
        for limit in limit_range["spec"]["limits"]:
            if limit["type"] == "Container":
                needed -= container_defaults(limit)
    affected = []
    for pod in pods:
        if not needed or not _selected(pod, quota):
            continue
        for container in _containers(pod):
            named = set(_resources(container))
            named |= {key.replace("limits.", "requests.") for key in named}
            lacking = sorted(needed - named)
            if lacking:
                affected.append(f"{pod['metadata']['name']}/{container['name']}: {', '.join(lacking)}")
    if not affected:
        return None
    return Finding(
        "quota/pods-without-requests",
        ref_of(quota),
        "these containers do not name what the quota will ask of them; their pods would not start again",
        "Add requests and limits to their workloads, or defaults to the declaration (limits)",
        tuple(affected[:50]),
    )
