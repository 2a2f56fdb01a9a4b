# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All policies of a cluster, read into tiers as the network plug-in that enforces them asks them."""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import (
    calico,
    cilium,
    cluster_policies,
    kubernetes,
)
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.rules import (
    DENY,
    PASS,
    ElsewhereError,
    Others,
    Policy,
    Rulebook,
    Tier,
    UnreadError,
)
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest, ref_of

KUBERNETES, CALICO, CILIUM = ENGINES = ("kubernetes", "calico", "cilium")
#: Staged kind of Calico's -> API group and kind of what it would become.
STAGED = {
    "StagedNetworkPolicy": (calico.API_GROUP, "NetworkPolicy"),
    "StagedGlobalNetworkPolicy": (calico.API_GROUP, "GlobalNetworkPolicy"),
    "StagedKubernetesNetworkPolicy": ("networking.k8s.io", "NetworkPolicy"),
}
_REFERRED = ("NetworkSet", "GlobalNetworkSet", "CiliumCIDRGroup", "EndpointSlice")
_DEFAULT = "default"
#: The label that agents of a network plug-in have where it is installed as its makers do.
_AGENTS = {"calico-node": CALICO, "cilium": CILIUM}


def group(manifest: Manifest) -> str:
    """The API group of an object."""
    return str(manifest.get("apiVersion") or "").rpartition("/")[0]


def engine_of(manifests: t.Iterable[Manifest]) -> str:
    """Whose policies or whose agents there are, where nobody says what enforces them."""
    kinds, agents = set(), set()
    for item in manifests:
        kinds.add((group(item), item["kind"]))
        if item["kind"] == "Pod":
            agents.add(_AGENTS.get((item["metadata"].get("labels") or {}).get("k8s-app") or ""))
    if any(name == calico.API_GROUP for name, _kind in kinds):
        return CALICO
    if any(kind in cilium.KINDS for _name, kind in kinds):
        return CILIUM
    return next((engine for engine in (CALICO, CILIUM) if engine in agents), KUBERNETES)


def others_of(manifests: t.Iterable[Manifest]) -> Others:
    """What policies refer to, out of objects of any kind."""
    services, sets, spaces = {}, [], {}
    for item in manifests:
        if item["kind"] == "Service":
            services[item["metadata"].get("namespace") or "", item["metadata"]["name"]] = item
        elif item["kind"] in _REFERRED:
            sets.append(item)
        elif item["kind"] == "Namespace":
            spaces[item["metadata"]["name"]] = item["metadata"].get("labels") or {}
    return Others(services, sets, spaces)


def unstaged(manifests: t.Sequence[Manifest]) -> t.List[Manifest]:
    """The policies as they will be once Calico's staged ones are no longer staged."""
    becoming: t.Dict[t.Tuple[str, str, str, str], t.Optional[Manifest]] = {}
    for item in manifests:
        if item["kind"] in STAGED:
            name, kind = STAGED[item["kind"]]
            spec = {key: value for key, value in (item.get("spec") or {}).items() if key != "stagedAction"}
            action = (item.get("spec") or {}).get("stagedAction") or "Set"
            new = {**item, "apiVersion": f"{name}/v1", "kind": kind, "spec": spec}
            if action in ("Set", "Delete"):
                becoming[identity(new)] = new if action == "Set" else None
    kept = [item for item in manifests if item["kind"] not in STAGED and identity(item) not in becoming]
    return [*kept, *(item for item in becoming.values() if item is not None)]


def identity(item: Manifest) -> t.Tuple[str, str, str, str]:
    """What tells an object from all others: API group, kind, namespace and name."""
    return (group(item), item["kind"], item["metadata"].get("namespace") or "", item["metadata"]["name"])


class _Reader:
    """Reads the policies that one engine enforces."""

    def __init__(self, engine: str, others: Others) -> None:
        self.engine = engine
        self.others = others
        self.unread: t.Dict[Ref, str] = {}

    def read(self, item: Manifest) -> t.Iterator[t.Tuple[str, Policy]]:
        """The tier that a policy belongs to, and what it says; nothing where it is no policy, or not enforced."""
        kind, name = item["kind"], group(item)
        try:
            if kind == "NetworkPolicy" and name == "networking.k8s.io":
                yield self._plain(), self._ordered(kubernetes.read(item, self.engine != CILIUM))
            elif kind in cluster_policies.KINDS:
                yield self._cluster(item), cluster_policies.read(item, self.engine != CILIUM)
            elif name == calico.API_GROUP and kind in ("NetworkPolicy", "GlobalNetworkPolicy"):
                self._enforced(CALICO)
                yield calico.tier(item), calico.read(item, self.others)
            elif kind in cilium.KINDS:
                self._enforced(CILIUM)
                for policy in cilium.read(item, self.others):
                    yield CILIUM, policy
            elif kind in STAGED:
                raise UnreadError("it is staged: nothing is denied by it yet")
        except ElsewhereError:
            return
        except UnreadError as error:
            self.unread[ref_of(item)] = str(error)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            # what the API server would not have taken can only come from a declaration
            self.unread[ref_of(item)] = f"it cannot be read ({type(error).__name__}: {error})"

    def _enforced(self, engine: str) -> None:
        if self.engine != engine:
            raise UnreadError(f"{self.engine} does not enforce it")

    def _plain(self) -> str:
        return {CALICO: _DEFAULT, CILIUM: CILIUM, KUBERNETES: KUBERNETES}[self.engine]

    def _ordered(self, policy: Policy) -> Policy:
        """With Cilium, what any policy denies comes before."""
        if self.engine != CILIUM:
            return policy
        return Policy(
            policy.ref,
            policy.subject,
            (cilium.ALLOWANCES, str(policy.ref)),
            policy.ingress,
            policy.egress,
            policy.isolates,
        )

    def _cluster(self, item: Manifest) -> str:
        admin = cluster_policies.tier(item) == cluster_policies.ADMIN
        if self.engine != CALICO:
            return cluster_policies.ADMIN if admin else cluster_policies.BASELINE
        if item["kind"] == "ClusterNetworkPolicy":
            return "kube-admin" if admin else "kube-baseline"
        return "adminnetworkpolicy" if admin else "baselineadminnetworkpolicy"


def _tiers(engine: str, manifests: t.Sequence[Manifest]) -> t.Dict[str, Tier]:
    if engine == CALICO:
        tiers = {name: Tier(name, order, default) for name, (order, default) in calico.TIERS.items()}
        for item in manifests:
            if item["kind"] == "Tier" and group(item) == calico.API_GROUP:
                spec, name = item.get("spec") or {}, item["metadata"]["name"]
                order = spec.get("order")
                default = PASS if spec.get("defaultAction") == "Pass" else DENY
                tiers[name] = Tier(name, calico.LAST if order is None else float(order), default)
        return tiers
    return {
        cluster_policies.ADMIN: Tier(cluster_policies.ADMIN, 0.0, PASS),
        engine: Tier(engine, 1.0, DENY),
        cluster_policies.BASELINE: Tier(cluster_policies.BASELINE, 2.0, PASS),
    }


def read(manifests: t.Sequence[Manifest], engine: str = "", staged: bool = False) -> Rulebook:
    """The policies among objects of any kind.

    :param engine: what enforces them; found from the policies when empty.
    :param staged: whether Calico's staged policies count as if they were no longer staged.
    """
    engine = engine or engine_of(manifests)
    policies = unstaged(manifests) if staged else manifests
    reader = _Reader(engine, others_of(manifests))
    tiers = _tiers(engine, manifests)
    for item in policies:
        for name, policy in reader.read(item):
            if name in tiers:
                tiers[name].policies.append(policy)
            else:
                reader.unread[policy.ref] = f"there is no tier {name}"
    for tier in tiers.values():
        tier.policies.sort(key=lambda policy: policy.order)
    ordered = sorted(tiers.values(), key=lambda tier: (tier.order, tier.name))
    return Rulebook(engine, [tier for tier in ordered if tier.policies], reader.unread)
