#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: seccomp_profile
short_description: Seccomp profiles of a node
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Makes the seccomp profiles of a node as declared, all in one call, as files below the kubelet's own folder. They
    are checked first against the schema of the OCI, and against the architectures and system calls that libseccomp of
    this node knows; so are the names that are taken from a base or added to it.
  - A profile called V(web) of version 2 is known to pods as C(k8s/web.v2.json). Its content is never changed in place -
    another content needs another version. Its stage may change, which reaches containers that are started afterwards.
  - A profile that is no longer declared is removed once no pod of this node asks for it.
  - A profile can be made from the one that the installed runtime has, with less or more in it, such as without
    V(AF_ALG) sockets on the day on which the kernel has a hole there. After an upgrade of the runtime it follows that;
    other changes of it need another version.
  - The findings are C(seccomp/would-deny), C(seccomp/log-incomplete) and C(seccomp/unknown-syscall), refused at stage
    V(enforce), and C(seccomp/started-before), C(seccomp/privileged), C(seccomp/unconfined), C(seccomp/not-there),
    C(seccomp/not-checked), C(seccomp/still-used) and C(seccomp/record-incomplete).
extends_documentation_fragment:
  - hardened.k8s.node
  - hardened.k8s.node.staged
  - hardened.k8s.attributes.on_node
options:
  owner:
    default: seccomp_profile
  stage:
    description:
      - At V(observe) and V(warn), profiles let through and log what they do not allow, which is reported as findings,
        at V(warn) also as Ansible's warnings. V(enforce) denies.
      - To go on to V(enforce) is refused while something was logged since the node booted, unless that is accepted.
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
        description: Raised whenever the content changes.
        type: int
        default: 1
      profile:
        description:
          - The profile, as the OCI runtime specification has it.
          - Without it, the profile is made from O(profiles[].base).
        type: dict
      base:
        description:
          - What it is made from. V(runtime_default) is the profile that the installed runtime gives to a container with
            the usual capabilities, and the default. V(audit) lets everything through and logs it, but for what every
            program does.
        type: str
        choices: [runtime_default, audit]
      deny:
        description: System calls that the base allows and that are to be denied.
        type: list
        elements: str
        default: []
      deny_families:
        description:
          - Families of sockets to be denied, such as V(AF_ALG), by name or number. This also denies C(socketcall), by
            which 32-bit programs could go around it.
        type: list
        elements: str
        default: []
      allow:
        description: System calls that the base denies and that are to be allowed.
        type: list
        elements: str
        default: []
      stage:
        description: Stage of this profile; the default is O(stage).
        type: str
        choices: [observe, warn, enforce]
  record:
    description:
      - Whether to return, for each pod of which something was logged, the smallest profile that allows it, in
        RV(recorded). What processes did that have ended is in each of them, so record one pod at a time.
    type: bool
    default: false
notes:
  - What the kernel logged is read from auditd's log where there is one, or else from systemd's journal.
  - To read the runtime's own profile, a container that is never started is made in a namespace of its own in
    containerd, and removed.
seealso:
  - module: hardened.k8s.apparmor_profile
  - module: hardened.k8s.kubelet_config
  - name: Seccomp in Kubernetes
    description: How pods ask for a profile.
    link: https://kubernetes.io/docs/tutorials/security/seccomp/
"""

EXAMPLES = r"""
---
- name: The runtime's own profile without AF_ALG sockets and io_uring
  hardened.k8s.seccomp_profile:
    profiles:
      - name: emergency
        deny_families: [AF_ALG]
        deny: [io_uring_setup, io_uring_enter, io_uring_register]

- name: A profile to record a pod under, which asks for k8s/audit.v1.json
  hardened.k8s.seccomp_profile:
    stage: observe
    record: true
    profiles:
      - name: audit
        base: audit
  register: observed

- name: The smallest profile that lets it work
  hardened.k8s.seccomp_profile:
    owner: shop
    profiles:
      - name: shop
        profile: "{{ observed.recorded['shop/web-0'] }}"

- name: Remove all of them that no pod uses
  hardened.k8s.seccomp_profile:
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
    action:
      description: One of V(create), V(update), V(delete), V(keep) and V(unchanged).
      type: str
  sample: [{name: k8s/web.v2.json, action: create}]
recorded:
  description: Pod -> the smallest profile that allows what it did.
  returned: when O(record) is true
  type: dict
files:
  description: Files that were, or in check mode would be, written or removed.
  returned: success
  type: list
  elements: dict
  sample: [{path: /var/lib/kubelet/seccomp/k8s/web.v2.json, action: create}]
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

from ansible_collections.hardened.k8s.plugins.module_utils.node.module import STAGED, options, run
from ansible_collections.hardened.k8s.plugins.module_utils.node.seccomp_plan import declare

_NAMES = {"type": "list", "elements": "str", "default": []}
SPEC = {
    **options("seccomp_profile"),
    **STAGED,
    "profiles": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "version": {"type": "int", "default": 1},
            "profile": {"type": "dict"},
            "base": {"type": "str", "choices": ["runtime_default", "audit"]},
            "deny": _NAMES,
            "deny_families": _NAMES,
            "allow": _NAMES,
            "stage": {"type": "str", "choices": ["observe", "warn", "enforce"]},
        },
        "mutually_exclusive": [["profile", "base"]],
    },
    "record": {"type": "bool", "default": False},
}


def main() -> None:
    run(SPEC, declare)


if __name__ == "__main__":
    main()
