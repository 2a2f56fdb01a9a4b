# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module of the API half does, once: options -> objects -> plan -> findings -> writes -> result."""

from __future__ import annotations

import datetime
import functools
import typing as t
from dataclasses import dataclass, field

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardened.k8s.plugins.module_utils import arguments
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.observed import LOG_SPEC, Flow, parse
from ansible_collections.hardened.k8s.plugins.module_utils.cluster import flows as cluster_flows
from ansible_collections.hardened.k8s.plugins.module_utils.cluster import rights
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Api
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.forecast import HEADER, Forecast
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.preflight import (
    RBAC_KINDS,
    Preflight,
    rendered_findings,
)
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.reconcile import Plan, is_protected, make_plan
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.resources import KINDS
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError, ItemError, Problem, summary
from ansible_collections.hardened.k8s.plugins.module_utils.findings import (
    ACCEPT_SPEC,
    Finding,
    Ref,
    parse_acceptances,
    settle,
    unused,
)
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import network_cluster
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import (
    Context,
    Declaration,
    ref_of,
)

Declare = t.Callable[[t.Mapping[str, t.Any], str, Context], Declaration]

#: Kinds that take something away; rights are judged by their risk instead.
_RESTRICTING = (
    *("Namespace", "ResourceQuota", "LimitRange", "NetworkPolicy"),
    *("NetworkPolicy.projectcalico.org", "CiliumNetworkPolicy"),
)
#: The option of modules that write network policies.
OBSERVED: arguments.Spec = {"observed": {"type": "list", "elements": "dict", "default": [], "options": LOG_SPEC}}
_ECHOED = ("state", "stage", "owner", "prune", "allow_system", "force_conflicts", "workers", "wait_timeout")


@dataclass(frozen=True)
class Topic:
    """A module: which lists it takes, what one item may say, how items become objects.

    :param items: option -> (argument spec of one item, function that declares it).
    :param kinds: what the module writes, and so what prune may remove.
    :param unique: options whose items are told apart by these fields; two alike are a mistake.
    :param options: options of this module alone.
    :param expand: completes an item before it is checked (profiles).
    """

    module: str
    items: t.Mapping[str, t.Tuple[arguments.Spec, Declare]]
    kinds: t.Tuple[str, ...]
    unique: t.Mapping[str, t.Tuple[str, ...]] = field(default_factory=dict)
    options: arguments.Spec = field(default_factory=dict)
    expand: t.Optional[t.Callable[[t.Mapping[str, t.Any], t.Mapping[str, t.Any]], t.Dict[str, t.Any]]] = None

    def argument_spec(self) -> arguments.Spec:
        lists = {
            option: {"type": "list", "elements": "dict", "required": len(self.items) == 1} for option in self.items
        }
        return {**arguments.harden(self.module), **self.options, **lists}


def run(topic: Topic) -> None:
    """A module's main: never returns normally, as Ansible's modules end in exit_json or fail_json."""
    module = AnsibleModule(argument_spec=topic.argument_spec(), supports_check_mode=True)
    options = arguments.connection(module.params)
    module.no_log_values = arguments.secrets(options)
    try:
        result, problems = Call(topic, module, options).run()
    except HardenedError as error:
        module.fail_json(msg=str(error))
    for text in sorted({text for item in result.get("objects", ()) for text in item.get("warnings", ())}):
        module.warn(text)
    # the declaration is not sent back: it is long, and who wrote it has it
    result["invocation"] = {"module_args": {k: module.params[k] for k in _ECHOED}}
    if problems:
        module.fail_json(msg=summary(problems), problems=[problem.as_dict() for problem in problems], **result)
    module.exit_json(**result)


class Call:
    """One run of a module."""

    def __init__(self, topic: Topic, module: AnsibleModule, options: t.Mapping[str, t.Any]) -> None:
        self.topic = topic
        self.module = module
        self.options = options
        self.params: t.Dict[str, t.Any] = module.params
        self.today = datetime.date.today()

    def run(self) -> t.Tuple[t.Dict[str, t.Any], t.List[Problem]]:
        """The module's result, and what went wrong in it."""
        if self.params["workers"] < 1:
            raise HardenedError("workers must be at least 1", "Leave it out for 8")
        if self.params["state"] == "rendered":
            return self.render()
        api = Api(self.options, self.params["workers"])
        served = functools.lru_cache(maxsize=None)(lambda: cluster_flows.served(api))
        declaration = self.declare(self.context(api.minor(), served))
        self.guard(declaration, api.own_namespace())
        return self.apply(api, declaration)

    # -- options -> objects

    def context(self, minor: t.Optional[int], served: t.Optional[t.Callable[[], t.Collection[str]]] = None) -> Context:
        return Context(
            self.params["stage"],
            minor,
            served,
            allow_system=tuple(self.params["allow_system"]),
            today=self.today,
            static=bool(self.params.get("static")),
        )

    def declare(self, context: Context) -> Declaration:
        declaration = Declaration()
        self._accept(declaration, self.params["accept"], "accept", "")
        for option, (spec, declare) in self.topic.items.items():
            checker = arguments.ItemChecker(spec)
            seen: t.Dict[t.Tuple[t.Any, ...], str] = {}
            for index, raw in enumerate(self.params[option] or ()):
                where = f"{option}[{index}]{_label(raw)}"
                item = self._check(declaration, checker, raw, where)
                if item is None or self._twice(declaration, option, item, where, seen):
                    continue
                own = item.get("name", "") if self.topic.expand else ""
                self._accept(declaration, item.pop("accept", ()), f"{where}.accept", own)
                declaration.merge(declare(item, where, context))
        return declaration

    def _check(
        self, declaration: Declaration, checker: arguments.ItemChecker, raw: t.Dict[str, t.Any], where: str
    ) -> t.Optional[t.Dict[str, t.Any]]:
        if self.topic.expand:
            try:
                raw = self.topic.expand(raw, self.params)
            except HardenedError as error:
                declaration.problem(where, error.message, error.remedy)
                return None
        item, errors = checker.check(raw)
        for text in errors:
            declaration.problem(where, text, "Compare with the options in the module's documentation")
        return None if errors else item

    def _twice(
        self,
        declaration: Declaration,
        option: str,
        item: t.Mapping[str, t.Any],
        where: str,
        seen: t.Dict[t.Tuple[t.Any, ...], str],
    ) -> bool:
        fields = self.topic.unique.get(option)
        if not fields:
            return False
        identity = tuple(item.get(name) for name in fields)
        first = seen.setdefault(identity, where)
        if first == where:
            return False
        declaration.problem(where, f"declared twice, here and at {first}", "Merge the two entries, or rename one")
        return True

    def _accept(
        self, declaration: Declaration, items: t.Iterable[t.Dict[str, t.Any]], where: str, namespace: str
    ) -> None:
        checker = arguments.ItemChecker(ACCEPT_SPEC)
        checked = []
        for index, raw in enumerate(items):
            item, errors = checker.check(raw)
            for text in errors:
                declaration.problem(f"{where}[{index}]", text, "An acceptance has rule, reason and expires")
            if not errors:
                checked.append(item)
        accepted, problems = parse_acceptances(checked, where, self.today, namespace)
        declaration.acceptances += accepted
        declaration.problems += problems

    def guard(self, declaration: Declaration, own: str) -> None:
        """Keep away from the namespaces that the cluster and this very call live in, unless they are named."""
        allowed = set(self.params["allow_system"])

        def is_system(space: str) -> bool:
            return is_protected(space) or space in network_cluster.SYSTEM

        def stays(ref: Ref) -> bool:
            space = ref.name if ref.kind == "Namespace" else ref.namespace
            if ref.kind not in _RESTRICTING and ref[::2] != ("ServiceAccount", "default"):
                return True
            if space in allowed or not (is_system(space) or (own and space == own)):
                return True
            why = "the namespace that this call itself runs in" if space == own else "a namespace of the cluster itself"
            declaration.problem(
                declaration.where[ref],
                f"{ref} would restrict or remove {space}, {why}",
                f"Leave it out, or name it in allow_system: [{space}]",
                ref,
            )
            return False

        declaration.objects = [item for item in declaration.objects if stays(ref_of(item))]
        declaration.withdrawn = [
            ref for ref in declaration.withdrawn if ref.namespace in allowed or not is_system(ref.namespace)
        ]

    # -- objects -> result

    def render(self) -> t.Tuple[t.Dict[str, t.Any], t.List[Problem]]:
        """The manifests, without a cluster."""
        declaration = self.declare(self.context(None))
        self.guard(declaration, "")
        findings = self.settled(declaration, [*declaration.findings, *rendered_findings(declaration)], {})
        refused = {finding.ref for finding in findings if finding.refused}
        problems = declaration.problems + [
            f.refusal(declaration.where.get(f.ref, str(f.ref))) for f in findings if f.refused
        ]
        manifests = [item for item in declaration.objects if ref_of(item) not in refused]
        return {
            "changed": False,
            "manifests": manifests,
            "findings": [finding.as_dict() for finding in findings],
        }, problems

    def settled(
        self, declaration: Declaration, findings: t.Iterable[Finding], always: t.Mapping[Ref, str]
    ) -> t.List[Finding]:
        """Findings decided by acceptance and stage, and acceptances that nothing needs."""
        stages = {**declaration.stages, **always}
        settled = settle(findings, declaration.acceptances, lambda ref: stages.get(ref, self.params["stage"]))
        if self.params["state"] != "absent" and not declaration.problems:
            settled += unused(declaration.acceptances, settled)
        return settled

    def apply(self, api: Api, declaration: Declaration) -> t.Tuple[t.Dict[str, t.Any], t.List[Problem]]:
        force, absent = self.params["force_conflicts"], self.params["state"] == "absent"
        prune = self.params["prune"] and not absent
        problems = list(declaration.problems)
        if prune and problems:
            # what could not be read would look as if it were no longer wanted
            problems.append(Problem("prune", "nothing is pruned while other items fail", "Correct them and run again"))
            prune = False
        plan = make_plan(
            api,
            declaration,
            kinds=self.kinds(api) if prune else self.topic.kinds,
            owner=self.params["owner"],
            state=self.params["state"],
            prune=prune,
            force=force,
        )
        forecast = Forecast(api, plan)
        found = (
            [] if absent else [*declaration.findings, *Preflight(plan, declaration, self.module.check_mode).findings()]
        )
        found += [] if absent else forecast.cuts(self.observed(problems))
        pruned = {step.ref: "enforce" for step in plan.steps if step.where == "prune"}
        findings = [plan.refuse(finding) for finding in self.settled(declaration, found, pruned)]
        flows = self.flows_diff(forecast) if self.module._diff else []
        plan.execute(self.module.check_mode, force, self.params["wait_timeout"])
        problems += [step.problem for step in plan.steps if step.problem]
        result: t.Dict[str, t.Any] = {
            "changed": any(step.changed for step in plan.steps),
            "objects": [step.as_dict() for step in plan.steps],
            "findings": [finding.as_dict() for finding in findings],
        }
        if self.module._diff:
            result["diff"] = [*(step.diff() for step in plan.steps if step.changed), *flows]
        if declaration.expectations and not absent:
            result["expectations"], failed = self.ask(api, plan, declaration)
            problems += failed
        return result, problems

    def observed(self, problems: t.List[Problem]) -> t.List[Flow]:
        """The flows that were seen, where the module takes them; a log that cannot be read is a problem."""
        flows: t.List[Flow] = []
        for index, log in enumerate(self.params.get("observed") or ()):
            try:
                flows += parse(log["format"], log["log"])
            except ItemError as error:
                problems.append(Problem(f"observed[{index}]", error.reason, error.remedy))
        return list(dict.fromkeys(flows))

    def flows_diff(self, forecast: Forecast) -> t.List[t.Dict[str, str]]:
        """What is opened and closed; to say so takes rights to read that writing does without."""
        try:
            return forecast.diff()
        except HardenedError as error:
            return [
                {"header": HEADER, "prepared": f"which flows this opens and closes is not known: {error.message}\n"}
            ]

    def kinds(self, api: Api) -> t.List[str]:
        """The kinds that this module writes, and that the cluster serves."""
        extensions = any(KINDS[kind].extension for kind in self.topic.kinds)
        served = cluster_flows.served(api) if extensions else ()
        return [kind for kind in self.topic.kinds if not KINDS[kind].extension or KINDS[kind].api_version in served]

    def ask(
        self, api: Api, plan: Plan, declaration: Declaration
    ) -> t.Tuple[t.List[t.Dict[str, t.Any]], t.List[Problem]]:
        """Expected rights, asked of the server; not before the rights are there, so not in a check run that adds some."""
        pending = self.module.check_mode and any(step.ref.kind in RBAC_KINDS and step.changed for step in plan.steps)
        answers: t.List[t.Optional[Problem]] = []
        if not pending:
            answers = rights.ask(api, declaration.expectations)
        reported = [
            {
                "where": expectation.where,
                "expected": rights.sentence(expectation, expectation.allowed),
                "holds": None if pending else answers[index] is None,
            }
            for index, expectation in enumerate(declaration.expectations)
        ]
        return reported, [problem for problem in answers if problem]


def _label(item: t.Mapping[str, t.Any]) -> str:
    name = item.get("name") or item.get("namespace")
    return f" ({name})" if name else ""
