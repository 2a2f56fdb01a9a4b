# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets of endpoints and their flows as a person reads them: names, a matrix, what a change opens and closes."""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import ports as port_sets
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.judge import Judge, Reach
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.ports import Ports
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.rules import DIRECTIONS, EGRESS, INGRESS, Policy
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.terms import DOMAIN, HOST, NETWORK, NODE, POD
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.world import World

#: From this many names on, they are counted instead.
MANY = 6
_WHOLE = {
    HOST: "every pod on the host's network",
    NODE: "every node",
    NETWORK: "everywhere outside",
    DOMAIN: "every name outside",
}


# -- names


def describe(world: World, mask: int) -> t.List[str]:
    """Names for a set of endpoints: whole namespaces and everybody of a kind where it is so."""
    if mask == world.everybody:
        return ["everybody"]
    names = _pods(world, mask & world.kinds.get(POD, 0))
    for kind, whole in _WHOLE.items():
        members = mask & world.kinds.get(kind, 0)
        if members and members == world.kinds[kind]:
            names.append(whole)
        else:
            names += _short(sorted(_name(world, number) for number in world.numbers(members)), f"{kind}s")
    return names


def _pods(world: World, mask: int) -> t.List[str]:
    pods = world.kinds.get(POD, 0)
    if not mask:
        return []
    if mask == pods:
        return ["every pod"]
    whole, parts = [], []
    for space, members in sorted(world.spaces.items()):
        inside = mask & members
        if inside == members:
            whole.append(f"{space}/*")
        elif inside:
            parts += sorted({str(world.endpoints[number]) for number in world.numbers(inside)})
    absent = [space for space, members in world.spaces.items() if not mask & members]
    if len(whole) >= MANY and not parts and len(absent) < len(whole):
        return [f"every pod but {', '.join(f'{space}/*' for space in sorted(absent))}"]
    return [*_short(whole, "whole namespaces"), *_short(parts, "workloads")]


def _short(names: t.Sequence[str], what: str) -> t.List[str]:
    unique = list(dict.fromkeys(names))
    return unique if len(unique) < MANY else [f"{len(unique)} {what}"]


def _name(world: World, number: int) -> str:
    endpoint = world.endpoints[number]
    if endpoint.kind != NETWORK:
        return str(endpoint)
    inner = any(
        other.kind == NETWORK and other.name != endpoint.name and endpoint.name in other.nets
        for other in world.endpoints
    )
    rest = endpoint.name in ("0.0.0.0/0", "::/0") or inner
    return f"the rest of {endpoint.name}" if rest else endpoint.name


# -- the matrix of a namespace


class Side(t.NamedTuple):
    """Those who share a row and a column."""

    name: str
    mask: int


class Matrix(t.NamedTuple):
    """Who of a namespace reaches whom, and is reached by whom, over which ports.

    :param cells: by (row, column), of sources and destinations; what is missing is not allowed.
    :param within: how many of the sides, the first ones, are of the namespace.
    """

    namespace: str
    sides: t.Sequence[Side]
    cells: t.Mapping[t.Tuple[int, int], Ports]
    within: int

    def as_list(self) -> t.List[t.Dict[str, str]]:
        return [
            {"from": self.sides[row].name, "to": self.sides[column].name, "ports": port_sets.text(ports)}
            for (row, column), ports in sorted(self.cells.items())
        ]


def matrix(judge: Judge, namespace: str) -> Matrix:
    """All flows of a namespace. Everybody else whom it treats alike is one side."""
    world = judge.world
    inside = world.in_namespace(namespace)
    flows = {(direction, number): judge.flows(direction, number) for direction in DIRECTIONS for number in inside}
    own = sum(1 << number for number in inside)
    sides = _own_sides(world, inside, flows)
    within = len(sides)
    sides += [Side(", ".join(describe(world, mask)), mask) for mask in _alike(world, world.everybody & ~own, flows)]
    # of a side, one speaks for all
    first = {next(world.numbers(side.mask)): place for place, side in enumerate(sides)}
    speakers = sum(1 << number for number in first)
    cells: t.Dict[t.Tuple[int, int], Ports] = {}
    for number, place in first.items():
        if place >= within:
            continue
        # pods of one side may reach each other, where it has several
        for ports, mask in flows[EGRESS, number]:
            cells.update({(place, first[peer]): ports for peer in world.numbers(mask & speakers)})
        for ports, mask in flows[INGRESS, number]:
            cells.update({(first[peer], place): ports for peer in world.numbers(mask & speakers & ~own)})
    return Matrix(namespace, sides, cells, within)


def _own_sides(world: World, inside: t.Sequence[int], flows: t.Mapping[t.Tuple[str, int], Reach]) -> t.List[Side]:
    """The workloads of the namespace; those of one name that are treated differently are told apart by number."""
    groups: t.Dict[t.Tuple[str, t.Any], int] = {}
    for number in inside:
        treated = tuple(
            tuple(sorted((ports, mask & ~(1 << number)) for ports, mask in flows[direction, number]))
            for direction in DIRECTIONS
        )
        key = (world.endpoints[number].name, treated)
        groups[key] = groups.get(key, 0) | 1 << number
    names = [name for name, _treated in groups]
    counted: t.Dict[str, int] = {}
    sides = []
    for (name, _treated), mask in groups.items():
        counted[name] = counted.get(name, 0) + 1
        sides.append(Side(name if names.count(name) == 1 else f"{name} ({counted[name]})", mask))
    return sides


def _alike(world: World, mask: int, flows: t.Mapping[t.Tuple[str, int], Reach]) -> t.List[int]:
    """A set in parts, so that each flow is allowed with all of a part or with nobody of it."""
    marks: t.Dict[int, t.List[int]] = {number: [] for number in world.numbers(mask)}
    for index, (_ports, members) in enumerate(entry for reach in flows.values() for entry in reach):
        for number in world.numbers(members & mask):
            marks[number].append(index)
    parts: t.Dict[t.Tuple[int, ...], int] = {}
    for number, found in marks.items():
        parts[tuple(found)] = parts.get(tuple(found), 0) | 1 << number
    return list(parts.values())


# -- changes


class Change(t.NamedTuple):
    """Flows that a change of policies opens or closes."""

    opens: bool
    sources: int
    destinations: int
    ports: Ports

    def as_dict(self, world: World) -> t.Dict[str, t.Any]:
        return {
            "change": "opens" if self.opens else "closes",
            "from": describe(world, self.sources),
            "to": describe(world, self.destinations),
            "ports": port_sets.text(self.ports),
        }


def changes(before: Judge, after: Judge) -> t.List[Change]:
    """What is different between two rulebooks in one world."""
    world = before.world
    touched = {direction: _touched(before, after, direction) for direction in DIRECTIONS}
    found: t.Dict[t.Tuple[str, bool, Ports, int], int] = {}
    for direction in (EGRESS, INGRESS):
        for number in world.numbers(touched[direction]):
            old, new = before.flows(direction, number), after.flows(direction, number)
            for opens, these, those in ((True, new, old), (False, old, new)):
                for ports, mask in _less(these, those):
                    # what has been told of its source is not told again of its destination
                    untold = mask & (world.everybody if direction == EGRESS else ~touched[EGRESS])
                    if untold:
                        key = (direction, opens, ports, untold)
                        found[key] = found.get(key, 0) | 1 << number
    return [
        Change(opens, own, peers, ports) if direction == EGRESS else Change(opens, peers, own, ports)
        for (direction, opens, ports, peers), own in sorted(found.items(), key=lambda entry: (entry[0][1], entry[0]))
    ]


def _touched(before: Judge, after: Judge, direction: str) -> int:
    """The pods of which other policies decide than before."""
    old, new = (_by_tier(judge, direction) for judge in (before, after))
    mask = 0
    for tier, policy in old ^ new:
        del tier
        mask |= before.world.mask(policy.subject)
    if [(tier.name, tier.order, tier.default) for tier in before.book.tiers] != [
        (tier.name, tier.order, tier.default) for tier in after.book.tiers
    ]:
        for _tier, policy in old | new:
            mask |= before.world.mask(policy.subject)
    return mask & before.world.kinds.get(POD, 0)


def _by_tier(judge: Judge, direction: str) -> t.Set[t.Tuple[str, Policy]]:
    return {(tier.name, policy) for tier in judge.book.tiers for policy in tier.policies if policy.concerns(direction)}


def _less(these: Reach, those: Reach) -> Reach:
    """What is in one reach and not in another."""
    left: t.Dict[Ports, int] = {}
    for ports, mask in these:
        remaining = mask
        for other, members in those:
            both = remaining & members
            if both:
                remaining &= ~both
                more = port_sets.difference(ports, other)
                if more:
                    left[more] = left.get(more, 0) | both
        if remaining:
            left[ports] = left.get(ports, 0) | remaining
    return list(left.items())
