# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""IAM roles: what is there, what is wanted, and the calls that lead from one to the other. Pure."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.hardened.k8s.plugins.module_utils.aws.steps import Call
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import iam_policy
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.iam_policy import Document
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.iam_role import MAX_SESSION, Role

OWNER = "hardened.k8s/owner"
CREATED = "hardened.k8s/created"
#: Tags that are not the user's: ours, and those that AWS itself writes.
_RESERVED = ("hardened.k8s/", "aws:")


@dataclass(frozen=True)
class Wanted:
    """What is declared of a role. None is what nothing is said of, and so is left as it is.

    :param exact: also remove inline policies that are not declared.
    :param tags: the user's tags; :param purge_tags: also remove those of other keys.
    """

    name: str
    path: t.Optional[str] = None
    trust: t.Optional[Document] = None
    policies: t.Mapping[str, Document] = field(default_factory=dict)
    exact: bool = False
    managed: t.Optional[t.FrozenSet[str]] = None
    boundary: t.Optional[str] = None
    description: t.Optional[str] = None
    max_session_duration: t.Optional[int] = None
    tags: t.Optional[t.Mapping[str, str]] = None
    purge_tags: bool = True
    #: which path and trust a role gets that has to be made, where these are left alone otherwise
    new_path: str = "/"
    new_trust: Document = field(default_factory=dict)


def _json(document: Document) -> str:
    return json.dumps(document, separators=(",", ":"))


def _tag_list(tags: t.Mapping[str, str]) -> t.List[t.Dict[str, str]]:
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def plan(live: t.Optional[Role], wanted: Wanted, owner: str) -> t.Tuple[Role, t.List[Call]]:
    """The role as it will be, and the calls that make it so; none where it is so already."""
    if live is None:
        return _creation(wanted, owner)
    calls: t.List[Call] = []
    after = live

    def call(method: str, **params: t.Any) -> None:
        calls.append(Call(method, {"RoleName": live.name, **params}))

    if wanted.trust is not None and not iam_policy.same(live.trust, wanted.trust):
        call("update_assume_role_policy", PolicyDocument=_json(wanted.trust))
        after = replace(after, trust=wanted.trust)
    settings = _settings(live, wanted)
    if settings:
        call("update_role", **{_PARAMETERS[name]: value for name, value in settings.items()})
        after = replace(after, **settings)
    after = _boundary(after, wanted, call)
    after = _attachments(after, wanted, call)
    after = _inline(after, wanted, call)
    after = _tags(after, wanted, owner, call)
    return after, calls


_PARAMETERS = {"description": "Description", "max_session_duration": "MaxSessionDuration"}
_CallAdder = t.Callable[..., None]


def _settings(live: Role, wanted: Wanted) -> t.Dict[str, t.Any]:
    """Both, when one differs: UpdateRole would take away what it is not told."""
    declared = {name: getattr(wanted, name) for name in _PARAMETERS}
    chosen = {name: getattr(live, name) if value is None else value for name, value in declared.items()}
    return chosen if any(chosen[name] != getattr(live, name) for name in chosen) else {}


def _boundary(role: Role, wanted: Wanted, call: _CallAdder) -> Role:
    if wanted.boundary is None or wanted.boundary == role.boundary:
        return role
    if wanted.boundary:
        call("put_role_permissions_boundary", PermissionsBoundary=wanted.boundary)
    else:
        call("delete_role_permissions_boundary")
    return replace(role, boundary=wanted.boundary)


def _attachments(role: Role, wanted: Wanted, call: _CallAdder) -> Role:
    if wanted.managed is None:
        return role
    for arn in sorted(wanted.managed - role.managed):
        call("attach_role_policy", PolicyArn=arn)
    for arn in sorted(role.managed - wanted.managed):
        call("detach_role_policy", PolicyArn=arn)
    return replace(role, managed=wanted.managed)


def _inline(role: Role, wanted: Wanted, call: _CallAdder) -> Role:
    policies = dict(role.policies)
    for name, document in sorted(wanted.policies.items()):
        if name not in policies or not iam_policy.same(policies[name], document):
            call("put_role_policy", PolicyName=name, PolicyDocument=_json(document))
            policies[name] = document
    for name in sorted(set(policies) - set(wanted.policies)) if wanted.exact else ():
        call("delete_role_policy", PolicyName=name)
        del policies[name]
    return replace(role, policies=policies)


def _tags(role: Role, wanted: Wanted, owner: str, call: _CallAdder) -> Role:
    declared = {**(wanted.tags or {}), OWNER: owner}
    changed = {key: value for key, value in declared.items() if role.tags.get(key) != value}
    purged: t.List[str] = []
    if wanted.tags is not None and wanted.purge_tags:
        purged = sorted(key for key in role.tags if key not in declared and not key.startswith(_RESERVED))
    if purged:
        call("untag_role", TagKeys=purged)
    if changed:
        call("tag_role", Tags=_tag_list(changed))
    kept = {key: value for key, value in role.tags.items() if key not in purged}
    return replace(role, tags={**kept, **changed})


def _creation(wanted: Wanted, owner: str) -> t.Tuple[Role, t.List[Call]]:
    after = Role(
        name=wanted.name,
        path=wanted.path or wanted.new_path,
        trust=wanted.trust or wanted.new_trust,
        boundary=wanted.boundary or "",
        description=wanted.description or "",
        max_session_duration=wanted.max_session_duration or MAX_SESSION,
        tags={**(wanted.tags or {}), OWNER: owner, CREATED: owner},
    )
    params: t.Dict[str, t.Any] = {
        "RoleName": after.name,
        "Path": after.path,
        "AssumeRolePolicyDocument": _json(after.trust),
        "MaxSessionDuration": after.max_session_duration,
        "Tags": _tag_list(after.tags),
    }
    if after.description:
        params["Description"] = after.description
    if after.boundary:
        params["PermissionsBoundary"] = after.boundary
    after, calls = plan(after, replace(wanted, trust=None, path=None), owner)
    return after, [Call("create_role", params), *calls]


def removal(live: Role) -> t.List[Call]:
    """The calls that delete a role; IAM wants it empty first."""
    calls = [Call("detach_role_policy", {"RoleName": live.name, "PolicyArn": arn}) for arn in sorted(live.managed)]
    calls += [Call("delete_role_policy", {"RoleName": live.name, "PolicyName": name}) for name in sorted(live.policies)]
    return [*calls, Call("delete_role", {"RoleName": live.name})]


def release(live: Role, policies: t.Collection[str]) -> t.Tuple[Role, t.List[Call]]:
    """What gives up a role that was there before: our policies and our tags go, it stays."""
    ours = sorted(name for name in live.policies if name in policies)
    calls = [Call("delete_role_policy", {"RoleName": live.name, "PolicyName": name}) for name in ours]
    calls.append(Call("untag_role", {"RoleName": live.name, "TagKeys": [OWNER]}))
    after = replace(
        live,
        policies={name: document for name, document in live.policies.items() if name not in ours},
        tags={key: value for key, value in live.tags.items() if key != OWNER},
    )
    return after, calls
