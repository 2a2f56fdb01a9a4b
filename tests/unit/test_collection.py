# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's own files agree with each other."""

from __future__ import annotations

import re
import subprocess
import sys
import typing as t

import pytest
import yaml

from tests.gates.environment import ROOT

_MODULES = {path.stem: path.read_text() for path in (ROOT / "plugins" / "modules").glob("*.py")}
MODULES = set(_MODULES)
#: Those that run on nodes, and connect to no cluster.
NODE_MODULES = {name for name, text in _MODULES.items() if "plugins.module_utils.node" in text}

#: What certification looks for in README.md.
SECTIONS = [
    *("Description", "Requirements", "Installation", "Use Cases", "Testing", "Contributing"),
    *("Support", "Release Notes", "Related Information", "License"),
]


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _yaml(name: str) -> t.Any:
    return yaml.safe_load(_text(name))


#: Modules that talk to AWS.
AWS = ["iam_node_role", "iam_pod_role", "instance_metadata"]


def test_action_groups_have_every_module() -> None:
    """So that one ``module_defaults`` block reaches all of a kind, and those of kubernetes.core or amazon.aws."""
    groups = _yaml("meta/runtime.yml")["action_groups"]
    extensions = {name: entries[0]["metadata"]["extend_group"] for name, entries in groups.items()}
    assert extensions == {"k8s": ["kubernetes.core.k8s"], "aws": ["amazon.aws.aws"]}
    assert groups["k8s"][1:] == sorted(MODULES - set(AWS) - NODE_MODULES)
    assert groups["aws"][1:] == AWS


def test_readme_has_every_section_and_module() -> None:
    readme = _text("README.md")
    assert re.findall(r"^## (.+)$", readme, re.MULTILINE) == SECTIONS
    assert set(re.findall(r"^\| `hardened\.k8s\.(\w+)` \|", readme, re.MULTILINE)) == MODULES


def test_examples_of_the_readme_are_yaml() -> None:
    for example in re.findall(r"^```yaml\n(.*?)^```$", _text("README.md"), re.MULTILINE | re.DOTALL):
        assert yaml.safe_load(example)


def test_execution_environment_gets_the_requirements() -> None:
    """Galaxy's clients and ansible-builder read the same file, which must not name Ansible itself."""
    assert _yaml("meta/execution-environment.yml")["dependencies"] == {"python": "requirements.txt"}
    wanted = [line for line in _text("requirements.txt").splitlines() if not line.startswith("#")]
    assert [re.split(r"\W", line)[0] for line in wanted] == ["kubernetes", "jmespath", "boto3"]


def test_package_leaves_out_only_what_exists() -> None:
    for name in _yaml("galaxy.yml")["build_ignore"]:
        assert (ROOT / name).exists()


_HEAVY = ("flows.judge", "flows.audit", "pod_security_standards")


@pytest.mark.parametrize("module", sorted(MODULES - set(AWS) - NODE_MODULES - {"network_flow_info"}))
def test_what_judges_flows_and_pods_is_imported_where_it_is_needed(module: str) -> None:
    """Ansible has Python compile all that a module imports anew in each run, also in one that has nothing to do."""
    base = "ansible_collections.hardened.k8s.plugins"
    script = f"import sys, {base}.modules.{module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    heavy = {name for name in _HEAVY if f"{base}.module_utils.checks.{name}" in loaded}
    assert heavy == ({"pod_security_standards"} if module == "pod_security_info" else set())
