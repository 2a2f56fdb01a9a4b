# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles of nodes: specification, defaults, README and library say the same; the playbook takes one node after the other."""

from __future__ import annotations

import json
import re
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.gates.environment import ROOT
from tests.support.modules import run_playbook

_ROLES = ["apparmor", "seccomp"]
_NODES = ["one", "two", "three"]


def read(role: str, name: str) -> t.Any:
    return yaml.safe_load((ROOT / "roles" / role / name).read_text())


@pytest.mark.parametrize("role", _ROLES)
def test_specification_defaults_and_readme_say_the_same(role: str) -> None:
    options = read(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = read(role, "defaults/main.yml")
    assert defaults == {name: option["default"] for name, option in options.items()}
    readme = (ROOT / "roles" / role / "README.md").read_text()
    rows = re.findall(rf"^\| `({role}_\w+)` \| `(.*?)` \|", readme, re.MULTILINE)
    assert {name: yaml.safe_load(default) for name, default in rows} == defaults
    library = read(role, "vars/main.yml")[f"__{role}_library"]
    assert sorted(options[f"{role}_library"]["choices"]) == sorted(library)
    assert all(f"| `{name}` |" in readme for name in library)


@pytest.mark.parametrize(("given", "plays"), [({}, 3), ({"harden_node_serial": [1, "100%"]}, 2)])
def test_the_playbook_takes_one_node_first(tmp_path: Path, given: dict[str, t.Any], plays: int) -> None:
    """Three nodes that are this computer, of which nothing is changed as no role is asked for."""
    here = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
    inventory = tmp_path / "nodes.yml"
    inventory.write_text(json.dumps({"k8s_nodes": {"hosts": dict.fromkeys(_NODES, here)}}))
    extra = json.dumps({"harden_node_roles": [], **given})
    arguments = [f"--inventory={inventory}", "--tags=nodes", f"--extra-vars={extra}"]
    result = run_playbook(f"{ROOT}/playbooks/harden.yml", *arguments)
    assert result["rc"] == 0, result["output"]
    assert result["output"].count("PLAY [Harden the nodes]") == plays
    assert [result["stats"][name]["changed"] for name in _NODES] == [0, 0, 0]
