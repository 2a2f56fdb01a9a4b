#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rbac
short_description: Service accounts, roles and bindings with only the rights that are needed
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Makes service accounts, roles, cluster roles and bindings as declared, rules and subjects that are no longer declared removed.
  - A grant that reaches further than it looks is a finding, and refused at stage V(enforce) unless it is accepted by name, with a reason and an expiry date.
  - The rules of findings are C(rbac/wildcard), C(rbac/escalate), C(rbac/bind), C(rbac/impersonate), C(rbac/secrets), C(rbac/exec), C(rbac/nodes-proxy), C(rbac/token-request), C(rbac/csr-approval), C(rbac/admission), C(rbac/persistent-volumes), C(rbac/namespaces-patch), C(rbac/workloads-in-privileged-namespace), C(rbac/cluster-admin), C(rbac/system-masters), C(rbac/broad-group) and C(rbac/role-missing).
extends_documentation_fragment:
  - hardened.k8s.auth
  - hardened.k8s.harden
  - hardened.k8s.attributes
options:
  service_accounts:
    description:
    - Service accounts, and what they may do in their namespace.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      namespace:
        description: Namespace.
        type: str
        required: true
      labels:
        description: Labels.
        type: dict
      annotations:
        description: Annotations.
        type: dict
      automount:
        description: Whether pods get its token unless they refuse it. The default is V(false).
        type: bool
      image_pull_secrets:
        description: Names of Secrets with registry credentials.
        type: list
        elements: str
      rules:
        description: What it may do in its namespace, by a Role and a RoleBinding of its name.
        type: list
        elements: dict
        suboptions:
          api_groups:
            description: API groups; the default is the core group, C("").
            type: list
            elements: str
          resources:
            description: Resources and subresources, such as V(configmaps) or V(pods/log).
            type: list
            elements: str
          resource_names:
            description: Only the objects of these names.
            type: list
            elements: str
          verbs:
            description: Verbs, such as V(get), V(list) and V(watch).
            type: list
            elements: str
            required: true
          non_resource_urls:
            description: Paths such as V(/metrics), in cluster roles alone.
            type: list
            elements: str
      roles:
        description: Roles of its namespace that it is bound to, by a RoleBinding C(<name>-<role>) each.
        type: list
        elements: str
      cluster_roles:
        description: Cluster roles that it is bound to within its namespace, by a RoleBinding C(<name>-<role>) each.
        type: list
        elements: str
  roles:
    description:
    - Roles of a namespace.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      namespace:
        description: Namespace.
        type: str
        required: true
      labels:
        description: Labels.
        type: dict
      annotations:
        description: Annotations.
        type: dict
      rules:
        description: What it allows.
        type: list
        elements: dict
        required: true
        suboptions:
          api_groups:
            description: API groups; the default is the core group, C("").
            type: list
            elements: str
          resources:
            description: Resources and subresources, such as V(configmaps) or V(pods/log).
            type: list
            elements: str
          resource_names:
            description: Only the objects of these names.
            type: list
            elements: str
          verbs:
            description: Verbs, such as V(get), V(list) and V(watch).
            type: list
            elements: str
            required: true
          non_resource_urls:
            description: Paths such as V(/metrics), in cluster roles alone.
            type: list
            elements: str
  cluster_roles:
    description:
    - Roles of the whole cluster.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      labels:
        description: Labels.
        type: dict
      annotations:
        description: Annotations.
        type: dict
      rules:
        description: What it allows.
        type: list
        elements: dict
        suboptions:
          api_groups:
            description: API groups; the default is the core group, C("").
            type: list
            elements: str
          resources:
            description: Resources and subresources, such as V(configmaps) or V(pods/log).
            type: list
            elements: str
          resource_names:
            description: Only the objects of these names.
            type: list
            elements: str
          verbs:
            description: Verbs, such as V(get), V(list) and V(watch).
            type: list
            elements: str
            required: true
          non_resource_urls:
            description: Paths such as V(/metrics), in cluster roles alone.
            type: list
            elements: str
      aggregate:
        description: Label maps; the rules of cluster roles with any of them are added up by the API server.
        type: list
        elements: dict
  bindings:
    description:
    - Who gets which role.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      namespace:
        description: Namespace of a RoleBinding; without one it is a ClusterRoleBinding.
        type: str
      labels:
        description: Labels.
        type: dict
      annotations:
        description: Annotations.
        type: dict
      role:
        description: Role of the same namespace.
        type: str
      cluster_role:
        description: Cluster role.
        type: str
      subjects:
        description: Who gets it, one of O(bindings[].subjects[].user), O(bindings[].subjects[].group) and O(bindings[].subjects[].service_account) each.
        type: list
        elements: dict
        required: true
        suboptions:
          user:
            description: User name.
            type: str
          group:
            description: Group name.
            type: str
          service_account:
            description: Name of a service account.
            type: str
          namespace:
            description: Namespace of the service account, when it is another one.
            type: str
  expect:
    description:
    - Rights that must hold, or must not, once everything is applied. The API server is asked (SubjectAccessReview).
    type: list
    elements: dict
    suboptions:
      user:
        description: User name.
        type: str
      groups:
        description: Groups of the user, or of anybody.
        type: list
        elements: str
      service_account:
        description: Name of a service account.
        type: str
      namespace:
        description: Namespace that is asked about, and of the service account.
        type: str
      can:
        description: Rights that must be there, such as V(get pods), V(create deployments.apps), V(get configmaps web), V(get /metrics).
        type: list
        elements: str
      cannot:
        description: Rights that must not be there.
        type: list
        elements: str
  owner:
    default: rbac
notes:
  - The caller needs the verbs list, create and patch on serviceaccounts, roles, rolebindings, clusterroles and clusterrolebindings as far as they are declared, list on clusterroles for bindings, delete for O(state=absent), O(prune) and a changed role of a binding, and create on subjectaccessreviews for O(expect).
  - Kubernetes lets nobody grant what they do not hold. The caller needs each right that it grants, or the verb escalate on roles and bind on the roles that it binds.
  - The role of a binding cannot be changed in place. The binding is deleted and made anew, after a rehearsal by a dry run, and put back if that fails.
"""

EXAMPLES = r"""
---
- name: A service account that reads one ConfigMap
  hardened.k8s.rbac:
    service_accounts:
      - name: web
        namespace: shop-web
        rules:
          - {resources: [configmaps], resource_names: [web], verbs: [get]}
    expect:
      - service_account: web
        namespace: shop-web
        can: [get configmaps web]
        cannot: [get secrets, list configmaps]

- name: A team, and a risk that somebody takes
  hardened.k8s.rbac:
    roles:
      - name: repair
        namespace: shop-web
        rules:
          - {resources: [pods/exec], verbs: [create]}
    bindings:
      - name: repair
        namespace: shop-web
        role: repair
        subjects: [{group: shop-on-call}]
    accept:
      - {rule: rbac/exec, name: repair, reason: on-call repairs by hand, expires: "2027-06-30"}
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
        - One of V(create), V(update), V(replace), V(delete), V(release) (kept, but given up), V(unchanged), V(refused) and V(failed).
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
expectations:
  description: The expected rights, and whether they hold.
  returned: when any are expected
  type: list
  elements: dict
  contains:
    where:
      description: Where it stands in the options.
      type: str
    expected:
      description: The right, in words.
      type: str
    holds:
      description: Whether it holds; null in a check run that would change rights.
      type: bool
manifests:
  description: The Kubernetes objects.
  returned: when O(state) is V(rendered)
  type: list
  elements: dict
"""

from ansible_collections.hardened.k8s.plugins.module_utils.harden import Topic, run
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import rbac

TOPIC = Topic(
    module="rbac",
    items={
        "service_accounts": (rbac.SERVICE_ACCOUNT_SPEC, rbac.declare_service_account),
        "roles": (rbac.ROLE_SPEC, rbac.declare_role),
        "cluster_roles": (rbac.CLUSTER_ROLE_SPEC, rbac.declare_cluster_role),
        "bindings": (rbac.BINDING_SPEC, rbac.declare_binding),
        "expect": (rbac.EXPECT_SPEC, rbac.declare_expectation),
    },
    kinds=("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
)


def main() -> None:
    run(TOPIC)


if __name__ == "__main__":
    main()
