# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The own parts of the modules for roles: what is there, what is wanted, what to think of it."""

from __future__ import annotations

import typing as t
from functools import partial

from ansible_collections.hardened.k8s.plugins.module_utils.aws import node_roles, pod_roles, roles
from ansible_collections.hardened.k8s.plugins.module_utils.aws.client import Aws
from ansible_collections.hardened.k8s.plugins.module_utils.aws.driver import Outcome
from ansible_collections.hardened.k8s.plugins.module_utils.aws.iam import Iam
from ansible_collections.hardened.k8s.plugins.module_utils.aws.roles import CREATED, OWNER, Wanted
from ansible_collections.hardened.k8s.plugins.module_utils.aws.steps import (
    CREATE,
    DELETE,
    FAILED,
    RELEASE,
    ROLE,
    UNCHANGED,
    UPDATE,
    Step,
)
from ansible_collections.hardened.k8s.plugins.module_utils.checks import iam as checks
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError, ItemError, Problem
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import iam_documents
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.iam_role import Role

_Items = t.Mapping[str, t.List[t.Tuple[t.Dict[str, t.Any], str]]]


class _Roles:
    """What both modules do with roles."""

    def __init__(self, aws: Aws, params: t.Mapping[str, t.Any]) -> None:
        self.aws = aws
        self.params = params
        self.owner: str = params["owner"]
        self.absent: bool = params["state"] == "absent"
        self.iam = Iam(aws)

    def execute(self, steps: t.Sequence[Step]) -> None:
        self.iam.execute(steps)

    def present(self, live: t.Optional[Role], wanted: Wanted, where: str, arn: str) -> t.Tuple[Step, Role]:
        """What it takes to make a role as declared, and the role as it will be."""
        after, calls = roles.plan(live, wanted, self.owner)
        step = Step(
            Ref(ROLE, "", wanted.name),
            CREATE if live is None else UPDATE if calls else UNCHANGED,
            where,
            live.view() if live else None,
            after.view(),
            calls,
            {"arn": live.arn if live else arn},
        )
        problem = self._not_ours(step, live) or _elsewhere(step, live, wanted)
        if problem:
            step.stop(problem, FAILED)
        return step, after

    def _not_ours(self, step: Step, live: t.Optional[Role]) -> t.Optional[Problem]:
        other = live.tags.get(OWNER, "") if live else ""
        if not other or other == self.owner or self.params["force_conflicts"]:
            return None
        return Problem(
            step.where,
            f"{step.ref} belongs to owner {other}, this call is owner {self.owner}",
            f"Declare it in one place, say owner: {other} here, or take it over with force_conflicts: true",
            *step.ref,
        )

    def gone(self, name: str, live: t.Optional[Role], where: str, policies: t.Collection[str]) -> Step:
        """What it takes to undo a role: deleted where this owner made it, given up where it was there before.

        :param policies: names of inline policies that are ours in any case.
        """
        ref = Ref(ROLE, "", name)
        if live is None or live.tags.get(OWNER) != self.owner:
            view = live.view() if live else None
            return Step(ref, UNCHANGED, where, view, view)
        if live.tags.get(CREATED) != self.owner:
            after, calls = roles.release(live, policies)
            return Step(ref, RELEASE, where, live.view(), after.view(), calls)
        step = Step(ref, DELETE, where, live.view(), None, roles.removal(live))
        if live.profiles:
            named = ", ".join(live.profiles)
            step.stop(
                Problem(where, f"{ref} is in the instance profile {named}", "Take it out of it first", *ref), FAILED
            )
        return step


def _elsewhere(step: Step, live: t.Optional[Role], wanted: Wanted) -> t.Optional[Problem]:
    """A role's path cannot change, and its name is the account's."""
    if live is None or wanted.path is None or live.path == wanted.path:
        return None
    return Problem(
        step.where,
        f"{step.ref} exists below {live.path}, is wanted below {wanted.path}, and cannot move",
        "Choose another name, or delete the role there first",
        *step.ref,
    )


class PodRoles(_Roles):
    """iam_pod_role."""

    def plan(self, outcome: Outcome, items: _Items) -> None:
        below = self._pruned()
        prune = bool(below)
        declared: t.List[t.Tuple[t.Dict[str, t.Any], str, t.Optional[t.Tuple[Wanted, iam_documents.RoleArn]]]] = []
        for item, where in items["roles"]:
            ref = Ref(ROLE, "", str(item["name"]))
            whole = pod_roles.completed(item, self.params)
            built = None
            if not self.absent:
                built = outcome.attempt(where, ref, partial(pod_roles.declare, whole))
                if built is None:
                    continue
            declared.append((whole, where, built))
        if prune and outcome.problems:
            # what could not be read would look as if it were no longer wanted
            outcome.problem("prune", "nothing is pruned while other items fail", "Correct them and run again")
            prune = False
        live = self.iam.roles({str(item["name"]) for item, _where, _built in declared}, whole=prune)
        for item, where, built in declared:
            self._one(outcome, item, where, built, live)
        if prune:
            named = {item["name"] for item, _where in items["roles"]}
            for name in sorted(set(live) - named):
                role = live[name]
                if role.path.startswith(below) and role.tags.get(CREATED) == self.owner:
                    outcome.steps.append(self.gone(name, role, "prune", ()))

    def _pruned(self) -> str:
        """The path whose roles are pruned; empty where none are.

        :raises HardenedError: it is no path for pods; without its last slash, ``/k8s/prod-eu/`` would begin with it.
        """
        if not self.params["prune"] or self.absent:
            return ""
        if not self.params.get("path"):
            raise HardenedError("prune needs the path below which to look", "Say path of the module, not of its items")
        try:
            return iam_documents.pod_path(self.params["path"], "path")
        except ItemError as error:
            raise HardenedError(f"prune: {error.reason}", error.remedy) from error

    def _one(
        self,
        outcome: Outcome,
        item: t.Mapping[str, t.Any],
        where: str,
        built: t.Optional[t.Tuple[Wanted, iam_documents.RoleArn]],
        live: t.Mapping[str, Role],
    ) -> None:
        name = str(item["name"])
        if built is None:
            outcome.steps.append(self.gone(name, live.get(name), where, ()))
            return
        wanted, arn = built
        step, after = self.present(live.get(name), wanted, where, str(arn))
        outcome.steps.append(step)
        outcome.findings += checks.pod_role(step.ref, after, arn, bool(item.get("external_id")))


class NodeRoles(_Roles):
    """iam_node_role."""

    def __init__(self, aws: Aws, params: t.Mapping[str, t.Any]) -> None:
        super().__init__(aws, params)
        self._caller: t.Optional[iam_documents.RoleArn] = None

    def plan(self, outcome: Outcome, items: _Items) -> None:
        live = self.iam.roles({str(item["name"]) for item, _where in items["node_roles"]})
        for item, where in items["node_roles"]:
            ref = Ref(ROLE, "", str(item["name"]))
            outcome.stages[ref] = item.get("stage") or self.params["stage"]
            outcome.attempt(where, ref, partial(self._one, outcome, item, where, live.get(str(item["name"]))))

    def _one(self, outcome: Outcome, item: t.Mapping[str, t.Any], where: str, live: t.Optional[Role]) -> None:
        name, policy = iam_documents.role_name(item["name"]), node_roles.policy_name(item)
        if self.absent:
            outcome.steps.append(self.gone(name, live, where, (policy,)))
            return
        own = iam_documents.role_arn(live.arn) if live else self._new_arn(item)
        stage = item.get("stage") or self.params["stage"]
        wanted = node_roles.declare({**item, "path": own.path}, own.partition, own.account, stage)
        step, after = self.present(live, wanted, where, str(own))
        if stage == "observe" and step.action != FAILED:
            step.action, step.calls, step.after = UNCHANGED, [], step.before
            step.result["policy"] = wanted.policies[policy]
            after = live or Role(name)
        outcome.steps.append(step)
        outcome.findings += self._judge(step.ref, live, after, item, policy)

    def _judge(
        self, ref: Ref, live: t.Optional[Role], after: Role, item: t.Mapping[str, t.Any], policy: str
    ) -> t.List[Finding]:
        """What the role hands out as it will be, and what is cut from it as it is."""
        own = iam_documents.role_arn(live.arn) if live else self._new_arn(item)
        pods = node_roles.pods({**item, "path": own.path}, own.partition, own.account)
        managed, unread = self.iam.managed(after.managed)
        found = list(checks.node_role(ref, after, managed, unread, pods, policy))
        if live:
            staying = {arn: managed[arn] for arn in live.managed if arn in managed}
            found += checks.cuts(ref, live, staying, pods, policy)
        return found

    def _new_arn(self, item: t.Mapping[str, t.Any]) -> iam_documents.RoleArn:
        """The ARN of a role that is to be made: in the caller's own account."""
        if self._caller is None:
            answer = self.aws.call(self.aws.client("sts"), "get_caller_identity")
            partition = str(answer["Arn"]).split(":")[1]
            self._caller = iam_documents.RoleArn(partition, str(answer["Account"]), "/", "")
        path = iam_documents.path(item.get("path") or "/")
        return self._caller._replace(path=path, name=iam_documents.role_name(item["name"]))
