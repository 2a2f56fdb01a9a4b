#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: network_policy
short_description: Network policies, declared as flows
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Denies by default what pods of a namespace may be asked and may ask, and allows the flows that are
    declared, by C(networking.k8s.io/v1) NetworkPolicies.
  - Flows of the same pods and direction are one policy, whose name follows from these pods alone. Another
    flow renames nothing.
  - The addresses at which clouds hand out credentials, 169.254.169.254 and fd00:ec2::254, are taken out of
    every egress CIDR that contains them; a CIDR that is nothing else is refused.
  - One mistake in an item keeps all of its policies from being written, as half of them would cut traffic.
  - Both ends of a flow are compared, over declared and stored policies. The findings are
    C(network/metadata-reachable) (refused at stage V(enforce)), C(network/one-sided), C(network/no-dns),
    C(network/selects-nothing), C(network/peer-namespace-missing) and C(network/not-enforced).
extends_documentation_fragment:
  - hardened.k8s.auth
  - hardened.k8s.harden
  - hardened.k8s.attributes
options:
  policies:
    description:
      - The flows, by namespace. Each namespace is named once.
    type: list
    elements: dict
    required: true
    suboptions:
      namespace:
        description: Namespace.
        type: str
        required: true
      stage:
        description:
          - Stage of this item; the default is O(stage).
          - V(observe) removes what this owner wrote and says what V(enforce) would write. V(warn) writes the
            policies beside C(stage-warn-allow-all), which lets everything through. V(enforce) takes that one
            away.
        type: str
        choices: [observe, warn, enforce]
      default_deny:
        description:
          - Whether everything that no policy allows is denied, in and out, by policy C(default-deny).
            The default is V(true).
        type: bool
      dns:
        description:
          - Whether pods may ask the cluster's DNS, on UDP and TCP port 53, by policy C(allow-dns). The
            default is V(true), the pods C(k8s-app=kube-dns) of namespace C(kube-system).
          - A dictionary of C(namespace), C(pods) and C(cidrs) says where DNS is. A NodeLocal DNS cache is on
            the host network and is only reached by C(cidrs).
        type: raw
      ingress:
        description: What this namespace's pods may be asked by others.
        type: list
        elements: dict
        suboptions:
          name:
            description:
              - Name of the policy; the default follows from the pods' labels.
              - Flows of one name are one policy, also an ingress and an egress flow, if they are about the
                same pods.
            type: str
          to:
            description:
              - Pods of this namespace, by labels or by C(match_labels) and C(match_expressions).
                All of them without it.
            type: dict
          from:
            description: Who may connect; everywhere without it.
            type: list
            elements: dict
            suboptions:
              namespace:
                description: Name of a namespace.
                type: str
              namespace_labels:
                description: Namespaces with these labels, or with C(match_labels) and C(match_expressions).
                type: dict
              pods:
                description:
                  - Pods with these labels, or with C(match_labels) and C(match_expressions), of the
                    namespaces that stand beside it, else of the policy's own. V({}) is all of them.
                type: dict
              cidr:
                description: Network outside the cluster, without host bits.
                type: str
              except:
                description: Parts of O(policies[].ingress[].from[].cidr) that are left out.
                type: list
                elements: str
          ports:
            description:
              - V(8080), V(8080/UDP), V(http), V(8000-8010), or a dictionary of C(port), C(end_port) and
                C(protocol) (V(TCP), V(UDP) or V(SCTP)). All ports without it.
            type: list
            elements: raw
      egress:
        description: Whom this namespace's pods may ask.
        type: list
        elements: dict
        suboptions:
          name:
            description:
              - Name of the policy; the default follows from the pods' labels.
              - Flows of one name are one policy, also an ingress and an egress flow, if they are about the
                same pods.
            type: str
          from:
            description:
              - Pods of this namespace, by labels or by C(match_labels) and C(match_expressions).
                All of them without it.
            type: dict
          to:
            description: Where they may connect; everywhere but the metadata addresses without it.
            type: list
            elements: dict
            suboptions:
              namespace:
                description: Name of a namespace.
                type: str
              namespace_labels:
                description: Namespaces with these labels, or with C(match_labels) and C(match_expressions).
                type: dict
              pods:
                description:
                  - Pods with these labels, or with C(match_labels) and C(match_expressions), of the
                    namespaces that stand beside it, else of the policy's own. V({}) is all of them.
                type: dict
              cidr:
                description: Network outside the cluster, without host bits.
                type: str
              except:
                description:
                  - Parts of O(policies[].egress[].to[].cidr) that are left out. The metadata addresses always
                    are.
                type: list
                elements: str
          ports:
            description:
              - V(8080), V(8080/UDP), V(http), V(8000-8010), or a dictionary of C(port), C(end_port) and
                C(protocol) (V(TCP), V(UDP) or V(SCTP)). All ports without it.
            type: list
            elements: raw
      raw:
        description: NetworkPolicies as they are, for what flows cannot say.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the NetworkPolicy.
            type: str
            required: true
          spec:
            description: Its C(spec).
            type: dict
            required: true
  owner:
    default: network_policy
notes:
  - The caller needs the verbs list, create and patch on networkpolicies, delete on them for O(state=absent),
    O(prune) and the policies that a stage takes away, and list on pods and namespaces.
  - Policies take effect only where the pod network enforces them; none says whether it does.
  - Policies only allow. Whoever may write NetworkPolicies in a namespace can allow more beside these.
seealso:
  - module: hardened.k8s.tenant
"""

EXAMPLES = r"""
---
- name: A web server behind an ingress controller, and its API
  hardened.k8s.network_policy:
    policies:
      - namespace: shop-web
        ingress:
          - {to: {app: web}, from: [{namespace: ingress-nginx}], ports: [8080]}
        egress:
          - {from: {app: web}, to: [{namespace: shop-api, pods: {app: api}}], ports: [8080]}
      - namespace: shop-api
        dns: {cidrs: [169.254.20.10/32]}
        ingress:
          - {to: {app: api}, from: [{namespace: shop-web, pods: {app: web}}], ports: [8080]}
        egress:
          - {from: {app: api}, to: [{cidr: 192.0.2.0/24}], ports: [5432]}

- name: See what would be cut, before it is
  hardened.k8s.network_policy:
    stage: warn
    policies:
      - namespace: batch
        egress:
          - name: downloads
            from: {match_expressions: [{key: job, operator: Exists}]}
            to: [{cidr: 0.0.0.0/0, except: [198.51.100.0/24]}]
            ports: [443, 8000-8010/UDP]

- name: A policy as it is, that flows cannot say
  hardened.k8s.network_policy:
    policies:
      - namespace: vault
        default_deny: false
        raw:
          - name: sealed
            spec: {podSelector: {matchLabels: {app: vault}}, policyTypes: [Egress]}

- name: The manifests, for a repository
  hardened.k8s.network_policy:
    state: rendered
    policies:
      - namespace: shop-web
  register: rendered
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
  sample: [{kind: Namespace, namespace: "", name: shop-web, action: create}]
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
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import network

TOPIC = Topic(
    module="network_policy",
    items={
        "policies": (network.SPEC, network.declare),
    },
    kinds=("NetworkPolicy",),
    unique={"policies": ("namespace",)},
)


def main() -> None:
    run(TOPIC)


if __name__ == "__main__":
    main()
