# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Converted PodSecurityPolicies admit, refuse and fill in what the originals did, whatever policies and pods there are.

The originals are judged by the admission plug-in of Kubernetes 1.24 (tests/testbed/go/psp). Each pair of policies and
pod comes from its seed, so every run tries the same ones.
"""

from __future__ import annotations

import os
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Api, ApiError
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.psp_conversion import convert

from tests.support import psp
from tests.support.modules import run_module
from tests.support.oracle import ask
from tests.testbed import binaries
from tests.testbed.control_plane import ControlPlane

Fields = dict[str, t.Any]

#: 20,000 with HARDENED_K8S_TEST_PAIRS=20000.
PAIRS = int(os.environ.get("HARDENED_K8S_TEST_PAIRS", "600"))
PODS_EACH = 100 if PAIRS > 5000 else 30
#: Which part of them, such as 3/10: what takes hours on a busy machine can be done bit by bit.
PART, PARTS = map(int, os.environ.get("HARDENED_K8S_TEST_PART", "1/1").split("/"))
#: Sets of policies that are in force at a time.
BATCH = 20
REQUESTER = "psp-requester"
CANARY = "psp-canary"

_RBAC = "/apis/rbac.authorization.k8s.io/v1"


class Difference(t.NamedTuple):
    seed: str
    theirs: t.Any
    ours: t.Any


class Comparison:
    """Both sides of it."""

    def __init__(self, cluster: ControlPlane) -> None:
        self.cluster = cluster
        self.admin = Api({"kubeconfig": cluster.config})
        self.requester = Api({"kubeconfig": cluster.config, "impersonate_user": REQUESTER})
        self.admitted = self.refused = self.mutated = 0
        #: Sets of which no policy ever admitted a pod.
        self.unusable: set[str] = set()
        self._canary = "none"

    def prepare(self) -> None:
        for name in psp.CLASSES:
            self._make("/apis/node.k8s.io/v1/runtimeclasses", name, handler=name)
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}]
        self._make(f"{_RBAC}/clusterroles", REQUESTER, rules=rules)
        self._bind(f"{_RBAC}/clusterrolebindings", "ClusterRole", REQUESTER, _user())
        self.namespace(CANARY)

    def _make(self, path: str, name: str, **body: t.Any) -> None:
        try:
            self.admin.request("POST", path, body={"metadata": {"name": name}, **body})
        except ApiError as error:
            if error.status != 409:
                raise

    def _bind(self, path: str, kind: str, name: str, subject: Fields) -> None:
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        self._make(path, name, roleRef=reference, subjects=[subject])

    def namespace(self, name: str) -> None:
        self._make("/api/v1/namespaces", name)
        while not self._there(f"/api/v1/namespaces/{name}/serviceaccounts/default"):
            time.sleep(0.05)

    def _there(self, path: str) -> bool:
        try:
            return bool(self.admin.request("GET", path).body)
        except ApiError:
            return False

    def admit(self, pod: Fields, user: Api | None = None) -> Fields | None:
        """The pod as it is admitted; None when it is refused."""
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods"
        try:
            return (user or self.admin).request("POST", path, {"dryRun": "All"}, pod).body
        except ApiError as error:
            if error.status in (403, 422):
                return None
            raise

    def install(self, seeds: t.Sequence[str]) -> dict[str, psp.Cluster]:
        """A namespace for each set of policies, converted, and the right to use them as it was."""
        clusters = {seed: psp.cluster(seed) for seed in seeds}
        items = []
        for seed, made in clusters.items():
            self.namespace(seed)
            for name, subject, allowed in (
                ("user", _user(), made.user),
                ("account", {"kind": "ServiceAccount", "name": "default", "namespace": seed}, made.account),
            ):
                rules = [_use(allowed)] if allowed else []
                self._make(f"{_RBAC}/namespaces/{seed}/roles", name, rules=rules)
                self._bind(f"{_RBAC}/namespaces/{seed}/rolebindings", "Role", name, subject)
            try:
                (item,) = convert([*made.policies, *_everybody(made.everybody)], seed)["policies"]
            except HardenedError as error:
                if "none of the policies admitted any pod" not in str(error):
                    raise
                self.unusable.add(seed)
                continue
            del item["namespace_selector"]
            items.append({**item, "namespaces": [seed]})
        params = {"kubeconfig": self.cluster.config, "owner": "differential", "prune": True}
        # written last of all: once it is in force, the others are
        for canary in (self._canary, seeds[0]):
            result = run_module("pod_security_policy", {**params, "policies": [*items, _canary(canary)]})
            assert not result.get("failed"), result["msg"]
        self._canary = seeds[0]
        self._until_in_force(seeds[0])
        return clusters

    def _until_in_force(self, canary: str) -> None:
        deadline = time.monotonic() + 120
        plain = psp.pod("none", CANARY)
        other = {**plain, "spec": {**plain["spec"], "securityContext": {"seccompProfile": psp.profile("localhost/x")}}}
        while True:
            filled = psp.essence(self.admit(plain) or plain)["pod"].get("seccompProfile")
            if filled == psp.profile(f"localhost/{canary}") and canary in self._refusal(other):
                return
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def _refusal(self, pod: Fields) -> str:
        try:
            self.admin.request("POST", f"/api/v1/namespaces/{CANARY}/pods", {"dryRun": "All"}, pod)
        except ApiError as error:
            return error.message
        return ""

    def compare(self, seeds: t.Sequence[str]) -> list[Difference]:
        """The pairs of these sets of policies with their pods that end differently."""
        clusters = self.install(seeds)
        pairs = [(seed, f"{seed}-{index}") for seed in seeds for index in range(PODS_EACH)]
        questions = [_question(clusters[seed], psp.pod(name, seed)) for seed, name in pairs]
        with ThreadPoolExecutor(8) as pool:
            ours = pool.map(lambda pair: self._ours(*pair), pairs)
            theirs = ask(binaries.psp(), questions)
            judged = [
                (pair, self._compared(pair, their, our)) for pair, their, our in zip(pairs, theirs, ours, strict=True)
            ]
        for seed in seeds:
            self.admin.request("DELETE", f"/api/v1/namespaces/{seed}")
        return [difference for _pair, difference in judged if difference]

    def _ours(self, seed: str, name: str) -> Fields | None:
        return None if seed in self.unusable else self.admit(psp.pod(name, seed), self.requester)

    def _compared(self, pair: tuple[str, str], theirs: Fields, ours: Fields | None) -> Difference | None:
        seed, name = pair
        assert "invalid" not in theirs, (name, theirs["invalid"])
        pod = psp.pod(name, seed)
        if theirs["admitted"] and ours:
            expected, found = psp.essence(theirs["pod"]), psp.essence(ours)
            self.admitted += 1
            self.mutated += expected != psp.essence(psp.as_of_old(pod))
            return Difference(name, expected, found) if expected != found else None
        if not theirs["admitted"] and not ours:
            self.refused += 1
            return None
        if theirs["admitted"] and seed not in self.unusable and self.admit(psp.of_today(theirs["pod"], pod)) is None:
            self.refused += 1  # what the policy filled in makes a pod that the API itself takes from nobody
            return None
        return Difference(name, theirs, ours)


def _user() -> Fields:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": REQUESTER}


def _use(names: t.Sequence[str]) -> Fields:
    return {
        "apiGroups": ["policy"],
        "resources": ["podsecuritypolicies"],
        "resourceNames": [*names],
        "verbs": ["use"],
    }


def _everybody(names: t.Sequence[str]) -> list[Fields]:
    """The cluster role and binding that let everybody use some policies."""
    if not names:
        return []
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}
    return [
        {"kind": "ClusterRole", "metadata": {"name": "everybody"}, "rules": [_use(names)]},
        {
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "everybody"},
            "roleRef": {"kind": "ClusterRole", "name": "everybody"},
            "subjects": [group],
        },
    ]


def _canary(profile: str) -> Fields:
    profiles = {"default_seccomp_profile": f"localhost/{profile}", "allowed_seccomp_profiles": [f"localhost/{profile}"]}
    return {"name": "canary", "namespaces": [CANARY], **profiles}


def _question(cluster: psp.Cluster, pod: Fields) -> Fields:
    return {
        "policies": cluster.policies,
        "pod": psp.as_of_old(pod),
        "user": [*cluster.user, *cluster.everybody],
        "serviceAccount": cluster.account,
    }


@pytest.fixture(scope="module")
def comparison(cluster: ControlPlane) -> Comparison:
    made = Comparison(cluster)
    made.prepare()
    return made


# slow, and defaults are filled in by MutatingAdmissionPolicies, which the oldest Kubernetes does not serve
@pytest.mark.slow
def test_converted_policies_do_what_the_originals_did(comparison: Comparison) -> None:
    seeds = [f"psp-{number}" for number in range(max(1, PAIRS // PODS_EACH))]
    seeds = seeds[len(seeds) * (PART - 1) // PARTS : len(seeds) * PART // PARTS]
    differences = []
    for start in range(0, len(seeds), BATCH):
        differences += comparison.compare(seeds[start : start + BATCH])
    print(f"{comparison.admitted} admitted, {comparison.mutated} of them changed, {comparison.refused} refused")
    assert differences == []
    # a comparison is of worth where all of it occurs
    assert min(comparison.admitted, comparison.mutated, comparison.refused) > len(seeds) * PODS_EACH / 20
