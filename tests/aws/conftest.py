# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One AWS for the whole run, empty at the beginning of each test."""

from __future__ import annotations

import typing as t

import pytest

from tests.support.aws import Moto
from tests.support.modules import Result, run_module


@pytest.fixture(scope="session")
def server() -> t.Iterator[Moto]:
    """Each worker of pytest-xdist has one of its own."""
    moto = Moto()
    try:
        yield moto.up()
    finally:
        moto.down()


@pytest.fixture
def moto(server: Moto) -> Moto:
    server.reset()
    return server


class Runner(t.Protocol):
    def __call__(self, module: str, *, check: bool = False, diff: bool = False, **params: t.Any) -> Result: ...


@pytest.fixture
def run(moto: Moto) -> Runner:
    """Runs a module: ``run("iam_pod_role", roles=[...])``."""

    def call(module: str, *, check: bool = False, diff: bool = False, **params: t.Any) -> Result:
        return run_module(module, {**moto.options, **params}, check=check, diff=diff)

    return call


def actions(result: Result) -> dict[str, str]:
    """Name -> what was done."""
    assert "objects" in result, result
    return {item["name"]: item["action"] for item in result["objects"]}


def rules(result: Result) -> set[str]:
    return {finding["rule"] for finding in result["findings"]}
