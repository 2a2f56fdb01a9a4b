# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Workloads that have no pods yet, such as those of a repository: each is there with one pod of its template."""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.world import workload
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest

_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob")


def with_pods(manifests: t.Sequence[Manifest]) -> t.List[Manifest]:
    """The objects, and a pod for each workload among them of which there is none."""
    running = {_name(pod["metadata"].get("namespace"), workload(pod)) for pod in manifests if pod["kind"] == "Pod"}
    expected = {
        _name(item["metadata"].get("namespace"), item["metadata"]["name"]): item
        for item in manifests
        if item["kind"] in _KINDS
    }
    return [*manifests, *(_pod(item) for name, item in expected.items() if name not in running)]


def _name(namespace: t.Optional[str], name: str) -> t.Tuple[str, str]:
    return namespace or "default", name


def _pod(item: Manifest) -> Manifest:
    spec = item.get("spec") or {}
    if item["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    template = spec.get("template") or {}
    space, name = _name(item["metadata"].get("namespace"), item["metadata"]["name"])
    metadata = {
        "name": name,
        "namespace": space,
        "labels": (template.get("metadata") or {}).get("labels") or {},
        "ownerReferences": [{"kind": item["kind"], "name": name, "controller": True}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}
