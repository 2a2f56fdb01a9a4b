#!/usr/bin/python
# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: network_flow_info
short_description: Which flows a cluster's network policies allow, and by which rule
version_added: 0.1.0
author:
  - hardened.k8s contributors (@hardened-k8s)
description:
  - Reads pods, namespaces, nodes, services and the network policies of every kind that the cluster serves, and decides
    from them what is allowed. No packet is sent.
  - Knows NetworkPolicy v1, ClusterNetworkPolicy v1alpha2 and AdminNetworkPolicy v1alpha1, Calico's tiers and Cilium's
    policies, in the order in which the network plug-in asks them.
  - Says what declared policies would open and close, before they are written, and which flows that were seen they cut.
  - Makes the smallest set of rules from flows that were seen, in the words of M(hardened.k8s.network_policy).
extends_documentation_fragment:
  - hardened.k8s.auth
  - hardened.k8s.attributes.info
options:
  flows:
    description:
      - Questions. The task fails when one of them has another answer than its O(flows[].expect).
    type: list
    elements: dict
    default: []
    suboptions:
      from:
        description: Who calls. One of C(pod), C(workload), C(service), C(node), C(address) and C(domain).
        type: dict
        required: true
        suboptions: &end
          namespace:
            description: Namespace of the pod, workload or service.
            type: str
          pod:
            description: Name of a pod.
            type: str
          workload:
            description: Name of what pods are replicas of, such as a Deployment.
            type: str
          service:
            description: Name of a service; it stands for the pods behind it.
            type: str
          node:
            description: Name of a node.
            type: str
          address:
            description: IP address, of a pod, of a node, of a service or outside.
            type: str
          domain:
            description: Domain name outside.
            type: str
      to:
        description: Who is called.
        type: dict
        required: true
        suboptions: *end
      port:
        description: Port of the one who is called, by number or by name. With a service, the service's own port.
        type: raw
      protocol:
        description: V(TCP), V(UDP) or V(SCTP). The default is V(TCP).
        type: str
      expect:
        description: What must be the answer.
        type: str
        choices: [allowed, denied]
  namespaces:
    description:
      - Namespaces whose flows are returned as a matrix. Findings are about their policies and those of the whole cluster.
    type: list
    elements: str
    default: []
  pictures:
    description: In which forms each matrix is drawn.
    type: list
    elements: str
    choices: [text, svg, html]
    default: [text]
  manifests:
    description:
      - Policies of any kind as they would be written. Everything is answered as it would be then, and RV(changes) says
        what that opens and closes.
      - Also namespaces, services and workloads; a workload without pods is there with one pod of its template.
    type: list
    elements: dict
    default: []
  observed:
    description:
      - Flows that were seen or are needed. They become RV(suggestion); those that O(manifests) would cut are findings.
    type: list
    elements: dict
    default: []
    suboptions:
      format:
        description:
          - V(hubble) is what C(hubble observe -o json) prints, V(calico) Calico's flow logs as JSON, V(vpc) VPC flow
            logs, V(ss) the output of C(ss -tuna) on a node.
          - V(declared) is a list of flows that are needed, each with C(from), C(to), C(port) and C(protocol). An end is a
            C(pod) or C(workload) of a C(namespace), a C(node), an C(address) or a C(domain).
        type: str
        choices: [hubble, calico, vpc, ss, declared]
        required: true
      log:
        description: The log, as text; of V(hubble) and V(calico) also the list of its records, of V(declared) only that.
        type: raw
        required: true
  objects:
    description:
      - Objects of a cluster, instead of reading one, such as a repository's manifests. Then no cluster is contacted.
        A workload without pods is there with one pod of its template.
    type: list
    elements: dict
  engine:
    description:
      - What enforces the policies. With V(auto), Calico where there are objects of Calico's, Cilium where there are
        policies of Cilium's, else whose agents run (pods C(k8s-app=calico-node) or C(k8s-app=cilium)), else
        V(kubernetes), which is the API as it is written.
    type: str
    choices: [auto, kubernetes, calico, cilium]
    default: auto
  staged:
    description: Whether Calico's staged policies count as if they were in force.
    type: bool
    default: false
  ip_version:
    description: The version of IP of the flows.
    type: int
    choices: [4, 6]
    default: 4
  workers:
    description: How many requests are under way at a time.
    type: int
    default: 8
notes:
  - The caller needs the verb list on pods, namespaces, nodes, services, endpointslices, serviceaccounts and
    networkpolicies, and on the policies of Calico, of Cilium and of C(policy.networking.k8s.io) where the cluster serves them.
  - Whether the network plug-in really enforces policies, the API server does not know.
  - A pod on the host's network is like its node. No policy for pods selects it.
seealso:
  - module: hardened.k8s.network_policy
"""

EXAMPLES = r"""
---
- name: Make sure that the shop can be used, and nothing else
  hardened.k8s.network_flow_info:
    namespaces: [shop-api]
    flows:
      - from: {namespace: shop-web, workload: web}
        to: {namespace: shop-api, service: api}
        port: 8080
        expect: allowed
      - from: {namespace: shop-web, workload: web}
        to: {address: 169.254.169.254}
        port: 80
        expect: denied
  register: shop

- name: Show who reaches whom
  ansible.builtin.debug:
    msg: "{{ shop.matrices[0].text.splitlines() }}"

- name: What would a declaration open and close?
  hardened.k8s.network_flow_info:
    manifests: "{{ rendered.manifests }}"
  register: change

- name: Begin from what was seen on the nodes
  hardened.k8s.network_flow_info:
    observed:
      - {format: hubble, log: "{{ lookup('ansible.builtin.file', 'hubble.json') }}"}
  register: seen

- name: Look at what that amounts to, as policies
  hardened.k8s.network_policy:
    state: rendered
    policies: "{{ seen.suggestion.policies }}"
"""

RETURN = r"""
engine:
  description: Whose semantics decided.
  returned: success
  type: str
  sample: kubernetes
answers:
  description: The answers, in the order of O(flows); one for each pair of endpoints that differ.
  returned: success
  type: list
  elements: dict
  contains:
    from:
      description: Who calls.
      type: str
    to:
      description: Who is called.
      type: str
    port:
      description: Port of the one who is called, with its protocol if that is not TCP.
      type: str
    allowed:
      description: Whether both ends allow it.
      type: bool
    egress:
      description: What is decided where it leaves; C(allowed), C(reason), and the policy and C(rule) that decides.
      type: dict
    ingress:
      description: What is decided where it arrives.
      type: dict
matrices:
  description: All flows of each of O(namespaces), and the O(pictures) of them.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: The namespace.
      type: str
    flows:
      description: Who reaches whom over which ports, as C(from), C(to) and C(ports).
      type: list
      elements: dict
    text:
      description: A table.
      type: str
    svg:
      description: A drawing.
      type: str
    html:
      description: A page.
      type: str
changes:
  description: What O(manifests) would open and close.
  returned: when O(manifests) are given
  type: list
  elements: dict
  contains:
    change:
      description: V(opens) or V(closes).
      type: str
    from:
      description: Who calls.
      type: list
      elements: str
    to:
      description: Who is called.
      type: list
      elements: str
    ports:
      description: Over which ports.
      type: str
suggestion:
  description: Rules for what was seen.
  returned: when O(observed) are given
  type: dict
  contains:
    policies:
      description: For O(hardened.k8s.network_policy#module:policies).
      type: list
      elements: dict
    unknown:
      description: Flows between ends that are no pods of the cluster, or that no rule should be made for.
      type: list
      elements: str
findings:
  description: Rules that decide nothing, flows that the other end denies, policies that are not enforced here.
  returned: success
  type: list
  elements: dict
  contains:
    rule:
      description: What it is.
      type: str
    kind:
      description: Kind of the policy.
      type: str
    namespace:
      description: Its namespace.
      type: str
    name:
      description: Its name.
      type: str
    message:
      description: What is wrong.
      type: str
    affected:
      description: Who is concerned.
      type: list
      elements: str
    remedy:
      description: The smallest change that makes it go away.
      type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardened.k8s.plugins.module_utils import arguments
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import audit, enquiry, observed, suggest
from ansible_collections.hardened.k8s.plugins.module_utils.cluster import flows as cluster_flows
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Api
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError, ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest

SPEC: arguments.Spec = {
    **arguments.CONNECTION,
    "flows": {"type": "list", "elements": "dict", "default": [], "options": enquiry.FLOW_SPEC},
    "namespaces": {"type": "list", "elements": "str", "default": []},
    "pictures": {"type": "list", "elements": "str", "choices": ["text", "svg", "html"], "default": ["text"]},
    "manifests": {"type": "list", "elements": "dict", "default": []},
    "observed": {"type": "list", "elements": "dict", "default": [], "options": observed.LOG_SPEC},
    "objects": {"type": "list", "elements": "dict"},
    "engine": {"type": "str", "choices": ["auto", "kubernetes", "calico", "cilium"], "default": "auto"},
    "staged": {"type": "bool", "default": False},
    "ip_version": {"type": "int", "choices": [4, 6], "default": 4},
    "workers": {"type": "int", "default": 8},
}


class Call:
    """One run of the module."""

    def __init__(self, params: t.Mapping[str, t.Any], objects: t.Sequence[Manifest]) -> None:
        self.params = params
        self.objects = objects
        try:
            self.enquiry = enquiry.Enquiry(
                objects,
                "" if params["engine"] == "auto" else params["engine"],
                params["ip_version"],
                params["staged"],
                params["manifests"],
                domains=enquiry.domains_of(params["flows"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # of a cluster they were validated by the API server
            raise HardenedError(
                f"one of objects or manifests is not as its kind has to be ({type(error).__name__}: {error})",
                "Correct it; kubectl apply --dry-run=server names the field",
            ) from error
        self.problems: t.List[str] = []

    def run(self) -> t.Dict[str, t.Any]:
        flows = self.observed()
        found = self.enquiry.findings(self.params["namespaces"])
        result: t.Dict[str, t.Any] = {
            "changed": False,
            "engine": self.enquiry.after.book.engine,
            "answers": self.answers(),
            "matrices": [self.matrix(name) for name in self.params["namespaces"]],
        }
        if self.params["manifests"]:
            result["changes"] = self.enquiry.changes()
            found += audit.cut(self.enquiry.after, self.enquiry.seen(flows), Ref("NetworkPolicy", "", "manifests"))
        if self.params["observed"]:
            pods = [item for item in self.objects if item["kind"] == "Pod"]
            suggestion = suggest.suggest(flows, pods, self.params["namespaces"])
            result["suggestion"] = {"policies": suggestion.items, "unknown": [str(flow) for flow in suggestion.unknown]}
            found += audit.unchecked(self.enquiry.nobodys(flows))
        result["findings"] = [finding.as_dict() for finding in found]
        return result

    def observed(self) -> t.List[observed.Flow]:
        flows: t.List[observed.Flow] = []
        for index, item in enumerate(self.params["observed"]):
            try:
                flows += observed.parse(item["format"], item["log"])
            except ItemError as error:
                self.wrong(f"observed[{index}]", error)
        # of what was sent to a service, policies see where it was sent on to
        return self.enquiry.services.through(flows)

    def wrong(self, where: str, error: ItemError) -> None:
        self.problems.append(f"{where}: {error.reason}. {error.remedy}")

    def answers(self) -> t.List[t.Dict[str, t.Any]]:
        found = []
        for index, flow in enumerate(self.params["flows"]):
            try:
                answers = self.enquiry.ask(flow)
            except ItemError as error:
                self.wrong(f"flows[{index}]", error)
                continue
            found += [answer.as_dict() for answer in answers]
            for answer in answers:
                verdict = answer.verdict
                if flow.get("expect") and verdict.allowed != (flow["expect"] == "allowed"):
                    denied = verdict.ingress if verdict.egress.allowed else verdict.egress
                    what = f"{answer.source} -> {answer.destination}: {answer.port}"
                    self.problems.append(
                        f"flows[{index}]: {what} is {'allowed' if verdict.allowed else 'denied'}, expected "
                        f"{flow['expect']}: {denied.reason}"
                    )
        return found

    def matrix(self, namespace: str) -> t.Dict[str, t.Any]:
        if not self.enquiry.world.in_namespace(namespace):
            self.problems.append(f"namespaces: there are no pods in namespace {namespace}")
        return self.enquiry.matrix(namespace, self.params["pictures"])


def shaped(manifests: t.Sequence[t.Any], option: str) -> t.Sequence[Manifest]:
    """The manifests, when they are such.

    :raises HardenedError: one of them is not.
    """
    for index, item in enumerate(manifests):
        named = isinstance(item, dict) and isinstance(item.get("metadata"), dict) and item["metadata"].get("name")
        if not (named and isinstance(item.get("kind"), str) and isinstance(item.get("apiVersion"), str)):
            raise HardenedError(
                f"{option}[{index}] is no Kubernetes object", "It has apiVersion, kind and metadata with a name"
            )
    return manifests


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    options = arguments.connection(module.params)
    module.no_log_values = arguments.secrets(options)
    try:
        shaped(module.params["manifests"], "manifests")
        if module.params["objects"] is None:
            objects: t.Sequence[Manifest] = cluster_flows.read(Api(options, max(1, module.params["workers"])))
        else:
            objects = shaped(module.params["objects"], "objects")
        call = Call(module.params, objects)
        result = call.run()
    except HardenedError as error:
        module.fail_json(msg=str(error))
    result["invocation"] = {"module_args": {}}
    if call.problems:
        module.fail_json(msg="\n".join(call.problems), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
