# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: iam_reachability
short_description: Which AWS identity a pod gets, and why
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Decides, without asking anything, whether a pod gets a role of its own, the node's role or none, from the pod, its
    namespace, the node's role and metadata options, the agent's settings and the trust policies of the roles.
  - Follows the packets, then the policies. What is not known makes the answer the worse one, and
    C(certain) false.
positional: _input
options:
  _input:
    description: A pod, or a workload that makes pods, as the Kubernetes API has it.
    type: dict
    required: true
  namespace:
    description: Its namespace, for the annotation with the roles that it may have.
    type: dict
  service_account:
    description: Its service account, for the annotation of IRSA.
    type: dict
  associated_role:
    description: ARN of the role of its EKS Pod Identity association.
    type: str
  interface:
    description: Name of its interface on the node, where the node's rules go by names.
    type: str
  node:
    description: The node.
    type: dict
    suboptions:
      role:
        description: ARN of its role; without it the instance has none.
        type: str
      policies:
        description: Policies of that role by name, attached ones included. Without it they are not known.
        type: dict
      boundary:
        description: Its permissions boundary, as a document.
        type: dict
      http_endpoint:
        description: Whether the metadata service is V(enabled) or V(disabled).
        type: str
        default: enabled
      http_tokens:
        description: Whether tokens are V(required) or V(optional).
        type: str
        default: optional
      hop_limit:
        description: How many hops a token lives.
        type: int
        default: 2
      http_protocol_ipv6:
        description: Whether its IPv6 endpoint is V(enabled) or V(disabled).
        type: str
        default: disabled
      redirect:
        description: What the node's rules do with pods that ask for metadata, V(kube2iam), V(block) or nothing.
        type: str
      interfaces:
        description: Globs of the interfaces that they look at; none are all but the uplink.
        type: list
        elements: str
      refuses_others:
        description: Whether they refuse what comes in by other interfaces, as M(hardened.k8s.metadata_access) does.
        type: bool
        default: false
      redirect_ipv6:
        description: Whether they drop the IPv6 address, too.
        type: bool
        default: true
      host_routing:
        description: Whether an eBPF data path passes by such rules.
        type: bool
        default: false
      pod_ipv6:
        description: Whether pods have IPv6 addresses.
        type: bool
        default: false
  agent:
    description: How kube2iam runs.
    type: dict
    suboptions:
      running:
        description: Whether it does.
        type: bool
        default: true
      base_role_arn:
        description: What it puts before names of roles.
        type: str
      default_role:
        description: The role of pods that ask for none.
        type: str
      namespace_restrictions:
        description: Whether a namespace has to allow a role.
        type: bool
        default: true
      namespace_restriction_format:
        description: How allow lists are read, V(glob) or V(regexp).
        type: str
        default: glob
      role_key:
        description: The annotation that asks for a role.
        type: str
        default: iam.amazonaws.com/role
      namespace_key:
        description: The annotation with the roles that a namespace may have.
        type: str
        default: iam.amazonaws.com/allowed-roles
      metadata_open:
        description: Whether it hands on what is not for credentials.
        type: bool
        default: false
  roles:
    description: Trust policies of the roles that there are, by ARN. Without it they are not known.
    type: dict
"""

EXAMPLES = r"""
- name: No pod on the host network gets the node's role
  ansible.builtin.assert:
    that: (item | hardened.k8s.iam_reachability(node=node)).identity != 'node'
    quiet: true
  loop: "{{ pods }}"
  loop_control:
    label: "{{ item.metadata.name }}"
  vars:
    node:
      role: arn:aws:iam::111122223333:role/prod-nodes
      http_tokens: required
      hop_limit: 1
      redirect: kube2iam
"""

RETURN = r"""
_value:
  description:
    - A dictionary of C(identity) (V(own), V(node), V(none), or V(other) for keys that it brings along), C(role),
      C(why), step by step, C(also), further identities within its reach, C(user_data), whether it can read the
      instance's user data, and C(certain).
  type: dict
"""

import dataclasses
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.hardened.k8s.plugins.module_utils.checks import reachability
from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import iam_policy
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.iam_documents import role_arn

_Class = t.TypeVar("_Class", reachability.Node, reachability.Agent)


def _made(kind: t.Type[_Class], given: t.Any, what: str) -> _Class:
    """The options as an object, each of the type that its default has."""
    if given is None:
        given = {}
    if not isinstance(given, t.Mapping):
        raise AnsibleFilterError(f"iam_reachability: {what} is no dictionary: {given!r}")
    known = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(map(str, given)) - set(known))
    if unknown:
        raise AnsibleFilterError(f"iam_reachability: {what} has no option {unknown[0]}; it has {', '.join(known)}")
    values = {
        name: _typed(name, value, known[name].default, what) for name, value in given.items() if value is not None
    }
    return kind(**values)


def _typed(name: str, value: t.Any, default: t.Any, what: str) -> t.Any:
    expected: t.Tuple[t.Type[t.Any], ...] = (dict,) if default is None else (type(default),)
    if isinstance(default, tuple) and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if not isinstance(value, expected) or (isinstance(value, bool) and expected != (bool,)):
        raise AnsibleFilterError(f"iam_reachability: {what}.{name} is {value!r}, and should be {expected[0].__name__}")
    return value


def _documents(given: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    return {str(name): iam_policy.parse(document, str(name)) for name, document in given.items()}


def _read(node: reachability.Node) -> reachability.Node:
    """The node with its documents checked.

    :raises ItemError: one of them, or its role's ARN, is none.
    """
    if node.role:
        role_arn(node.role, "node.role")
    return dataclasses.replace(
        node,
        policies=None if node.policies is None else _documents(node.policies),
        boundary=None if node.boundary is None else iam_policy.parse(node.boundary, "node.boundary"),
    )


def iam_reachability(
    pod: t.Any,
    namespace: t.Any = None,
    service_account: t.Any = None,
    associated_role: str = "",
    interface: str = "",
    node: t.Any = None,
    agent: t.Any = None,
    roles: t.Any = None,
) -> t.Dict[str, t.Any]:
    """The filter."""
    for what, value in (("the pod", pod), ("namespace", namespace or {}), ("service_account", service_account or {})):
        if not isinstance(value, t.Mapping):
            raise AnsibleFilterError(f"iam_reachability: {what} is no dictionary: {value!r}")
    if not isinstance(roles or {}, t.Mapping):
        raise AnsibleFilterError(f"iam_reachability: roles is no dictionary: {roles!r}")
    workload = reachability.Workload(
        pod, namespace or {}, service_account or {}, associated_role or "", interface or ""
    )
    made = _made(reachability.Node, node, "node"), _made(reachability.Agent, agent, "agent")
    try:
        verdict = reachability.reach(workload, _read(made[0]), made[1], None if roles is None else _documents(roles))
    except ItemError as error:
        raise AnsibleFilterError(f"iam_reachability: {error.reason}. {error.remedy}") from error
    except (AttributeError, TypeError, KeyError) as error:
        raise AnsibleFilterError(f"iam_reachability: an object is not as the API has it: {error}") from error
    return verdict.as_dict()


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> t.Dict[str, t.Callable[..., t.Any]]:
        return {"iam_reachability": iam_reachability}
