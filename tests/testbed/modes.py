# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of clusters that there are, and all instances of them."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.testbed.cluster import Cluster, begun, home
from tests.testbed.control_plane import ControlPlane
from tests.testbed.kind import Kind
from tests.testbed.machines import Machines, Nodes
from tests.testbed.processes import started

MODES: dict[str, type[Cluster]] = {mode.mode: mode for mode in (ControlPlane, Kind, Machines, Nodes)}


def instance(name: str) -> Cluster:
    """The instance of that name, as it was started."""
    about = begun(name)
    if about.get("mode", ControlPlane.mode) not in MODES:
        raise ValueError(f"{name} is an instance of another checkout, with mode {about['mode']}")
    return MODES[about.get("mode", ControlPlane.mode)](name, **{k.lower(): v for k, v in about.items() if k != "mode"})


def instances() -> list[Cluster]:
    """All of them, up or not, but those of another checkout that only that one knows."""
    found = []
    for path in filter(Path.is_dir, sorted(home().glob("*"))):
        with contextlib.suppress(ValueError):
            found.append(instance(path.name))
    return found


def remove_orphans(prefix: str) -> None:
    """Take down the instances with that prefix whose name has the id of the process that made them, if that has ended."""
    for orphan in instances():
        makers = [int(part) for part in orphan.name[len(prefix) :].split("-") if part.isdigit()]
        if orphan.name.startswith(prefix) and makers and not any(map(started, makers)):
            orphan.down()
