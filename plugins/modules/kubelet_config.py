#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_config
short_description: Settings of a node's kubelet, in files of their own
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Adds settings to the kubelet of a node, by files in the folder of its C(--config-dir). What kubeadm, or another
    tool, has written is not edited.
  - The kubelet itself reads the settings before they are written, with its present ones, and refuses what is wrong in
    them. A field that it does not know is refused, too.
  - It is restarted when something changed, and only then. Running containers go on.
  - Afterwards it has to be as healthy as it was - its C(/healthz), its node Ready, its pods still there. Otherwise
    everything is put back, it is restarted once more, and the task fails with the reason.
  - A kubelet that has no C(--config-dir) gets one by a drop-in for the unit that kubeadm's packages have. One older
    than 1.30 cannot have any; its own file is edited instead, in a way that is undone exactly, and the settings are
    also kept as a patch in C(/etc/kubernetes/patches) for kubeadm's C(--patches).
extends_documentation_fragment:
  - hardened.k8s.node
  - hardened.k8s.attributes.on_node
options:
  owner:
    default: kubelet_config
  drop_ins:
    description:
      - All files of this O(owner). One that was declared before and no longer is, is removed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The file's name, without C(.conf). Files are read in the order of their names, the last one wins.
        type: str
        required: true
      settings:
        description:
          - Fields of C(KubeletConfiguration), of C(kubelet.config.k8s.io/v1beta1).
        type: dict
        required: true
notes:
  - An option on the kubelet's command line wins over these settings; such a conflict is an error.
  - The kubelets of k3s and RKE2 are part of a larger process, and are not managed by this module.
seealso:
  - module: hardened.k8s.containerd_config
"""

EXAMPLES = r"""
---
- name: Give pods the runtime's own seccomp profile unless they ask for another
  hardened.k8s.kubelet_config:
    drop_ins:
      - name: 50-seccomp
        settings:
          seccompDefault: true

- name: Take it back
  hardened.k8s.kubelet_config:
    state: absent
"""

RETURN = r"""
files:
  description: Files that were, or in check mode would be, written or removed.
  returned: success
  type: list
  elements: dict
  sample: [{path: /etc/kubernetes/kubelet.conf.d/50-seccomp.conf, action: create}]
restarted:
  description: Units that were restarted, or would be.
  returned: success
  type: list
  elements: str
  sample: [kubelet.service]
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

import re

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.node import change, kubelet
from ansible_collections.hardened.k8s.plugins.module_utils.node.module import Params, Wanted, options, run
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

SPEC = {
    **options("kubelet_config"),
    "drop_ins": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "settings": {"type": "dict", "required": True},
        },
    },
}
_UNIT = "kubelet.service"


def declare(node: Node, params: Params) -> Wanted:
    """The kubelet with these settings."""
    items = params["drop_ins"] if params["state"] == "present" else []
    drop_ins = {item["name"]: item["settings"] for item in items}
    owner = params["owner"]
    if not items and not kubelet.is_running(node) and not kubelet.owned(node, kubelet.CONFIG_DIR, owner):
        return Wanted()  # there is nothing to take back
    running = kubelet.find(node)
    wanted = Wanted(
        files=kubelet.files(node, running, drop_ins, owner),
        check=lambda: kubelet.check(node, running, drop_ins, owner),
        effect=lambda _steps: change.restart(_UNIT),
    )
    for index, item in enumerate(items):
        where = f"drop_ins[{index}] ({item['name']})"
        if not re.fullmatch(r"[\w.-]+", item["name"]) or item["name"].endswith(".conf"):
            wanted.problem(where, HardenedError("this is no file's name without .conf", "Write it as 50-seccomp"))
        if items.index(next(other for other in items if other["name"] == item["name"])) != index:
            wanted.problem(where, HardenedError("declared twice", "Merge the two entries, or rename one"))
        flags = kubelet.overridden(running, item["settings"])
        if flags:
            reason = f"kubelet was started with {', '.join(flags)}, which wins over these settings"
            wanted.problem(where, HardenedError(reason, "Remove it from the kubelet's command line"))
    return wanted


def main() -> None:
    run(SPEC, declare)


if __name__ == "__main__":
    main()
