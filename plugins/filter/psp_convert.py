# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.psp_conversion import convert

DOCUMENTATION = r"""
name: psp_convert
short_description: PodSecurityPolicy manifests as options of pod_security_policy
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Turns PodSecurityPolicy manifests, and the roles and bindings that grant their use, into the options of
    M(hardened.k8s.pod_security_policy).
  - As with PodSecurityPolicy, a pod is admitted when any of the policies admits it that the requester or the pod's
    service account may use. The roles and bindings stay as they are. A policy that every authenticated user may use in
    the whole cluster is converted without that question.
  - Tests compare what the result admits, refuses and fills in with the admission code of Kubernetes 1.24.
options:
  _input:
    description: The manifests, as dictionaries; lists (C(kind=List)) may be among them.
    type: list
    elements: dict
    required: true
  name:
    description: Name of the policy that comes out.
    type: str
    default: psp
seealso:
  - plugin: hardened.k8s.pod_security_policy
    plugin_type: module
"""

EXAMPLES = r"""
---
- name: Convert what kubectl get podsecuritypolicies,clusterroles,clusterrolebindings -o yaml printed
  ansible.builtin.set_fact:
    converted: "{{ lookup('ansible.builtin.file', 'psp.yml') | from_yaml_all | hardened.k8s.psp_convert }}"

- name: Read the notes
  ansible.builtin.debug:
    var: converted.notes

- name: Watch first what it would refuse
  hardened.k8s.pod_security_policy:
    stage: observe
    policies: "{{ converted.policies }}"
"""

RETURN = r"""
_value:
  description: The options, and what changes its meaning.
  type: dict
  contains:
    policies:
      description: The items for O(hardened.k8s.pod_security_policy#module:policies).
      type: list
      elements: dict
    notes:
      description: What means something else than it did, or should.
      type: list
      elements: str
"""


def psp_convert(manifests: t.Any, name: str = "psp") -> t.Dict[str, t.Any]:
    """The filter.

    :raises AnsibleFilterError: the input is no list of manifests, or has no PodSecurityPolicy.
    """
    listed = [manifests] if isinstance(manifests, dict) else list(manifests)
    wrong = next((item for item in listed if item is not None and not isinstance(item, dict)), None)
    if wrong is not None:
        raise AnsibleFilterError(
            f"psp_convert takes manifests, not {type(wrong).__name__}: parse them with from_yaml_all"
        )
    try:
        return convert([item for item in listed if item is not None], name)
    except HardenedError as error:
        raise AnsibleFilterError(f"psp_convert: {error}") from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> t.Dict[str, t.Callable[..., t.Any]]:
        return {"psp_convert": psp_convert}
