# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What keeps pods from their node's metadata service: rules, and the units that put them in place. Pure.

Two things that do not know of each other close it. Routing has no way to the metadata address for what the node itself
did not send, and neither a firewall that is flushed nor one that is loaded anew takes that back. Netfilter leads pods to
the agent, at an address that every node has and no network carries, and refuses them where no agent listens.
"""

from __future__ import annotations

import fnmatch
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError

IPV4, IPV6 = "169.254.169.254", "fd00:ec2::254"

SCRIPT = "/etc/hardened-k8s/metadata"
UNIT = "hardened-k8s-metadata.service"
RESTORE = "hardened-k8s-metadata-restore.service"
TIMER = "hardened-k8s-metadata-restore.timer"
ALL_UNITS = (TIMER, RESTORE, UNIT)
#: What is in the kernel, as it was put there; gone with it when the node starts anew.
MARK = "/run/hardened-k8s-metadata"
_SYSTEMD = "/etc/systemd/system"
_DROP_IN = "10-hardened-k8s-metadata.conf"

#: Units that start pods.
KUBELETS = (
    *("kubelet.service", "k3s.service", "k3s-agent.service", "rke2-server.service", "rke2-agent.service"),
    *("k0scontroller.service", "k0sworker.service", "snap.kubelet-eks.daemon.service"),
    "snap.microk8s.daemon-kubelite.service",
)
#: What loads rules of its own when the node starts, and flushes those of others.
_FIREWALLS = (
    *("nftables.service", "iptables.service", "ip6tables.service", "netfilter-persistent.service"),
    *("firewalld.service", "ufw.service"),
)

#: Of nftables; iptables has chains of that name.
TABLE = "hardened_k8s_metadata"
_CHAIN = "HARDENED-METADATA"
_FAMILIES = (("ip", IPV4), ("ip6", IPV6))
#: Of routing: before those of any network plug-in.
_PRIORITIES = (81, 82, 83)
#: So that the address is found again when another one is wanted.
_LABEL = "lo:metadata"

_GLOB = re.compile(r"[\w.:@-]+[+*]?|[+*]", re.ASCII)


@dataclass(frozen=True)
class Rules:
    """How pods are kept from the metadata service.

    :param redirect: whether pods are led to an agent; otherwise they are only refused.
    :param address: where the agent is reached, of this node alone.
    :param interfaces: those of pods, with ``+`` for any ending; none are all but the uplinks.
    :param uplinks: where the network is.
    """

    redirect: bool = True
    address: str = "169.254.81.81"
    port: int = 8181
    interfaces: t.Tuple[str, ...] = ()
    uplinks: t.Tuple[str, ...] = ()


def globs(interfaces: t.Iterable[str], uplinks: t.Iterable[str]) -> t.Tuple[str, ...]:
    """Interfaces of pods as both nftables and iptables are told of them.

    :raises HardenedError: one cannot be an interface of pods.
    """
    found = []
    for name in dict.fromkeys(interfaces):
        if not _GLOB.fullmatch(name) or len(name.rstrip("+*")) > 15:
            raise HardenedError(
                f"{name!r} is no name of interfaces", "Write one, or its beginning and a +, such as cali+"
            )
        wrong = [uplink for uplink in (*uplinks, "lo") if matches(name, uplink)]
        if wrong:
            raise HardenedError(
                f"{name!r} is also {wrong[0]}, which is none of a pod's", "Name the interfaces of pods alone"
            )
        found.append(name)
    return tuple(found)


def matches(glob: str, interface: str) -> bool:
    return fnmatch.fnmatchcase(interface, glob.replace("+", "*"))


# -- nftables


def nftables(rules: Rules) -> str:
    """Tables of its own, replaced as one."""
    return "".join(
        f"table {family} {TABLE}\ndelete table {family} {TABLE}\ntable {family} {TABLE} {{\n"
        + "".join(_nft_chain(*chain) for chain in _nft_chains(rules, family, metadata))
        + "}\n"
        for family, metadata in _FAMILIES
    )


def _nft_all(rules: Rules) -> t.List[t.Tuple[str, str, t.List[str]]]:
    """The chains of both families."""
    return [chain for family, metadata in _FAMILIES for chain in _nft_chains(rules, family, metadata)]


def _nft_chain(name: str, about: str, lines: t.Iterable[str]) -> str:
    return f"  chain {name} {{\n    {about}\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def _nft_chains(rules: Rules, family: str, metadata: str) -> t.Iterator[t.Tuple[str, str, t.List[str]]]:
    address = f"{family} daddr"
    to_metadata = f"{address} {metadata}"
    came_for_it = f"ct original {to_metadata}"
    redirect = rules.redirect and family == "ip"
    if redirect:
        lead = f"{to_metadata} tcp dport 80 dnat to {rules.address}:{rules.port}"
        # before kube-proxy's, which a Service could have an entry in
        yield "prerouting", "type nat hook prerouting priority -110;", [f"{how} {lead}" for how in _nft_from(rules)]
    lines = ['iifname "lo" accept', f"{to_metadata} drop"]
    if redirect:
        lines.append(f"{came_for_it} tcp dport {rules.port} accept")
        lines.append(f"{address} {rules.address} drop")
    if rules.redirect:
        lines.append(f"tcp dport {rules.port} drop")
    yield "input", "type filter hook input priority -10;", lines
    # here are only those whom nothing led to the agent, or for whom its address is gone
    yield "forward", "type filter hook forward priority -10;", [f"{to_metadata} reject", f"{came_for_it} drop"]
    # what IPVS leads there leaves like the node's own, and only its source tells
    stranger = f"{to_metadata} fib saddr type != local drop"
    yield "postrouting", "type filter hook postrouting priority -150;", [stranger]


def _nft_from(rules: Rules) -> t.List[str]:
    if not rules.interfaces:
        others = ", ".join(f'"{name}"' for name in ("lo", *rules.uplinks))
        return [f"iifname != {{ {others} }}"]
    return ["" if name in "+*" else f'iifname "{name.replace("+", "*")}"' for name in rules.interfaces]


# -- iptables


def iptables(rules: Rules, metadata: str = IPV4) -> str:
    """The chains of one family, for iptables-restore; what leads to them is not in here."""
    ipv4 = metadata == IPV4
    redirect = rules.redirect and ipv4
    lines = []
    if redirect:
        lead = f"-p tcp -m tcp --dport 80 -j DNAT --to-destination {rules.address}:{rules.port}"
        lines += ["*nat", f":{_CHAIN} - [0:0]", *(f"-A {_CHAIN} -i {name} -j RETURN" for name in _not_from(rules))]
        lines += [f"-A {_CHAIN} {how}{lead}" for how in _ipt_from(rules)]
        lines.append("COMMIT")
    came_for_it = f"-m conntrack --ctorigdst {metadata}"
    # what only drops is in mangle: in filter, network plug-ins come first, and accept
    lines += ["*mangle", f":{_CHAIN}-IN - [0:0]", f":{_CHAIN}-OUT - [0:0]"]
    lines += [f"-A {_CHAIN}-IN -i lo -j RETURN", f"-A {_CHAIN}-IN -d {metadata} -j DROP"]
    if redirect:
        lines.append(f"-A {_CHAIN}-IN -p tcp -m tcp --dport {rules.port} {came_for_it} -j RETURN")
        lines.append(f"-A {_CHAIN}-IN -d {rules.address} -j DROP")
    if rules.redirect:
        lines.append(f"-A {_CHAIN}-IN -p tcp -m tcp --dport {rules.port} -j DROP")
    for what in (f"-d {metadata}", f"{came_for_it} --ctdir ORIGINAL"):
        lines.append(f"-A {_CHAIN}-OUT {what} -m addrtype ! --src-type LOCAL -j DROP")
    lines += ["COMMIT", "*filter", f":{_CHAIN}-FWD - [0:0]", f"-A {_CHAIN}-FWD -d {metadata} -j REJECT"]
    return "\n".join([*lines, "COMMIT", ""])


def _not_from(rules: Rules) -> t.Tuple[str, ...]:
    return ("lo",) if rules.interfaces else ("lo", *rules.uplinks)


def _ipt_from(rules: Rules) -> t.List[str]:
    return ["" if name in "+*" else f"-i {name.replace('*', '+')} " for name in rules.interfaces] or [""]


# -- what puts them in place

_SCRIPT = """\
#!/bin/sh
# Keeps pods of this node from its metadata service. By hardened.k8s, role kube2iam; changes here are lost.
#   apply    puts all of it in place
#   restore  the same, when anything of it is gone or changed
#   check    tells whether all of it is in place
#   remove   takes all of it away
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C
address={address}
mark={mark}

# IPv6 may be loaded later than this ran
families() {{ if [ -e /proc/net/if_inet6 ]; then echo 4 6; else echo 4; fi; }}
has() {{ command -v "$1" > /dev/null; }}

# -- routing: the node's own packets are led past the rule that has no way for any other

routes() {{ # family, metadata address
    unroute "$1"
    ip "-$1" rule add priority {after} nop protocol kernel
    ip "-$1" rule add priority {own} iif lo to "$2" goto {after} protocol kernel
    ip "-$1" rule add priority {none} to "$2" prohibit protocol kernel
}}
unroute() {{ # family
    for priority in {none} {own} {after}; do
        while ip "-$1" rule | grep -q "^$priority:"; do ip "-$1" rule del priority $priority; done
    done
}}

# -- the agent's address

addresses() {{ ip -4 -oneline address show dev lo | sed -n 's/.* inet \\([^ ]*\\) .* {label}\\\\.*/\\1/p'; }}
unaddress() {{ for old in $(addresses); do [ "$old" = "$1" ] || ip -4 address del "$old" dev lo; done; }}
readdress() {{
    unaddress "$address"
    [ -z "$address" ] || ip -4 address replace "$address" dev lo scope host label {label}
}}

# -- netfilter

nft_gone() {{
    has nft || return 0
    for family in ip ip6; do
        ! nft list table $family {table} > /dev/null 2>&1 || nft delete table $family {table}
    done
}}
jump() {{ # what to do, command, table, chain, chain of ours
    case $1 in
        to) "$2" -w -t "$3" -C "$4" -j "$5" 2> /dev/null || "$2" -w -t "$3" -I "$4" 1 -j "$5" ;;
        gone)
            while "$2" -w -t "$3" -C "$4" -j "$5" 2> /dev/null; do "$2" -w -t "$3" -D "$4" -j "$5"; done
            "$2" -w -t "$3" -F "$5" 2> /dev/null || return 0
            "$2" -w -t "$3" -X "$5"
            ;;
    esac
}}
iptables_gone() {{
    for command in iptables ip6tables; do
        if has $command-save && $command-save 2> /dev/null | grep -q {chain}; then
            jump gone $command nat PREROUTING {chain}
            jump gone $command mangle INPUT {chain}-IN
            jump gone $command mangle POSTROUTING {chain}-OUT
            jump gone $command filter FORWARD {chain}-FWD
        fi
    done
}}
{netfilter}
# -- all of it

apply() {{ # or restore
    netfilter
    readdress
    # what restores takes routing that is in place away for no moment, as in it somebody may flush netfilter again
    if [ "$1" = apply ] || ! [ -e $mark ] || [ "$(families; routing)" != "$(grep -E '^4|{priorities}' $mark)" ]; then
        for family in $(families); do routes $family "$(metadata $family)"; done
    fi
    state > $mark.new
    if ! whole $mark.new; then # somebody takes it away meanwhile, which is not to be taken for how it is to be
        rm -f $mark.new
        echo 'Rules that keep pods from the metadata service do not stay in place.' >&2
        exit 1
    fi
    mv -f $mark.new $mark
}}
whole() {{ # a state
    rules=0 lines=0
    for family in $(families); do
        case $family in 4) rules=$((rules + {rules})) ;; 6) rules=$((rules + {rules6})) ;; esac
        lines=$((lines + 3))
    done
    [ "$(rules < "$1" | wc -l)" -ge $rules ] || return 1
    [ "$(grep -cE '{priorities}' "$1")" = $lines ] || return 1
    [ -z "$address" ] || grep -qxF "$address" "$1"
}}
metadata() {{ if [ "$1" = 4 ]; then echo {ipv4}; else echo {ipv6}; fi; }}
state() {{
    families
    filters
    addresses
    routing
}}
routing() {{ for family in $(families); do ip -$family rule | grep -E '{priorities}' || :; done; }}
check() {{ [ -e $mark ] && whole $mark && state 2>&1 | cmp -s - $mark; }}
remove() {{
    nft_gone
    iptables_gone
    unaddress ''
    for family in $(families); do unroute $family; done
    rm -f $mark $mark.new
}}

if [ "${{1-}}" != check ]; then exec 9> $mark.lock && flock 9; fi
case ${{1-}} in
    apply) apply apply ;;
    restore)
        if ! check; then
            apply restore
            echo '<4>Rules that keep pods from the metadata service had been changed. They are back.' >&2
        fi
        ;;
    check) check ;;
    remove) remove ;;
    *)
        echo "$0 apply|restore|check|remove" >&2
        exit 2
        ;;
esac
"""

_NFTABLES = """\
netfilter() {{
    nft --file - << 'RULES'
{rules}RULES
    iptables_gone
}}
filters() {{ for family in ip ip6; do nft --stateless list table $family {table} 2> /dev/null || :; done; }}
rules() {{ grep '^[[:space:]]' | grep -vE '^[[:space:]]+(chain|type|[}}])' || :; }}
"""

_IPTABLES = """\
netfilter() {{
    iptables-restore -w --noflush << 'RULES'
{ipv4}RULES
{jumps}    if [ -e /proc/net/if_inet6 ]; then
        ip6tables-restore -w --noflush << 'RULES'
{ipv6}RULES
        jump to ip6tables mangle INPUT {chain}-IN
        jump to ip6tables mangle POSTROUTING {chain}-OUT
        jump to ip6tables filter FORWARD {chain}-FWD
    fi
    nft_gone
}}
filters() {{
    for command in iptables-save ip6tables-save; do
        for table in nat mangle filter; do $command -t $table 2> /dev/null | grep -e {chain} || :; done
    done
}}
rules() {{ grep '^-A' || :; }}
"""


def script(rules: Rules, backend: str) -> str:
    """What puts it in place, and takes it away again.

    :param backend: ``nftables`` or ``iptables``.
    """
    if backend == "nftables":
        netfilter = _NFTABLES.format(rules=nftables(rules), table=TABLE)
        # IPv6's are there whether it is or not
        counts = {"rules": sum(len(lines) for _name, _about, lines in _nft_all(rules)), "rules6": 0}
    else:
        lead = [("nat", "PREROUTING", _CHAIN)] if rules.redirect else []
        places = [
            *lead,
            *(("mangle", "INPUT", f"{_CHAIN}-IN"), ("mangle", "POSTROUTING", f"{_CHAIN}-OUT")),
            ("filter", "FORWARD", f"{_CHAIN}-FWD"),
        ]
        jumps = "".join(f"    jump to iptables {' '.join(place)}\n" for place in places)
        if not rules.redirect:
            jumps = f"    jump gone iptables nat PREROUTING {_CHAIN}\n{jumps}"
        families = {"ipv4": iptables(rules), "ipv6": iptables(rules, IPV6)}
        netfilter = _IPTABLES.format(**families, jumps=jumps, chain=_CHAIN)
        counts = {
            "rules": families["ipv4"].count("\n-A ") + len(places),
            "rules6": families["ipv6"].count("\n-A ") + 3,
        }
    own, none, after = _PRIORITIES
    return _SCRIPT.format(
        **counts,
        address=f"{rules.address}/32" if rules.redirect else "",
        netfilter=netfilter,
        mark=MARK,
        label=_LABEL,
        table=TABLE,
        chain=_CHAIN,
        ipv4=IPV4,
        ipv6=IPV6,
        priorities=f"^({own}|{none}|{after}):",
        own=own,
        none=none,
        after=after,
    )


def removal() -> str:
    """What takes it away, whatever is there."""
    return script(Rules(redirect=False), "nftables")


# -- systemd

_UNIT_FILE = """\
# By hardened.k8s, role kube2iam; changes here are lost.
[Unit]
Description=Pods of this node do not reach its metadata service
After={firewalls}
Before={kubelets}
Wants={timer}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {script} apply
ExecReload=/bin/sh {script} apply
"""
_RESTORE_FILE = """\
# By hardened.k8s, role kube2iam; changes here are lost.
[Unit]
Description=Put back what keeps pods from the metadata service

[Service]
Type=oneshot
ExecStart=/bin/sh {script} restore
# systemd itself has nothing to say each time
LogLevelMax=notice
"""
_TIMER_FILE = """\
# By hardened.k8s, role kube2iam; changes here are lost.
[Unit]
Description=Look whether anything still keeps pods from the metadata service

[Timer]
OnActiveSec=10s
OnUnitInactiveSec=10s
AccuracySec=1s
"""
_BOOT_FILE = """\
# By hardened.k8s, role kube2iam: its rules also come when nothing that starts pods asks for them.
[Unit]
Wants={unit}
"""
_DROP_IN_FILE = """\
# By hardened.k8s, role kube2iam: no pod starts without its rules. Changes here are lost.
[Unit]
Requires={unit}
After={unit}
"""


def files(rules: Rules, backend: str, kubelets: t.Sequence[str]) -> t.Dict[str, str]:
    """All files by path.

    :param kubelets: units that start pods, and do not start without the rules.
    """
    units = {
        UNIT: _UNIT_FILE.format(
            firewalls=" ".join(_FIREWALLS),
            kubelets=" ".join(dict.fromkeys([*kubelets, *KUBELETS])),
            timer=TIMER,
            script=SCRIPT,
        ),
        RESTORE: _RESTORE_FILE.format(script=SCRIPT),
        TIMER: _TIMER_FILE,
        f"multi-user.target.d/{_DROP_IN}": _BOOT_FILE.format(unit=UNIT),
        **{f"{name}.d/{_DROP_IN}": _DROP_IN_FILE.format(unit=UNIT) for name in kubelets},
    }
    return {SCRIPT: script(rules, backend), **{f"{_SYSTEMD}/{name}": text for name, text in units.items()}}


def drop_in(unit: str) -> str:
    """Where a unit is told of the rules."""
    return f"{_SYSTEMD}/{unit}.d/{_DROP_IN}"
