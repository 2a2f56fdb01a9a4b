#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: metadata_access
short_description: Pods of a node do not reach its metadata service, and are led to kube2iam's agent
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Keeps pods of a node on EC2 from the metadata address, C(169.254.169.254) and C(fd00:ec2::254). Processes of the node
    itself, and pods on its network, keep it.
  - Leads requests of pods to port 80 there to an agent on this node, at an address that every node has and no network
    carries. Where no agent listens they are refused. Nobody but pods of this node gets to the agent's port, and these by
    the metadata address alone.
  - Closes it twice. Routing has no way to the metadata address for what the node itself did not send, and rules of
    nftables, or of iptables, refuse it. A firewall that is flushed or loaded anew opens nothing.
  - A unit of systemd puts the rules in place, without which kubelet does not start. A timer looks every ten seconds whether
    they are still there, and puts back what is not.
  - When the node itself would lose its metadata service, or is not as healthy as it was, everything is put back and the
    task fails with the reason.
  - C(metadata/no-agent) and C(metadata/no-interface) tell why pods would get nothing. C(metadata/no-kubelet) tells that
    nothing waits for the rules by a unit's name, C(metadata/beside) and C(metadata/ebpf) that a network plug-in has pods
    whose packets they do not, or need not, see.
extends_documentation_fragment:
  - hardened.k8s.attributes.on_node
options:
  state:
    description:
      - V(present) makes the node as declared.
      - V(absent) takes rules, units and address away.
    type: str
    choices: [present, absent]
    default: present
  mode:
    description:
      - V(redirect) leads pods to the agent.
      - V(block) refuses them, for IRSA, EKS Pod Identity or no roles at all.
    type: str
    choices: [redirect, block]
    default: redirect
  port:
    description: The agent's port on the node.
    type: int
    default: 8181
  address:
    description:
      - The link-local address at which pods have the agent, the same on every node. A network policy for pods that need
        roles allows it, with O(port).
    type: str
    default: 169.254.81.81
  interfaces:
    description:
      - Names of pods' interfaces on the node, with V(+) for any ending, such as V(cali+), V(eni+), V(vlan+), V(lxc+) or
        V(cni0). The default is all but those with a default route.
      - What comes in by another interface is refused, so that a wrong name opens nothing.
    type: list
    elements: str
    default: []
  backend:
    description: What refuses and leads; V(auto) is nftables where it is there.
    type: str
    choices: [auto, nftables, iptables]
    default: auto
  kubelet_units:
    description:
      - Units that do not start without the rules, such as V(kubelet.service). The default is what is there of kubelet,
        k3s, RKE2, k0s, MicroK8s and EKS's snap.
    type: list
    elements: str
    default: []
  health_timeout:
    description:
      - Seconds to wait for the node to be as healthy as it was before. Then everything is put back.
    type: int
    default: 120
requirements:
  - python >= 3.8, and none but its standard library
  - root, usually by C(become)
  - systemd, iproute2, and nftables or iptables
seealso:
  - module: hardened.k8s.kube2iam
  - module: hardened.k8s.instance_metadata
"""

EXAMPLES = r"""
---
- name: Lead pods to kube2iam, with the VPC CNI
  hardened.k8s.metadata_access:
    interfaces: [eni+, vlan+]

- name: Keep pods from the node's role, which have their own by IRSA or EKS Pod Identity
  hardened.k8s.metadata_access:
    mode: block

- name: Take it back
  hardened.k8s.metadata_access:
    state: absent
"""

RETURN = r"""
backend:
  description: What refuses and leads.
  returned: when O(state) is V(present)
  type: str
  sample: nftables
interfaces:
  description: Interfaces of the node, by what becomes of requests for metadata that come in by them.
  returned: when O(state) is V(present)
  type: dict
  sample: {led: [cali1, cali2], refused: [ens5]}
kubelet_units:
  description: Units that do not start without the rules.
  returned: when O(state) is V(present)
  type: list
  elements: str
  sample: [kubelet.service]
files:
  description: Files that were, or in check mode would be, written or removed.
  returned: success
  type: list
  elements: dict
  sample: [{path: /etc/hardened-k8s/metadata, action: create}]
findings:
  description: What is not as it should be, although the rules are.
  returned: success
  type: list
  elements: dict
  contains:
    rule:
      description: What it is.
      type: str
    name:
      description: The port or interface that it is about.
      type: str
    message:
      description: What follows.
      type: str
    remedy:
      description: What to do about it.
      type: str
recovered:
  description: Whether something was put back first that an earlier run had left half-way.
  returned: success
  type: bool
"""

from ansible_collections.hardened.k8s.plugins.module_utils.node.metadata_access import declare
from ansible_collections.hardened.k8s.plugins.module_utils.node.module import run

SPEC = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "mode": {"type": "str", "choices": ["redirect", "block"], "default": "redirect"},
    "port": {"type": "int", "default": 8181},
    "address": {"type": "str", "default": "169.254.81.81"},
    "interfaces": {"type": "list", "elements": "str", "default": []},
    "backend": {"type": "str", "choices": ["auto", "nftables", "iptables"], "default": "auto"},
    "kubelet_units": {"type": "list", "elements": "str", "default": []},
    "health_timeout": {"type": "int", "default": 120},
}


def main() -> None:
    run(SPEC, declare)


if __name__ == "__main__":
    main()
