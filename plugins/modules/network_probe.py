#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: network_probe
short_description: Tries with real requests whether network policies are enforced
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Starts pods with the labels of workloads, lets them call each other, and says of each flow whether it is as declared.
  - Whoever is called first has to answer itself, the positive control, and one call of the run at least has to be
    answered. A call that nobody would have answered proves nothing, and its verdict is C(cannot tell).
  - The pods get no requests of others, as they never become Ready, and are adopted by no controller. They pass the Pod
    Security level C(restricted), have no token, and are removed in the end. What a run that was killed leaves, the cluster
    itself removes after twice the O(timeout) and two minutes, as it belongs to a Job whose time then runs out.
extends_documentation_fragment:
  - hardened.k8s.auth
  - hardened.k8s.attributes.info
attributes:
  check_mode:
    details:
      - Starts nothing, so that every verdict is C(cannot tell).
options:
  flows:
    description: The flows that are tried.
    type: list
    elements: dict
    required: true
    suboptions:
      from:
        description: Who calls.
        type: dict
        required: true
        suboptions:
          namespace:
            description: Namespace.
            type: str
          labels:
            description: Labels of the workload that it passes for.
            type: dict
      to:
        description:
          - Who is called, one of O(flows[].to.namespace), O(flows[].to.address) and O(flows[].to.domain).
        type: dict
        required: true
        suboptions:
          namespace:
            description: Namespace, in which a pod answers.
            type: str
          labels:
            description: Labels of the workload that it passes for.
            type: dict
          address:
            description: Address that answers, such as the metadata address.
            type: str
          domain:
            description: Name that answers. With port 53 it is only tried whether DNS resolves it.
            type: str
      port:
        description: Port.
        type: int
        required: true
      protocol:
        description: Protocol. The default is V(TCP).
        type: str
        choices: [TCP, UDP]
      ip_version:
        description: Version of IP. The default is V(4), or that of the address.
        type: int
        choices: [4, 6]
      expect:
        description: What is declared.
        type: str
        choices: [allowed, denied]
        required: true
  control_namespace:
    description:
      - A namespace where nothing is denied. A pod there calls each address and domain, too; only who answers it shows that
        others are denied. Without it, a denied flow to somebody outside is never C(enforced).
    type: str
  image:
    description:
      - Image of the pods, that of Kubernetes' own tests. It has C(/agnhost) with C(netexec) and C(connect).
    type: str
    default: registry.k8s.io/e2e-test-images/agnhost:2.66.1
  timeout:
    description: Seconds to wait for the pods that answer, and again for those that call.
    type: int
    default: 120
  settle:
    description: Seconds that the pod network gets before the calls.
    type: int
    default: 5
notes:
  - The caller needs the verbs create, list and delete on pods, configmaps and jobs in the namespaces concerned.
seealso:
  - module: hardened.k8s.network_flow_info
"""

EXAMPLES = r"""
---
- name: Try what is declared
  hardened.k8s.network_probe:
    control_namespace: default
    flows:
      - from: {namespace: shop-web, labels: {app: web}}
        to: {namespace: shop-api, labels: {app: api}}
        port: 8080
        expect: allowed
      - from: {namespace: shop-web, labels: {app: other}}
        to: {namespace: shop-api, labels: {app: api}}
        port: 8080
        expect: denied
      - from: {namespace: shop-web, labels: {app: web}}
        to: {address: 169.254.169.254}
        port: 80
        expect: denied
      - from: {namespace: shop-web, labels: {app: web}}
        to: {domain: kubernetes.default.svc.cluster.local}
        port: 53
        expect: allowed
"""

RETURN = r"""
results:
  description: What was found, flow by flow.
  returned: success and failure
  type: list
  elements: dict
  contains:
    flow:
      description: The flow.
      type: str
    expect:
      description: What was declared.
      type: str
    verdict:
      description: V(enforced), V(not enforced) or V(cannot tell).
      type: str
    reason:
      description: Why.
      type: str
"""

import signal
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardened.k8s.plugins.module_utils import arguments
from ansible_collections.hardened.k8s.plugins.module_utils.checks import probe
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Api
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.probe import Probe
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError, ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import canary

SPEC: arguments.Spec = {
    **arguments.CONNECTION,
    "flows": {"type": "list", "elements": "dict", "required": True, "options": canary.FLOW_SPEC},
    "control_namespace": {"type": "str"},
    "image": {"type": "str", "default": canary.IMAGE},
    "timeout": {"type": "int", "default": 120},
    "settle": {"type": "int", "default": 5},
}


def flows(items: t.Sequence[t.Mapping[str, t.Any]]) -> t.List[canary.Flow]:
    """The flows that are declared.

    :raises HardenedError: one of them makes no sense.
    """
    found = []
    for index, item in enumerate(items):
        try:
            found.append(canary.parse(item))
        except ItemError as error:
            raise HardenedError(f"flows[{index}]: {error.reason}", error.remedy) from error
    return found


def interrupted(_number: int, _frame: t.Any) -> t.NoReturn:
    """Whoever ends this process politely has what it made removed."""
    raise HardenedError("the module was asked to end", "Run it again")


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    options = arguments.connection(module.params)
    module.no_log_values = arguments.secrets(options)
    signal.signal(signal.SIGTERM, interrupted)
    try:
        wanted = flows(module.params["flows"])
        verdicts = [probe.Verdict(probe.CANNOT_TELL, "check mode")] * len(wanted)
        if not module.check_mode:
            given = module.params
            control = given["control_namespace"] or ""
            verdicts = Probe(Api(options), given["image"], given["timeout"], given["settle"], control).run(wanted)
    except HardenedError as error:
        module.fail_json(msg=str(error))
    results = [
        {"flow": str(flow), "expect": "allowed" if flow.allowed else "denied", **verdict._asdict()}
        for flow, verdict in zip(wanted, verdicts)
    ]
    wrong = [entry for entry in results if entry["verdict"] == probe.NOT_ENFORCED]
    for entry in results:
        if entry["verdict"] == probe.CANNOT_TELL:
            module.warn(f"{entry['flow']}: cannot tell: {entry['reason']}")
    if wrong:
        lines = [
            f"{entry['flow']} is {entry['expect']} by declaration, not in fact: {entry['reason']}" for entry in wrong
        ]
        module.fail_json(msg="\n".join(lines), results=results)
    module.exit_json(changed=False, results=results)


if __name__ == "__main__":
    main()
