# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who reaches whom, asked from inside the example's running pods; and whether the network enforces what is declared."""

from __future__ import annotations

import json
import typing as t
from concurrent.futures import ThreadPoolExecutor

from tests.support.boutique import CALLS, HIDDEN_PORT, HOMES, PORTS, SERVICES, Call
from tests.testbed.kind import Kind

#: Caller, callee, port -> ``open``, ``refused``, ``blocked``, ``unresolved`` or ``failed``.
Reach = dict[Call, str]


class Shop:
    """The example's pods in a cluster."""

    def __init__(self, cluster: Kind) -> None:
        self._cluster = cluster

    def ask(self, service: str, *arguments: str) -> t.Any:
        """What the stand-in prints, run inside that service's pod; see ``tests/testbed/go/boutique``."""
        return json.loads(self.run(service, *arguments))

    def run(self, service: str, *arguments: str) -> str:
        where = ["--namespace", HOMES[service], f"deployment/{service}"]
        return self._cluster.kubectl("exec", *where, "--", "/boutique", *arguments)

    def call(self, service: str, *addresses: str, patience: str = "10s") -> dict[str, str]:
        """What came of the calls that a service makes, all at once, by address."""
        return {item["to"]: item["result"] for item in self.ask(service, "call", patience, *addresses)}

    def addresses(self) -> dict[str, str]:
        """The address of each service's pod."""
        pods = self._cluster.get("/api/v1/pods")["items"]
        shop = [pod for pod in pods if pod["metadata"]["namespace"] in HOMES.values()]
        return {pod["metadata"]["labels"]["app"]: pod["status"]["podIP"] for pod in shop}

    def reach(self, patience: str = "10s") -> Reach:
        """Every service calls every other one, at the port that it has and at one that nobody has declared.

        :param patience: how long to wait for an answer before a call counts as blocked.
        """
        addresses, found = self.addresses(), {}

        def everybody(caller: str) -> Reach:
            wanted = {
                f"{addresses[callee]}:{port}": (caller, callee, port)
                for callee in SERVICES - {caller}
                for port in (PORTS.get(callee), HIDDEN_PORT)
                if port
            }
            return {wanted[to]: result for to, result in self.call(caller, *wanted, patience=patience).items()}

        with ThreadPoolExecutor(4) as pool:
            for some in pool.map(everybody, sorted(SERVICES)):
                found.update(some)
        return found


class Verdict(t.NamedTuple):
    """How what is reached differs from what is declared."""

    #: Declared calls that do not succeed, and how.
    missing: Reach
    #: Calls that nobody declared and that are not blocked, and how they end.
    undeclared: Reach

    def __str__(self) -> str:
        if self.undeclared:
            return f"NetworkPolicy is not enforced: {len(self.undeclared)} undeclared calls are not blocked"
        return f"{len(self.missing)} declared calls fail" if self.missing else "enforced as declared"


def verdict(reach: Reach) -> Verdict:
    """Compare with the shop's own topology."""
    return Verdict(
        missing={call: result for call, result in reach.items() if call in CALLS and result != "open"},
        undeclared={call: result for call, result in reach.items() if call not in CALLS and result != "blocked"},
    )
