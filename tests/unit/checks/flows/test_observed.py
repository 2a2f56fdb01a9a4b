# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flows that were seen: read from what tools write, and made into as few rules as let them through."""

from __future__ import annotations

import itertools
import json
import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import observed, ports, suggest
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.enquiry import Enquiry
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.observed import Flow, Party
from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import network
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Context
from hypothesis import given
from hypothesis import strategies as st

from tests.support.flows import CLUSTER

HUBBLE: list[dict[str, t.Any]] = [
    {
        "flow": {
            "verdict": "FORWARDED",
            "IP": {"source": "10.1.0.1", "destination": "10.1.1.1"},
            "l4": {"TCP": {"source_port": 50000, "destination_port": 8080}},
            "source": {"namespace": "shop", "pod_name": "web-1"},
            "destination": {"namespace": "api", "pod_name": "api-1"},
            "is_reply": False,
        }
    },
    {
        "flow": {
            "verdict": "FORWARDED",
            "l4": {"TCP": {"source_port": 8080, "destination_port": 50000}},
            "source": {"namespace": "api", "pod_name": "api-1"},
            "destination": {"namespace": "shop", "pod_name": "web-1"},
            "is_reply": True,
        }
    },
    {
        "flow": {
            "verdict": "DROPPED",
            "IP": {"source": "10.1.0.1", "destination": "198.51.100.7"},
            "l4": {"UDP": {"source_port": 50001, "destination_port": 53}},
            "source": {"namespace": "shop", "pod_name": "web-1"},
            "destination": {},
            "destination_names": ["www.example.com."],
        }
    },
    {"node_name": "one", "time": "2026-01-01T00:00:00Z", "flow": {"verdict": "FORWARDED", "l7": {}}},
]
CALICO: list[dict[str, t.Any]] = [
    {
        "source_namespace": "shop",
        "source_name": "web-1",
        "source_type": "wep",
        "source_ip": "10.1.0.1",
        "dest_namespace": "-",
        "dest_name": "pub",
        "dest_type": "net",
        "dest_ip": "198.51.100.7",
        "dest_port": 443,
        "proto": "tcp",
        "action": "allow",
    },
    {"proto": "icmp", "dest_port": None, "action": "allow"},
]
VPC = """\
version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status
2 111122223333 eni-1 10.1.0.1 198.51.100.7 44000 443 6 10 840 1 2 ACCEPT OK
2 111122223333 eni-1 198.51.100.7 10.1.0.1 443 44000 6 10 840 1 2 ACCEPT OK
2 111122223333 eni-1 198.51.100.7 10.1.0.1 45000 22 6 1 40 1 2 REJECT OK
2 111122223333 eni-1 - - - - - - - 1 2 - NODATA
"""
SS = """\
Netid State  Recv-Q Send-Q     Local Address:Port       Peer Address:Port Process
tcp   LISTEN 0      4096             0.0.0.0:8080             0.0.0.0:*
tcp   ESTAB  0      0              10.1.1.1:8080          10.1.0.1:50000
tcp   ESTAB  0      0     [::ffff:10.1.1.1]:40000  [::ffff:198.51.100.7]:5432
tcp   ESTAB  0      0            127.0.0.1:40001         127.0.0.1:8080
udp   UNCONN 0      0        127.0.0.1%lo:53               0.0.0.0:*
"""


def test_hubble() -> None:
    expected = [
        Flow(Party("10.1.0.1", "shop", "web-1"), Party("10.1.1.1", "api", "api-1"), "TCP", 8080),
        Flow(Party("10.1.0.1", "shop", "web-1"), Party("198.51.100.7", domain="www.example.com"), "UDP", 53, False),
    ]
    assert observed.parse("hubble", HUBBLE) == expected
    assert observed.parse("hubble", "\n".join(map(json.dumps, [*HUBBLE, *HUBBLE]))) == expected


def test_calico() -> None:
    source = Party("10.1.0.1", "shop", "web-1")
    assert observed.parse("calico", CALICO) == [Flow(source, Party("198.51.100.7"), "TCP", 443)]


def test_both_ends_of_a_flow_tell_what_became_of_it() -> None:
    """It left its source, and did not come in."""
    (flow,) = HUBBLE[:1]
    left = {"flow": {**flow["flow"], "traffic_direction": "EGRESS"}}
    dropped = {"flow": {**flow["flow"], "traffic_direction": "INGRESS", "verdict": "DROPPED"}}
    for records in ([left, dropped], [dropped, left]):
        assert [each.allowed for each in observed.parse("hubble", records)] == [False]
    came = {"flow": {**flow["flow"], "traffic_direction": "INGRESS"}}
    assert [each.allowed for each in observed.parse("hubble", [left, dropped, came])] == [True]
    told = [{**CALICO[0], "reporter": end, "action": action} for end, action in (("src", "allow"), ("dst", "deny"))]
    assert [each.allowed for each in observed.parse("calico", told)] == [False]


def test_what_hubble_does_not_know_to_be_an_answer() -> None:
    answer = {
        "verdict": "FORWARDED",
        "IP": {"source": "10.1.1.1", "destination": "10.1.0.1"},
        "l4": {"TCP": {"source_port": 8080, "destination_port": 50000}},
    }
    assert observed.parse("hubble", [{"flow": answer}]) == []
    call = {**answer, "l4": {"TCP": {"source_port": 50000, "destination_port": 8080}}}
    assert len(observed.parse("hubble", [{"flow": call}])) == 1


#: As Whisker answers: names of replicas begin so, protocol and action are spelled otherwise.
WHISKER: dict[str, t.Any] = {
    "total": {"totalPages": 1},
    "items": [
        {
            "action": action,
            "source_name": "web-*",
            "source_namespace": "shop",
            "dest_name": name,
            "dest_namespace": space,
            "protocol": "tcp",
            "dest_port": port,
            "reporter": "Src",
        }
        for action, name, space, port in (
            ("Allow", "api-*", "api", 80),
            ("Deny", "db-*", "api", 80),
            ("Allow", "pub", "-", 443),
        )
    ],
}


@pytest.mark.parametrize("log", [WHISKER, WHISKER["items"], json.dumps(WHISKER, indent=2)])
def test_flows_of_whisker(log: t.Any) -> None:
    found = observed.parse("calico", log)
    assert [(str(each), each.allowed) for each in found] == [
        ("shop/web-* -> api/api-*: 80", True),
        ("shop/web-* -> api/db-*: 80", False),
        ("shop/web-* -> : 443", True),
    ]
    made = suggest.suggest(found, CLUSTER.pods)
    assert made.items[0]["ingress"] == [
        {"to": {"app": "api"}, "from": [{"namespace": "shop", "pods": {"app": "web"}}], "ports": [80]}
    ]
    assert [each.port for each in made.unknown] == [443]
    asked = Enquiry([*CLUSTER.namespaces, *CLUSTER.pods])
    assert {str(asked.world.endpoints[each.source]) for each in asked.seen(found)} == {"shop/web"}


def test_logs_that_name_replicas_by_what_they_have_in_common() -> None:
    record = {**CALICO[0], "source_name": "-", "source_name_aggr": "web-*", "source_ip": "-"}
    (found,) = observed.parse("calico", [record])
    assert found.source == Party(namespace="shop", pod="web-*")


def test_the_address_of_a_pod_that_is_gone_is_nobodys() -> None:
    """Else rules were made for whoever has it now."""
    (flow,) = HUBBLE[:1]
    gone = {**flow["flow"], "source": {"namespace": "shop", "pod_name": "web-9"}}
    (seen,) = observed.parse("hubble", [{"flow": gone}])
    assert suggest.suggest([seen], CLUSTER.pods) == suggest.Suggestion([], [seen])
    asked = Enquiry([*CLUSTER.namespaces, *CLUSTER.pods])
    assert list(asked.seen([seen])) == []
    gone["source"] = {**gone["source"], "workloads": [{"name": "web", "kind": "Deployment"}]}
    (known,) = observed.parse("hubble", [{"flow": gone}])
    assert suggest.suggest([known], CLUSTER.pods).unknown == []
    assert len(list(asked.seen([known]))) > 0


def test_flags_tell_calls_from_answers() -> None:
    head = "srcaddr dstaddr srcport dstport protocol tcp-flags action\n"
    log = f"{head}10.1.0.1 10.1.0.9 44000 50051 6 2 ACCEPT\n10.1.0.9 10.1.0.1 50051 44000 6 18 ACCEPT\n"
    assert observed.parse("vpc", log) == [Flow(Party("10.1.0.1"), Party("10.1.0.9"), "TCP", 50051)]
    only = "pkt-srcaddr pkt-dstaddr srcport dstport protocol\n10.1.0.1 10.1.0.9 44000 80 6\n"
    assert observed.parse("vpc", only) == [Flow(Party("10.1.0.1"), Party("10.1.0.9"), "TCP", 80)]


def test_ss_of_several_network_namespaces_one_after_the_other() -> None:
    client = (
        "Netid State Recv-Q Send-Q Local Address:Port Peer Address:Port\ntcp SYN-RECV 0 0 10.1.0.2:8081 10.1.0.3:1\n"
    )
    found = observed.parse("ss", SS + client)
    assert found[:2] == observed.parse("ss", SS)
    assert len(found) == 3


def test_vpc() -> None:
    assert observed.parse("vpc", VPC) == [
        Flow(Party("10.1.0.1"), Party("198.51.100.7"), "TCP", 443),
        Flow(Party("198.51.100.7"), Party("10.1.0.1"), "TCP", 22, False),
    ]
    without = VPC.partition("\n")[2]
    assert observed.parse("vpc", without) == observed.parse("vpc", VPC)
    own = "srcaddr dstaddr pkt-dstaddr srcport dstport protocol\n10.1.0.1 10.1.0.9 203.0.113.9 44000 443 17\n"
    assert observed.parse("vpc", own) == [Flow(Party("10.1.0.1"), Party("203.0.113.9"), "UDP", 443)]


def test_ss() -> None:
    assert observed.parse("ss", SS) == [
        Flow(Party("10.1.0.1"), Party("10.1.1.1"), "TCP", 8080),
        Flow(Party("10.1.1.1"), Party("198.51.100.7"), "TCP", 5432),
    ]


def test_what_is_needed() -> None:
    web, outside = {"namespace": "shop", "workload": "web"}, {"domain": "www.example.com"}
    assert observed.parse("declared", [{"from": web, "to": outside, "port": 443, "protocol": "udp"}]) == [
        Flow(Party(namespace="shop", workload="web"), Party(domain="www.example.com"), "UDP", 443, where="declared")
    ]


@pytest.mark.parametrize(
    ("form", "log"),
    [
        ("declared", [{"from": {"workload": "web"}, "to": {"node": "one"}, "port": 1}]),
        ("declared", [{"from": {"node": "two", "address": "192.0.2.1"}, "to": {"node": "one"}, "port": 1}]),
        ("declared", [{"from": {"node": "two"}, "to": {"node": "one"}, "port": 1, "expect": "allowed"}]),
        ("declared", [{"from": {"node": "two"}, "to": {"node": "one"}, "port": 1, "protocol": "GRE"}]),
        ("declared", [{"from": {"node": "two"}, "to": {"name": "one"}, "port": 1}]),
        ("hubble", "no JSON"),
        ("hubble", [1]),
        ("calico", 7),
        ("vpc", "a b c"),
        ("vpc", []),
        ("ss", "nonsense"),
        ("x", ""),
    ],
)
def test_what_is_no_log_is_said_to_be_none(form: str, log: t.Any) -> None:
    with pytest.raises(ItemError):
        observed.parse(form, log)


# -- suggestions


def flow(source: str, destination: str, port: int, protocol: str = "TCP") -> Flow:
    return Flow(_party(source), _party(destination), protocol, port)


def _party(name: str) -> Party:
    space, slash, pod = name.partition("/")
    return Party(namespace=space, pod=pod) if slash else Party(name)


def test_the_usual_case() -> None:
    flows = [
        flow("shop/web-1", "api/api-1", 8080),
        flow("shop/web-2", "api/api-1", 8080),
        flow("shop/web-1", "198.51.100.6", 443),
        flow("shop/web-1", "198.51.100.7", 443),
        flow("203.0.113.9", "198.51.100.7", 1),
    ]
    found = suggest.suggest(flows, CLUSTER.pods)
    assert found.unknown == flows[-1:]
    assert found.items == [
        {
            "namespace": "api",
            "ingress": [
                {"to": {"app": "api"}, "from": [{"namespace": "shop", "pods": {"app": "web"}}], "ports": [8080]}
            ],
        },
        {
            "namespace": "shop",
            "egress": [
                {"from": {"app": "web"}, "to": [{"cidr": "198.51.100.6/31"}], "ports": [443]},
                {"from": {"app": "web"}, "to": [{"namespace": "api", "pods": {"app": "api"}}], "ports": [8080]},
            ],
        },
    ]


def test_nobody_is_helped_to_a_nodes_credentials() -> None:
    seen = flow("shop/web-1", "169.254.169.254", 80)
    assert suggest.suggest([seen], CLUSTER.pods) == suggest.Suggestion([], [seen])


_PORTS = st.frozensets(st.tuples(st.sampled_from(["TCP", "UDP"]), st.integers(1, 4)), min_size=1, max_size=4)


@given(st.lists(_PORTS, min_size=1, max_size=4, unique=True))
def test_no_smaller_set_of_rules_says_the_same(sets: t.Any) -> None:
    """Tried against every set of rules that there is: each is some of the sets, and ports that all of them have."""
    found = suggest.cover(sets)
    wanted = {(each, port) for each in sets for port in each}
    said = [{(each, port) for each in members for port in over} for members, over in found]
    assert set().union(*said) == wanted
    groups = [group for size in range(1, len(sets) + 1) for group in itertools.combinations(sets, size)]
    widest = [{(each, port) for each in group for port in frozenset.intersection(*group)} for group in groups]
    assert not any(
        wanted == set().union(*chosen) for size in range(len(found)) for chosen in itertools.combinations(widest, size)
    )


_ENDS = st.sampled_from(
    ["shop/web-1", "shop/web-2", "shop/api-1", "api/api-1", "api/db-1", "ops/scan-1", "198.51.100.7"]
)
_FLOWS = st.lists(
    st.builds(flow, _ENDS, _ENDS, st.sampled_from([80, 443]), st.sampled_from(["TCP", "UDP"])), max_size=8
)


@given(_FLOWS)
def test_what_was_seen_is_allowed_and_nothing_else(flows: list[Flow]) -> None:
    """Applied with a default deny, the suggestion allows the flows between the workloads that were seen."""
    items = suggest.suggest(flows, CLUSTER.pods).items
    spaces = {item["namespace"]: item for item in items}
    policies = []
    for space in ("shop", "api", "ops"):
        declaration = network.declare(
            {"namespace": space, "dns": False, **spaces.get(space, {})}, "", Context("enforce")
        )
        assert not declaration.problems
        policies += declaration.objects
    asked = Enquiry([*CLUSTER.namespaces, *CLUSTER.pods], declared=policies)

    def endpoint(party: Party) -> int:
        number = asked.world.pod(party.namespace, party.pod)
        return asked.world.address(party.address) if number is None else number

    seen = {(_workload(each.source), _workload(each.destination), each.protocol, each.port) for each in flows}
    names = ["shop/web-1", "shop/api-1", "api/api-1", "api/db-1", "ops/scan-1", "198.51.100.7"]
    for source, destination, port, protocol in itertools.product(names, names, (80, 443), ("TCP", "UDP")):
        one = flow(source, destination, port, protocol)
        if source == destination or (one.source.address and one.destination.address):
            continue
        verdict = asked.after.flow(endpoint(one.source), endpoint(one.destination), ports.point(protocol, port))
        wanted = (_workload(one.source), _workload(one.destination), protocol, port) in seen
        assert verdict.allowed == wanted, (one, verdict)


def _workload(party: Party) -> tuple[str, str]:
    return party.namespace, party.address or party.pod.partition("-")[0]
