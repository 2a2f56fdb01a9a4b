#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_security_info
short_description: Which workloads a Pod Security level or a pod security policy would refuse
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Judges the pods of a cluster and what makes them, or manifests that are in no cluster yet, by a Pod Security level at
    a version or by the options of a policy. Returns who would be refused, by workload, with the smallest changes.
  - The answer is complete. When a namespace's level changes, the API server itself looks at 3,000 pods for a second and
    at no template; here Deployments, StatefulSets, DaemonSets, ReplicaSets, ReplicationControllers, Jobs and CronJobs
    are judged, too, also where no pod of theirs runs.
  - The levels are judged as the API server judges them, from version 1.24 to 1.37.
extends_documentation_fragment:
  - hardened.k8s.auth
  - hardened.k8s.attributes.info
options:
  level:
    description:
      - Pod Security level to judge by.
      - Exactly one of O(level) and O(policy) is given.
    type: str
    choices: [baseline, restricted]
  version:
    description:
      - Version of the level, such as V(v1.37), or V(latest), which is the API server's own.
    type: str
    default: latest
  policy:
    description:
      - Options of a policy, as O(hardened.k8s.pod_security_policy#module:policies) takes them; those that say what a
        pod may ask for, or O(hardened.k8s.pod_security_policy#module:policies[].any_of). Others are not taken.
      - What the policy would fill in by itself is not wrong, unless C(mutate) is V(false).
    type: dict
  names:
    description:
      - Namespaces to look at.
      - The default is all of them, less V(default) and those whose names begin with C(kube-).
    type: list
    elements: str
  label_selector:
    description: Only namespaces with these labels, in the syntax of the Kubernetes API, such as V(team=shop).
    type: str
  manifests:
    description:
      - Kubernetes objects to judge instead of those of a cluster, which is then not contacted.
    type: list
    elements: dict
  workers:
    description: How many requests are under way at a time.
    type: int
    default: 8
notes:
  - The caller needs the verb list on namespaces, pods, replicationcontrollers, deployments, statefulsets, daemonsets,
    replicasets, jobs and cronjobs.
seealso:
  - module: hardened.k8s.pod_security_policy
  - module: hardened.k8s.namespace
"""

EXAMPLES = r"""
---
- name: What would the level restricted break?
  hardened.k8s.pod_security_info:
    level: restricted
  register: preview

- name: Nothing may be left
  ansible.builtin.assert:
    that: preview.violations == []

- name: The same for the next version of the cluster
  hardened.k8s.pod_security_info:
    level: baseline
    version: v1.37

- name: Before they are applied
  hardened.k8s.pod_security_info:
    level: restricted
    manifests: "{{ lookup('ansible.builtin.file', 'shop.yml') | from_yaml_all }}"
"""

RETURN = r"""
violations:
  description: The workloads that would be refused.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: Kind of what one would change, which is what controls the pod; a Pod where nothing does.
      type: str
    namespace:
      description: Its namespace.
      type: str
    name:
      description: Its name.
      type: str
    pods:
      description: Pods that run and violate it; empty when the workload has none.
      type: list
      elements: str
    template:
      description: Whether the pods that it would make next violate it.
      type: bool
    failures:
      description: What is wrong, C(reason) and C(detail), in the words of the API server.
      type: list
      elements: dict
    changes:
      description: The smallest changes that make it pass.
      type: list
      elements: str
  sample:
    - kind: Deployment
      namespace: shop-web
      name: web
      pods: [web-7c5ddbdf54-x2kqp]
      template: true
      failures:
        - reason: allowPrivilegeEscalation != false
          detail: container "web" must set securityContext.allowPrivilegeEscalation=false
      changes: ["set containers[web].securityContext.allowPrivilegeEscalation: false"]
judged:
  description: How many pods and templates were looked at.
  returned: success
  type: int
"""

import re
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardened.k8s.plugins.module_utils import arguments
from ansible_collections.hardened.k8s.plugins.module_utils.checks import pod_security, pod_security_policy, workloads
from ansible_collections.hardened.k8s.plugins.module_utils.checks import pod_security_standards as standards
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Api
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.reconcile import (
    Reader,
    is_protected,
    read_namespaces,
)
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.refusals import workloads_in
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError, ItemError

Objects = t.List[t.Dict[str, t.Any]]


def judge(params: t.Mapping[str, t.Any], server: t.Optional[int]) -> pod_security.Judge:
    """What pods are judged by.

    :param server: the API server's minor version.
    :raises HardenedError: the version or the policy is wrong.
    """
    version = params["version"]
    if version != "latest" and not re.fullmatch(r"v1\.(0|[1-9][0-9]*)", version):
        raise HardenedError(f"version {version!r} is no version", "Write it as v1.37, or latest")
    if params["level"]:
        return pod_security.by_level(params["level"], standards.version(version, server))
    item, errors = arguments.ItemChecker(pod_security_policy.SPEC).check(params["policy"])
    if errors:
        raise HardenedError(
            f"policy: {'; '.join(errors)}", "It takes what a policy of pod_security_policy says of pods"
        )
    try:
        return pod_security_policy.by_policy(item, server)
    except ItemError as error:
        raise HardenedError(f"policy: {error.reason}", error.remedy) from error


def of_cluster(api: Api, names: t.Optional[t.Sequence[str]], selector: str) -> Objects:
    """Pods and what makes them, of the namespaces asked for."""
    spaces = read_namespaces(api, (), names, selector)
    missing = sorted(set(names or ()) - set(spaces))
    if missing and not selector:
        raise HardenedError(f"there is no namespace {', '.join(missing)}", "Correct names, or leave it out for all")
    wanted = {name for name in spaces if name in (names or ()) or not is_protected(name)}
    return [item for items in workloads_in(Reader(api), wanted).values() for item in items]


def of_manifests(manifests: t.Iterable[t.Mapping[str, t.Any]]) -> Objects:
    """Pods and what makes them, among manifests."""
    listed = [part for m in manifests for part in (m.get("items") or () if m.get("kind") == "List" else [m])]
    found = [dict(item) for item in listed if item.get("kind") in workloads.KINDS]
    nameless = next((item for item in found if not (item.get("metadata") or {}).get("name")), None)
    if nameless is not None:
        raise HardenedError(f"a {nameless['kind']} among the manifests has no name", "Give each metadata.name")
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **arguments.CONNECTION,
            "level": {"type": "str", "choices": ["baseline", "restricted"]},
            "version": {"type": "str", "default": "latest"},
            "policy": {"type": "dict"},
            "names": {"type": "list", "elements": "str"},
            "label_selector": {"type": "str"},
            "manifests": {"type": "list", "elements": "dict"},
            "workers": {"type": "int", "default": 8},
        },
        required_one_of=[("level", "policy")],
        mutually_exclusive=[("level", "policy"), ("manifests", "names"), ("manifests", "label_selector")],
        supports_check_mode=True,
    )
    params = module.params
    options = arguments.connection(params)
    module.no_log_values = arguments.secrets(options)
    try:
        if params["manifests"] is not None:
            judged_by, objects = judge(params, None), of_manifests(params["manifests"])
        else:
            api = Api(options, max(1, params["workers"]))
            judged_by = judge(params, api.minor())
            objects = of_cluster(api, params["names"], params["label_selector"] or "")
        found = pod_security.violations(objects, judged_by)
    except HardenedError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        violations=[violation.as_dict() for violation in found],
        judged=sum(1 for _workload in workloads.found(objects)),
    )


if __name__ == "__main__":
    main()
