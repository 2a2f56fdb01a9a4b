# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resource quotas and limit ranges of a namespace, declared together.

A quota on CPU or memory refuses every pod whose containers do not name that resource; a declaration that does
not say what such containers get (``limits``) is a finding. No default is ever guessed. Rules: k8s.io/kubernetes, pkg/apis/core/validation
(ValidateResourceQuota, ValidateLimitRange).
"""

from __future__ import annotations

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

QUOTA_NAME, LIMITS_NAME = "quota", "limits"

_SCOPES = (
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
)
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_SCOPES_WITH_VALUES = ("PriorityClass", "VolumeAttributesClass")
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_KEYS = frozenset(
    ["pods", "services", "secrets", "configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas"]
    + ["services.nodeports", "services.loadbalancers", "requests.storage", *_COMPUTE]
    + [f"{side}.{resource}" for side in ("requests", "limits") for resource in _COMPUTE]
)
_COUNT = re.compile(r"count/[a-z0-9][-a-z0-9]*(\.[a-z0-9][-a-z0-9.]*)?")
_STORAGE_CLASS = re.compile(r"[a-z0-9][-a-z0-9.]*\.storageclass\.storage\.k8s\.io/(requests\.storage|persistentvolumeclaims)")
_DEVICE_CLASS = re.compile(r"[a-z0-9][-a-z0-9.]*\.deviceclass\.resource\.k8s\.io/devices")
_VOLUME_CLASS = re.compile(r"[a-z0-9][-a-z0-9.]*\.volumeattributesclass\.storage\.k8s\.io/\S+")
_EXTENDED = re.compile(r"(requests\.)?([a-z0-9][-a-z0-9.]*/[A-Za-z0-9][-A-Za-z0-9_.]*|hugepages-\w+)")

_AMOUNTS: t.Dict[str, t.Any] = {
    "default": {"type": "dict"},
    "default_request": {"type": "dict"},
    "max": {"type": "dict"},
    "min": {"type": "dict"},
    "max_limit_request_ratio": {"type": "dict"},
}
#: Option -> field of a LimitRange item, in the order of their meaning.
_FIELDS = {
    "default": "default",
    "default_request": "defaultRequest",
    "max": "max",
    "min": "min",
    "max_limit_request_ratio": "maxLimitRequestRatio",
}

SPEC: t.Dict[str, t.Any] = {
    "namespace": {"type": "str", "required": True},
    "stage": {"type": "str", "choices": list(STAGES)},
    "quota": {"type": "dict"},
    "quotas": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "hard": {"type": "dict", "required": True},
            "scopes": {"type": "list", "elements": "str", "choices": list(_SCOPES)},
            "scope_selector": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "scope_name": {"type": "str", "required": True, "choices": list(_SCOPES)},
                    "operator": {"type": "str", "required": True, "choices": list(_OPERATORS)},
                    "values": {"type": "list", "elements": "str"},
                },
            },
        },
    },
    "limits": {"type": "dict", "options": _AMOUNTS},
    "limit_ranges": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "limits": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "type": {
                        "type": "str",
                        "required": True,
                        "choices": ["Container", "Pod", "PersistentVolumeClaim"],
                    },
                    **_AMOUNTS,
                },
            },
        },
    },
}


def declare(item: t.Mapping[str, t.Any], where: str, context: Context) -> Declaration:
    """The ResourceQuotas and LimitRanges of a namespace; below stage ``enforce`` withdrawn and reported."""
    declaration = Declaration()
    stage = item.get("stage") or context.stage
    try:
        namespace = values.dns_label(item["namespace"], "namespace")
    except ItemError as error:
        declaration.problem(where, error.reason, error.remedy)
        return declaration
    ranges = list(_made(declaration, _range_items(item, where), _limit_range, namespace))
    quotas = list(_made(declaration, _quota_items(item, where), _quota, namespace))
    covered = _covered(ranges)
    for place, built in [*ranges, *quotas]:
        if stage == "enforce":
            declaration.add(built, place, stage)
        else:
            _withdraw(declaration, built, place)
        missing = sorted(demanded(built) - covered) if built["kind"] == "ResourceQuota" else []
        if missing:
            declaration.findings.append(_no_defaults(built, missing))
    return declaration


_Builder = t.Callable[[t.Mapping[str, t.Any], str], Manifest]


def _made(
    declaration: Declaration, items: t.Iterable[t.Tuple[str, t.Mapping[str, t.Any]]], build: _Builder, namespace: str
) -> t.Iterator[t.Tuple[str, Manifest]]:
    for place, item in items:
        try:
            yield place, build(item, namespace)
        except ItemError as error:
            declaration.problem(place, error.reason, error.remedy)


def _quota_items(item: t.Mapping[str, t.Any], where: str) -> t.Iterator[t.Tuple[str, t.Mapping[str, t.Any]]]:
    if item.get("quota"):
        yield f"{where}.quota", {"name": QUOTA_NAME, "hard": item["quota"]}
    for index, quota in enumerate(item.get("quotas", ())):
        yield f"{where}.quotas[{index}] ({quota['name']})", quota


def _range_items(item: t.Mapping[str, t.Any], where: str) -> t.Iterator[t.Tuple[str, t.Mapping[str, t.Any]]]:
    if item.get("limits"):
        yield f"{where}.limits", {"name": LIMITS_NAME, "limits": [{"type": "Container", **item["limits"]}]}
    for index, limit_range in enumerate(item.get("limit_ranges", ())):
        yield f"{where}.limit_ranges[{index}] ({limit_range['name']})", limit_range


def _withdraw(declaration: Declaration, built: Manifest, where: str) -> None:
    ref = Ref(built["kind"], built["metadata"]["namespace"], built["metadata"]["name"])
    declaration.withdraw(ref, where)
    declaration.findings.append(
        Finding(
            "quota/not-enforced",
            ref,
            f"{ref} has no milder form; it is written at stage enforce",
            "Go to stage enforce, in check mode first: it tells what is above the quota today",
        )
    )


def amounts(mapping: t.Mapping[t.Any, t.Any], where: str) -> t.Dict[str, str]:
    """A checked map of quantities, none negative, as text."""
    checked = {}
    for key, value in mapping.items():
        try:
            number = values.quantity(value)
        except ItemError as error:
            raise ItemError(f"{where}[{key}]: {error.reason}", error.remedy) from error
        if number < 0:
            raise ItemError(f"{where}[{key}]: {value} is negative", "Write 0 to allow none")
        checked[str(key)] = str(value)
    return checked


# -- quotas


def _quota(item: t.Mapping[str, t.Any], namespace: str) -> Manifest:
    name = values.dns_subdomain(item["name"])
    hard = amounts(item["hard"], "hard")
    if not hard:
        raise ItemError("the quota limits nothing", "Name at least one resource, such as pods: 50")
    for key in hard:
        _check_key(key)
    scopes = list(item.get("scopes", ()))
    selector = [_selector(entry) for entry in item.get("scope_selector", ())]
    _check_scopes(hard, [*scopes, *(entry["scopeName"] for entry in selector)])
    spec: t.Dict[str, t.Any] = {"hard": hard}
    if scopes:
        spec["scopes"] = scopes
    if selector:
        spec["scopeSelector"] = {"matchExpressions": selector}
    return manifest("v1", "ResourceQuota", name, namespace, spec=spec)


def _check_key(key: str) -> None:
    patterns = (_COUNT, _STORAGE_CLASS, _DEVICE_CLASS, _VOLUME_CLASS, _EXTENDED)
    if key not in _KEYS and not any(pattern.fullmatch(key) for pattern in patterns):
        raise ItemError(
            f"hard[{key}]: no resource that a quota can limit",
            "Use pods, requests.cpu, limits.memory, count/<resource>.<group>, "
            "<class>.storageclass.storage.k8s.io/requests.storage or requests.<extended resource>",
        )
    if key.startswith("limits.") and "/" in key:
        raise ItemError(f"hard[{key}]: extended resources have no limits of their own", f"Use requests.{key[7:]}")


def _selector(entry: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    name, operator, wanted = entry["scope_name"], entry["operator"], list(entry.get("values", ()))
    if operator in ("In", "NotIn") and not wanted:
        raise ItemError(f"scope_selector {name} {operator} has no values", "Name at least one, or use Exists")
    if operator in ("Exists", "DoesNotExist") and wanted:
        raise ItemError(f"scope_selector {name} {operator} takes no values", "Leave values out, or use In")
    if name not in _SCOPES_WITH_VALUES and operator != "Exists":
        raise ItemError(f"scope_selector {name} only knows the operator Exists", "Use operator: Exists")
    result: t.Dict[str, t.Any] = {"scopeName": name, "operator": operator}
    return {**result, "values": wanted} if wanted else result


def _check_scopes(hard: t.Mapping[str, str], scopes: t.Sequence[str]) -> None:
    for one, other in (("Terminating", "NotTerminating"), ("BestEffort", "NotBestEffort")):
        if one in scopes and other in scopes:
            raise ItemError(f"scopes {one} and {other} exclude each other", "Declare two quotas, one for each")
    for scope in scopes:
        for key in hard:
            if not _scope_allows(scope, key):
                raise ItemError(
                    f"hard[{key}]: scope {scope} does not go with it", "Declare a second quota without this scope"
                )


def _scope_allows(scope: str, key: str) -> bool:
    """Scopes select pods (BestEffort only counts them) or claims (VolumeAttributesClass)."""
    if scope == "VolumeAttributesClass":
        return key in ("persistentvolumeclaims", "requests.storage") or "storageclass.storage.k8s.io" in key
    if scope == "BestEffort":
        return key == "pods"
    return key == "pods" or key in _COMPUTE or key.startswith(("requests.", "limits.")) and key != "requests.storage"


# -- limit ranges


def _limit_range(item: t.Mapping[str, t.Any], namespace: str) -> Manifest:
    name = values.dns_subdomain(item["name"])
    limits = [_limit(entry) for entry in item["limits"]]
    kinds = [limit["type"] for limit in limits]
    twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
    if twice:
        raise ItemError(f"type {twice} is declared twice", "Merge the two entries")
    return manifest("v1", "LimitRange", name, namespace, spec={"limits": limits})


def _limit(entry: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    kind = entry["type"]
    limit: t.Dict[str, t.Any] = {"type": kind}
    for option, field in _FIELDS.items():
        given = amounts(entry.get(option, {}), option)
        if not given:
            continue
        if kind != "Container" and option in ("default", "default_request"):
            raise ItemError(f"{option} is for type Container, not {kind}", "Leave it out")
        limit[field] = given
    if len(limit) == 1:
        raise ItemError(f"the limits for {kind} say nothing", "Name at least one of max, min, default, default_request")
    if kind == "PersistentVolumeClaim" and not any("storage" in limit.get(side, {}) for side in ("min", "max")):
        raise ItemError("limits for PersistentVolumeClaim need min or max of storage", "Add max: {storage: 100Gi}")
    _check_order(limit)
    return limit


def _check_order(limit: t.Mapping[str, t.Any]) -> None:
    """min <= defaultRequest <= default <= max, for each resource; a ratio is at least 1 and not above max/min."""
    order = ("min", "defaultRequest", "default", "max")
    for index, low in enumerate(order):
        for high in order[index + 1 :]:
            for key in set(limit.get(low, {})) & set(limit.get(high, {})):
                if values.quantity(limit[low][key]) > values.quantity(limit[high][key]):
                    raise ItemError(
                        f"{low} {key} {limit[low][key]} is above {high} {key} {limit[high][key]}", f"Raise {high} or lower {low}"
                    )
    for key, ratio in limit.get("maxLimitRequestRatio", {}).items():
        if values.quantity(ratio) < 1:
            raise ItemError(f"max_limit_request_ratio {key} {ratio} is below 1", "A limit is never below its request")
        top, bottom = limit.get("max", {}).get(key), limit.get("min", {}).get(key)
        if top and bottom and values.quantity(bottom) and values.quantity(ratio) > values.quantity(top) / values.quantity(bottom):
            raise ItemError(f"max_limit_request_ratio {key} {ratio} is above max/min", "Lower it")


# -- quota and defaults together


def _covered(ranges: t.Iterable[t.Tuple[str, Manifest]]) -> t.Set[str]:
    """The quota keys for which containers that say nothing get a value, as the API server fills them in."""
    covered: t.Set[str] = set()
    for _place, built in ranges:
        for limit in built["spec"]["limits"]:
            if limit["type"] == "Container":
                covered |= container_defaults(limit)
    return covered


def container_defaults(limit: t.Mapping[str, t.Any]) -> t.Set[str]:
    """``requests.cpu``, ``limits.cpu`` and the like that a LimitRange item gives to containers without."""
    limited = {*limit.get("default", {}), *limit.get("max", {})}
    requested = limited | {*limit.get("defaultRequest", {}), *limit.get("min", {})}
    return {f"limits.{key}" for key in limited} | {f"requests.{key}" for key in requested}


def demanded(quota: t.Mapping[str, t.Any]) -> t.Set[str]:
    """What every container must name under a quota: CPU and memory, requests and limits."""
    if "BestEffort" in quota["spec"].get("scopes", ()):
        return set()
    keys = {f"requests.{key}" if key in ("cpu", "memory") else key for key in quota["spec"]["hard"]}
    return keys & {f"{side}.{key}" for side in ("requests", "limits") for key in ("cpu", "memory")}


def _no_defaults(quota: Manifest, missing: t.Sequence[str]) -> Finding:
    return Finding(
        "quota/no-defaults",
        Ref("ResourceQuota", quota["metadata"]["namespace"], quota["metadata"]["name"]),
        f"under this quota every container must name {', '.join(missing)}, or its pod is refused",
        f"Say what containers get that name nothing: {_example(missing)}",
        refuse=True,
    )


def _example(missing: t.Sequence[str]) -> str:
    examples = {"cpu": "500m", "memory": "256Mi"}
    sides: t.Dict[str, t.List[str]] = {}
    for key in missing:
        side, _dot, resource = key.partition(".")
        sides.setdefault("default" if side == "limits" else "default_request", []).append(resource)
    parts = [
        f"{side}: {{{', '.join(f'{resource}: {examples[resource]}' for resource in resources)}}}"
        for side, resources in sorted(sides.items())
    ]
    return f"limits: {{{', '.join(parts)}}}"


# -- the inverse


def describe(objects: t.Sequence[Manifest]) -> t.Dict[str, t.Any]:
    """The options that declare exactly these ResourceQuotas and LimitRanges."""
    item: t.Dict[str, t.Any] = {}
    for built in objects:
        name = built["metadata"]["name"]
        if built["kind"] == "ResourceQuota":
            quota = _describe_quota(built)
            if name == QUOTA_NAME and set(quota) == {"name", "hard"}:
                item["quota"] = quota["hard"]
            else:
                item.setdefault("quotas", []).append(quota)
        elif built["kind"] == "LimitRange":
            limits = [_describe_limit(limit) for limit in built["spec"].get("limits", ())]
            if name == LIMITS_NAME and [limit["type"] for limit in limits] == ["Container"]:
                item["limits"] = {key: value for key, value in limits[0].items() if key != "type"}
            elif limits:
                item.setdefault("limit_ranges", []).append({"name": name, "limits": limits})
    return item


def _describe_quota(built: Manifest) -> t.Dict[str, t.Any]:
    spec = built["spec"]
    quota: t.Dict[str, t.Any] = {"name": built["metadata"]["name"], "hard": dict(spec.get("hard", {}))}
    if spec.get("scopes"):
        quota["scopes"] = list(spec["scopes"])
    selector = (spec.get("scopeSelector") or {}).get("matchExpressions")
    if selector:
        quota["scope_selector"] = [
            {
                key: value
                for key, value in (
                    ("scope_name", entry["scopeName"]),
                    ("operator", entry["operator"]),
                    ("values", entry.get("values")),
                )
                if value
            }
            for entry in selector
        ]
    return quota


def _describe_limit(limit: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    described: t.Dict[str, t.Any] = {"type": limit["type"]}
    described.update({option: dict(limit[field]) for option, field in _FIELDS.items() if limit.get(field)})
    return described
