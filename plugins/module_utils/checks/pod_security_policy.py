# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a pod security policy says of pods, without an API server: its own expressions, evaluated here."""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks import cel
from ansible_collections.hardened.k8s.plugins.module_utils.checks.pod_security import Judge, Wrong, alike
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import pod_security_policy as policies
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.cel import Verdict, fine
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.pod_security_rules import NEWEST

_Object = t.Mapping[str, t.Any]
_Expression = t.Callable[[t.Any], t.Any]

#: The options of a policy that say what a pod may ask for.
SPEC: t.Dict[str, t.Any] = {option: policies.SPEC[option] for option in (*policies.RULES_SPEC, "any_of", "mutate")}


def by_policy(item: _Object, minor: t.Optional[int]) -> Judge:
    """What is wrong with a pod; of several alternatives, with the one that is least wrong.

    :param minor: the API server's minor version; None for the newest.
    :raises ItemError: the options contradict each other.
    """
    server = minor or NEWEST
    mutate = item.get("mutate", server >= policies.MUTATING_SINCE)
    kind = "remaining" if mutate else "violations"
    alternatives = [
        _Rules([(rule.name, getattr(rule, kind)) for rule in alternative.rules])
        for alternative in policies.alternatives({"name": "policy", **item}, server)
    ]
    known: t.Dict[bytes, Wrong] = {}

    def judge(metadata: _Object, spec: _Object) -> Wrong:
        annotations = metadata.get("annotations") or {}
        key = alike(spec, annotations)
        if key not in known:
            known[key] = min((rules.wrong(spec, annotations) for rules in alternatives), key=len)
        return known[key]

    return judge


class _Rules:
    """The rules of one policy."""

    def __init__(self, verdicts: t.Sequence[t.Tuple[str, Verdict]]) -> None:
        self._fine = cel.compiled(fine(*(verdict for _name, verdict in verdicts)))
        self._wrong = [(name, cel.compiled(verdict.wrong)) for name, verdict in verdicts]

    def wrong(self, spec: _Object, annotations: _Object) -> Wrong:
        """What is wrong with a pod, by rule."""
        linux = (spec.get("os") or {}).get("name", "linux") != "windows"
        scope = {"variables": {"spec": spec, "annotations": annotations, "linux": linux}}
        if self._fine(scope):
            return []
        said = [(name, expression(scope)) for name, expression in self._wrong]
        return [(name, "; ".join(texts), tuple(texts)) for name, texts in said if texts]


class Stored:
    """A policy as the API server has it: the one that judges templates, which knows what defaults will mend.

    :param manifest: the ValidatingAdmissionPolicy; :param today: decides which exceptions hold.
    """

    def __init__(self, manifest: _Object, today: str) -> None:
        spec = manifest["spec"]
        self._name = str(manifest["metadata"]["name"]).partition(".")[0]
        self._made = f"{today}T00:00:00Z"
        self._variables = {v["name"]: cel.compiled(v["expression"]) for v in spec["variables"]}
        conditions = spec.get("matchConditions") or ()
        self._conditions = [cel.compiled(condition["expression"]) for condition in conditions]
        last = spec["validations"][-1]
        self._passes, self._said = cel.compiled(last["expression"]), cel.compiled(last["messageExpression"])
        self._known: t.Dict[bytes, Wrong] = {}

    def judge(self, namespace: str) -> Judge:
        """What it says of pods in a namespace."""

        def judge(metadata: _Object, spec: _Object) -> Wrong:
            shown = {key: metadata.get(key) or {} for key in ("labels", "annotations")}
            key = alike(spec, namespace, shown)
            if key not in self._known:
                self._known[key] = self._wrong(namespace, shown, spec)
            return self._known[key]

        return judge

    def _wrong(self, namespace: str, metadata: _Object, spec: _Object) -> Wrong:
        template = {"metadata": metadata, "spec": spec}
        workload = {"metadata": {"creationTimestamp": self._made}, "spec": {"template": template}}
        scope: t.Dict[str, t.Any] = {
            "object": workload,
            "request": {"operation": "CREATE", "namespace": namespace},
        }
        scope["variables"] = _Variables(self._variables, scope)
        if not all(condition(scope) for condition in self._conditions) or self._passes(scope):
            return []
        said = str(self._said(scope))
        return [(f"pod security policy {self._name}", said, (said,))]


class _Variables(t.Dict[str, t.Any]):
    """The variables of a policy, each evaluated when it is first asked for."""

    def __init__(self, expressions: t.Mapping[str, _Expression], scope: t.Dict[str, t.Any]) -> None:
        super().__init__()
        self._expressions, self._scope = expressions, scope

    def get(self, name: str, default: t.Any = None) -> t.Any:
        return self[name] if name in self._expressions else default

    def __missing__(self, name: str) -> t.Any:
        self[name] = self._expressions[name](self._scope)
        return self[name]
