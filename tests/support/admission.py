# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking an API server what it admits, also in somebody else's name."""

from __future__ import annotations

import json
import time
import typing as t
import urllib.error

from tests.support.modules import run_module
from tests.support.pod_security import plain_pod
from tests.testbed.control_plane import ControlPlane

Fields = dict[str, t.Any]


def until(question: t.Callable[[], bool]) -> None:
    """Wait until the API server has taken notice of a policy."""
    deadline = time.monotonic() + 60
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Refusal(t.NamedTuple):
    """What the API server answers; ``message`` is empty when it admits."""

    message: str
    body: Fields


class Admission:
    """Requests to an API server that change nothing, and policies that come and go."""

    def __init__(self, cluster: ControlPlane) -> None:
        self.cluster = cluster

    def _ask(self, method: str, path: str, body: Fields, **more: t.Any) -> Refusal:
        try:
            return Refusal("", self.cluster.request(method, path, body, **more))
        except urllib.error.HTTPError as error:
            status = json.loads(error.read())
            return Refusal(str(status["message"]), status)

    def create(self, pod: Fields, dry: bool = True) -> Refusal:
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods"
        return self._ask("POST", path + ("?dryRun=All" if dry else ""), pod)

    def debug(self, pod: Fields, container: Fields) -> Refusal:
        """As kubectl debug adds an ephemeral container."""
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/ephemeralcontainers"
        patch = {"spec": {"ephemeralContainers": [container]}}
        content = "application/strategic-merge-patch+json"
        return self._ask("PATCH", path + "?dryRun=All", patch, content_type=content)

    def update(self, pod: Fields, patch: Fields) -> Refusal:
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        content = "application/strategic-merge-patch+json"
        return self._ask("PATCH", path + "?dryRun=All", patch, content_type=content)

    def put(self, path: str, body: Fields) -> Refusal:
        return self._ask("PUT", path + "?dryRun=All", body)

    def apply(self, **params: t.Any) -> Fields:
        result = run_module("pod_security_policy", {"kubeconfig": self.cluster.config, **params})
        assert not result.get("failed"), result["msg"]
        return result

    def until_refused(self, canary: Fields) -> None:
        until(lambda: bool(self.create(canary).message))

    def namespace(self, name: str, **labels: str) -> str:
        body = {"metadata": {"name": name, "labels": labels}}
        self.cluster.request("POST", "/api/v1/namespaces", body)
        until(lambda: not self.create(plain_pod("ready", name)).message)
        return name
