#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube2iam
short_description: kube2iam's agent, the roles that namespaces may have, and who may change them
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Makes the DaemonSet of kube2iam with everything off that opens something. It is not privileged, not root, and changes no
    rule of the node - the redirect belongs to the node, and without an agent pods are refused. Allow lists of
    namespaces are always on, requests that are not for credentials lead nowhere, and metrics have a port of their own.
  - Writes allow lists of namespaces, before the agent. Those of a tenant come from its service accounts' C(iam_role).
  - Guards these allow lists, and the roles of running pods, by admission policies. Only subjects that are named may change
    them, or give a pod a role by scheduling it.
  - C(kube2iam/default-role), C(kube2iam/no-path), C(kube2iam/user-data), C(kube2iam/every-role), C(kube2iam/loses-role)
    and C(kube2iam/no-list) - pods of the cluster that would get no role any more from a new agent - are refused at stage
    V(enforce) unless accepted. Check mode only tells the last one, as the same play may write lists before.
    C(kube2iam/image-tag), C(kube2iam/guard-nobody) and C(kube2iam/host-network) are told, the last one in every run -
    pods on the host network in a namespace with a list, and with an agent in the call those that ask for a role in any.
extends_documentation_fragment:
  - hardened.k8s.auth
  - hardened.k8s.harden
  - hardened.k8s.attributes
options:
  agents:
    description: The agents, one for all nodes, or one for each group of nodes that has a path of roles of its own.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the DaemonSet and of what belongs to it. The default is V(kube2iam).
        type: str
      namespace:
        description:
          - Its namespace, which gets the Pod Security level V(privileged), as the host network takes that. The default is
            V(kube2iam).
        type: str
      image:
        description: Its image, by digest.
        type: str
        required: true
      base_role_arn:
        description: ARN below which the roles of pods are, such as C(arn:aws:iam::111122223333:role/k8s/prod/).
        type: str
        required: true
      region:
        description: Region whose STS is asked.
        type: str
        required: true
      default_role:
        description: Role of pods that ask for none. Every namespace may have it.
        type: str
      port:
        description: Port of the agent on the node. The default is 8181; the role C(kube2iam) has to know another one.
        type: int
      metrics_port:
        description: Port of its metrics. The default is 8182.
        type: int
      metadata_address:
        description:
          - Where requests go that are not for credentials. The default is the kubelet's health port on the node, which
            answers 404, so that SDKs go on without a token and user data stay closed. Any other address is refused
            unless C(kube2iam/user-data) is accepted.
        type: str
      node_selector:
        description: Labels of its nodes; the default is all with Linux.
        type: dict
      priority_class:
        description: Priority class. The default is V(system-node-critical).
        type: str
      resources:
        description: Requests and limits.
        type: dict
      image_pull_secrets:
        description: Names of Secrets with registry credentials.
        type: list
        elements: str
  namespaces:
    description: Namespaces that no tenant declares, and the roles that their pods may have.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the namespace.
        type: str
        required: true
      allowed_roles:
        description:
          - Names below the base ARN, or ARNs; V(*) is any text, slashes included. None forbids all. An ARN that ends in
            V(/*) is refused like V(*), as that may be the base ARN; write a path of the namespace's own as V(shop/*).
        type: list
        elements: str
        required: true
  guards:
    description: Admission policies that keep allow lists and the roles of pods from others.
    type: list
    elements: dict
    suboptions:
      name:
        description: Beginning of the names of the policies. The default is V(kube2iam).
        type: str
      base_role_arn:
        description: The agents' base ARN, so that a role's name and its ARN are taken for the same.
        type: str
      users:
        description:
          - Users that may change them, such as C(system:serviceaccount:ci:platform). Whoever runs this module has to be
            among users or groups.
        type: list
        elements: str
      groups:
        description: Groups that may, beside C(system:masters).
        type: list
        elements: str
      stage:
        description: Stage of this item; the default is O(stage).
        type: str
        choices: [observe, warn, enforce]
  owner:
    default: kube2iam
seealso:
  - module: hardened.k8s.iam_node_role
  - module: hardened.k8s.iam_pod_role
  - module: hardened.k8s.tenant
"""

EXAMPLES = r"""
---
- name: The agent, guarded
  hardened.k8s.kube2iam:
    agents:
      - image: registry.example/kube2iam@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
        base_role_arn: arn:aws:iam::111122223333:role/k8s/prod/
        region: eu-central-1
    namespaces:
      - {name: monitoring, allowed_roles: [metrics]}
    guards:
      - base_role_arn: arn:aws:iam::111122223333:role/k8s/prod/
        groups: [platform]

- name: A tenant whose pods may have one role
  hardened.k8s.tenant:
    tenants:
      - name: shop-web
        pod_security: restricted
        service_accounts:
          - {name: web, iam_role: shop-web}
"""

RETURN = r"""
objects:
  description: What was done, or in check mode would be done, with each object.
  returned: when O(state) is not V(rendered)
  type: list
  elements: dict
  contains:
    kind:
      description: Its kind.
      type: str
    namespace:
      description: Its namespace; empty for objects of the whole cluster.
      type: str
    name:
      description: Its name.
      type: str
    action:
      description:
        - One of V(create), V(update), V(replace), V(delete), V(release) (kept, but given up), V(unchanged),
          V(refused) and V(failed).
      type: str
    predicted:
      description: Whether the server could not be asked, because the namespace does not exist yet.
      type: bool
      returned: in check mode, when it is
    warnings:
      description: What the API server warned of.
      type: list
      elements: str
      returned: when there are any
  sample: [{kind: DaemonSet, namespace: kube2iam, name: kube2iam, action: create}]
findings:
  description: What the declaration would break or hand out.
  returned: success and failure
  type: list
  elements: dict
  contains:
    rule:
      description: What O(accept) names.
      type: str
    kind:
      description: Kind of the object that it is about.
      type: str
    namespace:
      description: Its namespace.
      type: str
    name:
      description: Its name.
      type: str
    message:
      description: What breaks, or is handed out.
      type: str
    affected:
      description: Pods, subjects or limits concerned.
      type: list
      elements: str
    remedy:
      description: The smallest change that makes it go away.
      type: str
    refused:
      description: Whether the object was withheld because of it.
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
      description: Kind of the object.
      type: str
    namespace:
      description: Its namespace.
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
manifests:
  description: The Kubernetes objects.
  returned: when O(state) is V(rendered)
  type: list
  elements: dict
"""

from ansible_collections.hardened.k8s.plugins.module_utils.harden import Topic, run
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import kube2iam

TOPIC = Topic(
    module="kube2iam",
    items={
        "agents": (kube2iam.AGENT_SPEC, kube2iam.declare_agent),
        "namespaces": (kube2iam.NAMESPACE_SPEC, kube2iam.declare_namespace),
        "guards": (kube2iam.GUARD_SPEC, kube2iam.declare_guard),
    },
    kinds=(
        "Namespace",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "DaemonSet",
        kube2iam.POLICY,
        kube2iam.BINDING,
    ),
    unique={"namespaces": ("name",)},
)


def main() -> None:
    run(TOPIC)


if __name__ == "__main__":
    main()
