# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's selector expressions, such as ``app == 'web' && !has(legacy)``."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.rules import UnreadError
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.terms import (
    ACCOUNT,
    ANYBODY,
    NAMESPACE,
    POD,
    Term,
    either,
    every,
    label,
    negation,
)

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"[^"]*"|'[^']*')
    | (?P<mark>&&|\|\||==|!=|[!(){},])
    | (?P<call>(?:has\(\s*[A-Za-z0-9_./-]+\s*\)|all\(\s*\)|global\(\s*\)))
    | (?P<word>(?:not\s+in|starts\s+with|ends\s+with)(?![A-Za-z0-9_./-])|[A-Za-z0-9_./-]+)
    )""",
    re.VERBOSE,
)
#: Words of which some are two are known without the space between, too.
_COMPARED = {"contains": "Contains", "startswith": "StartsWith", "endswith": "EndsWith", "==": "In", "!=": "NotIn"}
#: Prefixes by which a selector of pods speaks of their namespace and their service account.
_PREFIXES = (("pcns.", NAMESPACE), ("pcsa.", ACCOUNT))
#: The label that Calico gives to all that is in a namespace.
IN_NAMESPACE = "projectcalico.org/namespace"


def parse(expression: str, scope: str = POD) -> Term:
    """The term that an expression stands for; an empty one selects everybody.

    :param scope: whose labels it is about.
    :raises UnreadError: it is none.
    """
    parser = _Parser(expression, scope)
    term = ANYBODY if parser.ended() else parser.any_of()
    if not parser.ended():
        raise UnreadError(f"selector {expression!r} goes on after its end")
    return term


class _Parser:
    """By recursive descent: ``||`` binds loosest, then ``&&``, then ``!``."""

    def __init__(self, expression: str, scope: str) -> None:
        self.expression = expression
        self.scope = scope
        self.tokens: t.List[t.Tuple[str, str]] = []
        place, end = 0, len(expression.rstrip())
        while place < end:
            match = _TOKEN.match(expression, place)
            if not match:
                raise UnreadError(f"selector {expression!r} cannot be read from {expression[place:]!r} on")
            kind = match.lastgroup or ""
            self.tokens.append((kind, re.sub(r"\s+", "", match.group(kind)) if kind == "word" else match.group(kind)))
            place = match.end()
        self.tokens.reverse()

    def ended(self) -> bool:
        return not self.tokens

    def _next(self, *wanted: str) -> t.Tuple[str, str]:
        if not self.tokens or (wanted and self.tokens[-1][1] not in wanted):
            raise UnreadError(f"selector {self.expression!r} lacks {' or '.join(wanted) or 'its end'}")
        return self.tokens.pop()

    def _took(self, mark: str) -> bool:
        if self.tokens and self.tokens[-1] == ("mark", mark):
            self.tokens.pop()
            return True
        return False

    def any_of(self) -> Term:
        parts = [self.all_of()]
        while self._took("||"):
            parts.append(self.all_of())
        return either(*parts)

    def all_of(self) -> Term:
        parts = [self.one()]
        while self._took("&&"):
            parts.append(self.one())
        return every(*parts)

    def one(self) -> Term:
        if self._took("!"):
            return negation(self.one())
        if self._took("("):
            inner = self.any_of()
            self._next(")")
            return inner
        kind, text = self._next()
        if kind == "call":
            return self._call(text)
        if kind != "word":
            raise UnreadError(f"selector {self.expression!r} has {text} where a label belongs")
        return self._compared(text)

    def _call(self, text: str) -> Term:
        name, _bracket, key = text.rstrip(")").partition("(")
        if name == "all":
            # of namespaces, all are those of whatever is in one
            return ANYBODY if self.scope == POD else label(POD, IN_NAMESPACE, "Exists")
        if name == "global":
            return label(POD, IN_NAMESPACE, "DoesNotExist")
        return self._label(key.strip(), "Exists")

    def _compared(self, key: str) -> Term:
        _kind, operator = self._next(*_COMPARED, "in", "notin")
        if operator in _COMPARED:
            return self._label(key, _COMPARED[operator], self._text())
        self._next("{")
        values: t.List[str] = []
        while not self._took("}"):
            values.append(self._text())
            if not self._took(","):
                self._next("}")
                break
        return self._label(key, "In" if operator == "in" else "NotIn", *values)

    def _text(self) -> str:
        kind, text = self._next()
        if kind != "text":
            raise UnreadError(f"selector {self.expression!r} has {text} where a value in quotes belongs")
        return text[1:-1]

    def _label(self, key: str, operator: str, *values: str) -> Term:
        for prefix, scope in _PREFIXES:
            if self.scope == POD and key.startswith(prefix):
                return label(scope, key[len(prefix) :], operator, *values)
        return label(self.scope, key, operator, *values)
