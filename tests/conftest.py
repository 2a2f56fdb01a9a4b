# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lets plain ``pytest``, and the commands that tests start, find the collection wherever the tree lies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.gates.collection import linked, variables

sys.path.insert(0, str(linked()))
os.environ.update(variables(linked()))
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
