# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long questions about flows take, in a cluster of 5,000 pods and 1,000 policies that exists on paper alone.

``tests.benchmarks`` puts the table into docs/benchmarks.md; where the collection can be imported,
``python -m tests.benchmarks.flows`` prints it alone. It counts the process' own time, so other work does no harm.
"""

from __future__ import annotations

import random
import sys
import time
import typing as t
from collections.abc import Callable, Iterator

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import pictures, summary
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.enquiry import Enquiry

from tests.support.flows import namespace, pod

Manifest = dict[str, t.Any]
SPACES, APPS, TEAMS = 50, 20, 7


def cluster(pods: int, policies: int) -> list[Manifest]:
    """Namespaces with default deny, and policies of every form, spread by chance that is the same each time."""
    chance = random.Random(1)
    spaces = [namespace(f"ns{number}", team=f"team{number % TEAMS}") for number in range(SPACES)]
    made = [
        pod(
            f"ns{number % SPACES}",
            f"pod{number}",
            f"10.{number >> 8}.{number & 255}.7",
            app=f"app{number // SPACES % APPS}",
            tier=f"tier{number % 3}",
        )
        for number in range(pods)
    ]

    def app() -> Manifest:
        return {"matchLabels": {"app": f"app{chance.randrange(APPS)}"}}

    def rule(peers: str) -> Manifest:
        team = {"matchLabels": {"team": f"team{chance.randrange(TEAMS)}"}}
        cidr, inner = (f"10.{chance.randrange(20)}.{end}" for end in ("0.0/16", "3.0/24"))
        choice = (
            {"podSelector": app()},
            {"namespaceSelector": team, "podSelector": app()},
            {"ipBlock": {"cidr": cidr, "except": [inner] if inner.split(".")[1] == cidr.split(".")[1] else []}},
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}},
        )
        port = ({"port": 8080}, {"port": "http"}, {"port": 53, "protocol": "UDP"}, {"port": 4000, "endPort": 9999})
        return {peers: [chance.choice(choice) for _each in range(2)], "ports": [chance.choice(port)]}

    found = []
    for number in range(policies):
        spec: Manifest = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        if number >= SPACES:
            rules = {"ingress": [rule("from") for _each in range(3)], "egress": [rule("to") for _each in range(3)]}
            spec = {**spec, "podSelector": app(), **rules}
        metadata = {"name": f"policy{number}", "namespace": f"ns{number % SPACES}"}
        found.append(
            {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}
        )
    return [*spaces, *made, *found]


def measure(pods: int = 5000, policies: int = 1000) -> Iterator[str]:
    """The table, line by line."""
    objects = cluster(pods, policies)
    loading, asked = _timed(lambda: Enquiry(objects))
    ends = {end: {"namespace": f"ns{number}", "pod": f"pod{number}"} for end, number in (("from", 3), ("to", 4))}
    question, _answers = _timed(lambda: asked.ask({**ends, "port": 8080}))
    whole, matrix = _timed(lambda: summary.matrix(asked.after, "ns3"))
    again, _matrix = _timed(lambda: summary.matrix(asked.after, "ns5"))
    drawn, _page = _timed(lambda: pictures.page([matrix]))
    audited, findings = _timed(asked.findings)
    changed = Enquiry(objects, removed={("networking.k8s.io", "NetworkPolicy", "ns7", "policy7")})
    told, changes = _timed(changed.changes)
    yield f"| {pods} pods, {policies} NetworkPolicies in {SPACES} namespaces | ms of one core |"
    yield "| --- | ---: |"
    yield f"| loading | {1000 * loading:.0f} |"
    yield f"| one question (aim: 50) | {1000 * question:.2f} |"
    yield f"| full matrix of a namespace, the first (aim: 5000): {len(matrix.cells)} cells | {1000 * whole:.0f} |"
    yield f"| full matrix of another one | {1000 * again:.0f} |"
    yield f"| the first one as an HTML page | {1000 * drawn:.0f} |"
    yield f"| what removing a default deny opens: {len(changes)} changes | {1000 * told:.0f} |"
    yield f"| findings on all policies: {len(findings)} | {1000 * audited:.0f} |"


_Answer = t.TypeVar("_Answer")


def _timed(action: Callable[[], _Answer]) -> tuple[float, _Answer]:
    start = time.process_time()
    answer = action()
    return time.process_time() - start, answer


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in measure())
