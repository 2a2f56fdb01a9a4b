# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for systemd where there is only a network: units are started by running their commands, no timer ticks.

The real one puts the same files to use on a machine, in ``tests/nodes``.
"""

from __future__ import annotations

import configparser
import shlex
import subprocess
import sys
from pathlib import Path

_UNITS = Path("/etc/systemd/system")
_ACTIVE = Path("/run/active-units")


def _command(unit: str, key: str) -> list[str]:
    about = configparser.ConfigParser(strict=False, interpolation=None)  # which takes a key however it is spelled
    about.read(_UNITS / unit)
    return shlex.split(about.get("Service", key, fallback=""))


def _start(unit: str) -> int:
    if not (_UNITS / unit).exists():
        return 5
    key = "ExecReload" if (_ACTIVE / unit).exists() else "ExecStart"
    done = subprocess.run(_command(unit, key), check=False).returncode if unit.endswith(".service") else 0
    if not done:
        _ACTIVE.mkdir(exist_ok=True)
        (_ACTIVE / unit).touch()
    return done


def main() -> int:
    program, verb, *words = sys.argv[1:]
    if program == "systemd-run":
        return 0  # a timer, which does not tick here
    units = [word for word in words if not word.startswith("-")]
    if verb == "show":
        for unit in units:
            loaded = (_UNITS / unit).exists()
            print(f"Id={unit}\nLoadState={'loaded' if loaded else 'not-found'}")
            print(f"ActiveState={'active' if (_ACTIVE / unit).exists() else 'inactive'}\nSubState=dead\n")
    elif verb in ("start", "reload-or-restart"):
        return max(map(_start, units))
    elif verb == "is-active":
        return 0 if any((_ACTIVE / unit).exists() for unit in units) else 3
    elif verb == "stop":
        known = [(_UNITS / unit).exists() or (_ACTIVE / unit).exists() for unit in units]
        for unit in units:
            (_ACTIVE / unit).unlink(missing_ok=True)
        return 0 if all(known) else 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
