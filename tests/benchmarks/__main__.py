# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long it takes to harden many namespaces, beside the other ways to do it, in one run on one API server.

``python -m tests.benchmarks`` measures and writes docs/benchmarks.md; ``--smoke`` runs a small one that only has to
work. Nothing here asserts a time: machines differ, so the table gives ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import urllib3

from tests.benchmarks import flows, pod_security
from tests.gates.collection import linked, variables
from tests.gates.environment import ROOT, community_collections
from tests.support.examples import OBJECTS, tenant
from tests.support.modules import run_module, spawn_module
from tests.testbed.control_plane import AuditMark, ControlPlane
from tests.testbed.modes import remove_orphans

WORKERS = 8
LOOPED = 36


class Row(t.NamedTuple):
    """One way of doing it: seconds for all objects, median of several rounds."""

    name: str
    seconds: float
    note: str = ""


class Bench:
    """Measurements on one API server.

    :param tenants: how many namespaces, of twelve objects each.
    """

    def __init__(self, cluster: ControlPlane, scratch: Path, tenants: int, rounds: int) -> None:
        self.cluster = cluster
        self.scratch = scratch
        self.tenants = tenants
        self.rounds = rounds
        self.environment = {
            **os.environ,
            **variables(linked()),
            "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join([str(linked()), str(community_collections())]),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "K8S_AUTH_KUBECONFIG": str(cluster.kubeconfig),
        }

    @property
    def objects(self) -> int:
        return self.tenants * OBJECTS

    def declaration(self, prefix: str, count: int | None = None) -> list[dict[str, t.Any]]:
        return [tenant(f"bench-{prefix}-{index:04}") for index in range(count or self.tenants)]

    def manifests(self, prefix: str) -> list[dict[str, t.Any]]:
        rendered = run_module("tenant", {"state": "rendered", "tenants": self.declaration(prefix)})
        manifests: list[dict[str, t.Any]] = rendered["manifests"]
        assert len(manifests) == self.objects
        return manifests

    def playbook(self, name: str, tasks: list[dict[str, t.Any]], **values: t.Any) -> float:
        """Seconds that ansible-playbook takes for these tasks on localhost."""
        play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
        book, file = self.scratch / f"{name}.yml", self.scratch / f"{name}.json"
        book.write_text(json.dumps([play]))
        file.write_text(json.dumps(values))
        return timed(lambda: self._checked(["ansible-playbook", str(book), "-e", f"@{file}"]))

    def _checked(self, command: list[str]) -> None:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}:\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}")

    # -- the ways

    def floor(self, prefix: str) -> float:
        """The requests alone: server-side apply by urllib3, eight at a time, namespaces first."""
        pool = urllib3.PoolManager(maxsize=WORKERS, ca_certs=str(self.cluster.authority))
        headers = {
            "Authorization": f"Bearer {self.cluster.token}",
            "Content-Type": "application/apply-patch+yaml",
            "User-Agent": "floor",
        }

        def send(manifest: dict[str, t.Any]) -> None:
            url = f"{self.cluster.server}{path(manifest)}?fieldManager=floor"
            answer = pool.request("PATCH", url, body=json.dumps(manifest).encode(), headers=headers)
            assert answer.status < 300, answer.data

        manifests = self.manifests(prefix)
        first = [item for item in manifests if item["kind"] == "Namespace"]
        rest = [item for item in manifests if item["kind"] != "Namespace"]

        def every() -> None:
            with ThreadPoolExecutor(WORKERS) as workers:
                list(workers.map(send, first))
                list(workers.map(send, rest))

        return timed(every)

    def tenant_task(self, prefix: str) -> float:
        task = {"hardened.k8s.tenant": {"tenants": "{{ tenants }}"}}
        return self.playbook("tenant", [task], tenants=self.declaration(prefix))

    def ping(self) -> float:
        """A task that does nothing, with the same variables: what Ansible itself takes for one."""
        task = {"ansible.builtin.ping": {"data": "{{ tenants | length }}"}}
        return self.playbook("ping", [task], tenants=self.declaration("t0"))

    def kubectl(self, prefix: str) -> float:
        file = self.scratch / "kubectl.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": self.manifests(prefix)}))
        return timed(lambda: self.cluster.kubectl("apply", "--server-side", "-f", str(file)))

    def list_task(self, prefix: str) -> float:
        options = {"definition": "{{ objects }}", "apply": True, "server_side_apply": {"field_manager": "list"}}
        return self.playbook("list", [{"kubernetes.core.k8s": options}], objects=self.manifests(prefix))

    def loop_task(self, prefix: str) -> float:
        """Seconds for all objects, scaled from the first few."""
        options = {"definition": "{{ item }}", "apply": True, "server_side_apply": {"field_manager": "loop"}}
        chosen = self.manifests(prefix)[:LOOPED]
        seconds = self.playbook("loop", [{"kubernetes.core.k8s": options, "loop": "{{ objects }}"}], objects=chosen)
        return seconds * self.objects / len(chosen)

    def imports(self) -> float:
        """Seconds that importing the client takes, the interpreter's own start taken off."""

        def python(code: str) -> float:
            return self.median(lambda _round: timed(lambda: self._checked([sys.executable, "-c", code])))

        return python("import kubernetes") - python("pass")

    def median(self, measure: Callable[[str], float]) -> float:
        return statistics.median(measure(f"r{number}") for number in range(self.rounds))


def path(manifest: dict[str, t.Any]) -> str:
    """The path of an object, for the floor."""
    plural = {"NetworkPolicy": "networkpolicies"}.get(manifest["kind"], f"{manifest['kind'].lower()}s")
    group = "/api/v1" if manifest["apiVersion"] == "v1" else f"/apis/{manifest['apiVersion']}"
    space = manifest["metadata"].get("namespace")
    return f"{group}{f'/namespaces/{space}' if space else ''}/{plural}/{manifest['metadata']['name']}"


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def sent(cluster: ControlPlane, mark: AuditMark) -> list[str]:
    """The verbs of the requests that this collection sent since a mark."""
    return [e["verb"] for e in cluster.audit(mark) if e.get("userAgent", "").startswith("hardened.k8s")]


def peak(cluster: ControlPlane, tenants: list[dict[str, t.Any]]) -> tuple[float, int]:
    """Seconds and peak resident MB of a process that applies these tenants."""
    process = spawn_module("tenant", {"kubeconfig": str(cluster.kubeconfig), "tenants": tenants})
    start = time.perf_counter()
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the module failed with {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss // 1024


def measure(bench: Bench, many: int) -> Iterator[str]:
    """The report, line by line."""
    say(f"{bench.objects} objects in {bench.tenants} namespaces, median of {bench.rounds}")
    empty = bench.median(lambda _round: bench.playbook("empty", []))
    ping = bench.median(lambda _round: bench.ping())
    imported = bench.imports()
    first = [bench.tenant_task("t0")]
    mark = bench.cluster.audit_mark()
    again = bench.median(lambda _round: bench.tenant_task("t0"))
    verbs = sent(bench.cluster, mark)
    requests = len(verbs) // bench.rounds
    if set(verbs) - {"get", "list"}:
        raise SystemExit("a second run sent a write")
    first += [bench.tenant_task(f"t{number}") for number in range(1, bench.rounds)]
    floor = bench.median(lambda number: bench.floor(f"f{number}"))
    once = statistics.median(first)
    rows = [
        Row("requests alone (urllib3, 8 at a time)", floor, "the floor"),
        Row("**hardened.k8s.tenant**, first run", once, "playbook, one task"),
        Row("**hardened.k8s.tenant**, nothing to do", again, f"playbook; {requests} requests, no write"),
        Row("kubectl apply --server-side", bench.kubectl("k")),
        Row("kubernetes.core.k8s, one task with a list", bench.list_task("l"), "playbook, server-side apply"),
        Row("kubernetes.core.k8s, a loop", bench.loop_task("o"), f"scaled from {LOOPED} objects"),
        Row("an empty playbook", empty),
        Row("a playbook with one ping", ping, "Ansible's own share of a task"),
        Row("import kubernetes", imported),
    ]
    yield f"| {bench.objects} objects in {bench.tenants} namespaces | seconds | to our first run | |"
    yield "| --- | ---: | ---: | --- |"
    for row in rows:
        yield f"| {row.name} | {row.seconds:.2f} | {row.seconds / once:.2f} | {row.note} |"
    base = floor + empty + imported
    yield ""
    yield "| aim | is |"
    yield "| --- | --- |"
    yield f"| first run under 1.25 x (floor + empty playbook + import) | {once / base:.2f} x |"
    yield f"| nothing to do: under empty playbook + import + 0.6 s | + {again - empty - imported:.2f} s |"
    yield f"| nothing to do: at most 12 requests | {requests} |"
    yield ""
    yield from many_objects(bench, many, once / bench.objects)


def many_objects(bench: Bench, count: int, each: float) -> Iterator[str]:
    """Ten thousand objects in one call: time of each, memory."""
    declared = bench.declaration("many", count)
    seconds, memory = peak(bench.cluster, declared)
    again, quiet = peak(bench.cluster, declared)
    total = count * OBJECTS
    yield f"| {total} objects in {count} namespaces, one call | seconds | ms an object | peak memory |"
    yield "| --- | ---: | ---: | ---: |"
    yield f"| first run | {seconds:.1f} | {1000 * seconds / total:.2f} (above: {1000 * each:.2f}) | {memory} MB |"
    yield f"| nothing to do | {again:.1f} | {1000 * again / total:.2f} | {quiet} MB |"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a small run that writes no file")
    smoke = parser.parse_args().smoke
    remove_orphans("bench-")  # of runs that were killed
    cluster = ControlPlane(f"bench-{os.getpid()}")
    try:
        cluster.up()
        with tempfile.TemporaryDirectory() as scratch:
            bench = Bench(cluster, Path(scratch), *((4, 1) if smoke else (100, 3)))
            lines = list(measure(bench, 8 if smoke else 834))
        lines += ["", *(flows.measure(50, 60) if smoke else flows.measure())]
        lines += ["", *(pod_security.measure(cluster, 5, 50) if smoke else pod_security.measure(cluster))]
    finally:
        cluster.down()
    table = "\n".join(lines)
    print(table)
    if not smoke:
        document(table, cluster.kubernetes)


def document(table: str, kubernetes: str) -> None:
    """Put the table where readers find it, with what it was measured on."""
    place = ROOT / "docs" / "benchmarks.md"
    head, begin, _old = place.read_text().partition("<!-- measured -->\n")
    about = (
        f"Measured on {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        f"Kubernetes {kubernetes} on loopback, whose etcd and API server share these cores.\n"
    )
    place.write_text(f"{head}{begin}\n{about}\n{table}\n")


if __name__ == "__main__":
    main()
