# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs on nodes needs an old Python, and nothing else."""

from __future__ import annotations

import ast
import sys
import typing as t
from pathlib import Path

import pytest

from tests.gates.environment import ROOT
from tests.unit.test_collection import NODE_MODULES

_UTILS = ROOT / "plugins" / "module_utils"
_FILES = [
    *(_UTILS / "node").glob("*.py"),
    *(_UTILS / name for name in ("errors.py", "findings.py")),
    *(ROOT / "plugins" / "modules" / f"{name}.py" for name in NODE_MODULES),
]
#: Ansible's own, which it brings along.
_ANSIBLE = {"ansible.module_utils.basic", "ansible.module_utils.parsing.convert_bool"}
_OURS = "ansible_collections.hardened.k8s.plugins.module_utils."


def imported(tree: ast.AST) -> t.Iterator[str]:
    for item in ast.walk(tree):
        if isinstance(item, ast.Import):
            yield from (name.name for name in item.names)
        elif isinstance(item, ast.ImportFrom):
            yield str(item.module)


@pytest.mark.parametrize("path", sorted(_FILES), ids=lambda path: path.stem)
def test_python_3_8_and_its_standard_library_are_enough(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    strange = [name for name in imported(tree) if name.partition(".")[0] not in sys.stdlib_module_names]
    strange = [name for name in strange if name not in _ANSIBLE and not name.startswith(_OURS)]
    assert strange == []
    ours = {name[len(_OURS) :].partition(".")[0] for name in imported(tree) if name.startswith(_OURS)}
    assert ours <= {"errors", "findings", "node"}, "what is for clusters needs more than a node has"
