#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: resource_quota
short_description: Resource quotas and limit ranges
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Makes the ResourceQuotas and LimitRanges of namespaces as declared, together, because a quota on CPU or
    memory refuses pods whose containers do not name it.
  - What the namespace uses is counted before a limit is set or lowered, as the API server counts it.
  - The findings are C(quota/below-use) and C(quota/no-defaults), refused at stage V(enforce), and
    C(quota/pods-without-requests) and C(quota/not-enforced).
extends_documentation_fragment:
  - hardened.k8s.auth
  - hardened.k8s.harden
  - hardened.k8s.attributes
options:
  quotas:
    description:
      - The quotas, by namespace.
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
          - Quotas have no milder form. Below V(enforce) those of this owner are removed, and what V(enforce)
            would write is reported.
        type: str
        choices: [observe, warn, enforce]
      quota:
        description:
          - Limits of the ResourceQuota C(quota), from resource to quantity.
          - Every key of the API, which are C(pods), C(requests.cpu) and the like, C(services.loadbalancers),
            C(count/<resource>.<group>), C(<class>.storageclass.storage.k8s.io/requests.storage),
            C(requests.<extended resource>), C(hugepages-<size>) and others.
          - A limit that is set or lowered to less than the namespace uses is refused (rule
            C(quota/below-use)).
          - So is a limit on CPU or memory if O(quotas[].limits) and O(quotas[].limit_ranges) give nothing to
            containers that do not name it (rule C(quota/no-defaults)). No default is ever guessed.
        type: dict
      quotas:
        description:
          - Further ResourceQuotas, and those with scopes.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the ResourceQuota.
            type: str
            required: true
          hard:
            description: Limits, as in O(quotas[].quota).
            type: dict
            required: true
          scopes:
            description:
              - Which pods, or with V(VolumeAttributesClass) which volume claims, are counted. All scopes have
                to fit. The API server does not let them change.
              - With a scope, only pods, CPU, memory and extended resources can be limited, with
                V(BestEffort) no CPU and memory, with V(VolumeAttributesClass) only claims and their storage.
            type: list
            elements: str
            choices:
              - Terminating
              - NotTerminating
              - BestEffort
              - NotBestEffort
              - PriorityClass
              - CrossNamespacePodAffinity
              - VolumeAttributesClass
          scope_selector:
            description:
              - Scopes with operator and values; all have to fit, besides O(quotas[].quotas[].scopes).
            type: list
            elements: dict
            suboptions:
              scope_name:
                description: The scope.
                type: str
                required: true
                choices:
                  - Terminating
                  - NotTerminating
                  - BestEffort
                  - NotBestEffort
                  - PriorityClass
                  - CrossNamespacePodAffinity
                  - VolumeAttributesClass
              operator:
                description:
                  - How its values are meant. V(In), V(NotIn) and V(DoesNotExist) are for V(PriorityClass) and
                    V(VolumeAttributesClass).
                type: str
                required: true
                choices: [In, NotIn, Exists, DoesNotExist]
              values:
                description: Names of classes, for V(In) and V(NotIn).
                type: list
                elements: str
      limits:
        description:
          - What the LimitRange C(limits) says of containers, from resource to quantity.
          - Each resource has min <= default_request <= default <= max, as far as they are given.
        type: dict
        suboptions:
          default:
            description:
              - Limits of a container that names none, and its requests where O(quotas[].limits.default_request)
                says nothing. The default is O(quotas[].limits.max).
            type: dict
          default_request:
            description:
              - Requests of a container that names none. The default is O(quotas[].limits.default), or else
                O(quotas[].limits.min).
            type: dict
          max:
            description: Largest limits.
            type: dict
          min:
            description: Smallest requests.
            type: dict
          max_limit_request_ratio:
            description: How many times its request a limit may be.
            type: dict
      limit_ranges:
        description:
          - Further LimitRanges, and those for pods and volume claims.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the LimitRange.
            type: str
            required: true
          limits:
            description: What it says, once for each type.
            type: list
            elements: dict
            required: true
            suboptions:
              type:
                description:
                  - What is limited. Only V(Container) takes defaults.
                type: str
                required: true
                choices: [Container, Pod, PersistentVolumeClaim]
              default:
                description:
                  - Limits of a container that names none, and its requests where
                    O(quotas[].limit_ranges[].limits[].default_request) says nothing. The default is
                    O(quotas[].limit_ranges[].limits[].max).
                type: dict
              default_request:
                description:
                  - Requests of a container that names none. The default is
                    O(quotas[].limit_ranges[].limits[].default), or else O(quotas[].limit_ranges[].limits[].min).
                type: dict
              max:
                description: Largest limits, or the largest claim.
                type: dict
              min:
                description: Smallest requests, or the smallest claim.
                type: dict
              max_limit_request_ratio:
                description: How many times its request a limit may be.
                type: dict
  owner:
    default: resource_quota
notes:
  - The caller needs the verbs list, create and patch on resourcequotas and limitranges, and delete on them for
    O(state=absent), O(prune) and stages below V(enforce).
  - It also needs the verb list on pods, and on what a quota counts for the first time among services,
    persistentvolumeclaims, secrets, configmaps and replicationcontrollers.
  - Not counted beforehand are C(count/) keys of other resources and devices of resource claims; once a quota
    is there, its own status tells what is used.
seealso:
  - module: hardened.k8s.tenant
"""

EXAMPLES = r"""
---
- name: A quota with defaults for containers that name nothing
  hardened.k8s.resource_quota:
    quotas:
      - namespace: shop-web
        quota:
          pods: 50
          requests.cpu: 4
          limits.memory: 16Gi
          services.loadbalancers: 0
          services.nodeports: 0
        limits:
          default: {cpu: 500m, memory: 512Mi}
          default_request: {cpu: 100m, memory: 128Mi}

- name: No pods of system priority, and no volume claim above 100 GiB
  hardened.k8s.resource_quota:
    quotas:
      - namespace: shop-data
        quotas:
          - name: no-system-priority
            hard: {pods: 0}
            scope_selector:
              - scope_name: PriorityClass
                operator: In
                values: [system-node-critical, system-cluster-critical]
        limit_ranges:
          - name: claims
            limits: [{type: PersistentVolumeClaim, max: {storage: 100Gi}}]

- name: What is above the quota today?
  hardened.k8s.resource_quota:
    quotas:
      - {namespace: shop-web, quota: {pods: 20}}
  check_mode: true
  register: preview
  failed_when: false
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
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import quota

TOPIC = Topic(
    module="resource_quota",
    items={
        "quotas": (quota.SPEC, quota.declare),
    },
    kinds=("ResourceQuota", "LimitRange"),
)


def main() -> None:
    run(TOPIC)


if __name__ == "__main__":
    main()
