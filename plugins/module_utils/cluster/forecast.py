# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan does to flows, before it is carried out: those that it opens and closes, and those seen that it cuts.

What judges flows is imported where flows are judged: Ansible has Python compile a module anew each time, and a run
that changes no policy should not wait for that.
"""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.observed import Flow
from ansible_collections.hardened.k8s.plugins.module_utils.cluster import flows as cluster_flows
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Api
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.reconcile import DELETE, Plan, Step
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest

if t.TYPE_CHECKING:
    from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.enquiry import Enquiry

_POLICIES = (
    "NetworkPolicy",
    *(kind.key for kind in cluster_flows.EXTENSIONS if kind.name.endswith(("Policy", "NetworkSet"))),
)
#: The header of the part of a diff that is about flows.
HEADER = "Flows"


class Forecast:
    """The cluster's flows as they are, and as they will be once a plan is carried out."""

    def __init__(self, api: Api, plan: Plan) -> None:
        self.api = api
        self.plan = plan
        self._objects: t.Optional[t.Sequence[Manifest]] = None

    def _steps(self) -> t.List[Step]:
        return [step for step in self.plan.steps if step.ref.kind in _POLICIES and step.changed]

    def _enquiries(self, steps: t.Sequence[Step]) -> t.Dict[int, Enquiry]:
        """One for each version of IP that pods have."""
        from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import book
        from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.enquiry import Enquiry
        from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.world import versions

        if self._objects is None:
            self._objects = cluster_flows.read(self.api)
        gone = {
            (step.kind.group, step.kind.name, step.ref.namespace, step.ref.name)
            for step in steps
            if step.action == DELETE
        }
        written = [step.desired for step in steps if step.action != DELETE and step.desired]
        tiers = [step.desired for step in self.plan.steps if step.ref.kind == "Tier" and step.desired]
        declared = [*written, *tiers]
        # whose kinds are written is whose rules hold; of NetworkPolicies it has to be found out
        engine = book.engine_of(written)
        pods = [item for item in self._objects if item["kind"] == "Pod"]
        return {
            version: Enquiry(
                self._objects,
                "" if engine == book.KUBERNETES else engine,
                version,
                declared=declared,
                removed=gone,
            )
            for version in versions(pods)
        }

    def cuts(self, flows: t.Sequence[Flow]) -> t.List[Finding]:
        """What of the flows that were seen or are needed the plan would cut, by the policy that would.

        Policies of the whole cluster are asked besides whether they cut pods off from DNS and from the API server.

        :raises HardenedError: the cluster could not be read.
        """
        steps = self._steps()
        removed = {step.ref for step in steps if step.action == DELETE}
        written = {step.ref for step in steps} - removed
        wide = {step.ref for step in steps if not step.kind.namespaced} & written
        if not wide and not (steps and flows):
            return []
        from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import audit

        found: t.List[Finding] = []
        for asked in self._enquiries(steps).values():
            found += audit.newly_cut(asked.before, asked.after, asked.seen(flows), written, removed)
            found += audit.newly_cut(asked.before, asked.after, asked.system() if wide else (), wide, told=audit.SYSTEM)
            found += audit.unchecked(asked.nobodys(flows))
        return list(dict.fromkeys(found))

    def diff(self) -> t.List[t.Dict[str, str]]:
        """The flows that are opened and closed, as a part of Ansible's diff; nothing when there are none.

        :raises HardenedError: the cluster could not be read.
        """
        steps = self._steps()
        asked = self._enquiries(steps) if steps else {}
        told = {version: [_line(change) for change in each.changes()] for version, each in asked.items()}
        lines: t.Dict[str, None] = {}
        for version, found in told.items():
            for line in found:
                both = all(line in others for others in told.values())
                lines[f"{line}\n" if both else f"{line} over IPv{version}\n"] = None
        return [{"header": HEADER, "prepared": "".join(lines)}] if lines else []


def _line(change: t.Mapping[str, t.Any]) -> str:
    ends = [", ".join(change[end]) for end in ("from", "to")]
    return f"{'+' if change['change'] == 'opens' else '-'} {ends[0]} -> {ends[1]}: {change['ports']}"
