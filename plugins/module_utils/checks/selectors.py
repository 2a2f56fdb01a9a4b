# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What label selectors, ports and networks of policies mean, by themselves and compared with each other."""

from __future__ import annotations

import functools
import ipaddress
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.manifests.network import (
    NAMESPACE_NAME,
    Network,
    inside,
    unmapped,
)

Labels = t.Mapping[str, str]
Fields = t.Mapping[str, t.Any]
#: Label key, operator of a LabelSelectorRequirement, its values.
Requirement = t.Tuple[str, str, t.FrozenSet[str]]
Requirements = t.Tuple[Requirement, ...]

NEGATED = {"In": "NotIn", "NotIn": "In", "Exists": "DoesNotExist", "DoesNotExist": "Exists"}


def requirements(selector: t.Optional[Fields]) -> Requirements:
    """A LabelSelector as requirements that must all hold; without any it selects everything."""
    selector = selector or {}
    return (
        *((key, "In", frozenset((value,))) for key, value in (selector.get("matchLabels") or {}).items()),
        *(
            (entry["key"], entry["operator"], frozenset(entry.get("values") or ()))
            for entry in selector.get("matchExpressions") or ()
        ),
    )


def namespaces_named(wanted: Requirements) -> t.Optional[t.FrozenSet[str]]:
    """The only namespaces that a selector of namespaces can mean; None where it does not go by their names."""
    named = [values for key, op, values in wanted if (key, op) == (NAMESPACE_NAME, "In")]
    return frozenset.intersection(*named) if named else None


def matches(wanted: Requirements, labels: Labels) -> bool:
    """Whether an object with these labels is selected; NotIn also selects objects without the label."""
    return all(_holds(requirement, labels) for requirement in wanted)


def _holds(requirement: Requirement, labels: Labels) -> bool:
    key, operator, values = requirement
    if operator in ("In", "NotIn"):
        return (labels.get(key) in values) == (operator == "In")
    return (key in labels) == (operator == "Exists")


def _satisfiable(wanted: Requirements) -> bool:
    """Whether any labels meet all requirements: each key can be judged by itself."""
    keys = [key for key, _operator, _values in wanted]
    return all(_key_satisfiable(key, wanted) for key in set(keys) if keys.count(key) > 1)


def _key_satisfiable(key: str, wanted: Requirements) -> bool:
    mine = tuple(requirement for requirement in wanted if requirement[0] == key)
    # a value that none names, and no label may have, stands for the endless number of others
    values = {"/"}.union(*(values for _key, _operator, values in mine))
    return matches(mine, {}) or any(matches(mine, {key: value}) for value in values)


@functools.lru_cache(maxsize=4096)
def overlap(one: Requirements, other: Requirements) -> bool:
    """Whether some pod could be selected by both."""
    return _satisfiable((*one, *other))


@functools.lru_cache(maxsize=4096)
def within(one: Requirements, other: Requirements) -> bool:
    """Whether every pod that one selects is selected by the other too."""
    return not any(_satisfiable((*one, (key, NEGATED[op], values))) for key, op, values in other)


# -- ports and addresses


def ports_meet(one: t.Sequence[Fields], other: t.Sequence[Fields]) -> bool:
    """Whether two lists of NetworkPolicyPorts have a port in common; a name may stand for any number."""
    return not one or not other or any(_port_meets(mine, theirs) for mine in one for theirs in other)


def _port_meets(one: Fields, other: Fields) -> bool:
    if (one.get("protocol") or "TCP") != (other.get("protocol") or "TCP"):
        return False
    first, second = one.get("port"), other.get("port")
    if first is None or second is None or isinstance(first, str) != isinstance(second, str):
        return True
    if isinstance(first, str):
        return bool(first == second)
    return bool(first <= (other.get("endPort") or second) and second <= (one.get("endPort") or first))


def reaches(block: Fields, address: Network) -> bool:
    """Whether an IPBlock has that address. Ports do not count: the cloud decides what listens there."""
    return _reaches(block.get("cidr") or "", tuple(block.get("except") or ()), address)


@functools.lru_cache(maxsize=4096)
def _reaches(cidr: str, excepted: t.Tuple[str, ...], address: Network) -> bool:
    return _has(cidr, address) and not any(_has(inner, address) for inner in excepted)


def _has(cidr: str, address: Network) -> bool:
    try:
        return inside(address, unmapped(ipaddress.ip_network(cidr, strict=False)))
    except ValueError:
        return False  # the API server will say so
