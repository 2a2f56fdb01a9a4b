# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``mypy --strict`` on the collection and its tests.

mypy goes on reporting a module as missing that was so when it filled its cache; a new set of files therefore
gets a new cache.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys

from tests.gates.collection import files, linked


def main() -> int:
    digest = hashlib.sha256("\n".join(map(str, files())).encode()).hexdigest()[:16]
    caches = linked() / "mypy"
    for outdated in caches.glob("*"):
        if outdated.name != digest:
            shutil.rmtree(outdated)
    packages = ["-p", "ansible_collections.hardened.k8s.plugins", "-p", "tests"]
    return subprocess.run(["mypy", "--cache-dir", str(caches / digest), *packages], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
