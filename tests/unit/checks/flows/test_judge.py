# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random clusters: whatever the policies say, the evaluator and the naive second opinion agree on every flow.

``pytest --hypothesis-profile thorough`` tries fifty times as many as a usual run.
"""

from __future__ import annotations

import itertools
import random
import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import book, judge, ports, world
from hypothesis import given
from hypothesis import strategies as st

from tests.support.flows import CLUSTER, CLUSTERS, POLICIES, PROTOCOLS, ends
from tests.support.naive_flows import Naive


@pytest.mark.parametrize("engine", book.ENGINES)
@given(data=st.data())
def test_the_second_opinion_is_the_same(engine: str, data: t.Any) -> None:
    cluster, version = data.draw(st.one_of(st.just(CLUSTER), CLUSTERS)), data.draw(st.sampled_from([4, 4, 6]))
    policies, others = data.draw(POLICIES[engine])
    rulebook = book.read([*policies, *others, *cluster.namespaces], engine)
    assert not rulebook.unread
    around = world.World(cluster.inventory, rulebook.terms(), version, cluster.domains)
    mine, theirs = judge.Judge(rulebook, around), Naive(engine, policies, cluster, others, version)
    everybody, chance = ends(around, cluster), random.Random(len(str(policies)))
    flows = list(itertools.product(everybody, everybody, PROTOCOLS))
    for source, destination, (protocol, port) in chance.sample(flows, 40):
        first, second, point = everybody[source], everybody[destination], ports.point(protocol, port)
        expected = theirs.allowed(cluster.ends[source], cluster.ends[destination], protocol, port)
        asked = (source, destination, protocol, port)
        assert mine.flow(first, second, point).allowed == expected, asked
        for direction, this, other in (("egress", first, second), ("ingress", second, first)):
            reached = mine.flows(direction, this)
            assert any(mask >> other & 1 and ports.contains(over, point) for over, mask in reached) == expected, asked
