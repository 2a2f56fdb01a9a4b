# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An exception ends by itself, on its day: for new pods, and for what becomes of pods and workloads from before."""

from __future__ import annotations

import copy
import datetime
import json
import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Api
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Context
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.pod_security_policy import declare

from tests.support.admission import Admission, until
from tests.support.pod_security import plain_pod
from tests.testbed.control_plane import ControlPlane
from tests.testbed.versions import minor

Fields = dict[str, t.Any]

_LAST_DAY = datetime.date(2999, 12, 30)
_END = "2999-12-31T00:00:00Z"
_PRIVILEGED = {"securityContext": {"privileged": True}}
_DEBUGGER = {"name": "debugger", "image": "busybox", **_PRIVILEGED}


def policies(prefix: str, version: int, rules: list[str]) -> list[Fields]:
    exception = {"name": "legacy", "rules": rules, "owner": "team-shop", "reason": "old", "expires": str(_LAST_DAY)}
    item = {"name": prefix, "namespaces": [prefix], "privileged": False, "host_pid": False, "exceptions": [exception]}
    declared = declare(item, "", Context("enforce", version))
    assert declared.problems == []
    return declared.objects


def written(cluster: ControlPlane, manifests: list[Fields], end: str) -> None:
    """The policies as they are on another day: what has an end ends then."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    cluster.kubectl("apply", "--server-side", "-f", "-", text=text.replace(_END, end))


def privileged(name: str, namespace: str) -> Fields:
    pod = plain_pod(name, namespace)
    pod["spec"]["containers"][0] |= _PRIVILEGED
    return pod


def workload(pod: Fields, image: str) -> Fields:
    template = {"metadata": {"labels": {"app": "old"}}, "spec": copy.deepcopy(pod["spec"])}
    template["spec"]["containers"][0]["image"] = image
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "old"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "old"}, "spec": spec}


@pytest.mark.parametrize("rules", [[], ["privileged"]], ids=["from-all-rules", "from-one"])
def test_what_was_made_in_time_is_no_way_around_the_end_of_an_exception(
    cluster: ControlPlane, prefix: str, rules: list[str]
) -> None:
    admission, api = Admission(cluster), Api({"kubeconfig": cluster.config})
    manifests = policies(prefix, int(minor(cluster.kubernetes)), rules)
    admission.namespace(prefix)
    pod, deployments = privileged("there", prefix), f"/apis/apps/v1/namespaces/{prefix}/deployments"
    try:
        written(cluster, manifests, "2020-01-01T00:00:00Z")
        until(lambda: "privileged is true" in admission.create(pod).message)
        written(cluster, manifests, _END)
        until(lambda: admission.create(pod).message == "")
        until(lambda: not api.request("POST", deployments, {"dryRun": "All"}, workload(pod, "one")).warnings)
        assert type_warnings(cluster, manifests) == []
        assert admission.create(pod, dry=False).message == ""
        assert admission.debug(pod, _DEBUGGER).message == ""
        assert api.request("POST", deployments, None, workload(pod, "one")).warnings == []
        assert api.request("PUT", f"{deployments}/old", {"dryRun": "All"}, workload(pod, "two")).warnings == []

        end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)
        written(cluster, manifests, end.strftime("%Y-%m-%dT%H:%M:%SZ"))
        until(lambda: "privileged is true" in admission.create(privileged("late", prefix)).message)
        until(lambda: bool(api.request("POST", deployments, {"dryRun": "All"}, renamed(pod)).warnings))
        assert "ephemeral container debugger: " in admission.debug(pod, _DEBUGGER).message
        assert "ephemeral container debugger: " in forged(cluster, admission, pod)
        (said,) = api.request("PUT", f"{deployments}/old", {"dryRun": "All"}, workload(pod, "two")).warnings
        assert "container web: securityContext.privileged is true" in said
        assert admission.update(pod, {"metadata": {"labels": {"a": "b"}}}).message == "", "what runs is left alone"
    finally:
        for manifest in manifests:
            cluster.kubectl("delete", manifest["kind"], manifest["metadata"]["name"])


def type_warnings(cluster: ControlPlane, manifests: list[Fields]) -> list[Fields]:
    names = [m["metadata"]["name"] for m in manifests if m["kind"] == "ValidatingAdmissionPolicy"]
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/"

    def checked() -> list[Fields]:
        found: list[Fields] = [cluster.get(path + name) for name in names]
        current = [item for item in found if item.get("status", {}).get("observedGeneration") == generation(item)]
        return [item["status"]["typeChecking"] for item in current if "typeChecking" in item["status"]]

    assert len(names) == 2
    until(lambda: len(checked()) == len(names))
    return [warnings for warnings in checked() if warnings]


def generation(manifest: Fields) -> int:
    return int(manifest["metadata"]["generation"])


def renamed(pod: Fields) -> Fields:
    made = workload(pod, "one")
    return {**made, "metadata": {"name": "late"}}


def forged(cluster: ControlPlane, admission: Admission, pod: Fields) -> str:
    """The answer to somebody who dates the managed fields himself."""
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/ephemeralcontainers"
    body = cluster.get(path)
    body["spec"]["ephemeralContainers"] = [_DEBUGGER]
    backdated = [{**entry, "time": "2020-01-01T00:00:00Z"} for entry in body["metadata"]["managedFields"]]
    dates: list[list[Fields]] = [[], [{}], backdated]
    said = []
    for fields in dates:
        body["metadata"]["managedFields"] = fields
        said.append(admission.put(path, body).message)
    return min(said, key=len)
