# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/kube2iam.md says what the code does: its rules exist, none is left out, its examples name options that there are."""

from __future__ import annotations

import re
import typing as t

import pytest
import yaml
from ansible_collections.hardened.k8s.plugins.module_utils.aws import node_roles, pod_roles
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import kube2iam, tenant
from ansible_collections.hardened.k8s.plugins.modules import iam_node_role, iam_pod_role, instance_metadata

from tests.gates.environment import ROOT

TEXT = (ROOT / "docs" / "kube2iam.md").read_text()
_RULE = r"((?:iam|imds|kube2iam|metadata)/[a-z0-9-]+)"
#: Module -> its lists, and what an item of them may say.
ITEMS: dict[str, dict[str, dict[str, t.Any]]] = {
    "iam_node_role": {"node_roles": node_roles.SPEC},
    "iam_pod_role": {"roles": pod_roles.SPEC},
    "instance_metadata": {},
    "kube2iam": {"agents": kube2iam.AGENT_SPEC, "guards": kube2iam.GUARD_SPEC},
    "tenant": {"tenants": tenant.SPEC},
}
AWS = {"iam_node_role": iam_node_role, "iam_pod_role": iam_pod_role, "instance_metadata": instance_metadata}


def test_every_rule_of_the_checks_is_described_and_no_other() -> None:
    sources = (ROOT / "plugins" / "module_utils").rglob("*.py")
    in_code = {rule for source in sources for rule in re.findall(f'"{_RULE}"', source.read_text())}
    assert in_code == set(re.findall(rf"^\| `{_RULE}` \|", TEXT, re.MULTILINE))


def test_examples_name_options_that_there_are() -> None:
    (play,) = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)[0])
    called = {module: options for task in play["tasks"] for module, options in task.items() if module != "name"}
    assert {module.rpartition(".")[2] for module in called} == set(ITEMS)
    for module, options in called.items():
        for option, specs in ITEMS[module.rpartition(".")[2]].items():
            for item in options[option]:
                assert set(item) <= set(specs)


@pytest.mark.parametrize("name", AWS)
def test_items_of_aws_modules_are_documented(name: str) -> None:
    documented = yaml.safe_load(AWS[name].DOCUMENTATION)["options"]
    for option, spec in ITEMS[name].items():
        told = documented[option]["suboptions"]
        assert {key: value.get("type") for key, value in told.items()} == {key: v["type"] for key, v in spec.items()}
        assert {key for key, value in told.items() if value.get("required")} == {
            k for k, v in spec.items() if v.get("required")
        }
