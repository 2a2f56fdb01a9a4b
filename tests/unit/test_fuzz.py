# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever is put into the options: a result or a message, never a traceback. Needs no cluster."""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.manifests import tenant
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.modules import run_module
from tests.support.strategies import OPTIONS

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True),
    st.text(max_size=12),
    st.sampled_from(
        ["", "5x", "1e400", "::/0", "0.0.0.0/0", "10.0.0.1/8", "80-70", "99999", "*", "a/b", "-", "\u0000", "{{ x }}"]
    ),
)
_ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _like(rules: t.Mapping[str, t.Any]) -> st.SearchStrategy[t.Any]:
    """A value of an option's shape, somewhere in which anything can stand."""
    if rules.get("options"):
        inner = _options(rules["options"])
        shaped: st.SearchStrategy[t.Any] = st.lists(inner, max_size=2) if rules["type"] == "list" else inner
    elif rules["type"] == "list":
        shaped = st.lists(_ANYTHING, max_size=3)
    elif rules["type"] == "dict":
        shaped = st.dictionaries(st.text(max_size=8) | st.sampled_from(["pods", "cpu", "app"]), _ANYTHING, max_size=3)
    elif rules.get("choices"):
        shaped = st.sampled_from(rules["choices"])
    else:
        shaped = _SCALARS
    return st.one_of(shaped, shaped, shaped, _ANYTHING)


def _options(spec: t.Mapping[str, t.Any]) -> st.SearchStrategy[dict[str, t.Any]]:
    return st.fixed_dictionaries({}, optional={option: _like(rules) for option, rules in spec.items()})


_TENANT = st.one_of(
    _options(tenant.SPEC),
    # an ordinary tenant with one thing wrong in it
    st.builds(
        lambda good, key, bad: {"name": "shop", **good, key: bad},
        OPTIONS,
        st.sampled_from(sorted(tenant.SPEC)),
        _ANYTHING,
    ),
)


@settings(
    max_examples=2000,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    tenants=st.lists(_TENANT, min_size=1, max_size=2),
    profiles=st.dictionaries(st.sampled_from(["a", "b"]), _ANYTHING, max_size=2),
)
def test_no_options_make_a_traceback(tenants: list[t.Any], profiles: dict[str, t.Any]) -> None:
    result = run_module("tenant", {"state": "rendered", "tenants": tenants, "profiles": profiles})
    if result.get("failed"):
        assert result["msg"]
        assert all(problem["reason"] and problem["item"] for problem in result.get("problems", []))
    else:
        assert isinstance(result["manifests"], list)
