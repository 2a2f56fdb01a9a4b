# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pod security policies cost a pod's admission, and how long it takes to say who would be refused."""

from __future__ import annotations

import functools
import json
import random
import statistics
import time
import typing as t
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.hardened.k8s.plugins.module_utils.checks import pod_security, pod_security_policy, workloads
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Api, ApiError
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.reconcile import Reader
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.refusals import workloads_in
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import admission

from tests.support.admission import until
from tests.support.modules import run_module
from tests.support.pod_security import EVERY_RULE, careful_pod
from tests.testbed.control_plane import ControlPlane

Fields = dict[str, t.Any]

#: Namespace -> what judges its pods.
PLACES = {
    "bench-none": "nothing",
    "bench-restricted": "the level `restricted`",
    "bench-false": "a policy whose only condition is `false`: what a policy costs before it looks at anything",
    "bench-both": "the same, and such a policy that would fill in defaults",
    "bench-rules": f"a policy with {len(EVERY_RULE)} rules, and no defaults to fill in",
    "bench-defaults": "the same, defaults filled in",
}
MANY = "bench-many"


def _ready(api: Api, name: str) -> bool:
    try:
        _create(api, careful_pod("ready", name))
    except ApiError:  # its service account is not there yet
        return False
    return True


def _create(api: Api, pod: Fields, **query: str) -> None:
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods"
    api.request("POST", path, {"dryRun": "All"} if not query else None, pod)


def _prepare(cluster: ControlPlane, api: Api) -> None:
    for name in (*PLACES, MANY):
        labels = {"pod-security.kubernetes.io/enforce": "restricted"} if name == "bench-restricted" else {}
        api.request("POST", "/api/v1/namespaces", None, {"metadata": {"name": name, "labels": labels}})
        until(functools.partial(_ready, api, name))
    cluster.kubectl("create", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": [*_floor()]}))
    policies = [
        {"name": name, "namespaces": [name], "mutate": name == "bench-defaults", **EVERY_RULE}
        for name in ("bench-rules", "bench-defaults")
    ]
    result = run_module("pod_security_policy", {"kubeconfig": cluster.config, "policies": policies, "owner": "bench"})
    if result.get("failed"):
        raise SystemExit(result["msg"])


def _never(name: str, kind: str, **spec: object) -> Iterator[Fields]:
    """A policy about the pods of a namespace that is done with each at once, and its binding."""
    judged: Fields = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [admission.resources("", ["pods"], ["CREATE"])]},
        "matchConditions": [{"name": "never", "expression": "false"}],
        **spec,
    }
    actions = ["Deny"] if kind == admission.VALIDATING else ()
    selector = {"matchLabels": {"kubernetes.io/metadata.name": name}}
    return admission.bound(f"{name}.hardened.k8s", judged, actions, selector, kind)


def _floor() -> Iterator[Fields]:
    for name in ("bench-false", "bench-both"):
        yield from _never(name, admission.VALIDATING, validations=[{"expression": "true"}])
    patch = {
        "patchType": "JSONPatch",
        "jsonPatch": {"expression": '[JSONPatch{op: "remove", path: "/metadata/labels"}]'},
    }
    yield from _never("bench-both", admission.MUTATING, reinvocationPolicy="IfNeeded", mutations=[patch])


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _latency(api: Api, rounds: int) -> dict[str, float]:
    """Namespace -> milliseconds of one pod's creation at the median; each round has an order of its own.

    What comes after an expensive one would otherwise always be the same.
    """
    pods = {name: careful_pod("asked", name) for name in PLACES}
    taken: dict[str, list[float]] = {name: [] for name in PLACES}
    order, chance = [*PLACES], random.Random(0)
    for _round in range(rounds):
        chance.shuffle(order)
        for name in order:
            taken[name].append(1000 * _timed(functools.partial(_create, api, pods[name])))
    return {name: statistics.median(times) for name, times in taken.items()}


def _many(api: Api, count: int) -> None:
    """As they run: of one template in 20, each with the token of its service account under a name of its own."""

    def create(number: int) -> None:
        pod = careful_pod(f"web-{number}", MANY)
        pod["spec"]["automountServiceAccountToken"] = True
        pod["spec"]["containers"][0]["env"] = [{"name": "TEMPLATE", "value": str(number // 20)}]
        _create(api, pod, stored="yes")

    with ThreadPoolExecutor(api.workers) as pool:
        for _done in pool.map(create, range(count)):
            pass


def measure(cluster: ControlPlane, rounds: int = 1000, count: int = 10_000) -> Iterator[str]:
    """The tables, line by line."""
    api = Api({"kubeconfig": cluster.config})
    _prepare(cluster, api)
    found = _latency(api, rounds)
    yield f"| a pod's creation is judged by | ms, median of {rounds} | more than by nothing (aim: 1) |"
    yield "| --- | ---: | ---: |"
    for name, judged in PLACES.items():
        yield f"| {judged} | {found[name]:.2f} | {found[name] - found['bench-none']:+.2f} |"
    yield ""
    _many(api, count)
    reader = Reader(api)
    listing = min(_timed(lambda: workloads_in(reader, {MANY})) for _round in range(3))
    judges = {
        "the level `restricted`": lambda: pod_security.by_level("restricted", api.minor()),
        f"a policy with {len(EVERY_RULE)} rules": lambda: pod_security_policy.by_policy(EVERY_RULE, api.minor()),
    }

    def whole(made: Callable[[], pod_security.Judge]) -> None:
        pod_security.violations(workloads_in(reader, {MANY})[MANY], made())

    took = {name: min(_timed(functools.partial(whole, made)) for _round in range(3)) for name, made in judges.items()}
    pods = sum(len(workload.pods) for workload in workloads.found(workloads_in(reader, {MANY})[MANY]))
    if pods != count:
        raise SystemExit(f"{pods} pods were judged of {count}")
    yield f"| who would be refused, of {count} pods | seconds | to listing them |"
    yield "| --- | ---: | ---: |"
    yield f"| listing pods and workloads | {listing:.2f} | 1.00 |"
    for name, seconds in took.items():
        yield f"| listing them and judging them by {name} (aim: 2) | {seconds:.2f} | {seconds / listing:.2f} |"
