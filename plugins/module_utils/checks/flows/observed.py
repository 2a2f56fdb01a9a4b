# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flows that were seen, from what different tools write of them, or that somebody declares to be needed."""

from __future__ import annotations

import ipaddress
import json
import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.ports import WITH_PORTS
from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError

Fields = t.Mapping[str, t.Any]

FORMATS = ("hubble", "calico", "vpc", "ss", "declared")
LOG_SPEC: t.Dict[str, t.Any] = {
    "format": {"type": "str", "choices": list(FORMATS), "required": True},
    "log": {"type": "raw", "required": True},
}
DECLARED = "declared"
_NUMBERS = {"1": "ICMP", "6": "TCP", "17": "UDP", "58": "ICMPv6", "132": "SCTP"}
#: The fields of version 2, which is what a log has that names none.
_VPC_DEFAULT = (
    *("version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol"),
    *("packets", "bytes", "start", "end", "action", "log-status"),
)
#: From here on ports are given to those who call, by Linux.
_EPHEMERAL = 32768
_SS = re.compile(r"^(?:(?P<netid>tcp|udp|sctp)\s+)?(?P<state>[A-Z-]+)\s+\d+\s+\d+\s+(?P<local>\S+)\s+(?P<peer>\S+)")
_SS_STATES = (
    "ESTAB",
    "LISTEN",
    "UNCONN",
    "SYN-SENT",
    "SYN-RECV",
    "CLOSING",
    "CLOSE-WAIT",
    "TIME-WAIT",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "LAST-ACK",
)


#: Bits of TCP's flags in VPC flow logs.
_SYN, _ACK = 2, 16


class Party(t.NamedTuple):
    """One end, as far as the log tells.

    :param pod: its name, or with ``*`` at its end what the names of all replicas begin with.
    """

    address: str = ""
    namespace: str = ""
    pod: str = ""
    domain: str = ""
    workload: str = ""
    node: str = ""

    @property
    def named(self) -> bool:
        """Whether it is told by more than an address, which may be somebody else's by now."""
        return bool(self.pod or self.workload or self.node or self.domain)

    def __str__(self) -> str:
        name = self.pod or self.workload
        return f"{self.namespace}/{name}" if name else self.node or self.domain or self.address


class Flow(t.NamedTuple):
    """A flow that somebody saw.

    :param allowed: whether it went through.
    :param where: how it is known.
    """

    source: Party
    destination: Party
    protocol: str
    port: int
    allowed: bool = True
    where: str = "seen"

    @property
    def version(self) -> int:
        """Of IP; 0 where nobody's address is known."""
        known = [party.address for party in (self.source, self.destination) if party.address]
        return (6 if ":" in known[0] else 4) if known else 0

    def __str__(self) -> str:
        port = str(self.port) if self.protocol == "TCP" else f"{self.port}/{self.protocol}"
        return f"{self.source} -> {self.destination}: {port}"


def parse(form: str, text: t.Any) -> t.List[Flow]:
    """The flows in a log, each once, in the order in which they first occur; answers are left out.

    :param text: the log; lines of JSON may also be a list.
    :raises ItemError: it is not of that form.
    """
    readers: t.Mapping[str, t.Callable[[t.Any], t.Iterator[Flow]]] = {
        "hubble": lambda given: _settled(_told(given, _hubble)),
        "calico": lambda given: _settled(_told(given, _calico)),
        "vpc": _vpc,
        "ss": _ss,
        "declared": lambda given: map(_declared, _records(given)),
    }
    if form not in readers:
        raise ItemError(f"format {form!r} is unknown", f"Use one of {', '.join(FORMATS)}")
    if not isinstance(text, str) and form in ("vpc", "ss"):
        raise ItemError(f"{form} is read from text", "Give the lines as they are")
    try:
        return list(dict.fromkeys(readers[form](text)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ItemError(f"this is not of format {form}: {error}", "Give the log as the tool writes it") from error


#: What one record tells of a flow, and whether it is its destination that does.
_Told = t.Tuple[Flow, bool]


def _records(given: t.Any) -> t.Iterable[Fields]:
    """JSON records: a list, what an API answers with (``items``), or a line each."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            given = [json.loads(line) for line in given.splitlines() if line.strip()]
    if isinstance(given, dict):
        given = given.get("items", [given])
    return t.cast(t.Iterable[Fields], given)


def _told(given: t.Any, read: t.Callable[[Fields], t.Optional[_Told]]) -> t.Iterator[_Told]:
    return (told for told in map(read, _records(given)) if told is not None)


def _settled(told: t.Iterable[_Told]) -> t.Iterator[Flow]:
    """What became of each flow. Both ends tell of it: its source that it left, its destination whether it came in."""
    known: t.Dict[t.Any, t.Tuple[Flow, t.Dict[bool, bool]]] = {}
    for flow, arriving in told:
        who = [(p.namespace, p.pod) if p.pod else p.address or p.domain for p in (flow.source, flow.destination)]
        _first, ends = known.setdefault((*who, flow.protocol, flow.port), (flow, {}))
        ends[arriving] = ends.get(arriving, False) or flow.allowed
    for flow, ends in known.values():
        yield flow._replace(allowed=ends[max(ends)])


def _address(text: t.Any) -> str:
    """An address as everybody writes it; empty where it is none."""
    try:
        return str(ipaddress.ip_address(str(text).strip("[]")))
    except ValueError:
        return ""


# -- Hubble


def _hubble(record: Fields) -> t.Optional[_Told]:
    flow = record.get("flow", record)
    layer = flow.get("l4") or {}
    name = next((key for key in layer if key.upper() in ("TCP", "UDP", "SCTP")), None)
    if name is None or flow.get("verdict") not in ("FORWARDED", "AUDIT", "DROPPED", "REDIRECTED"):
        return None
    port, reply = int(layer[name]["destination_port"]), flow.get("is_reply")
    # where Hubble does not know, who answers has the port that is not given to callers
    if reply or (reply is None and port >= _EPHEMERAL > int(layer[name].get("source_port") or 0)):
        return None
    addresses = flow.get("IP") or {}
    names = flow.get("destination_names") or []
    told = Flow(
        _hubble_party(flow.get("source") or {}, addresses.get("source"), ()),
        _hubble_party(flow.get("destination") or {}, addresses.get("destination"), names),
        name.upper(),
        port,
        flow["verdict"] != "DROPPED",
    )
    return told, flow.get("traffic_direction") == "INGRESS"


def _hubble_party(end: Fields, address: t.Any, names: t.Sequence[str]) -> Party:
    workloads = end.get("workloads") or [{}]
    return Party(
        _address(address),
        end.get("namespace") or "",
        end.get("pod_name") or "",
        names[0].rstrip(".") if names else "",
        str(workloads[0].get("name") or "") if end.get("pod_name") else "",
    )


# -- Calico


def _calico(record: Fields) -> t.Optional[_Told]:
    """A flow log of Felix, or a flow as Whisker and Goldmane have it, which name the protocol differently."""
    given = str(record.get("proto") or record.get("protocol") or "")
    protocol = _NUMBERS.get(given, given.upper())
    port = record.get("dest_port")
    if protocol not in WITH_PORTS or port in (None, "", "-"):
        return None
    domains = record.get("dest_domains") or []
    if isinstance(domains, str):
        domains = [name for name in domains.split(",") if name not in ("", "-")]
    told = Flow(
        _calico_party(record, "source", ()),
        _calico_party(record, "dest", domains),
        protocol,
        int(port),
        str(record.get("action")).lower() != "deny",
    )
    return told, str(record.get("reporter")).lower() == "dst"


def _calico_party(record: Fields, end: str, domains: t.Sequence[str]) -> Party:
    def told(field: str) -> str:
        value = str(record.get(f"{end}_{field}") or "")
        return "" if value == "-" else value

    # networks and hosts are in no namespace
    workload = told("type") in ("wep", "") and told("namespace")
    return Party(
        _address(told("ip")),
        told("namespace") if workload else "",
        (told("name") or told("name_aggr")) if workload else "",
        domains[0] if domains else "",
    )


# -- what is needed


def _declared(record: Fields) -> Flow:
    unknown = sorted(set(record) - {"from", "to", "port", "protocol"})
    if unknown:
        raise ValueError(f"unknown option {unknown[0]}")
    protocol = str(record.get("protocol") or "TCP").upper()
    if protocol not in WITH_PORTS:
        raise ValueError(f"unknown protocol {protocol}")
    return Flow(
        _declared_party(record["from"]), _declared_party(record["to"]), protocol, int(record["port"]), where=DECLARED
    )


def _declared_party(end: Fields) -> Party:
    party = Party(**{key: str(value) for key, value in end.items()})
    ways = [way for way in ("pod", "workload", "node", "address", "domain") if getattr(party, way)]
    if len(ways) != 1 or bool(party.namespace) != (ways[0] in ("pod", "workload")):
        raise ValueError(f"{dict(end)} is not a pod or workload of a namespace, a node, an address or a domain")
    return party


# -- a VPC


def _vpc(text: str) -> t.Iterator[Flow]:
    fields: t.Sequence[str] = _VPC_DEFAULT
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if "srcaddr" in words or "pkt-srcaddr" in words:
            fields = words
            continue
        if len(words) < len(fields):
            raise ValueError(f"{line!r} has {len(words)} of {len(fields)} fields")
        entry = dict(zip(fields, words))
        protocol = _NUMBERS.get(entry.get("protocol", ""))
        if entry.get("log-status", "OK") != "OK" or protocol not in WITH_PORTS:
            continue
        source, destination = int(entry["srcport"]), int(entry["dstport"])
        # answers are logged, too: they have both flags, or go to a port that is given to callers
        flags = int(entry["tcp-flags"]) if entry.get("tcp-flags", "-").isdigit() else 0
        if flags & _SYN and flags & _ACK:
            continue
        if not flags & _SYN and destination >= _EPHEMERAL > source:
            continue
        yield Flow(
            Party(_address(entry.get("pkt-srcaddr") or entry["srcaddr"])),
            Party(_address(entry.get("pkt-dstaddr") or entry["dstaddr"])),
            protocol,
            destination,
            entry.get("action", "ACCEPT") == "ACCEPT",
        )


# -- ss


def _ss(text: str) -> t.Iterator[Flow]:
    """``ss -tuna``: who listens tells which end of a connection was called."""
    rows = []
    for line in text.splitlines():
        match = _SS.match(line.strip())
        if match and match.group("state") in _SS_STATES:
            rows.append(
                (match.group("netid") or "tcp", match.group("state"), match.group("local"), match.group("peer"))
            )
        elif line.strip() and not line.startswith(("Netid", "State")):
            raise ValueError(f"{line!r} is no line of ss")
    listening = {(netid, _port(local)) for netid, state, local, _peer in rows if state in ("LISTEN", "UNCONN")}
    for netid, state, local, peer in rows:
        if state in ("LISTEN", "UNCONN") or _port(peer) == 0:
            continue
        called = (netid, _port(local)) in listening
        near, far = (Party(_socket(side)) for side in (local, peer))
        if not near.address or not far.address or ipaddress.ip_address(near.address).is_loopback:
            continue
        source, destination, port = (far, near, _port(local)) if called else (near, far, _port(peer))
        yield Flow(source, destination, netid.upper(), port)


def _port(side: str) -> int:
    port = side.rpartition(":")[2]
    return int(port) if port.isdigit() else 0


def _socket(side: str) -> str:
    address = _address(side.rpartition(":")[0].partition("%")[0].strip("[]"))
    mapped = ipaddress.ip_address(address) if address else None
    if isinstance(mapped, ipaddress.IPv6Address) and mapped.ipv4_mapped:
        return str(mapped.ipv4_mapped)
    return address
