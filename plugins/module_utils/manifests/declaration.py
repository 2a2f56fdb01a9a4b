# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a declaration amounts to: Kubernetes objects, and what is known about them before any cluster is asked.

Pure: options in, objects out. No topic knows another; ``tenant`` alone merges declarations.
"""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import dataclass, field

from ansible_collections.hardened.k8s.plugins.module_utils.errors import Problem
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Acceptance, Finding, Ref

Manifest = t.Dict[str, t.Any]


class Context(t.NamedTuple):
    """What a manifest function may know besides its item.

    :param stage: ``observe``, ``warn`` or ``enforce``; an item's own ``stage`` wins over it.
    :param minor: the API server's minor version (37 for v1.37.2), or None when rendering without a cluster.
    :param served: asks for the versions of API groups that the cluster serves, such as ``cilium.io/v2``; None without one.
    :param allow_system: namespaces of the cluster itself that may be restricted all the same.
    :param today: for what expires; the present day when None.
    :param static: the objects are for a file that the API server reads, under the names that it wants there.
    """

    stage: str
    minor: t.Optional[int] = None
    served: t.Optional[t.Callable[[], t.Collection[str]]] = None
    allow_system: t.Tuple[str, ...] = ()
    today: t.Optional[datetime.date] = None
    static: bool = False


@dataclass(frozen=True)
class Expectation:
    """A right that a subject must have or must not have once the declaration is applied.

    :param user: as the API server sees it; a service account is ``system:serviceaccount:<namespace>:<name>``.
    :param verb: such as ``get``; :param resource: ``resource[/subresource][.group]``, or a path beginning with ``/``.
    """

    user: str
    groups: tuple[str, ...]
    verb: str
    resource: str
    namespace: str
    name: str
    allowed: bool
    where: str


class Fill(t.NamedTuple):
    """A value that an admission policy gives a field which a pod leaves open.

    :param field: below ``spec`` or below a container; :param value: as the policy writes it.
    :param namespaces: whose pods; None where labels decide.
    """

    field: str
    value: str
    namespaces: t.Optional[t.FrozenSet[str]]
    ref: Ref
    where: str


@dataclass
class Declaration:
    """The sum of what one call declares."""

    objects: list[Manifest] = field(default_factory=list)
    #: removed where this owner has them, as a stage below ``enforce`` asks
    withdrawn: list[Ref] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    acceptances: list[Acceptance] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)
    #: where in the input an object comes from, and under which stage it is declared
    where: dict[Ref, str] = field(default_factory=dict)
    #: objects that several items need, and declare alike
    shared: set[Ref] = field(default_factory=set)
    stages: dict[Ref, str] = field(default_factory=dict)
    #: what policies fill in, and in what only one of them can have its way
    fills: list[Fill] = field(default_factory=list)

    def add(self, manifest: Manifest, where: str, stage: str) -> None:
        """Declare an object; one that is declared twice is a problem that names both places."""
        ref = ref_of(manifest)
        if ref in self.shared and manifest in self.objects:
            return
        if ref in self.where:
            self.problems.append(
                Problem(
                    where,
                    f"{ref} is declared twice, here and at {self.where[ref]}",
                    "Merge the two entries, or rename one",
                    *(ref.kind, ref.namespace, ref.name),
                )
            )
            return
        self.objects.append(manifest)
        self.where[ref] = where
        self.stages[ref] = stage

    def withdraw(self, ref: Ref, where: str) -> None:
        """Say that an object of this owner must not be there at the present stage."""
        self.withdrawn.append(ref)
        self.where.setdefault(ref, where)

    def problem(self, where: str, reason: str, remedy: str = "", ref: t.Optional[Ref] = None) -> None:
        kind, namespace, name = ref or ("", "", "")
        self.problems.append(Problem(where, reason, remedy, kind, namespace, name))

    def merge(self, other: Declaration) -> None:
        self.shared |= other.shared
        for manifest in other.objects:
            ref = ref_of(manifest)
            self.add(manifest, other.where[ref], other.stages[ref])
        for ref in other.withdrawn:
            self.withdraw(ref, other.where[ref])
        self.problems += other.problems
        self.findings += other.findings
        self.acceptances += other.acceptances
        self.expectations += other.expectations
        for fill in other.fills:
            self._fill(fill)
        self.fills += other.fills

    def _fill(self, fill: Fill) -> None:
        """See that it does not depend on an order which nobody chose what a pod is given."""
        for known in self.fills:
            if known.field != fill.field or known.value == fill.value or known.ref == fill.ref:
                continue
            remedy = "Let both fill in the same, put them into one any_of, or say mutate: false in one of them"
            said = f"{fill.ref.name} fills in {fill.field} with {fill.value}, {known.ref.name} with {known.value}"
            if fill.namespaces is None or known.namespaces is None:
                message = f"{said}: in a namespace that both are for, the one that comes first decides"
                found = Finding("pod-security/two-defaults", fill.ref, message, remedy, (known.ref.name,))
                self.findings.append(found)
            elif fill.namespaces & known.namespaces:
                self.problem(fill.where, f"{said}, both in {min(fill.namespaces & known.namespaces)}", remedy, fill.ref)


def kind_of(manifest: t.Mapping[str, t.Any]) -> str:
    """The kind of an object; of those that two API groups call alike, with the group where it is not Kubernetes' own."""
    group = str(manifest.get("apiVersion") or "").rpartition("/")[0]
    kind: str = manifest["kind"]
    return f"{kind}.{group}" if kind == "NetworkPolicy" and group not in ("", "networking.k8s.io") else kind


def ref_of(manifest: t.Mapping[str, t.Any]) -> Ref:
    metadata = manifest["metadata"]
    return Ref(kind_of(manifest), metadata.get("namespace") or "", metadata["name"])


def manifest(
    api_version: str,
    kind: str,
    name: str,
    namespace: str = "",
    labels: t.Optional[t.Mapping[str, str]] = None,
    annotations: t.Optional[t.Mapping[str, str]] = None,
    **body: t.Any,
) -> Manifest:
    """One Kubernetes object, its metadata in order, without empty parts."""
    metadata: dict[str, t.Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}
