# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets of ports, of all protocols at once.

Every port of every protocol is a number on one line: TCP's ports first, then UDP's, and so on. A set is a tuple of
disjoint stretches of that line, in order. ICMP has its types instead of ports, all other protocols their numbers.
"""

from __future__ import annotations

import functools
import re
import typing as t

#: First and last number of a stretch, both included.
Stretch = t.Tuple[int, int]
Ports = t.Tuple[Stretch, ...]

PROTOCOLS = ("TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "OTHER")
WITH_PORTS = PROTOCOLS[:3]
_SIZE = 1 << 16
_LAST = {"ICMP": 255, "ICMPv6": 255, "OTHER": 255}

NO_PORTS: Ports = ()
_TEXT = re.compile(r"(?:(\d+)(?:-(\d+))?/)?(\w+)|(\d+)(?:-(\d+))?")


def point(protocol: str, port: int) -> int:
    """Where a port stands on the line."""
    return PROTOCOLS.index(protocol) * _SIZE + port


def stretch(protocol: str, first: t.Optional[int] = None, last: t.Optional[int] = None) -> Ports:
    """The ports from first to last of a protocol; all of them without a first, one without a last."""
    if first is None:
        return ((point(protocol, 0), point(protocol, _LAST.get(protocol, _SIZE - 1))),)
    if last is None:
        last = first
    return ((point(protocol, first), point(protocol, last)),) if first <= last else NO_PORTS


def union(*sets: Ports) -> Ports:
    """All that is in any of them."""
    merged: t.List[Stretch] = []
    for first, last in sorted(piece for ports in sets for piece in ports):
        # two protocols never run into each other: what is next to the last port is the other's port 0
        if merged and first <= merged[-1][1] + 1 and first // _SIZE == merged[-1][0] // _SIZE:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


EVERY_PORT: Ports = union(*(stretch(protocol) for protocol in PROTOCOLS))


@functools.lru_cache(maxsize=8192)
def intersection(one: Ports, other: Ports) -> Ports:
    """What is in both."""
    if one == EVERY_PORT:
        return other
    if other == EVERY_PORT:
        return one
    common = [
        (max(first, begin), min(last, end))
        for first, last in one
        for begin, end in other
        if first <= end and begin <= last
    ]
    return tuple(sorted(common))


def difference(one: Ports, other: Ports) -> Ports:
    """What is in one and not in the other."""
    left = list(one)
    for begin, end in other:
        pieces: t.List[Stretch] = []
        for first, last in left:
            if end < first or last < begin:
                pieces.append((first, last))
                continue
            if first < begin:
                pieces.append((first, begin - 1))
            if end < last:
                pieces.append((end + 1, last))
        left = pieces
    return tuple(left)


def contains(ports: Ports, wanted: int) -> bool:
    """Whether a point of the line is in the set."""
    return any(first <= wanted <= last for first, last in ports)


@functools.lru_cache(maxsize=4096)
def text(ports: Ports) -> str:
    """``8080, 8443, 53/UDP``; ``all`` and ``none`` for the two ends."""
    if ports == EVERY_PORT:
        return "all"
    return ", ".join(map(_piece, ports)) or "none"


def _piece(piece: Stretch) -> str:
    number, first = divmod(piece[0], _SIZE)
    protocol, last = PROTOCOLS[number], piece[1] % _SIZE
    if (piece,) == stretch(protocol):
        return protocol
    port = str(first) if first == last else f"{first}-{last}"
    return port if protocol == "TCP" else f"{port}/{protocol}"


def parse(wanted: str) -> Ports:
    """The set that a text stands for: ``8080``, ``53/UDP``, ``8000-8010``, ``UDP``, ``all``; several with commas.

    :raises ValueError: it stands for none.
    """
    if wanted.strip() == "all":
        return EVERY_PORT
    pieces = []
    for part in wanted.split(","):
        match = _TEXT.fullmatch(part.strip())
        protocol = (match.group(3) or "TCP").upper().replace("ICMPV6", "ICMPv6") if match else ""
        if not match or protocol not in PROTOCOLS:
            raise ValueError(f"{part.strip()!r} stands for no ports")
        first = match.group(1) or match.group(4)
        last = match.group(2) or match.group(5) or first
        if first is None:
            pieces.append(stretch(protocol))
        elif int(first) <= int(last) <= _LAST.get(protocol, _SIZE - 1):
            pieces.append(stretch(protocol, int(first), int(last)))
        else:
            raise ValueError(f"{part.strip()!r} stands for no ports")
    return union(*pieces)


def cuts(sets: t.Iterable[Ports]) -> t.List[Stretch]:
    """The whole line, cut wherever one of the sets begins or ends: on each piece, each set is all or nothing."""
    edges = {edge for ports in (EVERY_PORT, *sets) for first, last in ports for edge in (first, last + 1)}
    ordered = sorted(edges)
    pieces = []
    for first, after in zip(ordered, ordered[1:]):
        if contains(EVERY_PORT, first):
            pieces.append((first, after - 1))
    return pieces
