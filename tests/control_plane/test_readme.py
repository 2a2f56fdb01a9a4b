# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What README.md shows can be copied: its examples run, one after the other, and then change nothing."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import yaml

from tests.gates.environment import ROOT
from tests.support.modules import run_playbook
from tests.testbed.control_plane import ControlPlane


def _tasks() -> list[t.Any]:
    """The tasks of the examples, with or without the play around them."""
    examples = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    found = [part for example in map(yaml.safe_load, examples) if isinstance(example, list) for part in example]
    return [task for part in found for task in part.get("tasks", [part])]


def test_examples_run_and_then_change_nothing(cluster: ControlPlane, tmp_path: Path) -> None:
    tasks = _tasks()
    playbook = tmp_path / "readme.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    environ = {"K8S_AUTH_KUBECONFIG": str(cluster.kubeconfig)}
    first = run_playbook(str(playbook), environ=environ)
    assert first["rc"] == 0, first["output"]
    assert first["stats"]["localhost"]["ok"] == len(tasks) >= 4
    second = run_playbook(str(playbook), environ=environ)
    assert second["stats"]["localhost"]["changed"] == 0, second["output"]
