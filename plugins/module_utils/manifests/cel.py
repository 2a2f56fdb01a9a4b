# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Common Expression Language as admission policies write it: literals, loops over a pod's containers, loops over
its volumes.

Only what Kubernetes 1.30 knows is used for validation; what mutates may use that of 1.36.
"""

from __future__ import annotations

import typing as t

#: The three lists of containers of a pod, each with what a person calls one of it.
CONTAINERS = (
    ("containers", "container"),
    ("initContainers", "init container"),
    ("ephemeralContainers", "ephemeral container"),
)


def text(value: str) -> str:
    """A string literal."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + "".join(c if c >= " " else f"\\x{ord(c):02x}" for c in escaped) + "'"


def texts(values: t.Iterable[str]) -> str:
    """A list of string literals."""
    return "[" + ", ".join(map(text, values)) + "]"


def any_of(conditions: t.Iterable[str]) -> str:
    """True when one of them is; false when there is none."""
    return " || ".join(conditions) or "false"


def all_of(conditions: t.Iterable[str]) -> str:
    """True when each of them is; true when there is none."""
    return " && ".join(conditions) or "true"


def total(lists: t.Iterable[str]) -> str:
    """Lists, one after the other."""
    return " + ".join(lists) or "[]"


def matches(value: str, patterns: t.Iterable[str]) -> str:
    """Whether a text is one of these, where one that ends with ``*`` stands for all that begin so."""
    patterns = list(patterns)
    exact = [pattern for pattern in patterns if not pattern.endswith("*")]
    conditions = [f"{value} in {texts(exact)}"] if exact else []
    conditions += [f"{value}.startsWith({text(p[:-1])})" for p in patterns if p.endswith("*") and p != "*"]
    return "true" if "*" in patterns else f"({any_of(conditions)})"


def within(value: str, ranges: t.Iterable[t.Mapping[str, int]]) -> str:
    """Whether a number lies in one of these ranges."""
    return "(" + any_of(f"{value} >= {entry['min']} && {value} <= {entry['max']}" for entry in ranges) + ")"


def items(name: str) -> str:
    """A list of the pod's spec, also where it is not set."""
    return f"variables.spec.?{name}.orValue([])"


def containers(condition: str, said: str) -> str:
    """What is said of each container ``c`` of which the condition holds, in all three lists."""
    return total(
        f"{items(name)}.filter(c, {condition}).map(c, '{title} ' + c.name + ': ' + {said})"
        for name, title in CONTAINERS
    )


def volumes(condition: str, said: str) -> str:
    """What is said of each volume ``v`` of which the condition holds."""
    return f"{items('volumes')}.filter(v, {condition}).map(v, 'volume ' + v.name + ': ' + {said})"


def pod(condition: str, said: str) -> str:
    """What is said of the pod itself when the condition holds."""
    return f"({condition} ? ['pod: ' + {said}] : [])"


def own(name: str) -> str:
    """A field of the container's security context, as an optional."""
    return f"c.?securityContext.?{name}"


def shared(name: str) -> str:
    """A field of the pod's security context, as an optional."""
    return f"variables.spec.?securityContext.?{name}"


def effective(name: str) -> str:
    """A field of the container's security context or else of the pod's, as an optional."""
    return f"{own(name)}.or({shared(name)})"
