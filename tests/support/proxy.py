# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A proxy in front of an API server that fails on purpose: busy, broken, slow, or silent after the deed."""

from __future__ import annotations

import http.client
import random
import socket
import ssl
import threading
import time
import typing as t
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.testbed.control_plane import ControlPlane

#: Name of a fault -> status and headers that are answered instead of asking the server.
_ANSWERS: dict[str, tuple[int, dict[str, str]]] = {
    "busy": (429, {"Retry-After": "1"}),
    "error": (500, {}),
    "unavailable": (503, {}),
}
#: The connection is cut before the server is asked; after it has done what it was asked; it is asked late.
_CUT, _LOST, _SLOW = "cut", "lost", "slow"
FAULTS = (*_ANSWERS, _CUT, _LOST, _SLOW)

Chooser = t.Callable[[str, str], str]


def fraction(share: float, seed: int, faults: t.Sequence[str] = FAULTS) -> Chooser:
    """One of these faults on a share of the requests, the same for the same seed."""
    source = random.Random(seed)
    lock = threading.Lock()

    def choose(_method: str, _path: str) -> str:
        with lock:
            return source.choice(faults) if source.random() < share else ""

    return choose


class FaultProxy:
    """Listens on loopback, in plain HTTP, and forwards to a control plane over TLS.

    :param choose: (method, path) -> name of a fault, or nothing.
    """

    def __init__(self, cluster: ControlPlane, choose: Chooser = lambda _method, _path: "") -> None:
        self.cluster = cluster
        self.choose = choose
        self.counts: Counter[str] = Counter()
        self._context = ssl.create_default_context(cafile=str(cluster.authority))
        self._netloc = urlsplit(cluster.server).netloc
        self._local = threading.local()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def config(self) -> dict[str, t.Any]:
        """The administrator's kubeconfig, by way of the proxy."""
        config = self.cluster.config
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._server.server_address[1]}"}
        return config

    def forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Ask the server, over this thread's kept-alive connection."""
        for fresh in (False, True):
            connection = getattr(self._local, "connection", None)
            if connection is None or fresh:
                connection = http.client.HTTPSConnection(self._netloc, context=self._context, timeout=60)
                self._local.connection = connection
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            except (http.client.HTTPException, OSError):
                if fresh:
                    raise
        raise AssertionError("the second try returns or raises")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: FaultProxy

    def log_message(self, format: str, *args: t.Any) -> None:
        """Nothing: tests read the counts."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.choose(self.command, self.path)
        self.proxy.counts[fault or "forwarded"] += 1
        if fault == _CUT:
            self._cut()
            return
        if fault in _ANSWERS:
            status, extra = _ANSWERS[fault]
            self._answer(status, list(extra.items()), b'{"kind":"Status","message":"injected","reason":"Injected"}')
            return
        if fault == _SLOW:
            time.sleep(0.5)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        status, answered, content = self.proxy.forward(self.command, self.path, headers, body)
        if fault == _LOST:
            self._cut()
            return
        kept = [(k, v) for k, v in answered if k.lower() not in ("transfer-encoding", "content-length", "connection")]
        self._answer(status, kept, content)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _cut(self) -> None:
        """Break the connection, so that the client sees a reset rather than an answer."""
        self.close_connection = True
        linger = b"\1\0\0\0\0\0\0\0"
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()


for _verb in ("GET", "POST", "PATCH", "PUT", "DELETE"):  # the names that http.server looks for
    setattr(_Handler, f"do_{_verb}", _Handler._handle)
