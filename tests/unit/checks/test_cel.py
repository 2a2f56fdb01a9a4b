# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Expressions mean here what they mean to the API server (which tests/control_plane compares, rule by rule)."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.checks.cel import CelError, compiled
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.cel import text

SCOPE: dict[str, t.Any] = {"o": {"a": {"b": 1}, "list": [1, 2, 3], "none": None, "text": "it's"}, "k": "a"}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 == 3 && !(2 < 1) || false", True),
        ("2 in [1, 2] ? 'yes' : 'no'", "yes"),
        ("false ? 1 : true ? 2 : 3", 2),
        ("o.a.b", 1),
        ("o[k].b", 1),
        ("o.?x.?y.orValue(5)", 5),
        ("o.?a.?b.hasValue()", True),
        ("o.?none.hasValue()", False),
        ("o.?x.or(o.?a).value().b", 1),
        ("o.?a[?'b'].orValue(0)", 1),
        ("o.?a.?b.optMap(n, n + 1).orValue(0)", 2),
        ("o.?x.optMap(n, n + 1).orValue(0)", 0),
        ("has(o.a) && !has(o.x) && !has(o.none)", True),
        ("o.list.filter(n, n > 1).map(n, string(n)).join(', ')", "2, 3"),
        ("o.list.exists(n, n == 3) && o.list.all(n, n >= 1) && o.list.size() == 3", True),
        ("dyn(o.a).filter(k, k != 'x')", ["b"]),
        ("'a/b'.split('/')[0] + 'abc'.substring(1)", "abc"),
        ("'a-b'.replace('-', '.').startsWith('a.') && 'abc'.contains('b') && 'x@y'.matches('@y$')", True),
        ("'Ab\u00dc'.upperAscii() + 'Ab\u00dc'.lowerAscii()", "AB\u00dcab\u00dc"),
        ("o.text == 'it\\'s' && 'a\\\\b\\x0a'.size() == 4", True),
        ("[1] + []", [1]),
        ("{}.?a.hasValue()", False),
    ],
)
def test_values(expression: str, value: t.Any) -> None:
    assert compiled(expression)(SCOPE) == value


def test_what_is_not_needed_is_not_asked() -> None:
    assert compiled("true || o.x.y")(SCOPE) is True
    assert compiled("false && o.x.y || 1 == 1 ? 1 : o.x")(SCOPE) == 1


def test_a_field_that_is_not_there_is_an_error() -> None:
    with pytest.raises(CelError, match="no such key: x"):
        compiled("o.x")(SCOPE)


@pytest.mark.parametrize("expression", ["1 +", "a b", "f(1)", "a.g()", "[1", "'open", "a ? b", ")", "has(a", "#"])
def test_what_cannot_be_read_is_an_error(expression: str) -> None:
    with pytest.raises(CelError):
        compiled(expression)


@pytest.mark.parametrize("value", ["", "it's", "a\\b", "a\nb", "'", "\\'", "\u00fc\U0001f512", "\x00"])
def test_a_literal_is_read_as_it_was_written(value: str) -> None:
    assert compiled(text(value))({}) == value
