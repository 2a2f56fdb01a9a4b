# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What admission policies of the API server have in common: names, bindings, resources, stages."""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Context, Manifest, manifest

API = "admissionregistration.k8s.io/v1"
VALIDATING, MUTATING = "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"
#: Policies and bindings of both kinds.
KINDS = (VALIDATING, MUTATING, f"{VALIDATING}Binding", f"{MUTATING}Binding")

#: What a binding does at a stage.
ACTIONS = {"observe": ["Audit"], "warn": ["Warn", "Audit"], "enforce": ["Deny", "Audit"]}

_Spec = t.Dict[str, t.Any]


def object_name(name: str, part: str, context: Context) -> str:
    """The name of a policy and of its binding; one that is read from a file of the API server has to end so (KEP-5793)."""
    return f"{name}.{part}.{'static.k8s.io' if context.static else 'hardened.k8s'}"


def bound(
    name: str, spec: _Spec, actions: t.Sequence[str], selector: t.Optional[_Spec] = None, kind: str = VALIDATING
) -> t.Iterator[Manifest]:
    """A policy and its binding.

    :param selector: of the namespaces; all of them when None.
    """
    yield manifest(API, kind, name, spec=spec)
    binding: _Spec = {"policyName": name}
    if actions:
        binding["validationActions"] = list(actions)
    if selector is not None:
        binding["matchResources"] = {"namespaceSelector": selector}
    yield manifest(API, f"{kind}Binding", name, spec=binding)


def resources(group: str, names: t.Sequence[str], operations: t.Sequence[str] = ("CREATE", "UPDATE")) -> _Spec:
    """What a policy looks at."""
    return {
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "operations": list(operations),
        "resources": list(names),
        "scope": "*",
    }
