# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python3 -m tests.testbed up``: real clusters for tests and for the demo. Standard library only."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.testbed import binaries, crds, node_image
from tests.testbed.cluster import StartError
from tests.testbed.control_plane import ControlPlane
from tests.testbed.kind import NETWORKS, Kind
from tests.testbed.machines import ALL, Machines, Nodes
from tests.testbed.modes import MODES, instance, instances
from tests.testbed.saved import saved
from tests.testbed.versions import KUBERNETES


def main() -> int:
    chosen = parser().parse_args()
    try:
        chosen.act(chosen)
    except (binaries.BuildError, StartError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    mode = argparse.ArgumentParser(add_help=False)
    mode.add_argument("--mode", choices=MODES, default=ControlPlane.mode, help="default: %(default)s")
    version = argparse.ArgumentParser(add_help=False)
    version.add_argument("--kubernetes", choices=KUBERNETES, default=KUBERNETES[0], help="default: %(default)s")
    name = argparse.ArgumentParser(add_help=False)
    name.add_argument("--name", default="default", help="several can run side by side; default: %(default)s")

    network = argparse.ArgumentParser(add_help=False)
    network.add_argument("--network", choices=NETWORKS, default=NETWORKS[0], help="of mode kind; default: %(default)s")

    machines = argparse.ArgumentParser(add_help=False)
    machines.add_argument("--machines", default=ALL, help="of modes machines and nodes; default: %(default)s")

    whole = argparse.ArgumentParser(prog="python3 -m tests.testbed", description=__doc__)
    actions = whole.add_subparsers(required=True, metavar="action")

    def action(act: t.Callable[[argparse.Namespace], None], *parents: argparse.ArgumentParser) -> t.Any:
        found = actions.add_parser(act.__name__, help=act.__doc__, description=act.__doc__, parents=parents)
        found.set_defaults(act=act)
        return found

    action(up, mode, version, name, network, machines)
    action(down, name)
    action(status)
    action(build, mode, version, machines)
    action(reset, name).add_argument("machine")
    action(ssh, name).add_argument("machine")
    action(kubectl, name).add_argument("arguments", nargs=argparse.REMAINDER)
    return whole


def up(chosen: argparse.Namespace) -> None:
    """start a cluster or machines unless they run; prints where the kubeconfig is, and the inventory of machines"""
    if chosen.mode == Machines.mode:
        print(Machines(chosen.name, machines=chosen.machines).up().fleet.inventory)
    elif chosen.mode == Nodes.mode:
        nodes = Nodes(chosen.name, chosen.kubernetes, machines=chosen.machines).up()
        print(nodes.kubeconfig, nodes.fleet.inventory, sep="\n")
    elif chosen.mode == Kind.mode:
        print(Kind(chosen.name, chosen.kubernetes, chosen.network).up().kubeconfig)
    else:
        print(ControlPlane(chosen.name, chosen.kubernetes).up().kubeconfig)


def down(chosen: argparse.Namespace) -> None:
    """stop a cluster and remove all of it"""
    instance(chosen.name).down()


def status(_chosen: argparse.Namespace) -> None:
    """the clusters that there are"""
    for there in instances():
        about = ", ".join(f"{key} {value}" for key, value in there.description().items())
        print(f"{there.name}: {f'up, {about}' if there.is_up() else 'not up'}, {there.kubeconfig}")


def build(chosen: argparse.Namespace) -> None:
    """make what a cluster or machines need unless it is there; prints where it is"""
    made: list[t.Iterable[Path]] = []
    if chosen.mode != Machines.mode:
        made.append([binaries.kube(chosen.kubernetes), binaries.etcd(), *crds.sources()])
    # a machine's disk and its first boot keep one processor busy, a compiler all that are left
    with ThreadPoolExecutor(1) as pool:
        if chosen.mode in (Machines.mode, Nodes.mode):
            made.append(pool.map(lambda name: saved(name).directory, chosen.machines.split(",")))
        if chosen.mode in (Kind.mode, Nodes.mode):
            made.append([binaries.kind(), node_image.store(chosen.kubernetes)])
    print(*itertools.chain(*made), sep="\n")


def reset(chosen: argparse.Namespace) -> None:
    """put a machine back to where it began"""
    _with_machines(chosen.name).reset(chosen.machine)


def ssh(chosen: argparse.Namespace) -> t.NoReturn:
    """a shell in a machine"""
    command = _with_machines(chosen.name).fleet[chosen.machine].ssh
    os.execvp(command[0], command)


def _with_machines(name: str) -> Machines | Nodes:
    there = instance(name)
    if not isinstance(there, (Machines, Nodes)) or not there.is_up():
        raise StartError(f"{name} has no machines: python3 -m tests.testbed up --mode {Machines.mode} --name {name}")
    return there


def kubectl(chosen: argparse.Namespace) -> t.NoReturn:
    """kubectl for a cluster"""
    there = instance(chosen.name)
    if not there.is_up():
        raise StartError(f"{there.name} is not up: python3 -m tests.testbed up --name {there.name}")
    command = [str(there.directory / "kube"), "kubectl", "--kubeconfig", str(there.kubeconfig)]
    os.execv(command[0], [*command, *chosen.arguments])


if __name__ == "__main__":
    sys.exit(main())
