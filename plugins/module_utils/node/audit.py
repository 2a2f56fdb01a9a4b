# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel has logged: what was denied, and what would have been."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.node import pods
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

_FOLDER, _LOG = "/var/log/audit", "audit.log"
#: When it was, in seconds since 1970; journald takes it out.
_WHEN = re.compile(r"\baudit\((\d+)\.\d+:\d+\)")
_FIELD = re.compile(r"\b(\w+)=(\"[^\"]*\"|\S+)")
#: What has no name of its own: when it was, in seconds since 1970, and what SELinux denied.
_UNNAMED = {"time": re.compile(r"\baudit\((\d+\.\d+):"), "denied": re.compile(r"\bdenied\s+\{ (.*?) \}")}
#: Logged instead, when there was too much to log.
_LOST = re.compile(
    r"audit: (?:rate limit exceeded|backlog limit exceeded|audit_lost=)|audit\w*_printk_skb: \d+ callbacks suppressed"
)
#: Said of the kernel's own log alone: systemd's journal may have heard all of it.
_UNPRINTED = "callbacks suppressed"

Record = t.Dict[str, str]


class Log(t.NamedTuple):
    """What was logged since the machine booted.

    :param lost: whether the kernel had more to say than it could.
    """

    records: t.List[Record]
    lost: bool


def since_written(node: Node, paths: t.Iterable[str]) -> float:
    """From when on what this boot has logged can be about these files: earlier, it was of others."""
    times = (os.stat(node.real(path)).st_mtime for path in paths if node.exists(path))
    return max(min(times, default=0.0), pods.booted(node))


def read(node: Node, *words: str, since: t.Optional[float] = None) -> Log:
    """The records that hold one of these words, as fields.

    The daemon's file has them where there is one; otherwise systemd's journal, which got them from the kernel.

    :param since: in seconds since 1970; the default is this boot.
    """
    lines = [
        line
        for line in _lines(node, pods.booted(node) if since is None else since)
        if _LOST.search(line) or any(word in line for word in words)
    ]
    lost = [line for line in lines if _LOST.search(line)]
    return Log([_fields(line) for line in lines if line not in lost], bool(lost))


def _lines(node: Node, since: float) -> t.List[str]:
    lines = [line for path in _files(node) for line in node.text(path).splitlines() if _when(line) >= since]
    if node.find("journalctl") and since < float("inf"):
        # what it got from the kernel has lost its own time
        command = ["--quiet", "--no-pager", "--boot", f"--since=@{since:.0f}", "--output=cat"]
        heard = node.run("journalctl", *command, "_TRANSPORT=audit", check=False).out.splitlines()
        printed = node.run("journalctl", *command, "_TRANSPORT=kernel", check=False).out.splitlines()
        lines += heard + [line for line in printed if not heard or _UNPRINTED not in line]
    return lines


def _files(node: Node) -> t.List[str]:
    """The daemon's, the oldest first; those that are full end in numbers, and the highest is the oldest."""
    numbers = [name[len(_LOG) + 1 :] for name in node.names(_FOLDER) if name.startswith(f"{_LOG}.")]
    full = sorted((int(number) for number in numbers if number.isdigit()), reverse=True)
    return [*(f"{_FOLDER}/{_LOG}.{number}" for number in full), f"{_FOLDER}/{_LOG}"]


def _when(line: str) -> int:
    """Unlike the journal, files go back further than this boot, to processes whose numbers are others' now."""
    found = _WHEN.search(line)
    return int(found.group(1)) if found else 0


def _fields(line: str) -> Record:
    found = {key: _decoded(value) for key, value in _FIELD.findall(line)}
    for key, pattern in _UNNAMED.items():
        match = pattern.search(line)
        if match:
            found[key] = match.group(1)
    return found


def _decoded(value: str) -> str:
    """A value without its quotes; one that would not go between quotes is written in hexadecimal."""
    if value.startswith('"'):
        return value[1:-1]
    if re.fullmatch(r"(?:[0-9A-F]{2}){4,}", value):
        text = bytes.fromhex(value).decode("utf-8", "replace")
        return text if text.isprintable() else value
    return value
