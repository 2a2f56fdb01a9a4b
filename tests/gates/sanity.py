# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``ansible-test sanity`` in the present directory, on every Python that is installed.

ansible-test makes an environment for each of its tests below its home, here one in the cache, and fetches a
script that brings pip into them; ``get_pip.py`` stands in for that script.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.gates.environment import cache, interpreter

#: What ansible-core 2.19 tests modules on.
PYTHONS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"]


def main() -> int:
    home = cache() / "ansible-test"
    script = home / ".ansible" / "test" / "cache" / "get_pip_24_2.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("get_pip.py"), script)
    _configure_pip(home)

    found = {version: interpreter(version) for version in PYTHONS}
    path = [str(Path(sys.executable).parent), *(str(python.parent) for python in found.values() if python)]
    settings = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "HOME": str(home),
        "PATH": os.pathsep.join([*path, os.environ["PATH"]]),
    }
    command = ["ansible-test", "sanity", "--color", "no", *sys.argv[1:]]
    result = subprocess.run(command, env=settings, check=False)
    missing = [version for version, python in found.items() if python is None]
    if missing:
        print(f"not run: import and compile on Python {', '.join(missing)}, not installed here")
    return result.returncode


def _configure_pip(home: Path) -> None:
    """Put the user's settings of pip where it looks for them; ansible-test hands no variable on."""
    settings = configparser.RawConfigParser()
    settings.read(Path.home() / place for place in (".pip/pip.conf", ".config/pip/pip.conf"))
    variables = {name[4:].lower(): value for name, value in os.environ.items() if name.startswith("PIP_")}
    settings.read_dict({"global": {**variables, "quiet": "1"}})
    file = home / ".config" / "pip" / "pip.conf"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    with file.open("w", encoding="utf-8") as output:
        settings.write(output)


if __name__ == "__main__":
    sys.exit(main())
