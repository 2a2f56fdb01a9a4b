# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Before anything is written: what the pure checks need is read, and they are asked.

Keyed by the kinds of object in a plan, so that every module has every check that concerns it.
Reads pods only where something is about to be written that running pods could feel.
"""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.hardened.k8s.plugins.module_utils.checks import network, pod_security, quota, rbac
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import ApiError
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.reconcile import (
    DELETE,
    Plan,
    Reader,
    Step,
    Writer,
    is_protected,
)
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Declaration, Manifest, ref_of

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
    policies = [manifest for manifest in declaration.objects if manifest["kind"] == "NetworkPolicy"]
    return [*declared_findings(declaration), *network.check(policies, None, None, [])]


class Preflight:
    """The checks that need a cluster."""

    def __init__(self, plan: Plan, declaration: Declaration) -> None:
        self.plan = plan
        self.declaration = declaration
        self.reader = Reader(plan.api)
        self.new = plan.new_namespaces()
        self._pods: t.Optional[t.Dict[str, t.List[Manifest]]] = None

    def findings(self, force: bool) -> t.List[Finding]:
        return [
            *declared_findings(self.declaration, self.plan),
            *self.pod_security(force),
            *self.quotas(),
            *self.network(),
            *self.pruned_namespaces(),
        ]

    def _existing(self, *kinds: str) -> t.List[Step]:
        return [step for step in self.plan.writing(*kinds) if step.ref.namespace not in self.new]

    def pods(self, namespace: str) -> t.List[Manifest]:
        """The pods of a namespace; read once for all namespaces that any check will look at."""
        if self._pods is None:
            concerned = {step.ref.namespace for step in self._existing("ResourceQuota", "NetworkPolicy")}
            self._pods = {}
            for pod in self.reader.in_namespaces("Pod", concerned):
                self._pods.setdefault(pod["metadata"]["namespace"], []).append(pod)
        return self._pods.get(namespace, [])

    def pod_security(self, force: bool) -> t.List[Finding]:
        """Ask the server, by a dry run, which running pods a changed enforce level would refuse."""
        writer = Writer(self.plan, True, force, 0)

        def one(step: Step) -> t.List[Finding]:
            level = _level(step.desired)
            if not level or step.live is None or _enforced(step.desired) == _enforced(step.live):
                return []
            try:
                answer = writer.dry_run(step)
            except (ApiError, HardenedError):
                return []  # the write itself will say why
            return pod_security.running_pods(step.ref, level, answer.warnings)

        with ThreadPoolExecutor(self.plan.api.workers) as pool:
            return [finding for found in pool.map(one, self.plan.writing("Namespace")) for finding in found]

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
        declared = [item for item in self.declaration.objects if item["kind"] == "NetworkPolicy"]
        if not declared:
            return []
        own = {ref_of(item) for item in declared} | set(self.declaration.withdrawn)
        stored = [item for item in self.plan.store.whole["NetworkPolicy"] if ref_of(item) not in own]
        known = [*self.plan.store.whole["Namespace"], *self.declaration.objects]
        complete = "Namespace" not in self.plan.store.partial
        namespaces = {
            item["metadata"]["name"]: {
                **(item["metadata"].get("labels") or {}),
                "kubernetes.io/metadata.name": item["metadata"]["name"],
            }
            for item in known
            if item["kind"] == "Namespace"
        }
        writing = self._existing("NetworkPolicy")
        pods = [pod for space in {step.ref.namespace for step in writing} for pod in self.pods(space)]
        return list(network.check(declared, namespaces if complete else None, pods if writing else None, stored))

    def pruned_namespaces(self) -> t.List[Finding]:
        """A namespace that leaves the declaration takes its pods with it: never by omission alone."""
        found = []
        for step in self.plan.steps:
            if step.ref.kind != "Namespace" or step.action != DELETE or step.where != "prune":
                continue
            pods = self.reader.in_namespaces("Pod", {step.ref.name})
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


def _enforced(manifest: t.Optional[Manifest]) -> t.List[str]:
    """Level and version."""
    labels = ((manifest or {}).get("metadata") or {}).get("labels") or {}
    return [str(labels.get(label) or "") for label in (pod_security.ENFORCE, f"{pod_security.ENFORCE}-version")]


def _level(manifest: t.Optional[Manifest]) -> str:
    return _enforced(manifest)[0]
