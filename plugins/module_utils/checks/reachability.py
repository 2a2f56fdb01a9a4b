# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which AWS identity a pod gets, and why, from what is declared alone. Pure.

Follows the packets and then the policies: what the pod brings along, whether the metadata service or an agent
answers it, which role kube2iam (0.15, mappings/mapper.go) would give it, and whether STS would.
"""

from __future__ import annotations

import fnmatch
import json
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import iam_policy
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.iam_documents import role_arn

NODE, OWN, NO_ONE, OTHER = "node", "own", "none", "other"

ROLE_KEY = "iam.amazonaws.com/role"
EXTERNAL_ID_KEY = "iam.amazonaws.com/external-id"
ALLOWED_KEY = "iam.amazonaws.com/allowed-roles"
IRSA_KEY = "eks.amazonaws.com/role-arn"

_Map = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Node:
    """What the pod's node is like.

    :param role: ARN of its role; empty without an instance profile.
    :param policies: policies of that role by name, attached ones included; None when they are not known.
    :param boundary: its permissions boundary, if it has one.
    :param redirect: what the node's own rules do with pods that ask for metadata: ``kube2iam``, ``block`` or nothing.
    :param interfaces: globs of the interfaces that these rules look at; none are all but the uplink.
    :param refuses_others: whether what comes in by other interfaces is refused, as by ``metadata_access``.
    :param redirect_ipv6: whether they also drop the IPv6 address.
    :param host_routing: whether an eBPF data path passes by such rules.
    :param pod_ipv6: whether pods have IPv6 addresses.
    """

    role: str = ""
    policies: t.Optional[t.Mapping[str, iam_policy.Document]] = None
    boundary: t.Optional[iam_policy.Document] = None
    http_endpoint: str = "enabled"
    http_tokens: str = "optional"
    hop_limit: int = 2
    http_protocol_ipv6: str = "disabled"
    redirect: str = ""
    interfaces: t.Tuple[str, ...] = ()
    refuses_others: bool = False
    redirect_ipv6: bool = True
    host_routing: bool = False
    pod_ipv6: bool = False


@dataclass(frozen=True)
class Agent:
    """How kube2iam runs on the node.

    :param metadata_open: whether it hands on requests that are not for credentials, as it does by default.
    """

    running: bool = True
    base_role_arn: str = ""
    default_role: str = ""
    namespace_restrictions: bool = True
    namespace_restriction_format: str = "glob"
    role_key: str = ROLE_KEY
    namespace_key: str = ALLOWED_KEY
    metadata_open: bool = False


@dataclass(frozen=True)
class Workload:
    """A pod and what belongs to it.

    :param interface: its interface on the node, where that is known.
    :param service_account: the object, for its annotations.
    :param associated_role: the role that an EKS Pod Identity association gives it.
    """

    pod: _Map
    namespace: _Map = field(default_factory=dict)
    service_account: _Map = field(default_factory=dict)
    associated_role: str = ""
    interface: str = ""


@dataclass
class Verdict:
    """What a pod gets.

    :param identity: ``own``, ``node``, ``none``, or ``other`` for keys that it brings along.
    :param role: the ARN of the role, where it is known.
    :param why: how that comes about, step by step.
    :param also: further identities within its reach, each with how.
    :param user_data: whether it can read the instance's user data, where bootstrap secrets are.
    :param certain: False when something that matters is not known; then the answer is the worse one.
    """

    identity: str = NO_ONE
    role: str = ""
    why: t.List[str] = field(default_factory=list)
    also: t.List[t.Dict[str, str]] = field(default_factory=list)
    user_data: bool = False
    certain: bool = True

    def as_dict(self) -> t.Dict[str, t.Any]:
        return {
            "identity": self.identity,
            "role": self.role,
            "why": self.why,
            "also": self.also,
            "user_data": self.user_data,
            "certain": self.certain,
        }


def reach(
    workload: Workload, node: Node, agent: Agent, roles: t.Optional[t.Mapping[str, iam_policy.Document]]
) -> Verdict:
    """Which identity a pod gets.

    :param roles: trust policies of the roles that there are, by ARN; None when they are not known.
    """
    asked = _metadata(workload, node, agent, roles)
    template = _template(workload.pod)
    spec = template.get("spec") or {}
    if _privileged(spec) and node.role and asked.identity != NODE:
        asked.also.append({"identity": NODE, "role": node.role, "how": "it is privileged, and so can be the node"})
    brought = _brought(workload, spec)
    if brought is None:
        return asked
    brought.user_data, brought.certain = asked.user_data, brought.certain and asked.certain
    brought.also = asked.also
    if asked.identity != NO_ONE:
        how = f"AWS's SDKs take {brought.why[0]} first, but whoever is in the pod may ask: {'; '.join(asked.why)}"
        brought.also = [{"identity": asked.identity, "role": asked.role, "how": how}, *asked.also]
    return brought


# -- what the pod is, and brings along


def _template(manifest: _Map) -> _Map:
    """The pod in a pod, or in a workload that makes pods."""
    spec = manifest.get("spec") or {}
    if "jobTemplate" in spec:
        spec = (spec["jobTemplate"] or {}).get("spec") or {}
    template: _Map = spec.get("template", manifest)
    return template or {}


def _annotations(manifest: _Map) -> _Map:
    return (manifest.get("metadata") or {}).get("annotations") or {}


def _containers(spec: _Map) -> t.Iterator[_Map]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(kind) or ()


def _privileged(spec: _Map) -> bool:
    return any((container.get("securityContext") or {}).get("privileged") for container in _containers(spec))


def _brought(workload: Workload, spec: _Map) -> t.Optional[Verdict]:
    """Credentials that do not come from the metadata address, in the order in which AWS's SDKs look."""
    named = {variable.get("name") for container in _containers(spec) for variable in container.get("env") or ()}
    if "AWS_ACCESS_KEY_ID" in named:
        return Verdict(OTHER, "", ["AWS_ACCESS_KEY_ID in its environment"])
    annotated = _annotations(workload.service_account).get(IRSA_KEY)
    if annotated:
        return Verdict(OWN, str(annotated), ["its service account's role (IRSA)"])
    if workload.associated_role:
        return Verdict(OWN, workload.associated_role, ["its Pod Identity association"])
    return None


# -- who answers at the metadata address


def _metadata(
    workload: Workload, node: Node, agent: Agent, roles: t.Optional[t.Mapping[str, iam_policy.Document]]
) -> Verdict:
    template = _template(workload.pod)
    if (template.get("spec") or {}).get("hostNetwork"):
        return _from_host(node)
    if not node.redirect:
        return _routed(node, "nothing on the node keeps pods from the metadata address", "IPv4")
    if node.host_routing:
        return _routed(node, "the eBPF data path passes by the node's rules", "IPv4")
    elsewhere = bool(node.interfaces) and not any(_glob(workload.interface, glob) for glob in node.interfaces)
    if elsewhere and not node.refuses_others:
        shown = workload.interface or "which is not known"
        verdict = _routed(node, f"the node's rules do not look at its interface, {shown}", "IPv4")
        verdict.certain = bool(workload.interface)
        return verdict
    if elsewhere and workload.interface:
        return Verdict(why=[f"the node's rules refuse what comes in by its interface, {workload.interface}"])
    verdict = _answered(workload, node, agent, roles)
    verdict.certain = verdict.certain and not elsewhere
    if node.pod_ipv6 and node.http_protocol_ipv6 == "enabled" and not node.redirect_ipv6:
        return _beside(verdict, _routed(node, "nothing on the node drops the IPv6 metadata address", "IPv6"))
    return verdict


def _glob(interface: str, glob: str) -> bool:
    """As iptables and nftables: a ``+`` or ``*`` at the end is any ending."""
    return bool(interface) and fnmatch.fnmatchcase(interface, glob.replace("+", "*"))


def _beside(verdict: Verdict, other: Verdict) -> Verdict:
    """Two ways to the metadata: the worse one counts."""
    if other.identity != NODE:
        verdict.user_data = verdict.user_data or other.user_data
        return verdict
    if verdict.identity == OWN:
        other.also.append({"identity": OWN, "role": verdict.role, "how": "; ".join(verdict.why)})
    return other


def _from_host(node: Node) -> Verdict:
    """On the host network no rule for pods applies, and no hop is in between."""
    why = ["it is on the host network, where no rule for pods applies and no hop limit counts"]
    if node.http_endpoint == "disabled":
        return Verdict(why=[*why, "the instance has no metadata service"])
    if not node.role:
        return Verdict(why=[*why, "the instance has no role"], user_data=True)
    return Verdict(NODE, node.role, why, user_data=True)


def _routed(node: Node, reason: str, family: str) -> Verdict:
    """A pod's packets get to the metadata service, one hop behind the node."""
    why = [reason]
    if node.http_endpoint == "disabled":
        return Verdict(why=[*why, "the instance has no metadata service"])
    if node.hop_limit > 1:
        why.append(f"tokens live for {node.hop_limit} hops, and so reach it over {family}")
    elif node.http_tokens != "required":
        why.append("IMDSv1 wants no token, so that no hop limit counts")
    else:
        return Verdict(why=[*why, "a token is required, and does not live for the hop to the pod"])
    if not node.role:
        return Verdict(why=[*why, "the instance has no role"], user_data=True)
    if node.hop_limit <= 1 and _denied(node, {"ec2:roledelivery": "1.0"}):
        return Verdict(why=[*why, "the node's role denies what IMDSv1 delivered"], user_data=True)
    return Verdict(NODE, node.role, why, user_data=True)


def _denied(node: Node, context: t.Mapping[str, str]) -> bool:
    """Whether the node's policies deny everything in such a context."""
    decision = iam_policy.decide(node.policies or {}, "hardened:Anything", "arn:aws:hardened:::anything", context)
    return decision.effect == iam_policy.DENY


def _answered(
    workload: Workload, node: Node, agent: Agent, roles: t.Optional[t.Mapping[str, iam_policy.Document]]
) -> Verdict:
    """The node's rules apply."""
    if node.redirect == "block":
        return Verdict(why=["the node's rules drop what pods send to the metadata address"])
    if not agent.running:
        return Verdict(why=["the node's rules lead to the agent, which does not run: the connection is refused"])
    verdict = _assumed(workload, node, agent, roles)
    verdict.user_data = agent.metadata_open and node.http_endpoint != "disabled"
    if verdict.user_data:
        verdict.why.append("the agent hands on every request that is not for credentials, user data included")
    return verdict


# -- which role kube2iam gives


def full_arn(base: str, role: str) -> str:
    """The ARN of a role as kube2iam makes it from a name."""
    if role.lower().startswith("arn:"):
        return role
    return f"{base if not base or base.endswith('/') else base + '/'}{role}"


def allowed(agent: Agent, namespace: _Map, arn: str) -> t.Tuple[bool, str]:
    """Whether kube2iam lets pods of a namespace have a role, and why."""
    if agent.default_role and arn == full_arn(agent.base_role_arn, agent.default_role):
        return True, f"{arn} is the default role, which every namespace may have"
    if not agent.namespace_restrictions:
        return True, "every namespace may have every role"
    text = _annotations(namespace).get(agent.namespace_key)
    if not text:
        return False, f"its namespace has no annotation {agent.namespace_key}, and so may have no role"
    try:
        patterns = json.loads(text)
    except (TypeError, ValueError):
        patterns = None
    if not isinstance(patterns, list):
        return False, f"the annotation {agent.namespace_key} of its namespace is no JSON list of texts"
    for pattern in patterns:
        # what is no text beside others is passed over, as Go reads it
        if isinstance(pattern, str) and _fits(agent, full_arn(agent.base_role_arn, pattern), arn):
            return True, f"its namespace's allow list has {pattern}"
    return False, f"its namespace's allow list does not have {arn}"


def _fits(agent: Agent, pattern: str, arn: str) -> bool:
    if agent.namespace_restriction_format.lower() != "regexp":
        return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), arn, re.DOTALL) is not None
    try:
        return re.search(pattern, arn) is not None  # kube2iam does not anchor it
    except re.error:
        return False


def _assumed(
    workload: Workload, node: Node, agent: Agent, roles: t.Optional[t.Mapping[str, iam_policy.Document]]
) -> Verdict:
    annotations = _annotations(_template(workload.pod))
    if agent.role_key in annotations:
        name, told = str(annotations[agent.role_key]), f"its annotation asks for {annotations[agent.role_key]}"
    elif agent.default_role:
        name, told = agent.default_role, "it asks for no role, and so gets the default one"
    else:
        return Verdict(why=["it asks for no role, and there is no default one"])
    arn = full_arn(agent.base_role_arn, name)
    fits, reason = allowed(agent, workload.namespace, arn)
    if not fits:
        return Verdict(why=[told, reason])
    verdict = Verdict(OWN, arn, [told, reason])
    try:
        role_arn(arn)
    except ItemError:
        return Verdict(why=[told, f"{arn!r} is no ARN of a role: STS refuses it"])
    if not node.role:
        return Verdict(why=[*verdict.why, "the node has no role with which the agent could assume it"])
    external = str(annotations.get(EXTERNAL_ID_KEY, ""))
    return _sts(verdict, node, roles, external)


def _sts(
    verdict: Verdict, node: Node, roles: t.Optional[t.Mapping[str, iam_policy.Document]], external: str
) -> Verdict:
    """Whether STS gives the node's role this role: its own policies, its boundary, and the role's trust."""
    arn = verdict.role
    context = {"sts:externalid": external, "ec2:roledelivery": "2.0"}
    own = iam_policy.decide(node.policies, "sts:AssumeRole", arn, context) if node.policies is not None else None
    if own and own.effect == iam_policy.DENY:
        return Verdict(why=[*verdict.why, f"the node's role may not: {own.by} denies it"])
    limit = iam_policy.decide({"boundary": node.boundary}, "sts:AssumeRole", arn, context) if node.boundary else None
    if limit and not limit.allowed:
        return Verdict(why=[*verdict.why, "the node's permissions boundary does not allow it"])
    if roles is not None and arn not in roles:
        return Verdict(why=[*verdict.why, f"there is no role {arn}"])
    trust, exact = iam_policy.Decision(iam_policy.ALLOW, "", certain=False), False
    if roles is not None:
        trust, exact = iam_policy.trusts(roles[arn], node.role, context)
        if not trust.allowed:
            return Verdict(why=[*verdict.why, f"{arn} does not trust the node's role"])
    same_account = role_arn(arn).account == role_arn(node.role).account
    if own and not own.allowed and not (exact and same_account):
        return Verdict(why=[*verdict.why, "no policy of the node's role allows it"])
    verdict.certain = trust.certain and own is not None and (own.certain or exact) and (limit is None or limit.certain)
    verdict.why.append("STS gives it to the node's role" if verdict.certain else "STS may give it to the node's role")
    return verdict
