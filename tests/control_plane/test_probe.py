# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The live check without nodes: canaries are admitted and removed; a stand-in for the kubelet says how calls end."""

from __future__ import annotations

import signal
import threading
import time
import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import canary

from tests.control_plane.conftest import Runner
from tests.support.modules import spawn_module
from tests.testbed.control_plane import ControlPlane

WEB, API = {"app": "web"}, {"app": "api"}
Status = dict[str, t.Any]


@pytest.fixture
def namespace(run: Runner, cluster: ControlPlane, prefix: str) -> str:
    """A namespace of the strictest level."""
    run("namespace", namespaces=[{"name": prefix, "pod_security": "restricted"}])
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", prefix, "--timeout=30s")
    return prefix


class Kubelet(threading.Thread):
    """Says of canaries that they ran, and how.

    :param calls: by the labels of who calls, the exit code and last words.
    """

    def __init__(self, cluster: ControlPlane, namespace: str, calls: dict[str, tuple[int, str]]) -> None:
        super().__init__(daemon=True)
        self.cluster, self.calls = cluster, calls
        self.path = f"/api/v1/namespaces/{namespace}/pods"
        self.ended = threading.Event()
        self.seen: dict[str, Status] = {}

    def run(self) -> None:
        while not self.ended.wait(0.2):
            for pod in self.cluster.get(self.path)["items"]:
                if pod["metadata"]["name"] not in self.seen:
                    self.seen[pod["metadata"]["name"]] = pod
                    status = {"status": self.status(pod)}
                    path = f"{self.path}/{pod['metadata']['name']}/status"
                    self.cluster.request("PATCH", path, status, "application/merge-patch+json")

    def status(self, pod: Status) -> Status:
        code, words = self.calls.get(pod["metadata"]["labels"].get("app", ""), (0, ""))
        containers = []
        for container in pod["spec"]["containers"]:
            name = container["name"]
            ran = {"running": {"startedAt": None}}
            state = ran if name.startswith(canary.SERVER) else {"terminated": {"exitCode": 0, "reason": "Completed"}}
            if name == canary.CLIENT:
                state = {"terminated": {"exitCode": code, "message": words, "reason": "Error"}}
            told = {"name": name, "ready": False, "restartCount": 0, "image": "", "imageID": "", "state": state}
            containers.append(told)
        phase = "Running" if "server" in pod["metadata"]["name"] else "Succeeded"
        return {"phase": phase, "podIPs": [{"ip": "192.0.2.7"}], "podIP": "192.0.2.7", "containerStatuses": containers}


def left(cluster: ControlPlane, namespace: str) -> list[str]:
    """The canaries that are there."""
    query = f"?labelSelector={canary.PROBE}"
    resources = ("api/v1", "pods"), ("api/v1", "configmaps"), ("apis/batch/v1", "jobs")
    paths = [f"/{api}/namespaces/{namespace}/{resource}{query}" for api, resource in resources]
    return [item["metadata"]["name"] for path in paths for item in cluster.get(path)["items"]]


def eventually(done: t.Callable[[], bool], seconds: float = 120) -> bool:
    """Whether something is so before long."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def flows(namespace: str) -> list[Status]:
    def one(labels: dict[str, str], expect: str) -> Status:
        target = {"namespace": namespace, "labels": API}
        return {"from": {"namespace": namespace, "labels": labels}, "to": target, "port": 80, "expect": expect}

    return [one(WEB, "allowed"), one({"app": "other"}, "denied")]


def test_verdicts_come_from_what_the_canaries_say(run: Runner, cluster: ControlPlane, namespace: str) -> None:
    kubelet = Kubelet(cluster, namespace, {"web": (0, ""), "other": (1, "TIMEOUT")})
    kubelet.start()
    try:
        result = run("network_probe", flows=flows(namespace), settle=0, timeout=60)
    finally:
        kubelet.ended.set()
        kubelet.join()
    assert not result.get("failed"), result["msg"]
    assert [entry["verdict"] for entry in result["results"]] == ["enforced", "enforced"]
    assert len(kubelet.seen) == 3
    assert left(cluster, namespace) == []


def test_a_network_that_ignores_policies_is_told(run: Runner, cluster: ControlPlane, namespace: str) -> None:
    kubelet = Kubelet(cluster, namespace, {})
    kubelet.start()
    try:
        result = run("network_probe", flows=flows(namespace), settle=0, timeout=60)
    finally:
        kubelet.ended.set()
        kubelet.join()
    assert result["failed"]
    assert [entry["verdict"] for entry in result["results"]] == ["enforced", "not enforced"]
    assert "is denied by declaration, not in fact" in result["msg"]


def test_without_nodes_nothing_can_be_told_and_nothing_stays(
    run: Runner, cluster: ControlPlane, namespace: str
) -> None:
    asked = [*flows(namespace), {**flows(namespace)[1], "to": {"address": "169.254.169.254"}}]
    assert {e["verdict"] for e in run("network_probe", check=True, flows=asked)["results"]} == {"cannot tell"}
    result = run("network_probe", flows=asked, settle=0, timeout=1)
    assert not result.get("failed"), result["msg"]
    assert {entry["verdict"] for entry in result["results"]} == {"cannot tell"}
    assert left(cluster, namespace) == []


def test_whoever_is_asked_to_end_takes_the_canaries_back(cluster: ControlPlane, namespace: str) -> None:
    params = {"kubeconfig": cluster.config, "flows": flows(namespace), "timeout": 600}
    process = spawn_module("network_probe", params)
    assert eventually(lambda: len(left(cluster, namespace)) > 2)
    process.send_signal(signal.SIGTERM)
    process.wait(120)
    assert left(cluster, namespace) == []


def test_what_a_killed_run_left_goes_by_itself(cluster: ControlPlane, namespace: str) -> None:
    process = spawn_module("network_probe", {"kubeconfig": cluster.config, "flows": flows(namespace), "timeout": 600})
    assert eventually(lambda: len(left(cluster, namespace)) > 2)
    process.kill()
    process.wait(120)
    (job,) = cluster.get(f"/apis/batch/v1/namespaces/{namespace}/jobs")["items"]
    assert job["spec"]["activeDeadlineSeconds"] > 1200
    assert len(left(cluster, namespace)) > 2
    # its time runs out now
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{job['metadata']['name']}"
    cluster.request("PATCH", path, {"spec": {"activeDeadlineSeconds": 1}}, "application/merge-patch+json")
    assert eventually(lambda: not left(cluster, namespace))
