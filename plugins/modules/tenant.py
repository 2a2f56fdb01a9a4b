#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tenant
short_description: Namespaces and all that hardens them, many in one call
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Makes namespaces as declared, with their Pod Security level, quotas, service accounts, roles, access and network
    policies.
  - Composes M(hardened.k8s.namespace), M(hardened.k8s.resource_quota), M(hardened.k8s.rbac),
    M(hardened.k8s.network_policy), M(hardened.k8s.pod_security_policy) and the allow lists of M(hardened.k8s.kube2iam).
    What a tenant does not declare is not touched.
extends_documentation_fragment:
  - hardened.k8s.auth
  - hardened.k8s.harden
  - hardened.k8s.attributes
options:
  tenants:
    description:
    - The tenants.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the tenant, which is its namespace.
        type: str
        required: true
      profile:
        description:
          - Name of the profile in O(profiles) that completes this tenant. Dictionaries are merged, anything
            else that the tenant declares replaces the profile's.
        type: str
      stage:
        description: Stage of this item; the default is O(stage).
        type: str
        choices: [observe, warn, enforce]
      labels:
        description:
          - Labels of the namespace. A label that was declared before and no longer is, is removed.
          - Pod Security labels belong to O(tenants[].pod_security).
        type: dict
      annotations:
        description: Annotations of the namespace.
        type: dict
      pod_security:
        description:
          - Pod Security level. The stage decides what it does - V(observe) audits, V(warn) also warns those who create
            pods, V(enforce) also refuses the pods.
          - Before a level is enforced, all pods and workloads of the namespace are judged by it; if any running pod
            violates it, the namespace is left as it is (rule C(pod-security/running-pods)).
        type: str
        choices: [privileged, baseline, restricted]
      pod_security_version:
        description:
          - Version of the level, such as V(v1.37), or V(latest).
          - The default is the API server's own minor version, so that an upgrade alone refuses nothing new.
        type: str
      default_service_account_token:
        description:
          - Whether pods that name no service account are given the token of the service account C(default).
          - The default is V(false), and takes effect at stage V(enforce).
        type: bool
      quota:
        description:
          - Limits of the ResourceQuota C(quota), from resource to quantity.
          - Any key of the API - C(requests.*), C(limits.*), C(pods), C(services.loadbalancers),
            C(count/<resource>.<group>),
            C(<class>.storageclass.storage.k8s.io/requests.storage), extended resources and others.
          - A limit below what the namespace uses is refused (rule C(quota/below-use)); so is one on CPU or memory
            without a default for containers that name none (rule C(quota/no-defaults)).
        type: dict
      quotas:
        description: Further ResourceQuotas, for those with scopes.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the ResourceQuota.
            type: str
            required: true
          hard:
            description: Limits, from resource to quantity.
            type: dict
            required: true
          scopes:
            description: Which pods are counted; all scopes have to fit.
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
            description: Scopes with values.
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
                description: How its values are meant.
                type: str
                required: true
                choices: [In, NotIn, Exists, DoesNotExist]
              values:
                description: Values for V(In) and V(NotIn), such as names of priority classes.
                type: list
                elements: str
      limits:
        description:
          - What the LimitRange C(limits) says of containers.
        type: dict
        suboptions:
          default:
            description: Limits of a container that names none.
            type: dict
          default_request:
            description: Requests of a container that names none.
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
        description: Further LimitRanges, for pods and for volume claims.
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
                description: What is limited.
                type: str
                required: true
                choices: [Container, Pod, PersistentVolumeClaim]
              default:
                description: Limits of a container that names none.
                type: dict
              default_request:
                description: Requests of a container that names none.
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
      service_accounts:
        description: Service accounts, and what they may do in the namespace.
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
          automount:
            description: Whether pods get its token unless they refuse it. The default is V(false).
            type: bool
          image_pull_secrets:
            description: Names of Secrets with registry credentials.
            type: list
            elements: str
          iam_role:
            description:
              - AWS role of the workloads that run as it, by its name below kube2iam's base ARN, or by its ARN. It gets
                into the namespace's allow list; pods ask for it by the annotation C(iam.amazonaws.com/role).
            type: str
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
                description: Resources and subresources, such as V(configmaps), V(pods/log) or V(deployments.apps).
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
        description: Roles of the namespace.
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
            required: true
            suboptions:
              api_groups:
                description: API groups; the default is the core group, C("").
                type: list
                elements: str
              resources:
                description: Resources and subresources, such as V(configmaps), V(pods/log) or V(deployments.apps).
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
      bindings:
        description: Who gets which role.
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
          role:
            description: Role of the same namespace.
            type: str
          cluster_role:
            description: Cluster role.
            type: str
          subjects:
            description:
              - Who gets it, one of O(tenants[].bindings[].subjects[].user),
                O(tenants[].bindings[].subjects[].group) and
                O(tenants[].bindings[].subjects[].service_account) each.
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
      access:
        description: Cluster roles for people, in this namespace alone, by a RoleBinding named after role and subject.
        type: list
        elements: dict
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
          role:
            description: Cluster role, such as V(view) or V(edit).
            type: str
            required: true
      expect:
        description: Rights in this namespace that must hold, or must not, once everything is applied.
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
          can:
            description:
              - Rights that must be there, such as V(get pods), V(create deployments.apps), V(get
                configmaps web), V(get /metrics).
            type: list
            elements: str
          cannot:
            description: Rights that must not be there.
            type: list
            elements: str
      pod_security_policy:
        description:
          - What the pods of this namespace may ask for beyond the level of C(pod_security), as one of the policies of
            M(hardened.k8s.pod_security_policy). Its objects are named after the namespace.
        type: dict
        suboptions:
          privileged: &privileged
            description:
              - Whether containers may be privileged.
            type: bool
          default_add_capabilities: &default_add_capabilities
            description:
              - Capabilities that are added to containers which neither add nor drop them. They are allowed,
                too.
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
              - Kinds of volume that pods may have, by the names of their fields, such as V(configMap); C(*)
                is any.
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
              - Paths of the node that pods may mount; an empty list is none. That they may mount any at all
                is said in C(volumes).
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
              - Sysctls that pods may set beside the safe ones of the cluster's version. One that ends with
                C(*) stands for all that begin so.
            type: list
            elements: str
          forbidden_sysctls: &forbidden_sysctls
            description:
              - Sysctls that pods may not set, also safe ones. Once this or C(allowed_unsafe_sysctls) is
                declared, all others are refused.
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
              - Policy that pods must have; filled in. Without V(Strict), a container also gets the groups
                that its image lists, whatever C(supplemental_groups) says. Needs Kubernetes 1.33.
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
              - Whether pods may be given the token of their service account. With V(false) the pod or its
                service account has to say no.
              - In a workload's template only V(true) is warned of; where it says nothing, its service account
                decides, which the API server looks at when the pod is made.
            type: bool
          host_users: &host_users
            description:
              - Whether pods may share the node's user namespace. With V(false) they set C(hostUsers) to
                false.
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
              - Whether the requester or the pod's service account needs the right to use this policy, the
                verb C(use) on C(podsecuritypolicies) of the API group C(policy) under the policy's name, as
                with PodSecurityPolicy.
            type: bool
          any_of:
            description:
              - Policies of which a pod needs to pass one. One that admits the pod as it is goes before one
                that would fill something in, then the name decides.
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
              - Whether defaults are filled in rather than required. The default is V(true) from Kubernetes
                1.36 on, which is needed for it.
            type: bool
          exceptions:
            description:
              - Workloads that are let off, each with an owner, a reason and a last day. They are listed in
                RV(findings); after the last day the declaration is an error, and the API server refuses new
                pods by itself.
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
                  - Labels of the pods. Only those whom C(guard) names, C(system:masters) and the cluster's
                    own controllers may make or change pods and workloads so that these labels cover them.
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
              - Who alone, beside C(system:masters), may claim an exception by labels or service account, and
                change the labels that C(namespace_selector) selects by.
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
      iam_roles:
        description:
          - Further AWS roles that kube2iam may give to pods of this namespace, beside those of
            O(tenants[].service_accounts[].iam_role). C([]) alone allows none.
        type: list
        elements: str
      network:
        description: Network policies. C({}) denies everything but DNS; without it none is touched.
        type: dict
        suboptions:
          provider:
            description:
              - Whose kinds are written, as in O(hardened.k8s.network_policy#module:policies[].provider). The default is
                V(kubernetes).
            type: str
            choices: [auto, kubernetes, calico, cilium]
          default_deny:
            description:
              - Whether everything that no policy allows is denied, in and out, by policy
                C(default-deny). The default is V(true).
            type: bool
          networks:
            description:
              - Lists of networks by a name, by which peers mean them (C(network)).
                Calico has them as a NetworkSet, others in each policy.
            type: dict
          dns:
            description:
              - Whether pods may ask the cluster's DNS, by policy C(allow-dns). The default is V(true), the pods
                C(k8s-app=kube-dns) of namespace C(kube-system).
              - A dictionary of C(namespace), C(pods) and C(cidrs) says where DNS is. A NodeLocal DNS
                cache is on the host
                network and is only reached by C(cidrs).
            type: raw
          ingress:
            description: What this namespace's pods may be asked by others.
            type: list
            elements: dict
            suboptions:
              name:
                description:
                  - Name of the policy; the default follows from the pods' labels. Flows of one
                    name are one policy.
                type: str
              action:
                description:
                  - What is done with these flows; V(deny) with V(calico) and V(cilium). The default is V(allow).
                type: str
                choices: [allow, deny]
              to:
                description:
                  - Pods of this namespace, by labels or by C(match_labels) and
                    C(match_expressions); all of them without it.
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
                    description: Pods with these labels, of the namespaces named beside it, else of the policy's own.
                    type: dict
                  service_account:
                    description: Pods of this service account; with V(calico) and V(cilium).
                    type: str
                  service_account_labels:
                    description:
                      - Pods of service accounts with these labels, or with C(match_labels) and C(match_expressions);
                        with V(calico).
                    type: dict
                  domains:
                    description: Domain names outside; with V(cilium), and in egress alone.
                    type: list
                    elements: str
                  network:
                    description: Name of one of O(tenants[].network.networks).
                    type: str
                  cidr:
                    description: Network outside the cluster, without host bits.
                    type: str
                  except:
                    description:
                      - Parts of O(tenants[].network.ingress[].from[].cidr) that are left out.
                        In egress the metadata addresses always are.
                    type: list
                    elements: str
              ports:
                description:
                  - V(8080), V(8080/UDP), V(http), V(8000-8010), or a dictionary of C(port),
                    C(end_port) and C(protocol). All ports without it.
                type: list
                elements: raw
          egress:
            description: Whom this namespace's pods may ask.
            type: list
            elements: dict
            suboptions:
              name:
                description:
                  - Name of the policy; the default follows from the pods' labels. Flows of one
                    name are one policy.
                type: str
              action:
                description:
                  - What is done with these flows; V(deny) with V(calico) and V(cilium). The default is V(allow).
                type: str
                choices: [allow, deny]
              from:
                description:
                  - Pods of this namespace, by labels or by C(match_labels) and
                    C(match_expressions); all of them without it.
                type: dict
              to:
                description: Where they may connect; everywhere without it.
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
                    description: Pods with these labels, of the namespaces named beside it, else of the policy's own.
                    type: dict
                  service_account:
                    description: Pods of this service account; with V(calico) and V(cilium).
                    type: str
                  service_account_labels:
                    description:
                      - Pods of service accounts with these labels, or with C(match_labels) and C(match_expressions);
                        with V(calico).
                    type: dict
                  domains:
                    description: Domain names outside; with V(cilium), and in egress alone.
                    type: list
                    elements: str
                  network:
                    description: Name of one of O(tenants[].network.networks).
                    type: str
                  cidr:
                    description: Network outside the cluster, without host bits.
                    type: str
                  except:
                    description:
                      - Parts of O(tenants[].network.egress[].to[].cidr) that are left out. In
                        egress the metadata addresses always are.
                    type: list
                    elements: str
              ports:
                description:
                  - V(8080), V(8080/UDP), V(http), V(8000-8010), or a dictionary of C(port),
                    C(end_port) and C(protocol). All ports without it.
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
      accept:
        description: Risks that are taken on in this namespace, as in O(accept).
        type: list
        elements: dict
        suboptions:
          rule:
            description: The finding's rule.
            type: str
            required: true
          kind:
            description: Only for objects of this kind.
            type: str
          namespace:
            description: Only in this namespace; the default is the tenant's.
            type: str
          name:
            description: Only for the object of this name.
            type: str
          reason:
            description: Why the risk is taken.
            type: str
            required: true
          expires:
            description: Last day of the acceptance, as YYYY-MM-DD.
            type: str
            required: true
  profiles:
    description:
      - Named sets of tenant options, to be completed by tenants.
    type: dict
    default: {}
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
    default: tenant
notes:
  - The caller needs what M(hardened.k8s.namespace), M(hardened.k8s.resource_quota), M(hardened.k8s.rbac) and
    M(hardened.k8s.network_policy) need, as far as their parts are declared.
"""

EXAMPLES = r"""
---
- name: Two tenants of one profile
  hardened.k8s.tenant:
    stage: enforce
    prune: true
    profiles:
      web:
        pod_security: restricted
        quota: {pods: 50, requests.cpu: 4, limits.memory: 16Gi, services.loadbalancers: 0}
        limits:
          default: {cpu: 500m, memory: 512Mi}
          default_request: {cpu: 100m, memory: 128Mi}
    tenants:
      - name: shop-web
        profile: web
        service_accounts:
          - name: web
            rules: [{resources: [configmaps], resource_names: [web], verbs: [get]}]
        access: [{group: team-shop, role: view}]
        network:
          ingress: [{to: {app: web}, from: [{namespace: ingress-nginx}], ports: [8080]}]
          egress: [{from: {app: web}, to: [{namespace: shop-api, pods: {app: api}}], ports: [8080]}]
      - name: shop-api
        profile: web
        quota: {pods: 20}
        network:
          ingress: [{to: {app: api}, from: [{namespace: shop-web, pods: {app: web}}], ports: [8080]}]

- name: Manifests for a GitOps repository, without a cluster
  hardened.k8s.tenant:
    state: rendered
    tenants: "{{ tenants }}"
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

from ansible_collections.hardened.k8s.plugins.module_utils.harden import OBSERVED, Topic, run
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import tenant

TOPIC = Topic(
    module="tenant",
    items={
        "tenants": (tenant.SPEC, tenant.declare),
    },
    kinds=(*tenant.KINDS, *tenant.EXTENSIONS),
    unique={"tenants": ("name",)},
    options={"profiles": {"type": "dict", "default": {}}, **OBSERVED},
    expand=tenant.expand,
)


def main() -> None:
    run(TOPIC)


if __name__ == "__main__":
    main()
