# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The containers that run on a node, as its kernel knows them: no runtime has to be asked, and none has to answer."""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

_UID = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})\b")
_CONTAINER = re.compile(r"\b([0-9a-f]{64})\b")


@dataclass(frozen=True)
class Process:
    """A process of a pod's container.

    :param seccomp: its mode: 0 without a filter, 2 with one.
    :param label: what the kernel's security module confines it by; empty where there is none.
    """

    pid: int
    pod: str
    container: str
    command: str
    seccomp: int
    label: str


def processes(node: Node) -> t.List[Process]:
    """Every process of a pod, by its control group."""
    found = (_process(node, name) for name in node.names("/proc") if name.isdigit())
    return [process for process in found if process]


def _process(node: Node, pid: str) -> t.Optional[Process]:
    try:
        group = node.text(f"/proc/{pid}/cgroup")
        pod, container = _UID.search(group), _CONTAINER.search(group)
        if not pod or not container:
            return None
        status = dict(line.partition(":\t")[::2] for line in node.text(f"/proc/{pid}/status").splitlines())
        label = node.text(f"/proc/{pid}/attr/current")
    except OSError:  # it has ended
        return None
    if not status:
        return None
    return Process(
        int(pid),
        _with_dashes(pod.group(1)),
        container.group(1),
        status.get("Name", ""),
        int(status.get("Seccomp", "0")),
        label.strip("\0\n "),
    )


def _with_dashes(uid: str) -> str:
    """A pod's uid as Kubernetes writes it; a static pod's is a digest, which has none."""
    return uid.replace("_", "-")


def names(node: Node) -> t.Dict[str, t.Tuple[str, str]]:
    """uid -> namespace and name, from the folders that kubelet has for the pods' logs."""
    found = (folder.split("_") for folder in node.names("/var/log/pods"))
    return {parts[2]: (parts[0], parts[1]) for parts in found if len(parts) == 3}


def place(pod: t.Mapping[str, t.Any]) -> t.Tuple[str, str]:
    """A pod's namespace and name, of its object."""
    return str(pod["metadata"]["namespace"]), str(pod["metadata"]["name"])


def contexts(pod: t.Mapping[str, t.Any]) -> t.List[t.Dict[str, t.Any]]:
    """The security contexts of a pod and of all its containers; none of one that has ended."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return []
    spec = pod["spec"]
    containers = [c for kind in ("containers", "initContainers", "ephemeralContainers") for c in spec.get(kind) or ()]
    return [about.get("securityContext") or {} for about in [spec, *containers]]


def containers(pod: t.Mapping[str, t.Any]) -> t.Dict[str, t.Dict[str, t.Any]]:
    """Id -> security context of a pod's containers that were started, with what the pod says for all of them."""
    spec, status = pod["spec"], pod.get("status") or {}
    found: t.Dict[str, t.Dict[str, t.Any]] = {}
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        declared = {about["name"]: about.get("securityContext") or {} for about in spec.get(kind) or ()}
        for about in status.get(f"{kind[:-1]}Statuses") or ():
            name = str(about.get("containerID") or "").rpartition("//")[2]
            found[name] = {**(spec.get("securityContext") or {}), **declared.get(about["name"], {})}
    return found


def is_sandbox(process: Process, pod: t.Optional[t.Mapping[str, t.Any]]) -> bool:
    """Whether it is what keeps a pod's network, to which the runtime gives no profile, whatever the pod asks for.

    :param pod: its object, by which nobody passes for one by its name alone.
    """
    return process.command == "pause" and process.container not in (containers(pod) if pod else ())


# -- the programs that run them


def main_process(node: Node, name: str) -> int:
    """The oldest process of that name that is no pod's, as a pod calls its processes what it likes; 0 when there is none."""
    pids = [int(pid) for pid in node.names("/proc") if pid.isdigit() and node.text(f"/proc/{pid}/comm").strip() == name]
    own = [pid for pid in pids if not _UID.search(node.text(f"/proc/{pid}/cgroup"))]
    return min(own, key=lambda pid: (started(node, pid), pid), default=0)


def environment(node: Node, pid: int) -> t.List[str]:
    return node.text(f"/proc/{pid}/environ").rstrip("\0").split("\0")


def unit(node: Node, pid: int) -> str:
    """The systemd unit that a process is of, by its control group; empty when it is of none."""
    found = re.search(r"([\w@.-]+\.service)$", node.text(f"/proc/{pid}/cgroup"), re.MULTILINE)
    return found.group(1) if found else ""


def booted(node: Node) -> int:
    """When this machine was started, in seconds since 1970; 0 when the kernel does not say."""
    found = re.search(r"^btime (\d+)", node.text("/proc/stat"), re.MULTILINE)
    return int(found.group(1)) if found else 0


def started(node: Node, pid: int) -> float:
    """When a process was started, in seconds since 1970."""
    fields = node.text(f"/proc/{pid}/stat").rpartition(") ")[2].split()
    if len(fields) < 20 or not booted(node):
        return 0.0
    return booted(node) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
