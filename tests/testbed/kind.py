# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real cluster with nodes: one control plane and one worker, made by kind in a docker daemon of its own."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import time
import typing as t

from tests.gates.environment import say
from tests.testbed import binaries, node_image
from tests.testbed.cluster import Cluster, StartError, free_ports
from tests.testbed.daemon import DOCKERD, Daemon
from tests.testbed.versions import KUBERNETES

#: cilium enforces NetworkPolicy, bridge connects everything with everything.
NETWORKS = ("cilium", "bridge")
CONTROL_PLANE, WORKER = NODES = ("kind-control-plane", "kind-worker")

#: The nodes' network, which kind takes when it is there; half of its addresses are for machines that join.
BRIDGE, SUBNET, GATEWAY = "br-kind", "172.18.0.0/16", "172.18.0.1"
_NETWORK = f"--driver bridge --opt com.docker.network.bridge.name={BRIDGE} --subnet {SUBNET} --gateway {GATEWAY} "
_NETWORK += "--ip-range 172.18.0.0/17"
_IPV6 = "--ipv6 --subnet 2001:db8:18::/64 --gateway 2001:db8:18::1"

_FORWARD = "forward"
#: A busy machine takes longer than kubeadm usually waits.
_PATIENCE = """\
timeouts:
  controlPlaneComponentHealthCheck: 8m
  kubeletHealthCheck: 8m
  kubernetesAPICall: 5m
  tlsBootstrap: 8m
  discovery: 8m
"""
#: Pods run on both nodes.
_INIT = f"""\
kind: InitConfiguration
nodeRegistration:
  taints: []
{_PATIENCE}"""
_JOIN = f"""\
kind: JoinConfiguration
{_PATIENCE}"""
#: Nobody wants its data after a crash, and some disks are slow.
_CLUSTER = """\
kind: ClusterConfiguration
etcd:
  local:
    extraArgs:
      - {name: unsafe-no-fsync, value: "true"}
"""
_KUBELET = """\
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
"""


class Kind(Cluster):
    """A cluster whose pods run.

    :param network: one of :data:`NETWORKS`.
    """

    mode = "kind"
    #: The versions of IP that nodes and pods speak: both, or IPv4 alone.
    families = "dual"

    def __init__(self, name: str = "default", kubernetes: str = KUBERNETES[0], network: str = NETWORKS[0]) -> None:
        super().__init__(name, kubernetes)
        if kubernetes != KUBERNETES[0]:
            raise ValueError(f"clusters with nodes run Kubernetes {KUBERNETES[0]} only")
        self.network = network
        #: Where its nodes are containers.
        self.daemon = Daemon(self.directory, self.directory / "docker", self._processes, dns=GATEWAY)

    # -- life

    def is_up(self) -> bool:
        return bool(self.description()) and {DOCKERD, _FORWARD} <= self._processes.running().keys()

    def _wanted(self) -> dict[str, str]:
        return {**super()._wanted(), "network": self.network}

    def _prepare(self) -> None:
        binaries.kube(self.kubernetes)
        binaries.kind()
        node_image.store(self.kubernetes)

    def _start(self) -> None:
        (self.directory / "kube").symlink_to(binaries.kube(self.kubernetes))
        node_image.copy(self.kubernetes, self.directory / "docker")
        self.daemon.start()
        ipv6 = _IPV6.split() if self.families == "dual" else []
        self.daemon.docker("network", "create", *_NETWORK.split(), *ipv6, "kind")
        (port,) = free_ports(1)
        (self.directory / "node").mkdir()
        (self.directory / "node" / "network").write_text(self.network)
        self._write("kind.json", json.dumps(self._configuration(port), indent=2))
        say(f"starting {self.name}, a cluster of two nodes with network {self.network}")
        wanted = ["--config", str(self.directory / "kind.json"), "--kubeconfig", str(self.directory / "kind.yml")]
        if self._kind("create", "cluster", "--retain", *wanted):
            said = (self.directory / "kind.log").read_text()[-2000:]
            self._kind("export", "logs", str(self.directory / "logs"))
            logs = self.failed / "logs"
            raise StartError(f"kind could not create {self.name}; the nodes' logs are in {logs}; it said:\n{said}")
        self.daemon.forward(_FORWARD, port, "127.0.0.1", port)
        self._credentials_of_kind()
        self._wait()

    def _kind(self, *arguments: str) -> int:
        """Run kind, whose output is kept.

        :returns: its exit status.
        """
        command = [str(binaries.kind()), *arguments, "--name", "kind"]
        with (self.directory / "kind.log").open("a") as log:
            return subprocess.run(command, env=self.daemon.environ, stdout=log, stderr=log, check=False).returncode

    def _configuration(self, port: int) -> dict[str, t.Any]:
        mounts = [{"hostPath": str(self.directory / "node"), "containerPath": "/etc/testbed", "readOnly": True}]
        return {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            # the same port inside and outside, so that kind's kubeconfig is right in both
            "networking": {"apiServerPort": port, "kubeProxyMode": "nftables", "ipFamily": self.families},
            "kubeadmConfigPatches": [_INIT, _JOIN, _CLUSTER, _KUBELET],
            "nodes": [
                {"role": role, "image": node_image.TAG, "extraMounts": mounts} for role in ("control-plane", "worker")
            ],
        }

    def _credentials_of_kind(self) -> None:
        """What kind gives the administrator, and the authority that signs certificates of others."""
        view = ["kubectl", "--kubeconfig", str(self.directory / "kind.yml"), "config", "view", "--raw", "--output=json"]
        config = json.loads(self._kube(*view))
        self._write("kubeconfig", json.dumps(config, indent=2))
        user = config["users"][0]["user"]
        for name, key in (("admin.crt", "client-certificate-data"), ("admin.key", "client-key-data")):
            self._write(name, base64.b64decode(user[key]).decode())
        for name in ("ca.crt", "ca.key"):
            self._write(name, self.node(CONTROL_PLANE, "cat", f"/etc/kubernetes/pki/{name}"))

    def _wait(self, seconds: float = 300.0) -> None:
        """Until both nodes run pods and DNS answers; the API server of a busy machine may be silent meanwhile."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s")
                self.kubectl("rollout", "status", "deployment/coredns", "--namespace=kube-system", "--timeout=60s")
            except RuntimeError as error:
                if time.monotonic() > deadline:
                    raise StartError(f"{self.name} did not become ready: {error}\n{self._state()}") from error
            else:
                return

    def _state(self) -> str:
        try:
            return self.kubectl("get", "nodes,pods", "--all-namespaces", "--output=wide")
        except RuntimeError as error:
            return str(error)

    def _stop(self) -> None:
        super()._stop()
        self.daemon.clear()

    # -- use

    def _context(self) -> ssl.SSLContext:
        context = super()._context()
        context.load_cert_chain(self.directory / "admin.crt", self.directory / "admin.key")
        return context

    def node(self, node: str, *command: str, text: str | None = None) -> str:
        """What a command prints on a node, as root.

        :param text: its standard input.
        :raises RuntimeError: with what it complained about.
        """
        return self.daemon.docker("exec", "--interactive", node, *command, text=text)
