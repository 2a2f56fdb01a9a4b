# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policies that this collection writes, and the names that IAM allows. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.iam_policy import Document

_ROLE_ARN = re.compile(
    r"arn:(?P<partition>[\w-]+):iam::(?P<account>[0-9]{12}):role(?P<path>/(?:[!-~]+/)?)(?P<name>[\w+=,.@-]{1,64})"
)
_POLICY_ARN = re.compile(r"arn:[\w-]+:iam::(?:[0-9]{12}|aws):policy/[!-~]+")
_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_POLICY_NAME = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_PATH = re.compile(r"/(?:[!-~]+/)?")

#: What a node must not do to the roles and metadata options that hold it in.
SELF_LIFTING = (
    "ec2:AssociateIamInstanceProfile",
    "ec2:ModifyInstanceMetadataOptions",
    "ec2:ReplaceIamInstanceProfileAssociation",
    "iam:AttachRolePolicy",
    "iam:CreatePolicyVersion",
    "iam:CreateRole",
    "iam:DeleteRolePermissionsBoundary",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PassRole",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
    "iam:SetDefaultPolicyVersion",
    "iam:UpdateAssumeRolePolicy",
)


class RoleArn(t.NamedTuple):
    """The parts of a role's ARN."""

    partition: str
    account: str
    path: str
    name: str

    def __str__(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role{self.path}{self.name}"


def role_arn(value: t.Any, what: str = "role") -> RoleArn:
    """A role's ARN, taken apart."""
    match = _ROLE_ARN.fullmatch(str(value))
    if not match:
        raise ItemError(f"{what} {value!r} is no ARN of a role", "Write it as arn:aws:iam::111122223333:role/path/name")
    return RoleArn(**match.groupdict())


def policy_arn(value: t.Any, what: str) -> str:
    """The ARN of a managed policy."""
    if not _POLICY_ARN.fullmatch(str(value)):
        raise ItemError(f"{what} {value!r} is no ARN of a policy", "Write it as arn:aws:iam::111122223333:policy/name")
    return str(value)


def role_name(value: t.Any) -> str:
    if not _NAME.fullmatch(str(value)):
        raise ItemError(f"{value!r} is no name of a role", "Use letters, digits and any of +=,.@_-, 64 at most")
    return str(value)


def policy_name(value: t.Any) -> str:
    if not _POLICY_NAME.fullmatch(str(value)):
        raise ItemError(f"{value!r} is no name of a policy", "Use letters, digits and any of +=,.@_-, 128 at most")
    return str(value)


def path(value: t.Any, what: str = "path") -> str:
    """An IAM path."""
    text = str(value)
    if not _PATH.fullmatch(text) or "//" in text or len(text) > 512:
        raise ItemError(f"{what} {text!r} is no IAM path", "Begin and end it with a slash, such as /k8s/prod/")
    return text


def pod_path(value: t.Any, what: str) -> str:
    """A path for the roles of pods: one of its own, and without wildcards, as it ends up in a policy."""
    text = path(value, what)
    if text == "/":
        raise ItemError(
            f"{what} is /, so every role of the account would be one for pods", "Give them a path, such as /k8s/prod/"
        )
    if re.search(r"[*?$]", text):
        raise ItemError(f"{what} {text!r} has a wildcard in it", "Leave *, ? and $ out of the path")
    return text


def node_policy(partition: str, account: str, pods: str, enforce: bool) -> Document:
    """What a node may do for its pods: assume the roles below one path, and no other.

    :param pods: the path of the pods' roles.
    :param enforce: also deny what lies outside, credentials delivered by IMDSv1, and lifting any of it.
    """
    below = f"arn:{partition}:iam::{account}:role{pods}*"
    allow: t.List[t.Dict[str, t.Any]] = [
        {"Sid": "AssumePodRoles", "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": below},
        # kube2iam asks which regions there are before it trusts the name of one
        {"Sid": "Regions", "Effect": "Allow", "Action": "ec2:DescribeRegions", "Resource": "*"},
    ]
    deny: t.List[t.Dict[str, t.Any]] = [
        {"Sid": "NoOtherRole", "Effect": "Deny", "Action": "sts:AssumeRole", "NotResource": below},
        {
            "Sid": "NoImdsV1",
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": {"NumericLessThan": {"ec2:RoleDelivery": "2.0"}},
        },
        {"Sid": "NoSelfLift", "Effect": "Deny", "Action": list(SELF_LIFTING), "Resource": "*"},
    ]
    return {"Version": "2012-10-17", "Statement": allow + (deny if enforce else [])}


def pod_trust(nodes: t.Iterable[str], external_id: str = "") -> Document:
    """Who may assume a pod's role: exactly these node roles."""
    statement: t.Dict[str, t.Any] = {
        "Sid": "Nodes",
        "Effect": "Allow",
        "Principal": {"AWS": sorted(nodes)},
        "Action": "sts:AssumeRole",
    }
    if external_id:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    return {"Version": "2012-10-17", "Statement": [statement]}


def ec2_trust(partition: str) -> Document:
    """Who may assume a node's role: instances."""
    domain = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    statement = {"Effect": "Allow", "Principal": {"Service": f"ec2.{domain}"}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}
