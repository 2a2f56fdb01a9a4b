# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever is declared: the second run sends no write, check mode tells the truth, and reading gives it back."""

from __future__ import annotations

import os
import typing as t
import uuid

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.control_plane.conftest import Requests, Runner
from tests.support.strategies import OPTIONS

#: As each example is a few hundred requests, a failing one is not made smaller; its seed is printed.
_SETTINGS = settings(
    max_examples=int(os.environ.get("HARDENED_K8S_TEST_EXAMPLES", "20")),
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def errors(result: dict[str, t.Any]) -> list[str]:
    """What went wrong, mistakes in the random input aside: those are told before anything is sent."""
    return [p["reason"] for p in result.get("problems", []) if "forbidden" in p["reason"] or "not valid" in p["reason"]]


@_SETTINGS
@given(first=st.lists(OPTIONS, min_size=1, max_size=3), second=st.lists(OPTIONS, min_size=1, max_size=3))
def test_any_declaration_is_applied_once_and_told_truly(
    run: Runner, requests: t.Callable[[], Requests], first: list[dict[str, t.Any]], second: list[dict[str, t.Any]]
) -> None:
    prefix = f"p{uuid.uuid4().hex[:8]}"
    for declared in (first, second):
        tenants = [{**options, "name": f"{prefix}-{index}"} for index, options in enumerate(declared)]
        predicted = run("tenant", check=True, diff=True, tenants=tenants, owner=prefix)
        done = run("tenant", diff=True, tenants=tenants, owner=prefix)
        assert errors(done) == []
        assert predicted["changed"] == done["changed"]
        assert [{**o, "predicted": 0} for o in predicted["objects"]] == [{**o, "predicted": 0} for o in done["objects"]]
        assert predicted["diff"] == done["diff"]
        counted = requests()
        again = run("tenant", diff=True, tenants=tenants, owner=prefix)
        assert again.get("diff", []) == []
        assert not again["changed"]
        assert counted.writes() == []
    found = run("tenant_info", names=[item["name"] for item in tenants])
    back = run("tenant", check=True, diff=True, tenants=found["tenants"], owner=prefix)
    assert back["diff"] == []
    assert not back["changed"]
