# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine enforces, the runtime has a domain, and a confined process is kept to what is labelled for it."""

from __future__ import annotations

from testinfra.host import Host

#: A confined process may run only what is labelled for it, and its output is nobody's: how it ends has to tell.
_READ = "runcon system_u:system_r:container_t:s0:c1,c2 /srv/molecule/busybox cat"


def test_it_enforces_now_and_at_the_next_boot(host: Host) -> None:
    with host.sudo():
        assert host.check_output("cat /sys/fs/selinux/enforce") == "1"
        assert host.file("/etc/selinux/config").contains("^SELINUX=enforcing$")


def test_containerd_runs_in_a_domain_of_its_own_and_starts_containers(host: Host) -> None:
    with host.sudo():
        assert host.check_output("ps -o label= -C containerd").split(":")[2] == "dockerd_t"
        ctr = "ctr --namespace k8s.io run --rm docker.io/testbed/busybox:1 molecule-selinux"
        assert host.check_output(f"{ctr} echo started") == "started"


def test_a_confined_process_reads_what_is_labelled_for_it_and_nothing_else(host: Host) -> None:
    with host.sudo():
        assert host.check_output("stat --format=%C /srv/molecule").split(":")[2] == "container_file_t"
        host.check_output("cp /usr/bin/busybox /srv/molecule/ && touch /srv/molecule/file /srv/molecule/others")
        host.check_output("chcon --range=s0:c3,c4 /srv/molecule/others")
        assert host.run(f"{_READ} /srv/molecule/file").rc == 0
        assert host.run(f"{_READ} /srv/molecule/others").rc == 1, "another container's"
        assert host.run(f"{_READ} /etc/shadow").rc == 1
