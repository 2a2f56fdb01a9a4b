# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/topics.md says what the code does: its examples are valid, its rules and options exist, none is left out."""

from __future__ import annotations

import datetime
import re
import typing as t
from unittest import mock

import pytest
import yaml
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import tenant
from ansible_collections.hardened.k8s.plugins.modules import tenant_info

from tests.gates.environment import ROOT
from tests.support.modules import run_module

TOPICS = (ROOT / "docs" / "topics.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", TOPICS, re.MULTILINE | re.DOTALL)
#: The day on which the examples were written: acceptances in them end some day.
WRITTEN = datetime.date(2026, 11, 23)

_PREFIXES = "accept|apparmor|namespace|network|pod-security|quota|rbac|seccomp|selinux"
_RULE = rf"((?:{_PREFIXES})/[a-z-]+)"


class _Today(datetime.date):
    @classmethod
    def today(cls) -> _Today:
        return cls(WRITTEN.year, WRITTEN.month, WRITTEN.day)


def declarations(example: t.Any) -> list[dict[str, t.Any]]:
    """The calls of ``tenant`` that an example stands for: tasks, the playbook's variables or one tenant's options."""
    if isinstance(example, list):
        return [task["hardened.k8s.tenant"] for task in example if "hardened.k8s.tenant" in task]
    if "cluster_tenants" in example:
        return [{name.partition("_")[2]: value for name, value in example.items()}]
    return [{"tenants": [{"name": "shop-web", **example}]}]


@pytest.mark.parametrize("block", BLOCKS)
def test_examples_declare_what_they_say_without_a_mistake(block: str) -> None:
    for options in declarations(yaml.safe_load(block)):
        with mock.patch.object(datetime, "date", _Today):
            result = run_module("tenant", {**options, "state": "rendered"})
        assert not result.get("failed"), result["msg"]
        assert len(result["manifests"]) > 1
        assert not [finding for finding in result["findings"] if finding["rule"] == "accept/unused"]


def test_examples_of_tenant_info_name_options_that_it_has() -> None:
    known = yaml.safe_load(tenant_info.DOCUMENTATION)["options"]
    tasks = [task for block in BLOCKS for task in yaml.safe_load(block) if isinstance(task, dict)]
    calls = [task["hardened.k8s.tenant_info"] for task in tasks if "hardened.k8s.tenant_info" in task]
    assert calls
    assert all(set(call) <= set(known) for call in calls)


def test_every_rule_of_the_checks_is_described_and_no_other() -> None:
    sources = (ROOT / "plugins" / "module_utils").rglob("*.py")
    in_code = {rule for source in sources for rule in re.findall(f'"{_RULE}"', source.read_text())}
    assert in_code == set(re.findall(f"`{_RULE}`", TOPICS))


def test_every_option_of_a_tenant_belongs_to_a_topic() -> None:
    table = TOPICS[: TOPICS.index("## What all topics share")]
    shared = {"profile", "stage", "accept"}
    assert set(tenant.SPEC) - shared == set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|.*", table, re.M))))


def test_contents_lead_to_their_sections() -> None:
    linked = re.findall(r"\]\(#([\w-]+)\)", TOPICS)
    headings = [title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)", TOPICS, re.MULTILINE)]
    assert headings == ["what-all-topics-share", *linked]
    assert len(linked) == 9
