# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The example application runs, hardened: what its pods are, what they reach, and who may do what with them."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.support.asking import Cluster
from tests.support.boutique import HOMES, SERVICES, address

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
SHOP = HOMES["productcatalogservice"]


def inside(cluster: Cluster, service: str, *arguments: str) -> tuple[bool, str]:
    """What the stand-in prints, run inside that service's pod; see ``tests/testbed/go/boutique``."""
    return cluster.run("exec", f"--namespace={HOMES[service]}", f"deployment/{service}", "--", "/boutique", *arguments)


def call(cluster: Cluster, service: str, to: str) -> str:
    _succeeded, said = inside(cluster, service, "call", "5s", to)
    (outcome,) = json.loads(said)
    return str(outcome["result"])


def test_every_service_runs(cluster: Cluster) -> None:
    pods = cluster.get("pods", "--all-namespaces", "--selector=app")["items"]
    assert {pod["metadata"]["labels"]["app"] for pod in pods} == SERVICES
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}


@pytest.mark.parametrize("service", ["frontend", "checkoutservice", "redis-cart"])
def test_no_token_is_mounted(cluster: Cluster, service: str) -> None:
    succeeded, said = inside(cluster, service, "file", TOKEN)
    assert not succeeded
    assert "no such file or directory" in said


def test_a_declared_call_succeeds_by_name(cluster: Cluster) -> None:
    """And so DNS works under the policies."""
    assert call(cluster, "frontend", address("productcatalogservice")) == "open"


@pytest.mark.parametrize("to", [address("paymentservice"), "169.254.169.254:80"])
def test_an_undeclared_call_is_blocked(cluster: Cluster, to: str) -> None:
    assert call(cluster, "frontend", to) == "blocked"


@pytest.mark.parametrize("space", sorted(set(HOMES.values())))
def test_pods_above_the_level_are_refused(cluster: Cluster, space: str) -> None:
    admitted, said = cluster.admits(space, hostNetwork=True)
    assert not admitted
    assert 'violates PodSecurity "restricted:' in said
    assert cluster.admits(space)[0]


def test_what_goes_beyond_the_quota_is_refused(cluster: Cluster) -> None:
    service = ["create", "service", "loadbalancer", "asked", "--tcp=80", f"--namespace={HOMES['frontend']}"]
    admitted, said = cluster.run(*service, "--dry-run=server")
    assert not admitted
    assert "exceeded quota" in said


def test_a_container_beyond_the_limits_is_refused(cluster: Cluster) -> None:
    amounts = {"cpu": "1", "memory": "1Gi"}
    asking: dict[str, t.Any] = {"container": {"resources": {"requests": amounts, "limits": amounts}}}
    admitted, said = cluster.admits(HOMES["redis-cart"], **asking)
    assert not admitted
    assert "maximum memory usage per Container is 512Mi" in said


@pytest.mark.parametrize(
    ("verb", "resource", "expected"),
    [("patch", "deployments.apps", True), ("get", "secrets", False), ("create", "pods", False)],
)
def test_who_rolls_out_may_do_that_and_no_more(cluster: Cluster, verb: str, resource: str, expected: bool) -> None:
    assert cluster.may("dana", verb, resource, SHOP, "--as-group=boutique-deployers") is expected
    assert not cluster.may("dana", verb, resource, SHOP)
