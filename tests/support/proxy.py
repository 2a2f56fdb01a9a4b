# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A proxy in front of an API server that fails on purpose: busy, broken, slow, or silent after the deed."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import socket
import ssl
import struct
import sys
import threading
import time
import typing as t
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.testbed.control_plane import ControlPlane

#: Name of a fault -> what is answered instead of asking the server: status, reason and headers.
_ANSWERS: dict[str, tuple[int, str, dict[str, str]]] = {
    "busy": (429, "TooManyRequests", {"Retry-After": "1"}),
    "error": (500, "InternalError", {}),
    "unavailable": (503, "ServiceUnavailable", {}),
}
#: The connection is cut before the server is asked; after it has done what it was asked; in the middle of its
#: answer; it is asked late.
_CUT, _LOST, _TRUNCATED, _SLOW = "cut", "lost", "truncated", "slow"
FAULTS = (*_ANSWERS, _CUT, _LOST, _TRUNCATED, _SLOW)
_DELAY = 0.5  # seconds

#: (method, path) -> name of a fault, or nothing. Asked by one thread at a time.
Chooser = t.Callable[[str, str], str]
_Headers = list[tuple[str, str]]


def fraction(share: float, seed: int, faults: t.Sequence[str] = FAULTS) -> Chooser:
    """These faults in turn, on a share of the requests; the same ones for the same seed."""
    source, turns = random.Random(seed), itertools.cycle(faults)
    return lambda _method, _path: next(turns) if source.random() < share else ""


class FaultProxy:
    """Listens on loopback, in plain HTTP, and forwards to a control plane over TLS.

    Answers are passed on whole, so it is not for watches.

    :ivar counts: how many requests met which fault, or were ``forwarded``.
    """

    def __init__(self, cluster: ControlPlane, choose: Chooser = lambda _method, _path: "") -> None:
        self.cluster = cluster
        self.counts: Counter[str] = Counter()
        self._choose = choose
        self._choosing = threading.Lock()
        self._context = ssl.create_default_context(cafile=str(cluster.authority))
        self._netloc = urlsplit(cluster.server).netloc
        self._local = threading.local()
        # http.server looks for methods of these names
        methods = {f"do_{verb}": _Handler.handle_request for verb in ("GET", "POST", "PUT", "PATCH", "DELETE")}
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self, **methods}))
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

    def next_fault(self, method: str, path: str) -> str:
        """What happens to this request."""
        with self._choosing:
            fault = self._choose(method, path)
            self.counts[fault or "forwarded"] += 1
        return fault

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, _Headers, bytes]:
        """Ask the server, over the kept-alive connection of this thread, which serves one client's."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPSConnection(self._netloc, context=self._context, timeout=60)
            self._local.connection = connection
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Who is killed does not hang up; that is no news here."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: FaultProxy

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.next_fault(self.command, self.path)
        if fault in _ANSWERS:
            status, reason, extra = _ANSWERS[fault]
            said = {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "code": status,
                "reason": reason,
            }
            content = json.dumps({**said, "message": "injected"}).encode()
            self._answer(status, [("Content-Type", "application/json"), *extra.items()], content)
            return
        if fault == _CUT:
            self._cut()
            return
        if fault == _SLOW:
            time.sleep(_DELAY)
        headers = _kept(self.headers.items(), "host")
        status, answered, content = self.proxy.forward(self.command, self.path, dict(headers), body)
        if fault == _LOST:
            self._cut()
        else:
            self._answer(status, _kept(answered, "content-length"), content, whole=fault != _TRUNCATED)

    def _answer(self, status: int, headers: _Headers, content: bytes, whole: bool = True) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if whole else content[: len(content) // 2])
        self.close_connection = self.close_connection or not whole

    def _cut(self) -> None:
        """Break the connection, so that the client sees a reset rather than an end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def _kept(headers: t.Iterable[tuple[str, str]], *dropped: str) -> _Headers:
    """The headers that are not about one connection."""
    dropped = (*dropped, "connection", "keep-alive", "transfer-encoding")
    return [(name, value) for name, value in headers if name.lower() not in dropped]
