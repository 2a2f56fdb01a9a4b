# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Findings: what a declaration would break or hand out, who is affected, and the smallest remedy.

A finding that refuses is withheld at stage ``enforce`` unless the declaration accepts it by
name, with a reason and an expiry date.
"""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.hardened.k8s.plugins.module_utils.errors import Problem

STAGES = ("observe", "warn", "enforce")


class Ref(t.NamedTuple):
    """Names one object of a cluster; ``namespace`` is empty for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing before or after a change.

    :param rule: stable identifier, ``topic/what``, such as ``rbac/secrets``; what ``accept`` names.
    :param ref: the object that it is about.
    :param message: what breaks or what is handed out.
    :param affected: who: pods, subjects, quota keys.
    :param remedy: the smallest change that makes it go away.
    :param refuse: withhold the object at stage ``enforce`` unless accepted.
    """

    rule: str
    ref: Ref
    message: str
    remedy: str = ""
    affected: tuple[str, ...] = ()
    refuse: bool = False
    refused: bool = False
    accepted: str = ""

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "rule": self.rule,
            "kind": self.ref.kind,
            "namespace": self.ref.namespace,
            "name": self.ref.name,
            "message": self.message,
            "affected": list(self.affected),
            "remedy": self.remedy,
            "refused": self.refused,
            "accepted": self.accepted,
        }

    def refusal(self, where: str) -> Problem:
        """What a refused object's item is told: why, and the two ways on."""
        affected = f": {'; '.join(self.affected)}" if self.affected else ""
        object_ = ", ".join(f"{key}: {value}" for key, value in self.ref._asdict().items() if value)
        accept = f"accept it: {{rule: {self.rule}, {object_}, reason: ..., expires: YYYY-MM-DD}}"
        return Problem(
            where,
            f"{self.ref} is refused ({self.rule}): {self.message}{affected}",
            f"{self.remedy or 'Correct it'}. Or {accept}",
            *self.ref,
        )


@dataclass(frozen=True)
class Acceptance:
    """A risk that somebody took on: rule, object, reason and the day on which it ends.

    ``kind``, ``namespace`` and ``name`` narrow it; empty ones match any object.
    """

    rule: str
    reason: str
    expires: datetime.date
    kind: str = ""
    namespace: str = ""
    name: str = ""
    where: str = field(default="", compare=False)

    def covers(self, finding: Finding) -> bool:
        ref = finding.ref
        return (
            self.rule == finding.rule
            and self.kind in ("", ref.kind)
            # a namespace lies within itself: what a tenant accepts covers it, too
            and self.namespace in ("", ref.name if ref.kind == "Namespace" else ref.namespace)
            and self.name in ("", ref.name)
        )


ACCEPT_SPEC: dict[str, t.Any] = {
    "rule": {"type": "str", "required": True},
    "kind": {"type": "str"},
    "namespace": {"type": "str"},
    "name": {"type": "str"},
    "reason": {"type": "str", "required": True},
    "expires": {"type": "str", "required": True},
}


def parse_acceptances(
    items: t.Iterable[t.Mapping[str, t.Any]], where: str, today: datetime.date, namespace: str = ""
) -> tuple[list[Acceptance], list[Problem]]:
    """Read ``accept`` entries; an expired or undated one is a problem, not a silent pass.

    :param namespace: the namespace that entries without one belong to (a tenant's own).
    """
    accepted: list[Acceptance] = []
    problems: list[Problem] = []
    for index, item in enumerate(items):
        place = f"{where}[{index}] ({item.get('rule')})"
        if not str(item.get("reason") or "").strip():
            problems.append(Problem(place, "an acceptance needs a reason", "Say in reason why the risk is taken"))
            continue
        try:
            expires = datetime.date.fromisoformat(str(item["expires"]))
        except ValueError:
            problems.append(
                Problem(
                    place,
                    f"expires {item['expires']!r} is not a date",
                    "Write it as YYYY-MM-DD, such as 2027-01-31",
                )
            )
            continue
        if expires < today:
            problems.append(
                Problem(
                    place,
                    f"the acceptance expired on {expires.isoformat()}",
                    "Remove the risk, or renew expires after looking at it again",
                )
            )
            continue
        accepted.append(
            Acceptance(
                rule=item["rule"],
                reason=item["reason"],
                expires=expires,
                kind=item.get("kind") or "",
                namespace=item.get("namespace") or namespace,
                name=item.get("name") or "",
                where=place,
            )
        )
    return accepted, problems


def settle(
    findings: t.Iterable[Finding],
    acceptances: t.Sequence[Acceptance],
    stage_of: t.Callable[[Ref], str],
) -> list[Finding]:
    """Decide each finding: accepted by name, refused (stage ``enforce``), or only reported.

    :param stage_of: the stage under which an object is declared.
    """
    return [_settled(finding, acceptances, stage_of) for finding in findings]


def unused(acceptances: t.Iterable[Acceptance], settled: t.Sequence[Finding]) -> list[Finding]:
    """What is said of acceptances that nothing needs."""
    return [
        Finding(
            rule="accept/unused",
            ref=Ref(a.kind, a.namespace, a.name),
            message=f"{a.where} accepts {a.rule}, which is not found",
            remedy="Remove the acceptance",
        )
        for a in acceptances
        if not any(a.covers(finding) for finding in settled)
    ]


def _settled(finding: Finding, acceptances: t.Sequence[Acceptance], stage_of: t.Callable[[Ref], str]) -> Finding:
    acceptance = next((a for a in acceptances if a.covers(finding)), None)
    if acceptance is not None:
        return replace(finding, accepted=f"{acceptance.reason} (until {acceptance.expires.isoformat()})")
    return replace(finding, refused=finding.refuse and stage_of(finding.ref) == "enforce")
