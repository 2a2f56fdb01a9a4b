# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles of nodes, as options declare them. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.aws import pod_roles
from ansible_collections.hardened.k8s.plugins.module_utils.aws.roles import Wanted
from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import STAGES
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import iam_documents

_Item = t.Mapping[str, t.Any]

POLICY = "hardened-k8s"

SPEC: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "path": {"type": "str"},
    "pod_path": {"type": "str", "required": True},
    "policy_name": {"type": "str"},
    "boundary": {"type": "str"},
    "managed_policies": {"type": "list", "elements": "str"},
    "tags": {"type": "dict"},
    "purge_tags": {"type": "bool"},
    "stage": {"type": "str", "choices": list(STAGES)},
}


def policy_name(item: _Item) -> str:
    return iam_documents.policy_name(item.get("policy_name") or POLICY)


def pods(item: _Item, partition: str, account: str) -> iam_documents.RoleArn:
    """The path of the pods' roles, as an ARN without a name.

    :raises ItemError: it is none, or the node's own role is below it.
    """
    below = iam_documents.pod_path(item["pod_path"], "pod_path")
    own = iam_documents.path(item.get("path") or "/")
    if own.startswith(below):
        raise ItemError(f"the node's own path {own} is below {below}, so that pods could get it", "Use two paths")
    return iam_documents.RoleArn(partition, account, below, "")


def declare(item: _Item, partition: str, account: str, stage: str) -> Wanted:
    """The role that an item wants; what it says nothing of stays as somebody else made it.

    :raises ItemError: something in it cannot be.
    """
    below = pods(item, partition, account)
    boundary, managed = item.get("boundary"), item.get("managed_policies")
    return Wanted(
        name=iam_documents.role_name(item["name"]),
        policies={policy_name(item): iam_documents.node_policy(partition, account, below.path, stage == "enforce")},
        managed=None
        if managed is None
        else frozenset(iam_documents.policy_arn(a, "managed_policies") for a in managed),
        boundary=iam_documents.policy_arn(boundary, "boundary") if boundary else boundary,
        tags=pod_roles.tags(item.get("tags")),
        purge_tags=item.get("purge_tags", False),
        new_path=iam_documents.path(item.get("path") or "/"),
        new_trust=iam_documents.ec2_trust(partition),
    )
