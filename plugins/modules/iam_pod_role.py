#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: iam_pod_role
short_description: IAM roles for pods, many in one call
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Makes the roles that kube2iam gives to pods. Each trusts exactly the roles of the nodes that are named, lies below a
    path that the nodes' own role is limited to, and has exactly the policies that are declared.
  - More than four roles are read by two lists of the account, C(iam:GetAccountAuthorizationDetails) and
    C(iam:ListRoles), whatever their number; a role that is as declared causes no further request. A caller who may not
    list is answered by requests for each role.
  - C(iam/admin), C(iam/escalate) - a role that may do everything, or get the rights of other roles - are refused at
    stage V(enforce) unless accepted. C(iam/no-boundary) and C(iam/external-id) are told.
extends_documentation_fragment:
  - hardened.k8s.aws
  - hardened.k8s.aws.roles
options:
  roles:
    description: The roles.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the role; names are the account's, whatever the path.
        type: str
        required: true
      path:
        description: Path of the role; the default is O(path). V(/) is no path for pods.
        type: str
      description:
        description: Its description.
        type: str
      node_roles:
        description: ARNs of the node roles that may assume it; the default is O(node_roles).
        type: list
        elements: str
      external_id:
        description:
          - External ID that has to be given, as pods do by the annotation C(iam.amazonaws.com/external-id). It is no
            boundary between pods of a node.
        type: str
      policies:
        description:
          - Inline policies, from name to document, which is a dictionary or JSON. Inline policies that are not declared
            are removed.
        type: dict
      managed_policies:
        description: ARNs of managed policies. Others are detached.
        type: list
        elements: str
      boundary:
        description:
          - ARN of the policy that is its permissions boundary; the default is O(boundary). An empty string removes it,
            without either it is left as it is.
        type: str
      max_session_duration:
        description: Longest session in seconds, 3600 to 43200.
        type: int
      tags:
        description: Tags, beside O(tags).
        type: dict
      purge_tags:
        description: Whether tags that are not declared are removed, when any are declared. The default is V(true).
        type: bool
  path:
    description: Path of the roles that name none, such as V(/k8s/prod/).
    type: str
  node_roles:
    description: ARNs of the node roles that may assume roles which name none.
    type: list
    elements: str
  boundary:
    description: ARN of the permissions boundary of roles that name none.
    type: str
  tags:
    description: Tags of all roles.
    type: dict
  owner:
    default: iam_pod_role
  prune:
    description:
      - Whether to delete roles below O(path) that this O(owner) made and that are no longer declared. Not while any
        item is wrong. V(/), or a path that does not begin and end with a slash, is refused.
    type: bool
    default: false
seealso:
  - module: hardened.k8s.iam_node_role
  - module: hardened.k8s.kube2iam
  - module: amazon.aws.iam_role
"""

EXAMPLES = r"""
---
- name: The roles of the shop's pods
  hardened.k8s.iam_pod_role:
    path: /k8s/prod/
    node_roles: ["arn:aws:iam::111122223333:role/prod-nodes"]
    boundary: arn:aws:iam::111122223333:policy/k8s-pods
    tags: {team: shop}
    roles:
      - name: shop-web
        policies:
          pictures:
            Version: "2012-10-17"
            Statement:
              - {Effect: Allow, Action: ["s3:GetObject"], Resource: "arn:aws:s3:::shop-pictures/*"}
      - name: shop-mail
        policies:
          send: "{{ lookup('ansible.builtin.file', 'ses.json') }}"

- name: Undo it
  hardened.k8s.iam_pod_role:
    state: absent
    roles: [{name: shop-web}, {name: shop-mail}]
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
  sample: [{kind: "AWS::IAM::Role", name: shop-web, action: create, arn: "arn:aws:iam::111122223333:role/k8s/prod/shop-web"}]
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

from ansible_collections.hardened.k8s.plugins.module_utils.aws import arguments, pod_roles
from ansible_collections.hardened.k8s.plugins.module_utils.aws.driver import Topic, run
from ansible_collections.hardened.k8s.plugins.module_utils.aws.runners import PodRoles

TOPIC = Topic(
    items={"roles": pod_roles.SPEC},
    options={
        **arguments.roles("iam_pod_role"),
        "path": {"type": "str"},
        "node_roles": {"type": "list", "elements": "str"},
        "boundary": {"type": "str"},
        "tags": {"type": "dict"},
        "prune": {"type": "bool", "default": False},
    },
    runner=PodRoles,
    unique={"roles": "name"},
)


def main() -> None:
    run(TOPIC)


if __name__ == "__main__":
    main()
