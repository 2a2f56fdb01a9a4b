# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's specification, defaults, README and call of the module say the same."""

from __future__ import annotations

import re
import typing as t

import yaml
from ansible_collections.hardened.k8s.plugins.module_utils.arguments import CONNECTION
from ansible_collections.hardened.k8s.plugins.modules.tenant import TOPIC

from tests.gates.environment import ROOT

ROLE = ROOT / "roles" / "cluster"


def read(name: str) -> t.Any:
    return yaml.safe_load((ROLE / name).read_text())


OPTIONS = read("meta/argument_specs.yml")["argument_specs"]["main"]["options"]


def test_defaults_are_those_of_the_specification() -> None:
    assert read("defaults/main.yml") == {name: option["default"] for name, option in OPTIONS.items()}


def test_every_option_of_the_module_but_the_connection_is_a_variable_of_the_same_kind() -> None:
    module = TOPIC.argument_spec()
    (call,) = [task["hardened.k8s.tenant"] for task in read("tasks/apply.yml") if "hardened.k8s.tenant" in task]
    variables = {name: f"{{{{ cluster_{name} }}}}" for name in call}
    # those of AWS roles are for other modules
    assert call == {**variables, "accept": "{{ cluster_accept | rejectattr('rule', 'match', 'iam/') }}"}
    assert set(call) == set(module) - set(CONNECTION)
    others = {"cluster_network_policies", "cluster_pod_security_policies", "cluster_guards"}
    others |= {f"cluster_kube2iam_{name}" for name in ("agents", "namespaces", "guards")}
    assert {f"cluster_{name}" for name in call} | others == set(OPTIONS)
    for name in call:
        option = OPTIONS[f"cluster_{name}"]
        assert option["type"] == module[name]["type"]
        assert option.get("elements") == module[name].get("elements")
        assert option["default"] == module[name].get("default", [])


def test_readme_lists_every_variable_with_its_default() -> None:
    rows = re.findall(r"^\| `(cluster_\w+)` \| `(.*?)` \|", (ROLE / "README.md").read_text(), re.MULTILINE)
    assert {name: yaml.safe_load(default) for name, default in rows} == read("defaults/main.yml")
