# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API server's warnings about running pods become one finding."""

from __future__ import annotations

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.checks.pod_security import running_pods
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref

SHOP = Ref("Namespace", "", "shop")
HEADING = 'existing pods in namespace "shop" violate the new PodSecurity enforce level "restricted:v1.37"'
PODS = [
    "cart-1 (and 2 other pods): allowPrivilegeEscalation != false, runAsNonRoot != true",
    "db-0: host namespaces, hostPath volumes",
]
CHECKED = "new PodSecurity enforce level only checked against the first 3000 of 5000 existing pods"


def test_pods_that_violate_the_level_refuse_it() -> None:
    (finding,) = running_pods(SHOP, "restricted", [HEADING, *PODS])
    assert (finding.rule, finding.ref, finding.refuse) == ("pod-security/running-pods", SHOP, True)
    assert finding.affected == tuple(PODS)
    assert "restricted" in finding.message
    assert finding.remedy


def test_other_warnings_beside_them_are_no_pods() -> None:
    (finding,) = running_pods(SHOP, "restricted", ["unknown field: x", HEADING, *PODS, "deprecated"])
    assert finding.affected == tuple(PODS)


def test_that_not_all_pods_were_looked_at_is_told() -> None:
    (told,) = running_pods(SHOP, "restricted", [CHECKED])
    assert (told.rule, told.ref, told.refuse, told.message) == ("pod-security/not-all-checked", SHOP, False, CHECKED)
    rules = [finding.rule for finding in running_pods(SHOP, "restricted", [CHECKED, HEADING, *PODS])]
    assert rules == ["pod-security/not-all-checked", "pod-security/running-pods"]


@pytest.mark.parametrize(
    "warnings",
    [[], PODS, ['would violate PodSecurity "restricted:latest": runAsNonRoot != true']],
)
def test_without_the_heading_no_pod_violates_it(warnings: list[str]) -> None:
    assert running_pods(SHOP, "restricted", warnings) == []
