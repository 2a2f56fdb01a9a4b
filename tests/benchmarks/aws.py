# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long it takes to have many roles for pods, beside ``amazon.aws.iam_role`` in a loop, in one run on one moto.

``python -m tests.benchmarks.aws`` measures and writes docs/kube2iam.md; ``--smoke`` runs a small one that only has to
work. Nothing here asserts a time: machines differ, so the table gives ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from tests.gates.collection import linked, variables
from tests.gates.environment import ROOT, community_collections
from tests.support.aws import ACCOUNT, REGION, Moto
from tests.support.modules import run_module

NODES = f"arn:aws:iam::{ACCOUNT}:role/nodes"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": NODES}, "Action": "sts:AssumeRole"}],
}
READ = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shop/*"}],
}


class Bench:
    """Measurements on one moto.

    :param looped: how many roles the loop is measured with; the rest is reckoned.
    """

    def __init__(self, moto: Moto, scratch: Path, roles: int, looped: int) -> None:
        self.moto = moto
        self.scratch = scratch
        self.names = [f"pod-{number:04}" for number in range(roles)]
        self.looped = min(looped, roles)
        self.environment = {
            **os.environ,
            **variables(linked()),
            "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join([str(linked()), str(community_collections())]),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "AWS_URL": moto.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }

    def playbook(self, tasks: list[dict[str, t.Any]]) -> float:
        """Seconds that ansible-playbook takes for these tasks on localhost."""
        book = self.scratch / "book.yml"
        book.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
        start = time.perf_counter()
        command = ["ansible-playbook", str(book)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{done.stdout[-3000:]}\n{done.stderr[-2000:]}")
        return time.perf_counter() - start

    def ours(self) -> float:
        return self.playbook([{"hardened.k8s.iam_pod_role": self.options()}])

    def options(self) -> dict[str, t.Any]:
        roles = [{"name": name, "policies": {"read": READ}} for name in self.names]
        return {"path": "/k8s/prod/", "node_roles": [NODES], "roles": roles}

    def requests(self) -> list[str]:
        """The kinds of requests of a run that has nothing to do."""
        options = {**self.options(), **self.moto.options, "debug_botocore_endpoint_logs": True}
        result = run_module("iam_pod_role", options)
        if result.get("failed") or result["changed"]:
            raise SystemExit(f"a second run changed something: {result.get('msg')}")
        actions: list[str] = result["resource_actions"]
        return actions

    def theirs(self) -> float:
        """Seconds for all roles, reckoned from the first ones; without their inline policies, which it has not."""
        options = {
            "name": "loop-{{ item }}",
            "path": "/loop/",
            "assume_role_policy_document": TRUST,
            "create_instance_profile": False,
        }
        task = {"amazon.aws.iam_role": options, "loop": self.names[: self.looped]}
        return self.playbook([task]) * len(self.names) / self.looped


def measure(bench: Bench) -> t.Iterator[str]:
    """The table, line by line."""
    empty = bench.playbook([])
    first, again = bench.ours(), bench.ours()
    requests = bench.requests()
    rows = [
        ("**hardened.k8s.iam_pod_role**, first run", first, "one task, with an inline policy each"),
        ("**hardened.k8s.iam_pod_role**, nothing to do", again, " and ".join(requests)),
        ("amazon.aws.iam_role in a loop, first run", bench.theirs(), f"reckoned from {bench.looped}, no inline policy"),
        ("amazon.aws.iam_role in a loop, nothing to do", bench.theirs(), f"reckoned from {bench.looped}"),
        ("an empty playbook", empty, ""),
    ]
    yield f"| {len(bench.names)} roles of pods | seconds | to our run | |"
    yield "| --- | ---: | ---: | --- |"
    for row, (name, seconds, note) in enumerate(rows):
        base = again if row in (1, 3) else first
        yield f"| {name} | {seconds:.1f} | {seconds / base:.2f} | {note} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.aws", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a small run that writes no file")
    smoke = parser.parse_args().smoke
    moto = Moto()
    try:
        moto.up()
        with tempfile.TemporaryDirectory() as scratch:
            table = "\n".join(measure(Bench(moto, Path(scratch), *((10, 2) if smoke else (500, 20)))))
    finally:
        moto.down()
    print(table)
    if not smoke:
        document(table)


def document(table: str) -> None:
    """Put the table where readers find it, with what it was measured on."""
    place = ROOT / "docs" / "kube2iam.md"
    head, begin, _old = place.read_text().partition("<!-- measured -->\n")
    about = (
        f"Measured on {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, moto on "
        "loopback, which shares these cores.\n"
    )
    place.write_text(f"{head}{begin}\n{about}\n{table}\n")


if __name__ == "__main__":
    main()
