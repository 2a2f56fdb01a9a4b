# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""IAM policy documents as IAM reads them: when two say the same, and what one allows.

Pure. Grammar and evaluation follow the IAM user guide: "Grammar of the IAM JSON policy language", "Policy
evaluation logic" and "IAM JSON policy elements: Condition operators".
"""

from __future__ import annotations

import functools
import json
import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError

Document = t.Dict[str, t.Any]
Statement = t.Mapping[str, t.Any]

ALLOW, DENY, NONE = "allow", "deny", "none"

_ELEMENTS = frozenset(
    [
        *("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource"),
        *("Principal", "NotPrincipal", "Condition"),
    ]
)
_VERSIONS = ("2012-10-17", "2008-10-17")
_ROOT = re.compile(r"arn:[\w-]+:iam::([0-9]{12}):root")


# -- reading


def parse(value: t.Any, what: str) -> Document:
    """A policy document given as a dictionary or as JSON.

    :raises ItemError: it is none.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ItemError(
                f"{what} is not JSON: {error}", "Write the document as a dictionary, or as valid JSON"
            ) from error
    if not isinstance(value, dict):
        raise ItemError(f"{what} is no policy document", "Write a dictionary with Version and Statement")
    unknown = sorted(map(str, set(value) - {"Version", "Id", "Statement"}))
    if unknown:
        raise ItemError(f"{what} has {unknown[0]}, which no policy document has", "It has Version, Id and Statement")
    if value.get("Version", _VERSIONS[1]) not in _VERSIONS:
        raise ItemError(f"{what} has Version {value['Version']!r}", f"Write '{_VERSIONS[0]}', in quotes")
    for number, statement in enumerate(_listed(value.get("Statement"))):
        _check(statement, f"{what}, Statement[{number}]")
    if not value.get("Statement"):
        raise ItemError(f"{what} has no Statement", "Write at least one, or leave the policy out")
    return value


def _check(statement: t.Any, what: str) -> None:
    if not isinstance(statement, dict):
        raise ItemError(f"{what} is no dictionary", "Write Effect, Action and Resource")
    unknown = sorted(map(str, set(statement) - _ELEMENTS))
    if unknown:
        raise ItemError(f"{what} has {unknown[0]}, which no statement has", f"Known are {', '.join(sorted(_ELEMENTS))}")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise ItemError(f"{what} has Effect {statement.get('Effect')!r}", "Write Allow or Deny")
    if ("Action" in statement) == ("NotAction" in statement):
        raise ItemError(f"{what} needs one of Action and NotAction", "Name the actions that it is about")
    for element in ("Action", "NotAction", "Resource", "NotResource"):
        entries = _listed(statement.get(element, "*"))
        if not entries or not all(isinstance(entry, str) and entry for entry in entries):
            raise ItemError(f"{what} has {element} {statement[element]!r}", "Write text, or a list of texts")
    condition = statement.get("Condition", {})
    if not isinstance(condition, dict) or not all(isinstance(tests, dict) for tests in condition.values()):
        raise ItemError(f"{what} has Condition {condition!r}", "Write {operator: {key: value}}")


def _listed(value: t.Any) -> t.List[t.Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def statements(document: t.Mapping[str, t.Any]) -> t.List[Statement]:
    """The statements, also of a document that has just one, without a list."""
    return [item for item in _listed(document.get("Statement")) if isinstance(item, dict)]


# -- comparing


def canonical(document: t.Mapping[str, t.Any]) -> Document:
    """The one form of all documents that mean the same: order, letter case and single values make no difference."""
    return {
        "Version": document.get("Version", _VERSIONS[1]),
        "Statement": sorted(map(_canonical, statements(document)), key=_text),
    }


def same(one: t.Mapping[str, t.Any], other: t.Mapping[str, t.Any]) -> bool:
    """Whether IAM would decide alike by either of them, and people would read the same."""
    return canonical(one) == canonical(other)


def _text(value: t.Any) -> str:
    return json.dumps(value, sort_keys=True)


def _canonical(statement: Statement) -> Document:
    normal: Document = {}
    for element, value in statement.items():
        if element in ("Action", "NotAction"):
            normal[element] = sorted({str(item).lower() for item in _listed(value)})
        elif element in ("Resource", "NotResource"):
            normal[element] = sorted({str(item) for item in _listed(value)})
        elif element in ("Principal", "NotPrincipal"):
            normal[element] = principals(value)
        elif element == "Condition":
            normal[element] = _canonical_condition(value)
        elif value:
            normal[element] = value
    return {element: value for element, value in normal.items() if value != {} or element.endswith("Principal")}


def _canonical_condition(condition: t.Any) -> Document:
    normal: t.Dict[str, t.Dict[str, t.List[str]]] = {}
    for operator, tests in condition.items():
        below = normal.setdefault(str(operator), {})
        for key, value in tests.items():
            below[str(key).lower()] = sorted({_scalar(item) for item in _listed(value)})
    return {operator: tests for operator, tests in normal.items() if tests}


def _scalar(value: t.Any) -> str:
    """A condition's value as IAM keeps it: text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def principals(value: t.Any) -> t.Dict[str, t.List[str]]:
    """Who is meant, by type; an account's number and its root are one."""
    if value == "*":
        value = {"AWS": "*"}
    if not isinstance(value, dict):
        return {}
    return {str(kind): sorted({_root(str(name)) for name in _listed(names)}) for kind, names in value.items()}


def _root(name: str) -> str:
    root = _ROOT.fullmatch(name)
    return root.group(1) if root else name


# -- deciding


@functools.lru_cache(maxsize=4096)
def _pattern(text: str, flags: int) -> t.Pattern[str]:
    # what a policy variable will stand for is not known here: anything
    parts = re.split(r"(\*|\?|\$\{[^}]*\})", text)
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(p, ".*" if p.startswith("${") else re.escape(p)) for p in parts), flags | re.S)


def matches(pattern: str, text: str, fold: bool = False) -> bool:
    """Whether an IAM pattern, in which ``*`` also crosses ``/`` and ``:``, fits."""
    return bool(_pattern(pattern, re.IGNORECASE if fold else 0).fullmatch(text))


class Decision(t.NamedTuple):
    """What policies say to one request.

    :param effect: ``allow``, ``deny`` or ``none``.
    :param by: the statement that decided, by its Sid or number.
    :param certain: False when a condition could not be judged; it was then taken for true in what allows and
        for false in what denies.
    """

    effect: str
    by: str = ""
    certain: bool = True

    @property
    def allowed(self) -> bool:
        return self.effect == ALLOW


def decide(
    documents: t.Mapping[str, t.Mapping[str, t.Any]],
    action: str,
    resource: str,
    context: t.Optional[t.Mapping[str, str]] = None,
) -> Decision:
    """Whether identity-based policies, by name, allow an action: a deny wins, then an allow."""
    allow: t.Optional[Decision] = None
    for name, document in documents.items():
        for number, statement in enumerate(statements(document)):
            if not concerns(statement, action, resource):
                continue
            met = condition_met(statement, context or {})
            by = f"{name}, statement {statement.get('Sid') or number}"
            if statement.get("Effect") == "Deny":
                if met:
                    return Decision(DENY, by)
            elif met is not False and (allow is None or not allow.certain):
                allow = Decision(ALLOW, by, certain=met is True)
    return allow or Decision(NONE)


def covers_action(statement: Statement, action: str) -> bool:
    """Whether a statement is about this action, on whatever resource."""
    return _in(statement, "Action", action, fold=True)


def texts(value: t.Any) -> t.List[str]:
    """The values of an element that may be one text or a list."""
    return [str(item) for item in _listed(value)]


def concerns(statement: Statement, action: str, resource: str) -> bool:
    """Whether a statement is about this action on this resource, whatever its conditions."""
    return _in(statement, "Action", action, fold=True) and _in(statement, "Resource", resource, fold=False)


def _in(statement: Statement, element: str, text: str, fold: bool) -> bool:
    if f"Not{element}" in statement:
        return not any(matches(str(item), text, fold) for item in _listed(statement[f"Not{element}"]))
    # a trust policy names no resource: it is about its own role
    return any(matches(str(item), text, fold) for item in _listed(statement.get(element, "*")))


def condition_met(statement: Statement, context: t.Mapping[str, str]) -> t.Optional[bool]:
    """Whether a statement's conditions hold; None when that cannot be told from what is known.

    :param context: condition key in lower case -> value; a key with the value "" is known to be absent.
    """
    sure: t.Optional[bool] = True
    condition = statement.get("Condition")
    for operator, tests in (condition if isinstance(condition, dict) else {}).items():
        for key, wanted in tests.items():
            held = _held(str(operator), context.get(str(key).lower()), [_scalar(item) for item in _listed(wanted)])
            if held is False:
                return False
            sure = sure if held else None
    return sure


_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnLike",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
}


def _held(operator: str, value: t.Optional[str], wanted: t.Sequence[str]) -> t.Optional[bool]:
    """One line of a condition; the value is None when nothing is known of it and "" when it is absent."""
    name, _colon, plain = operator.rpartition(":")
    if name:  # ForAllValues and ForAnyValue are about sets, of which no request here has any
        return None
    if_exists = plain.endswith("IfExists")
    plain = plain[: -len("IfExists")] if if_exists else plain
    if value is None:
        return None
    if plain == "Null":
        return (value == "") == (wanted[:1] == ["true"])
    negated = plain in _NEGATED
    if value == "":
        return True if if_exists else negated
    compare = _COMPARE.get(_NEGATED.get(plain, plain))
    if compare is None:
        return None
    found = any(compare(value, item) for item in wanted)
    return found != negated


def _numeric(relation: t.Callable[[float, float], bool]) -> t.Callable[[str, str], bool]:
    def compare(value: str, wanted: str) -> bool:
        try:
            return relation(float(value), float(wanted))
        except ValueError:
            return False

    return compare


_COMPARE: t.Dict[str, t.Callable[[str, str], bool]] = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "StringLike": lambda value, wanted: matches(wanted, value),
    "ArnEquals": lambda value, wanted: matches(wanted, value),
    "ArnLike": lambda value, wanted: matches(wanted, value),
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
    "NumericEquals": _numeric(lambda value, wanted: value == wanted),
    "NumericLessThan": _numeric(lambda value, wanted: value < wanted),
    "NumericLessThanEquals": _numeric(lambda value, wanted: value <= wanted),
    "NumericGreaterThan": _numeric(lambda value, wanted: value > wanted),
    "NumericGreaterThanEquals": _numeric(lambda value, wanted: value >= wanted),
}


# -- trust


def trusts(document: t.Mapping[str, t.Any], principal: str, context: t.Mapping[str, str]) -> t.Tuple[Decision, bool]:
    """Whether a role's trust policy lets an AWS principal assume it, and whether it does so by that name.

    :param principal: the ARN of a role or user.
    :returns: the decision; and True when the principal itself is named, which in its own account takes no allow
        of its own policies.
    """
    account = principal.split(":")[4] if principal.count(":") >= 5 else ""
    found, exact = Decision(NONE), False
    for number, statement in enumerate(statements(document)):
        if not concerns(statement, "sts:AssumeRole", "*"):
            continue
        named = _names(statement, principal, account)
        met = condition_met(statement, context)
        by = f"trust policy, statement {statement.get('Sid') or number}"
        if named is None or met is False:
            continue
        if statement.get("Effect") == "Deny":
            if met:
                return Decision(DENY, by), False
        elif not found.allowed or (named and not exact):
            found, exact = Decision(ALLOW, by, certain=met is True), named
    return found, exact


def _names(statement: Statement, principal: str, account: str) -> t.Optional[bool]:
    """True when the principal is named, False when its account or everybody is, None when it is not meant."""
    if "NotPrincipal" in statement:
        named = principals(statement["NotPrincipal"]).get("AWS", [])
        return None if principal in named else False
    named = principals(statement.get("Principal")).get("AWS", [])
    if principal in named:
        return True
    return False if "*" in named or account in named else None
