# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node in a folder of its own, for each test."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.node import health

from tests.support.nodes import FakeNode, healthz


@pytest.fixture(autouse=True)
def _no_kubelet_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_SETTLED", 0.5)
    monkeypatch.setattr(health, "_PAUSE", 0.1)


@pytest.fixture
def fake(tmp_path: Path) -> t.Iterator[FakeNode]:
    with healthz() as port:
        yield FakeNode(tmp_path, port)
