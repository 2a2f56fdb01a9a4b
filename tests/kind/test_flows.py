# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies on real networks: what network_probe finds, and whether the evaluator says what really is reached."""

from __future__ import annotations

import itertools
import json
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.kind.conftest import METADATA, Hardened
from tests.support.boutique import HIDDEN_PORT, as_list
from tests.support.flows import REAL
from tests.support.flows import pod as made
from tests.support.modules import Result, run_module
from tests.testbed.kind import Kind
from tests.testbed.node_image import BOUTIQUE

Item = dict[str, t.Any]

#: Nobody denies anything there.
CONTROL = "default"
WEB, API, OTHER = {"app": "web"}, {"app": "api"}, {"app": "other"}
PORTS = [8080, "5353/UDP"]


def run(cluster: Kind, module: str, **params: t.Any) -> Result:
    return run_module(module, {"kubeconfig": str(cluster.kubeconfig), **params})


def done(result: Result) -> Result:
    assert not result.get("failed"), result["msg"]
    return result


# -- network_probe


def tenants(prefix: str, **network: t.Any) -> list[Item]:
    """Two, one of which may call the other on two ports, and ask DNS."""
    web, api = f"{prefix}-web", f"{prefix}-api"
    egress = [{"from": WEB, "to": [{"namespace": api, "pods": API}], "ports": PORTS}]
    ingress = [{"to": API, "from": [{"namespace": web, "pods": WEB}], "ports": PORTS}]
    return [
        {"name": web, "pod_security": "restricted", "network": {"egress": egress, **network}},
        {"name": api, "pod_security": "restricted", "network": {"dns": False, "ingress": ingress, **network}},
    ]


def tried(prefix: str) -> list[Item]:
    """What is allowed, and what is denied: another port, pod, direction, protocol; addresses and names outside."""
    web, other = ({"namespace": f"{prefix}-web", "labels": labels} for labels in (WEB, OTHER))
    api = {"namespace": f"{prefix}-api", "labels": API}
    address, _colon, port = METADATA.partition(":")
    asked = [
        (web, api, 8080, "TCP", "allowed"),
        (web, api, 5353, "UDP", "allowed"),
        (web, api, 9090, "TCP", "denied"),
        (web, api, 8080, "UDP", "denied"),
        (other, api, 8080, "TCP", "denied"),
        (other, api, 5353, "UDP", "denied"),
        (api, web, 8080, "TCP", "denied"),
        (web, {"address": address}, int(port), "TCP", "denied"),
        (web, {"domain": "kubernetes.default.svc.cluster.local"}, 443, "TCP", "denied"),
        (web, {"domain": "kubernetes.default.svc.cluster.local."}, 53, "UDP", "allowed"),
        (api, {"domain": "kubernetes.default.svc.cluster.local."}, 53, "UDP", "denied"),
    ]
    flows: list[Item] = [
        {"from": source, "to": target, "port": number, "protocol": protocol, "expect": expect}
        for source, target, number, protocol, expect in asked
    ]
    # between pods over IPv6, too: an address or a name is what it is
    return [*flows, *({**flow, "ip_version": 6} for flow in flows if "namespace" in flow["to"])]


def probe(cluster: Kind, flows: list[Item]) -> Result:
    return run(cluster, "network_probe", flows=flows, control_namespace=CONTROL, timeout=300)


def verdicts(result: Result) -> dict[str, set[str]]:
    """What was declared -> the verdicts on it."""
    found: dict[str, set[str]] = {}
    for entry in result["results"]:
        found.setdefault(entry["expect"], set()).add(entry["verdict"])
    return found


def canaries(cluster: Kind) -> list[str]:
    query = "?labelSelector=hardened.k8s/probe"
    paths = [f"/api/v1/pods{query}", f"/api/v1/configmaps{query}", f"/apis/batch/v1/jobs{query}"]
    return [item["metadata"]["name"] for path in paths for item in cluster.get(path)["items"]]


def test_where_policies_are_ignored_denials_are_not_enforced_and_controls_pass(bridge: Hardened) -> None:
    done(run(bridge.cluster, "tenant", tenants=tenants("probe"), owner="probe"))
    result = probe(bridge.cluster, tried("probe"))
    assert result["failed"]
    assert len(result["results"]) == 11 + 7
    assert verdicts(result) == {"allowed": {"enforced"}, "denied": {"not enforced"}}
    assert canaries(bridge.cluster) == []


def test_where_policies_are_enforced_all_of_it_is(cilium: Hardened) -> None:
    done(run(cilium.cluster, "tenant", tenants=tenants("probe"), owner="probe"))
    result = done(probe(cilium.cluster, tried("probe")))
    assert verdicts(result) == {"allowed": {"enforced"}, "denied": {"enforced"}}
    assert canaries(cilium.cluster) == []


def test_at_stage_warn_nothing_is_denied_yet(cilium: Hardened) -> None:
    declared = {"tenants": tenants("warned"), "owner": "warned"}
    done(run(cilium.cluster, "tenant", stage="warn", **declared))
    result = probe(cilium.cluster, tried("warned")[:5])
    assert result["failed"]
    assert verdicts(result) == {"allowed": {"enforced"}, "denied": {"not enforced"}}


def test_policies_of_ciliums_own_are_enforced_and_its_admin_policies_before_them(cilium: Hardened) -> None:
    cluster, prefix = cilium.cluster, "own"
    done(run(cluster, "tenant", tenants=tenants(prefix, provider="cilium"), owner=prefix))
    kinds = {policy["kind"] for policy in cluster.get("/apis/cilium.io/v2/ciliumnetworkpolicies")["items"]}
    assert kinds == {"CiliumNetworkPolicy"}
    assert verdicts(done(probe(cluster, tried(prefix)))) == {"allowed": {"enforced"}, "denied": {"enforced"}}

    guard = {
        "name": prefix,
        "namespaces": {"kubernetes.io/metadata.name": f"{prefix}-web"},
        "egress": [{"action": "deny", "to": [{"namespace": f"{prefix}-api"}], "ports": [8080]}],
    }
    declared = {"cluster_policies": [guard], "owner": f"{prefix}-guard"}
    written = done(run(cluster, "network_policy", **declared))
    assert [item["kind"] for item in written["objects"]] == ["CiliumClusterwideNetworkPolicy"]
    denied = [
        {**flow, "expect": "denied"} if (flow["from"].get("labels"), flow["port"]) == (WEB, 8080) else flow
        for flow in tried(prefix)
    ]
    try:
        result = done(probe(cluster, denied))
        assert verdicts(result) == {"allowed": {"enforced"}, "denied": {"enforced"}}
    finally:
        run(cluster, "network_policy", state="absent", **declared)


# -- the evaluator against real requests

#: Pods whose flows are asked for and tried, as ``tests.support.flows.CLUSTER`` has them; the namespaces have labels.
SPACES = {"shop": {"team": "a"}, "api": {"team": "b"}, "ops": {}}
LABELS: dict[tuple[str, str], dict[str, str]] = {
    ("shop", "web-1"): {"app": "web", "tier": "front"},
    ("shop", "api-1"): {"app": "api"},
    ("api", "api-1"): {"app": "api", "tier": "front"},
    ("api", "db-1"): {"app": "db"},
    ("ops", "scan-1"): {},
}
Called = dict[tuple[str, str, int], bool]


class Pods(t.NamedTuple):
    """Pods that call each other, by namespace and name."""

    cluster: Kind
    addresses: dict[str, str]
    #: The port that each calls http; all listen on another one, too.
    ports: dict[str, int]

    def calls(self) -> list[tuple[str, str, int]]:
        pairs = itertools.permutations(self.addresses, 2)
        return [(source, target, port) for source, target in pairs for port in (self.ports[target], HIDDEN_PORT)]

    def predicted(self) -> Called:
        """What the evaluator says of each call, from what is in the cluster."""
        calls = self.calls()
        flows = [
            {"from": _end(source), "to": _end(target), "port": port, "protocol": "TCP"}
            for source, target, port in calls
        ]
        answers = done(run(self.cluster, "network_flow_info", engine="cilium", flows=flows))["answers"]
        return {call: answer["allowed"] for call, answer in zip(calls, answers, strict=True)}

    def reached(self) -> Called:
        """What comes of each call."""

        def everybody(caller: str) -> Called:
            calls = [call for call in self.calls() if call[0] == caller]
            wanted = {f"{self.addresses[target]}:{port}": (source, target, port) for source, target, port in calls}
            space, name = caller.split("/")
            command = ["exec", name, f"--namespace={space}", "--", "/boutique", "call", "2s", *wanted]
            return {wanted[item["to"]]: item["result"] == "open" for item in json.loads(self.cluster.kubectl(*command))}

        found: Called = {}
        with ThreadPoolExecutor(4) as pool:
            for some in pool.map(everybody, self.addresses):
                found.update(some)
        return found


def _end(name: str) -> dict[str, str]:
    return dict(zip(("namespace", "pod"), name.split("/"), strict=True))


@pytest.fixture(scope="module")
def pods(cilium: Hardened) -> Pods:
    cluster = cilium.cluster
    objects: list[Item] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        for name, labels in SPACES.items()
    ]
    ports = {}
    for (space, name), labels in LABELS.items():
        item = made(space, name, "", False, "", **labels)
        (container,) = item["spec"]["containers"]
        (port,) = container["ports"]
        ports[f"{space}/{name}"] = port["containerPort"]
        server = {**container, "image": BOUTIQUE, "env": [{"name": "PORT", "value": str(port["containerPort"])}]}
        sysctls = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
        objects.append(
            {**item, "spec": {"containers": [server], "securityContext": {"sysctls": sysctls}}, "status": {}}
        )
    cluster.kubectl("apply", "--filename=-", text=as_list(objects[: len(SPACES)]))
    for space in SPACES:
        cluster.kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={space}", "--timeout=60s")
    cluster.kubectl("apply", "--filename=-", text=as_list(objects[len(SPACES) :]))
    addresses = {}
    for space in SPACES:
        cluster.kubectl("wait", "--for=condition=Ready", "pod", "--all", f"--namespace={space}", "--timeout=180s")
        for item in cluster.get(f"/api/v1/namespaces/{space}/pods")["items"]:
            addresses[f"{space}/{item['metadata']['name']}"] = item["status"]["podIP"]
    return Pods(cluster, addresses, ports)


@settings(max_examples=8, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
@given(policies=REAL)
def test_what_the_evaluator_says_is_what_is_reached(pods: Pods, policies: list[Item]) -> None:
    try:
        pods.cluster.kubectl("apply", "--filename=-", text=as_list(policies))
        wanted = pods.predicted()
        # Cilium follows after a while; once it has, it stays so
        deadline, same = time.monotonic() + 60, 0
        while same < 2:
            found = pods.reached()
            same = same + 1 if found == wanted else 0
            if time.monotonic() > deadline:
                assert found == wanted
    finally:
        pods.cluster.kubectl("delete", "--wait", "--ignore-not-found", "--filename=-", text=as_list(policies))


def test_without_policies_everybody_is_reached(pods: Pods) -> None:
    assert set(pods.reached().values()) == {True}
    assert set(pods.predicted().values()) == {True}
