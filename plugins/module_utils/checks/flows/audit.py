# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with the policies of a cluster as a whole: rules that decide nothing, flows that the other end denies."""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import cluster_policies
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import ports as port_sets
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.judge import Judge
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.observed import Flow
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.rules import (
    ALLOW,
    DIRECTIONS,
    EGRESS,
    INGRESS,
    Policy,
    Rule,
)
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.summary import describe
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.terms import POD
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref

_OPPOSITE = {INGRESS: EGRESS, EGRESS: INGRESS}


class Seen(t.NamedTuple):
    """A flow that was seen or is declared to be needed.

    :param point: protocol and port at the destination, on the line of ports.
    """

    source: int
    destination: int
    point: int
    where: str


def findings(judge: Judge, only: t.Optional[t.Collection[Ref]] = None) -> t.List[Finding]:
    """All findings.

    :param only: the policies that are of interest; all of them when None.
    """
    found = [*unread(judge), *_rules(judge), *ambiguous(judge)]
    return [finding for finding in found if only is None or finding.ref in only]


def unread(judge: Judge) -> t.Iterator[Finding]:
    """Policies that have no effect here."""
    for ref, why in judge.book.unread.items():
        yield Finding("network/no-effect", ref, why, "Remove it, or write it for what enforces policies here")


def _rules(judge: Judge) -> t.Iterator[Finding]:
    used = judge.used()
    for number, tier in enumerate(judge.book.tiers):
        for index, policy in enumerate(tier.policies):
            for direction in DIRECTIONS:
                for place, rule in enumerate(policy.rules(direction)):
                    why = _useless(judge, policy, rule, (number, index, direction, place) in used)
                    if why:
                        yield _unused(policy, rule, why)
                    elif rule.action == ALLOW:
                        yield from _unreachable(judge, policy, rule, direction)


def _useless(judge: Judge, policy: Policy, rule: Rule, used: bool) -> str:
    world = judge.world
    if not world.mask(policy.subject) & world.kinds.get(POD, 0):
        return "the policy selects no pod that is there"
    if world.foreign(rule.peers) or world.foreign(rule.own):
        return ""
    if not world.mask(rule.peers):
        return "it is about nobody who is there"
    return "" if used else "others decide of all its flows before it"


def _unused(policy: Policy, rule: Rule, why: str) -> Finding:
    return Finding(
        "network/unused-rule",
        policy.ref,
        f"{rule.place} decides of no flow: {why}",
        "Remove the rule, or correct whom it is about",
    )


def _unreachable(judge: Judge, policy: Policy, rule: Rule, direction: str) -> t.Iterator[Finding]:
    """A rule that allows what the other end denies altogether."""
    world = judge.world
    pods = world.kinds.get(POD, 0)
    peers = world.mask(rule.peers) & pods
    if not peers or rule.named or peers == pods:
        return
    subjects = world.mask(policy.subject) & world.mask(rule.own) & pods
    for number in world.numbers(subjects):
        for ports, mask in judge.flows(direction, number):
            if mask & peers and port_sets.intersection(ports, rule.ports):
                return
    first, point = next(world.numbers(peers), 0), rule.ports[0][0] if rule.ports else 0
    mine = next(world.numbers(subjects), first)
    back = judge.decide(_OPPOSITE[direction], first, mine, point)
    yield Finding(
        "network/unreachable",
        policy.ref,
        f"{rule.place} allows what is denied at the other end or by a tier before it: {back.reason}",
        "Allow it there too, or remove the rule",
        tuple(describe(world, peers)),
    )


def ambiguous(judge: Judge) -> t.Iterator[Finding]:
    """Cluster-wide policies of one priority that contradict each other: which one is asked first is not defined."""
    for tier in judge.book.tiers:
        policies = [policy for policy in tier.policies if policy.ref.kind in cluster_policies.KINDS]
        for one, other in itertools.combinations(policies, 2):
            if one.order[0] != other.order[0] or not judge.world.mask(one.subject) & judge.world.mask(other.subject):
                continue
            if any(_contradict(judge, one, other, direction) for direction in DIRECTIONS):
                yield Finding(
                    "network/ambiguous-priority",
                    one.ref,
                    f"{one.ref} and {other.ref} have priority {one.order[0]:.0f}, select the same pods and disagree",
                    "Give one of them another priority",
                    (str(other.ref),),
                )


def _contradict(judge: Judge, one: Policy, other: Policy, direction: str) -> bool:
    mask = judge.world.mask
    return any(
        first.action != second.action
        and mask(first.peers) & mask(second.peers)
        and (bool(first.named or second.named) or bool(port_sets.intersection(first.ports, second.ports)))
        for first in one.rules(direction)
        for second in other.rules(direction)
    )


def cut(judge: Judge, flows: t.Iterable[Seen], fallback: Ref) -> t.Iterator[Finding]:
    """The flows that would be cut, by the policy that cuts them; these are what nobody steps forward over.

    :param fallback: what a finding is about when no single policy decides.
    """
    by_policy: t.Dict[Ref, t.List[str]] = {}
    for flow in flows:
        verdict = judge.flow(flow.source, flow.destination, flow.point)
        if verdict.allowed:
            continue
        decided = verdict.egress if not verdict.egress.allowed else verdict.ingress
        ends = [str(judge.world.endpoints[number]) for number in (flow.source, flow.destination)]
        port = port_sets.text(((flow.point, flow.point),))
        by_policy.setdefault(decided.ref or fallback, []).append(f"{ends[0]} -> {ends[1]}: {port} ({flow.where})")
    for ref, lines in by_policy.items():
        yield Finding(
            "network/cuts-flow",
            ref,
            f"{len(lines)} flows that were seen or are declared would be cut",
            "Allow them, or stay at stage warn until they are gone",
            tuple(dict.fromkeys(lines))[:20],
            refuse=True,
        )


class Cut(t.NamedTuple):
    """How it is told that a change cuts flows."""

    rule: str
    what: str
    remedy: str


FLOWS = Cut(
    "network/cuts-flow",
    "flows that were seen or are needed would be cut",
    "Declare them, which network_flow_info does from the same log, or stay at stage warn",
)
SYSTEM = Cut(
    "network/cuts-system",
    "ways to DNS or to the API server would be cut",
    "Let them through in a rule before it, or name what is to be denied",
)


def newly_cut(
    before: Judge,
    after: Judge,
    flows: t.Iterable[Seen],
    written: t.Collection[Ref],
    removed: t.Collection[Ref] = (),
    told: Cut = FLOWS,
) -> t.Iterator[Finding]:
    """The flows that a change cuts, told of every policy of the change that has to do with it.

    :param written: what is written, policies and sets of networks; :param removed: policies that go.
        What others deny is no reason to withhold these.
    """
    lines: t.Dict[Ref, t.List[str]] = {}
    sets = [ref for ref in written if ref.kind in ("NetworkSet", "GlobalNetworkSet")]
    for flow in flows:
        verdict = after.flow(flow.source, flow.destination, flow.point)
        if verdict.allowed or not before.flow(flow.source, flow.destination, flow.point).allowed:
            continue
        leaving = not verdict.egress.allowed
        number, direction = (flow.source, EGRESS) if leaving else (flow.destination, INGRESS)
        ends = [str(after.world.endpoints[end]) for end in (flow.source, flow.destination)]
        text = f"{ends[0]} -> {ends[1]}: {port_sets.text(((flow.point, flow.point),))}"
        concerned = [policy.ref for policy in after.policies(direction, number) if policy.ref in written]
        concerned += [policy.ref for policy in before.policies(direction, number) if policy.ref in removed]
        for ref in dict.fromkeys(concerned or sets):
            lines.setdefault(ref, []).append(text)
    for ref, cuts in lines.items():
        unique = tuple(dict.fromkeys(cuts))
        yield Finding(told.rule, ref, f"{len(unique)} {told.what}", told.remedy, unique[:20], refuse=True)


def unchecked(flows: t.Iterable[Flow]) -> t.Iterator[Finding]:
    """Flows that are needed by somebody who is not there yet, or whose name is wrong."""
    for flow in flows:
        space = flow.source.namespace or flow.destination.namespace
        yield Finding(
            "network/not-checked",
            Ref("NetworkPolicy", space, ""),
            f"whether {flow} would be cut is not known: one of its ends is not there",
            "Correct its name, or run again once it is there",
        )
