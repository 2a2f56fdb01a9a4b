# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""EC2's metadata service, as far as pods could want it: credentials of the node's role, user data, tokens with a hop limit."""

from __future__ import annotations

import argparse
import http.server
import socket
import threading
import typing as t

ROLE = "arn:aws:iam::111122223333:role/nodes"
_CREDENTIALS = "/latest/meta-data/iam/security-credentials/"
_CONTENT = {_CREDENTIALS: "nodes", f"{_CREDENTIALS}nodes": ROLE, "/latest/user-data": "bootstrap-secret"}


class _Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, family: socket.AddressFamily, address: str, port: int, required: bool, hops: int) -> None:
        self.address_family = family
        self.required, self.hops = required, hops
        super().__init__((address, port), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_PUT(self) -> None:
        # the answer with the token, and it alone, gets only so far
        if self.connection.family == socket.AF_INET6:
            self.connection.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, self.server.hops)
        else:
            self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, self.server.hops)
        self._say(200, "token")

    def do_GET(self) -> None:
        if self.server.required and self.headers.get("X-aws-ec2-metadata-token") != "token":
            self._say(401, "")
        elif self.path in _CONTENT:
            self._say(200, _CONTENT[self.path])
        else:
            self._say(404, "")

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_arguments: t.Any) -> None:
        """Nobody reads it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--required", action="store_true")
    parser.add_argument("--hops", type=int, default=2)
    parser.add_argument("--address", default="0.0.0.0")
    options = parser.parse_args()
    family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
    places = [(family, options.address, 80), (family, options.address, 81)]
    if options.address == "0.0.0.0":
        places.append((socket.AF_INET6, "fd00:ec2::254", 80))
    servers = [_Server(*place, required=options.required, hops=options.hops) for place in places]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    servers[0].serve_forever()


if __name__ == "__main__":
    main()
