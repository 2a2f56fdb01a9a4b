# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of a node may go meanwhile."""

from __future__ import annotations

import subprocess
import typing as t
from unittest import mock

from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node


def test_a_process_that_ends_while_its_file_is_read_has_none() -> None:
    """The kernel lets such a file be opened, and then says that there is no such process."""
    really = open
    with subprocess.Popen(["sleep", "60"]) as process:

        def opened(*args: t.Any) -> t.Any:
            file = really(*args)
            process.kill()
            process.wait()
            return file

        path = f"/proc/{process.pid}/cgroup"
        assert Node().text(path)
        with mock.patch("builtins.open", opened):
            assert Node().read(path) is None
