# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module on a node: what it writes and puts in place, tells beforehand, puts back, and takes away."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from tests.packets.conftest import BASE, Site
from tests.packets.metadata_service import ROLE
from tests.packets.network import REFUSED, USER_DATA
from tests.support.modules import Result

SCRIPT, UNIT = "/etc/hardened-k8s/metadata", "hardened-k8s-metadata.service"


def done(result: Result) -> Result:
    assert not result.get("failed"), result
    return result


def test_pods_are_led_to_the_agent_and_a_second_run_changes_nothing(site: Site, backend: str) -> None:
    pod = site.pod(5, "cali5", role="web", allowed=["web"])
    site.agent()
    site.world.node.sh("echo [Service] > /etc/systemd/system/kubelet.service")
    result = done(site.run(backend=backend))
    assert result["changed"]
    assert result["findings"] == []
    assert result["backend"] == backend
    assert result["interfaces"] == {"led": ["cali5", "cni0"], "refused": ["ens5"]}
    assert pod.credentials() == f"{BASE}web"
    assert pod.ask(USER_DATA).status != 200
    before = site.everything()
    again = done(site.run(backend=backend))
    assert not again["changed"]
    assert site.everything() == before


def test_check_mode_predicts_a_first_run_and_does_nothing(site: Site, backend: str) -> None:
    pod, before = site.pod(5), site.everything()
    predicted = done(site.run(check=True, backend=backend))
    assert site.everything() == before
    assert pod.credentials() == ROLE
    result = done(site.run(backend=backend))
    assert {key: predicted[key] for key in ("changed", "files", "diff")} == {
        key: result[key] for key in ("changed", "files", "diff")
    }
    assert SCRIPT in {item["path"] for item in result["files"]}
    assert not done(site.run(check=True, backend=backend))["changed"]


def test_removal_leaves_nothing(site: Site, backend: str) -> None:
    pod, before = site.pod(5), site.everything()
    site.run(backend=backend)
    assert pod.ask(USER_DATA) == REFUSED
    predicted = site.everything()
    assert done(site.run(check=True, state="absent"))["changed"]
    assert site.everything() == predicted
    assert done(site.run(state="absent"))["changed"]
    left = {line for line in site.everything().splitlines() if line not in before.splitlines()}
    assert {line for line in left if "hardened_k8s" in line or "metadata" in line} <= {"hardened-k8s-metadata.lock"}
    assert not Path(SCRIPT).parent.exists()
    assert pod.credentials() == ROLE
    assert not done(site.run(state="absent"))["changed"]


def test_what_was_flushed_by_hand_is_a_change_and_put_back(site: Site) -> None:
    site.run(mode="block")
    site.world.node.sh("nft flush ruleset")
    predicted = site.run(check=True, mode="block")
    assert predicted["changed"]
    assert predicted["files"] == []
    assert "rules are gone or changed" in str(predicted["diff"])
    assert done(site.run(mode="block"))["changed"]
    assert "hardened_k8s_metadata" in site.world.node.sh("nft list tables")
    assert not done(site.run(mode="block"))["changed"]


def test_another_declaration_takes_the_place_of_the_former(site: Site) -> None:
    pod = site.pod(5, role="web", allowed=["web"])
    site.agent()
    site.run(address="169.254.81.82", kubelet_units=["k3s.service"])
    assert pod.credentials() == f"{BASE}web"
    assert done(site.run(backend="iptables"))["changed"]
    assert pod.credentials() == f"{BASE}web"
    assert "81.82" not in site.everything()
    assert "k3s.service.d" not in site.everything()
    assert done(site.run(mode="block"))["changed"]
    assert pod.ask() == REFUSED
    assert "169.254.81.81" not in site.everything()


def test_a_node_that_would_lose_its_own_metadata_is_put_back(site: Site, backend: str) -> None:
    """As with rules of somebody else that count on ours not being there; here, routing that was changed."""
    pod, before = site.pod(5), site.everything()
    # a program of the node that does not do what it is told
    site.world.node.sh(
        """
        cat > /usr/local/sbin/ip << 'SCRIPT'
#!/bin/sh
case "$*" in
*goto*) exec /usr/sbin/ip $(echo "$*" | sed 's/169.254.169.254/192.0.2.99/; s/fd00:ec2::254/2001:db8::99/') ;;
*) exec /usr/sbin/ip "$@" ;;
esac
SCRIPT
        chmod 755 /usr/local/sbin/ip
        """
    )
    result = site.run(backend=backend)
    assert result["failed"]
    assert "the node itself would have lost its metadata service" in result["msg"]
    assert "Everything was put back" in result["msg"]
    left = set(site.everything().splitlines()) - set(before.splitlines())
    assert not {line for line in left if "hardened_k8s" in line or "169.254" in line or "etc/" in line}, left
    assert pod.credentials() == ROLE


def test_rules_that_cannot_be_put_in_place_are_put_back(site: Site) -> None:
    before = site.everything()
    site.world.node.sh(
        """
        printf '#!/bin/sh\\ncase "$*" in --check*) ;; --file*) echo no such module >&2; exit 1 ;; esac\\n' > /usr/local/sbin/nft
        chmod 755 /usr/local/sbin/nft
        """
    )
    result = site.run()
    assert result["failed"]
    site.world.node.sh("rm /usr/local/sbin/nft")
    left = set(site.everything().splitlines()) - set(before.splitlines())
    assert not {line for line in left if "hardened_k8s" in line or "169.254" in line or "etc/" in line}, left


WRONG: list[tuple[dict[str, t.Any], str]] = [
    ({"interfaces": ["ens+"]}, "'ens+' is also ens5, which is none of a pod's"),
    ({"interfaces": ["cali+", "+"]}, "'+' is also ens5"),
    ({"interfaces": ["lo"]}, "'lo' is also lo"),
    ({"interfaces": ["cali 1"]}, "'cali 1' is no name of interfaces"),
    ({"interfaces": ["a-name-that-is-too-long"]}, "is no name of interfaces"),
    ({"address": "192.0.2.10"}, "192.0.2.10 is not free for this node alone"),
    ({"address": "169.254.169.253"}, "169.254.169.253 is not free"),
    ({"address": "here"}, "'here' is no IPv4 address"),
    ({"port": 0}, "0 is no port"),
    ({"kubelet_units": ["kubelet"]}, "kubelet_units has 'kubelet', which is no name of a service"),
    ({"kubelet_units": ["k3s.service", "../k3s.service"]}, "'../k3s.service', which is no name of a service"),
]


@pytest.mark.parametrize(("params", "message"), WRONG)
def test_what_cannot_be_is_refused_before_anything_is_written(
    site: Site, params: dict[str, t.Any], message: str
) -> None:
    before = site.everything()
    for check in (True, False):
        result = site.run(check=check, **params)
        assert result["failed"]
        assert message in result["msg"], result["msg"]
    assert set(site.everything().splitlines()) - set(before.splitlines()) <= {"hardened-k8s.lock"}


def test_an_address_that_another_interface_has_is_refused(site: Site) -> None:
    site.world.node.sh("ip address add 169.254.81.81/32 dev cni0")
    assert "cni0 has 169.254.81.81 already" in site.run()["msg"]


def test_what_leaves_pods_without_credentials_is_told(site: Site) -> None:
    site.pod(5, "cali5")
    result = done(site.run(check=True, interfaces=["eni+"]))
    found = {finding["rule"]: finding["name"] for finding in result["findings"]}
    assert found == {
        "metadata/no-interface": "eni+",
        "metadata/no-agent": "8181",
        "metadata/no-kubelet": "kubelet.service",
    }
    assert result["interfaces"] == {"led": [], "refused": ["cali5", "cni0", "ens5"]}


def test_kubelet_does_not_start_without_the_rules(site: Site) -> None:
    site.world.node.sh("echo [Service] > /etc/systemd/system/k3s.service")
    result = done(site.run())
    assert result["kubelet_units"] == ["k3s.service"]
    drop_in = site.world.node.sh("cat /etc/systemd/system/k3s.service.d/*.conf")
    assert f"Requires={UNIT}" in drop_in
    assert f"After={UNIT}" in drop_in
    assert "k3s.service" in site.world.node.sh(f"grep ^Before= /etc/systemd/system/{UNIT}")
    assert UNIT in site.world.node.sh("grep ^Wants= /etc/systemd/system/multi-user.target.d/*.conf"), "without it, too"


def test_a_unit_that_is_not_there_is_told(site: Site) -> None:
    """Whatever really starts pods would not wait."""
    site.world.node.sh("echo [Service] > /etc/systemd/system/k3s.service")
    result = done(site.run(mode="block", kubelet_units=["k3s.service", "rke2-server.service"]))
    assert {finding["rule"]: finding["name"] for finding in result["findings"]} == {
        "metadata/no-kubelet": "rke2-server.service"
    }


@pytest.mark.parametrize(
    ("configuration", "rule", "name"),
    [
        ('{"type": "macvlan", "master": "ens5"}', "metadata/beside", "macvlan"),
        ('{"plugins": [{"type": "ipvlan", "ipam": {"type": "host-local"}}]}', "metadata/beside", "ipvlan"),
        ('{"type": "multus", "delegates": [{"plugins": [{"type": "sriov"}]}]}', "metadata/beside", "sriov"),
        ('{"plugins": [{"type": "cilium-cni"}]}', "metadata/ebpf", "cilium-cni"),
        ('{"plugins": [{"type": "bridge"}, {"type": "portmap"}]}', "", ""),
        ("not JSON", "", ""),
    ],
)
def test_pods_whose_packets_rules_need_not_see_are_told(site: Site, configuration: str, rule: str, name: str) -> None:
    site.world.node.sh(
        "echo [Service] > /etc/systemd/system/kubelet.service; rm -rf /etc/cni; mkdir -p /etc/cni/net.d;"
        f" echo '{configuration}' > /etc/cni/net.d/10-net.conflist"
    )
    result = done(site.run(check=True, mode="block"))
    assert [(finding["rule"], finding["name"]) for finding in result["findings"]] == ([(rule, name)] if rule else [])


def test_an_ebpf_data_path_is_told_by_its_interface(site: Site) -> None:
    site.world.node.sh("ip link add cilium_host type veth peer name cilium_net")
    found = done(site.run(check=True))["findings"]
    assert {"metadata/ebpf": "cilium_host"}.items() <= {item["rule"]: item["name"] for item in found}.items()
