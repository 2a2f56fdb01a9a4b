# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pods reach at the metadata address, packet by packet, whatever goes wrong on the node."""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import threading
import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.node import metadata

from tests.packets.conftest import BASE, Site
from tests.packets.metadata_service import ROLE
from tests.packets.network import (
    CREDENTIALS,
    LOST,
    METADATA,
    METADATA_IPV6,
    REFUSED,
    USER_DATA,
    Namespace,
    Pod,
    ask,
    until,
)

#: What lets root send from an address that is not its own.
_TRANSPARENT = {socket.AF_INET: 19, socket.AF_INET6: 75}


def nodes_role(pod: Pod, **about: t.Any) -> bool:
    """Whether a pod gets anything that is the node's, by any way to it."""
    ways = [
        pod.ask(f"{CREDENTIALS}nodes", **about),
        pod.ask(USER_DATA, **about),
        pod.ask(USER_DATA, port=81, **about),
        pod.ask(USER_DATA, host=METADATA_IPV6, **about),
    ]
    return any(answer.text in (ROLE, "bootstrap-secret") for answer in ways)


def test_without_rules_a_pod_gets_the_nodes_role_by_every_way(site: Site) -> None:
    """Otherwise what is closed below would prove nothing."""
    for pod in (site.pod(5), site.pod(6, "cali6")):
        assert pod.credentials() == ROLE
        assert pod.ask(USER_DATA).text == "bootstrap-secret"
        assert pod.ask(USER_DATA, port=81).status == 200
        assert pod.ask(USER_DATA, host=METADATA_IPV6).status == 200


def test_a_pod_gets_its_own_role_and_nothing_of_the_nodes(site: Site, backend: str) -> None:
    pods = [site.pod(5, role="web", allowed=["web"]), site.pod(6, "cali6", role="web", allowed=["w*"])]
    none, forbidden = site.pod(7), site.pod(8, role="admin", allowed=["web"])
    site.rules(backend)
    site.agent()
    for pod in pods:
        assert pod.credentials() == f"{BASE}web"
    for pod in (none, forbidden):
        assert pod.ask().status == 404
    for pod in (*pods, none, forbidden):
        assert not nodes_role(pod)
        assert pod.ask(USER_DATA, port=81) == REFUSED
        assert pod.ask(USER_DATA, host=METADATA_IPV6) == REFUSED


def test_the_node_itself_keeps_its_metadata(site: Site, backend: str) -> None:
    site.rules(backend)
    assert site.world.node.call(lambda: ask(f"{CREDENTIALS}nodes")).text == ROLE
    assert site.world.node.call(lambda: ask(USER_DATA, host=METADATA_IPV6)).status == 200


def test_without_an_agent_the_connection_is_refused(site: Site, backend: str) -> None:
    pod = site.pod(5, role="web", allowed=["web"])
    site.rules(backend)
    assert pod.ask() == REFUSED, "not yet started"
    agent = site.agent()
    assert pod.credentials() == f"{BASE}web"
    agent.kill()
    assert pod.ask() == REFUSED, "killed"
    assert not nodes_role(pod)
    agent.start()
    assert pod.credentials() == f"{BASE}web"


def test_only_pods_of_this_node_reach_the_agent_and_only_by_the_metadata_address(site: Site, backend: str) -> None:
    pod = site.pod(5, role="web", allowed=["web"])
    site.agent()
    places = [("192.0.2.10", 8181), ("198.51.100.1", 8181), ("2001:db8::10", 8181)]
    for host, port in places:
        assert site.world.outside.call(functools.partial(ask, "/", host=host, port=port)) != LOST
    site.rules(backend)
    site.world.outside.sh("ip route add 169.254.81.81/32 via 192.0.2.10; ip route add 198.51.100.77 via 192.0.2.10")
    places.append(("169.254.81.81", 8181))
    for host, port in places:
        for namespace in (site.world.outside, pod):
            found = namespace.call(functools.partial(ask, "/", host=host, port=port, seconds=1))
            assert found == LOST, (host, namespace is pod)
        if "." in host:
            assert site.world.node.call(functools.partial(ask, "/", host=host, port=port)) != LOST
    assert pod.credentials() == f"{BASE}web"


def test_the_agents_address_is_no_way_to_other_ports_of_the_node(site: Site, backend: str) -> None:
    pod = site.pod(5)
    site.rules(backend)
    site.world.serve("metadata_service.py", "--address=169.254.81.81")
    assert site.world.node.call(lambda: ask(USER_DATA, host="169.254.81.81", port=81)).status == 200
    assert pod.ask(USER_DATA, host="169.254.81.81", port=81, seconds=1) == LOST


def test_others_cannot_use_the_node_as_a_way_to_its_metadata(site: Site, backend: str) -> None:
    """Whoever is beside the node in its network, and pretends to be one of its pods."""
    neighbour = site.world.outside
    neighbour.sh("ip address del 169.254.169.254/32 dev ens5; ip route add 169.254.169.254/32 via 192.0.2.10")
    site.agent()
    site.rules(backend)
    assert neighbour.call(lambda: ask(USER_DATA)) == REFUSED


def test_interfaces_by_name_are_led_to_the_agent_and_all_others_refused(site: Site, backend: str) -> None:
    named, other = site.pod(6, "eni6", role="web", allowed=["web"]), site.pod(7, "vlan7", role="web", allowed=["web"])
    site.agent()
    site.rules(backend, interfaces=("eni+",))
    assert named.credentials() == f"{BASE}web"
    assert other.ask() == REFUSED
    assert not nodes_role(other)
    site.rules(backend, interfaces=("eni+", "vlan+"))
    assert other.credentials() == f"{BASE}web"


def test_blocking_alone_refuses_every_pod(site: Site, backend: str) -> None:
    pods = [site.pod(5), site.pod(6, "cali6")]
    agent = site.agent()
    site.rules(backend, redirect=False)
    for pod in pods:
        assert pod.ask() == REFUSED
        assert not nodes_role(pod)
        assert pod.ask("/", host="198.51.100.1", port=8181).status, "the agent's port is nobody's then"
    agent.kill()
    assert site.world.node.call(lambda: ask(f"{CREDENTIALS}nodes")).text == ROLE


def test_pod_identity_stays_open(site: Site, backend: str) -> None:
    """Its agent is on the network of every node, at addresses of its own."""
    pod = site.pod(5)
    site.world.node.sh("ip address add 169.254.170.23/32 dev lo; ip -6 address add fd00:ec2::23/128 dev lo nodad")
    site.world.serve("metadata_service.py", "--address=169.254.170.23")
    site.world.serve("metadata_service.py", "--address=fd00:ec2::23")
    site.rules(backend, redirect=False)
    assert pod.ask() == REFUSED
    for host in ("169.254.170.23", "fd00:ec2::23"):
        assert pod.ask("/v1/credentials", host=host).status == 404


def flush(node: Namespace) -> None:
    node.sh("nft flush ruleset; iptables -F; iptables -t nat -F; ip6tables -F")


def test_flushed_rules_open_nothing_and_are_restored(site: Site, backend: str) -> None:
    pod = site.pod(5, role="web", allowed=["web"])
    site.agent()
    site.rules(backend)
    flush(site.world.node)
    assert pod.ask() == REFUSED
    assert not nodes_role(pod)
    site.rules(backend, "restore")
    assert pod.credentials() == f"{BASE}web"


def test_a_firewall_that_is_loaded_anew_opens_nothing(site: Site, backend: str) -> None:
    pod = site.pod(5, role="web", allowed=["web"])
    site.agent()
    site.rules(backend)
    site.world.node.sh(
        """
        printf 'flush ruleset\\ntable ip filter {\\n chain FORWARD {\\n type filter hook forward priority 0;\\n }\\n}\\n' |
            nft --file -
        printf '*nat\\n:PREROUTING ACCEPT\\n:OUTPUT ACCEPT\\nCOMMIT\\n' | iptables-restore
        printf '*filter\\n:INPUT ACCEPT\\n:FORWARD ACCEPT\\n:OUTPUT ACCEPT\\nCOMMIT\\n' | iptables-restore
        """
    )
    assert not nodes_role(pod)
    site.rules(backend, "restore")
    assert pod.credentials() == f"{BASE}web"


def test_routing_rules_that_are_gone_open_nothing_and_are_restored(site: Site, backend: str) -> None:
    """As systemd-networkd and network plug-ins may do when they start."""
    pod = site.pod(5, role="web", allowed=["web"])
    site.agent()
    site.rules(backend)
    site.world.node.sh("for p in 81 82 83; do ip rule del priority $p; ip -6 rule del priority $p; done")
    assert not nodes_role(pod)
    assert pod.credentials() == f"{BASE}web"
    site.world.node.sh("ip address flush dev lo; ip address add 127.0.0.1/8 dev lo")
    assert not nodes_role(pod)
    site.rules(backend, "restore")
    assert site.world.node.sh("ip rule").count("169.254.169.254") == 2
    assert site.world.node.sh("ip -6 rule").count("fd00:ec2::254") == 2
    assert pod.credentials() == f"{BASE}web"


@pytest.mark.parametrize("redirect", [True, False])
def test_what_a_network_plugin_accepts_before_our_rules_opens_nothing(site: Site, backend: str, redirect: bool) -> None:
    """As Calico's does, which puts its rules first, again and again."""
    pod, other = site.pod(5), site.pod(6, "vlan6")
    site.agent()
    site.rules(backend, redirect=redirect, interfaces=("cni0",))
    site.world.node.sh(
        """
        for command in iptables ip6tables; do
            for chain in INPUT FORWARD; do $command -I $chain 1 -j ACCEPT; done
        done
        for p in 81 82 83; do ip rule del priority $p; ip -6 rule del priority $p; done
        """
    )
    for each in (pod, other):
        assert not nodes_role(each, seconds=3)
    direct = pod.ask("/", host="192.0.2.10", port=8181, seconds=3)
    assert (direct == LOST) == redirect, "blocking alone leaves the port to whoever has it"


def test_rules_that_are_in_place_stay_as_they_are(site: Site, backend: str) -> None:
    def state() -> str:
        listed = "nft --stateless list ruleset; ip rule; ip -6 rule; ip address show dev lo"
        return site.world.node.sh(listed)

    site.rules(backend)
    before = state()
    site.rules(backend, "restore")
    assert state() == before
    site.rules(backend, "apply")
    assert state() == before


def test_what_somebody_takes_away_meanwhile_is_not_taken_for_how_it_is_to_be(site: Site, backend: str) -> None:
    site.world.node.sh(
        """
        cat > /usr/local/sbin/ip << 'SCRIPT'
#!/bin/sh
case "$*" in *prohibit*) nft flush ruleset; for t in nat mangle filter; do iptables -t $t -F; ip6tables -t $t -F; done ;; esac
exec /usr/sbin/ip "$@"
SCRIPT
        chmod 755 /usr/local/sbin/ip
        """
    )
    with pytest.raises(RuntimeError, match="do not stay in place"):
        site.rules(backend)
    with pytest.raises(RuntimeError):
        site.rules(backend, "check")
    site.world.node.sh("rm /usr/local/sbin/ip")
    site.rules(backend, "restore")
    site.rules(backend, "check")
    pod = site.pod(5, role="web", allowed=["web"])
    site.agent()
    assert pod.credentials() == f"{BASE}web"


def test_rules_for_ipv6_come_with_it(site: Site, backend: str) -> None:
    """As when its module is loaded after they were put in place."""

    def run(action: str) -> None:
        script = metadata.script(metadata.Rules(uplinks=("ens5",)), backend)
        site.world.node.sh(script.replace("/proc/net/if_inet6", "/run/if_inet6"), action)

    run("apply")
    run("check")
    assert METADATA_IPV6 not in site.world.node.sh("ip -6 rule")
    site.world.node.sh("touch /run/if_inet6")
    run("restore")
    run("check")
    assert site.world.node.sh("ip -6 rule").count(METADATA_IPV6) == 2
    assert METADATA_IPV6 in site.world.node.sh("nft --stateless list ruleset; ip6tables-save")


@pytest.mark.parametrize(
    ("address", "stranger", "own", "family"),
    [
        (METADATA, "198.51.100.77", "192.0.2.10", socket.AF_INET),
        (METADATA_IPV6, "2001:db8:244::77", "2001:db8::10", socket.AF_INET6),
    ],
)
def test_what_leaves_like_the_nodes_own_and_is_not_opens_nothing(
    site: Site, backend: str, address: str, stranger: str, own: str, family: socket.AddressFamily
) -> None:
    """As IPVS sends what a Service has an endpoint for."""

    def send(source: str) -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            level = socket.SOL_IP if family == socket.AF_INET else socket.IPPROTO_IPV6
            sender.setsockopt(level, _TRANSPARENT[family], 1)
            sender.bind((source, 0))
            with contextlib.suppress(PermissionError):  # what a rule drops on its way out
                sender.sendto(b"x", (address, 9999))

    with site.world.outside.call(lambda: socket.socket(family, socket.SOCK_DGRAM)) as listening:
        listening.bind((address, 9999))
        listening.settimeout(3)  # neighbours are looked for first

        def arrives(source: str) -> bool:
            site.world.node.call(functools.partial(send, source))
            try:
                return listening.recv(10) == b"x"
            except TimeoutError:
                return False

        assert arrives(own)
        assert arrives(stranger)
        site.rules(backend)
        assert not arrives(stranger)
        assert arrives(own)


def test_no_pod_of_two_hundred_gets_through_while_rules_come_and_go(site: Site, backend: str) -> None:
    """Rules are flushed, and restored by somebody else, all the time that pods start and ask."""
    site.rules(backend)
    pods = [site.pod(number, f"cali{number}") for number in range(10, 30)]
    over = threading.Event()

    def again_and_again(action: t.Callable[[], None]) -> None:
        while not over.is_set():
            with contextlib.suppress(RuntimeError):  # what one of them takes away, the other one misses
                action()

    actions = (lambda: flush(site.world.node), lambda: site.rules(backend, "restore"))
    disturbing = [threading.Thread(target=again_and_again, args=(action,)) for action in actions]
    for thread in disturbing:
        thread.start()
    try:
        got: list[int] = []
        for _round in range(10):
            asking = [
                threading.Thread(target=lambda pod=pod, host=host: got.append(pod.ask(USER_DATA, host=host).status))
                for pod in pods
                for host in (METADATA, METADATA_IPV6)
            ]
            for thread in asking:
                thread.start()
            for thread in asking:
                thread.join()
    finally:
        over.set()
        for thread in disturbing:
            thread.join()
    assert len(got) == 400, "each by both families"
    assert set(got) == {0}


def test_removal_leaves_nothing(site: Site, backend: str) -> None:
    def state() -> str:
        listed = "nft list tables; ip rule; ip -6 rule; ip address show dev lo; iptables-save; ip6tables-save; ls /run"
        # but for the lock, which may have been there before
        return re.sub("(?m)^#.*\n|^hardened-k8s-metadata.lock\n", "", site.world.node.sh(listed))

    if backend == "iptables":  # whose own tables stay, empty
        site.rules(backend)
        site.rules(backend, "remove")
    pod = site.pod(5)
    before = state()
    site.rules(backend)
    assert not nodes_role(pod)
    site.rules(backend, "remove")
    assert state() == before
    assert pod.credentials() == ROLE
    site.rules(backend, "remove")


def test_another_backend_address_or_mode_leaves_nothing_of_the_former(site: Site) -> None:
    node = site.world.node
    site.rules("nftables")
    site.rules("iptables", address="169.254.81.82")
    assert "hardened" not in node.sh("nft list tables")
    assert "169.254.81.81" not in node.sh("ip address; iptables-save")
    assert "169.254.81.82/32" in node.sh("ip address")
    site.rules("iptables", redirect=False)
    assert "169.254.81.82" not in node.sh("ip address; iptables-save")
    site.rules("nftables", redirect=False)
    assert "HARDENED" not in node.sh("iptables-save; ip6tables-save")


def test_a_connection_from_before_the_rules_is_cut(site: Site, backend: str) -> None:
    pod = site.pod(5)
    import http.client

    def connect() -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("169.254.169.254", timeout=0.5)
        connection.request("GET", USER_DATA)
        assert connection.getresponse().read() == b"bootstrap-secret"
        return connection

    connection = pod.call(connect)
    site.rules(backend)

    def again() -> int:
        try:
            connection.request("GET", USER_DATA)
            return connection.getresponse().status
        except OSError:
            return 0

    assert again() == 0
    connection.close()
    until(lambda: pod.ask() == REFUSED, "refused")
