# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Canaries: pods that call, and pods that answer, with the labels of the workloads whose policies are tried.

They must be nobody's by accident. No service sends them requests, as they never become Ready; no controller adopts
them, as each has one already, a ConfigMap. That belongs to a Job without pods, whose time runs out: then the cluster
itself removes it and all that hangs on it, whoever was killed. They need no rights, and pass the Pod Security level
``restricted``.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import values
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest, manifest

_Item = t.Mapping[str, t.Any]

#: The label that all of a run carry, with the run's name.
PROBE = "hardened.k8s/probe"
#: Made for Kubernetes' own tests of network policies; has a server and a client.
IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.66.1"
SERVER, CONTROL, CLIENT = "server", "control", "client"
PROTOCOLS = ("TCP", "UDP")
DNS_PORT = 53
#: A label that ReplicaSets tell their pods by; a canary is of no release.
_NOT_TAKEN = ("pod-template-hash", "controller-revision-hash")

_END = {
    "namespace": {"type": "str"},
    "labels": {"type": "dict"},
    "address": {"type": "str"},
    "domain": {"type": "str"},
}
FLOW_SPEC: t.Dict[str, t.Any] = {
    "from": {"type": "dict", "options": {key: _END[key] for key in ("namespace", "labels")}, "required": True},
    "to": {"type": "dict", "options": _END, "required": True},
    "port": {"type": "int", "required": True},
    "protocol": {"type": "str", "choices": list(PROTOCOLS)},
    "ip_version": {"type": "int", "choices": [4, 6]},
    "expect": {"type": "str", "choices": ["allowed", "denied"], "required": True},
}


class Canary(t.NamedTuple):
    """Where a canary is, and whom it passes for."""

    namespace: str
    labels: t.Tuple[t.Tuple[str, str], ...]


class Flow(t.NamedTuple):
    """A flow that is tried.

    :param target: who answers; None for an address or a name, which ``host`` has.
    """

    source: Canary
    target: t.Optional[Canary]
    host: str
    port: int
    protocol: str
    version: int
    allowed: bool

    @property
    def asks_dns(self) -> bool:
        """Whether it is about the name alone: nobody calls a name at DNS's own port."""
        return self.target is None and self.port == DNS_PORT and not _is_address(self.host)

    def __str__(self) -> str:
        source = _shown(self.source)
        target = _shown(self.target) if self.target else self.host
        port = str(self.port) if self.protocol == "TCP" else f"{self.port}/{self.protocol}"
        return f"{source} -> {target}: {port}{' over IPv6' if self.version == 6 else ''}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _shown(canary: Canary) -> str:
    labels = ",".join(f"{key}={value}" for key, value in canary.labels)
    return f"{canary.namespace}/{labels or '*'}"


def parse(item: _Item) -> Flow:
    """The flow that an item declares.

    :raises ItemError: an end is missing or said twice.
    """
    target = item["to"]
    ways = [way for way in ("namespace", "address", "domain") if target.get(way)]
    if len(ways) != 1:
        raise ItemError(f"to names {' and '.join(ways) or 'nobody'}", "Use one of namespace, address and domain")
    version = int(item.get("ip_version") or 4)
    host = str(target.get("address") or target.get("domain") or "")
    if target.get("address"):
        if not _is_address(host):
            raise ItemError(f"{host!r} is no address", "Write it as 192.0.2.1 or 2001:db8::1")
        version = ipaddress.ip_address(host).version
    return Flow(
        _canary(item["from"], "from"),
        _canary(target, "to") if target.get("namespace") else None,
        host,
        values.port_number(item["port"]),
        item.get("protocol") or "TCP",
        version,
        item["expect"] == "allowed",
    )


def _canary(end: _Item, where: str) -> Canary:
    if not end.get("namespace"):
        raise ItemError(f"{where} has no namespace", "Say where the pod is")
    labels = values.labels(end.get("labels") or {})
    taken = sorted((key, value) for key, value in labels.items() if key not in _NOT_TAKEN)
    return Canary(values.dns_label(end["namespace"], "namespace"), tuple(taken))


# -- manifests


class Run(t.NamedTuple):
    """What all of a run's canaries share.

    :param seconds: after which they end, and go.
    """

    name: str
    image: str
    seconds: int


def timer(run: Run, namespace: str) -> Manifest:
    """What ends a run in a namespace, whatever became of the run itself: a Job that fails in time and is removed."""
    made = manifest("batch/v1", "Job", run.name, namespace, {PROBE: run.name})
    spec = {
        "parallelism": 0,
        "activeDeadlineSeconds": run.seconds,
        "ttlSecondsAfterFinished": 0,
        "template": {
            "spec": {**_pod_spec(run, [_container(CLIENT, run.image, ["/agnhost"])]), "restartPolicy": "Never"}
        },
    }
    return {**made, "spec": spec}


def owner(run: Run, namespace: str, timer_uid: str) -> Manifest:
    """What a run's canaries in a namespace belong to."""
    made = manifest("v1", "ConfigMap", run.name, namespace, {PROBE: run.name})
    made["metadata"]["ownerReferences"] = [
        {"apiVersion": "batch/v1", "kind": "Job", "name": run.name, "uid": timer_uid}
    ]
    return made


def server(run: Run, name: str, canary: Canary, ports: t.Collection[t.Tuple[str, int]], uid: str) -> Manifest:
    """A pod that answers on these ports, and tries by itself whether it does: the positive control."""
    controls = [
        _container(f"{CONTROL}-{protocol.lower()}-{port}", run.image, _connect(_LOOPBACK, port, protocol))
        for protocol, port in sorted(ports)
    ]
    servers = [
        _container(f"{SERVER}-{port}", run.image, ["/agnhost", "netexec", f"--http-port={port}", f"--udp-port={port}"])
        for port in sorted({port for _protocol, port in ports})
    ]
    return _pod(run, name, canary, [*servers, *controls], uid, "OnFailure")


def client(run: Run, name: str, flow: Flow, host: str, uid: str) -> Manifest:
    """A pod that calls once, and ends."""
    container = _container(CLIENT, run.image, _connect(host, flow.port, flow.protocol))
    return _pod(run, name, flow.source, [container], uid, "Never")


_LOOPBACK = "127.0.0.1"


def _connect(host: str, port: int, protocol: str) -> t.List[str]:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return ["/agnhost", "connect", place, "--timeout=5s", f"--protocol={protocol.lower()}"]


def _container(name: str, image: str, command: t.Sequence[str]) -> Manifest:
    amount = {"cpu": "10m", "memory": "32Mi"}
    return {
        "name": name,
        "image": image,
        "command": list(command),
        # why a call failed is told by its last words
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {"requests": amount, "limits": {**amount, "cpu": "100m"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def _pod(run: Run, name: str, canary: Canary, containers: t.Sequence[Manifest], uid: str, restart: str) -> Manifest:
    made = manifest("v1", "Pod", name, canary.namespace, {**dict(canary.labels), PROBE: run.name})
    made["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": run.name, "uid": uid, "controller": True}
    ]
    return {**made, "spec": {**_pod_spec(run, containers), "restartPolicy": restart}}


def _pod_spec(run: Run, containers: t.Sequence[Manifest]) -> Manifest:
    return {
        "containers": list(containers),
        "activeDeadlineSeconds": run.seconds,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # nobody ever sets it, so that no service counts on this pod
        "readinessGates": [{"conditionType": "hardened.k8s/canary"}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
        },
    }
