# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pods that wait for somebody to run something in them, and what confines them."""

from __future__ import annotations

import json
import os
import typing as t

from tests.testbed.disks import SHELL
from tests.testbed.machines import Nodes


class Pods:
    """Pods of a shell that does nothing, each on the node that it is meant for."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def create(self, name: str, node: str, volumes: t.Mapping[str, str] | None = None, **context: t.Any) -> None:
        """Give one to the scheduler.

        :param volumes: where they are mounted -> what is, a path of the node or an empty folder of its own.
        :param context: the security context of its container.
        """
        mounted = volumes or {}
        container = {
            "name": "shell",
            "image": SHELL,
            "command": ["sleep", "100000"],
            "securityContext": context,
            "volumeMounts": [{"name": f"v{number}", "mountPath": where} for number, where in enumerate(mounted)],
        }
        sources: dict[int, dict[str, t.Any]] = {
            number: {"hostPath": {"path": what}} if what else {"emptyDir": {}}
            for number, what in enumerate(mounted.values())
        }
        spec = {
            "containers": [container],
            "volumes": [{"name": f"v{number}", **source} for number, source in sources.items()],
            "nodeSelector": {"kubernetes.io/hostname": node},
            "terminationGracePeriodSeconds": 0,
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        self._nodes.kubectl("create", "--filename=-", text=json.dumps(pod))

    def run(self, name: str, node: str, **options: t.Any) -> None:
        """Create one, and wait until it runs."""
        self.create(name, node, **options)
        self.wait(name)

    def wait(self, *names: str) -> None:
        """Until they run."""
        self._nodes.kubectl("wait", "--for=condition=Ready", *(f"pod/{name}" for name in names), "--timeout=600s")

    def delete(self, *names: str) -> None:
        self._nodes.kubectl("delete", "pod", *names, "--force", "--grace-period=0")

    def confinement(self, name: str) -> str:
        """What the kernel says that its first process is confined by."""
        return self.sh(name, "cat /proc/1/attr/current").strip("\0\n ")

    def is_filtered(self, name: str) -> bool:
        """Whether the kernel says that its first process has a seccomp filter."""
        return self.sh(name, "grep Seccomp: /proc/1/status").split() == ["Seccomp:", "2"]

    def sh(self, name: str, command: str) -> str:
        """What a command prints in one.

        :raises RuntimeError: with what it complained about.
        """
        return self._nodes.kubectl("exec", name, "--", "sh", "-c", command)

    def typed(self, name: str, command: str) -> str:
        """What a command prints that somebody runs in one in a terminal."""
        ours, theirs = os.openpty()
        try:
            return self._nodes.kubectl("exec", "--stdin", "--tty", name, "--", "sh", "-c", command, stdin=theirs)
        finally:
            os.close(ours)
            os.close(theirs)
