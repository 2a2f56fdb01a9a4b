# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles of pods, as options declare them. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.aws.roles import Wanted
from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import iam_documents, iam_policy

_Item = t.Mapping[str, t.Any]

SPEC: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "path": {"type": "str"},
    "description": {"type": "str"},
    "node_roles": {"type": "list", "elements": "str"},
    "external_id": {"type": "str"},
    "policies": {"type": "dict"},
    "managed_policies": {"type": "list", "elements": "str"},
    "boundary": {"type": "str"},
    "max_session_duration": {"type": "int"},
    "tags": {"type": "dict"},
    "purge_tags": {"type": "bool"},
}
#: Options that the module also takes for all roles together.
SHARED = ("path", "node_roles", "boundary", "tags")

_DESCRIPTION = re.compile(r"[\t\n\r -~\u00a1-\u00ff]{0,1000}")


def completed(item: _Item, params: _Item) -> t.Dict[str, t.Any]:
    """An item with what is said of all of them; its tags are added to the common ones."""
    common = {name: params[name] for name in SHARED if params.get(name) is not None}
    whole = {**common, **item}
    if "tags" in common or "tags" in item:
        whole["tags"] = {**common.get("tags", {}), **item.get("tags", {})}
    return whole


def declare(item: _Item) -> t.Tuple[Wanted, iam_documents.RoleArn]:
    """The role that an item wants, and its ARN.

    :raises ItemError: something in it cannot be.
    """
    name = iam_documents.role_name(item["name"])
    path = iam_documents.pod_path(item.get("path") or "/", "path")
    nodes = [iam_documents.role_arn(arn, "node_roles") for arn in item.get("node_roles") or ()]
    if not nodes:
        raise ItemError("no node role is named that may assume it", "Name the ARNs of the nodes' roles in node_roles")
    for node in nodes:
        if (node.partition, node.account) != (nodes[0].partition, nodes[0].account):
            raise ItemError(
                f"node_roles are of several accounts, {nodes[0].account} and {node.account}", "Name those of one"
            )
        if node.path.startswith(path):
            raise ItemError(
                f"node role {node} is below {path}, so that pods could get it", "Give the nodes' roles another path"
            )
    inline = {
        iam_documents.policy_name(key): iam_policy.parse(value, f"policy {key}")
        for key, value in (item.get("policies") or {}).items()
    }
    boundary = item.get("boundary")
    wanted = Wanted(
        name=name,
        path=path,
        trust=iam_documents.pod_trust(map(str, nodes), item.get("external_id", "")),
        policies=inline,
        exact=True,
        managed=frozenset(
            iam_documents.policy_arn(arn, "managed_policies") for arn in item.get("managed_policies") or ()
        ),
        boundary=iam_documents.policy_arn(boundary, "boundary") if boundary else boundary,
        description=_description(item.get("description")),
        max_session_duration=_duration(item.get("max_session_duration")),
        tags=tags(item.get("tags")),
        purge_tags=item.get("purge_tags", True),
    )
    return wanted, iam_documents.RoleArn(nodes[0].partition, nodes[0].account, path, name)


def _description(text: t.Optional[str]) -> t.Optional[str]:
    if text is not None and not _DESCRIPTION.fullmatch(text):
        raise ItemError(
            "the description is too long, or has characters that IAM does not take", "Use 1000 of Latin-1 at most"
        )
    return text


def _duration(seconds: t.Optional[int]) -> t.Optional[int]:
    if seconds is not None and not 3600 <= seconds <= 43200:
        raise ItemError(f"max_session_duration {seconds} is out of range", "It is 3600 to 43200 seconds")
    return seconds


def tags(given: t.Optional[t.Mapping[t.Any, t.Any]]) -> t.Optional[t.Dict[str, str]]:
    """Tags as AWS takes them: text."""
    if given is None:
        return None
    checked = {}
    for key, value in given.items():
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise ItemError(f"tag {key} has the value {value!r}, which YAML does not read as text", "Put it in quotes")
        if not 1 <= len(str(key)) <= 128 or len(str(value)) > 256:
            raise ItemError(f"tag {key} is too long", "A key has 1 to 128 characters, a value 256 at most")
        if str(key).lower().startswith("aws:") or str(key).startswith("hardened.k8s/"):
            raise ItemError(f"tag {key} is not for users to write", "Leave it out")
        checked[str(key)] = str(value)
    return checked
