# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of the Common Expression Language that this collection writes, evaluated without an API server.

So a rule of a policy is written once, and a look ahead says what the API server will say. An expression becomes Python
functions once, and is then asked of as many pods as there are. Tests compare it with the API server's own.
"""

from __future__ import annotations

import re
import typing as t

Scope = t.Dict[str, t.Any]
_Node = t.Callable[[Scope], t.Any]


class CelError(ValueError):
    """An expression that cannot be read, or has no value."""


class _Optional(t.NamedTuple):
    """A value that may not be there."""

    present: bool
    value: t.Any


_ABSENT = _Optional(False, None)

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+)|(?P<text>'(?:[^'\\]|\\.)*')|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<mark>\|\||&&|==|!=|<=|>=|\.\?|\[\?|[-+!<>?:.,()\[\]{}]))"
)
_ESCAPES = re.compile(r"\\(x[0-9a-f]{2}|.)")
_CONSTANTS = {"true": True, "false": False, "null": None}
_COMPARISONS: t.Dict[str, t.Callable[[t.Any, t.Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
}


def compiled(expression: str) -> _Node:
    """The expression as a function of its variables.

    :raises CelError: it is no expression, or says more than is known here.
    """
    reader = _Reader(expression)
    node = reader.expression()
    reader.end()
    return node


def _unescaped(literal: str) -> str:
    return _ESCAPES.sub(lambda m: chr(int(m.group(1)[1:], 16)) if len(m.group(1)) > 1 else m.group(1), literal[1:-1])


def _tokens(expression: str) -> t.Iterator[t.Tuple[str, str]]:
    position, end = 0, len(expression.rstrip())
    while position < end:
        match = _TOKEN.match(expression, position)
        if not match or match.lastgroup is None:
            raise CelError(f"{expression[position : position + 40]!r} is no expression")
        yield match.lastgroup, match.group(match.lastgroup)
        position = match.end()


class _Reader:
    """Reads an expression from the loosest operator to the tightest."""

    def __init__(self, expression: str) -> None:
        self._tokens = list(_tokens(expression))
        self._next = 0

    def _peek(self) -> str:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else ""

    def _take(self) -> t.Tuple[str, str]:
        if self._next == len(self._tokens):
            raise CelError("the expression ends too early")
        self._next += 1
        return self._tokens[self._next - 1]

    def _took(self, *marks: str) -> str:
        """The next token if it is one of these, which is then taken; else nothing."""
        if self._peek() in marks and self._tokens[self._next][0] != "text":
            return self._take()[1]
        return ""

    def _expect(self, mark: str) -> None:
        if not self._took(mark):
            raise CelError(f"{self._peek()!r} stands where {mark!r} should")

    def end(self) -> None:
        if self._peek():
            raise CelError(f"{self._peek()!r} stands after the end")

    def expression(self) -> _Node:
        condition = self._either()
        if not self._took("?"):
            return condition
        yes = self._either()  # a choice within it needs brackets
        self._expect(":")
        no = self.expression()
        return lambda scope: yes(scope) if condition(scope) else no(scope)

    def _either(self) -> _Node:
        return self._chain("||", lambda: self._chain("&&", self._comparison))

    def _chain(self, mark: str, below: t.Callable[[], _Node]) -> _Node:
        parts = [below()]
        while self._took(mark):
            parts.append(below())
        if len(parts) == 1:
            return parts[0]
        decide = any if mark == "||" else all
        return lambda scope: decide(part(scope) for part in parts)

    def _comparison(self) -> _Node:
        left = self._sum()
        mark = self._took(*_COMPARISONS)
        if not mark:
            return left
        compare, right = _COMPARISONS[mark], self._sum()
        return lambda scope: compare(left(scope), right(scope))

    def _sum(self) -> _Node:
        node = self._unary()
        while self._took("+"):
            node = _added(node, self._unary())
        return node

    def _unary(self) -> _Node:
        if self._took("!"):
            node = self._unary()
            return lambda scope: not node(scope)
        return self._postfix()

    def _postfix(self) -> _Node:
        node = self._primary()
        while True:
            mark = self._took(".", ".?", "[", "[?")
            if not mark:
                return node
            if mark in ("[", "[?"):
                key = self.expression()
                self._expect("]")
                node = _chosen(node, key, mark == "[?")
                continue
            name = self._take()[1]
            called = mark == "." and self._took("(")
            node = self._method(node, name) if called else _chosen(node, _constant(name), mark == ".?")

    def _primary(self) -> _Node:
        kind, token = self._take()
        if kind == "number":
            return _constant(int(token))
        if kind == "text":
            return _constant(_unescaped(token))
        if kind == "name":
            return self._named(token)
        if token == "(":
            node = self.expression()
            self._expect(")")
            return node
        if token == "[":
            items = self._listed("]")
            return lambda scope: [item(scope) for item in items]
        if token == "{":
            self._expect("}")
            return _constant({})
        raise CelError(f"{token!r} begins no expression")

    def _named(self, name: str) -> _Node:
        if name in _CONSTANTS:
            return _constant(_CONSTANTS[name])
        if not self._took("("):
            return lambda scope: scope[name]
        (argument,) = self._listed(")")
        if name == "has":
            # whatever is selected inside is there or not
            return lambda scope: _there(argument, scope)
        if name in ("dyn", "timestamp"):
            return argument  # points in time are written so that they compare as texts
        if name == "string":
            return lambda scope: str(argument(scope))
        raise CelError(f"there is no function {name} here")

    def _listed(self, closing: str) -> t.List[_Node]:
        items: t.List[_Node] = []
        while not self._took(closing):
            items.append(self.expression())
            if not self._took(","):
                self._expect(closing)
                break
        return items

    def _method(self, target: _Node, name: str) -> _Node:
        if name in _MACROS:
            _kind, variable = self._take()
            self._expect(",")
            body = self.expression()
            self._expect(")")
            return _loop(_MACROS[name], target, variable, body)
        arguments = self._listed(")")
        method = _METHODS.get(name)
        if method is None:
            raise CelError(f"there is no method {name} here")
        return lambda scope: method(target(scope), *[argument(scope) for argument in arguments])


def _constant(value: t.Any) -> _Node:
    return lambda _scope: value


def _added(left: _Node, right: _Node) -> _Node:
    return lambda scope: left(scope) + right(scope)


def _there(node: _Node, scope: Scope) -> bool:
    try:
        node(scope)
    except CelError:
        return False
    return True


def _chosen(target: _Node, key: _Node, optional: bool) -> _Node:
    """A field of an object, or the element of a list or map; of an optional, an optional."""

    def choose(scope: Scope) -> t.Any:
        value, name = target(scope), key(scope)
        inside = value.value if isinstance(value, _Optional) else value
        if isinstance(value, _Optional) and not value.present:
            return _ABSENT
        found = _Optional(True, inside[name]) if _has(inside, name) else _ABSENT
        if optional or isinstance(value, _Optional):
            return found
        if not found.present:
            raise CelError(f"no such key: {name}")
        return found.value

    return choose


def _has(value: t.Any, name: t.Any) -> bool:
    """Whether it is there; the API server leaves out what is null."""
    if isinstance(value, list):
        return isinstance(name, int) and name < len(value)
    return isinstance(value, dict) and value.get(name) is not None


def _loop(
    macro: t.Callable[[t.Any, t.Callable[[t.Any], t.Any]], t.Any], target: _Node, name: str, body: _Node
) -> _Node:
    def run(scope: Scope) -> t.Any:
        inner = dict(scope)

        def of(item: t.Any) -> t.Any:
            inner[name] = item
            return body(inner)

        return macro(target(scope), of)

    return run


_MACROS: t.Dict[str, t.Callable[[t.Any, t.Callable[[t.Any], t.Any]], t.Any]] = {
    "filter": lambda items, of: [item for item in items if of(item)],
    "map": lambda items, of: [of(item) for item in items],
    "exists": lambda items, of: any(of(item) for item in items),
    "all": lambda items, of: all(of(item) for item in items),
    "optMap": lambda optional, of: _Optional(True, of(optional.value)) if optional.present else _ABSENT,
}
_LETTERS = [(c, c.upper()) for c in "abcdefghijklmnopqrstuvwxyz"]
_UPPER, _LOWER = str.maketrans(dict(_LETTERS)), str.maketrans({upper: lower for lower, upper in _LETTERS})
_METHODS: t.Dict[str, t.Callable[..., t.Any]] = {
    "orValue": lambda optional, other: optional.value if optional.present else other,
    "or": lambda optional, other: optional if optional.present else other,
    "hasValue": lambda optional: optional.present,
    "value": lambda optional: optional.value,
    "size": len,
    "join": lambda items, mark="": mark.join(items),
    "startsWith": str.startswith,
    "contains": lambda text, part: part in text,
    "upperAscii": lambda text: text.translate(_UPPER),
    "lowerAscii": lambda text: text.translate(_LOWER),
    "split": str.split,
    "replace": str.replace,
    "substring": lambda text, start, end=None: text[start:end],
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
}
