#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: apparmor_profile
short_description: AppArmor profiles of a node, on disk and in its kernel
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Makes the AppArmor profiles of a node as declared, all in one call. They are checked by the parser, written, loaded,
    and seen in the kernel's own list with their mode.
  - A profile called V(web) of version 2 is known to pods as C(k8s.web.v2). Its rules are never changed in place, since
    that would change running containers - other rules need another version. Its mode may change.
  - A profile that is no longer declared is removed once no pod of this node asks for it, and no process is confined by
    it.
  - What is denied to every container by the runtime's own profile is denied by these, too, and signals from the
    runtime are let through, without which a pod would never end.
  - A node that cannot confine pods is refused, with the reason - another security module, a runtime within a container,
    C(disable_apparmor) of containerd, C(apparmor_profile = "unconfined") of CRI-O. A runtime that was started before
    the parser was installed is restarted, since it looks for that only once.
  - The findings are C(apparmor/would-deny) and C(apparmor/log-incomplete), refused at stage V(enforce), and
    C(apparmor/unconfined), C(apparmor/not-loaded), C(apparmor/still-used) and C(apparmor/not-labelled).
extends_documentation_fragment:
  - hardened.k8s.node
  - hardened.k8s.node.staged
  - hardened.k8s.attributes.on_node
options:
  owner:
    default: apparmor_profile
  stage:
    description:
      - At V(observe) and V(warn), profiles are in complain mode - what they do not allow is logged, not denied, and
        reported as findings, at V(warn) also as Ansible's warnings. V(enforce) denies.
      - To go on to V(enforce) is refused while a profile has logged something, unless that is accepted.
  profiles:
    description:
      - All profiles of this O(owner).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its name, which is part of the one that pods use.
        type: str
        required: true
      version:
        description: Raised whenever the rules change.
        type: int
        default: 1
      rules:
        description:
          - What is between the braces of a profile, in AppArmor's own language. All that it does not allow is denied.
        type: str
        required: true
      stage:
        description: Stage of this profile; the default is O(stage).
        type: str
        choices: [observe, warn, enforce]
  parser_expected:
    description:
      - Whether a missing parser is no error, as a task before this one would have installed it, did it not run in check
        mode. Then files and a restart of the runtime are predicted, and the syntax is not checked.
    type: bool
    default: false
  label_node:
    description:
      - Whether to label the node, by its kubelet's own right, with C(hardened.k8s/apparmor-<name>.v<version>) and the
        mode as value. Pods that ask for a profile can then be kept to nodes that have it.
    type: bool
    default: true
notes:
  - containerd looks once whether it can use AppArmor. When the parser was installed after containerd had started, it is
    restarted.
seealso:
  - module: hardened.k8s.seccomp_profile
  - name: AppArmor in Kubernetes
    description: How pods ask for a profile.
    link: https://kubernetes.io/docs/tutorials/security/apparmor/
"""

EXAMPLES = r"""
---
- name: A profile that is tried first
  hardened.k8s.apparmor_profile:
    stage: observe
    profiles:
      - name: web
        rules: |
          include <abstractions/base>
          network inet stream,
          /usr/sbin/nginx ix,
          /etc/nginx/** r,
          /var/cache/nginx/** rw,

- name: Other rules need another version
  hardened.k8s.apparmor_profile:
    profiles:
      - name: web
        version: 2
        rules: "{{ lookup('ansible.builtin.file', 'web.apparmor') }}"

- name: Remove all of them that no pod uses
  hardened.k8s.apparmor_profile:
    state: absent
"""

RETURN = r"""
profiles:
  description: The profiles of this owner.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: What pods call it, as C(localhostProfile).
      type: str
    mode:
      description: V(complain) or V(enforce).
      type: str
    action:
      description: One of V(create), V(update), V(load), V(delete), V(keep) and V(unchanged).
      type: str
  sample: [{name: k8s.web.v2, mode: enforce, action: create}]
files:
  description: Files that were, or in check mode would be, written or removed.
  returned: success
  type: list
  elements: dict
  sample: [{path: /etc/apparmor.d/k8s.web.v2, action: create}]
restarted:
  description: Units that were restarted, or would be.
  returned: success
  type: list
  elements: str
  sample: []
findings:
  description: What was found about pods and profiles on this node.
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
      description: Pods, or what would be denied.
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

from ansible_collections.hardened.k8s.plugins.module_utils.node.apparmor_plan import declare
from ansible_collections.hardened.k8s.plugins.module_utils.node.module import STAGED, options, run

SPEC = {
    **options("apparmor_profile"),
    **STAGED,
    "profiles": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "version": {"type": "int", "default": 1},
            "rules": {"type": "str", "required": True},
            "stage": {"type": "str", "choices": ["observe", "warn", "enforce"]},
        },
    },
    "parser_expected": {"type": "bool", "default": False},
    "label_node": {"type": "bool", "default": True},
}


def main() -> None:
    run(SPEC, declare)


if __name__ == "__main__":
    main()
