# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The form into which every kind of policy is read: tiers of policies of rules, each with one action.

A tier is asked after the one before it. Within it the rules of all policies that select an endpoint are asked in order,
and the first that is about a flow decides; ``pass`` leaves it to the next tier. What none is about is decided by the
tier's default where one of these policies isolates, else left to the next tier. After the last one it is allowed.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.ports import EVERY_PORT, NO_PORTS, Ports
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.terms import ANYBODY, Term
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest

INGRESS, EGRESS = "ingress", "egress"
DIRECTIONS = (INGRESS, EGRESS)
ALLOW, DENY, PASS = "allow", "deny", "pass"
#: Names of ports, and the protocols that they may be of.
Named = t.Tuple[t.Tuple[str, t.Tuple[str, ...]], ...]


@dataclass(frozen=True)
class Rule:
    """What is done with some flows.

    :param place: where it stands in its policy.
    :param peers: the other end.
    :param named: names of ports and the protocols that they may be of, beside ``ports``.
    :param without: ports that are not meant, also where a name stands for them.
    :param excepted: names of ports that are not meant, whatever numbers they stand for.
    :param own: a further condition on the end that the policy selects.
    :param note: what else a flow must be like, which cannot be told from its ends.
    :param local: whether the node that a pod runs on is meant, where that is another question than for other nodes.
    """

    place: str
    action: str
    peers: Term = ANYBODY
    ports: Ports = EVERY_PORT
    named: Named = ()
    without: Ports = NO_PORTS
    excepted: Named = ()
    own: Term = ANYBODY
    note: str = ""
    local: t.Optional[bool] = None


@dataclass(frozen=True)
class Policy:
    """Rules for the endpoints that a policy selects.

    :param order: its place within its tier.
    :param isolates: the directions in which the tier's default is for those whom no rule is about.
    """

    ref: Ref
    subject: Term
    order: t.Tuple[float, str]
    ingress: t.Tuple[Rule, ...] = ()
    egress: t.Tuple[Rule, ...] = ()
    isolates: t.FrozenSet[str] = frozenset()

    def rules(self, direction: str) -> t.Tuple[Rule, ...]:
        return self.ingress if direction == INGRESS else self.egress

    def concerns(self, direction: str) -> bool:
        return direction in self.isolates or bool(self.rules(direction))


@dataclass
class Tier:
    """Policies that are asked together, in order."""

    name: str
    order: float
    default: str
    policies: t.List[Policy] = field(default_factory=list)


@dataclass
class Rulebook:
    """All policies of a cluster as its network plug-in enforces them.

    :param engine: whose rules they are: ``kubernetes``, ``calico`` or ``cilium``.
    :param unread: the policies that it does not enforce, or that cannot be read, and why.
    """

    engine: str
    tiers: t.List[Tier]
    unread: t.Dict[Ref, str] = field(default_factory=dict)

    def policies(self) -> t.Iterator[Policy]:
        for tier in self.tiers:
            yield from tier.policies

    def terms(self) -> t.Iterator[Term]:
        """Every term in any of them."""
        for policy in self.policies():
            yield policy.subject
            for direction in DIRECTIONS:
                for rule in policy.rules(direction):
                    yield rule.peers
                    yield rule.own


class Others(t.NamedTuple):
    """The objects that policies refer to.

    :param services: by namespace and name.
    :param sets: Calico's NetworkSets and GlobalNetworkSets, Cilium's CIDR groups, EndpointSlices.
    :param spaces: the labels of namespaces, by name.
    """

    services: t.Mapping[t.Tuple[str, str], Manifest]
    sets: t.Sequence[Manifest]
    spaces: t.Mapping[str, t.Mapping[str, str]]


class UnreadError(Exception):
    """A policy that cannot be read; the message says why."""


class ElsewhereError(Exception):
    """A policy that is about no pods, but about nodes alone."""
