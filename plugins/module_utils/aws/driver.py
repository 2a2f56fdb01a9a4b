# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every AWS module does, once: read the items, check, plan, look ahead, apply, report."""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import dataclass, field

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardened.k8s.plugins.module_utils import arguments
from ansible_collections.hardened.k8s.plugins.module_utils.aws.client import Aws, AwsError
from ansible_collections.hardened.k8s.plugins.module_utils.aws.steps import REFUSED, UNCHANGED, Step
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError, ItemError, Problem, summary
from ansible_collections.hardened.k8s.plugins.module_utils.findings import (
    ACCEPT_SPEC,
    Acceptance,
    Finding,
    Ref,
    parse_acceptances,
    settle,
    unused,
)

_Item = t.Dict[str, t.Any]


@dataclass
class Outcome:
    """What planning came to.

    :param stages: the stage under which a resource is declared.
    """

    steps: t.List[Step] = field(default_factory=list)
    findings: t.List[Finding] = field(default_factory=list)
    problems: t.List[Problem] = field(default_factory=list)
    stages: t.Dict[Ref, str] = field(default_factory=dict)

    def problem(self, where: str, reason: str, remedy: str = "", ref: t.Optional[Ref] = None) -> None:
        self.problems.append(Problem(where, reason, remedy, *(ref or ("", "", ""))))

    def attempt(self, where: str, ref: Ref, build: t.Callable[[], t.Any]) -> t.Any:
        """What an item becomes, or None when it is wrong; then the others go on."""
        try:
            return build()
        except ItemError as error:
            self.problem(where, error.reason, error.remedy, ref)
            return None


class Runner(t.Protocol):
    """A module's own part."""

    def plan(self, outcome: Outcome, items: t.Mapping[str, t.List[t.Tuple[_Item, str]]]) -> None:
        """Read what is there, and add steps and findings; items by option, each with its place in the input."""

    def execute(self, steps: t.Sequence[Step]) -> None:
        """Carry out the steps."""


@dataclass(frozen=True)
class Topic:
    """A module.

    :param items: option -> argument spec of one item.
    :param options: what else the module takes, the shared options included.
    :param runner: its own part.
    :param unique: option -> the field that tells its items apart.
    """

    items: t.Mapping[str, arguments.Spec]
    options: arguments.Spec
    runner: t.Callable[[Aws, t.Mapping[str, t.Any]], Runner]
    unique: t.Mapping[str, str]

    def argument_spec(self) -> arguments.Spec:
        one = len(self.items) == 1
        lists: arguments.Spec = {
            option: {"type": "list", "elements": "dict", **({"required": True} if one else {"default": []})}
            for option in self.items
        }
        return {**self.options, **lists}


def run(topic: Topic) -> None:
    """A module's main: never returns normally, as Ansible's modules end in exit_json or fail_json."""
    module = AnsibleModule(argument_spec=topic.argument_spec(), supports_check_mode=True)
    try:
        result, problems = _run(topic, module)
    except HardenedError as error:
        module.fail_json(msg=str(error))
    except AwsError as error:
        module.fail_json(msg=str(HardenedError(error.message, error.remedy)))
    # the declaration is not sent back: it is long, and who wrote it has it
    echoed = [name for name in ("state", "stage", "workers", "owner", "prune") if name in module.params]
    result["invocation"] = {"module_args": {name: module.params[name] for name in echoed}}
    if problems:
        module.fail_json(msg=summary(problems), problems=[problem.as_dict() for problem in problems], **result)
    module.exit_json(**result)


def _run(topic: Topic, module: AnsibleModule) -> t.Tuple[t.Dict[str, t.Any], t.List[Problem]]:
    params = module.params
    if params["workers"] < 1:
        raise HardenedError("workers must be at least 1", "Leave it out for 8")
    outcome = Outcome()
    acceptances = _acceptances(outcome, params["accept"])
    items = {option: list(_items(topic, option, params[option], outcome)) for option in topic.items}
    aws = Aws(params, params["workers"])
    runner = topic.runner(aws, params)
    runner.plan(outcome, items)
    findings = _settled(outcome, acceptances, params)
    for finding in findings:
        _refuse(outcome, finding)
    if not module.check_mode:
        runner.execute(outcome.steps)
    problems = outcome.problems + [step.problem for step in outcome.steps if step.problem]
    result: t.Dict[str, t.Any] = {
        "changed": any(step.changed for step in outcome.steps),
        "objects": [step.as_dict() for step in outcome.steps],
        "findings": [finding.as_dict() for finding in findings],
    }
    if module._diff:
        result["diff"] = [step.diff() for step in outcome.steps if step.changed]
    if params.get("debug_botocore_endpoint_logs"):
        result["resource_actions"] = sorted(set(aws.sent))
    return result, problems


def _items(topic: Topic, option: str, entries: t.Sequence[_Item], outcome: Outcome) -> t.Iterator[t.Tuple[_Item, str]]:
    """The items that are right, each with its place; of the others it is told what is wrong."""
    checker = arguments.ItemChecker(topic.items[option])
    key = topic.unique[option]
    seen: t.Dict[t.Any, str] = {}
    for index, raw in enumerate(entries):
        label = raw.get(key)
        where = f"{option}[{index}]{f' ({label})' if label else ''}"
        item, errors = checker.check(raw)
        for text in errors:
            outcome.problem(where, text, "Compare with the options in the module's documentation")
        if errors:
            continue
        first = seen.setdefault(str(item.get(key)), where)
        if first != where:
            outcome.problem(where, f"declared twice, here and at {first}", "Merge the two entries, or rename one")
            continue
        yield item, where


def _acceptances(outcome: Outcome, entries: t.Sequence[_Item]) -> t.List[Acceptance]:
    checker = arguments.ItemChecker(ACCEPT_SPEC)
    checked = []
    for index, raw in enumerate(entries):
        item, errors = checker.check(raw)
        for text in errors:
            outcome.problem(f"accept[{index}]", text, "An acceptance has rule, reason and expires")
        if not errors:
            checked.append(item)
    accepted, problems = parse_acceptances(checked, "accept", datetime.date.today())
    outcome.problems += problems
    return accepted


def _settled(outcome: Outcome, acceptances: t.Sequence[Acceptance], params: t.Mapping[str, t.Any]) -> t.List[Finding]:
    settled = settle(outcome.findings, acceptances, lambda ref: outcome.stages.get(ref, params["stage"]))
    if params.get("state") == "absent" or outcome.problems:
        return settled
    return settled + unused(acceptances, settled)


def _refuse(outcome: Outcome, finding: Finding) -> None:
    """Withhold the resource of a refused finding; one that is as declared already is only reported."""
    for step in outcome.steps:
        if finding.refused and step.ref == finding.ref and step.action not in (UNCHANGED, REFUSED):
            step.stop(finding.refusal(step.where), REFUSED)
