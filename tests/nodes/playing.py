# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles played on a machine, and what its kernel and its files then say."""

from __future__ import annotations

import json
import shlex
import typing as t
from pathlib import Path

from tests.support.modules import Result, run_playbook
from tests.testbed.kind import Kind
from tests.testbed.machines import Fleet

_SETTINGS = {"ANSIBLE_INJECT_FACT_VARS": "false", "ANSIBLE_DEPRECATION_WARNINGS": "false"}
_PROFILES = "/sys/kernel/security/apparmor/profiles"
#: Every file that a role could have to do with.
_FILES = (
    "find /etc /var/lib/kubelet/seccomp /var/lib/kubelet/config.yaml /var/lib/hardened-k8s -type f -print0"
    " 2> /dev/null | sort --zero-terminated | xargs --null md5sum"
)


#: Asked as if it were ssh: options, a host, and last a command.
_AS_SSH = """\
#!/bin/sh
for command; do :; done
exec env DOCKER_HOST={host} docker exec --interactive {name} sh -c "$command"
"""


#: A profile of nobody's but the tests'.
CLOSED = {"name": "closed", "rules": "file,\nnetwork,\ncapability,\nunix,\ndeny /srv/closed/** w,\n"}


def printed(result: Result) -> str:
    """What a playbook printed, whatever lines it was broken into."""
    return " ".join(result["output"].split())


def is_ready(cluster: Kind, name: str) -> bool:
    """Whether a node is."""
    conditions = cluster.get(f"/api/v1/nodes/{name}")["status"]["conditions"]
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


class Node:
    """A node, and the roles on it.

    :param run: what a command prints there, as root.
    """

    def __init__(self, name: str, inventory: Path, folder: Path, run: t.Callable[[str], str]) -> None:
        self.name, self.run, self._inventory, self._folder = name, run, inventory, folder

    def play(self, role: str, *arguments: str, **options: t.Any) -> Result:
        """ansible-playbook with a role alone, as its README.md shows it.

        :param options: of the role, without its name before each.
        """
        given = {f"{role}_{name}": value for name, value in options.items()}
        return self.tasks([], given, *arguments, roles=[f"hardened.k8s.{role}"])

    def task(self, module: str, options: t.Mapping[str, t.Any]) -> Result:
        """ansible-playbook with one task."""
        return self.tasks([{"name": "One task", module: dict(options)}], {})

    def tasks(
        self, tasks: t.Sequence[t.Any], given: t.Mapping[str, t.Any], *arguments: str, roles: t.Sequence[str] = ()
    ) -> Result:
        """ansible-playbook with roles, then tasks."""
        play = {"name": "Alone", "hosts": self.name, "gather_facts": False, "become": True}
        playbook = self._folder / "play.yml"
        playbook.write_text(json.dumps([{**play, "roles": [*roles], "tasks": [*tasks]}]))
        return self.playbook(str(playbook), given, *arguments)

    def playbook(self, playbook: str, given: t.Mapping[str, t.Any], *arguments: str) -> Result:
        asked = [f"--inventory={self._inventory}", f"--extra-vars={json.dumps(given)}", *arguments]
        result = run_playbook(playbook, *asked, environ=_SETTINGS)
        return {**result, **result["stats"].get(self.name, {})}

    def files(self) -> str:
        return self.run(_FILES)

    def loaded(self) -> dict[str, str]:
        lines = (line.rpartition(" ") for line in self.run(f"cat {_PROFILES}").splitlines())
        return {name: mode.strip("()") for name, _space, mode in lines if name.startswith("k8s.")}

    def applied(self, role: str, **options: t.Any) -> Result:
        """The same, where it has to succeed."""
        result = self.play(role, **options)
        assert result["rc"] == 0, result["output"]
        return result


class OnMachine(Node):
    """One that is a machine, reached by SSH as a user who may become root."""

    def __init__(self, fleet: Fleet, name: str, folder: Path) -> None:
        self.machine = fleet[name]
        super().__init__(
            name, fleet.inventory, folder, lambda command: self.machine.run(f"sudo sh -c {shlex.quote(command)}")
        )


class OnKind(Node):
    """One that is a container."""

    def __init__(self, cluster: Kind, name: str, folder: Path) -> None:
        ssh = folder / "ssh"
        ssh.write_text(_AS_SSH.format(host=cluster.daemon.environ["DOCKER_HOST"], name=name))
        ssh.chmod(0o755)
        about = {"ansible_ssh_executable": str(ssh), "ansible_user": "root"}
        about |= {"ansible_ssh_transfer_method": "piped", "ansible_python_interpreter": "/usr/bin/python3"}
        inventory = folder / "inventory.yml"
        inventory.write_text(json.dumps({"k8s_nodes": {"hosts": {name: about}}}))
        super().__init__(name, inventory, folder, lambda command: cluster.node(name, "sh", "-c", command))
