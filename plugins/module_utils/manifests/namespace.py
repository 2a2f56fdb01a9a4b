# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Namespaces: labels, Pod Security levels by stage, and a default service account without a token."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import STAGES, Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import values
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    Manifest,
    manifest,
)

LEVELS = ("privileged", "baseline", "restricted")
_POD_SECURITY = "pod-security.kubernetes.io/"
#: The label that decides which pods are refused.
ENFORCE = f"{_POD_SECURITY}enforce"
_MARKS = ("hardened.k8s/", "applyset.kubernetes.io/")
#: Modes of Pod Security admission that a stage switches on.
_MODES = {"observe": ("audit",), "warn": ("audit", "warn"), "enforce": ("audit", "warn", "enforce")}

SPEC: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "stage": {"type": "str", "choices": list(STAGES)},
    "labels": {"type": "dict"},
    "annotations": {"type": "dict"},
    "pod_security": {"type": "str", "choices": list(LEVELS)},
    "pod_security_version": {"type": "str"},
    "default_service_account_token": {"type": "bool"},
}


def declare(item: t.Mapping[str, t.Any], where: str, context: Context) -> Declaration:
    """The Namespace, and its default service account unless that may keep its token."""
    declaration = Declaration()
    stage = item.get("stage") or context.stage
    try:
        name = values.dns_label(item["name"], "namespace")
        labels = values.labels(item.get("labels", {}))
        annotations = values.annotation_map(item.get("annotations", {}))
        _check_marks({**labels, **annotations})
        labels.update(_pod_security(item, labels, stage, context.minor))
    except ItemError as error:
        declaration.problem(where, error.reason, error.remedy, Ref("Namespace", "", str(item["name"])))
        return declaration
    declaration.add(manifest("v1", "Namespace", name, labels=labels, annotations=annotations), where, stage)
    _default_service_account(declaration, item, name, where, stage)
    return declaration


def _check_marks(keys: t.Iterable[str]) -> None:
    """By its marks this collection tells what it may delete: nobody else may write them."""
    mark = next((key for key in keys if key.startswith(_MARKS)), None)
    if mark:
        raise ItemError(f"{mark} is how this collection marks what it made", "Leave it out")


def _pod_security(
    item: t.Mapping[str, t.Any], labels: t.Mapping[str, str], stage: str, minor: t.Optional[int]
) -> t.Dict[str, str]:
    """The Pod Security labels of a level at a stage, of a fixed version: an upgrade alone changes nothing."""
    level = item.get("pod_security")
    if not level:
        if item.get("pod_security_version"):
            raise ItemError("pod_security_version has no pod_security to go with", "Declare pod_security too")
        return {}
    own = sorted(key for key in labels if key.startswith(_POD_SECURITY))
    if own:
        raise ItemError(f"pod_security and the label {own[0]} say the same thing twice", "Leave the label out")
    version = item.get("pod_security_version") or (f"v1.{minor}" if minor else "latest")
    if version != "latest" and not re.fullmatch(r"v1\.(0|[1-9][0-9]*)", version):
        raise ItemError(f"pod_security_version {version!r} is no version", "Write it as v1.37, or latest")
    return {
        key: value
        for mode in _MODES[stage]
        for key, value in ((_POD_SECURITY + mode, level), (f"{_POD_SECURITY}{mode}-version", version))
    }


def _default_service_account(
    declaration: Declaration, item: t.Mapping[str, t.Any], namespace: str, where: str, stage: str
) -> None:
    """Pods that name no service account get ``default``: it must not hand them a token."""
    ref = Ref("ServiceAccount", namespace, "default")
    if item.get("default_service_account_token"):
        declaration.withdraw(ref, where)
        return
    if stage != "enforce":
        declaration.withdraw(ref, where)
        declaration.findings.append(
            Finding(
                "namespace/default-token",
                ref,
                "pods without a service account of their own get the default one's token until stage enforce",
                "Give pods that call the API server a service account of their own before stage enforce",
            )
        )
        return
    account = manifest("v1", "ServiceAccount", "default", namespace, automountServiceAccountToken=False)
    declaration.add(account, where, stage)


def describe(objects: t.Sequence[Manifest], stages: t.Collection[str] = STAGES) -> t.Dict[str, t.Any]:
    """The item that declares a live Namespace (and its default service account) as it is.

    :param stages: those that the item may have; Pod Security labels of another one stay labels.
    """
    namespace = next(item for item in objects if item["kind"] == "Namespace")
    item: t.Dict[str, t.Any] = {"name": namespace["metadata"]["name"]}
    labels = values.told(namespace["metadata"].get("labels"))
    item.update(_take_level(labels, stages))
    if labels:
        item["labels"] = labels
    annotations = values.told(namespace["metadata"].get("annotations"))
    if annotations:
        item["annotations"] = annotations
    item["default_service_account_token"] = not withholds_token(objects)
    return item


def withholds_token(objects: t.Iterable[Manifest]) -> bool:
    """Whether the default service account's token is kept from pods."""
    return any(
        item["kind"] == "ServiceAccount"
        and item["metadata"]["name"] == "default"
        and item.get("automountServiceAccountToken") is False
        for item in objects
    )


def _take_level(labels: t.Dict[str, str], stages: t.Collection[str]) -> t.Dict[str, str]:
    """Read level, version and stage from Pod Security labels that a stage wrote, and take these labels away.

    Labels in any other combination stay labels.
    """
    present = {key: value for key, value in labels.items() if key.startswith(_POD_SECURITY)}
    for stage in stages:
        modes = _MODES[stage]
        keys = {_POD_SECURITY + mode for mode in modes} | {f"{_POD_SECURITY}{mode}-version" for mode in modes}
        levels = {present.get(_POD_SECURITY + mode) for mode in modes}
        versions = {present.get(f"{_POD_SECURITY}{mode}-version") for mode in modes}
        if set(present) == keys and len(levels) == len(versions) == 1 and levels <= set(LEVELS):
            for key in keys:
                del labels[key]
            return {
                "pod_security": str(levels.pop()),
                "pod_security_version": str(versions.pop()),
                "stage": stage,
            }
    return {}
