# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Before anything is written: what the pure checks need is read, and they are asked.

Keyed by the kinds of object in a plan, so that every module has every check that concerns it.
Reads pods only where something is about to be written that running pods could feel, and those on the host network where
allow lists or an agent of kube2iam are declared. What judges pods is imported there: Ansible has Python compile a
module anew each time, and a run with nothing to do should not wait for that.
"""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks import network, quota, rbac
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.reconcile import (
    DELETE,
    Plan,
    Reader,
    Step,
    is_protected,
)
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import kube2iam
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.admission import VALIDATING
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Declaration, Manifest, ref_of
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.namespace import ENFORCE

RBAC_KINDS = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")


def declared_findings(declaration: Declaration, plan: t.Optional[Plan] = None) -> t.List[Finding]:
    """What can be said of the declared rights: with a cluster's roles where there is one, without when rendering."""
    objects = {ref_of(manifest): manifest for manifest in declaration.objects}
    store = plan.store if plan else None

    def resolve(kind: str, namespace: str, name: str) -> t.Optional[t.List[t.Dict[str, t.Any]]]:
        ref = Ref(kind, namespace, name)
        live = store.get(ref) if store else None
        found = objects.get(ref) or live
        if found and "aggregationRule" in found:
            found = live or {}  # its rules are what a controller made of other roles'
        return None if found is None else (found.get("rules") or [])

    # a namespace is judged by what is declared of it, else by what it is
    namespaces = {
        item["metadata"]["name"]: item
        for item in [*(store.whole["Namespace"] if store else []), *declaration.objects]
        if item["kind"] == "Namespace"
    }
    privileged = {name for name, item in namespaces.items() if _level(item) == "privileged"}
    declared_rights = [manifest for manifest in declaration.objects if manifest["kind"] in RBAC_KINDS]
    spaces = {manifest["metadata"].get("namespace") or "" for manifest in declared_rights}
    privileged |= {space for space in spaces if is_protected(space)}
    return list(rbac.risks(declared_rights, resolve, privileged))


def rendered_findings(declaration: Declaration) -> t.List[Finding]:
    """What can be said of a declaration without any cluster."""
    policies = [manifest for manifest in declaration.objects if ref_of(manifest).kind == "NetworkPolicy"]
    return [*declared_findings(declaration), *network.check(policies, None, None, [])]


def _allow_list(namespace: t.Optional[Manifest]) -> t.Optional[str]:
    """The AWS roles that pods of a namespace may have, as its annotation says them."""
    annotations: t.Mapping[str, str] = (namespace or {}).get("metadata", {}).get("annotations") or {}
    return annotations.get(kube2iam.ALLOWED_ROLES)


class Preflight:
    """The checks that need a cluster.

    :param check_mode: what the same play writes first is not there then.
    """

    def __init__(self, plan: Plan, declaration: Declaration, check_mode: bool = False) -> None:
        self.plan = plan
        self.declaration = declaration
        self.check_mode = check_mode
        self.reader = Reader(plan.api)
        self.new = plan.new_namespaces()
        self._pods: t.Optional[t.Dict[str, t.List[Manifest]]] = None

    def findings(self) -> t.List[Finding]:
        return [
            *declared_findings(self.declaration, self.plan),
            *self.pod_security(),
            *self.pod_security_policies(),
            *self.quotas(),
            *self.network(),
            *self.iam_roles(),
            *self.iam_agents(),
            *self.host_networks(),
            *self.pruned_namespaces(),
        ]

    def _existing(self, *kinds: str) -> t.List[Step]:
        return [step for step in self.plan.writing(*kinds) if step.ref.namespace not in self.new]

    def pods(self, namespace: str) -> t.List[Manifest]:
        """The pods of a namespace; read once for all namespaces that any check will look at."""
        if self._pods is None:
            concerned = {step.ref.namespace for step in self._existing("ResourceQuota", "NetworkPolicy")}
            concerned |= {step.ref.name for step in self._allow_lists()}
            self._pods = {}
            for pod in self.reader.in_namespaces("Pod", concerned):
                self._pods.setdefault(pod["metadata"]["namespace"], []).append(pod)
        return self._pods.get(namespace, [])

    def pod_security(self) -> t.List[Finding]:
        """Which workloads a changed enforce level would refuse: all of them, by the server's own rules."""
        levels = {
            step.ref: _enforced(step.desired)
            for step in self.plan.writing("Namespace")
            if _level(step.desired) and step.live is not None and _enforced(step.desired) != _enforced(step.live)
        }
        if not levels:
            return []
        from ansible_collections.hardened.k8s.plugins.module_utils.cluster import refusals

        return refusals.by_levels(self.reader, levels)

    def pod_security_policies(self) -> t.List[Finding]:
        """Which workloads the policies that are about to refuse pods would refuse."""
        changing = {step.ref.name for step in self.plan.writing(VALIDATING, f"{VALIDATING}Binding")}
        names = sorted(name for name in changing if ".pods." in name)
        if not names:
            return []
        from ansible_collections.hardened.k8s.plugins.module_utils.cluster import refusals

        return refusals.by_policies(self.reader, self.plan.store, self.declaration, names)

    def quotas(self) -> t.List[Finding]:
        found: t.List[Finding] = []
        for step in self._existing("ResourceQuota"):
            manifest = t.cast(Manifest, step.desired)
            objects = {
                kind: self.pods(step.ref.namespace) if kind == "Pod" else self._listed(kind, step.ref.namespace)
                for kind in quota.counted_kinds(manifest, step.live)
            }
            finding = quota.over_limit(manifest, step.live, objects)
            if finding:
                found.append(finding)
            ranges = [
                item
                for item in self.declaration.objects
                if item["kind"] == "LimitRange" and item["metadata"]["namespace"] == step.ref.namespace
            ]
            without = quota.without_requests(manifest, ranges, self.pods(step.ref.namespace))
            if without:
                found.append(without)
        return found

    def _listed(self, kind: str, namespace: str) -> t.List[Manifest]:
        return self.reader.in_namespaces(kind, {namespace})

    def network(self) -> t.List[Finding]:
        declared = [item for item in self.declaration.objects if ref_of(item).kind == "NetworkPolicy"]
        if not declared:
            return []
        own = {ref_of(item) for item in declared} | set(self.declaration.withdrawn)
        stored = [item for item in self.plan.store.whole["NetworkPolicy"] if ref_of(item) not in own]
        known = [*self.plan.store.whole["Namespace"], *self.declaration.objects]
        complete = "Namespace" not in self.plan.store.partial
        namespaces = {
            item["metadata"]["name"]: item["metadata"].get("labels") or {}
            for item in known
            if item["kind"] == "Namespace"
        }
        writing = self._existing("NetworkPolicy")
        pods = [pod for space in {step.ref.namespace for step in writing} for pod in self.pods(space)]
        return list(network.check(declared, namespaces if complete else None, pods if writing else None, stored))

    def _listed_namespaces(self) -> t.List[Step]:
        """Namespaces that are there, and are declared with an allow list of AWS roles."""
        return [
            step
            for step in self.plan.steps
            if step.ref.kind == "Namespace" and step.live is not None and _allow_list(step.desired) is not None
        ]

    def _allow_lists(self) -> t.List[Step]:
        """Of these namespaces those whose list is new or another one."""
        writing = {step.ref for step in self.plan.writing("Namespace")}
        return [
            step
            for step in self._listed_namespaces()
            if step.ref in writing and _allow_list(step.desired) != _allow_list(step.live)
        ]

    def iam_roles(self) -> t.List[Finding]:
        found: t.List[Finding] = []
        for step in self._allow_lists():
            annotations = t.cast(Manifest, step.desired)["metadata"]["annotations"]
            roles = kube2iam.allowed_roles(annotations) or []
            found += kube2iam.running_pods(step.ref, roles, self.pods(step.ref.name))
        return found

    def iam_agents(self) -> t.List[Finding]:
        """Who gets no role any more once an agent goes by allow lists, wherever in the cluster."""
        agents = [
            t.cast(Manifest, step.desired)
            for step in self.plan.writing("DaemonSet")
            if kube2iam.restricted(step.desired) and not kube2iam.restricted(step.live)
        ]
        if not agents:
            return []
        lists = {item["metadata"]["name"]: _allow_list(item) for item in self.plan.store.whole["Namespace"]}
        lists.update(
            (item["metadata"]["name"], _allow_list(item))
            for item in self.declaration.objects
            if item["kind"] == "Namespace" and _allow_list(item) is not None
        )
        pods = self.reader.in_namespaces("Pod", lists)
        sure = not self.check_mode
        return [finding for agent in agents for finding in kube2iam.unlisted_pods(agent, lists, pods, sure)]

    def host_networks(self) -> t.List[Finding]:
        """Pods that get the node's role: in namespaces with a list; with an agent, wherever they ask for a role."""
        listed = {step.ref.name for step in self._listed_namespaces()}
        spaces = set(listed)
        if any(step.ref.kind == "DaemonSet" and kube2iam.restricted(step.desired) for step in self.plan.steps):
            spaces |= {item["metadata"]["name"] for item in self.plan.store.whole["Namespace"]}
        found: t.Dict[str, t.List[Manifest]] = {}
        for pod in self.reader.in_namespaces("Pod", spaces, {"fieldSelector": "spec.hostNetwork=true"}):
            space = pod["metadata"]["namespace"]
            if space in listed or kube2iam.asked_role(pod):
                found.setdefault(space, []).append(pod)
        return [kube2iam.on_host(Ref("Namespace", "", space), found[space]) for space in sorted(found)]

    def pruned_namespaces(self) -> t.List[Finding]:
        """A namespace that leaves the declaration takes its pods with it: never by omission alone.

        Those of an agent that leaves it, too, are what is meant to go.
        """
        found = []
        going = {step.live["metadata"]["uid"] for step in self.plan.steps if step.live and step.action == DELETE}
        for step in self.plan.steps:
            if step.ref.kind != "Namespace" or step.action != DELETE or step.where != "prune":
                continue
            pods = [
                pod
                for pod in self.reader.in_namespaces("Pod", {step.ref.name})
                if not any(owner["uid"] in going for owner in pod["metadata"].get("ownerReferences") or ())
            ]
            if pods:
                found.append(
                    Finding(
                        rule="namespace/running-pods",
                        ref=step.ref,
                        message=f"pruning would delete namespace {step.ref.name} and the {len(pods)} pods in it",
                        affected=tuple(sorted(pod["metadata"]["name"] for pod in pods)[:20]),
                        remedy="Remove the workloads first, declare the namespace again, or accept this finding by name",
                        refuse=True,
                    )
                )
        return found


def _enforced(manifest: t.Optional[Manifest]) -> t.Tuple[str, str]:
    """The level, and the version of its rules, that a namespace's labels ask for."""
    labels = ((manifest or {}).get("metadata") or {}).get("labels") or {}
    return str(labels.get(ENFORCE) or ""), str(labels.get(f"{ENFORCE}-version") or "")


def _level(manifest: t.Optional[Manifest]) -> str:
    return _enforced(manifest)[0]
