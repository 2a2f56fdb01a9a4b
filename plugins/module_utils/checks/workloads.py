# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pods and what makes them: each under the workload that a person would change, also where no pod runs."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref

_Object = t.Mapping[str, t.Any]

#: Kinds with a pod template in them; what these are made by is found by their owner.
TEMPLATED = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob")
#: All that is looked at.
KINDS = ("Pod", *TEMPLATED)


@dataclass
class Workload:
    """Pods of one template, or one template.

    :param owner: what a person would change.
    :param pods: names of running pods; empty for the template itself.
    """

    owner: Ref
    metadata: _Object
    spec: _Object
    pods: t.List[str] = field(default_factory=list)


def template_of(item: _Object) -> t.Optional[_Object]:
    """The pod template of a workload; None where there is none."""
    spec = item.get("spec") or {}
    if item["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    template: t.Optional[_Object] = spec.get("template")
    return template if item["kind"] in TEMPLATED else None


def _ref(item: _Object) -> Ref:
    return Ref(item["kind"], item["metadata"].get("namespace") or "", item["metadata"]["name"])


def _maker(item: _Object) -> t.Optional[Ref]:
    """What controls an object."""
    for owner in item["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return Ref(owner["kind"], item["metadata"].get("namespace") or "", owner["name"])
    return None


def found(objects: t.Iterable[_Object]) -> t.Iterator[Workload]:
    """Every pod that is not finished, and every template that nothing else makes, by owner.

    Pods that are alike are one workload, as thousands of them may come from one template.
    """
    listed = list(objects)
    makers = {_ref(item): _maker(item) for item in listed if item["kind"] != "Pod"}
    for item in listed:
        template = template_of(item)
        if template is not None and makers[_ref(item)] is None and not _finished(item):
            yield Workload(_ref(item), template.get("metadata") or {}, template.get("spec") or {})
    for pod in listed:
        if pod["kind"] == "Pod" and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            yield Workload(_topmost(pod, makers), pod["metadata"], pod["spec"], [pod["metadata"]["name"]])


def _finished(item: _Object) -> bool:
    return bool(item["kind"] == "Job" and (item.get("status") or {}).get("completionTime"))


def _topmost(pod: _Object, makers: t.Mapping[Ref, t.Optional[Ref]]) -> Ref:
    """The last of those who made a pod that is known."""
    owner, above = _ref(pod), _maker(pod)
    while above is not None:
        owner, above = above, makers.get(above)
    return owner
