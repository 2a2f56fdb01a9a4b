# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What every module has that changes a node. The second part is for those that go by stages."""

    DOCUMENTATION = r"""
options:
  state:
    description:
      - V(present) makes the node as declared.
      - V(absent) takes back all that this O(owner) has, whatever is declared.
    type: str
    choices: [present, absent]
    default: present
  owner:
    description:
      - Name under which files are owned. A call is all that its owner wants; what others own is left alone.
      - The default is the name of the module.
    type: str
  health_timeout:
    description:
      - Seconds to wait for the node to be as healthy as it was before. Then everything is put back.
    type: int
    default: 120
requirements:
  - python >= 3.8, and none but its standard library
  - root, usually by C(become)
notes:
  - Runs on the node. A change happens as a whole or not at all. While it is under way, the node itself knows how to put
    it back - when something fails, when the run is killed, and when the node boots after a power cut.
"""

    STAGED = r"""
options:
  stage:
    description:
      - How far to go.
    type: str
    choices: [observe, warn, enforce]
    default: enforce
  accept:
    description:
      - Risks that are taken on, by name. A finding that is covered here is reported but not refused.
    type: list
    elements: dict
    default: []
    suboptions:
      rule:
        description: The finding's rule, such as V(apparmor/would-deny).
        type: str
        required: true
      kind:
        description: Only for objects of this kind.
        type: str
      namespace:
        description: Only in this namespace.
        type: str
      name:
        description: Only for the object of this name.
        type: str
      reason:
        description: Why the risk is taken.
        type: str
        required: true
      expires:
        description: Last day of the acceptance, as YYYY-MM-DD. Afterwards it is an error.
        type: str
        required: true
"""
