# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What roles of nodes and pods hand out. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import iam_policy
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.iam_documents import SELF_LIFTING, RoleArn
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.iam_role import Role

_Documents = t.Mapping[str, iam_policy.Document]

#: AWS's own policies that are, or come to, everything.
_ADMIN = ("AdministratorAccess", "PowerUserAccess", "IAMFullAccess")
#: Rights that a role turns into more rights.
_ESCALATING = (
    "iam:AttachRolePolicy",
    "iam:CreateAccessKey",
    "iam:CreatePolicyVersion",
    "iam:PassRole",
    "iam:PutRolePolicy",
    "iam:SetDefaultPolicyVersion",
    "iam:UpdateAssumeRolePolicy",
)
#: What such rights are about, where it is no role.
_ABOUT = {"iam:CreateAccessKey": "user", "iam:CreatePolicyVersion": "policy", "iam:SetDefaultPolicyVersion": "policy"}
_OUTSIDE = "hardened-k8s-outside"
#: What the CNI plug-in needs, and nothing else on a node does.
_CNI = ("ec2:AssignPrivateIpAddresses", "ec2:AttachNetworkInterface", "ec2:CreateNetworkInterface")


def name_of(arn: str) -> str:
    return arn.rpartition("/")[2]


def _unnamed(action: str, near: RoleArn, regions: t.Sequence[str] = ()) -> t.Tuple[str, ...]:
    """What an action could be about and nobody has named: everything, and made-up resources of its kind.

    :param near: the account that they are in, and the path below which one of them is.
    :param regions: in each of which there is one, where its kind is of a region.
    """
    if action.startswith("ec2:"):
        instance = f"{near.account}:instance/{_OUTSIDE}"
        return ("*", *(f"arn:{near.partition}:ec2:{region}:{instance}" for region in regions))
    kind = f"arn:{near.partition}:iam::{near.account}:{_ABOUT.get(action, 'role')}"
    return ("*", f"{kind}/{_OUTSIDE}", f"{kind}{near.path}{_OUTSIDE}")


def _regions(documents: _Documents) -> t.List[str]:
    """Regions whose instances statements are about, and one more."""
    resources = (
        text
        for document in documents.values()
        for statement in iam_policy.statements(document)
        for text in iam_policy.texts(statement.get("Resource"))
    )
    found = {_OUTSIDE}
    for resource in resources:
        _arn, _partition, service, region = (*resource.split(":"), *[""] * 4)[:4]
        if service == "ec2":
            found.add(region.replace("*", _OUTSIDE).replace("?", "x"))
    return sorted(found)


def _may(documents: _Documents, action: str, resources: t.Iterable[str]) -> bool:
    """Whether an action is allowed on any of these resources."""
    return any(iam_policy.decide(documents, action, resource).allowed for resource in resources)


# -- roles of pods


def pod_role(ref: Ref, role: Role, own: RoleArn, external_id: bool) -> t.Iterator[Finding]:
    """What a pod's role gives away besides its purpose.

    :param own: its ARN, also while it is yet to be made.
    """
    admin = [name for name, document in role.policies.items() if _everything(document)]
    admin += [name_of(arn) for arn in role.managed if name_of(arn) in _ADMIN]
    if admin:
        yield Finding(
            "iam/admin",
            ref,
            "the pod could do everything in the account",
            "Allow the actions and resources that the workload uses",
            affected=tuple(sorted(admin)),
            refuse=True,
        )
    lifting = sorted(
        action for action in _ESCALATING if not admin and _may(role.policies, action, _unnamed(action, own))
    )
    wide = [] if admin else _wide_assume(role.policies, "")
    if lifting or wide:
        yield Finding(
            "iam/escalate",
            ref,
            "the pod could get the rights of other roles",
            "Name the roles that it may assume or pass one by one, or leave these rights out",
            affected=(*lifting, *wide),
            refuse=True,
        )
    if not role.boundary:
        yield Finding(
            "iam/no-boundary",
            ref,
            "nothing limits what this role may be given later",
            "Give the roles below the path a permissions boundary, in boundary",
        )
    if external_id:
        yield Finding(
            "iam/external-id",
            ref,
            "an external ID keeps nobody out: kube2iam caches credentials by role alone, so that another pod of the "
            "node gets them without it",
            "Let one role be one zone of trust, and the namespace's allow list say who gets it",
        )


def _everything(document: iam_policy.Document) -> bool:
    return any(
        statement.get("Effect") == "Allow"
        and "Condition" not in statement
        and iam_policy.concerns(statement, "hardened:Anything", "arn:aws:hardened:::anything")
        for statement in iam_policy.statements(document)
    )


def _wide_assume(documents: _Documents, pods: str) -> t.List[str]:
    """Patterns of roles that may be assumed, wider than one role and not below the given prefix."""
    return sorted(
        pattern
        for pattern in _assumable(documents)
        if ("*" in pattern or "?" in pattern) and not (pods and pattern.startswith(pods))
    )


def _assumable(documents: _Documents) -> t.Set[str]:
    """The resources of statements that allow sts:AssumeRole."""
    found: t.Set[str] = set()
    for document in documents.values():
        for statement in iam_policy.statements(document):
            if statement.get("Effect") != "Allow" or not iam_policy.covers_action(statement, "sts:AssumeRole"):
                continue
            found |= set(iam_policy.texts(statement.get("Resource", "*")))
    return found


# -- roles of nodes


def node_role(
    ref: Ref, role: Role, managed: _Documents, unread: t.Sequence[str], pods: RoleArn, ours: str
) -> t.Iterator[Finding]:
    """What a node's role allows besides the roles of its pods.

    :param managed: the attached policies that could be read, by ARN.
    :param pods: the path of the pods' roles, as a role's ARN without a name.
    :param ours: name of the inline policy that this collection writes.
    """
    others = {**_others(role, ours), **managed}
    everything = {**role.policies, **managed}
    yield from _assume(ref, others, everything, str(pods))
    yield from _missing(ref, role, everything, pods)
    cni = sorted(action for action in _CNI if iam_policy.decide(others, action, "*").allowed)
    if cni:
        yield Finding(
            "iam/cni-on-node",
            ref,
            "whoever gets this role can rewire the network interfaces of the account's instances",
            "Give the CNI plug-in a role of its own (IRSA or EKS Pod Identity) and detach AmazonEKS_CNI_Policy here",
            affected=tuple(cni),
        )
    yield from _trust(ref, role)
    if unread:
        yield Finding(
            "iam/unread",
            ref,
            "these policies could not be read, and so not be judged",
            "Allow the caller iam:GetPolicy and iam:GetPolicyVersion",
            affected=tuple(map(name_of, unread)),
        )


def _others(role: Role, ours: str) -> _Documents:
    return {name: document for name, document in role.policies.items() if name != ours}


def _assume(ref: Ref, others: _Documents, everything: _Documents, below: str) -> t.Iterator[Finding]:
    wide = _wide_assume(others, below)
    if wide:
        closed = not iam_policy.decide(everything, "sts:AssumeRole", _elsewhere(below)).allowed
        yield Finding(
            "iam/assume-any",
            ref,
            "the node may assume roles that are not of its pods"
            + (", if it were not for the statement NoOtherRole" if closed else ""),
            f"Remove the statement, or allow {below}* instead",
            affected=tuple(wide),
        )


def _elsewhere(below: str) -> str:
    """A role that nobody has named, outside of the path."""
    return f"{below.partition(':role/')[0]}:role/{_OUTSIDE}"


def cuts(ref: Ref, role: Role, managed: _Documents, pods: RoleArn, ours: str) -> t.Iterator[Finding]:
    """What a node may do by name today and could no longer, once all is denied that our policy denies.

    :param role: as it is now; :param managed: of its attached policies those that stay.
    """
    others = {**_others(role, ours), **managed}
    everything, below = {**role.policies, **managed}, str(pods)
    cut = sorted(
        f"sts:AssumeRole {arn}"
        for arn in _assumable(others)
        if "*" not in arn and "?" not in arn and not arn.startswith(below) and _open(everything, "sts:AssumeRole", arn)
    )
    cut += sorted({action for action in _by_name(others, SELF_LIFTING) if _open(everything, action, "*")})
    if cut:
        yield Finding(
            "iam/cuts",
            ref,
            "the node may do this by name today, and could no longer",
            "Give what uses it a role of its own, or take these rights away first",
            affected=tuple(cut),
            refuse=True,
        )


def _open(everything: _Documents, action: str, resource: str) -> bool:
    return iam_policy.decide(everything, action, resource).effect != iam_policy.DENY


def _by_name(documents: _Documents, actions: t.Sequence[str]) -> t.Iterator[str]:
    """Those of the actions that a statement allows by name; a wildcard asks for nothing in particular."""
    for document in documents.values():
        for statement in iam_policy.statements(document):
            if statement.get("Effect") == "Allow":
                named = {text.lower() for text in iam_policy.texts(statement.get("Action"))}
                yield from (action for action in actions if action.lower() in named)


def _missing(ref: Ref, role: Role, everything: _Documents, pods: RoleArn) -> t.Iterator[Finding]:
    """Denials that are not there: what a stage below enforce leaves open."""
    imdsv1 = {"ec2:roledelivery": "1.0"}
    own = (role.arn,) if role.arn else ()
    regions = _regions(everything)
    self_lifting = [
        action
        for action in SELF_LIFTING
        if _may(everything, action, (*_unnamed(action, pods, regions), *(own if action.startswith("iam:") else ())))
    ]
    checks = (
        (
            "iam/no-deny",
            iam_policy.decide(everything, "sts:AssumeRole", _elsewhere(str(pods))).effect != iam_policy.DENY,
            "a role elsewhere that trusts this one, or its account, could be assumed, too",
            (),
        ),
        (
            "iam/imdsv1",
            iam_policy.decide(everything, "sts:AssumeRole", f"{pods}any", imdsv1).effect != iam_policy.DENY,
            "credentials that IMDSv1 gave out, as to a forged request, are good for use",
            (),
        ),
        ("iam/self-lift", bool(self_lifting), "the node may change what holds it in", tuple(sorted(self_lifting))),
    )
    for rule, missing, message, affected in checks:
        if missing:
            yield Finding(rule, ref, message, "Declare it at stage enforce, whose policy denies it", affected=affected)
    if not role.boundary:
        yield Finding(
            "iam/no-boundary",
            ref,
            "nothing limits what this role may be given later",
            "Give it a boundary, in boundary",
        )


def _trust(ref: Ref, role: Role) -> t.Iterator[Finding]:
    """Who else may take the node's role."""
    others: t.Set[str] = set()
    for statement in iam_policy.statements(role.trust):
        if statement.get("Effect") != "Allow":
            continue
        for kind, names in iam_policy.principals(statement.get("Principal")).items():
            others |= {
                f"{kind} {name}" for name in names if not (kind == "Service" and name.startswith("ec2.amazonaws."))
            }
    if others:
        yield Finding(
            "iam/node-trust",
            ref,
            "others than instances may take the node's role",
            "Leave ec2.amazonaws.com alone in its trust policy",
            affected=tuple(sorted(others)),
        )
