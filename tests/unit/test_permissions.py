# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rights that are documented are those that are tested, and a tenant needs what its parts need."""

from __future__ import annotations

import re
import typing as t

import yaml

from tests.gates.environment import ROOT

RULES = yaml.safe_load((ROOT / "tests" / "control_plane" / "permissions.yml").read_text())


def rights(rules: list[dict[str, list[str]]]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_document_shows_the_tested_rights() -> None:
    text = (ROOT / "docs" / "permissions.md").read_text()
    shown: dict[str, t.Any] = {}
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        role = yaml.safe_load(block)
        shown[role["metadata"]["name"].replace("hardened-", "").replace("-", "_")] = role["rules"]
    assert shown == RULES


def test_a_tenant_needs_what_its_parts_need() -> None:
    names = ("namespace", "resource_quota", "rbac", "network_policy", "pod_security_policy")
    parts = set().union(*(rights(RULES[part]) for part in names))
    # a tenant has no cluster-wide roles of its own; it reads those that it binds
    cluster_wide = {
        right
        for right in parts
        if right[1] in ("clusterroles", "clusterrolebindings") and right[1:] != ("clusterroles", "list")
    }
    assert rights(RULES["tenant"]) == parts - cluster_wide
