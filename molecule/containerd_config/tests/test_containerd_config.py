# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runtime has been started anew since it was told, reads what is written, and starts containers."""

from __future__ import annotations

from testinfra.host import Host


def test_containerd_reads_what_is_declared(host: Host) -> None:
    with host.sudo():
        assert "max_container_log_line_size = 4321" in host.check_output("containerd config dump")


def test_it_was_started_since_and_starts_containers(host: Host) -> None:
    with host.sudo():
        written = host.file("/etc/containerd/conf.d/50-molecule.toml").mtime.timestamp()
        started = host.check_output("stat --format=%Y /proc/$(pidof containerd)")
        assert int(started) >= int(written)
        ctr = "ctr --namespace k8s.io run --rm docker.io/testbed/busybox:1 molecule-containerd"
        assert host.check_output(f"{ctr} echo started") == "started"
