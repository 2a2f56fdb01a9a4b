# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checkout as ``ansible_collections/hardened/k8s``, wherever it really lies."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.gates.environment import ROOT, cache

_PLACE = Path("ansible_collections", "hardened", "k8s")


def linked() -> Path:
    """A collections path whose ``hardened.k8s`` is a link to the checkout; changes are seen at once."""
    home = cache() / "checkouts" / hashlib.sha256(bytes(ROOT)).hexdigest()[:16]
    link = home / _PLACE
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        link.symlink_to(ROOT)
    return home


def files() -> list[Path]:
    """The files that git has or would add, relative to the checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = (Path(name) for name in listed.split("\0") if name)
    # one may have been removed since the last commit
    return [name for name in names if (ROOT / name).is_file()]


def copied(home: Path) -> Path:
    """A copy of those files below a collections path, for tools that resolve links.

    :returns: the copy's ``hardened/k8s``.
    """
    for name in files():
        target = home / _PLACE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return home / _PLACE


def variables(home: Path) -> dict[str, str]:
    """What Ansible, Python and mypy have to know to find the collection there and this tree's ``tests``."""
    path = os.pathsep.join([str(home), str(ROOT)])
    return {"ANSIBLE_COLLECTIONS_PATH": str(home), "MYPYPATH": path, "PYTHONPATH": path}
