# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node whose pods do not reach its metadata service: what is there, and how it becomes so."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.node import metadata
from ansible_collections.hardened.k8s.plugins.module_utils.node.change import Command, Effect
from ansible_collections.hardened.k8s.plugins.module_utils.node.files import File, Step, remove_empty
from ansible_collections.hardened.k8s.plugins.module_utils.node.module import Params, Wanted
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

_UNITS = "/etc/systemd/system"
_SERVICE = re.compile(r"[\w:.\\@-]+\.service", re.ASCII)
#: Where network plug-ins are configured; the second is that of k3s.
_CNI = ("/etc/cni/net.d", "/var/lib/rancher/k3s/agent/etc/cni/net.d")
#: Plug-ins whose pods do not go through the node's network.
_NO_PATH = frozenset(["host-device", "ipvlan", "macvlan", "sriov"])
_EBPF = frozenset(["cilium-cni"])
#: Those of Cilium, and of Calico's eBPF data plane.
_EBPF_INTERFACES = ("cilium_host", "bpfin.cali")
_TO_REMOVE: Command = ("/bin/sh", "-c", metadata.removal(), "metadata", "remove")
_RELOAD: Command = ("systemctl", "daemon-reload")
#: systemctl complains of units that it does not know, which are those whose files are gone and which did not run.
#: A timer that elapses after its files are gone fails, and systemd keeps what has failed in mind.
_STOP = """\
systemctl stop "$@" 2> /dev/null
for unit in "$@"; do
    systemctl reset-failed "$unit" 2> /dev/null
done
! systemctl is-active --quiet "$@"
"""
_STOP_ALL: Command = ("/bin/sh", "-c", _STOP, "stop", *metadata.ALL_UNITS)
_START: t.Tuple[Command, ...] = (
    _RELOAD,
    ("systemctl", "reload-or-restart", metadata.UNIT),
    ("systemctl", "start", metadata.TIMER),
)


def declare(node: Node, params: Params) -> Wanted:
    """Rules as they are wanted, or none."""
    if not node.find("systemctl") or not node.exists("/run/systemd/system"):
        raise HardenedError("this node has no systemd, which puts the rules in place before pods start")
    if not node.find("ip"):
        raise HardenedError("this node has no ip", "Install iproute2")
    return _present(node, params) if params["state"] == "present" else _absent(node)


# -- with rules


def _present(node: Node, params: Params) -> Wanted:
    uplinks = _uplinks(node)
    rules = metadata.Rules(
        redirect=params["mode"] == "redirect",
        address=_address(node, params["address"]),
        port=_port(params["port"]),
        interfaces=metadata.globs(params["interfaces"], uplinks),
        uplinks=uplinks,
    )
    backend = _backend(node, params["backend"])
    kubelets = _services(params["kubelet_units"]) or _kubelets(node)
    files = metadata.files(rules, backend, kubelets)
    wanted = Wanted(
        files=[File(path, content, 0o755 if path == metadata.SCRIPT else 0o644) for path, content in files.items()],
        check=lambda: _check(node, rules, backend),
        effect=lambda steps: _effect(node, steps),
        differs=_differs(node),
        result={
            "backend": backend,
            "interfaces": _interfaces(node, rules),
            "kubelet_units": list(kubelets),
        },
    )
    wanted.files += [File(path, None) for path in _drop_ins(node) if path not in files]
    wanted.findings += _findings(rules, wanted.result["interfaces"])
    wanted.findings += _not_waiting(node, kubelets)
    wanted.findings += _beside(node)
    return wanted


def _port(port: int) -> int:
    if not 0 < port < 65536:
        raise HardenedError(f"{port} is no port", "Write the agent's --app-port, such as 8181")
    return port


def _address(node: Node, text: str) -> str:
    """The address at which this node alone has the agent.

    :raises HardenedError: it cannot be one, or somebody else's interface has it.
    """
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError as error:
        raise HardenedError(f"{text!r} is no IPv4 address", "Write one, such as 169.254.81.81") from error
    if not address.is_link_local or str(address).startswith(("169.254.169.", "169.254.170.")):
        raise HardenedError(
            f"{text} is not free for this node alone",
            "Choose a link-local one that is not AWS's, such as 169.254.81.81",
        )
    for line in node.run("ip", "-4", "-oneline", "address").out.splitlines():
        interface, family, found = line.split()[1:4]
        if family == "inet" and found.partition("/")[0] == text and interface != "lo":
            raise HardenedError(f"{interface} has {text} already", "Choose another address")
    return text


def _backend(node: Node, wanted: str) -> str:
    """Which of the two puts rules in place.

    :raises HardenedError: it is not there.
    """
    programs = {"nftables": ["nft"], "iptables": ["iptables-restore"]}
    if node.exists("/proc/net/if_inet6"):
        programs["iptables"].append("ip6tables-restore")
    for backend in programs if wanted == "auto" else (wanted,):
        if all(map(node.find, programs[backend])):
            return backend
    missing = "neither nftables nor iptables" if wanted == "auto" else f"no {wanted}"
    raise HardenedError(f"this node has {missing}", "Install nftables")


def _services(names: t.Sequence[str]) -> t.Tuple[str, ...]:
    """Units as they are named.

    :raises HardenedError: nothing would ever start by this name, so that nothing would wait.
    """
    for name in names:
        if not _SERVICE.fullmatch(name):
            raise HardenedError(
                f"kubelet_units has {name!r}, which is no name of a service", "Write it whole, such as kubelet.service"
            )
    return tuple(dict.fromkeys(names))


def _kubelets(node: Node) -> t.Tuple[str, ...]:
    """Units that start pods here; kubelet where none is there yet."""
    return _loaded(node, metadata.KUBELETS) or ("kubelet.service",)


def _loaded(node: Node, units: t.Sequence[str]) -> t.Tuple[str, ...]:
    """Those of the units that are there."""
    shown = node.run("systemctl", "show", *units, "--property=Id,LoadState", check=False).out
    about = (dict(line.split("=", 1) for line in part.splitlines() if "=" in line) for part in shown.split("\n\n"))
    there = {unit.get("Id") for unit in about if unit.get("LoadState") == "loaded"}
    return tuple(name for name in units if name in there)


def _not_waiting(node: Node, kubelets: t.Sequence[str]) -> t.Iterator[Finding]:
    there = _loaded(node, kubelets)
    for name in kubelets:
        if name not in there:
            yield Finding(
                "metadata/no-kubelet",
                Ref("Unit", "", name),
                "there is no such unit, so whatever starts pods here need not wait for the rules",
                "Name what does in kubelet_units, or run this again once it is there",
            )


# -- pods whose packets netfilter need not see


def _beside(node: Node) -> t.Iterator[Finding]:
    plugins = _plugins(node)
    for name in sorted(plugins & _NO_PATH):
        yield Finding(
            "metadata/beside",
            Ref("Plugin", "", name),
            "pods of this plug-in are in the uplink's network, where no rule of the node sees their packets",
            "Keep such pods from the metadata address in the network itself, or on nodes whose metadata service is off",
        )
    paths = sorted(plugins & _EBPF) + [name for name in _EBPF_INTERFACES if node.exists(f"/sys/class/net/{name}")]
    if paths:
        yield Finding(
            "metadata/ebpf",
            Ref("Plugin", "", paths[0]),
            "an eBPF data path may pass by netfilter, and a proxy in it asks as the node itself",
            "Ask from a pod; let tokens live for one hop, and with Cilium add a CiliumLocalRedirectPolicy",
        )


def _plugins(node: Node) -> t.Set[str]:
    """Names of the network plug-ins that this node is configured for."""
    found: t.Set[str] = set()
    for folder in _CNI:
        for name in node.names(folder):
            if name.endswith((".conf", ".conflist", ".json")):
                found |= set(_types(node.text(f"{folder}/{name}")))
    return found


def _types(text: str) -> t.Iterator[str]:
    """All that a configuration calls a type: plug-ins of a list, and those that one hands on to."""
    try:
        left = [json.loads(text)]
    except ValueError:
        return
    while left:
        item = left.pop()
        if isinstance(item, dict):
            if isinstance(item.get("type"), str):
                yield item["type"]
            left += item.values()
        elif isinstance(item, list):
            left += item


def _uplinks(node: Node) -> t.Tuple[str, ...]:
    """Interfaces that have a default route."""
    found = set()
    for line in node.text("/proc/net/route").splitlines()[1:]:
        name, destination, _gateway, _flags, _count, _use, _metric, mask = line.split()[:8]
        if destination == mask == "00000000":
            found.add(name)
    for line in node.text("/proc/net/ipv6_route").splitlines():
        fields = line.split()
        if fields[0] == "0" * 32 and fields[1] == "00":
            found.add(fields[-1])
    return tuple(sorted(found - {"lo"}))


def _interfaces(node: Node, rules: metadata.Rules) -> t.Dict[str, t.List[str]]:
    """Interfaces by what becomes of packets that come in by them, as far as they are there."""
    led: t.List[str] = []
    refused: t.List[str] = []
    for name in node.names("/sys/class/net"):
        if name == "lo" or not node.exists(f"/sys/class/net/{name}/ifindex"):
            continue
        wanted = any(metadata.matches(glob, name) for glob in rules.interfaces or ("+",))
        (led if rules.redirect and wanted and name not in rules.uplinks else refused).append(name)
    return {"led": led, "refused": refused}


def _findings(rules: metadata.Rules, interfaces: t.Mapping[str, t.Sequence[str]]) -> t.Iterator[Finding]:
    for glob in rules.interfaces:
        if rules.redirect and not any(metadata.matches(glob, name) for name in interfaces["led"]):
            yield Finding(
                "metadata/no-interface",
                Ref("Interface", "", glob),
                "no interface has this name, so perhaps none of a pod ever has",
                "Look at the names while pods run; a pod that none of them fits is refused",
            )
    if rules.redirect and not _listens(rules.port):
        yield Finding(
            "metadata/no-agent",
            Ref("Port", "", str(rules.port)),
            "nothing listens there, so pods are refused",
            "Run hardened.k8s.kube2iam for the cluster, or choose mode block",
        )


def _listens(port: int) -> bool:
    return _connects("127.0.0.1", port)


def _connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def _check(node: Node, rules: metadata.Rules, backend: str) -> None:
    """Have those who will read the rules judge them."""
    if backend == "nftables":
        node.run("nft", "--check", "--file", "-", stdin=metadata.nftables(rules))
        return
    node.run("iptables-restore", "--test", "--noflush", stdin=metadata.iptables(rules))
    if node.exists("/proc/net/if_inet6"):
        node.run("ip6tables-restore", "--test", "--noflush", stdin=metadata.iptables(rules, metadata.IPV6))


def _differs(node: Node) -> t.List[str]:
    """What is not in place, although its files may be."""
    if not node.exists(metadata.SCRIPT):
        return ["no rules"]
    found = []
    if _in_place(node):
        found.append(_in_place(node))
    for unit in (metadata.UNIT, metadata.TIMER):
        state = node.unit(unit, "ActiveState").get("ActiveState")
        if state not in ("active", "activating"):
            found.append(f"{unit} is {state or 'not there'}")
    return found


def _in_place(node: Node) -> str:
    """Empty when all rules are in place."""
    done = node.run("/bin/sh", node.real(metadata.SCRIPT), "check", check=False)
    return "rules are gone or changed" if done.rc else ""


def _effect(node: Node, steps: t.Sequence[Step]) -> Effect:
    new = any(step.path == metadata.SCRIPT and step.before is None for step in steps)
    reached = _connects(metadata.IPV4, 80)

    def verify() -> None:
        missing = _in_place(node)
        if missing:
            raise HardenedError(f"after they were put in place, {missing}")
        if reached and not _connects(metadata.IPV4, 80):
            raise HardenedError("the node itself would have lost its metadata service")

    undo = [_RELOAD, _STOP_ALL, _TO_REMOVE] if new else [*_START]
    return Effect(do=[*_START], undo=undo, verify=verify)


# -- without rules


def _absent(node: Node) -> Wanted:
    paths = [metadata.SCRIPT, *(f"{_UNITS}/{unit}" for unit in metadata.ALL_UNITS), *_drop_ins(node)]
    return Wanted(
        files=[File(path, None) for path in paths],
        effect=lambda steps: Effect(do=[_RELOAD, _STOP_ALL, _TO_REMOVE], undo=[*_START] if steps else []),
        differs=["rules are there"] if node.exists(metadata.MARK) else [],
        after=lambda: remove_empty(node, os.path.dirname(metadata.SCRIPT)),
    )


def _drop_ins(node: Node) -> t.List[str]:
    """Where any unit was told to start the rules, or not to start without them."""
    units = (name[: -len(".d")] for name in node.names(_UNITS) if name.endswith((".service.d", ".target.d")))
    return [path for path in map(metadata.drop_in, units) if node.exists(path)]
