# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules as Ansible runs them, in this process or in one that can be killed; and whole playbooks."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import typing as t
from unittest import mock

from ansible.module_utils import basic
from ansible.module_utils.common import warnings

_PACKAGE = "ansible_collections.hardened.k8s.plugins.modules"

Result = dict[str, t.Any]


def _arguments(params: t.Mapping[str, t.Any], check: bool, diff: bool) -> bytes:
    given = {**params, "_ansible_check_mode": check, "_ansible_diff": diff}
    return json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode()


def run_module(
    name: str,
    params: t.Mapping[str, t.Any],
    *,
    check: bool = False,
    diff: bool = False,
    environ: t.Mapping[str, str] | None = None,
) -> Result:
    """A module's result. One that fails has ``failed`` and ``msg``; a traceback is the test's failure."""
    module = importlib.import_module(f"{_PACKAGE}.{name}")
    output = io.StringIO()
    with (
        mock.patch.object(basic, "_ANSIBLE_ARGS", _arguments(params, check, diff)),
        # ansible-core 2.19 asks for a serialization profile too
        mock.patch.object(basic, "_ANSIBLE_PROFILE", "legacy", create=True),
        # kept for the life of a process, which is one module's otherwise
        mock.patch.object(warnings, "_global_warnings", type(warnings._global_warnings)()),
        mock.patch.object(warnings, "_global_deprecations", type(warnings._global_deprecations)()),
        mock.patch.dict(os.environ, environ or {}),
        contextlib.redirect_stdout(output),
        contextlib.suppress(SystemExit),
    ):
        module.main()
    result: Result = json.loads(output.getvalue())
    return result


def spawn_module(name: str, params: t.Mapping[str, t.Any]) -> subprocess.Popen[bytes]:
    """The module in a process of its own, its output thrown away."""
    script = (
        "import json, sys; from ansible.module_utils import basic; "
        "basic._ANSIBLE_ARGS = sys.stdin.buffer.read(); basic._ANSIBLE_PROFILE = 'legacy'; "
        f"from {_PACKAGE}.{name} import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin
    process.stdin.write(_arguments(params, False, False))
    process.stdin.close()
    return process


def run_playbook(playbook: str, *arguments: str, environ: t.Mapping[str, str] | None = None) -> Result:
    """ansible-playbook's outcome: ``rc``, ``output``, and ``stats`` by host."""
    settings = {**os.environ, "ANSIBLE_NOCOLOR": "1", **(environ or {})}
    command = ["ansible-playbook", playbook, *arguments]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    return {"rc": done.returncode, "output": done.stdout + done.stderr, "stats": _recap(done.stdout)}


def _recap(output: str) -> dict[str, dict[str, int]]:
    """Host -> counts, from the lines after PLAY RECAP."""
    hosts = {}
    for line in output.partition("PLAY RECAP")[2].splitlines()[1:]:
        host, colon, counts = line.partition(" : ")
        if colon:
            hosts[host.strip()] = {key: int(value) for key, value in (part.split("=") for part in counts.split())}
    return hosts


def actions(result: Result) -> dict[str, str]:
    """What was done with each object, by ``kind/namespace/name``."""
    return {f"{o['kind']}/{o['namespace']}/{o['name']}": o["action"] for o in result["objects"]}
