# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking a cluster by kubectl, as anybody would, also in somebody else's name."""

from __future__ import annotations

import json
import os
import shlex
import typing as t
from pathlib import Path

from testinfra.host import Host


class Cluster:
    """The cluster of all scenarios.

    :param host: where commands run: the machine that Ansible runs on.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        # a link to the instance's own
        self._name = Path(os.environ["KUBECONFIG"]).resolve().parent.name

    def run(self, *arguments: str, text: str = "") -> tuple[bool, str]:
        """Whether kubectl succeeded, and all that it said."""
        command = shlex.join(["python3", "-m", "tests.testbed", "kubectl", "--name", self._name, *arguments])
        done = self._host.run(f"printf %s {shlex.quote(text)} | {command}" if text else command)
        return done.rc == 0, f"{done.stdout}{done.stderr}".strip()

    def get(self, *arguments: str) -> t.Any:
        """Objects, decoded."""
        succeeded, said = self.run("get", *arguments, "--output=json")
        assert succeeded, said
        return json.loads(said)

    def may(self, subject: str, verb: str, resource: str, namespace: str, *options: str) -> bool:
        """Whether somebody may, asked in their own name.

        :param subject: a user, or ``namespace:name`` of a service account.
        """
        user = f"system:serviceaccount:{subject}" if ":" in subject else subject
        asked = ["auth", "can-i", verb, resource, f"--namespace={namespace}", f"--as={user}", *options]
        _succeeded, said = self.run(*asked)
        answers = [line for line in said.splitlines() if line in ("yes", "no")]  # and remarks
        assert answers, said
        return answers == ["yes"]

    def admits(self, namespace: str, **changes: t.Any) -> tuple[bool, str]:
        """Whether a pod would be admitted, and what is said of it: one that ``restricted`` admits, but for changes.

        :param changes: fields of the pod's spec; ``container`` has those of its container.
        """
        container = {
            "name": "pod",
            "image": "registry.example/app:1",
            "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"cpu": "10m", "memory": "8Mi"}},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            **changes.pop("container", {}),
        }
        context = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "asked-", "namespace": namespace},
            "spec": {"securityContext": context, "containers": [container], **changes},
        }
        return self.run("create", "--dry-run=server", "--filename=-", text=json.dumps(pod))
