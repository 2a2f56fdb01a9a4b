# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lets plain ``pytest``, and the commands that tests start, find the collection wherever the tree lies.

Property tests try the same examples in every run, however slow the machine is, so that what fails is
the change at hand; ``--hypothesis-profile dev`` looks for new ones, and ``thorough`` for fifty times as many.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

from tests.gates.collection import linked, variables

sys.path.insert(0, str(linked()))
os.environ.update(variables(linked()))
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True)
settings.register_profile("thorough", settings.get_profile("dev"), max_examples=5000)
settings.load_profile("ci")
