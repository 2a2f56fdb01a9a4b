# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python3 -m tests.testbed.lock 1.38.0``: writes go.mod and go.sum for a version of Kubernetes.

The go.mod of k8s.io/kubernetes replaces its own libraries by folders that only its repository has; they are
published too, 1.38.0 as v0.38.0. Needs Go.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.testbed.binaries import SOURCES
from tests.testbed.versions import GO


def lock(version: str) -> None:
    home = SOURCES / f"kube-{version}"
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for source in (SOURCES / "kube").glob("*.go"):
            shutil.copy(source, scratch)
        asked = ["go", "mod", "download", "-json", f"k8s.io/kubernetes@v{version}"]
        answer = subprocess.run(asked, cwd=scratch, check=True, stdout=subprocess.PIPE)
        (scratch / "go.mod").write_text(go_mod(version, Path(json.loads(answer.stdout)["GoMod"]).read_text()))
        # with -e, as tests of some modules import what is not published
        subprocess.run(["go", "mod", "tidy", "-e"], cwd=scratch, check=True)
        home.mkdir(exist_ok=True)
        for locked in ("go.mod", "go.sum"):
            shutil.copy(scratch / locked, home)


def go_mod(version: str, theirs: str) -> str:
    """A go.mod that asks for that version, and for its libraries as published.

    :param theirs: the go.mod of k8s.io/kubernetes.
    """
    published = "v0." + version.partition(".")[2]
    libraries = re.findall(r"^\s*(?:replace )?(\S+) => \./staging/", theirs, re.MULTILINE)
    replaced = "".join(f"\t{library} => {library} {published}\n" for library in libraries)
    oldest = ".".join(map(str, GO))
    return f"module testbed\n\ngo {oldest}.0\n\nrequire k8s.io/kubernetes v{version}\n\nreplace (\n{replaced})\n"


if __name__ == "__main__":
    lock(sys.argv[1])
