# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a flow is allowed, and by which rule; what all of a namespace may reach, and be reached from."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import ports as port_sets
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.ports import EVERY_PORT, Ports
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.rules import (
    ALLOW,
    DENY,
    EGRESS,
    INGRESS,
    PASS,
    Named,
    Policy,
    Rule,
    Rulebook,
)
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.terms import ANYBODY, POD
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.world import World
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref

#: Peers that are alike: over which ports, and who.
Reach = t.List[t.Tuple[Ports, int]]
#: The policies that concern an endpoint in a direction, by tier; what else tells endpoints apart.
_Program = t.Tuple[t.Tuple[t.Tuple[int, t.Tuple[int, ...]], ...], t.Any]


class Decision(t.NamedTuple):
    """What is decided at one end of a flow.

    :param ref: the policy that decides; None where none does.
    :param place: the rule in it; empty where the policy only isolates.
    :param note: what else the flow must be like.
    """

    allowed: bool
    reason: str
    ref: t.Optional[Ref] = None
    place: str = ""
    note: str = ""

    def as_dict(self) -> t.Dict[str, t.Any]:
        shown: t.Dict[str, t.Any] = {"allowed": self.allowed, "reason": self.reason}
        if self.ref:
            shown.update(self.ref._asdict())
        if self.place:
            shown["rule"] = self.place
        if self.note:
            shown["only"] = self.note
        return shown


class Verdict(t.NamedTuple):
    """Whether a flow is allowed: at both ends."""

    egress: Decision
    ingress: Decision

    @property
    def allowed(self) -> bool:
        return self.egress.allowed and self.ingress.allowed

    def as_dict(self) -> t.Dict[str, t.Any]:
        return {"allowed": self.allowed, "egress": self.egress.as_dict(), "ingress": self.ingress.as_dict()}


@dataclass(frozen=True)
class _Read:
    """A rule with its terms looked up."""

    rule: Rule
    peers: int
    own: int
    named: t.Tuple[t.Tuple[int, int], ...] = ()
    excepted: t.Tuple[t.Tuple[int, int], ...] = ()


class _Mine(t.NamedTuple):
    """A rule as it is for one endpoint: ports with names are with those peers for whom they are there."""

    read: _Read
    peers: int
    named: t.Sequence[t.Tuple[int, int]] = ()
    excepted: t.Sequence[t.Tuple[int, int]] = ()

    def marks(self) -> t.Iterator[Ports]:
        """Where on the line of ports it may begin or end to be about somebody."""
        yield self.read.rule.ports
        yield self.read.rule.without
        for place, _mask in (*self.named, *self.excepted):
            yield ((place, place),)

    def about(self, point: int) -> int:
        """The peers that it is about with this port."""
        if port_sets.contains(self.read.rule.without, point):
            return 0
        found = self.peers if port_sets.contains(self.read.rule.ports, point) else 0
        for place, mask in self.named:
            found |= mask if place == point else 0
        for place, mask in self.excepted:
            found &= ~mask if place == point else ~0
        return found


class Judge:
    """Answers for one rulebook in one world. Everything is looked up once, when it is first asked for."""

    def __init__(self, book: Rulebook, world: World) -> None:
        self.book = book
        self.world = world
        self._rules: t.Dict[t.Tuple[int, int, str], t.List[_Read]] = {}
        self._programs = {direction: self._all_programs(direction) for direction in (INGRESS, EGRESS)}
        self._reaches: t.Dict[t.Tuple[str, _Program], Reach] = {}
        self._alike: t.Dict[str, t.List[t.Tuple[int, Reach]]] = {}

    # -- which policies concern whom

    def _all_programs(self, direction: str) -> t.List[t.List[t.Tuple[int, int]]]:
        """For each endpoint the policies that concern it, as numbers of tier and policy, in order."""
        found: t.List[t.List[t.Tuple[int, int]]] = [[] for _endpoint in self.world.endpoints]
        pods = self.world.kinds.get(POD, 0)
        for number, tier in enumerate(self.book.tiers):
            for index, policy in enumerate(tier.policies):
                if policy.concerns(direction):
                    for endpoint in self.world.numbers(self.world.mask(policy.subject) & pods):
                        found[endpoint].append((number, index))
        return found

    def policies(self, direction: str, number: int) -> t.List[Policy]:
        """The policies that concern an endpoint, in the order in which they are asked."""
        return [self.book.tiers[tier].policies[index] for tier, index in self._programs[direction][number]]

    def _read(self, tier: int, index: int, direction: str) -> t.List[_Read]:
        key = (tier, index, direction)
        if key not in self._rules:
            mask, rules = self.world.mask, []
            for rule in self.book.tiers[tier].policies[index].rules(direction):
                places = map(self._places, (rule.named, rule.excepted))
                rules.append(_Read(rule, mask(rule.peers), mask(rule.own), *places))
            self._rules[key] = rules
        return self._rules[key]

    def _places(self, named: Named) -> t.Tuple[t.Tuple[int, int], ...]:
        """Where ports of these names are, and whose."""
        return tuple(item for name, kinds in named for item in self.world.named(name, kinds).items())

    def _program(self, direction: str, number: int) -> _Program:
        """What decides of an endpoint: two of the same program have the same reach."""
        mine = self._programs[direction][number]
        by_tier: t.Dict[int, t.List[int]] = {}
        own: t.List[bool] = []
        named = False
        for tier, index in mine:
            by_tier.setdefault(tier, []).append(index)
            for read in self._read(tier, index, direction):
                named = named or bool(read.rule.named or read.rule.excepted)
                if read.rule.own != ANYBODY:
                    own.append(bool(read.own >> number & 1))
        ports = self.world.endpoints[number].ports if named and direction == INGRESS else ()
        return tuple((tier, tuple(indexes)) for tier, indexes in by_tier.items()), (tuple(own), ports)

    # -- one end

    def decide(self, direction: str, number: int, peer: int, point: int, local: bool = False) -> Decision:
        """What is decided of a flow at one end.

        :param number: the endpoint at this end; :param peer: the one at the other.
        :param point: protocol and port at the destination, on the line of ports.
        :param local: whether the other end is the node that this one runs on.
        """
        mine = self._programs[direction][number]
        if not mine:
            return Decision(True, f"no policy isolates {self.world.endpoints[number]} for {direction}")
        for tier in dict.fromkeys(tier for tier, _index in mine):
            policies = [index for other, index in mine if other == tier]
            decided = self._first(direction, tier, policies, number, peer, point, local)
            if decided is not None:
                read, policy = decided
                if read.rule.action == PASS:
                    continue
                allowed = read.rule.action == ALLOW
                word = "allows" if allowed else "denies"
                reason = f"{read.rule.place} of {policy.ref} {word} it"
                return Decision(allowed, reason, policy.ref, read.rule.place, read.rule.note)
            isolating = [self.book.tiers[tier].policies[index] for index in policies]
            isolating = [policy for policy in isolating if direction in policy.isolates]
            if isolating and self.book.tiers[tier].default == DENY:
                names = ", ".join(str(policy.ref) for policy in isolating[:3])
                more = f" and {len(isolating) - 3} more" if len(isolating) > 3 else ""
                who = self.world.endpoints[number]
                return Decision(
                    False, f"{names}{more} isolates {who} for {direction}, and no rule allows it", isolating[0].ref
                )
        return Decision(True, f"no policy decides of it for {direction}, and that is allowed")

    def _first(
        self, direction: str, tier: int, policies: t.Iterable[int], number: int, peer: int, point: int, local: bool
    ) -> t.Optional[t.Tuple[_Read, Policy]]:
        """The first rule of a tier that is about a flow."""
        for index in policies:
            for read in self._read(tier, index, direction):
                met = read.rule.local if local and read.rule.local is not None else read.peers >> peer & 1
                if met and read.own >> number & 1:
                    # a name is one of the destination's
                    destination = number if direction == INGRESS else peer
                    meant, left_out = (
                        port_sets.contains(ports, point)
                        or any(place == point and mask >> destination & 1 for place, mask in places)
                        for ports, places in ((read.rule.ports, read.named), (read.rule.without, read.excepted))
                    )
                    if meant and not left_out:
                        return read, self.book.tiers[tier].policies[index]
        return None

    def flow(self, source: int, destination: int, point: int) -> Verdict:
        """Whether a flow is allowed. What every plug-in lets through in any case is not asked here."""
        return Verdict(
            self.decide(EGRESS, source, destination, point), self.decide(INGRESS, destination, source, point)
        )

    # -- all peers of one end

    def reach(self, direction: str, number: int) -> Reach:
        """With whom one end of a flow may be, as this end alone decides; peers that it treats alike together."""
        program = self._program(direction, number)
        key = (direction, program)
        if key not in self._reaches:
            self._reaches[key] = self._measure(direction, number, program)
        return self._reaches[key]

    def _measure(self, direction: str, number: int, program: _Program) -> Reach:
        everybody = self.world.everybody
        if not program[0]:
            return [(EVERY_PORT, everybody)]
        tiers = [
            (
                tier,
                [
                    self._mine(read, direction, number)
                    for index in indexes
                    for read in self._read(tier, index, direction)
                ],
                any(direction in self.book.tiers[tier].policies[index].isolates for index in indexes),
            )
            for tier, indexes in program[0]
        ]
        marks = [mark for _tier, rules, _isolates in tiers for mine in rules for mark in mine.marks()]
        by_mask: t.Dict[int, t.List[port_sets.Stretch]] = {}
        for piece in port_sets.cuts(marks):
            by_mask.setdefault(self._allowed(tiers, piece[0]), []).append(piece)
        parts: t.Dict[t.Tuple[port_sets.Stretch, ...], int] = {(): everybody}
        for mask, pieces in by_mask.items():
            split: t.Dict[t.Tuple[port_sets.Stretch, ...], int] = {}
            for known, members in parts.items():
                for which, kept in ((members & mask, (*known, *pieces)), (members & ~mask, known)):
                    if which:
                        split[kept] = split.get(kept, 0) | which
            parts = split
        merged: t.Dict[Ports, int] = {}
        for pieces_of, members in parts.items():
            ports = port_sets.union(pieces_of)
            merged[ports] = merged.get(ports, 0) | members
        return list(merged.items())

    def _mine(self, read: _Read, direction: str, number: int) -> _Mine:
        if not read.own >> number & 1:
            return _Mine(_Read(Rule(read.rule.place, read.rule.action, ports=()), 0, 0), 0)
        if direction == EGRESS:
            return _Mine(read, read.peers, [(place, mask & read.peers) for place, mask in read.named], read.excepted)
        named, excepted = (
            [(place, read.peers) for place, mask in places if mask >> number & 1]
            for places in (read.named, read.excepted)
        )
        return _Mine(read, read.peers, named, excepted)

    def _allowed(self, tiers: t.Sequence[t.Tuple[int, t.Sequence[_Mine], bool]], point: int) -> int:
        """The peers with whom a flow to this port is allowed."""
        allowed, asked = 0, self.world.everybody
        for tier, rules, isolates in tiers:
            passed, left = 0, asked
            for mine in rules:
                about = mine.about(point) & left
                if about:
                    left &= ~about
                    if mine.read.rule.action == ALLOW:
                        allowed |= about
                    elif mine.read.rule.action == PASS:
                        passed |= about
            if not isolates or self.book.tiers[tier].default == PASS:
                passed |= left
            asked = passed
            if not asked:
                break
        return allowed | asked

    # -- both ends

    def _groups(self, direction: str) -> t.List[t.Tuple[int, Reach]]:
        """Endpoints that are decided of alike in a direction, and whom each of them may be with."""
        if direction not in self._alike:
            groups: t.Dict[_Program, t.Tuple[int, int]] = {}
            for number in range(len(self.world.endpoints)):
                program = self._program(direction, number)
                first, members = groups.get(program, (number, 0))
                groups[program] = (first, members | 1 << number)
            self._alike[direction] = [
                (members, [(ports, peers) for ports, peers in self.reach(direction, first) if ports])
                for first, members in groups.values()
            ]
        return self._alike[direction]

    def flows(self, direction: str, number: int) -> Reach:
        """Whom an endpoint can really reach (egress), or be reached from (ingress): both ends agree."""
        merged: t.Dict[Ports, int] = {}
        mine, bit = self.reach(direction, number), 1 << number
        for members, back in self._groups(INGRESS if direction == EGRESS else EGRESS):
            for returned, peers in back:
                if not peers & bit:
                    continue
                for ports, mask in mine:
                    both = mask & members
                    if both:
                        common = port_sets.intersection(ports, returned)
                        merged[common] = merged.get(common, 0) | both
        merged.pop((), None)
        return list(merged.items())

    # -- which rules decide anything

    def used(self) -> t.Set[t.Tuple[int, int, str, int]]:
        """The rules by which any flow is decided: tier, policy, direction and place in it."""
        found: t.Set[t.Tuple[int, int, str, int]] = set()
        for direction in (INGRESS, EGRESS):
            asked = set()
            for number in self.world.numbers(self.world.kinds.get(POD, 0)):
                program = self._program(direction, number)
                if program not in asked:
                    asked.add(program)
                    self._mark_used(direction, number, program, found)
        return found

    def _mark_used(
        self, direction: str, number: int, program: _Program, found: t.Set[t.Tuple[int, int, str, int]]
    ) -> None:
        rows = [
            (tier, index, place, self._mine(read, direction, number))
            for tier, indexes in program[0]
            for index in indexes
            for place, read in enumerate(self._read(tier, index, direction))
        ]
        marks = [mark for *_where, mine in rows for mark in mine.marks()]
        for first, _last in port_sets.cuts(marks):
            asked = self.world.everybody
            for tier, _indexes in program[0]:
                passed, left = 0, asked
                for _tier, index, place, mine in (row for row in rows if row[0] == tier):
                    about = mine.about(first) & left
                    if about:
                        found.add((tier, index, direction, place))
                        left &= ~about
                        passed |= about if mine.read.rule.action == PASS else 0
                isolates = any(
                    direction in self.book.tiers[tier].policies[index].isolates for index in dict(program[0])[tier]
                )
                asked = passed if isolates and self.book.tiers[tier].default == DENY else passed | left

    def own_node(self, direction: str) -> bool:
        """Whether traffic with its own node is let through whatever policies say: from it by everybody, to it by the API."""
        return direction == INGRESS or self.book.engine == "kubernetes"
