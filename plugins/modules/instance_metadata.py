#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_metadata
short_description: Metadata options of instances and launch templates, so that pods do not get at them
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Requires tokens (IMDSv2), lets them live for one hop, so that they do not get past the node's own network, and keeps
    the IPv6 endpoint off, on many instances and launch templates in one call.
  - Neither of them stops a pod on the host network, nor one behind an agent that asks in its place; the rules on the
    node and Pod Security do.
  - A launch template gets a new version like its default one, which becomes the default. One whose latest version is
    not its default is left alone, and fails where its default would have to change. What its latest version leaves open
    is told as well, as groups of instances may follow that one.
  - Below stage V(enforce) nothing is written. C(imds/tokens), C(imds/hop-limit) and C(imds/ipv6) tell what is open,
    C(imds/no-instance) that filters fit none.
  - To undo it, declare the former options, which a run with C(--diff) shows.
extends_documentation_fragment:
  - hardened.k8s.aws
options:
  instances:
    description: IDs of instances.
    type: list
    elements: str
    default: []
  filters:
    description:
      - Instances by EC2's filters, from name to value or list of values, such as
        C(tag:kubernetes.io/cluster/prod). All of them have to fit; terminated instances are left out.
    type: dict
  launch_templates:
    description: Names or IDs of launch templates.
    type: list
    elements: str
    default: []
  http_tokens:
    description: Whether each request needs a token.
    type: str
    choices: [required, optional]
    default: required
  http_put_response_hop_limit:
    description: How many hops the answer with a token lives.
    type: int
    default: 1
  http_endpoint:
    description:
      - Whether there is a metadata service at all. Nodes need it, as does kube2iam.
    type: str
    choices: [enabled, disabled]
    default: enabled
  http_protocol_ipv6:
    description: Whether it also answers at V(fd00:ec2::254).
    type: str
    choices: [enabled, disabled]
    default: disabled
  instance_metadata_tags:
    description: Whether it tells the instance's tags. Without it that stays as it is.
    type: str
    choices: [enabled, disabled]
seealso:
  - module: hardened.k8s.iam_node_role
"""

EXAMPLES = r"""
---
- name: Which nodes give their metadata to pods?
  hardened.k8s.instance_metadata:
    region: eu-central-1
    stage: observe
    filters: {"tag:kubernetes.io/cluster/prod": owned}
  register: looked

- name: Tokens that stay on the node, on all nodes and on those to come
  hardened.k8s.instance_metadata:
    region: eu-central-1
    filters: {"tag:kubernetes.io/cluster/prod": owned}
    launch_templates: [prod-nodes]
"""

RETURN = r"""
objects:
  description: What was done, or in check mode would be done, with each instance and launch template.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: Its kind, as CloudFormation names it.
      type: str
    name:
      description: Its name or ID.
      type: str
    action:
      description:
        - One of V(create), V(update), V(delete), V(release) (kept, but given up), V(unchanged), V(refused) and V(failed).
      type: str
  sample: [{kind: "AWS::EC2::Instance", name: i-0123456789abcdef0, action: update}]
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

from ansible_collections.hardened.k8s.plugins.module_utils.aws import arguments
from ansible_collections.hardened.k8s.plugins.module_utils.aws.driver import Topic, run
from ansible_collections.hardened.k8s.plugins.module_utils.aws.ec2 import Metadata

_SWITCH = {"type": "str", "choices": ["enabled", "disabled"]}

TOPIC = Topic(
    items={},
    options={
        **arguments.harden(),
        "instances": {"type": "list", "elements": "str", "default": []},
        "filters": {"type": "dict"},
        "launch_templates": {"type": "list", "elements": "str", "default": []},
        "http_tokens": {"type": "str", "choices": ["required", "optional"], "default": "required"},
        "http_put_response_hop_limit": {"type": "int", "default": 1},
        "http_endpoint": {**_SWITCH, "default": "enabled"},
        "http_protocol_ipv6": {**_SWITCH, "default": "disabled"},
        "instance_metadata_tags": _SWITCH,
    },
    runner=Metadata,
    unique={},
)


def main() -> None:
    run(TOPIC)


if __name__ == "__main__":
    main()
