# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules' documentation says of each item what its argument spec says.

ansible-test compares the options themselves; what an item may hold is checked item by item, unseen by it.
"""

from __future__ import annotations

import importlib
import pkgutil
import typing as t

import pytest
import yaml
from ansible_collections.hardened.k8s.plugins import modules
from ansible_collections.hardened.k8s.plugins.module_utils.findings import ACCEPT_SPEC
from ansible_collections.hardened.k8s.plugins.module_utils.harden import Topic

MODULES = [
    importlib.import_module(f"{modules.__name__}.{found.name}") for found in pkgutil.iter_modules(modules.__path__)
]
TOPICS = {module.TOPIC.module: module for module in MODULES if isinstance(getattr(module, "TOPIC", None), Topic)}
ITEMS = [(name, option) for name, module in TOPICS.items() for option in module.TOPIC.items]

#: Documented here, told apart by the driver rather than by the spec.
_READ_BY_THE_DRIVER = {"accept": ACCEPT_SPEC}


def documented(name: str) -> dict[str, t.Any]:
    options: dict[str, t.Any] = yaml.safe_load(TOPICS[name].DOCUMENTATION)["options"]
    return options


def differences(doc: t.Mapping[str, t.Any], spec: t.Mapping[str, t.Any], path: str) -> t.Iterator[str]:
    """What one says and the other does not, at any depth."""
    for option in sorted({*doc, *spec}):
        place = f"{path}.{option}"
        if option not in doc or option not in spec:
            yield f"{place}: only in the {'documentation' if option in doc else 'spec'}"
            continue
        told, rules = doc[option], spec[option]
        for key, usual in (
            ("type", "str"),
            ("elements", None),
            ("required", False),
            ("default", None),
            ("choices", None),
            ("aliases", None),
        ):
            said, meant = told.get(key, usual), rules.get(key, usual)
            if (list(said) if isinstance(said, (list, tuple)) else said) != (
                list(meant) if isinstance(meant, (list, tuple)) else meant
            ):
                yield f"{place}: {key} is {said!r} in the documentation, {meant!r} in the spec"
        below = rules.get("options") or _READ_BY_THE_DRIVER.get(option) or {}
        yield from differences(told.get("suboptions") or {}, below, place)


@pytest.mark.parametrize(("name", "option"), ITEMS)
def test_what_an_item_may_hold_is_documented(name: str, option: str) -> None:
    spec, _declare = TOPICS[name].TOPIC.items[option]
    assert list(differences(documented(name)[option]["suboptions"], spec, option)) == []


def test_a_difference_is_seen() -> None:
    doc = {"a": {"type": "int"}, "b": {}, "d": {"type": "dict", "suboptions": {"x": {"choices": [1]}}}}
    spec = {"a": {"type": "str"}, "c": {}, "d": {"type": "dict", "options": {"x": {"choices": (1, 2)}}}}
    assert list(differences(doc, spec, "item")) == [
        "item.a: type is 'int' in the documentation, 'str' in the spec",
        "item.b: only in the documentation",
        "item.c: only in the spec",
        "item.d.x: choices is [1] in the documentation, (1, 2) in the spec",
    ]
