# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The example is the shop that it says it is: its calls and no other, each allowed at both ends."""

from __future__ import annotations

from decimal import Decimal

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.values import quantity

from tests.support.boutique import CALLS, EXAMPLE, RESOURCES, SERVICES, Call, Manifest
from tests.support.modules import run_module

#: Who asks the frontend from outside the shop.
ENTRY = "ingress-nginx"

_KEYS = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    """What the example declares, as the module renders it; one mistake in it, or one risk, fails here."""
    options = {"tenants": EXAMPLE["cluster_tenants"], "profiles": EXAMPLE["cluster_profiles"]}
    result = run_module("tenant", {**options, "state": "rendered"})
    assert not result.get("failed"), result.get("msg")
    assert result["findings"] == []
    rendered: list[Manifest] = result["manifests"]
    return rendered


def of_kind(manifests: list[Manifest], kind: str) -> dict[tuple[str, str], Manifest]:
    """The objects of a kind by namespace and name."""
    found = [item for item in manifests if item["kind"] == kind]
    return {(item["metadata"].get("namespace", ""), item["metadata"]["name"]): item for item in found}


def homes(manifests: list[Manifest]) -> dict[str, str]:
    """Where each service lives: where its service account is."""
    return {name: space for space, name in of_kind(manifests, "ServiceAccount") if name != "default"}


def calls(manifests: list[Manifest], direction: str, peers: str) -> list[Call]:
    """The calls that policies allow in one direction, each end in the namespace where its service lives."""
    home = {**homes(manifests), ENTRY: ENTRY}
    found = []
    for (space, name), policy in of_kind(manifests, "NetworkPolicy").items():
        for rule in policy["spec"].get(direction, ()) if name != "allow-dns" else ():
            here = policy["spec"]["podSelector"]["matchLabels"]["app"]
            assert home[here] == space
            for peer in rule[peers]:
                there, its_space = _peer(peer, space)
                assert home[there] == its_space
                pair = (here, there) if direction == "egress" else (there, here)
                found += [(*pair, port["port"]) for port in rule["ports"]]
                assert all(set(port) == {"port", "protocol"} for port in rule["ports"])
    return found


def _peer(peer: Manifest, space: str) -> tuple[str, str]:
    """A peer's service and namespace; one without pods is a whole namespace, named by itself."""
    labels = peer.get("namespaceSelector", {}).get("matchLabels", {"kubernetes.io/metadata.name": space})
    assert list(labels) == ["kubernetes.io/metadata.name"]
    its_space = labels["kubernetes.io/metadata.name"]
    return peer.get("podSelector", {}).get("matchLabels", {"app": its_space})["app"], its_space


def test_callers_may_make_their_calls_and_no_other(manifests: list[Manifest]) -> None:
    assert sorted(calls(manifests, "egress", "to")) == sorted(CALLS)


def test_callees_take_these_calls_and_the_front_door_those_of_the_world(manifests: list[Manifest]) -> None:
    assert sorted(calls(manifests, "ingress", "from")) == sorted(CALLS | {(ENTRY, "frontend", 8080)})


def test_every_namespace_denies_the_rest_both_ways(manifests: list[Manifest]) -> None:
    policies = of_kind(manifests, "NetworkPolicy")
    for _none, space in of_kind(manifests, "Namespace"):
        spec = policies[space, "default-deny"]["spec"]
        assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_only_namespaces_that_call_somebody_may_ask_dns(manifests: list[Manifest]) -> None:
    home = homes(manifests)
    asking = {space for space, name in of_kind(manifests, "NetworkPolicy") if name == "allow-dns"}
    assert asking == {home[caller] for caller, _callee, _port in CALLS}


def test_every_service_has_an_account_of_its_own_without_token_and_rights(manifests: list[Manifest]) -> None:
    accounts = of_kind(manifests, "ServiceAccount")
    assert len(SERVICES) == 12  # eleven, and Redis
    assert sorted(name for _space, name in accounts if name != "default") == sorted(SERVICES)
    assert not any(account["automountServiceAccountToken"] for account in accounts.values())
    bound = [binding["subjects"] for binding in of_kind(manifests, "RoleBinding").values()]
    assert {subject["kind"] for subjects in bound for subject in subjects} == {"Group"}


def test_every_layer_is_at_level_restricted(manifests: list[Manifest]) -> None:
    for namespace in of_kind(manifests, "Namespace").values():
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_group_that_is_let_in_is_expected_to_stay_within_limits(manifests: list[Manifest]) -> None:
    for tenant in EXAMPLE["cluster_tenants"]:
        declared = {**EXAMPLE["cluster_profiles"][tenant["profile"]], **tenant}
        bindings = of_kind(manifests, "RoleBinding").items()
        groups = {s["name"] for (space, _name), b in bindings for s in b["subjects"] if space == tenant["name"]}
        limited = [entry.get("groups", []) for entry in declared["expect"] if entry["cannot"]]
        assert groups
        assert groups <= {group for names in limited for group in names}


def test_every_layer_has_room_for_its_services_twice(manifests: list[Manifest]) -> None:
    home = homes(manifests)
    for (space, _name), quota in of_kind(manifests, "ResourceQuota").items():
        hard = quota["spec"]["hard"]
        here = [service for service, its_space in home.items() if its_space == space]
        assert 2 * len(here) <= int(hard["pods"])
        for index, key in enumerate(_KEYS):
            needed = sum((2 * quantity(RESOURCES[service][index]) for service in here), Decimal(0))
            assert needed <= quantity(hard[key]), (space, key)


def test_no_container_is_above_what_its_layer_allows(manifests: list[Manifest]) -> None:
    home = homes(manifests)
    for (space, _name), limit_range in of_kind(manifests, "LimitRange").items():
        (limit,) = limit_range["spec"]["limits"]
        for service, its_space in home.items():
            _cpu_request, _memory_request, cpu, memory = RESOURCES[service]
            if its_space == space:
                assert quantity(cpu) <= quantity(limit["max"]["cpu"])
                assert quantity(memory) <= quantity(limit["max"]["memory"])
