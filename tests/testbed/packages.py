# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine's own programs, which the bed installs where they are missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

from tests.gates.environment import cache, say
from tests.testbed import binaries
from tests.testbed.cluster import StartError

#: What starts a service that has just been installed asks this first.
_POLICY = Path("/usr/sbin/policy-rc.d")
_NO = "#!/bin/sh\n# of the test bed of hardened.k8s, while it installs packages\nexit 101\n"


def need(**programs: str) -> None:
    """Install what is missing.

    :param programs: the name of a program, with ``_`` for ``-``, and the Debian package that has it.
    """
    missing = _missing(programs)
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() != 0:
        raise StartError(f"clusters with nodes need root, and these packages: {names}")
    if not shutil.which("apt-get"):
        raise StartError(f"there is no apt-get here to install what is missing: {names} (Debian's names)")
    # apt-get does not wait for another one that reads the lists of packages
    with binaries.alone(cache() / "testbed" / "debian-packages") as lock:
        missing = _missing(programs)  # still, after whoever was at it
        if missing:
            _install(missing, lock)


def _missing(programs: t.Mapping[str, str]) -> list[str]:
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    return sorted(
        {package for name, package in programs.items() if not shutil.which(name.replace("_", "-"), path=path)}
    )


def _install(missing: t.Sequence[str], lock: int) -> None:
    """:param lock: an open file, which apt-get has too: where this process is killed, others wait until that is done."""
    say(f"installing Debian packages that are missing here: {' '.join(missing)}")
    settings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_services():
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            options: dict[str, t.Any] = {"env": settings, "capture_output": True, "text": True, "pass_fds": [lock]}
            done = subprocess.run(["apt-get", "--quiet", *command], **options, check=False)
            if done.returncode:
                raise StartError(f"apt-get {command[0]} failed: {done.stderr.strip()}")


@contextlib.contextmanager
def _no_services() -> t.Iterator[None]:
    """What is installed meanwhile, such as a docker daemon, is not started."""
    if _POLICY.exists() and _POLICY.read_text() != _NO:  # what a run that was killed has left goes, too
        yield
        return
    _POLICY.write_text(_NO)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
