# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fault proxy does what it says, so that tests which lean on it mean something."""

from __future__ import annotations

import http.client
import json
import time
import typing as t
from urllib.parse import urlsplit

import pytest

from tests.support.proxy import FaultProxy
from tests.testbed.control_plane import ControlPlane


class Client:
    """One kept-alive connection to a proxy."""

    def __init__(self, proxy: FaultProxy) -> None:
        config = proxy.config
        self._authorization = f"Bearer {config['users'][0]['user']['token']}"
        self._connection = http.client.HTTPConnection(urlsplit(config["clusters"][0]["cluster"]["server"]).netloc)

    def send(self, method: str, path: str, body: t.Any = None) -> tuple[int, t.Any, t.Mapping[str, str]]:
        headers = {"Authorization": self._authorization, "Content-Type": "application/json"}
        self._connection.request(method, path, body and json.dumps(body), headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read()), dict(answer.headers)

    def create(self, name: str) -> int:
        return self.send("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0]


def exists(cluster: ControlPlane, name: str) -> bool:
    found = cluster.get("/api/v1/namespaces")["items"]
    return any(namespace["metadata"]["name"] == name for namespace in found)


def test_without_a_fault_it_is_not_noticed(cluster: ControlPlane, prefix: str) -> None:
    with FaultProxy(cluster) as proxy:
        client = Client(proxy)
        for index in range(3):
            assert client.create(f"{prefix}-{index}") == 201
        status, found, _headers = client.send("GET", f"/api/v1/namespaces/{prefix}-0")
        assert (status, found["metadata"]["name"]) == (200, f"{prefix}-0")
        assert client.create(f"{prefix}-0") == 409
    assert proxy.counts == {"forwarded": 5}


@pytest.mark.parametrize(("fault", "status"), [("busy", 429), ("error", 500), ("unavailable", 503)])
def test_a_server_that_does_not_want_to(cluster: ControlPlane, prefix: str, fault: str, status: int) -> None:
    with FaultProxy(cluster, lambda _method, _path: fault) as proxy:
        answered, body, headers = Client(proxy).send("POST", "/api/v1/namespaces", {"metadata": {"name": prefix}})
    assert (answered, body["kind"], body["code"]) == (status, "Status", status)
    assert headers.get("Retry-After") == ("1" if status == 429 else None)
    assert not exists(cluster, prefix)
    assert proxy.counts == {fault: 1}


@pytest.mark.parametrize(
    ("fault", "error", "done"),
    [
        ("cut", ConnectionResetError, False),
        ("lost", ConnectionResetError, True),
        ("truncated", http.client.IncompleteRead, True),
    ],
)
def test_a_connection_that_breaks(
    cluster: ControlPlane, prefix: str, fault: str, error: type[Exception], done: bool
) -> None:
    with FaultProxy(cluster, lambda method, _path: fault if method == "POST" else "") as proxy:
        client = Client(proxy)
        with pytest.raises(error):
            client.create(prefix)
        assert exists(cluster, prefix) is done


def test_a_slow_server(cluster: ControlPlane, prefix: str) -> None:
    with FaultProxy(cluster, lambda _method, _path: "slow") as proxy:
        start = time.monotonic()
        assert Client(proxy).create(prefix) == 201
    assert time.monotonic() - start >= 0.5
