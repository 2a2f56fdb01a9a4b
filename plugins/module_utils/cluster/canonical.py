# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When two objects say the same: canonical forms, and what a field manager owns.

Sources: resource.Quantity's canonical form (k8s.io/apimachinery, pkg/api/resource), FieldsV1
(sigs.k8s.io/structured-merge-diff, fieldpath), list types of k8s.io/api.
"""

from __future__ import annotations

import decimal
import json
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.cluster.resources import KINDS, Kind
from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import values
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest, kind_of

FIELD_MANAGER = "hardened.k8s"

#: Written by the server for its own book-keeping; never part of a comparison or a diff.
_SERVER_METADATA = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)
_DECIMAL_SUFFIXES = ("", "k", "M", "G", "T", "P", "E")
_SMALL_SUFFIXES = ("n", "u", "m", "")
_BINARY_SUFFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def quantity_text(value: t.Any) -> t.Any:
    """A quantity in the form in which the API server gives it back; anything else as it is."""
    text = str(value)
    try:
        number = values.quantity(text)
    except ItemError:
        return value
    if "i" in text and abs(number) >= 1024:
        steps = 0
        while steps < len(_BINARY_SUFFIXES) - 1 and number % 1024 == 0 and number:
            number, steps = number / 1024, steps + 1
        if number == number.to_integral_value():
            return f"{int(number)}{_BINARY_SUFFIXES[steps]}"
    exponent = "e" in text.lower().rstrip("E") and text[-1].isdigit()
    return _decimal_text(values.quantity(text), exponent)


def _decimal_text(number: decimal.Decimal, exponent: bool) -> str:
    """An integer mantissa and the largest power of 1000, never finer than a billionth."""
    if not number:
        return "0"
    nanos = int((number * 10**9).to_integral_value(rounding=decimal.ROUND_UP))
    steps = -3
    while nanos % 1000 == 0:
        nanos, steps = nanos // 1000, steps + 1
    if exponent or steps >= len(_DECIMAL_SUFFIXES):  # there is no suffix above E
        return f"{nanos}e{steps * 3}" if steps else str(nanos)
    return f"{nanos}{_DECIMAL_SUFFIXES[steps] if steps >= 0 else _SMALL_SUFFIXES[steps + 3]}"


def _normal(kind: Kind, value: t.Any, path: str) -> t.Any:
    if isinstance(value, dict):
        if path in kind.quantities:
            return {key: quantity_text(item) for key, item in value.items()}
        below = f"{path}." if path else ""
        normal = {key: _normal(kind, item, below + key) for key, item in value.items()}
        return {key: item for key, item in normal.items() if item is not None and item != []}
    if isinstance(value, list):
        return [_normal(kind, item, path + "[]") for item in value]
    if path in kind.durations:
        return values.duration(value)
    return value


def view(manifest: Manifest) -> Manifest:
    """An object as a person reads it: defaults filled in, quantities as the server writes them, no book-keeping.

    What the server would answer and what was declared have the same view when they mean the same, lists in the
    order in which they were written.
    """
    kind = KINDS[kind_of(manifest)]
    shown: Manifest = {key: item for key, item in manifest.items() if key not in ("metadata", "status")}
    metadata = {key: item for key, item in manifest["metadata"].items() if key not in _SERVER_METADATA}
    if kind.name == "Namespace":
        shown.pop("spec", None)
        labels = metadata.get("labels") or {}
        metadata["labels"] = {key: value for key, value in labels.items() if key != "kubernetes.io/metadata.name"}
    for part in ("labels", "annotations"):
        if not metadata.get(part):
            metadata.pop(part, None)
    shown["metadata"] = metadata
    normal: Manifest = _normal(kind, shown, "")  # a structure of its own, safe to fill
    kind.fill(normal)
    return normal


def _sort_key(value: t.Any) -> str:
    return json.dumps(value, sort_keys=True)


def _ordered(kind: Kind, value: t.Any, path: str) -> t.Any:
    if isinstance(value, dict):
        below = f"{path}." if path else ""
        return {key: _ordered(kind, item, below + key) for key, item in value.items()}
    if isinstance(value, list):
        items = [_ordered(kind, item, path + "[]") for item in value]
        return sorted(items, key=_sort_key) if path in kind.sets else items
    return value


def _contains(kind: Kind, live: t.Any, desired: t.Any, path: str) -> bool:
    """Whether every desired field has the desired value; fields of others may stand beside them."""
    if isinstance(desired, dict) and isinstance(live, dict):
        below = f"{path}." if path else ""
        return all(key in live and _contains(kind, live[key], item, below + key) for key, item in desired.items())
    if isinstance(desired, list) and isinstance(live, list) and path in kind.keyed:
        keys = kind.keyed[path]
        by_key = {tuple(item.get(key) for key in keys): item for item in live}
        return all(
            _contains(kind, by_key.get(tuple(item.get(key) for key in keys)), item, path + "[]") for item in desired
        )
    return bool(live == desired)


def satisfied(live: Manifest, desired: Manifest) -> bool:
    """Whether a stored object says everything that is desired of it."""
    kind = KINDS[kind_of(desired)]
    if _contains(kind, live, desired, ""):
        return True
    return _contains(kind, _ordered(kind, view(live), ""), _ordered(kind, view(desired), ""), "")


def own_fields(live: Manifest) -> t.Optional[t.Dict[str, t.Any]]:
    """What this collection's field manager owns of a stored object (FieldsV1), or None."""
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            fields: t.Dict[str, t.Any] = entry.get("fieldsV1") or {}
            return fields
    return None


def shared(live: Manifest, path: str) -> bool:
    """Whether another field manager owns a field, given by its path, or something in it."""
    for entry in live["metadata"].get("managedFields") or ():
        fields = entry.get("fieldsV1")
        for name in path.split("."):
            fields = (fields or {}).get(f"f:{name}")
        if fields is not None and entry.get("manager") != FIELD_MANAGER and not entry.get("subresource"):
            return True
    return False


def beyond(fields: t.Mapping[str, t.Any], desired: t.Any, path: str = "") -> t.Iterator[str]:
    """The owned fields that are no longer desired, as paths."""
    for key, below in fields.items():
        mark, _colon, rest = key.partition(":")
        if mark == "f":
            place = f"{path}.{rest}"
            if not isinstance(desired, dict) or desired.get(rest) is None:
                yield place
            elif below:
                yield from beyond(below, desired[rest], place)
        elif mark in ("k", "v"):
            wanted = json.loads(rest)
            element = _element(wanted, desired, mark)
            if element is None:
                yield f"{path}[{rest}]"
            elif below:
                yield from beyond(below, element, f"{path}[{rest}]")


def _element(wanted: t.Any, desired: t.Any, mark: str) -> t.Any:
    for item in desired if isinstance(desired, list) else ():
        if item == wanted if mark == "v" else all(item.get(key, value) == value for key, value in wanted.items()):
            return item
    return None
