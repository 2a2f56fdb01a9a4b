#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_security_policy
short_description: What pods may ask for, judged by the API server itself
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Makes admission policies that say what a pod may ask for, in the terms of PodSecurityPolicy, which Kubernetes 1.25
    removed, and of what it could not say. The API server evaluates them itself; there is no webhook that can fail.
  - A policy judges new pods and ephemeral containers in all three lists of containers, and warns the authors of
    Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs and ReplicationControllers. A refusal names each
    container, field and remedy at once. A pod that breaks no rule is let through before anything else is evaluated.
  - Values that a pod leaves open are filled in from Kubernetes 1.36 on, by a MutatingAdmissionPolicy. On older
    clusters the same values are required of whoever makes the pod.
  - A pod has to pass every policy that its namespace is under. Where passing one of several is enough, as it was with
    PodSecurityPolicy, these stand in O(policies[].any_of).
  - The findings are C(pod-security/running-pods), refused at stage V(enforce), C(pod-security/exception),
    C(pod-security/unguarded-selector) and C(pod-security/two-defaults).
extends_documentation_fragment:
  - hardened.k8s.auth
  - hardened.k8s.harden
  - hardened.k8s.attributes
options:
  policies:
    description:
      - The policies. Each is named once.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the policy.
        type: str
        required: true
      stage:
        description:
          - Stage of this policy; the default is O(stage). V(observe) audits, V(warn) also warns who makes
            pods, V(enforce) refuses them and fills in defaults.
        type: str
        choices: [observe, warn, enforce]
      namespaces:
        description:
          - The namespaces that it is for. Either these or C(namespace_selector).
        type: list
        elements: str
      namespace_selector:
        description:
          - Labels of the namespaces that it is for. C({}) is all of them, less V(default) and those of the
            cluster itself unless O(allow_system) names them.
          - Whoever may edit such a label takes a namespace out of the policy, unless C(guard) says who alone
            may.
        type: dict
        suboptions:
          match_labels:
            description:
              - Labels with these values.
            type: dict
          match_expressions:
            description:
              - Further requirements.
            type: list
            elements: dict
            suboptions:
              key:
                description:
                  - Key of the label.
                type: str
                required: true
              operator:
                description:
                  - What is required of it.
                type: str
                required: true
                choices: [In, NotIn, Exists, DoesNotExist]
              values:
                description:
                  - Values, for V(In) and V(NotIn).
                type: list
                elements: str
      privileged: &privileged
        description:
          - Whether containers may be privileged, or host processes of Windows.
        type: bool
      default_add_capabilities: &default_add_capabilities
        description:
          - Capabilities that are added to containers which neither add nor drop them. They are allowed, too.
        type: list
        elements: str
      required_drop_capabilities: &required_drop_capabilities
        description:
          - Capabilities that containers drop; filled in. Who drops C(ALL) drops each.
        type: list
        elements: str
      allowed_capabilities: &allowed_capabilities
        description:
          - Capabilities that containers may add, by exact name; C(*) is any.
        type: list
        elements: str
      volumes: &volumes
        description:
          - Kinds of volume that pods may have, by the names of their fields, such as V(configMap); C(*) is
            any.
          - A kind that is not listed is refused, also one that a later version of Kubernetes brings. With
            V(secret), what the API server mounts for a service account's token is allowed, too.
        type: list
        elements: str
      host_network: &host_network
        description:
          - Whether pods may share the node's network.
        type: bool
      host_ports: &host_ports
        description:
          - Ports of the node that containers may take; an empty list is none.
        type: list
        elements: dict
        suboptions:
          min:
            description:
              - Smallest of them.
            type: int
            required: true
          max:
            description:
              - Largest of them.
            type: int
            required: true
      host_pid: &host_pid
        description:
          - Whether pods may see the node's processes.
        type: bool
      host_ipc: &host_ipc
        description:
          - Whether pods may share the node's inter-process communication.
        type: bool
      se_linux: &se_linux
        description:
          - The SELinux options of pods and containers.
        type: dict
        suboptions:
          rule:
            description:
              - V(MustRunAs) requires these options, filled in for pods without any.
            type: str
            required: true
            choices: [RunAsAny, MustRunAs]
          se_linux_options:
            description:
              - The options; what is left out must not be set.
            type: dict
            suboptions:
              user:
                description:
                  - The user.
                type: str
              role:
                description:
                  - The role.
                type: str
              type:
                description:
                  - The type.
                type: str
              level:
                description:
                  - The level; its categories may stand in any order.
                type: str
      run_as_user: &run_as_user
        description:
          - The user of containers, in the container or the pod.
        type: dict
        suboptions:
          rule:
            description:
              - V(MustRunAs) requires a user in C(ranges), V(MustRunAsNonRoot) any but 0.
            type: str
            required: true
            choices: [RunAsAny, MustRunAsNonRoot, MustRunAs]
          ranges:
            description:
              - Allowed numbers; the first one's C(min) is filled in.
            type: list
            elements: dict
            suboptions:
              min:
                description:
                  - Smallest of them.
                type: int
                required: true
              max:
                description:
                  - Largest of them.
                type: int
                required: true
      run_as_group: &run_as_group
        description:
          - The group of containers, in the container or the pod.
        type: dict
        suboptions:
          rule:
            description:
              - V(MustRunAs) requires it in C(ranges), V(MayRunAs) only where it is set.
            type: str
            required: true
            choices: [RunAsAny, MayRunAs, MustRunAs]
          ranges:
            description:
              - Allowed numbers; the first one's C(min) is filled in.
            type: list
            elements: dict
            suboptions:
              min:
                description:
                  - Smallest of them.
                type: int
                required: true
              max:
                description:
                  - Largest of them.
                type: int
                required: true
      supplemental_groups: &supplemental_groups
        description:
          - The further groups of pods.
        type: dict
        suboptions:
          rule:
            description:
              - V(MustRunAs) requires it in C(ranges), V(MayRunAs) only where it is set.
            type: str
            required: true
            choices: [RunAsAny, MayRunAs, MustRunAs]
          ranges:
            description:
              - Allowed numbers; the first one's C(min) is filled in.
            type: list
            elements: dict
            suboptions:
              min:
                description:
                  - Smallest of them.
                type: int
                required: true
              max:
                description:
                  - Largest of them.
                type: int
                required: true
      fs_group: &fs_group
        description:
          - The group that owns a pod's volumes.
        type: dict
        suboptions:
          rule:
            description:
              - V(MustRunAs) requires it in C(ranges), V(MayRunAs) only where it is set.
            type: str
            required: true
            choices: [RunAsAny, MayRunAs, MustRunAs]
          ranges:
            description:
              - Allowed numbers; the first one's C(min) is filled in.
            type: list
            elements: dict
            suboptions:
              min:
                description:
                  - Smallest of them.
                type: int
                required: true
              max:
                description:
                  - Largest of them.
                type: int
                required: true
      read_only_root_filesystem: &read_only_root_filesystem
        description:
          - Whether containers must have a read-only root; filled in.
        type: bool
      default_allow_privilege_escalation: &default_allow_privilege_escalation
        description:
          - What C(allowPrivilegeEscalation) is, where a container does not say.
        type: bool
      allow_privilege_escalation: &allow_privilege_escalation
        description:
          - Whether containers may gain more privileges than they begin with; V(false) is filled in.
        type: bool
      allowed_host_paths: &allowed_host_paths
        description:
          - Paths of the node that pods may mount; an empty list is none. That they may mount any at all is
            said in C(volumes).
        type: list
        elements: dict
        suboptions:
          path_prefix:
            description:
              - The path, with all below it.
            type: str
            required: true
          read_only:
            description:
              - Whether containers may only mount it read-only.
            type: bool
      allowed_flex_volumes: &allowed_flex_volumes
        description:
          - FlexVolume drivers that pods may use; an empty list is none.
        type: list
        elements: str
      allowed_csi_drivers: &allowed_csi_drivers
        description:
          - CSI drivers that pods may use inline; an empty list is none.
        type: list
        elements: str
      allowed_unsafe_sysctls: &allowed_unsafe_sysctls
        description:
          - Sysctls that pods may set beside the safe ones of the cluster's version. One that ends with C(*)
            stands for all that begin so.
        type: list
        elements: str
      forbidden_sysctls: &forbidden_sysctls
        description:
          - Sysctls that pods may not set, also safe ones. Once this or C(allowed_unsafe_sysctls) is declared,
            all others are refused.
        type: list
        elements: str
      allowed_proc_mount_types: &allowed_proc_mount_types
        description:
          - Types of C(procMount) that containers may have. One that names none has V(Default).
        type: list
        elements: str
      runtime_class: &runtime_class
        description:
          - The runtime class of pods.
        type: dict
        suboptions:
          allowed_runtime_class_names:
            description:
              - Names that pods may have, C(*) for any; an empty list is none. A pod without one is always
                allowed.
            type: list
            elements: str
          default_runtime_class_name:
            description:
              - The name that pods without one get.
            type: str
      allowed_seccomp_profiles: &allowed_seccomp_profiles
        description:
          - Seccomp profiles that pods must have and containers may have, written V(runtime/default),
            V(localhost/<path>) or V(unconfined). One that ends with C(*) stands for all that begin so. An
            empty list means that none may be set.
        type: list
        elements: str
      default_seccomp_profile: &default_seccomp_profile
        description:
          - Seccomp profile of pods that name none.
        type: str
      allowed_app_armor_profiles: &allowed_app_armor_profiles
        description:
          - AppArmor profiles of which each container must have one, written likewise.
        type: list
        elements: str
      default_app_armor_profile: &default_app_armor_profile
        description:
          - AppArmor profile of containers that name none.
        type: str
      supplemental_groups_policy: &supplemental_groups_policy
        description:
          - Policy that pods must have; filled in. Without V(Strict), a container also gets the groups that
            its image lists, whatever C(supplemental_groups) says. Needs Kubernetes 1.33.
        type: str
        choices: [Strict, Merge]
      allowed_image_registries: &allowed_image_registries
        description:
          - Registries, or parts of them, that images must be from, such as V(registry.example.com/shop).
            Names without a registry are from V(docker.io).
        type: list
        elements: str
      require_image_digest: &require_image_digest
        description:
          - Whether images must be named by their digest.
        type: bool
      automount_service_account_token: &automount_service_account_token
        description:
          - Whether pods may be given the token of their service account. With V(false) the pod or its service
            account has to say no.
          - In a workload's template only V(true) is warned of; where it says nothing, its service account decides,
            which the API server looks at when the pod is made.
        type: bool
      host_users: &host_users
        description:
          - Whether pods may share the node's user namespace. With V(false) they set C(hostUsers) to false.
        type: bool
      host_probes: &host_probes
        description:
          - Whether probes and lifecycle handlers may name a host.
        type: bool
      ephemeral_containers: &ephemeral_containers
        description:
          - Whether containers may be added to running pods for debugging.
        type: bool
      use: &use
        description:
          - Whether the requester or the pod's service account needs the right to use this policy, the verb
            C(use) on C(podsecuritypolicies) of the API group C(policy) under the policy's name, as with
            PodSecurityPolicy.
        type: bool
      any_of:
        description:
          - Policies of which a pod needs to pass one. One that admits the pod as it is goes before one that
            would fill something in, then the name decides.
        type: list
        elements: dict
        suboptions:
          name:
            description:
              - Name of this one, by which it is used.
            type: str
            required: true
          use: *use
          privileged: *privileged
          default_add_capabilities: *default_add_capabilities
          required_drop_capabilities: *required_drop_capabilities
          allowed_capabilities: *allowed_capabilities
          volumes: *volumes
          host_network: *host_network
          host_ports: *host_ports
          host_pid: *host_pid
          host_ipc: *host_ipc
          se_linux: *se_linux
          run_as_user: *run_as_user
          run_as_group: *run_as_group
          supplemental_groups: *supplemental_groups
          fs_group: *fs_group
          read_only_root_filesystem: *read_only_root_filesystem
          default_allow_privilege_escalation: *default_allow_privilege_escalation
          allow_privilege_escalation: *allow_privilege_escalation
          allowed_host_paths: *allowed_host_paths
          allowed_flex_volumes: *allowed_flex_volumes
          allowed_csi_drivers: *allowed_csi_drivers
          allowed_unsafe_sysctls: *allowed_unsafe_sysctls
          forbidden_sysctls: *forbidden_sysctls
          allowed_proc_mount_types: *allowed_proc_mount_types
          runtime_class: *runtime_class
          allowed_seccomp_profiles: *allowed_seccomp_profiles
          default_seccomp_profile: *default_seccomp_profile
          allowed_app_armor_profiles: *allowed_app_armor_profiles
          default_app_armor_profile: *default_app_armor_profile
          supplemental_groups_policy: *supplemental_groups_policy
          allowed_image_registries: *allowed_image_registries
          require_image_digest: *require_image_digest
          automount_service_account_token: *automount_service_account_token
          host_users: *host_users
          host_probes: *host_probes
          ephemeral_containers: *ephemeral_containers
      mutate:
        description:
          - Whether defaults are filled in rather than required. The default is V(true) from Kubernetes 1.36
            on, which is needed for it.
        type: bool
      exceptions:
        description:
          - Workloads that are let off, each with an owner, a reason and a last day. They are listed in
            RV(findings); after the last day the declaration is an error, and the API server refuses new pods,
            new images and ephemeral containers by itself.
        type: list
        elements: dict
        suboptions:
          name:
            description:
              - Name of the exception.
            type: str
            required: true
          rules:
            description:
              - Options whose rules do not hold; the default is all of them. V(seccomp), V(app_armor) and
                V(sysctls) stand for the options about these.
            type: list
            elements: str
            choices:
              - privileged
              - allow_privilege_escalation
              - host_network
              - host_pid
              - host_ipc
              - host_ports
              - host_users
              - host_probes
              - allowed_capabilities
              - required_drop_capabilities
              - default_add_capabilities
              - read_only_root_filesystem
              - run_as_user
              - run_as_group
              - supplemental_groups
              - supplemental_groups_policy
              - fs_group
              - se_linux
              - seccomp
              - app_armor
              - allowed_proc_mount_types
              - sysctls
              - volumes
              - allowed_host_paths
              - allowed_flex_volumes
              - allowed_csi_drivers
              - runtime_class
              - allowed_image_registries
              - require_image_digest
              - automount_service_account_token
              - ephemeral_containers
          namespaces:
            description:
              - Namespaces in which it holds; the default is those that the policy names.
            type: list
            elements: str
          match_labels:
            description:
              - Labels of the pods. Only those whom C(guard) names, C(system:masters) and the cluster's own
                controllers may make or change pods and workloads so that these labels cover them.
            type: dict
          service_accounts:
            description:
              - Service accounts of the pods, likewise.
            type: list
            elements: str
          owner:
            description:
              - Who wants it.
            type: str
            required: true
          reason:
            description:
              - Why.
            type: str
            required: true
          expires:
            description:
              - Its last day, as YYYY-MM-DD.
            type: str
            required: true
      guard:
        description:
          - Who alone, beside C(system:masters), may claim an exception by labels or service account, change
            what runs under it or debug that, and change the labels that C(namespace_selector) selects by.
        type: list
        elements: dict
        suboptions:
          user:
            description:
              - Name of a user.
            type: str
          group:
            description:
              - Name of a group.
            type: str
          service_account:
            description:
              - Name of a service account.
            type: str
          namespace:
            description:
              - Namespace of the service account.
            type: str
  guards:
    description:
      - Who alone may change labels and annotations of namespaces on which their security hangs. C(system:masters) always
        may. Name the identity that applies this collection, too, or its next run is refused.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the guard.
        type: str
        required: true
      stage:
        description: Stage of this guard; the default is O(stage).
        type: str
        choices: [observe, warn, enforce]
      subjects:
        description: Who may change them.
        type: list
        elements: dict
        required: true
        suboptions:
          user: &user
            description: Name of a user.
            type: str
          group: &group
            description: Name of a group.
            type: str
          service_account: &service_account
            description: Name of a service account.
            type: str
          namespace: &namespace
            description: Namespace of the service account.
            type: str
      labels:
        description:
          - Keys of labels. One that ends with C(*) stands for all that begin so.
          - The default is C(pod-security.kubernetes.io/*), C(hardened.k8s/*) and C(applyset.kubernetes.io/*).
        type: list
        elements: str
      annotations:
        description:
          - Keys of annotations, likewise.
          - The default is C(iam.amazonaws.com/*), by which kube2iam is told which roles a namespace may assume, and
            C(hardened.k8s/*).
        type: list
        elements: str
  static:
    description:
      - With O(state=rendered), name the objects as a file for the API server's C(staticManifestsDir) needs them
        (Kubernetes 1.37, beta). Policies that come from there nobody can delete through the API. Validating and
        mutating policies need a folder each.
    type: bool
    default: false
  owner:
    default: pod_security_policy
notes:
  - The caller needs the verbs list, create and patch on validatingadmissionpolicies, validatingadmissionpolicybindings,
    mutatingadmissionpolicies and mutatingadmissionpolicybindings of admissionregistration.k8s.io, for O(state=absent),
    O(prune) and stages below V(enforce) delete on them, and list on namespaces and pods.
  - Whoever holds these rights can switch any admission policy off.
seealso:
  - module: hardened.k8s.pod_security_info
  - module: hardened.k8s.namespace
"""

EXAMPLES = r"""
---
- name: What the web tier may ask for
  hardened.k8s.pod_security_policy:
    policies:
      - name: web
        namespaces: [shop-web]
        privileged: false
        host_network: false
        host_pid: false
        host_ipc: false
        allow_privilege_escalation: false
        required_drop_capabilities: [ALL]
        allowed_capabilities: [NET_BIND_SERVICE]
        read_only_root_filesystem: true
        run_as_user:
          rule: MustRunAs
          ranges: [{min: 10000, max: 19999}]
        volumes: [configMap, secret, emptyDir, projected]
        allowed_seccomp_profiles: [runtime/default, "localhost/k8s/*"]
        default_seccomp_profile: runtime/default
        allowed_image_registries: [registry.example.com/shop]
        require_image_digest: true

- name: Two policies, one of which is enough; the second by right
  hardened.k8s.pod_security_policy:
    policies:
      - name: pods
        namespace_selector: {}
        any_of:
          - name: restricted
            privileged: false
            host_network: false
            run_as_user: {rule: MustRunAsNonRoot}
          - name: system
            use: true

- name: One workload is let off one rule, until it is mended
  hardened.k8s.pod_security_policy:
    policies:
      - name: web
        namespaces: [shop-web]
        read_only_root_filesystem: true
        exceptions:
          - name: legacy-cache
            rules: [read_only_root_filesystem]
            namespaces: [shop-web]
            match_labels: {app: cache}
            owner: team-shop
            reason: It writes to its own directory until version 3
            expires: "2027-03-31"
        guard:
          - group: platform

- name: Nobody but the platform changes what a namespace's security hangs on
  hardened.k8s.pod_security_policy:
    guards:
      - name: namespaces
        subjects:
          - {group: platform}
          - {service_account: hardener, namespace: platform}

- name: Undo
  hardened.k8s.pod_security_policy:
    state: absent
    policies:
      - {name: web, namespaces: [shop-web]}
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
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import admission, guard, pod_security_policy

TOPIC = Topic(
    module="pod_security_policy",
    items={
        "policies": (pod_security_policy.SPEC, pod_security_policy.declare),
        "guards": (guard.SPEC, guard.declare),
    },
    kinds=admission.KINDS,
    unique={"policies": ("name",), "guards": ("name",)},
    options={"static": {"type": "bool", "default": False}},
)


def main() -> None:
    run(TOPIC)


if __name__ == "__main__":
    main()
