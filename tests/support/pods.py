# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random pods that set whatever the Pod Security Standards look at. Plain ``random``: ten thousands in seconds."""

from __future__ import annotations

import random
import typing as t

Fields = dict[str, t.Any]

_CAPABILITIES = ("ALL", "CHOWN", "NET_BIND_SERVICE", "NET_ADMIN", "SYS_ADMIN", "cap_chown", "NET_RAW")
_SYSCTLS = (
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_rmem"),
    *("net.ipv4.tcp_notsent_lowat", "kernel.msgmax", "net/ipv4/tcp_syncookies"),
)
_VOLUMES: tuple[Fields, ...] = (
    {"hostPath": {"path": "/"}},
    {"emptyDir": {}},
    {"configMap": {"name": "a"}},
    {"image": {"reference": "a"}},
    {"nfs": {"server": "192.0.2.1", "path": "/"}},
    {"storageos": {}},
    {"cephfs": {"monitors": ["192.0.2.1"]}},
    {"ephemeral": {}},
    {"csi": {"driver": "a.example.com"}},
    {"gitRepo": {"repository": "a"}},
    {},
)
_HANDLERS: tuple[Fields, ...] = (
    {"httpGet": {"port": 80, "host": "192.0.2.1"}},
    {"tcpSocket": {"port": 80, "host": "localhost"}},
    {"httpGet": {"port": 80}},
    {"exec": {}},
)


class Chance:
    """Decides; the same seed decides the same.

    :param rate: how often a field is set at all.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        # some pods set next to nothing, and some what is wanted, so that some pass
        self.rate = self.random.choice((0.01, 0.03, 0.15, 0.4))
        self.good = self.random.random() < 0.4

    def maybe(self, fields: Fields, name: str, values: t.Sequence[t.Any]) -> None:
        if self.random.random() < self.rate:
            fields[name] = self.random.choice(values)

    def some(self, values: t.Sequence[t.Any]) -> list[t.Any]:
        return self.random.sample(values, self.random.randint(0, min(3, len(values))))


def _profiles() -> tuple[Fields, ...]:
    kinds: tuple[Fields, ...] = (
        {"type": "RuntimeDefault"},
        {"type": "Localhost", "localhostProfile": "a"},
        {"type": "Unconfined"},
        {},
    )
    return (*kinds, {"type": "other"})


def _context(chance: Chance) -> Fields:
    """What a pod and a container have in common."""
    context: Fields = {}
    chance.maybe(context, "appArmorProfile", _profiles())
    chance.maybe(context, "seccompProfile", _profiles())
    chance.maybe(context, "runAsNonRoot", (True, True, False))
    chance.maybe(context, "runAsUser", (0, 1, 1000))
    chance.maybe(context, "windowsOptions", ({}, {"hostProcess": True}, {"hostProcess": False}))
    types = ("", "container_t", "container_engine_t", "spc_t")
    linux = {"user": "", "role": "", "type": chance.random.choice(types), "level": "s0"}
    linux[chance.random.choice(("user", "role", "level"))] = chance.random.choice(("", "a"))
    chance.maybe(context, "seLinuxOptions", (linux, {}))
    return context


def _container(chance: Chance, name: str) -> Fields:
    container: Fields = {"name": name, "image": "a"}
    context: Fields = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}} if chance.good else {}
    context.update(_context(chance))
    chance.maybe(context, "privileged", (True, False))
    chance.maybe(context, "allowPrivilegeEscalation", (True, False, False))
    chance.maybe(context, "procMount", ("Default", "Unmasked"))
    add, drop = chance.some(_CAPABILITIES), chance.random.choice((["ALL"], chance.some(_CAPABILITIES)))
    chance.maybe(context, "capabilities", ({"add": add, "drop": drop}, {"drop": drop}, {"add": add}, {}))
    if context or chance.random.random() < chance.rate:
        container["securityContext"] = context
    ports = [{"containerPort": 80, "hostPort": chance.random.choice((0, 80, 443))} for _i in range(2)]
    chance.maybe(container, "ports", (ports, [{"containerPort": 80}], []))
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        chance.maybe(container, probe, _HANDLERS)
    lifecycle = {chance.random.choice(("postStart", "preStop")): chance.random.choice(_HANDLERS)}
    chance.maybe(container, "lifecycle", (lifecycle, {}))
    return container


def random_pod(seed: int) -> Fields:
    """A pod, not always one that the API server would store."""
    chance = Chance(seed)
    containers = {
        name: [_container(chance, f"{name[0]}{index}") for index in range(chance.random.randint(least, 2))]
        for name, least in (("initContainers", 0), ("containers", 1), ("ephemeralContainers", 0))
    }
    spec: Fields = {name: listed for name, listed in containers.items() if listed}
    context: Fields = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}} if chance.good else {}
    context.update(_context(chance))
    sysctls = [{"name": name, "value": "1"} for name in chance.some(_SYSCTLS)]
    chance.maybe(context, "sysctls", (sysctls,))
    if context:
        spec["securityContext"] = context
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        chance.maybe(spec, name, (True, False))
    chance.maybe(spec, "hostUsers", (False, True))
    chance.maybe(spec, "os", ({"name": "windows"}, {"name": "linux"}))
    volumes = [{"name": f"v{index}", **source} for index, source in enumerate(chance.some(_VOLUMES))]
    chance.maybe(spec, "volumes", (volumes,))
    annotations = {
        f"container.apparmor.security.beta.kubernetes.io/{name}": chance.random.choice(
            ("", "runtime/default", "localhost/a", "unconfined", 'a"b')
        )
        for name in chance.some(("c0", "c1", "i0"))
    }
    metadata: Fields = {"name": "p"}
    chance.maybe(metadata, "annotations", (annotations, {"a": "unconfined"}))
    return {"metadata": metadata, "spec": spec}
