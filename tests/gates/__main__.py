# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs gates and tests one after the other, all of them even when one fails, and says where the time went.

``python3 -m tests.gates test`` runs a group, ``python3 -m tests.gates mypy sanity`` single steps.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from tests.gates.collection import copied, linked, variables
from tests.gates.environment import PYTHONS, ROOT, interpreter, make
from tests.testbed.versions import KUBERNETES


class Step(t.NamedTuple):
    """One command.

    :param environment: which of :data:`environment.PYTHONS` it runs in.
    :param kubernetes: the version of the API server, for tests that need one.
    :param copied: run it in a copy of the tree that lies in ``ansible_collections/hardened/k8s``.
    """

    command: str
    environment: str = "test"
    kubernetes: str = ""
    copied: bool = False


class Outcome(t.NamedTuple):
    """:param closing: pytest's last line, where the step is a pytest run."""

    name: str
    ok: bool
    seconds: float
    closing: str


NEW, OLD = KUBERNETES[0], KUBERNETES[-1]

STEPS = {
    "ruff": Step("ruff check --output-format concise ."),
    "format": Step("ruff format --check ."),
    "mypy": Step("python -m tests.gates.types"),
    "tree": Step("python -m tests.gates.tree"),
    "yamllint": Step("yamllint --strict ."),
    "changelog": Step("antsibull-changelog lint"),
    "docs": Step("python -m tests.gates.docs", copied=True),
    "ansible-lint": Step("ansible-lint --offline --nocolor", copied=True),
    "package": Step("python -m tests.gates.package", copied=True),
    "sanity": Step("python -m tests.gates.sanity", copied=True),
    "binaries": Step(f"python -m tests.testbed build --kubernetes {NEW}"),
    "old-binaries": Step(f"python -m tests.testbed build --kubernetes {OLD}"),
    "cluster-parts": Step(f"python -m tests.testbed build --mode nodes --kubernetes {NEW}"),
    "benchmark": Step("python -m tests.benchmarks"),
    "small-benchmark": Step("python -m tests.benchmarks --smoke"),
    "aws": Step("pytest -n 2 tests/aws", "aws"),
    "aws-benchmark": Step("python -m tests.benchmarks.aws", "aws"),
    "small-aws-benchmark": Step("python -m tests.benchmarks.aws --smoke", "aws"),
    "oldest": Step("pytest -n 2 -m 'not slow' tests/unit tests/control_plane tests/aws", "oldest", OLD),
    "newest": Step("pytest -n 2 tests/unit tests/control_plane", "newest", NEW),
    "old-cluster": Step("pytest -n 2 tests/control_plane", "test", OLD),
    # in namespaces, for which one need not be root
    "packets": Step("python -m tests.packets -n 2 --durations 5"),
    "unit": Step("pytest -n 2 tests/unit"),
    "control-plane": Step("pytest -n 2 --durations 15 tests/control_plane", "test", NEW),
    "fast-control-plane": Step("pytest -n 2 -m 'not slow' tests/control_plane", "test", NEW),
    # a cluster for each network, which all of its tests share
    "kind": Step("pytest --durations 10 tests/kind", "test", NEW),
    # a run that was killed has left a state, which is forgotten; molecule finds the collection by itself
    "molecule": Step(
        "sh -c 'unset ANSIBLE_COLLECTIONS_PATH PYTHONPATH; molecule reset && molecule test --all --no-command-borders'"
    ),
    "nodes": Step("pytest --durations 10 tests/nodes", "test", NEW),
}

_FAST = ["ruff", "format", "mypy", "tree", "yamllint", "changelog"]
_LINT = [*_FAST, "docs", "ansible-lint", "package"]
_TESTS = ["unit", "packets", "aws", "binaries", "control-plane"]
_FAST_TESTS = ["unit", "binaries", "fast-control-plane"]
GROUPS = {
    "check": [*_FAST, *_FAST_TESTS],
    "lint": _LINT,
    "matrix": ["binaries", "old-binaries", "oldest", "old-cluster", "newest"],
    "test": [
        *_LINT,
        "sanity",
        "old-binaries",
        "oldest",
        "binaries",
        "small-benchmark",
        "small-aws-benchmark",
        *_TESTS,
    ],
    "clusters": ["cluster-parts", "kind", "molecule", "nodes"],
}


def run(name: str, collections: Path, directory: Path) -> Outcome:
    """Run one step in that directory, passing its output on as it comes.

    :param collections: the collections path that it sees.
    """
    step = STEPS[name]
    print(f"\n==> {name}: {step.command}", flush=True)
    start, closing = time.monotonic(), ""
    settings = {
        **os.environ,
        **variables(collections),
        "HARDENED_K8S_TEST_KUBERNETES": step.kubernetes,
        "PATH": os.pathsep.join([str(make(step.environment) / "bin"), os.environ["PATH"]]),
        "PYTHONUNBUFFERED": "1",
    }
    if step.copied:  # what is installed in the user's home is another version of the collection, if any
        settings["ANSIBLE_HOME"] = str(collections / ".ansible")
    output: dict[str, t.Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(shlex.split(step.command), cwd=directory, env=settings, **output) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if re.match(r"=+ .* in [\d.]+s.* =+$", line):
                closing = line.rstrip()
    return Outcome(name, process.returncode == 0, time.monotonic() - start, closing)


def not_run(name: str) -> str:
    """Why a step cannot run on this machine; only the newest ansible-core may be out of reach."""
    wanted = PYTHONS[STEPS[name].environment]
    if STEPS[name].environment != "newest" or any(map(interpreter, wanted)):
        return ""
    return f"not run: Python {' or '.join(wanted)} is not installed here"


def run_all(steps: t.Iterable[str]) -> list[Outcome]:
    outcomes = []
    with tempfile.TemporaryDirectory() as scratch:
        copy = copied(Path(scratch))
        for name in dict.fromkeys(steps):
            reason = not_run(name)
            if reason:
                print(f"\n==> {name}: {reason}", flush=True)
            elif STEPS[name].copied:
                outcomes.append(run(name, Path(scratch), copy))
            else:
                outcomes.append(run(name, linked(), ROOT))
    return outcomes


def report(outcomes: t.Sequence[Outcome]) -> bool:
    """Print what failed and where the time went, pytest's own last lines at the end."""
    print("\n==> where the time went")
    for outcome in outcomes:
        print(f"{outcome.seconds:7.1f} s  {'ok    ' if outcome.ok else 'FAILED'}  {outcome.name}")
    failed = [outcome.name for outcome in outcomes if not outcome.ok]
    verdict = f"failed: {', '.join(failed)}" if failed else "all passed"
    print(f"{sum(outcome.seconds for outcome in outcomes):7.1f} s  {verdict}\n")
    for outcome in outcomes:
        if outcome.closing:
            print(f"{outcome.name}:\n{outcome.closing}")
    return not failed


if __name__ == "__main__":
    unknown = set(sys.argv[1:]) - {*GROUPS, *STEPS}
    if unknown or not sys.argv[1:]:
        wrong = f"no such step: {', '.join(sorted(unknown))}" if unknown else "no step is named"
        sys.exit(f"{wrong}; groups: {', '.join(GROUPS)}; steps: {', '.join(STEPS)}")
    chosen = [step for name in sys.argv[1:] for step in GROUPS.get(name, [name])]
    sys.exit(0 if report(run_all(chosen)) else 1)
