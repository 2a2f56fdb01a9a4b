# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node with rules of the role, in networks of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.node import metadata

from tests.packets.network import Pod, Server, World
from tests.support.modules import Result
from tests.testbed import packages

BASE = "arn:aws:iam::111122223333:role/k8s/prod/"
_MODULE = (
    "import sys; from ansible.module_utils import basic; "
    "basic._ANSIBLE_ARGS = sys.stdin.buffer.read(); basic._ANSIBLE_PROFILE = 'legacy'; "
    "from ansible_collections.hardened.k8s.plugins.modules.metadata_access import main; main()"
)


@dataclass
class Site:
    """A world, and what kube2iam would hear from its API server."""

    world: World
    scratch: Path
    pods: list[dict[str, t.Any]] = field(default_factory=list)
    namespaces: dict[str, dict[str, t.Any]] = field(default_factory=dict)

    def pod(self, number: int, interface: str = "", role: str = "", allowed: t.Sequence[str] = ()) -> Pod:
        """A pod in a namespace of its own, which may have some roles."""
        pod = self.world.pod(number, interface)
        namespace = f"namespace-{number}"
        annotations = {"iam.amazonaws.com/role": role} if role else {}
        self.pods.append(
            {"metadata": {"namespace": namespace, "annotations": annotations}, "status": {"podIP": pod.address}}
        )
        lists = {"iam.amazonaws.com/allowed-roles": json.dumps(list(allowed))} if allowed else {}
        self.namespaces[namespace] = {"metadata": {"name": namespace, "annotations": lists}}
        self._objects.write_text(json.dumps({"pods": self.pods, "namespaces": self.namespaces}))
        return pod

    def agent(self) -> Server:
        """kube2iam's stand-in, as the module's DaemonSet has it."""
        arguments = [
            "--app-port=8181",
            f"--base-role-arn={BASE}",
            "--namespace-restrictions",
            "--namespace-restriction-format=glob",
            "--metadata-addr=127.0.0.1:10248",
            f"--objects={self._objects}",
        ]
        return self.world.serve("agent.py", *arguments)

    def rules(self, backend: str, action: str = "apply", **about: t.Any) -> None:
        """What the role's units do."""
        script = metadata.script(metadata.Rules(**{"uplinks": ("ens5",), **about}), backend)
        self.world.node.sh(script, action)

    def run(self, check: bool = False, **params: t.Any) -> Result:
        """The module, on the node."""
        command = self.world.node.command(sys.executable, "-c", _MODULE)
        given = {"health_timeout": 5, **params, "_ansible_check_mode": check, "_ansible_diff": True}
        text = json.dumps({"ANSIBLE_MODULE_ARGS": given})
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert not done.stderr, done.stderr
        result: Result = json.loads(done.stdout)
        return result

    def everything(self) -> str:
        """All on the node that the module could have changed."""
        return self.world.node.sh(
            "cd / && find etc/systemd/system etc/hardened-k8s -type f -exec md5sum {} + 2> /dev/null | sort; ls /run;"
            " nft --stateless list ruleset; ip rule; ip -6 rule; ip -4 address show dev lo; ls run/active-units || :"
        )

    @property
    def _objects(self) -> Path:
        return self.scratch / "objects.json"


def need_programs() -> None:
    """Install what these tests run and this machine lacks."""
    packages.need(nft="nftables", iptables="iptables", ip="iproute2", unshare="util-linux", nsenter="util-linux")


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    need_programs()


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> t.Iterator[Site]:
    """A test may say, as its parameter, what the metadata service is like."""
    world = World(**getattr(request, "param", {}))
    try:
        yield Site(world, tmp_path)
    finally:
        world.end()


@pytest.fixture(params=["nftables", "iptables"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
