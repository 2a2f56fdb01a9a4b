# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module of the node half does, once: options -> files -> plan -> check -> change -> result."""

from __future__ import annotations

import contextlib
import datetime
import shutil
import typing as t
from dataclasses import dataclass, field

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError, Problem
from ansible_collections.hardened.k8s.plugins.module_utils.findings import (
    ACCEPT_SPEC,
    STAGES,
    Finding,
    parse_acceptances,
    settle,
)
from ansible_collections.hardened.k8s.plugins.module_utils.node import change
from ansible_collections.hardened.k8s.plugins.module_utils.node.change import Effect
from ansible_collections.hardened.k8s.plugins.module_utils.node.files import File, Step, plan
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

Spec = t.Dict[str, t.Any]
Params = t.Mapping[str, t.Any]


def options(owner: str) -> Spec:
    """What all of them take.

    :param owner: the default, the module's own name.
    """
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "owner": {"type": "str", "default": owner},
        "health_timeout": {"type": "int", "default": 120},
    }


#: What those take that go by stages.
STAGED: Spec = {
    "stage": {"type": "str", "choices": list(STAGES), "default": "enforce"},
    "accept": {"type": "list", "elements": "dict", "options": ACCEPT_SPEC, "default": []},
}


@dataclass
class Wanted:
    """A node as it is declared.

    :param check: has whoever reads the files judge them before they are written; called when any is to be.
    :param effect: how steps take effect; those of :func:`plan`, in its order. Asked after the check.
    :param differs: what is not as declared besides files, in words, for the result and its diff.
    :param hold: the change is put back after so many seconds unless a call with ``confirm`` comes in; 0: it stays.
    :param scratch: folders that go at the end, however it comes.
    :param after: done at the end, where nothing has failed; never in check mode. It may still find problems.
    """

    files: t.List[File] = field(default_factory=list)
    check: t.Optional[t.Callable[[], None]] = None
    effect: t.Callable[[t.Sequence[Step]], Effect] = lambda _steps: Effect()
    differs: t.List[str] = field(default_factory=list)
    hold: float = 0.0
    scratch: t.List[str] = field(default_factory=list)
    after: t.Optional[t.Callable[[], None]] = None
    problems: t.List[Problem] = field(default_factory=list)
    findings: t.List[Finding] = field(default_factory=list)
    result: t.Dict[str, t.Any] = field(default_factory=dict)

    def problem(self, item: str, error: HardenedError) -> None:
        self.problems.append(Problem(item, error.message, error.remedy))


Declare = t.Callable[[Node, Params], Wanted]


def run(spec: Spec, declare: Declare, **rules: t.Any) -> None:
    """A module's main: never returns normally, as Ansible's modules end in exit_json or fail_json.

    :param rules: further ones for the options, such as ``required_if``.
    """
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, **rules)
    node = Node()
    try:
        # check mode touches nothing, not even a lock
        with contextlib.nullcontext() if module.check_mode else node.alone():
            recovered, confirms = False, module.params.get("confirm") and not module.check_mode
            if confirms:
                change.held(node)
            else:
                recovered = change.pending(node) if module.check_mode else change.recover(node)
            wanted = declare(node, module.params)
            try:
                result = _carried_out(module, node, wanted, confirms)
            finally:
                for folder in wanted.scratch:
                    shutil.rmtree(folder, ignore_errors=True)
    except HardenedError as error:
        module.fail_json(msg=str(error))
    except PermissionError as error:
        module.fail_json(msg=f"{error}. Set become: true, as a node is changed by root.")
    except (OSError, ValueError) as error:
        # of what was read: a folder where a file belongs, a text that is none
        module.fail_json(msg=f"{type(error).__name__}: {error}. Correct what it is about, and run again.")
    if recovered:
        module.warn("an earlier run was ended half-way; what it had done was put back first")
    result["recovered"] = recovered
    if module.params.get("stage") == "warn":
        for finding in result["findings"]:
            module.warn(f"{finding['rule']}: {finding['name']}: {finding['message']}")
    if result["problems"]:
        module.fail_json(msg="\n".join(str(problem) for problem in result["problems"][:12]), **_plain(result))
    module.exit_json(**_plain(result))


def _carried_out(module: AnsibleModule, node: Node, wanted: Wanted, confirms: bool) -> t.Dict[str, t.Any]:
    """:param confirms: whether there is a change to confirm; it is put back at once where anything is refused."""
    wanted.findings = _settled(module.params, wanted)
    wanted.problems += [finding.refusal(str(finding.ref)) for finding in wanted.findings if finding.refused]
    steps = plan(node, wanted.files)
    if steps and wanted.check and not wanted.problems:
        wanted.check()
    effect = wanted.effect(steps) if steps or wanted.differs else Effect()
    # what is refused is not done, and so is no change
    done = not wanted.problems
    if confirms and done:
        change.confirm(node)
    elif confirms:
        change.recover(node)
        wanted.problem("the change that was to be confirmed", HardenedError("it was put back", "See above"))
    if done and not module.check_mode:
        if steps or effect.do:
            # whoever confirms has come in a moment ago
            hold = 0.0 if confirms else wanted.hold
            change.apply(node, steps, effect, module.params["health_timeout"], hold)
            wanted.result.update({"pending": True} if hold else {})
        if wanted.after:
            wanted.after()
    result: t.Dict[str, t.Any] = {
        **wanted.result,
        "changed": bool(steps or wanted.differs) and done,
        "files": [step.as_dict() for step in steps],
        "restarted": effect.restarts if done else [],
        "findings": [finding.as_dict() for finding in wanted.findings],
        "problems": wanted.problems,
    }
    if module._diff:
        result["diff"] = [step.diff() for step in steps]
        if wanted.differs:
            result["diff"].append({"prepared": "".join(f"{line}\n" for line in wanted.differs)})
    return result


def _settled(params: Params, wanted: Wanted) -> t.List[Finding]:
    """Findings decided by what is accepted, and by the stage."""
    accepted, problems = parse_acceptances(params.get("accept") or (), "accept", datetime.date.today())
    wanted.problems += problems
    stage = params.get("stage") or "enforce"
    return settle(wanted.findings, accepted, lambda _ref: str(stage))


def _plain(result: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    return {**result, "problems": [problem.as_dict() for problem in result["problems"]]}
