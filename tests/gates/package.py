# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the collection of the present directory and imports it as Galaxy and Automation Hub would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

#: Linting is a gate of its own here.
SETTINGS = {"GALAXY_IMPORTER_CHECK_REQUIRED_TAGS": "true", "GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "false"}


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        build = ["ansible-galaxy", "collection", "build", "--output-path", scratch]
        subprocess.run(build, check=True)
        (package,) = Path(scratch).glob("*.tar.gz")
        print(f"{package.name}: {package.stat().st_size // 1024} KiB", flush=True)
        result = subprocess.run(
            [sys.executable, "-m", "galaxy_importer.main", str(package)],
            cwd=scratch,
            env={**os.environ, **SETTINGS},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    print(result.stdout, end="")
    # The importer only mentions what it does not like.
    return 1 if result.returncode or re.search(r"^(WARNING|ERROR)", result.stdout, re.MULTILINE) else 0


if __name__ == "__main__":
    sys.exit(main())
