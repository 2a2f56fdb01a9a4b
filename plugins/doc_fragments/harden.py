# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What every module that writes to a cluster has."""

    DOCUMENTATION = r"""
options:
  state:
    description:
      - V(present) makes the cluster as declared.
      - V(absent) undoes what this owner did for the declared items. Objects that this owner made are deleted;
        from those that were there before, its fields are taken away again; what others made is left alone.
      - V(rendered) returns RV(manifests) and contacts no cluster, for repositories that another tool applies.
    type: str
    choices: [present, absent, rendered]
    default: present
  stage:
    description:
      - How far to go. V(observe) refuses nothing and reports; V(warn) also warns those who would be refused;
        V(enforce) refuses.
      - An item can have a stage of its own.
    type: str
    choices: [observe, warn, enforce]
    default: enforce
  owner:
    description:
      - Name under which objects are owned, written as the labels C(hardened.k8s/owner) and
        C(applyset.kubernetes.io/part-of). O(prune) and O(state=absent) touch nothing of another owner.
      - The default is the name of the module.
    type: str
  prune:
    description:
      - Whether to delete objects of this O(owner) and of this module's kinds that are no longer declared.
      - Never in C(default) and C(kube-*) namespaces, never a namespace with pods in it unless that is accepted by name,
        and not at all while any item of the declaration is wrong.
    type: bool
    default: false
  accept:
    description:
      - Risks that are taken on, by name. A finding that is covered here is reported but not refused.
    type: list
    elements: dict
    default: []
    suboptions:
      rule:
        description: The finding's rule, such as V(rbac/secrets).
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
  allow_system:
    description:
      - Namespaces among C(default), C(kube-*), those of Calico and of Cilium and the one that the caller runs in that may be
        restricted all the same.
    type: list
    elements: str
    default: []
  force_conflicts:
    description:
      - Whether to take over fields that another field manager owns, and objects of another owner.
      - Without it a conflict is an error that names the manager and the field.
    type: bool
    default: false
  workers:
    description:
      - How many requests are under way at a time.
    type: int
    default: 8
  wait_timeout:
    description:
      - Seconds to wait for a namespace to become Active, or to be gone.
    type: int
    default: 120
notes:
  - Objects are written by server-side apply with the field manager C(hardened.k8s) and strict field validation.
  - Each kind is read by one list request; an object that is as declared causes no further request.
"""
