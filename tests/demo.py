# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``make demo``: harden a real API server for Online Boutique, twice; the second run must change nothing.

The cluster is a control plane of our own, or with ``DEMO_USE_KUBECONFIG=1`` the one that ``$KUBECONFIG`` names.
``make demo-down`` ends our own, and takes the example out of the other.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time

from tests.gates.collection import linked, variables
from tests.gates.environment import ROOT, make

OWN = os.environ.get("DEMO_USE_KUBECONFIG") != "1"
TESTBED = [sys.executable, "-m", "tests.testbed"]
NAME = ["--name", "demo"]
EXAMPLE = ROOT / "playbooks" / "examples" / "online_boutique.yml"
SHOP, DEPLOYER = "boutique-shop", ["--as", "dana", "--as-group", "boutique-deployers"]


def up() -> int:
    environment = make("test")
    heading("A cluster")
    kubeconfig = cluster()
    print(kubeconfig)

    heading("First run: five namespaces, hardened")
    first = harden(kubeconfig, str(environment / "bin"))
    heading("Second run: nothing to do")
    second = harden(kubeconfig, str(environment / "bin"))
    if first is None or second != 0:
        print("\nThe demo failed: see the output of the playbook above.", file=sys.stderr)
        return 1

    kubectl = [*TESTBED, "kubectl", *NAME] if OWN else [shutil.which("kubectl") or ""]
    if kubectl[0]:
        heading("What it means")
        for question in (
            ["run", "shell", "--namespace", SHOP, "--image=busybox", "--privileged", "--dry-run=server"],
            ["auth", "can-i", "patch", "deployments", "--namespace", SHOP, *DEPLOYER],
            ["auth", "can-i", "get", "secrets", "--namespace", SHOP, *DEPLOYER],
            ["get", "networkpolicies", "--namespace", SHOP],
        ):
            print(f"$ kubectl {' '.join(question)}", flush=True)
            subprocess.run([*kubectl, *question], cwd=ROOT, check=False)

    heading("Yours now")
    print(f"export KUBECONFIG={kubeconfig}\nmake demo-down{'' if OWN else ' DEMO_USE_KUBECONFIG=1'}")
    return 0


def down() -> int:
    if OWN:
        return subprocess.run([*TESTBED, "down", *NAME], cwd=ROOT, check=False).returncode
    removed = harden(cluster(), str(make("test") / "bin"), "-e", "cluster_state=absent")
    return 1 if removed is None else 0


def cluster() -> str:
    """The kubeconfig of the cluster, which is started if it is our own."""
    if OWN:
        started = subprocess.run(
            [*TESTBED, "up", *NAME], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
        )
        return started.stdout.strip()
    return os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")


def harden(kubeconfig: str, path: str, *options: str) -> int | None:
    """Run the playbook on the example.

    :returns: how many tasks changed something; None when it failed.
    """
    settings = {
        **os.environ,
        **variables(linked()),
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "K8S_AUTH_KUBECONFIG": kubeconfig,
        "PATH": os.pathsep.join([path, os.environ["PATH"]]),
    }
    command = ["ansible-playbook", "hardened.k8s.harden", "-e", f"@{EXAMPLE}", *options]
    print(f"$ {' '.join(command)}", flush=True)
    start = time.monotonic()
    result = subprocess.run(command, env=settings, stdout=subprocess.PIPE, text=True, check=False)
    print(f"{result.stdout.strip()}\n({time.monotonic() - start:.1f} s)", flush=True)
    changed = re.search(r"^\S+ .*\bchanged=(\d+)", result.stdout, re.MULTILINE)
    return int(changed.group(1)) if changed and result.returncode == 0 else None


def heading(text: str) -> None:
    print(f"\n==> {text}", flush=True)


if __name__ == "__main__":
    sys.exit({"up": up, "down": down}[sys.argv[1]]())
