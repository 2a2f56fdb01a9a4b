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
  - Makes service accounts, roles, cluster roles and bindings as they are declared. Rules and subjects that
    are no longer declared are removed.
  - Grants that reach further than they look are findings. At stage V(enforce) they are refused, unless
    O(accept) names them with a reason and an expiry date. Roles are judged as the API server reads them, with
    every wildcard; bindings by the effective rules of their role, also of one that is in the cluster already.
  - C(rbac/wildcard) - V(*) in a rule, which grants what does not exist yet, too (CIS 5.1.3).
  - C(rbac/escalate), C(rbac/bind), C(rbac/impersonate) - more rights than one has (CIS 5.1.8). To bind and to
    impersonate by O(cluster_roles[].rules[].resource_names) is accepted, for anything but V(cluster-admin),
    V(system:masters) and their like.
  - C(rbac/secrets) - get, list, watch, patch or deletecollection of Secrets, all of which show them; accepted
    by name (CIS 5.1.2).
  - C(rbac/exec) - C(pods/exec), C(pods/attach), C(pods/portforward), C(pods/ephemeralcontainers).
  - C(rbac/nodes-proxy) - the kubelet's own API (CIS 5.1.10).
  - C(rbac/token-request) - tokens of service accounts, accepted by name (CIS 5.1.13). That creating Secrets
    and reading one of them comes to the same is told, not refused.
  - C(rbac/csr-approval) - approval of client certificates (CIS 5.1.11).
  - C(rbac/admission) - webhook configurations, and admission policies with their bindings (CIS 5.1.12).
  - C(rbac/persistent-volumes) - making PersistentVolumes, and so reaching the nodes' files (CIS 5.1.9).
  - C(rbac/namespaces-patch) - the labels of namespaces, also by C(namespaces/status) and
    C(namespaces/finalize).
  - C(rbac/workloads-in-privileged-namespace) - starting pods in C(kube-system), in a namespace at Pod
    Security level V(privileged), or in all of them (CIS 5.1.4).
  - C(rbac/cluster-admin) - a binding of that role (CIS 5.1.1).
  - C(rbac/user-facing) - what V(edit) and V(admin) give, told of one namespace, refused for all of them.
  - C(rbac/system-masters) (CIS 5.1.7), C(rbac/broad-group) - bindings of C(system:masters),
    C(system:authenticated), C(system:unauthenticated), C(system:anonymous) and C(system:serviceaccounts).
  - C(rbac/default-account) (CIS 5.1.5), C(rbac/no-effect) (a slip of the pen that grants nothing),
    C(rbac/role-missing) - told, never refused.
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
        description: Its name.
        type: str
        required: true
      namespace:
        description: Its namespace.
        type: str
        required: true
      labels:
        description: Its labels. One that was declared before and no longer is, is removed.
        type: dict
      annotations:
        description: Its annotations. One that was declared before and no longer is, is removed.
        type: dict
      automount:
        description: Whether pods get its token unless they refuse it. The default is V(false).
        type: bool
      image_pull_secrets:
        description: Names of Secrets with registry credentials, for its pods.
        type: list
        elements: str
      rules:
        description: What it may do in its namespace, by a Role and a RoleBinding of its name.
        type: list
        elements: dict
        suboptions:
          api_groups:
            description:
              - API groups of all of the resources, C("") being the core group.
              - Without it each resource names its own, as in V(deployments.apps) and
                V(deployments.apps/scale); one that names none is of the core group.
            type: list
            elements: str
          resources:
            description:
              - Resources and subresources, such as V(configmaps), V(pods/log) or V(deployments.apps).
              - V(*) is all of them and V(*/scale) a subresource of all of them; V(pods/*) is nothing.
            type: list
            elements: str
          resource_names:
            description:
              - Only the objects of these names. List and watch are then allowed with the field selector
                C(metadata.name), create only by server-side apply.
            type: list
            elements: str
          verbs:
            description: Verbs, such as V(get), V(list) and V(watch).
            type: list
            elements: str
            required: true
          non_resource_urls:
            description:
              - Paths such as V(/metrics) or V(/healthz/*), in a rule of their own. Only cluster roles have
                them.
            type: list
            elements: str
      roles:
        description:
          - Roles of its namespace that it is bound to, by a RoleBinding each, named after it and the role
            (C(web-deployer)).
        type: list
        elements: str
      cluster_roles:
        description:
          - Cluster roles that it is bound to within its namespace, by a RoleBinding each, named after it and
            the role (C(web-view)).
        type: list
        elements: str
  roles:
    description:
      - Roles of a namespace.
    type: list
    elements: dict
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      namespace:
        description: Its namespace.
        type: str
        required: true
      labels:
        description: Its labels. One that was declared before and no longer is, is removed.
        type: dict
      annotations:
        description: Its annotations. One that was declared before and no longer is, is removed.
        type: dict
      rules:
        description: What it allows.
        type: list
        elements: dict
        required: true
        suboptions:
          api_groups:
            description:
              - API groups of all of the resources, C("") being the core group.
              - Without it each resource names its own, as in V(deployments.apps) and
                V(deployments.apps/scale); one that names none is of the core group.
            type: list
            elements: str
          resources:
            description:
              - Resources and subresources, such as V(configmaps), V(pods/log) or V(deployments.apps).
              - V(*) is all of them and V(*/scale) a subresource of all of them; V(pods/*) is nothing.
            type: list
            elements: str
          resource_names:
            description:
              - Only the objects of these names. List and watch are then allowed with the field selector
                C(metadata.name), create only by server-side apply.
            type: list
            elements: str
          verbs:
            description: Verbs, such as V(get), V(list) and V(watch).
            type: list
            elements: str
            required: true
          non_resource_urls:
            description:
              - Paths such as V(/metrics) or V(/healthz/*), in a rule of their own. Only cluster roles have
                them.
            type: list
            elements: str
  cluster_roles:
    description:
      - Roles that can be bound in any namespace, or in the whole cluster.
    type: list
    elements: dict
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      labels:
        description: Its labels. One that was declared before and no longer is, is removed.
        type: dict
      annotations:
        description: Its annotations. One that was declared before and no longer is, is removed.
        type: dict
      rules:
        description: What it allows.
        type: list
        elements: dict
        suboptions:
          api_groups:
            description:
              - API groups of all of the resources, C("") being the core group.
              - Without it each resource names its own, as in V(deployments.apps) and
                V(deployments.apps/scale); one that names none is of the core group.
            type: list
            elements: str
          resources:
            description:
              - Resources and subresources, such as V(configmaps), V(pods/log) or V(deployments.apps).
              - V(*) is all of them and V(*/scale) a subresource of all of them; V(pods/*) is nothing.
            type: list
            elements: str
          resource_names:
            description:
              - Only the objects of these names. List and watch are then allowed with the field selector
                C(metadata.name), create only by server-side apply.
            type: list
            elements: str
          verbs:
            description: Verbs, such as V(get), V(list) and V(watch).
            type: list
            elements: str
            required: true
          non_resource_urls:
            description:
              - Paths such as V(/metrics) or V(/healthz/*), in a rule of their own. Only cluster roles have
                them.
            type: list
            elements: str
      aggregate:
        description:
          - Label maps. The API server adds up the rules of all cluster roles that have the labels of one of
            them; O(cluster_roles[].rules) belong into such a role.
        type: list
        elements: dict
  bindings:
    description:
      - Who gets which role.
    type: list
    elements: dict
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      namespace:
        description: Where the role is given. Without it that is the whole cluster (ClusterRoleBinding).
        type: str
      labels:
        description: Its labels. One that was declared before and no longer is, is removed.
        type: dict
      annotations:
        description: Its annotations. One that was declared before and no longer is, is removed.
        type: dict
      role:
        description: Role of the same namespace. Either this or O(bindings[].cluster_role).
        type: str
      cluster_role:
        description: Cluster role. Either this or O(bindings[].role).
        type: str
      subjects:
        description:
          - Who gets it. Each is one of O(bindings[].subjects[].user), O(bindings[].subjects[].group) and
            O(bindings[].subjects[].service_account).
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
            description: Namespace of the service account. The default is the binding's.
            type: str
  expect:
    description:
      - Rights that must hold, or must not, once everything is applied. The API server is asked
        (SubjectAccessReview), so that what others grant counts, too.
    type: list
    elements: dict
    suboptions:
      user:
        description:
          - User name. A service account of another namespace than the one that is asked about is
            V(system:serviceaccount:<namespace>:<name>).
        type: str
      groups:
        description:
          - Groups of the user, or of anybody. C(system:authenticated) and those of a service account are
            added.
        type: list
        elements: str
      service_account:
        description: Name of a service account.
        type: str
      namespace:
        description: Namespace that is asked about, and of the service account.
        type: str
      can:
        description:
          - Rights that must be there, as verb, resource and perhaps a name - V(get pods), V(get pods/log),
            V(create deployments.apps), V(get configmaps web), V(get /metrics).
          - Resources and verbs that Kubernetes does not have are told as mistakes.
        type: list
        elements: str
      cannot:
        description: Rights that must not be there.
        type: list
        elements: str
  owner:
    default: rbac
notes:
  - The caller needs the verbs list, create and patch on serviceaccounts, roles, rolebindings, clusterroles
    and clusterrolebindings as far as they are declared, list on clusterroles for bindings, delete for
    O(state=absent), O(prune) and a changed role of a binding, and create on subjectaccessreviews for
    O(expect).
  - Kubernetes lets nobody grant what they do not hold. The caller needs each right that it grants, or the
    verb escalate on the roles that it writes and bind on those that it binds.
  - The role of a binding cannot be changed in place. The binding is deleted and made anew, after a rehearsal
    by a dry run, and put back if that fails.
  - Resources that are written with more than one API group become a rule for each group. Findings count the
    rules as they are in the cluster, from C(rules[0]), and quote them.
  - Sources of the findings are the pages Role Based Access Control Good Practices and Using RBAC
    Authorization of the Kubernetes documentation, and the CIS Kubernetes Benchmark 1.12.
seealso:
  - module: hardened.k8s.tenant
"""

EXAMPLES = r"""
---
- name: A service account that reads one ConfigMap, and can do nothing else
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

- name: A pipeline that rolls out, and nothing more
  hardened.k8s.rbac:
    roles:
      - name: deployer
        namespace: shop-web
        rules:
          - {resources: [deployments.apps, services, configmaps], verbs: [get, list, watch, create, patch]}
          - {resources: [pods, pods/log], verbs: [get, list, watch]}
    bindings:
      - name: deployer
        namespace: shop-web
        role: deployer
        subjects:
          - {service_account: pipeline, namespace: ci}
    expect:
      - user: system:serviceaccount:ci:pipeline
        namespace: shop-web
        can: [patch deployments.apps]
        cannot: [create pods/exec, get secrets]

- name: Metrics for a team, added up from labelled cluster roles
  hardened.k8s.rbac:
    cluster_roles:
      - name: monitoring
        aggregate: [{example.com/monitoring: "true"}]
      - name: monitoring-metrics
        labels: {example.com/monitoring: "true"}
        rules:
          - {non_resource_urls: [/metrics], verbs: [get]}
          - {resources: [nodes/metrics], verbs: [get]}
    bindings:
      - name: monitoring
        cluster_role: monitoring
        subjects: [{group: team-monitoring}]

- name: A risk that somebody takes, until a day
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

- name: What is risky in a declaration, without a cluster
  hardened.k8s.rbac:
    state: rendered
    stage: warn
    bindings:
      - {name: everybody, cluster_role: view, subjects: [{group: "system:authenticated"}]}
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
  sample: [{kind: Role, namespace: shop-web, name: web, action: create}]
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
