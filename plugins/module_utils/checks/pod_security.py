# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which workloads a Pod Security level, or a pod security policy, would refuse, and what to change in them.

Complete, unlike the API server's own warning when a level changes: that looks at the first 3,000 pods for one second
at most, and at no template.
"""

from __future__ import annotations

import marshal
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.hardened.k8s.plugins.module_utils.checks import pod_security_standards as standards
from ansible_collections.hardened.k8s.plugins.module_utils.checks import workloads
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref

_SHOWN = 50
#: The volume that every pod with a token gets, under a name of its own.
_TOKEN = re.compile(rb"kube-api-access-[a-z0-9]{5}")
#: What differs between pods of one template, and is not judged.
_OF_ONE_POD = frozenset(["nodeName", "hostname", "priority", "tolerations"])

#: What is wrong with a pod: reasons, details, changes.
Wrong = t.List[t.Tuple[str, str, t.Tuple[str, ...]]]
Judge = t.Callable[[t.Mapping[str, t.Any], t.Mapping[str, t.Any]], Wrong]


@dataclass
class Violation:
    """A workload that would be refused.

    :param pods: those that run; :param template: whether those that it would make next are refused, too.
    """

    owner: Ref
    pods: t.List[str] = field(default_factory=list)
    template: bool = False
    wrong: t.Dict[str, t.Tuple[str, t.Tuple[str, ...]]] = field(default_factory=dict)

    @property
    def changes(self) -> t.List[str]:
        """Each once."""
        return list(dict.fromkeys(change for _detail, changes in self.wrong.values() for change in changes))

    def as_dict(self) -> t.Dict[str, t.Any]:
        return {
            **self.owner._asdict(),
            "pods": sorted(self.pods),
            "template": self.template,
            "failures": [{"reason": reason, "detail": detail} for reason, (detail, _changes) in self.wrong.items()],
            "changes": self.changes,
        }

    def __str__(self) -> str:
        running = f" ({len(self.pods)} pods)" if self.owner.kind != "Pod" and self.pods else ""
        name = f"{self.owner.kind} {self.owner.name}"
        return f"{name}{running}: {', '.join(self.wrong)}: {', '.join(self.changes)}"


def by_level(level: str, minor: int) -> Judge:
    """What a Pod Security level says of a pod; pods that are alike are judged once, as many come of one template."""
    judged: t.Dict[bytes, Wrong] = {}

    def judge(metadata: t.Mapping[str, t.Any], spec: t.Mapping[str, t.Any]) -> Wrong:
        key = alike(spec, metadata.get("annotations"))
        if key not in judged:
            judged[key] = [
                (failure.reason, failure.detail, tuple(map(str, failure.changes)))
                for failure in standards.evaluate(metadata, spec, level, minor)
            ]
        return judged[key]

    return judge


def alike(spec: t.Mapping[str, t.Any], *around: t.Any) -> bytes:
    """Equal for pods that nothing tells apart that is judged: on whatever node, with whatever name their token has.

    :param around: what else is judged.
    :raises ValueError: something in it is not of JSON.
    """
    judged = {name: value for name, value in spec.items() if name not in _OF_ONE_POD}
    return _TOKEN.sub(b"kube-api-access-", marshal.dumps((around, judged), 2))


def violations(objects: t.Iterable[t.Mapping[str, t.Any]], judge: Judge) -> t.List[Violation]:
    """The workloads among these objects that would be refused, by owner."""
    found: t.Dict[Ref, Violation] = {}
    for workload in workloads.found(objects):
        try:
            wrong = judge(workload.metadata, workload.spec)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # of manifests only: the API server would not have taken it
            wrong = [("not a valid pod", f"a field is missing or of another type: {error}", ())]
        if not wrong:
            continue
        violation = found.setdefault(workload.owner, Violation(workload.owner))
        violation.pods += workload.pods
        violation.template |= not workload.pods
        for reason, detail, changes in wrong:
            violation.wrong.setdefault(reason, (detail, changes))
    return [found[owner] for owner in sorted(found)]


def findings(ref: Ref, what: str, found: t.Sequence[Violation]) -> t.List[Finding]:
    """Running pods that would be refused, and templates whose next pods would be.

    :param ref: the object that would refuse them; :param what: such as ``level restricted``.
    """
    running = [violation for violation in found if violation.pods]
    idle = [violation for violation in found if not violation.pods]
    made = []
    if running:
        made.append(
            Finding(
                rule="pod-security/running-pods",
                ref=ref,
                message=f"running pods violate {what}; they would not start again",
                affected=_told(running),
                remedy="Change these pods first, or stay at stage warn or below until they are",
                refuse=True,
            )
        )
    if idle:
        made.append(
            Finding(
                rule="pod-security/templates",
                ref=ref,
                message=f"workloads without pods violate {what}; their next pods would be refused",
                affected=_told(idle),
                remedy="Change these workloads before they are needed",
            )
        )
    return made


def _told(found: t.Sequence[Violation]) -> t.Tuple[str, ...]:
    more = [f"and {len(found) - _SHOWN} more, all in hardened.k8s.pod_security_info"] if len(found) > _SHOWN else []
    return tuple([str(violation) for violation in found[:_SHOWN]] + more)
