#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: iam_node_role
short_description: What a node's IAM role may do for its pods, and nothing besides
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Gives the roles of nodes one inline policy. It allows to assume the roles below one path, and denies to assume any
    other, credentials that IMDSv1 delivered, and changing what holds the node in. Other policies, trust and path
    of a role that exists are left as they are.
  - A role that does not exist is made, for EC2 instances. Instance profiles are left to
    M(amazon.aws.iam_instance_profile).
  - At stage V(warn) the policy only allows; at V(observe) nothing is written, and findings tell about the role as it is.
  - C(iam/cuts) - rights that the node has by name and would lose - is refused at stage V(enforce) unless accepted.
    C(iam/assume-any), C(iam/no-deny), C(iam/imdsv1), C(iam/self-lift), C(iam/cni-on-node), C(iam/node-trust),
    C(iam/no-boundary) and C(iam/unread) are told.
extends_documentation_fragment:
  - hardened.k8s.aws
  - hardened.k8s.aws.roles
options:
  node_roles:
    description: The roles of nodes.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the role.
        type: str
        required: true
      path:
        description: Path of a role that has to be made. The default is V(/).
        type: str
      pod_path:
        description:
          - Path below which the roles of this node's pods are, such as V(/k8s/prod/). A path for each group of nodes
            keeps what one node can get small.
        type: str
        required: true
      policy_name:
        description: Name of the inline policy. The default is V(hardened-k8s).
        type: str
      boundary:
        description: ARN of the policy that is its permissions boundary; an empty string removes it.
        type: str
      managed_policies:
        description:
          - ARNs of exactly the managed policies that are attached, such as C(AmazonEKSWorkerNodeMinimalPolicy) and
            C(AmazonEC2ContainerRegistryPullOnly). Without it they are left as they are.
        type: list
        elements: str
      tags:
        description: Tags.
        type: dict
      purge_tags:
        description: Whether other tags are removed. The default is V(false).
        type: bool
      stage:
        description: Stage of this item; the default is O(stage).
        type: str
        choices: [observe, warn, enforce]
  owner:
    default: iam_node_role
seealso:
  - module: hardened.k8s.iam_pod_role
  - module: hardened.k8s.instance_metadata
"""

EXAMPLES = r"""
---
- name: What does this node's role hand out?
  hardened.k8s.iam_node_role:
    stage: observe
    node_roles: [{name: prod-nodes, pod_path: /k8s/prod/}]
  register: looked

- name: Nodes may assume the roles of their pods, and no other
  hardened.k8s.iam_node_role:
    node_roles:
      - name: prod-nodes
        pod_path: /k8s/prod/
        boundary: arn:aws:iam::111122223333:policy/k8s-nodes
    accept:
      - {rule: iam/cni-on-node, reason: the CNI plug-in gets a role next quarter, expires: "2027-03-31"}
"""

RETURN = r"""
objects:
  description: What was done, or in check mode would be done, with each role.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: Its kind, as CloudFormation names it.
      type: str
    name:
      description: Its name.
      type: str
    action:
      description:
        - One of V(create), V(update), V(delete), V(release) (kept, but given up), V(unchanged), V(refused) and V(failed).
      type: str
    arn:
      description: Its ARN.
      type: str
      returned: unless it is removed
    policy:
      description: The policy that it would get.
      type: dict
      returned: at stage V(observe)
  sample: [{kind: "AWS::IAM::Role", name: prod-nodes, action: update, arn: "arn:aws:iam::111122223333:role/prod-nodes"}]
findings:
  description: What is handed out, or would break.
  returned: always
  type: list
  elements: dict
  contains:
    rule:
      description: What O(accept) names.
      type: str
    kind:
      description: Kind of the resource that it is about.
      type: str
    namespace:
      description: Empty for AWS.
      type: str
    name:
      description: Its name.
      type: str
    message:
      description: What is handed out, or breaks.
      type: str
    affected:
      description: Rights, policies or principals concerned.
      type: list
      elements: str
    remedy:
      description: The smallest change that makes it go away.
      type: str
    refused:
      description: Whether the resource was withheld because of it.
      type: bool
    accepted:
      description: Reason and last day, when it was accepted.
      type: str
problems:
  description: What went wrong, item by item.
  returned: failure
  type: list
  elements: dict
  contains:
    item:
      description: Where it stands in the options.
      type: str
    kind:
      description: Kind of the resource.
      type: str
    namespace:
      description: Empty for AWS.
      type: str
    name:
      description: Its name.
      type: str
    reason:
      description: What is wrong.
      type: str
    remedy:
      description: What to do about it.
      type: str
resource_actions:
  description: The kinds of requests that were sent.
  returned: when O(debug_botocore_endpoint_logs) is V(true)
  type: list
  elements: str
  sample: ["iam:GetAccountAuthorizationDetails", "iam:ListRoles"]
"""

from ansible_collections.hardened.k8s.plugins.module_utils.aws import arguments, node_roles
from ansible_collections.hardened.k8s.plugins.module_utils.aws.driver import Topic, run
from ansible_collections.hardened.k8s.plugins.module_utils.aws.runners import NodeRoles

TOPIC = Topic(
    items={"node_roles": node_roles.SPEC},
    options=arguments.roles("iam_node_role"),
    runner=NodeRoles,
    unique={"node_roles": "name"},
)


def main() -> None:
    run(TOPIC)


if __name__ == "__main__":
    main()
