# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The example's policies on real networks: one that enforces them, and one that ignores them."""

from __future__ import annotations

import typing as t

import pytest

from tests.kind.conftest import Hardened
from tests.support.boutique import CALLS, HIDDEN_PORT, HOMES, PORTS, SERVICES, address
from tests.support.reach import verdict

#: Every ordered pair of services, at the callee's own port, where it has one, and at one that nobody declared.
ALL_PAIRS = {
    (caller, callee, port)
    for caller in SERVICES
    for callee in SERVICES - {caller}
    for port in (PORTS.get(callee), HIDDEN_PORT)
    if port
}


EVERYTHING_OPEN = dict.fromkeys(ALL_PAIRS, "open")


def test_before_it_is_hardened_everybody_reaches_everybody(cilium: Hardened) -> None:
    """Else what is blocked later would prove nothing."""
    assert cilium.before == EVERYTHING_OPEN
    assert set(cilium.metadata_before.values()) == {"open"}


def test_where_policies_are_enforced_what_is_declared_is_reached_and_nothing_else(cilium: Hardened) -> None:
    assert cilium.after.keys() == ALL_PAIRS
    found = verdict(cilium.after)
    assert (found.missing, found.undeclared) == ({}, {})
    assert str(found) == "enforced as declared"
    assert {call for call, result in cilium.after.items() if result == "open"} == CALLS


def test_where_policies_are_ignored_the_same_check_says_so(bridge: Hardened) -> None:
    assert bridge.before == EVERYTHING_OPEN
    assert bridge.after == EVERYTHING_OPEN
    undeclared = len(ALL_PAIRS - CALLS)
    assert str(verdict(bridge.after)) == (
        f"NetworkPolicy is not enforced: {undeclared} undeclared calls are not blocked"
    )


def test_declared_calls_succeed_by_name_so_dns_works(cilium: Hardened) -> None:
    for caller in sorted({caller for caller, _callee, _port in CALLS}):
        wanted = [address(callee) for who, callee, _port in CALLS if who == caller]
        reached = cilium.shop.call(caller, *wanted)
        assert reached == dict.fromkeys(wanted, "open")


def test_a_page_of_the_shop_comes_with_all_that_it_is_made_of(cilium: Hardened) -> None:
    """The frontend asks seven services, and checkout asks six in turn: every call that is made is answered."""

    def calls(answer: dict[str, t.Any]) -> t.Iterator[tuple[str, str]]:
        for call in answer.get("calls", ()):
            assert call["result"] == "open", call
            yield answer["service"], call["answer"]["service"]
            yield from calls(call["answer"])

    (front,) = cilium.shop.ask("loadgenerator", "page", "10s", address("frontend"))
    made = {("loadgenerator", front["answer"]["service"]), *calls(front["answer"])}
    assert made == {(caller, callee) for caller, callee, _port in CALLS}


def test_who_asks_nobody_cannot_ask_dns_either(cilium: Hardened) -> None:
    asked = cilium.shop.ask("redis-cart", "resolve", "3s", f"frontend.{HOMES['frontend']}")
    assert asked["result"] == "unresolved"


def test_nobody_reaches_the_metadata_address(cilium: Hardened) -> None:
    assert set(cilium.metadata_after.values()) == {"blocked"}


def test_the_bridge_lets_everybody_reach_the_metadata_address(bridge: Hardened) -> None:
    assert set(bridge.metadata_after.values()) == {"open"}


@pytest.mark.parametrize("node", ["kind-control-plane", "kind-worker"])
def test_there_are_pods_of_the_shop_on_both_nodes(cilium: Hardened, node: str) -> None:
    """So that calls cross from one node to the other."""
    pods = cilium.cluster.get(f"/api/v1/pods?fieldSelector=spec.nodeName={node}")["items"]
    assert {pod["metadata"]["namespace"] for pod in pods} & set(HOMES.values())
