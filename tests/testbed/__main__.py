# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python3 -m tests.testbed up``: real clusters for tests and for the demo. Standard library only."""

from __future__ import annotations

import argparse
import sys

from tests.testbed import binaries
from tests.testbed.control_plane import ControlPlane, StartError
from tests.testbed.versions import KUBERNETES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.testbed", description=__doc__)
    parser.add_argument("action", choices=["up", "down", "status", "build", "kubectl"])
    parser.add_argument("--mode", choices=["control-plane"], default="control-plane")
    parser.add_argument("--kubernetes", choices=KUBERNETES, default=KUBERNETES[0], help="version of the API server")
    parser.add_argument("--name", default="default", help="name of the instance; several can run side by side")
    known, rest = parser.parse_known_args()
    if rest and known.action != "kubectl":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    instance = ControlPlane(known.name, known.kubernetes)
    try:
        return act(known.action, instance, rest)
    except (binaries.BuildError, StartError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1


def act(action: str, instance: ControlPlane, rest: list[str]) -> int:
    if action == "build":
        print(binaries.kube(instance.kubernetes), binaries.etcd(), sep="\n")
    elif action == "up":
        instance.up()
        print(instance.kubeconfig)
    elif action == "down":
        instance.down()
    elif action == "status":
        state = f"up, Kubernetes {instance.kubernetes}" if instance.is_up() else "down"
        print(f"{instance.name}: {state}")
        return 0 if instance.is_up() else 1
    else:
        print(instance.kubectl(*rest), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
