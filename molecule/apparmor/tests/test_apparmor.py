# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel has the profiles, and keeps a container to its own."""

from __future__ import annotations

import pytest
from testinfra.host import Host

_RUN = "ctr --namespace k8s.io run --rm --apparmor-profile=k8s.{}.v1 docker.io/testbed/busybox:1 molecule-{} sh -c '{}'"


def run(host: Host, profile: str, command: str) -> tuple[bool, str]:
    with host.sudo():
        done = host.run(_RUN.format(profile, profile, command))
    return done.succeeded, done.stderr


def test_the_kernel_has_them_with_their_modes(host: Host) -> None:
    with host.sudo():
        lines = host.file("/sys/kernel/security/apparmor/profiles").content_string.splitlines()
    assert {"k8s.deny-write.v1 (enforce)", "k8s.web-server.v1 (enforce)", "k8s.closed.v1 (complain)"} <= set(lines)


def test_a_container_may_what_its_profile_is_for_and_nothing_else(host: Host) -> None:
    assert run(host, "deny-write", "echo x > /dev/shm/x") == (True, "")
    succeeded, said = run(host, "deny-write", "echo x > /bin/x")
    assert not succeeded
    assert "Permission denied" in said


@pytest.mark.parametrize("command", ["nc -w 1 127.0.0.1 9"])
def test_one_without_a_network_opens_no_socket(host: Host, command: str) -> None:
    succeeded, said = run(host, "no-network", command)
    assert not succeeded
    assert "ermission denied" in said


def test_one_that_is_tried_denies_nothing(host: Host) -> None:
    succeeded, said = run(host, "closed", "mkdir -p /srv/closed && echo x > /srv/closed/x")
    assert succeeded, said
