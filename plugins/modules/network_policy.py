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
    suboptions:
      namespace:
        description: Namespace.
        type: str
        required: true
      provider:
        description:
          - Whose kinds are written. V(kubernetes), the default, writes NetworkPolicies, which every network plug-in
            that enforces any knows. V(calico) and V(cilium) write their own, which also deny and know service accounts,
            and V(cilium) domain names. V(auto) is the one that the cluster serves.
          - A declaration that needs what its provider lacks is refused, and a provider that has it is named.
          - With Cilium, C(cidr) never means pods or nodes.
        type: str
        choices: [auto, kubernetes, calico, cilium]
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
      networks:
        description:
          - Lists of networks by a name, by which peers mean them (C(network)).
            Calico has them as a NetworkSet, others in each policy.
        type: dict
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
          action:
            description:
              - What is done with these flows. V(deny) wins over every flow of the namespace that is allowed; it needs
                V(calico) or V(cilium), and the default deny. The default is V(allow).
            type: str
            choices: [allow, deny]
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
              service_account:
                description: Pods of this service account; with V(calico) and V(cilium).
                type: str
              service_account_labels:
                description:
                  - Pods of service accounts with these labels, or with C(match_labels) and C(match_expressions); with
                    V(calico).
                type: dict
              domains:
                description: Domain names outside, such as V(*.example.com); with V(cilium), and in egress alone.
                type: list
                elements: str
              network:
                description: Name of one of O(policies[].networks).
                type: str
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
          action:
            description:
              - What is done with these flows. V(deny) wins over every flow of the namespace that is allowed; it needs
                V(calico) or V(cilium), and the default deny. The default is V(allow).
            type: str
            choices: [allow, deny]
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
              service_account:
                description: Pods of this service account; with V(calico) and V(cilium).
                type: str
              service_account_labels:
                description:
                  - Pods of service accounts with these labels, or with C(match_labels) and C(match_expressions); with
                    V(calico).
                type: dict
              domains:
                description: Domain names outside, such as V(*.example.com); with V(cilium), and in egress alone.
                type: list
                elements: str
              network:
                description: Name of one of O(policies[].networks).
                type: str
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
  cluster_policies:
    description:
      - Policies of the whole cluster, which no tenant can undo (tier V(admin)) or which hold until a tenant has policies of
        its own (V(baseline)).
      - Pods on the host's network and host endpoints are never meant, nor is the network plug-in that runs there. Calico's
        fail-safe ports keep nodes reachable in any case.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      provider:
        description:
          - V(cluster_network_policy) writes ClusterNetworkPolicies, or AdminNetworkPolicies where only these are served.
            V(calico) writes a GlobalNetworkPolicy in a tier of its own, V(cilium) a CiliumClusterwideNetworkPolicy, which
            can only deny.
          - V(auto), the default, is the first of V(calico), V(cilium) and V(cluster_network_policy) that the cluster serves.
        type: str
        choices: [auto, calico, cilium, cluster_network_policy]
      stage:
        description:
          - Stage of this item; the default is O(stage). Below V(enforce), Calico has the policy staged (V(observe)), or logs
            what it would deny (V(warn)); with the others nothing is written, and a finding says so.
        type: str
        choices: [observe, warn, enforce]
      tier:
        description: When it is asked, before policies of namespaces (the default, V(admin)) or after them.
        type: str
        choices: [admin, baseline]
      priority:
        description: Its place within the tier, V(0) to V(1000); the lowest is asked first. The default is V(100).
        type: int
      namespaces:
        description: Only pods of namespaces with these labels, or with C(match_labels) and C(match_expressions).
        type: dict
      pods:
        description: Only pods with these labels, or with C(match_labels) and C(match_expressions).
        type: dict
      service_account_labels:
        description: Only pods of service accounts with these labels; with V(calico).
        type: dict
      include_system:
        description:
          - Namespaces of the cluster itself and of its network plug-in that are meant too. Without it C(kube-system),
            C(kube-public), C(kube-node-lease), C(calico-system), C(calico-apiserver), C(tigera-operator), C(cilium) and
            C(cilium-secrets) are left out.
        type: list
        elements: str
      networks:
        description:
          - Lists of networks by a name, by which peers mean them (C(network)).
            Calico has them as a GlobalNetworkSet, others in each policy.
        type: dict
      deny_metadata:
        description:
          - Whether egress to the metadata addresses is denied before all other rules. The default is V(true) in tier
            V(admin).
        type: bool
      ingress:
        description: Rules in their order; the first that is about a flow decides.
        type: list
        elements: dict
        suboptions:
          action:
            description:
              - V(allow) and V(deny) are final. V(pass) leaves it to the policies of namespaces.
            type: str
            choices: [allow, deny, pass]
            required: true
          from:
            description: Who calls; all pods of the cluster without it.
            type: list
            elements: dict
            suboptions:
              namespace:
                description: Name of a namespace.
                type: str
              namespace_labels:
                description: Namespaces with these labels.
                type: dict
              pods:
                description: Pods with these labels, of the namespaces that stand beside it, else of all.
                type: dict
              network:
                description: Name of one of O(cluster_policies[].networks).
                type: str
              cidr:
                description: Network. With V(cluster_network_policy) in egress alone, and about pods too.
                type: str
              service_account:
                description: Pods of this service account; with V(calico) and V(cilium).
                type: str
              service_account_labels:
                description: Pods of service accounts with these labels; with V(calico).
                type: dict
              domains:
                description: Domain names; with V(cluster_network_policy) alone.
                type: list
                elements: str
          ports:
            description: As in O(policies[].ingress[].ports).
            type: list
            elements: raw
      egress:
        description: Rules in their order; the first that is about a flow decides.
        type: list
        elements: dict
        suboptions:
          action:
            description:
              - V(allow) and V(deny) are final. V(pass) leaves it to the policies of namespaces.
            type: str
            choices: [allow, deny, pass]
            required: true
          to:
            description: Who is called; everybody without it.
            type: list
            elements: dict
            suboptions:
              namespace:
                description: Name of a namespace.
                type: str
              namespace_labels:
                description: Namespaces with these labels.
                type: dict
              pods:
                description: Pods with these labels, of the namespaces that stand beside it, else of all.
                type: dict
              network:
                description: Name of one of O(cluster_policies[].networks).
                type: str
              cidr:
                description: Network. With V(cluster_network_policy) in egress alone, and about pods too.
                type: str
              service_account:
                description: Pods of this service account; with V(calico) and V(cilium).
                type: str
              service_account_labels:
                description: Pods of service accounts with these labels; with V(calico).
                type: dict
              domains:
                description: Domain names; with V(cluster_network_policy) alone.
                type: list
                elements: str
          ports:
            description: As in O(policies[].ingress[].ports).
            type: list
            elements: raw
  observed:
    description:
      - Flows that were seen or are needed. At stage V(enforce), policies that would cut one of them are refused.
    type: list
    elements: dict
    default: []
    suboptions:
      format:
        description:
          - V(hubble) is what C(hubble observe -o json) prints, V(calico) Calico's flow logs as JSON, V(vpc) VPC flow
            logs, V(ss) the output of C(ss -tuna) on a node.
          - V(declared) is a list of flows that are needed, each with C(from), C(to), C(port) and C(protocol). An end is a
            C(pod) or C(workload) of a C(namespace), a C(node), an C(address) or a C(domain).
        type: str
        choices: [hubble, calico, vpc, ss, declared]
        required: true
      log:
        description: The log, as text; of V(hubble) and V(calico) also the list of its records, of V(declared) only that.
        type: raw
        required: true
  owner:
    default: network_policy
notes:
  - The caller needs the verbs list, create and patch on networkpolicies, delete on them for O(state=absent),
    O(prune) and the policies that a stage takes away, and list on pods and namespaces. With another provider than
    V(kubernetes) it needs them on that provider's kinds.
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
      - namespace: shop-payments
        networks: {partners: [198.51.100.0/28, 203.0.113.64/26]}
        egress:
          - {from: {app: payments}, to: [{network: partners}], ports: [443]}

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

- name: Nobody reaches the metadata address or the old network, whatever tenants allow
  hardened.k8s.network_policy:
    cluster_policies:
      - name: guard
        egress:
          - {action: deny, to: [{cidr: 198.51.100.0/24}]}

- name: Names instead of networks, where Cilium is the network
  hardened.k8s.network_policy:
    policies:
      - namespace: shop-web
        provider: cilium
        egress:
          - {from: {app: web}, to: [{domains: [api.example.com]}], ports: [443]}

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

from ansible_collections.hardened.k8s.plugins.module_utils.cluster.resources import KINDS
from ansible_collections.hardened.k8s.plugins.module_utils.harden import OBSERVED, Topic, run
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import network, network_cluster

TOPIC = Topic(
    module="network_policy",
    items={
        "policies": (network.SPEC, network.declare),
        "cluster_policies": (network_cluster.SPEC, network_cluster.declare),
    },
    kinds=("NetworkPolicy", *(kind for kind, its in KINDS.items() if its.extension)),
    unique={"policies": ("namespace",), "cluster_policies": ("name",)},
    options=OBSERVED,
)


def main() -> None:
    run(TOPIC)


if __name__ == "__main__":
    main()
