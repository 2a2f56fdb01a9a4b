# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One thing that is done in AWS: which calls, and what it looks like before and after. Pure."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field

from ansible_collections.hardened.k8s.plugins.module_utils.errors import Problem
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref

CREATE, UPDATE, DELETE, RELEASE = "create", "update", "delete", "release"
UNCHANGED, REFUSED, FAILED = "unchanged", "refused", "failed"
CHANGING = (CREATE, UPDATE, DELETE, RELEASE)

ROLE, INSTANCE, LAUNCH_TEMPLATE = "AWS::IAM::Role", "AWS::EC2::Instance", "AWS::EC2::LaunchTemplate"

View = t.Mapping[str, t.Any]


class Call(t.NamedTuple):
    """One request, by boto3's name of it."""

    method: str
    params: t.Dict[str, t.Any]


@dataclass
class Step:
    """What is to be done with one resource, and afterwards what was done.

    :param before: what a person sees of it now; None where there is none.
    :param after: the same afterwards; None where there will be none.
    :param result: what the module says of it besides, such as its ARN.
    """

    ref: Ref
    action: str
    where: str
    before: t.Optional[View] = None
    after: t.Optional[View] = None
    calls: t.List[Call] = field(default_factory=list)
    result: t.Dict[str, t.Any] = field(default_factory=dict)
    problem: t.Optional[Problem] = None
    #: how many of the calls have been made
    done: int = 0

    @property
    def changed(self) -> bool:
        """Also where it failed half-way."""
        return self.action in CHANGING or self.done > 0

    def stop(self, problem: Problem, action: str) -> None:
        """Nothing (more) is done with this resource."""
        self.problem = problem
        self.action = action
        self.after = self.before

    def as_dict(self) -> t.Dict[str, t.Any]:
        return {"kind": self.ref.kind, "name": self.ref.name, "action": self.action, **self.result}

    def diff(self) -> t.Dict[str, str]:
        """One element of a module's ``diff`` list; JSON, as that is how IAM writes its documents."""
        return {
            "before_header": str(self.ref),
            "after_header": str(self.ref),
            "before": _shown(self.before),
            "after": _shown(self.after),
        }


def _shown(view: t.Optional[View]) -> str:
    return f"{json.dumps(view, indent=2)}\n" if view else ""
