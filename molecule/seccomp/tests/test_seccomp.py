# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A filter that the role wrote is one that runc takes, and denies what it says."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

_FOLDER = "/var/lib/kubelet/seccomp/k8s"
_RUN = (
    "ctr --namespace k8s.io run --rm --seccomp --seccomp-profile={}/{}.v1.json docker.io/testbed/busybox:1 "
    "molecule-{} sh -c 'mkdir /run/x && grep Seccomp: /proc/self/status'"
)


@pytest.mark.parametrize("name", ["runtime-default", "no-af-alg", "no-io-uring", "audit"])
def test_a_container_works_under_it(host: Host, name: str) -> None:
    with host.sudo():
        done = host.run(_RUN.format(_FOLDER, name, name))
    assert done.succeeded, done.stderr
    assert done.stdout.split() == ["Seccomp:", "2"]


def test_what_was_taken_from_the_runtimes_own_is_denied(host: Host) -> None:
    with host.sudo():
        done = host.run(_RUN.format(_FOLDER, "no-mkdir", "no-mkdir"))
    assert done.failed
    assert "Operation not permitted" in done.stderr


def test_sockets_of_the_kernels_cryptography_are_not_among_those_allowed(host: Host) -> None:
    with host.sudo():
        profile = json.loads(host.file(f"{_FOLDER}/no-af-alg.v1.json").content_string)
    rules = [rule for rule in profile["syscalls"] if "socket" in rule["names"]]
    assert rules
    assert not [rule for rule in rules if not rule.get("args")]
    assert not [rule for rule in profile["syscalls"] if "socketcall" in rule["names"]]
