# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for kube2iam: its flags, its port, and the annotations that it reads; who asks is told by the source address.

What it takes from the API server is in a file, and instead of credentials it gives the role's ARN.
"""

from __future__ import annotations

import argparse
import http.client
import http.server
import json
import socket
import typing as t
from pathlib import Path

from ansible_collections.hardened.k8s.plugins.module_utils.checks import reachability

_CREDENTIALS = "/latest/meta-data/iam/security-credentials/"


class _Server(http.server.ThreadingHTTPServer):
    """Of both families, as Go listens."""

    address_family = socket.AF_INET6
    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(http.server.BaseHTTPRequestHandler):
    options: argparse.Namespace

    def do_GET(self) -> None:
        if self.path.startswith(_CREDENTIALS):
            self._credentials(self.path[len(_CREDENTIALS) :])
        else:
            self._hand_on("GET")

    def do_PUT(self) -> None:
        self._hand_on("PUT")

    def _credentials(self, name: str) -> None:
        about = json.loads(Path(self.options.objects).read_text())
        address = self.client_address[0].removeprefix("::ffff:")
        pod = next((p for p in about["pods"] if p["status"]["podIP"] == address), None)
        if pod is None:
            self._say(404, "no pod has this address")
            return
        role = pod["metadata"].get("annotations", {}).get(reachability.ROLE_KEY) or self.options.default_role
        arn = reachability.full_arn(self.options.base_role_arn, role)
        agent = reachability.Agent(
            base_role_arn=self.options.base_role_arn,
            default_role=self.options.default_role,
            namespace_restrictions=self.options.namespace_restrictions,
        )
        namespace = about["namespaces"][pod["metadata"]["namespace"]]
        if not role or not reachability.allowed(agent, namespace, arn)[0]:
            self._say(404, "it may not have this role")
        elif name and reachability.full_arn(self.options.base_role_arn, name) != arn:
            self._say(403, "it has another role")
        else:
            self._say(200, arn if name else role.rpartition("/")[2])

    def _hand_on(self, method: str) -> None:
        """What is not for credentials goes to the metadata address, as in kube2iam."""
        connection = http.client.HTTPConnection(self.options.metadata_addr, timeout=5)
        try:
            connection.request(method, self.path, headers=dict(self.headers))
            answer = connection.getresponse()
            self._say(answer.status, answer.read().decode())
        except OSError:
            self._say(502, "")

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_arguments: t.Any) -> None:
        """Nobody reads it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--app-port", type=int, default=8181)
    parser.add_argument("--base-role-arn", default="")
    parser.add_argument("--default-role", default="")
    parser.add_argument("--namespace-restrictions", action="store_true")
    parser.add_argument("--metadata-addr", default="169.254.169.254")
    parser.add_argument("--objects", required=True, help="a file of pods and namespaces")
    # what changes nothing here
    for name in ("metrics-port", "namespace-restriction-format", "node", "log-level"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--use-regional-sts-endpoint", action="store_true")
    options = parser.parse_args()
    handler: t.Any = type("Handler", (_Handler,), {"options": options})
    with _Server(("::", options.app_port), handler) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
