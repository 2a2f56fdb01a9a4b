#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: selinux_node
short_description: SELinux on a node, permissive or enforcing, with its pods confined
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Brings SELinux to a node that already runs pods, in two changes, each of which happens as a whole or not at all.
  - The first one makes labels right while nothing is denied. Programs that the policy does not know by their path, such
    as C(/usr/local/bin/containerd), get the label that it has for their usual one, since they would run unconfined
    and could start no container that is confined. So do folders that are used in place of the usual ones. What a policy
    is known to lack is added. containerd or CRI-O is told to label containers, each with categories of its own. All that
    is local to the policy goes into it by one transaction, as a module in CIL of priority 400.
  - The second one is the switch to enforcing. It is refused while something was logged that would be denied to the
    node's own components, to containers or to whoever connects. After it, a container has to start, kubelet has to tell
    the API server anew that the node is Ready, and the node has to be as healthy as before. It is put back after O(hold)
    seconds unless a call with O(confirm) comes in over a connection that was made since, and at once where that call
    finds a reason not to enforce. Only then the next boot is enforcing, too.
  - SELinux that is switched off is never made enforcing at once. The next boot is permissive and labels every file;
    RV(reboot_required) says that it is needed.
  - The findings are C(selinux/would-deny), C(selinux/host-path), C(selinux/log-incomplete) and C(selinux/api-silent),
    refused at stage V(enforce), and C(selinux/denied-elsewhere), C(selinux/started-before), C(selinux/same-categories)
    and C(selinux/shared-volume).
extends_documentation_fragment:
  - hardened.k8s.node
  - hardened.k8s.node.staged
  - hardened.k8s.attributes.on_node
options:
  state:
    description:
      - V(absent) removes the modules of this O(owner), and gives files, booleans, the runtime's settings and the mode back
        what they had before.
  owner:
    default: selinux_node
  stage:
    description:
      - At V(observe) and V(warn) the node is permissive, unless it enforced before this module came, which it goes on to
        do. What would be denied is logged and reported as findings, at V(warn) also as Ansible's warnings. V(enforce)
        denies.
  confirm:
    description:
      - Confirm the switch that an earlier call has made, and write down the mode for the next boot.
      - That the call comes through shows that one still gets in, if it comes over a new connection.
    type: bool
    default: false
  hold:
    description:
      - Seconds until the switch to enforcing is put back by the node itself, unless it is confirmed; at least 30. So is
        what is changed of the policy or of labels while the node enforces, as that is in force at once.
    type: int
    default: 300
  disable_dontaudit:
    description:
      - Whether, below V(enforce), what the policy denies without a word is logged, too. Without that, the log of a node
        whose containers cannot start is empty.
    type: bool
    default: true
  fcontexts:
    description:
      - Labels for files of your own, such as a folder that pods are given as a V(hostPath).
    type: list
    elements: dict
    default: []
    suboptions:
      target:
        description: A regular expression that whole paths match, such as C(/srv/data(/.*\)?).
        type: str
        required: true
      setype:
        description: The type, such as V(container_file_t).
        type: str
        required: true
  booleans:
    description:
      - Booleans of the policy, with their values. None is changed that is not named.
    type: dict
    default: {}
  modules:
    description:
      - Modules of your own.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its name, with letters, digits and underscores.
        type: str
        required: true
      cil:
        description: Its text, in CIL.
        type: str
        required: true
  category_range:
    description:
      - Out of how many categories a container gets its two.
    type: int
    default: 1024
notes:
  - A change of the policy compiles all of it, which takes seconds, and may take a minute on a slow machine.
  - Containers keep the label that they were started with.
  - CRI-O and the packages of Red Hat's family of systems have not been tried on a machine.
seealso:
  - module: hardened.k8s.containerd_config
  - name: SELinux in Kubernetes
    description: How pods ask for labels, and how volumes get theirs.
    link: https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
"""

EXAMPLES = r"""
---
- name: Make labels right, and see what would be denied
  hardened.k8s.selinux_node:
    stage: observe

- name: Enforce
  hardened.k8s.selinux_node:
    fcontexts:
      - target: /srv/data(/.*)?
        setype: container_file_t
  register: selinux

- name: Connect anew
  ansible.builtin.meta: reset_connection

- name: Enforce for good
  hardened.k8s.selinux_node:
    fcontexts:
      - target: /srv/data(/.*)?
        setype: container_file_t
    confirm: true
  when: selinux.pending

- name: Have it as it was
  hardened.k8s.selinux_node:
    state: absent
"""

RETURN = r"""
mode:
  description: The mode of the kernel, V(enforcing) or V(permissive), or V(disabled).
  returned: success
  type: str
pending:
  description: Whether the switch to enforcing, or what was changed while the node enforces, waits to be confirmed.
  returned: success
  type: bool
reboot_required:
  description: Whether the node has to be booted before anything more can be done.
  returned: success
  type: bool
domains:
  description: The domain of each of the node's components that runs.
  returned: success
  type: dict
  sample: {containerd: container_runtime_t, kubelet: kubelet_t}
labels:
  description: Files that were labelled anew, or would be.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
    before:
      description: The label that it had.
      type: str
    after:
      description: The label that the policy has for it.
      type: str
files:
  description: Files that were, or in check mode would be, written or removed.
  returned: success
  type: list
  elements: dict
  sample: [{path: /etc/containerd/conf.d/50-selinux.toml, action: create}]
restarted:
  description: Units that were restarted, or would be.
  returned: success
  type: list
  elements: str
  sample: [containerd.service, kubelet.service]
findings:
  description: What was found about this node and its pods.
  returned: success and failure
  type: list
  elements: dict
  contains:
    rule:
      description: What O(accept) names.
      type: str
    kind:
      description: Kind of what it is about.
      type: str
    namespace:
      description: Its namespace.
      type: str
    name:
      description: Its name.
      type: str
    message:
      description: What is the matter.
      type: str
    affected:
      description: Pods, or programs.
      type: list
      elements: str
    remedy:
      description: The smallest change that makes it go away.
      type: str
    refused:
      description: Whether nothing was done because of it.
      type: bool
    accepted:
      description: Reason and last day, when it was accepted.
      type: str
recovered:
  description: Whether something was put back first that an earlier run had left half-way.
  returned: success
  type: bool
problems:
  description: Each item that is wrong, and what to do about it. Nothing was written then.
  returned: failure
  type: list
  elements: dict
"""

from ansible_collections.hardened.k8s.plugins.module_utils.node.module import STAGED, options, run
from ansible_collections.hardened.k8s.plugins.module_utils.node.selinux_plan import declare

SPEC = {
    **options("selinux_node"),
    **STAGED,
    "confirm": {"type": "bool", "default": False},
    "hold": {"type": "int", "default": 300},
    "disable_dontaudit": {"type": "bool", "default": True},
    "fcontexts": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"target": {"type": "str", "required": True}, "setype": {"type": "str", "required": True}},
    },
    "booleans": {"type": "dict", "default": {}},
    "modules": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"name": {"type": "str", "required": True}, "cil": {"type": "str", "required": True}},
    },
    "category_range": {"type": "int", "default": 1024},
}


def main() -> None:
    run(SPEC, declare)


if __name__ == "__main__":
    main()
