#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_config
short_description: Settings of a node's containerd, in files of their own
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Adds settings to containerd by files in C(/etc/containerd/conf.d), which its own file imports. Where that does not
    import them yet, one line of it is changed, in a way that is undone exactly.
  - containerd itself reads the settings before they are written, by C(containerd config dump), with its present ones. A
    setting that it does not take as declared, and would only log, is refused. So is a file by which it would lose
    other settings, as releases before 2.0 replace a plug-in's settings as a whole.
  - It is restarted when something changed, and only then. Running containers go on; a unit whose restart would end them
    is refused.
  - Afterwards the node has to be as healthy as it was. Otherwise everything is put back, containerd is restarted once
    more, and the task fails with the reason.
extends_documentation_fragment:
  - hardened.k8s.node
  - hardened.k8s.attributes.on_node
options:
  owner:
    default: containerd_config
  drop_ins:
    description:
      - All files of this O(owner). One that was declared before and no longer is, is removed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The file's name, without C(.toml). Files are read in the order of their names, the last one wins.
        type: str
        required: true
      plugins:
        description:
          - Plug-in -> its settings.
          - C(runtime) is the plug-in that runs pods, which is called C(io.containerd.grpc.v1.cri) in one format of the
            settings and C(io.containerd.cri.v1.runtime) in newer ones.
        type: dict
        required: true
seealso:
  - module: hardened.k8s.kubelet_config
"""

EXAMPLES = r"""
---
- name: Label containers, where SELinux is
  hardened.k8s.containerd_config:
    drop_ins:
      - name: 50-selinux
        plugins:
          runtime:
            enable_selinux: true
            selinux_category_range: 1024

- name: Take it back
  hardened.k8s.containerd_config:
    state: absent
"""

RETURN = r"""
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
  sample: [containerd.service]
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
from ansible_collections.hardened.k8s.plugins.module_utils.node import change, runtime
from ansible_collections.hardened.k8s.plugins.module_utils.node.module import Params, Wanted, options, run
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

SPEC = {
    **options("containerd_config"),
    "drop_ins": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "plugins": {"type": "dict", "required": True},
        },
    },
}


def declare(node: Node, params: Params) -> Wanted:
    """containerd with these settings."""
    items = params["drop_ins"] if params["state"] == "present" else []
    drop_ins = {item["name"]: item["plugins"] for item in items}
    containerd, owner = runtime.Containerd(node), params["owner"]
    wanted = Wanted()
    for index, item in enumerate(items):
        where = f"drop_ins[{index}] ({item['name']})"
        if not re.fullmatch(r"[\w.-]+", item["name"]) or item["name"].endswith(".toml"):
            wanted.problem(where, HardenedError("this is no file's name without .toml", "Write it as 50-selinux"))
        if items.index(next(other for other in items if other["name"] == item["name"])) != index:
            wanted.problem(where, HardenedError("declared twice", "Merge the two entries, or rename one"))
        for plugin, settings in item["plugins"].items():
            if not isinstance(settings, dict):
                wanted.problem(where, HardenedError(f"{plugin} has no dictionary of settings", "Write {key: value}"))
    if not wanted.problems:
        wanted.files = containerd.files(drop_ins, owner)
        wanted.check = lambda: containerd.check(drop_ins, owner)
        wanted.effect = lambda _steps: change.restart(runtime.unit(node))
    return wanted


def main() -> None:
    run(SPEC, declare)


if __name__ == "__main__":
    main()
