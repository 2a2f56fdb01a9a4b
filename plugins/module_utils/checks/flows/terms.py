# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rules of policies say of an endpoint, whatever kind of policy they stand in.

Terms are values: equal terms select the same endpoints, which are looked up once.
"""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.selectors import Requirements, requirements
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.network import NAMESPACE_NAME

Fields = t.Mapping[str, t.Any]

#: Whose labels a term is about.
POD, NAMESPACE, ACCOUNT, NODE, NETWORK_SET = "pod", "namespace", "account", "node", "network-set"
#: Kinds of endpoints. A pod on the host's network is a host, as no policy selects it.
HOST, NETWORK, DOMAIN = "host", "network", "domain"


class Term(t.NamedTuple):
    """A condition on an endpoint.

    :param operator: ``all``, ``any`` and ``not`` of the parts; ``kind``, ``in`` (a namespace), ``named`` (a service
        account), ``net`` (an address in a network), ``domain`` of the values; ``family`` (of the addresses in use); else
        an operator on the label ``key`` of what ``scope`` says: In, NotIn, Exists, DoesNotExist, Contains, StartsWith,
        EndsWith.
    """

    operator: str
    parts: t.Tuple[t.Any, ...] = ()
    scope: str = ""
    key: str = ""
    values: t.FrozenSet[str] = frozenset()


ANYBODY = Term("all")
NOBODY = Term("any")


def every(*parts: Term) -> Term:
    """Those that meet all of the terms."""
    kept = [part for part in parts if part != ANYBODY]
    return kept[0] if len(kept) == 1 else Term("all", tuple(kept))


def either(*parts: Term) -> Term:
    """Those that meet one of the terms."""
    return parts[0] if len(parts) == 1 else Term("any", tuple(parts))


def negation(part: Term) -> Term:
    """Those that do not meet a term."""
    return Term("not", (part,))


def label(scope: str, key: str, operator: str, *values: str) -> Term:
    """Those whose label is so."""
    return Term(operator, scope=scope, key=key, values=frozenset(values))


def of_kind(*kinds: str) -> Term:
    return Term("kind", values=frozenset(kinds))


def in_namespace(name: str) -> Term:
    """The pods of a namespace."""
    return Term("in", values=frozenset((name,)))


def account(*names: str) -> Term:
    """The pods of service accounts of these names."""
    return Term("named", values=frozenset(names))


def net(cidr: str, excepted: t.Iterable[str] = ()) -> Term:
    """Those with an address in a network, and not in the excepted parts of it."""
    inside = Term("net", values=frozenset((cidr,)))
    outside = [negation(Term("net", values=frozenset((part,)))) for part in excepted]
    return every(inside, *outside)


def domain(pattern: str) -> Term:
    """What goes by a name; ``*`` is any characters of one part of it, ``**`` of any."""
    return Term("domain", values=frozenset((pattern.rstrip(".").lower(),)))


def family(version: int) -> Term:
    """Everybody, while flows of this version of IP are judged."""
    return Term("family", values=frozenset((str(version),)))


def selected(scope: str, selector: t.Optional[Fields]) -> Term:
    """Those that a LabelSelector selects by the labels of what ``scope`` says."""
    return labelled(scope, requirements(selector))


def labelled(scope: str, wanted: Requirements) -> Term:
    return every(*(Term(operator, (), scope, key, values) for key, operator, values in wanted))


def space_marks(name: str) -> t.Dict[str, str]:
    """The labels that a namespace has by its name."""
    return {NAMESPACE_NAME: name, "projectcalico.org/name": name}


def holds(operator: str, wanted: t.FrozenSet[str], value: t.Optional[str]) -> bool:
    """Whether an operator is met by a label's value, None where there is no such label."""
    if operator in ("In", "NotIn"):
        return (value in wanted) == (operator == "In")
    if operator in ("Exists", "DoesNotExist"):
        return (value is not None) == (operator == "Exists")
    if value is None:
        return False
    test = {"Contains": str.__contains__, "StartsWith": str.startswith, "EndsWith": str.endswith}[operator]
    return any(test(value, part) for part in wanted)


def met(term: Term, labels: t.Mapping[str, t.Mapping[str, str]]) -> bool:
    """Whether labels, by what they are of, meet a term that is about labels alone."""
    if term.operator in ("all", "any"):
        return (all if term.operator == "all" else any)(met(part, labels) for part in term.parts)
    if term.operator == "not":
        return not met(term.parts[0], labels)
    return holds(term.operator, term.values, labels.get(term.scope, {}).get(term.key))


def leaves(term: Term) -> t.Iterator[Term]:
    """The terms within a term that have no parts."""
    if term.parts:
        for part in term.parts:
            yield from leaves(part)
    else:
        yield term
