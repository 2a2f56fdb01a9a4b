#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: namespace
short_description: Namespaces with their Pod Security levels
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Makes namespaces as declared, with labels, annotations, a Pod Security level that the stage turns into
    labels, and a C(default) service account whose token is kept from pods.
  - Waits until a new namespace is Active, and until a deleted one is gone.
  - The findings are C(pod-security/running-pods) and C(namespace/running-pods), refused at stage V(enforce),
    and C(namespace/default-token).
extends_documentation_fragment:
  - hardened.k8s.auth
  - hardened.k8s.harden
  - hardened.k8s.attributes
options:
  namespaces:
    description:
      - The namespaces. Each is named once.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the namespace.
        type: str
        required: true
      stage:
        description:
          - Stage of this item; the default is O(stage).
        type: str
        choices: [observe, warn, enforce]
      labels:
        description:
          - Labels of the namespace. A label that was declared before and no longer is, is removed; labels of
            others stay.
          - Values are text. What YAML reads as a boolean or a fraction, such as V(yes) or V(1.10), needs quotes.
          - Labels that begin with C(hardened.k8s/) or C(applyset.kubernetes.io/) are not taken, as this
            collection marks by them what it made. Nor are, beside O(namespaces[].pod_security), those that
            begin with C(pod-security.kubernetes.io/).
        type: dict
      annotations:
        description:
          - Annotations of the namespace, under the same rules as O(namespaces[].labels).
        type: dict
      pod_security:
        description:
          - Pod Security level. The stage decides what it does. V(observe) audits, V(warn) also warns those
            who create pods, V(enforce) also refuses the pods.
          - Before a level is enforced, all pods and workloads of the namespace are judged by it; if any running pod
            violates it, the namespace is left as it is (rule C(pod-security/running-pods)).
        type: str
        choices: [privileged, baseline, restricted]
      pod_security_version:
        description:
          - Version of the level, such as V(v1.37), or V(latest).
          - The default is the API server's own minor version, so that an upgrade alone refuses nothing new;
            with O(state=rendered), where no server is asked, it is V(latest).
        type: str
      default_service_account_token:
        description:
          - Whether pods that name no service account are given the token of the service account C(default).
          - The default is V(false), which takes effect at stage V(enforce) and is only reported before.
        type: bool
  owner:
    default: namespace
notes:
  - The caller needs the verbs list, get, create and patch on namespaces, list, create and patch on
    serviceaccounts, and for O(state=absent) and O(prune) delete on namespaces and list on pods.
  - A namespace that was there before is never deleted; it is given back as it was.
seealso:
  - module: hardened.k8s.tenant
"""

EXAMPLES = r"""
---
- name: Two namespaces, hardened
  hardened.k8s.namespace:
    namespaces:
      - name: shop-web
        pod_security: restricted
        labels: {team: shop}
      - name: shop-data
        pod_security: baseline

- name: What would a stricter level break?
  hardened.k8s.namespace:
    namespaces:
      - {name: shop-data, pod_security: restricted}
  check_mode: true
  register: preview

- name: One namespace is only watched yet
  hardened.k8s.namespace:
    namespaces:
      - {name: shop-web, pod_security: restricted}
      - {name: shop-legacy, pod_security: restricted, stage: observe}

- name: Undo
  hardened.k8s.namespace:
    state: absent
    namespaces: [{name: shop-web}]
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
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import namespace

TOPIC = Topic(
    module="namespace",
    items={
        "namespaces": (namespace.SPEC, namespace.declare),
    },
    kinds=("Namespace", "ServiceAccount"),
    unique={"namespaces": ("name",)},
)


def main() -> None:
    run(TOPIC)


if __name__ == "__main__":
    main()
