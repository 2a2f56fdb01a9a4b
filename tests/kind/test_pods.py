# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hardening means for real pods: who is admitted, how many, with which rights, and what is in them."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.kind.conftest import Hardened
from tests.support.boutique import HOMES, SERVICES
from tests.support.boutique import pods as shop_pods
from tests.testbed.kind import Kind
from tests.testbed.node_image import BOUTIQUE, SHELL

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
LOOSE = "loose"


def create(cluster: Kind, namespace: str, name: str, **changes: t.Any) -> None:
    """A pod such as level restricted admits, but for some fields of its container's security context.

    :raises RuntimeError: when the server refuses it.
    """
    deployment = next(item for item in shop_pods(BOUTIQUE) if item["metadata"]["name"] == "redis-cart")
    spec = {**deployment["spec"]["template"]["spec"], "serviceAccountName": "default"}
    (container,) = spec["containers"]
    context = {**container["securityContext"], **changes}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**spec, "containers": [{**container, "securityContext": context}]},
    }
    cluster.kubectl("create", "--filename=-", text=json.dumps(pod))


@pytest.fixture(scope="module")
def loose(cilium: Hardened) -> str:
    """A namespace that nobody has hardened: the other side of each comparison."""
    cilium.cluster.kubectl("create", "namespace", LOOSE)
    cilium.cluster.kubectl(*("wait", "--for=create", "serviceaccount/default", f"--namespace={LOOSE}", "--timeout=60s"))
    return LOOSE


def ready(cluster: Kind, namespace: str, name: str) -> None:
    cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--namespace={namespace}", "--timeout=120s")


def test_a_pod_above_its_level_is_refused_and_one_within_it_runs(cilium: Hardened, loose: str) -> None:
    cluster, space = cilium.cluster, HOMES["emailservice"]
    with pytest.raises(RuntimeError, match=r"violates PodSecurity \"restricted:.*privileged"):
        create(cluster, space, "above", privileged=True, allowPrivilegeEscalation=True)
    create(cluster, space, "within")
    ready(cluster, space, "within")
    create(cluster, loose, "above", privileged=True, allowPrivilegeEscalation=True)
    ready(cluster, loose, "above")


def test_more_pods_than_the_quota_has_are_refused(cilium: Hardened) -> None:
    """Room for two, and Redis is there already."""
    cluster, space = cilium.cluster, HOMES["redis-cart"]
    create(cluster, space, "second")
    with pytest.raises(RuntimeError, match=r"exceeded quota: .*requested: pods=1, used: pods=2, limited: pods=2"):
        create(cluster, space, "third")
    cluster.kubectl("delete", "pod", "second", f"--namespace={space}", "--wait=false")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (("get", "pods/log"), "yes"),
        (("patch", "deployments"), "yes"),
        (("get", "secrets"), "no"),
        (("create", "pods/exec"), "no"),
    ],
)
def test_who_rolls_out_may_do_that_and_no_more(cilium: Hardened, asked: tuple[str, str], answer: str) -> None:
    subject = ["--as=dana", "--as-group=boutique-deployers", f"--namespace={HOMES['cartservice']}"]
    try:
        said = cilium.cluster.kubectl("auth", "can-i", *asked, *subject)
    except RuntimeError:  # its exit status says no as well
        said = "no"
    assert said.strip() == answer


def test_nobody_in_the_shop_has_a_token(cilium: Hardened, loose: str) -> None:
    for service in sorted(SERVICES):
        with pytest.raises(RuntimeError, match="no such file or directory"):
            cilium.shop.run(service, "file", TOKEN)
    run = ["run", "token", f"--image={SHELL}", f"--namespace={loose}"]
    cilium.cluster.kubectl(*run, "--command", "--", "sleep", "1000")
    ready(cilium.cluster, loose, "token")
    assert cilium.cluster.kubectl("exec", "token", f"--namespace={loose}", "--", "cat", TOKEN).count(".") == 2


def test_every_service_runs_under_seccomp_without_capabilities_and_not_as_root(cilium: Hardened, loose: str) -> None:
    for service in sorted(SERVICES):
        status = fields(cilium.shop.run(service, "file", "/proc/self/status"))
        assert (status["Seccomp"], int(status["CapBnd"], 16), status["NoNewPrivs"]) == ("2", 0, "1"), service
        assert status["Uid"].split() == ["1000"] * 4
    run = ["run", "unconfined", f"--image={SHELL}", f"--namespace={loose}"]
    cilium.cluster.kubectl(*run, "--command", "--", "sleep", "1000")
    ready(cilium.cluster, loose, "unconfined")
    shown = ["exec", "unconfined", f"--namespace={loose}", "--", "cat", "/proc/self/status"]
    status = fields(cilium.cluster.kubectl(*shown))
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("0", "0")
    assert int(status["CapBnd"], 16) > 0


def fields(status: str) -> dict[str, str]:
    """What ``/proc/<id>/status`` says."""
    return {key: value.strip() for key, _colon, value in (line.partition(":") for line in status.splitlines())}
