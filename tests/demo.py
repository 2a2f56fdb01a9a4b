# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``make demo``: harden a real API server for Online Boutique, twice; the second run must change nothing.

The cluster is a control plane of the demo's own; with ``DEMO_ON=kind`` one with nodes, in which the shop's pods run;
with ``DEMO_ON=nodes`` one with machines as nodes, which are hardened too; with ``DEMO_USE_KUBECONFIG=1`` that of
``$KUBECONFIG``. ``make demo-down`` ends those of its own, and takes the example out of the other.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.gates.collection import linked, variables
from tests.gates.environment import make
from tests.support.boutique import CALLS, EXAMPLE_FILE, HOMES, as_list, pods
from tests.support.reach import Shop, verdict
from tests.support.shells import Pods
from tests.testbed.cluster import Cluster
from tests.testbed.kind import Kind
from tests.testbed.machines import Nodes
from tests.testbed.modes import MODES, instance
from tests.testbed.node_image import BOUTIQUE

FOREIGN = os.environ.get("DEMO_USE_KUBECONFIG") == "1"
#: Of the cluster of its own.
NAME = os.environ.get("DEMO_NAME", "demo")

#: The namespace of the example whose flows are shown.
MATRIX = "boutique-shop"
SHOP, DEPLOYER = ["--namespace", "boutique-shop"], ["--as", "dana", "--as-group", "boutique-deployers"]
#: A user that the level would take, and the shop's policy does not.
OTHER_USER = {
    "spec": {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 4000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "shell",
                "image": "busybox",
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }
}
QUESTIONS = [
    ["run", "shell", *SHOP, "--image", "busybox", "--privileged", "--dry-run=server"],
    ["run", "shell", *SHOP, "--image", "busybox", "--dry-run=server", f"--overrides={json.dumps(OTHER_USER)}"],
    ["auth", "can-i", "patch", "deployments", *SHOP, *DEPLOYER],
    ["auth", "can-i", "get", "secrets", *SHOP, *DEPLOYER],
    ["get", "resourcequota,networkpolicies", *SHOP],
]


def up() -> int:
    make("test")
    heading("A cluster")
    mode = MODES[os.environ.get("DEMO_ON", "control-plane")]
    # the old one cannot install what it lacks
    more = {"machines": "apparmor,selinux"} if mode is Nodes else {}
    own = None if FOREIGN else mode(NAME, **more).up()
    print(f"its kubeconfig: {kubeconfig()}")
    nodes = own if isinstance(own, Nodes) else None
    shop = own if isinstance(own, Kind) and not nodes else None
    before = confinement(nodes, "before") if nodes else {}

    heading("First run: five namespaces, hardened")
    options = for_nodes(nodes) if nodes else []
    first = harden(*options)
    if first is not None and shop:
        run_shop(shop)
    heading("Second run: nothing left to do")
    if first is None or harden(*options) != 0:
        print("\nThe demo failed: the playbook did, or its second run changed something.", file=sys.stderr)
        return 1

    heading("What it means")
    for question in QUESTIONS if kubectl() else []:
        print(f"\n$ kubectl {' '.join(question)}", flush=True)
        subprocess.run([*kubectl(), *question], stderr=subprocess.STDOUT, check=False)
    heading(f"Which flows the policies allow in {MATRIX}")
    print(matrix(MATRIX))
    if nodes:
        heading("What the kernel of each node confines a pod to that asks for nothing")
        after = confinement(nodes, "after")
        print("\n".join(f"{name}: {before[name]} -> {after[name]}" for name in after))
    if shop:
        heading("Who reaches whom: every service calls every other one")
        found = verdict(Shop(shop).reach("3s"))
        print(f"{found}, {len(CALLS)} calls and no other" if not any(found) else found)
        if any(found):
            print("\nThe demo failed: what is declared is not what is reached.", file=sys.stderr)
            return 1
    heading("It is yours")
    print(f"look around:  export KUBECONFIG={kubeconfig()}")
    print(f"end it:       make demo-down{' DEMO_USE_KUBECONFIG=1' if FOREIGN else ''}")
    return 0


def down() -> int:
    if FOREIGN:
        return 0 if harden("-e", "cluster_state=absent") is not None else 1
    instance(NAME).down()
    return 0


def run_shop(cluster: Cluster) -> None:
    """Stand-ins for all services, which wait until they are running."""
    heading("The shop itself: a pod for each service")
    cluster.kubectl("apply", "--filename=-", text=as_list(pods(BOUTIQUE)))
    for name, space in HOMES.items():
        cluster.kubectl("rollout", "status", f"deployment/{name}", f"--namespace={space}", "--timeout=180s")
    wanted = ["get", "pods", "--all-namespaces", "--selector=app", "--output=wide"]
    print(cluster.kubectl(*wanted), flush=True)


def for_nodes(nodes: Nodes) -> list[str]:
    """The options by which the playbook hardens them, all at the same time."""
    return [f"--inventory={nodes.fleet.inventory}", "-e", "harden_node_serial=100%"]


def confinement(nodes: Nodes, prefix: str) -> dict[str, str]:
    """Machine -> what confines a pod that asks for nothing, as its own first process is told."""
    pods = Pods(nodes)
    nodes.kubectl("delete", "pods", "--all", "--force", "--grace-period=0")  # of a run before this one
    asked = {name: f"{prefix}-{name}" for name in nodes.fleet.names}
    for name, pod in asked.items():
        pods.create(pod, name)
    pods.wait(*asked.values())
    return {
        name: f"{pods.confinement(pod)}, {'a' if pods.is_filtered(pod) else 'no'} seccomp filter"
        for name, pod in asked.items()
    }


def kubeconfig() -> str:
    if FOREIGN:
        return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    return str(instance(NAME).kubeconfig)


def kubectl() -> list[str]:
    """The command; empty where there is none for a cluster that is not the demo's own."""
    if not FOREIGN:
        return [str(instance(NAME).directory / "kube"), "kubectl", "--kubeconfig", kubeconfig()]
    found = shutil.which("kubectl")
    return [found] if found else []


def harden(*options: str) -> int | None:
    """Run the playbook on the example.

    :returns: how many tasks changed something, on all hosts; None when it failed.
    """
    command = ["ansible-playbook", "hardened.k8s.harden", "-e", f"@{EXAMPLE_FILE}", *options]
    print(f"$ {' '.join(command)}", flush=True)
    start = time.monotonic()
    result = subprocess.run(command, env=settings(), stdout=subprocess.PIPE, text=True, check=False)
    print(f"{result.stdout.strip()}\n({time.monotonic() - start:.1f} s)", flush=True)
    changed = re.findall(r"^\S+ .*\bchanged=(\d+)", result.stdout, re.MULTILINE)
    return sum(map(int, changed)) if changed and result.returncode == 0 else None


def matrix(namespace: str) -> str:
    """Who reaches whom of a namespace, with a pod for each service that does not run."""
    asked = {"namespaces": [namespace], "manifests": pods(BOUTIQUE)}
    command = ["ansible", "localhost", "-m", "hardened.k8s.network_flow_info", "-a", json.dumps(asked)]
    print("$ ansible localhost -m hardened.k8s.network_flow_info ...", flush=True)
    done = subprocess.run(command, env=settings(), stdout=subprocess.PIPE, text=True, check=True)
    (found,) = json.loads(done.stdout.partition("=>")[2])["matrices"]
    return str(found["text"])


def settings() -> dict[str, str]:
    """The environment of Ansible's commands."""
    return {
        **os.environ,
        **variables(linked()),
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "K8S_AUTH_KUBECONFIG": kubeconfig(),
        "PATH": os.pathsep.join([str(make("test") / "bin"), os.environ["PATH"]]),
    }


def heading(text: str) -> None:
    print(f"\n==> {text}", flush=True)


if __name__ == "__main__":
    sys.exit({"up": up, "down": down}[sys.argv[1]]())
