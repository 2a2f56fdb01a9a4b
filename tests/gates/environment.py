# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Python environments that gates, tests and the demo run in.

Each is made by uv from a locked file in ``tests/requirements``, once for every content of that file, in a
cache outside the tree. Only the standard library is needed to get there::

    python3 -m tests.gates.environment test      # makes it where it is missing, prints its path
    python3 -m tests.gates.environment --lock    # resolves the requirements anew
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import typing as t
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "tests" / "requirements"

#: Name of an environment -> the Pythons that its locked file is good for; the first that is there is taken.
PYTHONS = {"test": ["3.11"], "aws": ["3.11"], "oldest": ["3.11"], "newest": ["3.12", "3.13", "3.14"]}

#: Where the benchmarks take other collections from: the community package of ansible-core 2.19.
COMMUNITY_PACKAGE = "ansible==12.3.0"
COMMUNITY_COLLECTIONS = ("amazon.aws", "kubernetes.core")


def cache() -> Path:
    """Where everything lies that is made once: environments, binaries, the tools' own caches."""
    chosen = os.environ.get("HARDENED_K8S_CACHE")
    if chosen:
        return Path(chosen).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hardened-k8s"


def make(name: str) -> Path:
    """The environment of that name, made where it is missing."""
    python = next(filter(None, map(interpreter, PYTHONS[name])), None)
    version = python.name if python else PYTHONS[name][0]  # which uv then fetches, where it can
    requirements = REQUIREMENTS / f"{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes() + version.encode()).hexdigest()[:16]
    directory = cache() / "env" / f"{name}-{digest}"
    with _made_once(directory) as missing:
        if missing:
            say(f"making the environment {name} ({version}) in {directory}")
            _run(uv(), "venv", "--quiet", "--python", str(python or version), str(directory))
            _run(
                uv(),
                "pip",
                "sync",
                "--quiet",
                "--python",
                str(directory / "bin" / "python"),
                str(requirements),
            )
    return directory


def community_collections() -> Path:
    """A collections path that holds the collections that we compare with, as the community package has them."""
    directory = cache() / "collections" / "-".join([COMMUNITY_PACKAGE.replace("==", "-"), *COMMUNITY_COLLECTIONS])
    with _made_once(directory) as missing:
        if missing:
            say(f"fetching {' and '.join(COMMUNITY_COLLECTIONS)} out of {COMMUNITY_PACKAGE}")
            pip = [uv(), "tool", "run", "--quiet", "pip", "download", "--quiet", "--no-deps"]
            _run(*pip, "--dest", str(directory), COMMUNITY_PACKAGE)
            (wheel,) = directory.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                ours = tuple(f"ansible_collections/{name.replace('.', '/')}/" for name in COMMUNITY_COLLECTIONS)
                archive.extractall(directory, [name for name in archive.namelist() if name.startswith(ours)])
            wheel.unlink()
    return directory


@functools.cache
def interpreter(version: str) -> Path | None:
    """An installed Python of this minor version: on the PATH, or of pyenv, whose shims may lead nowhere."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, pyenv.glob(f"{version}.*/bin/python{version}"))]
    for candidate in filter(None, candidates):
        question = [candidate, "-c", "import sys; print(sys.base_prefix)"]
        answer = subprocess.run(question, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return Path(answer.stdout.strip()) / "bin" / f"python{version}"
    return None


@functools.cache
def uv() -> str:
    """uv itself: the machine's, or one from the package index in a folder of its own."""
    found = shutil.which("uv")
    if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
        return found
    directory = cache() / "env" / "uv"
    with _made_once(directory) as missing:
        if missing:
            say(f"installing uv in {directory}")
            if importlib.util.find_spec("pip"):  # Debian's Python may have pip and no ensurepip, or neither
                _run(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(directory), "uv")
            else:
                _run(sys.executable, "-m", "venv", str(directory))
                _run(str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv")
    return str(directory / "bin" / "uv")


@contextlib.contextmanager
def _made_once(directory: Path) -> t.Iterator[bool]:
    """Whether the directory is yet to be made, by one process at a time; a half-made one is begun anew."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    complete = directory / ".complete"
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = not complete.exists()
        if missing:
            shutil.rmtree(directory, ignore_errors=True)
        yield missing
        complete.touch()


def lock() -> None:
    """Resolve the requirements anew. No address of a package index gets into the files."""
    for name, pythons in PYTHONS.items():
        options = [
            "--quiet",
            "--upgrade",
            "--no-emit-index-url",
            "--no-header",
            "--python-version",
            pythons[0],
        ]
        output = ["--output-file", f"{name}.txt", f"{name}.in"]
        subprocess.run([uv(), "pip", "compile", *options, *output], cwd=REQUIREMENTS, check=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)


def say(text: str) -> None:
    """A line for the person who waits; standard output is for the path."""
    print(f"==> {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--lock":
        lock()
    else:
        print(make(sys.argv[1]))
