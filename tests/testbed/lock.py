# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python3 -m tests.testbed.lock kube 1.38.0``: writes go.mod and go.sum for a version of a program.

The go.mod of k8s.io/kubernetes replaces its own libraries by folders that only its repository has; they are
published too, 1.38.0 as v0.38.0. Needs Go.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

from tests.testbed.binaries import COMMANDS, SOURCES
from tests.testbed.versions import GO

_KUBERNETES = "k8s.io/kubernetes"
#: What a program is made of: the module that is asked for, in the version that is to be locked.
MODULES = {
    "kube": _KUBERNETES,
    "node": _KUBERNETES,
    "agnhost": _KUBERNETES,
    "etcd": "go.etcd.io/etcd/server/v3",
    "kind": "sigs.k8s.io/kind",
    "containerd": "github.com/containerd/containerd/v2",
    "cni": "github.com/containernetworking/plugins",
    "coredns": "github.com/coredns/coredns",
    "cilium": "github.com/cilium/cilium",
    "calico-schemas": "github.com/projectcalico/api",
    "psa": "k8s.io/pod-security-admission",
    "psp": _KUBERNETES,
}
#: Cilium's own replacements, which hold only where Cilium is the main module, and one of ours: the commit of
#: gobgp that it asks for is not on the module proxy, the release after it is.
_REPLACED = {
    "cilium": {
        "sigs.k8s.io/controller-tools": "github.com/cilium/controller-tools v0.21.0-1",
        "github.com/osrg/gobgp/v4": "github.com/osrg/gobgp/v4 v4.8.0",
    }
}


def lock(program: str, version: str) -> None:
    home = SOURCES / f"{program}-{version}"
    module = MODULES[program]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for source in (SOURCES / program).glob("*.go"):
            shutil.copy(source, scratch)
        replaced = _REPLACED.get(program, {})
        if module == _KUBERNETES:
            asked = ["go", "mod", "download", "-json", f"{module}@v{version}"]
            answer = subprocess.run(asked, cwd=scratch, check=True, stdout=subprocess.PIPE)
            replaced = published(version, Path(json.loads(answer.stdout)["GoMod"]).read_text())
        packages = [] if list(scratch.iterdir()) else COMMANDS[program].values()
        (scratch / "go.mod").write_text(go_mod(module, version, replaced, packages))
        # with -e, as tests of some modules import what is not published
        subprocess.run(["go", "mod", "tidy", "-e"], cwd=scratch, check=True)
        home.mkdir(exist_ok=True)
        for locked in ("go.mod", "go.sum"):
            shutil.copy(scratch / locked, home)


def go_mod(module: str, version: str, replaced: t.Mapping[str, str], packages: t.Iterable[str]) -> str:
    """A go.mod that asks for that version.

    :param replaced: module -> the one to take instead, with its version.
    :param packages: the commands of that module, where there are no sources of ours that ask for them.
    """
    oldest = ".".join(map(str, GO))
    lines = [f"module testbed\n\ngo {oldest}\n\nrequire {module} v{version}\n"]
    if replaced:
        lines += ["replace (", *(f"\t{name} => {other}" for name, other in replaced.items()), ")\n"]
    if packages:
        lines += ["tool (", *(f"\t{package}" for package in packages), ")\n"]
    return "\n".join(lines)


def published(version: str, theirs: str) -> dict[str, str]:
    """The libraries of Kubernetes, each with the module that it is published as.

    :param theirs: the go.mod of k8s.io/kubernetes.
    """
    number = "v0." + version.partition(".")[2]
    libraries = re.findall(r"^\s*(?:replace )?(\S+) => \./staging/", theirs, re.MULTILINE)
    return {library: f"{library} {number}" for library in libraries}


if __name__ == "__main__":
    lock(*sys.argv[1:])
