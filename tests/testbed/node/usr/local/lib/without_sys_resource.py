# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""runc for a machine that lacks CAP_SYS_RESOURCE: what asks for that capability starts without it."""

from __future__ import annotations

import json
import os
import sys
import typing as t

RUNC = "/usr/sbin/runc"


def main(arguments: t.Sequence[str]) -> t.NoReturn:
    path = asked(arguments)
    if path:
        with open(path, encoding="utf-8") as source:
            wanted = json.load(source)
        without(wanted.get("process", wanted))
        with open(path, "w", encoding="utf-8") as target:
            json.dump(wanted, target)
    os.execv(RUNC, [RUNC, *arguments])


def asked(arguments: t.Sequence[str]) -> str:
    """The file that says what process to start; empty where none is started."""
    if "create" in arguments or "run" in arguments:
        return os.path.join(_value(arguments, "--bundle", "-b") or ".", "config.json")
    return _value(arguments, "--process", "-p") if "exec" in arguments else ""


def _value(arguments: t.Sequence[str], *names: str) -> str:
    """What follows an option."""
    return next((arguments[arguments.index(name) + 1] for name in names if name in arguments), "")


def without(process: dict[str, t.Any]) -> None:
    """Take out what only that capability allows."""
    for names in (process.get("capabilities") or {}).values():
        names[:] = [name for name in names if name != "CAP_SYS_RESOURCE"]
    if process.get("oomScoreAdj", 0) < 0:
        process["oomScoreAdj"] = 0


if __name__ == "__main__":
    main(sys.argv[1:])
