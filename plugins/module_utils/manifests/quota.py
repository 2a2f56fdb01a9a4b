# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resource quotas and limit ranges of a namespace, declared together.

A quota on CPU or memory refuses every pod whose containers do not name that resource; a declaration that does
not say what such containers get (``limits``) is a finding. No default is ever guessed.

Rules: k8s.io/kubernetes, pkg/apis/core/validation (ValidateResourceQuota, ValidateLimitRange). What the API
takes but never counts, such as a quota on ``example.com/gpu`` without ``requests.``, is refused too.
"""

from __future__ import annotations

import decimal
import itertools
import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import STAGES, Finding
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import values
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    Manifest,
    manifest,
    ref_of,
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
_SIDES = ("requests", "limits")
#: Keys that count objects, and so are whole numbers.
_OBJECTS = frozenset(
    [
        *("pods", "services", "services.nodeports", "services.loadbalancers", "persistentvolumeclaims"),
        *("secrets", "configmaps", "replicationcontrollers", "resourcequotas"),
    ]
)
_STANDARD = frozenset(
    [*_OBJECTS, "requests.storage", *_COMPUTE, *(f"{side}.{name}" for side in _SIDES for name in _COMPUTE)]
)
_HUGE_PAGES = ("hugepages-", "requests.hugepages-")
_COUNT = re.compile(r"count/[a-z0-9][-a-z0-9.]*")
_STORAGE_CLASS = re.compile(r"[^/]+\.storageclass\.storage\.k8s\.io/(requests\.storage|persistentvolumeclaims)")
_DEVICE_CLASS = re.compile(r"[^/]+\.deviceclass\.resource\.k8s\.io/devices")
_EXTENDED = re.compile(r"requests\.[^/]+/[^/]+")

#: Keys that every container has to name once a quota limits them; the API server's own list.
_DEMANDING = frozenset(f"{side}.{name}" for side in _SIDES for name in ("cpu", "memory"))
#: Which keys a scope that selects pods can limit; extended resources too.
_OF_PODS = frozenset(["pods", "count/pods", "cpu", "memory", *_DEMANDING])
_OF_CLAIMS = frozenset(["persistentvolumeclaims", "count/persistentvolumeclaims", "requests.storage"])

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
    for _place, built in quotas:
        missing = sorted(demanded(built) - covered)
        if missing:
            declaration.findings.append(_no_defaults(built, missing, refuse=stage == "enforce"))
    return declaration


_Item = t.Mapping[str, t.Any]
_Builder = t.Callable[[_Item, str], Manifest]


def _made(
    declaration: Declaration, items: t.Iterable[t.Tuple[str, _Item]], build: _Builder, namespace: str
) -> t.Iterator[t.Tuple[str, Manifest]]:
    """Each item's object and its place in the input; what cannot be made is a problem of that item alone."""
    for place, item in items:
        try:
            yield place, build(item, namespace)
        except ItemError as error:
            declaration.problem(place, error.reason, error.remedy)


def _quota_items(item: _Item, where: str) -> t.Iterator[t.Tuple[str, _Item]]:
    if item.get("quota"):
        yield f"{where}.quota", {"name": QUOTA_NAME, "hard": item["quota"]}
    for index, quota in enumerate(item.get("quotas", ())):
        yield f"{where}.quotas[{index}] ({quota['name']})", quota


def _range_items(item: _Item, where: str) -> t.Iterator[t.Tuple[str, _Item]]:
    if item.get("limits"):
        yield f"{where}.limits", {"name": LIMITS_NAME, "limits": [{"type": "Container", **item["limits"]}]}
    for index, limit_range in enumerate(item.get("limit_ranges", ())):
        yield f"{where}.limit_ranges[{index}] ({limit_range['name']})", limit_range


def _withdraw(declaration: Declaration, built: Manifest, where: str) -> None:
    ref = ref_of(built)
    declaration.withdraw(ref, where)
    declaration.findings.append(
        Finding(
            "quota/not-enforced",
            ref,
            f"a {ref.kind} has no milder form; it is written at stage enforce",
            "Go to stage enforce, in check mode first: it tells what is above the quota today",
        )
    )


def _amounts(mapping: t.Mapping[t.Any, t.Any], where: str) -> t.Dict[str, str]:
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


def _quota(item: _Item, namespace: str) -> Manifest:
    name = values.dns_subdomain(item["name"])
    hard = _amounts(item["hard"], "hard")
    if not hard:
        raise ItemError("the quota limits nothing", "Name at least one resource, such as pods: 50")
    for key, amount in hard.items():
        _check_key(key)
        number = values.quantity(amount)
        if _counts_objects(key) and number != number.to_integral_value():
            raise ItemError(f"hard[{key}]: {amount} is not a whole number", "Objects are counted in whole numbers")
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
    values.qualified_name(key, "resource")
    if key in _STANDARD or key.startswith(_HUGE_PAGES):
        return
    if any(pattern.fullmatch(key) for pattern in (_COUNT, _STORAGE_CLASS, _DEVICE_CLASS, _EXTENDED)):
        return
    if "/" in key and not key.startswith("count/"):
        bare = key[len("limits.") :] if key.startswith("limits.") else key
        raise ItemError(
            f"hard[{key}]: a quota never counts this", f"If it is an extended resource, write requests.{bare}"
        )
    raise ItemError(
        f"hard[{key}]: no resource that a quota can limit",
        "Use pods, requests.cpu, limits.memory, count/<resource>.<group>, "
        "<class>.storageclass.storage.k8s.io/requests.storage or requests.<extended resource>",
    )


def _counts_objects(key: str) -> bool:
    """Keys that the API takes whole numbers for; it judges those with a domain by the domain alone."""
    return key in _OBJECTS or ("/" in key and not key.startswith("requests."))


def _selector(entry: _Item) -> t.Dict[str, t.Any]:
    name, operator, wanted = entry["scope_name"], entry["operator"], list(entry.get("values", ()))
    if operator in ("In", "NotIn") and not wanted:
        raise ItemError(f"scope_selector {name} {operator} has no values", "Name at least one, or use Exists")
    if operator in ("Exists", "DoesNotExist") and wanted:
        raise ItemError(f"scope_selector {name} {operator} takes no values", "Leave values out, or use In")
    if name not in _SCOPES_WITH_VALUES and operator != "Exists":
        raise ItemError(f"scope_selector {name} only knows the operator Exists", "Use operator: Exists")
    for value in wanted:
        values.label_value(value)  # the API server selects as if they were: with any other, no pod is admitted
    result: t.Dict[str, t.Any] = {"scopeName": name, "operator": operator}
    return {**result, "values": wanted} if wanted else result


def _check_scopes(hard: t.Iterable[str], scopes: t.Collection[str]) -> None:
    for one, other in (("Terminating", "NotTerminating"), ("BestEffort", "NotBestEffort")):
        if one in scopes and other in scopes:
            raise ItemError(f"scopes {one} and {other} exclude each other", "Declare two quotas, one for each of them")
    for scope in scopes:
        for key in hard:
            if not _scope_allows(scope, key):
                raise ItemError(
                    f"hard[{key}]: scope {scope} does not go with it",
                    "Declare a second quota, without this scope",
                )


def _scope_allows(scope: str, key: str) -> bool:
    """Scopes select pods (BestEffort only counts them) or claims (VolumeAttributesClass)."""
    if scope == "VolumeAttributesClass":
        return key in _OF_CLAIMS or bool(_STORAGE_CLASS.fullmatch(key))
    if scope == "BestEffort" and key not in ("pods", "count/pods"):
        return bool(_EXTENDED.fullmatch(key))
    return key in _OF_PODS or bool(_EXTENDED.fullmatch(key))


# -- limit ranges


def _limit_range(item: _Item, namespace: str) -> Manifest:
    name = values.dns_subdomain(item["name"])
    limits = [_limit(entry) for entry in item["limits"]]
    if not limits:
        raise ItemError("the limit range limits nothing", "Say limits, once for each type")
    kinds = [limit["type"] for limit in limits]
    twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
    if twice:
        raise ItemError(f"type {twice} is declared twice", "Merge the two entries")
    return manifest("v1", "LimitRange", name, namespace, spec={"limits": limits})


def _limit(entry: _Item) -> t.Dict[str, t.Any]:
    kind = entry["type"]
    given = {option: _amounts(entry[option], option) for option in _FIELDS if entry.get(option)}
    if not given:
        raise ItemError(f"the limits for {kind} say nothing", f"Name at least one of {', '.join(_FIELDS)}")
    for option, amounts in given.items():
        if kind != "Container" and option.startswith("default"):
            raise ItemError(f"{option} is for type Container, not {kind}", "Leave it out")
        for key in amounts:
            _check_limited(kind, option, key)
    if kind == "PersistentVolumeClaim" and not {"min", "max"} & set(given):
        raise ItemError("limits for PersistentVolumeClaim need min or max of storage", "Add max: {storage: 100Gi}")
    _check_order(given)
    return {"type": kind, **{_FIELDS[option]: amounts for option, amounts in given.items()}}


def _check_limited(kind: str, option: str, key: str) -> None:
    """Containers ask for compute and extended resources, claims for storage."""
    values.qualified_name(key, "resource")
    compute = key in _COMPUTE or key.startswith("hugepages-") or ("/" in key and key[:9] != "requests.")
    if not (key == "storage" if kind == "PersistentVolumeClaim" else compute):
        raise ItemError(
            f"{option}[{key}]: nothing that a {kind} asks for",
            "Use storage"
            if kind == "PersistentVolumeClaim"
            else "Use cpu, memory, ephemeral-storage, hugepages-<size> or an extended resource",
        )


_Given = t.Mapping[str, t.Mapping[str, str]]


def _check_order(given: _Given) -> None:
    """min <= default_request <= default <= max for each resource, and a ratio between 1 and max/min.

    :param given: option -> resource -> quantity.
    """
    for key in sorted({key for amounts in given.values() for key in amounts}):
        worth = {option: values.quantity(amounts[key]) for option, amounts in given.items() if key in amounts}
        for low, high in itertools.combinations(("min", "default_request", "default", "max"), 2):
            if low in worth and high in worth and worth[low] > worth[high]:
                raise ItemError(
                    f"{low}[{key}]: {given[low][key]} is above {high}, {given[high][key]}",
                    f"Raise {high} or lower {low}",
                )
        _check_overcommitment(key, worth)


def _check_overcommitment(key: str, worth: t.Mapping[str, decimal.Decimal]) -> None:
    """How far limits may be above requests: as far as the ratio says, huge pages and devices not at all."""
    # the API server takes the maximum for a default that is not said
    default, request = worth.get("default", worth.get("max")), worth.get("default_request")
    strict = "/" in key or key.startswith("hugepages-")
    if strict and default is not None and request is not None and default != request:
        raise ItemError(
            f"default_request[{key}] is not its default, but {key} cannot be overcommitted",
            "Say the same in default and default_request",
        )
    ratio = worth.get("max_limit_request_ratio")
    if ratio is None:
        return
    if ratio < 1:
        raise ItemError(f"max_limit_request_ratio[{key}] is below 1", "A limit is never below its request")
    if worth.get("min") and "max" in worth and ratio * worth["min"] > worth["max"]:
        raise ItemError(f"max_limit_request_ratio[{key}] is above max/min", "Lower it, or leave it out")


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


def demanded(quota: Manifest) -> t.Set[str]:
    """What every container must name under a quota: CPU and memory, requests and limits."""
    hard = {f"requests.{key}" if key in ("cpu", "memory") else key for key in quota["spec"]["hard"]}
    return hard & _DEMANDING


def _no_defaults(quota: Manifest, missing: t.Sequence[str], refuse: bool) -> Finding:
    return Finding(
        "quota/no-defaults",
        ref_of(quota),
        f"under this quota every container must name {', '.join(missing)}, or its pod is refused",
        f"Say what containers get that name nothing: {_example(missing)}",
        refuse=refuse,
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


def describe(objects: t.Iterable[Manifest]) -> t.Dict[str, t.Any]:
    """The options that declare exactly these ResourceQuotas and LimitRanges; empty ones are left out."""
    item: t.Dict[str, t.Any] = {}
    for built in objects:
        name = built["metadata"]["name"]
        if built["kind"] == "ResourceQuota" and built["spec"].get("hard"):
            quota = {"name": name, **_describe_quota(built["spec"])}
            if name == QUOTA_NAME and set(quota) == {"name", "hard"}:
                item["quota"] = quota["hard"]
            else:
                item.setdefault("quotas", []).append(quota)
        elif built["kind"] == "LimitRange":
            described = map(_describe_limit, built["spec"].get("limits") or ())
            limits = [limit for limit in described if len(limit) > 1]
            if name == LIMITS_NAME and [limit["type"] for limit in limits] == ["Container"]:
                item["limits"] = {key: value for key, value in limits[0].items() if key != "type"}
            elif limits:
                item.setdefault("limit_ranges", []).append({"name": name, "limits": limits})
    return item


def _describe_quota(spec: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    quota: t.Dict[str, t.Any] = {"hard": dict(spec["hard"])}
    if spec.get("scopes"):
        quota["scopes"] = list(spec["scopes"])
    selector = (spec.get("scopeSelector") or {}).get("matchExpressions")
    if selector:
        quota["scope_selector"] = [
            {
                "scope_name": entry["scopeName"],
                "operator": entry["operator"],
                **({"values": list(entry["values"])} if entry.get("values") else {}),
            }
            for entry in selector
        ]
    return quota


def _describe_limit(limit: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    described: t.Dict[str, t.Any] = {"type": limit["type"]}
    described.update({option: dict(limit[field]) for option, field in _FIELDS.items() if limit.get(field)})
    return described
