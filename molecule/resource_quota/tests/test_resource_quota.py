# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes beyond a quota is refused when it is asked for; what asks for nothing gets the defaults."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.support.asking import Cluster


def asking(**requests: str) -> dict[str, t.Any]:
    return {"container": {"resources": {"requests": requests, "limits": requests}}}


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        (asking(cpu="2", memory="8Mi"), "exceeded quota: quota, requested: requests.cpu=2, used: requests.cpu=0"),
        (asking(cpu="10m", memory="1Gi"), "maximum memory usage per Container is 512Mi, but limit is 1Gi"),
    ],
)
def test_what_is_too_much_is_refused(cluster: Cluster, pod: dict[str, t.Any], said: str) -> None:
    admitted, answer = cluster.admits("molecule-quota", **pod)
    assert not admitted
    assert said in answer


def test_what_asks_for_nothing_gets_the_defaults(cluster: Cluster) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "modest", "namespace": "molecule-quota"}}
    pod["spec"] = {"containers": [{"name": "pod", "image": "registry.example/app:1"}]}
    admitted, said = cluster.run("create", "--dry-run=server", "--output=json", "--filename=-", text=json.dumps(pod))
    assert admitted, said
    assert json.loads(said)["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "100m", "memory": "64Mi"},
        "requests": {"cpu": "50m", "memory": "32Mi"},
    }


def test_a_load_balancer_is_refused(cluster: Cluster) -> None:
    admitted, said = cluster.run(
        *("create", "service", "loadbalancer", "front", "--tcp=80", "-n", "molecule-quota", "--dry-run=server")
    )
    assert not admitted
    assert "exceeded quota" in said
