#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_info
short_description: What is there, in the words of the tenant module
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Reads namespaces with their quotas, service accounts, roles, bindings and network policies, and returns them in
    the shape of M(hardened.k8s.tenant)'s O(hardened.k8s.tenant#module:tenants).
  - Fed back to M(hardened.k8s.tenant), the result changes nothing, also where other tools made the objects. So a
    cluster that exists becomes a declaration to start from.
extends_documentation_fragment:
  - hardened.k8s.auth
  - hardened.k8s.attributes.info
options:
  names:
    description:
      - Namespaces to read.
      - The default is all of them, less V(default) and those whose names begin with C(kube-).
    type: list
    elements: str
  label_selector:
    description: Only namespaces with these labels, in the syntax of the Kubernetes API, such as V(team=shop).
    type: str
  query:
    description:
      - JMESPath expression that is applied to RV(tenants); its outcome is RV(result).
    type: str
  workers:
    description: How many requests are under way at a time.
    type: int
    default: 8
requirements:
  - jmespath, for O(query)
notes:
  - The caller needs the verb list on namespaces, serviceaccounts, resourcequotas, limitranges, roles, rolebindings
    and networkpolicies.
  - Cluster roles and their bindings belong to no tenant and are not read.
seealso:
  - module: hardened.k8s.tenant
"""

EXAMPLES = r"""
---
- name: Turn a cluster into a declaration
  hardened.k8s.tenant_info:
  register: found

- name: Keep it
  ansible.builtin.copy:
    content: "{{ {'tenants': found.tenants} | ansible.builtin.to_nice_yaml }}"
    dest: tenants.yml
    mode: "0644"
  delegate_to: localhost

- name: Which namespaces have no quota?
  hardened.k8s.tenant_info:
    query: "[?!quota && !quotas].name"
  register: unlimited
"""

RETURN = r"""
tenants:
  description: The tenants, by name, as M(hardened.k8s.tenant) takes them.
  returned: success
  type: list
  elements: dict
  sample: [{name: shop-web, pod_security: restricted, pod_security_version: v1.37, stage: enforce}]
notes:
  description: Objects that options cannot say, and why; they are not in RV(tenants).
  returned: success
  type: list
  elements: str
  sample: ["RoleBinding shop-web/nobody: it has no subjects, and so gives nothing"]
result:
  description: The outcome of O(query).
  returned: when O(query) is given
  type: raw
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.hardened.k8s.plugins.module_utils import arguments
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Api
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.reconcile import is_protected, read_namespaces
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import rbac, tenant


def query(expression: str, value: t.Any) -> t.Any:
    """The outcome of a JMESPath expression.

    :raises HardenedError: the library is missing, or the expression is wrong.
    """
    try:
        import jmespath
    except ImportError as error:
        raise HardenedError(missing_required_lib("jmespath")) from error
    try:
        return jmespath.search(expression, value)
    except jmespath.exceptions.JMESPathError as error:
        text = " ".join(str(error).split())
        raise HardenedError(f"query {expression!r} is wrong: {text}", "See jmespath.org for its grammar") from error


def tenants(
    api: Api, names: t.Optional[t.Sequence[str]], selector: str
) -> t.Tuple[t.List[t.Dict[str, t.Any]], t.List[str]]:
    """The namespaces asked for, each described as a tenant; and what of them options cannot say."""
    found = read_namespaces(api, tenant.WITHIN, names, selector)
    missing = sorted(set(names or ()) - set(found))
    if missing and not selector:
        raise HardenedError(f"there is no namespace {', '.join(missing)}", "Correct names, or leave it out for all")
    chosen = [objects for name, objects in sorted(found.items()) if name in (names or ()) or not is_protected(name)]
    notes = [f"{ref}: {reason}" for objects in chosen for ref, reason in rbac.undescribed(objects).items()]
    return [tenant.describe(objects) for objects in chosen], notes


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **arguments.CONNECTION,
            "names": {"type": "list", "elements": "str"},
            "label_selector": {"type": "str"},
            "query": {"type": "str"},
            "workers": {"type": "int", "default": 8},
        },
        supports_check_mode=True,
    )
    options = arguments.connection(module.params)
    module.no_log_values = arguments.secrets(options)
    try:
        api = Api(options, max(1, module.params["workers"]))
        found, notes = tenants(api, module.params["names"], module.params["label_selector"] or "")
        result: t.Dict[str, t.Any] = {"changed": False, "tenants": found, "notes": notes}
        if module.params["query"]:
            result["result"] = query(module.params["query"], found)
    except HardenedError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
