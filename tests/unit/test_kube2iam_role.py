# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's specification, defaults, README and call of the module say the same."""

from __future__ import annotations

import re
import typing as t

import yaml
from ansible_collections.hardened.k8s.plugins.modules import metadata_access

from tests.gates.environment import ROOT

ROLE = ROOT / "roles" / "kube2iam"
SPEC: t.Any = metadata_access.SPEC


def read(name: str) -> t.Any:
    return yaml.safe_load((ROLE / name).read_text())


OPTIONS = read("meta/argument_specs.yml")["argument_specs"]["main"]["options"]


def test_defaults_are_those_of_the_specification() -> None:
    assert read("defaults/main.yml") == {name: option["default"] for name, option in OPTIONS.items()}


def test_every_option_of_the_module_is_a_variable_of_the_same_kind() -> None:
    call = read("tasks/main.yml")[0]["hardened.k8s.metadata_access"]
    mode = call.pop("mode")
    assert call == {name: f"{{{{ kube2iam_{name} }}}}" for name in call}
    assert mode == "{{ 'block' if kube2iam_mode == 'block_only' else 'redirect' }}"
    assert {*call, "mode"} == set(SPEC)
    assert {f"kube2iam_{name}" for name in SPEC} == set(OPTIONS)
    for name, option in SPEC.items():
        variable = OPTIONS[f"kube2iam_{name}"]
        assert variable["type"] == option["type"]
        assert variable.get("elements") == option.get("elements")
        assert variable["default"] == option["default"]
        if name != "mode":
            assert variable.get("choices") == option.get("choices")


def test_readme_lists_every_variable_with_its_default() -> None:
    rows = re.findall(r"^\| `(kube2iam_\w+)` \| `(.*?)` \|", (ROLE / "README.md").read_text(), re.MULTILINE)
    assert {name: yaml.safe_load(default) for name, default in rows} == read("defaults/main.yml")
