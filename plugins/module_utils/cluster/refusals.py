# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of a cluster's workloads would be refused by what is about to be written."""

from __future__ import annotations

import datetime
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.hardened.k8s.plugins.module_utils.checks import (
    pod_security,
    pod_security_policy,
    selectors,
    workloads,
)
from ansible_collections.hardened.k8s.plugins.module_utils.checks import pod_security_standards as standards
from ansible_collections.hardened.k8s.plugins.module_utils.cluster import explain
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.reconcile import Reader, Store
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.resources import KINDS
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.admission import VALIDATING
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Declaration, Manifest, ref_of
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.network import NAMESPACE_NAME


def workloads_in(reader: Reader, namespaces: t.Collection[str]) -> t.Dict[str, t.List[Manifest]]:
    """Pods, and what makes them, by namespace; each kind is read once, all of them at the same time."""
    found: t.Dict[str, t.List[Manifest]] = {}
    with ThreadPoolExecutor(reader.api.workers) as pool:
        for items in pool.map(lambda kind: reader.in_namespaces(kind, namespaces), workloads.KINDS):
            for item in items:
                found.setdefault(item["metadata"]["namespace"], []).append(item)
    return found


def by_levels(reader: Reader, levels: t.Mapping[Ref, t.Tuple[str, str]]) -> t.List[Finding]:
    """Which workloads Pod Security levels would refuse.

    :param levels: namespaces, each with its level and the version of it.
    """
    server = reader.api.minor()
    there = workloads_in(reader, {ref.name for ref in levels})
    found: t.List[Finding] = []
    for ref, (level, version) in levels.items():
        judge = pod_security.by_level(level, standards.version(version or "latest", server))
        wrong = pod_security.violations(there.get(ref.name, ()), judge)
        found += pod_security.findings(ref, f"level {level}", wrong)
    return found


def by_policies(reader: Reader, store: Store, declaration: Declaration, names: t.Iterable[str]) -> t.List[Finding]:
    """Which workloads pod security policies would refuse, where they are bound to do so.

    :param names: of the ValidatingAdmissionPolicies that are about pods.
    :raises HardenedError: namespaces cannot be listed.
    """
    declared = {ref_of(item): item for item in declaration.objects}
    found: t.List[Finding] = []
    for name in names:
        binding = declared.get(Ref(f"{VALIDATING}Binding", "", name))
        # the one for templates knows what defaults will mend
        policy = declared.get(Ref(VALIDATING, "", name.replace(".pods.", ".templates.")))
        if not binding or not policy or "Deny" not in binding["spec"]["validationActions"]:
            continue
        stored = pod_security_policy.Stored(policy, datetime.date.today().isoformat())
        spaces = _selected(store, binding["spec"]["matchResources"]["namespaceSelector"])
        wrong = [
            violation
            for space, items in sorted(workloads_in(reader, spaces).items())
            for violation in pod_security.violations(items, stored.judge(space))
        ]
        title = f"pod security policy {name.partition('.')[0]}"
        found += pod_security.findings(Ref(f"{VALIDATING}Binding", "", name), title, wrong)
    return found


def _selected(store: Store, selector: t.Mapping[str, t.Any]) -> t.Set[str]:
    """The namespaces that are there and meet a selector.

    :raises HardenedError: they cannot be listed.
    """
    if "Namespace" in store.partial:
        raise HardenedError("cannot list namespaces", explain.permission(KINDS["Namespace"], "list"))
    wanted = selectors.requirements(selector)
    labels = {
        item["metadata"]["name"]: {**(item["metadata"].get("labels") or {}), NAMESPACE_NAME: item["metadata"]["name"]}
        for item in store.whole["Namespace"]
    }
    return {name for name, own in labels.items() if selectors.matches(wanted, own)}
