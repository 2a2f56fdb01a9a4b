# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles read from IAM, and steps carried out there."""

from __future__ import annotations

import json
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

from ansible_collections.hardened.k8s.plugins.module_utils.aws.client import Aws, AwsError, Client, not_yet
from ansible_collections.hardened.k8s.plugins.module_utils.aws.steps import FAILED, Call, Step
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError, Problem
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.iam_policy import Document
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.iam_role import MAX_SESSION, Role

#: So few roles are asked for one by one; more of them, by two lists of the whole account.
FEW = 4
_PAGE = {"PageSize": 1000}
#: How often, and for how long between, a request is repeated that comes too early.
_TRIES, _PAUSE = 8, 0.5


def document(value: t.Any) -> Document:
    """A document as boto3 hands it on: read already, or URL-encoded JSON."""
    if isinstance(value, str):
        value = json.loads(unquote(value))
    return value if isinstance(value, dict) else {}


class Iam:
    """IAM, for roles."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.client: Client = aws.client("iam")
        self._documents: t.Dict[str, Document] = {}

    # -- reading

    def roles(self, names: t.Collection[str], whole: bool = False) -> t.Dict[str, Role]:
        """The roles of these names that exist.

        :param whole: every role of the account, as prune needs it.
        """
        if len(names) <= FEW and not whole:
            return self._one_by_one(names)
        try:
            found = {role.name: role for role in self._all()}
        except AwsError as error:
            if whole or error.code not in ("AccessDenied", "AccessDeniedException"):
                raise self._cannot_read(error) from error
            return self._one_by_one(names)
        return found if whole else {name: found[name] for name in names if name in found}

    def _all(self) -> t.Iterator[Role]:
        """All roles by two lists: neither tells everything."""
        details = self.aws.pages(
            self.client,
            "get_account_authorization_details",
            "RoleDetailList",
            Filter=["Role"],
            PaginationConfig=_PAGE,
        )
        described = list(details)
        listed = {r["RoleName"]: r for r in self.aws.pages(self.client, "list_roles", "Roles", PaginationConfig=_PAGE)}
        for detail in described:
            summary = listed.get(detail["RoleName"])
            if summary is not None:  # deleted between the two
                inline = {p["PolicyName"]: document(p["PolicyDocument"]) for p in detail.get("RolePolicyList") or ()}
                yield _role({**summary, **detail}, inline, detail.get("AttachedManagedPolicies") or ())

    def _one_by_one(self, names: t.Collection[str]) -> t.Dict[str, Role]:
        with ThreadPoolExecutor(self.aws.workers) as pool:
            return {role.name: role for role in pool.map(self._one, sorted(names)) if role}

    def _one(self, name: str) -> t.Optional[Role]:
        try:
            detail = self.aws.call(self.client, "get_role", RoleName=name)["Role"]
            inline = {}
            for policy in self.aws.pages(self.client, "list_role_policies", "PolicyNames", RoleName=name):
                answer = self.aws.call(self.client, "get_role_policy", RoleName=name, PolicyName=policy)
                inline[policy] = document(answer["PolicyDocument"])
            attached = list(
                self.aws.pages(self.client, "list_attached_role_policies", "AttachedPolicies", RoleName=name)
            )
            profiles = list(
                self.aws.pages(self.client, "list_instance_profiles_for_role", "InstanceProfiles", RoleName=name)
            )
        except AwsError as error:
            if error.code == "NoSuchEntity":
                return None
            raise self._cannot_read(error) from error
        return _role({**detail, "InstanceProfileList": profiles}, inline, attached)

    @staticmethod
    def _cannot_read(error: AwsError) -> HardenedError:
        return HardenedError(f"cannot read roles: {error.message}", error.remedy)

    def managed(self, arns: t.Iterable[str]) -> t.Tuple[t.Dict[str, Document], t.List[str]]:
        """Managed policies in their default version, by ARN; and those that may not be read."""
        unread = []
        for arn in sorted(set(arns) - set(self._documents)):
            try:
                version = self.aws.call(self.client, "get_policy", PolicyArn=arn)["Policy"]["DefaultVersionId"]
                answer = self.aws.call(self.client, "get_policy_version", PolicyArn=arn, VersionId=version)
                self._documents[arn] = document(answer["PolicyVersion"]["Document"])
            except AwsError:
                unread.append(arn)
        return {arn: self._documents[arn] for arn in arns if arn in self._documents}, unread

    # -- writing

    def execute(self, steps: t.Sequence[Step]) -> None:
        """Carry out the steps, several at a time; what goes wrong becomes the step's problem."""
        with ThreadPoolExecutor(self.aws.workers) as pool:
            for _done in pool.map(self._run, [step for step in steps if step.changed]):
                pass

    def _run(self, step: Step) -> None:
        try:
            for call in step.calls:
                answer = self._patiently(call, step)
                step.done += 1
                if call.method == "create_role":
                    step.result["arn"] = answer["Role"]["Arn"]
        except (AwsError, HardenedError) as error:
            step.stop(Problem(step.where, f"{step.ref}: {error.message}", error.remedy, *step.ref), FAILED)

    def _patiently(self, call: Call, step: Step) -> t.Dict[str, t.Any]:
        """One request, repeated while what an earlier one made is not yet known everywhere."""
        made = any(earlier.method == "create_role" for earlier in step.calls)
        for attempt in range(1, _TRIES + 1):
            try:
                return self.aws.call(self.client, call.method, **call.params)
            except AwsError as error:
                gone = error.code == "NoSuchEntity" and call.method.startswith(("delete_", "detach_", "untag_"))
                if gone:
                    return {}  # somebody was faster
                if attempt == _TRIES or not (made and not_yet(error, step.ref.name)):
                    raise
            time.sleep(_PAUSE * attempt)
        raise AssertionError("the last attempt returns or raises")


def _role(detail: t.Mapping[str, t.Any], inline: t.Mapping[str, Document], attached: t.Iterable[t.Any]) -> Role:
    return Role(
        name=detail["RoleName"],
        arn=detail["Arn"],
        path=detail.get("Path") or "/",
        trust=document(detail.get("AssumeRolePolicyDocument") or {}),
        policies=inline,
        managed=frozenset(policy["PolicyArn"] for policy in attached),
        boundary=(detail.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn", ""),
        description=detail.get("Description") or "",
        max_session_duration=int(detail.get("MaxSessionDuration") or MAX_SESSION),
        tags={tag["Key"]: tag["Value"] for tag in detail.get("Tags") or ()},
        profiles=tuple(sorted(profile["InstanceProfileName"] for profile in detail.get("InstanceProfileList") or ())),
    )
