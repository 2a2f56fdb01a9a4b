# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every scenario's tests begin with."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from tests.support.asking import Cluster


@pytest.fixture
def cluster(host: Host) -> Cluster:
    """The cluster of all scenarios."""
    return Cluster(host)
