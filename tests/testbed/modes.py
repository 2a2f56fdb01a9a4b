# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of clusters that there are, and all instances of them."""

from __future__ import annotations

from tests.testbed.cluster import Cluster, begun, home
from tests.testbed.control_plane import ControlPlane
from tests.testbed.kind import Kind
from tests.testbed.machines import Machines, Nodes
from tests.testbed.processes import started

MODES: dict[str, type[Cluster]] = {mode.mode: mode for mode in (ControlPlane, Kind, Machines, Nodes)}


def instance(name: str) -> Cluster:
    """The instance of that name, as it was started."""
    about = begun(name)
    return MODES[about.get("mode", ControlPlane.mode)](name, **{k.lower(): v for k, v in about.items() if k != "mode"})


def instances() -> list[Cluster]:
    """All of them, up or not."""
    return [instance(path.name) for path in sorted(home().glob("*")) if path.is_dir()]


def remove_orphans(prefix: str) -> None:
    """Take down the instances named ``<prefix><id>`` for the process that made them, where that has ended."""
    for orphan in instances():
        maker = orphan.name[len(prefix) :]
        if orphan.name.startswith(prefix) and maker.isdigit() and not started(int(maker)):
            orphan.down()
