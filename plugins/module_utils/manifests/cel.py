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


class Condition(t.NamedTuple):
    """What makes something of a pod wrong.

    :param of: what is looked at: the pod itself, each container ``c`` or each volume ``v``.
    :param when: only then it matters; always where it says nothing.
    """

    of: str
    condition: str
    when: t.Tuple[str, ...] = ()


class Verdict(t.NamedTuple):
    """What CEL has to say of a pod: cheaply whether it is fine, and at length what is wrong with it.

    Nearly every pod is fine. So the question comes first, and what two verdicts ask of containers is asked in one loop.

    :param conditions: those that may not hold.
    :param wrong: a list of texts, one for each container, volume or pod at fault; empty for a pod that is fine.
    """

    conditions: t.Tuple[Condition, ...] = ()
    wrong: str = "[]"

    def only_when(self, condition: str) -> Verdict:
        """The same, but nothing is wrong with a pod of which the condition does not hold."""
        if not self.conditions:
            return self
        conditions = tuple(c._replace(when=(*c.when, condition)) for c in self.conditions)
        return Verdict(conditions, f"({condition} ? {self.wrong} : [])")


def both(*verdicts: Verdict) -> Verdict:
    """What any of them finds wrong."""
    conditions = tuple(condition for verdict in verdicts for condition in verdict.conditions)
    return Verdict(conditions, total(verdict.wrong for verdict in verdicts if verdict.conditions))


def containers(condition: str, said: str, asked: t.Optional[str] = None) -> Verdict:
    """What is said of each container ``c`` of which the condition holds, in all three lists.

    :param asked: the same condition, where there is one that costs less.
    """
    wrong = total(
        f"{items(name)}.filter(c, {condition}).map(c, '{title} ' + c.name + ': ' + {said})"
        for name, title in CONTAINERS
    )
    return Verdict((Condition("container", asked or condition),), wrong)


def volumes(condition: str, said: str) -> Verdict:
    """What is said of each volume ``v`` of which the condition holds."""
    wrong = f"{items('volumes')}.filter(v, {condition}).map(v, 'volume ' + v.name + ': ' + {said})"
    return Verdict((Condition("volume", condition),), wrong)


def pod(condition: str, said: str, asked: t.Optional[str] = None) -> Verdict:
    """What is said of the pod itself when the condition holds.

    :param asked: the same condition, where there is one that costs less.
    """
    return Verdict((Condition("pod", asked or condition),), f"({condition} ? ['pod: ' + {said}] : [])")


def fine(*verdicts: Verdict) -> str:
    """That none of the conditions holds of a pod, those about the pod itself first, as they cost the least."""
    by_kind: t.Dict[str, t.Dict[t.Tuple[str, ...], t.List[str]]] = {}
    for condition in both(*verdicts).conditions:
        by_kind.setdefault(condition.of, {}).setdefault(condition.when, []).append(condition.condition)
    parts = [_none_of(by_kind["pod"])] if "pod" in by_kind else []
    if "container" in by_kind:
        parts += [f"{items(name)}.all(c, {_none_of(by_kind['container'])})" for name, _title in CONTAINERS]
    if "volume" in by_kind:
        parts.append(f"{items('volumes')}.all(v, {_none_of(by_kind['volume'])})")
    return all_of(parts)


def _none_of(conditions: t.Mapping[t.Tuple[str, ...], t.Iterable[str]]) -> str:
    """
    :param conditions: by what has to be the case for them to matter.
    """
    parts = []
    for when, said in conditions.items():
        none = all_of(f"!({condition})" for condition in said)
        parts.append(f"(!({all_of(when)}) || {none})" if when else none)
    return all_of(parts)


def own(name: str) -> str:
    """A field of the container's security context, as an optional."""
    return f"c.?securityContext.?{name}"


def shared(name: str) -> str:
    """A field of the pod's security context, as an optional."""
    return f"variables.spec.?securityContext.?{name}"


def effective(name: str) -> str:
    """A field of the container's security context or else of the pod's, as an optional."""
    return f"{own(name)}.or({shared(name)})"
