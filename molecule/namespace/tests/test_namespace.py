# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pods are admitted, warned about or refused by the level and the stage of their namespace."""

from __future__ import annotations

import pytest

from tests.support.asking import Cluster

ROOT = {"container": {"securityContext": {}}, "securityContext": {}}
HOST = {"hostNetwork": True}


@pytest.mark.parametrize(
    ("namespace", "admitted"),
    [
        ("molecule-restricted", (True, False, False)),
        ("molecule-baseline", (True, True, False)),
        ("molecule-warned", (True, True, True)),
    ],
)
def test_pods_are_admitted_by_level(cluster: Cluster, namespace: str, admitted: tuple[bool, ...]) -> None:
    assert tuple(cluster.admits(namespace, **pod)[0] for pod in ({}, ROOT, HOST)) == admitted


def test_a_refusal_names_the_level_and_the_field(cluster: Cluster) -> None:
    _admitted, said = cluster.admits("molecule-restricted", **ROOT)
    assert 'violates PodSecurity "restricted:v1.' in said
    assert "allowPrivilegeEscalation != false" in said


def test_at_stage_warn_its_author_is_told(cluster: Cluster) -> None:
    _admitted, said = cluster.admits("molecule-warned", **HOST)
    assert 'Warning: would violate PodSecurity "restricted:v1.' in said


def test_the_default_account_gives_no_token(cluster: Cluster) -> None:
    assert (
        cluster.get("serviceaccount", "default", "-n", "molecule-restricted")["automountServiceAccountToken"] is False
    )
