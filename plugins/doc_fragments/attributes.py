# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What the modules promise: those that write to a cluster, those that only read, those that change a node."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description:
      - Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details:
      - The API server is asked by dry runs, so admission and quotas have their say.
      - Objects in a namespace that does not exist yet cannot be tried; they are predicted and marked RV(objects[].predicted).
  diff_mode:
    description:
      - Returns details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
    support: full
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation indicates no
        change.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    platforms: posix
    support: full
  action_group:
    description: Use C(group/hardened.k8s.k8s) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - hardened.k8s.k8s
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description:
      - Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details:
      - Reads only.
  diff_mode:
    description:
      - Returns details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
    support: none
    details:
      - Changes nothing.
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation indicates no
        change.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    platforms: posix
    support: full
  action_group:
    description: Use C(group/hardened.k8s.k8s) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - hardened.k8s.k8s
"""

    ON_NODE = r"""
options: {}
attributes:
  check_mode:
    description:
      - Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details:
      - What would be written is judged by whoever is to read it, on copies.
  diff_mode:
    description:
      - Returns details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
    support: full
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation indicates no
        change.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    platforms: linux
    support: full
"""
