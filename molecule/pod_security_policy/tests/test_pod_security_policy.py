# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pods are refused with what to change, filled in, and excepted only for those who are named."""

from __future__ import annotations

import time

from tests.support.asking import Cluster

SPACE = "molecule-pods"


def test_a_pod_is_refused_with_what_to_change(cluster: Cluster) -> None:
    deadline = time.monotonic() + 60  # the API server takes notice of a policy a little later
    while (asked := cluster.admits(SPACE, hostNetwork=True))[0] and time.monotonic() < deadline:
        time.sleep(0.5)
    admitted, said = asked
    assert not admitted
    assert "pod: hostNetwork is true, remove it" in said


def test_what_a_pod_leaves_open_is_filled_in(cluster: Cluster) -> None:
    assert cluster.admits(SPACE)[0]
    succeeded, said = cluster.run(
        *("run", "asked", "--image=registry.example/app:1", f"--namespace={SPACE}", "--dry-run=server"),
        "--output=jsonpath={.spec.containers[0].securityContext}",
    )
    assert succeeded, said
    assert '"readOnlyRootFilesystem":true' in said
    assert '"allowPrivilegeEscalation":false' in said


def test_an_exception_is_for_those_who_are_named(cluster: Cluster) -> None:
    create = ["run", "asked", "--image=registry.example/app:1", f"--namespace={SPACE}", "--dry-run=server"]
    claim = ["--labels=app=cache", '--overrides={"spec":{"hostNetwork":true}}']
    admitted, said = cluster.run(*create, *claim, "--as=root", "--as-group=system:masters")
    assert admitted, said
    edit = ["create", "rolebinding", "edit", "--clusterrole=edit", "--user=dana", f"--namespace={SPACE}"]
    cluster.run(*edit)
    refused, said = cluster.run(*create, *claim, "--as=dana")
    assert not refused
    assert "its exception cache covers" in said


def test_a_guarded_label_is_kept(cluster: Cluster) -> None:
    cluster.run("create", "clusterrole", "molecule-label", "--verb=get,patch", "--resource=namespaces")
    cluster.run("create", "clusterrolebinding", "molecule-label", "--clusterrole=molecule-label", "--user=dana")
    label = ["label", "namespace", SPACE, "--as=dana", "--dry-run=server"]
    changed, said = cluster.run(*label, "molecule.example/level=low")
    assert not changed
    assert "only those whom the guard molecule names may do that" in said
    assert cluster.run(*label, "team=shop")[0]
    cluster.run("delete", "clusterrole,clusterrolebinding", "molecule-label")
