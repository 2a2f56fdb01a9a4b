# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tenant: a namespace and all that hardens it. Composes the topics and adds nothing of its own."""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError, ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import STAGES
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import (
    admission,
    kube2iam,
    namespace,
    network,
    pod_security_policy,
    quota,
    rbac,
    values,
)
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Context, Declaration, Manifest

_Item = t.Mapping[str, t.Any]

#: What a tenant consists of, in its namespace.
WITHIN = ("Namespace", "ServiceAccount", "ResourceQuota", "LimitRange", "Role", "RoleBinding", "NetworkPolicy")
#: All that is written for tenants.
KINDS = (*WITHIN, *admission.KINDS)
#: What else it consists of where its network policies are Calico's or Cilium's.
EXTENSIONS = ("NetworkPolicy.projectcalico.org", "StagedNetworkPolicy", "NetworkSet", "CiliumNetworkPolicy")


def _within(spec: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """A topic's options inside a tenant, where the namespace and the stage are the tenant's."""
    return {option: rules for option, rules in spec.items() if option not in ("namespace", "stage")}


def _list_of(spec: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    return {"type": "list", "elements": "dict", "options": _within(spec)}


_RIGHTS: t.Dict[str, t.Any] = {
    "service_accounts": _list_of({**rbac.SERVICE_ACCOUNT_SPEC, "iam_role": {"type": "str"}}),
    "roles": _list_of(rbac.ROLE_SPEC),
    "bindings": _list_of(rbac.BINDING_SPEC),
    "access": {"type": "list", "elements": "dict", "options": rbac.ACCESS_SPEC},
    "expect": _list_of(rbac.EXPECT_SPEC),
}

SPEC: t.Dict[str, t.Any] = {
    "profile": {"type": "str"},
    **namespace.SPEC,
    **_within(quota.SPEC),
    **_RIGHTS,
    "pod_security_policy": {
        "type": "dict",
        "options": {
            option: rules
            for option, rules in _within(pod_security_policy.SPEC).items()
            if option not in ("name", "namespaces", "namespace_selector")
        },
    },
    "iam_roles": {"type": "list", "elements": "str"},
    "network": {"type": "dict", "options": _within(network.SPEC)},
    # read by the driver, entry by entry
    "accept": {"type": "list", "elements": "dict"},
}

#: Which options belong to a topic that only has a say when one of them is declared.
_TOPICS: t.Tuple[t.Tuple[t.FrozenSet[str], t.Callable[[_Item, str, Context], Declaration]], ...] = (
    (frozenset(_within(quota.SPEC)), quota.declare),
    (frozenset(_RIGHTS), rbac.declare),
)


def _merged(base: t.Any, above: t.Any) -> t.Any:
    """Dictionaries merge at any depth; anything else above replaces what is below."""
    if isinstance(base, dict) and isinstance(above, dict):
        return {**base, **{key: _merged(base.get(key), item) for key, item in above.items()}}
    return above


def expand(item: _Item, params: _Item) -> t.Dict[str, t.Any]:
    """A tenant completed from its profile.

    :raises HardenedError: there is no such profile, or it is not a dictionary.
    """
    name = item.get("profile")
    if name is None:
        return dict(item)
    profiles = params.get("profiles") or {}
    if not isinstance(name, str) or not isinstance(profiles.get(name), dict):
        known = ", ".join(sorted(map(str, profiles))) or "none is"
        raise HardenedError(f"profile {name} is not declared", f"Declared under profiles: {known}")
    merged: t.Dict[str, t.Any] = _merged(profiles[name], dict(item))
    return merged


def declare(item: _Item, where: str, context: Context) -> Declaration:
    """Everything that one tenant declares. What it does not declare is not touched."""
    name = item["name"]
    context = context._replace(stage=item.get("stage") or context.stage)
    declaration = namespace.declare({key: item[key] for key in namespace.SPEC if key in item}, where, context)
    try:
        values.dns_label(name)
    except ItemError:
        return declaration  # told there, and the same for everything within
    roles = _iam_roles(item)
    if roles is not None:
        kube2iam.allow(declaration, roles, where, name)
    for options, declare_topic in _TOPICS:
        part = {key: item[key] for key in options if key in item}
        if part:
            declaration.merge(declare_topic({**part, "namespace": name}, where, context))
    if "pod_security_policy" in item:
        policy = {**item["pod_security_policy"], "name": name, "namespaces": [name]}
        declaration.merge(pod_security_policy.declare(policy, f"{where}.pod_security_policy", context))
    if "network" in item:
        declaration.merge(network.declare({**item["network"], "namespace": name}, f"{where}.network", context))
    return declaration


def _iam_roles(item: _Item) -> t.Optional[t.List[str]]:
    """The AWS roles that pods of the namespace may have; None where nothing is said of them."""
    accounts = [account["iam_role"] for account in item.get("service_accounts", ()) if account.get("iam_role")]
    return [*item.get("iam_roles", ()), *accounts] if accounts or "iam_roles" in item else None


def describe(objects: t.Sequence[Manifest]) -> t.Dict[str, t.Any]:
    """The tenant that declares exactly these objects of one namespace."""
    policies = [manifest for manifest in objects if manifest["kind"] == "NetworkPolicy"]
    stages = _stages(objects, policies)
    tenant = namespace.describe(objects, stages)
    tenant.setdefault("stage", stages[-1])
    tenant.update({**quota.describe(objects), **rbac.describe(objects)})
    _take_roles(tenant)
    if policies:
        described = network.describe(policies, tenant["stage"])
        tenant["network"] = {option: value for option, value in described.items() if option != "namespace"}
    return tenant


def _take_roles(tenant: t.Dict[str, t.Any]) -> None:
    """Say as an option what the namespace's annotation says of AWS roles."""
    roles = kube2iam.allowed_roles(tenant.get("annotations", {}))
    if roles:
        tenant["iam_roles"] = roles
        del tenant["annotations"][kube2iam.ALLOWED_ROLES]
        if not tenant["annotations"]:
            del tenant["annotations"]


def _stages(objects: t.Sequence[Manifest], policies: t.Sequence[Manifest]) -> t.Tuple[str, ...]:
    """The stages that such objects can be declared under, the usual one last."""
    enforced = namespace.withholds_token(objects) or any(
        manifest["kind"] in ("ResourceQuota", "LimitRange") for manifest in objects
    )
    if not enforced and network.allows_all(policies):
        return ("warn",)
    return ("enforce",) if enforced or policies else STAGES
