# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs these tests with pytest's options, in namespaces of their own, in which nothing could be installed any more."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.packets.conftest import need_programs

need_programs()
command = ["unshare", "--map-root-user", "--net", "--mount", sys.executable, "-m", "pytest"]
os.execvp(command[0], [*command, str(Path(__file__).parent), *sys.argv[1:]])
