# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Seccomp profiles as declared, beside those that a node has: what is to be done, and what is worth knowing."""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.node import api, audit, kubelet, pods, seccomp
from ansible_collections.hardened.k8s.plugins.module_utils.node.files import File
from ansible_collections.hardened.k8s.plugins.module_utils.node.module import Params, Wanted
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

_FOLDER = "k8s"
_OWNER = "of hardened.k8s"
#: In a file of ours beside its content: what somebody declared to be changed in a base.
_CHANGES = "changes"
_KIND = "SeccompProfile"
_SHOWN = 12
#: What the kernel writes down when a filter lets a system call through and wants it logged.
_LOGGED = "code=0x7ffc0000"


@dataclass(frozen=True)
class Declared:
    """A profile, with the name by which pods ask for it.

    :param changes: of a base, for one that is made of it, and so is another one after an upgrade of the runtime.
    :param named: system calls of which somebody wrote the names; what the runtime's own has is no mistake.
    """

    where: str
    name: str
    version: int
    content: seccomp.Profile
    learning: bool
    changes: t.Optional[t.Dict[str, t.Any]]
    named: t.FrozenSet[str]

    def text(self, owner: str) -> str:
        content = seccomp.learning(self.content) if self.learning else self.content
        made = {} if self.changes is None else {_CHANGES: self.changes}
        return json.dumps({_OWNER: owner, **made, **content}, indent=1) + "\n"

    def is_edited(self, there: str) -> bool:
        """Whether a file with its name has another profile; of one that is made of a base, by what is declared."""
        content, changes = _parsed(there)
        if self.changes is None:
            return content not in (self.content, seccomp.learning(self.content))
        return changes is not None and changes != self.changes


def declare(node: Node, params: Params) -> Wanted:
    """A node with these profiles."""
    wanted = Wanted()
    items = params["profiles"] if params["state"] == "present" else []
    if items and "seccomp" not in " ".join(node.names("/proc/sys/kernel")):
        raise HardenedError("seccomp cannot be enforced here: this kernel does not have it", "Use one that has it")
    profiles = _profiles(node, items, params["stage"], wanted)
    if not wanted.problems:
        _Plan(node, profiles, params, wanted).make()
    return wanted


def _profiles(node: Node, items: t.Sequence[Params], stage: str, wanted: Wanted) -> t.Dict[str, Declared]:
    found: t.Dict[str, Declared] = {}
    bases: t.Dict[str, seccomp.Profile] = {}
    for index, item in enumerate(items):
        where = f"profiles[{index}] ({item['name']})"
        reasons = seccomp.wrong(item["profile"]) if item["profile"] is not None else []
        for reason in reasons:
            wanted.problem(where, HardenedError(reason, "Correct the profile"))
        if reasons:
            continue
        try:
            profile = _profile(node, item, where, stage, bases)
        except HardenedError as error:
            wanted.problem(where, error)
            continue
        path = f"{_FOLDER}/{profile.name}.v{profile.version}.json"
        if path in found:
            wanted.problem(where, HardenedError("declared twice", "Merge the two entries, or rename one"))
        found[path] = profile
    return found


def _profile(node: Node, item: Params, where: str, stage: str, bases: t.Dict[str, seccomp.Profile]) -> Declared:
    """:raises HardenedError: its name or its options are wrong."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", item["name"]) or item["version"] < 1:
        raise HardenedError(
            "a name has up to 40 small letters, digits and dashes, a version is at least 1", "Rename it"
        )
    changes = any(item[option] for option in ("deny", "deny_families", "allow"))
    if item["profile"] is not None and changes:
        raise HardenedError("deny, deny_families and allow change a base, not profile", "Change profile itself")
    stage = item["stage"] or stage
    content, made = item["profile"], None
    if content is None:
        base = item["base"] or "runtime_default"
        if base not in bases:
            bases[base] = seccomp.audit() if base == "audit" else seccomp.runtime_default(node)
        families = [_family(name) for name in item["deny_families"]]
        content = seccomp.without(bases[base], item["deny"], families, item["allow"])
        named = {*item["deny"], *item["allow"]} - seccomp.names(bases[base])
        made = {"base": base, "deny_families": sorted(families)}
        made.update({option: sorted(set(item[option])) for option in ("deny", "allow")})
    else:
        named = seccomp.names(content)
    return Declared(where, item["name"], item["version"], content, stage != "enforce", made, frozenset(named))


def _family(name: str) -> int:
    """:raises HardenedError: there is none of that name."""
    if name in seccomp.FAMILIES:
        return seccomp.FAMILIES[name]
    if name.isdigit():
        return int(name)
    raise HardenedError(
        f"there is no family of sockets {name}", f"Write its number, or one of {', '.join(seccomp.FAMILIES)}"
    )


class _Plan:
    """What :func:`declare` finds out about one node."""

    def __init__(self, node: Node, profiles: t.Mapping[str, Declared], params: Params, wanted: Wanted) -> None:
        self.node, self.params, self.wanted, self.profiles = node, params, wanted, profiles
        self.folder = f"{kubelet.root_dir(node)}/seccomp"
        self.library = seccomp.Library()
        self.processes = pods.processes(node)
        self.pods = self._pods()
        self.known = {**pods.names(node), **{api.uid(pod): pods.place(pod) for pod in self.pods or ()}}
        self.texts = {path: profile.text(params["owner"]) for path, profile in profiles.items()}
        self.before = self._owned()

    def _pods(self) -> t.Optional[t.List[t.Dict[str, t.Any]]]:
        """This node's; None when the API server cannot be asked, and nothing on a machine that runs no pod."""
        try:
            server = api.Api(self.node)
        except HardenedError:
            return None if self.processes else []
        try:
            return server.pods()
        except HardenedError:
            return None

    def _owned(self) -> t.Dict[str, str]:
        names = [f"{_FOLDER}/{name}" for name in self.node.names(f"{self.folder}/{_FOLDER}") if name.endswith(".json")]
        texts = {name: self.node.text(f"{self.folder}/{name}") for name in names}
        mark = f'{{\n "{_OWNER}": {json.dumps(self.params["owner"])}'
        return {name: text for name, text in texts.items() if text.startswith(mark)}

    def make(self) -> None:
        removed = self._removed()
        self.wanted.files = [File(f"{self.folder}/{path}", text) for path, text in self.texts.items()]
        self.wanted.files += [File(f"{self.folder}/{path}", None) for path in removed]
        for path, profile in self.profiles.items():
            self._refuse_edit(path, profile)
            self._refuse_unknown(path, profile)
        if self.profiles and not self.library.is_there:
            message = "there is no libseccomp on this node that could tell whether it knows the names in profiles"
            self._tell("seccomp/not-checked", "none", message, "Install libseccomp2 (libseccomp on other systems)")
        self.wanted.result["profiles"] = [
            {"name": path, "action": self._action(path)} for path in sorted({*self.texts, *removed, *self.before})
        ]
        if self.params["state"] == "present":
            self._report_unfiltered()
            self._report_missing(removed)
            self._report_logged()

    def _action(self, path: str) -> str:
        if path not in self.texts:
            return "delete" if self._is_free(path) else "keep"
        if path not in self.before:
            return "create"
        return "unchanged" if self.before[path] == self.texts[path] else "update"

    # -- what is to be done

    def _removed(self) -> t.List[str]:
        """Those that are declared no more, but for those that a pod would not start again without."""
        found = []
        for path in self.before:
            if path in self.profiles:
                continue
            if self._is_free(path):
                found.append(path)
                continue
            message = "it is no longer declared, and kept, as pods use it"
            if self.pods is None:
                message = "it is no longer declared, and kept, as the API server does not say whether pods use it"
            self._tell(
                "seccomp/still-used", path, message, "Have them use another one, then run again", self._users(path)
            )
        return found

    def _is_free(self, path: str) -> bool:
        return self.pods is not None and not self._users(path)

    def _users(self, path: str) -> t.List[str]:
        return sorted("/".join(pods.place(pod)) for pod in self.pods or () if path in _localhost(pod))

    def _refuse_edit(self, path: str, profile: Declared) -> None:
        """What differs under a name that is there already would be another filter for a pod that starts again."""
        there = self.node.text(f"{self.folder}/{path}")
        if there and path not in self.before:
            error = HardenedError(f"{self.folder}/{path} is not of owner {self.params['owner']}", "Rename the profile")
            self.wanted.problem(profile.where, error)
        elif there and profile.is_edited(there):
            self.wanted.problem(
                profile.where,
                HardenedError(
                    f"{path} is there with another content, and pods may rely on it",
                    f"Raise its version to {profile.version + 1}",
                ),
            )

    def _refuse_unknown(self, path: str, profile: Declared) -> None:
        """What libseccomp of this node does not know; an older one knows less."""
        strange = self.library.unknown_architectures(profile.content)
        if strange:
            error = HardenedError(f"libseccomp of this node does not know {', '.join(strange)}", "Leave them out")
            self.wanted.problem(profile.where, error)
        unknown = self.library.unknown(profile.named)
        if unknown:
            message = "libseccomp of this node does not know system calls of these names, and would skip them"
            self._tell("seccomp/unknown-syscall", path, message, "Correct their spelling", unknown, refuse=True)

    # -- what is worth knowing

    def _tell(
        self, rule: str, name: str, message: str, remedy: str, affected: t.Iterable[str] = (), refuse: bool = False
    ) -> None:
        self.wanted.findings.append(Finding(rule, Ref(_KIND, "", name), message, remedy, tuple(affected), refuse))

    def _name(self, uid: str) -> str:
        return "/".join(self.known[uid]) if uid in self.known else uid

    def _report_unfiltered(self) -> None:
        """Pods with a process that no filter holds, by why that is, as far as their objects say it."""
        asked = {api.uid(pod): pod for pod in self.pods or ()}
        reasons: t.Dict[str, t.Set[str]] = {}
        for process in self.processes:
            pod = asked.get(process.pod)
            if process.seccomp == 0 and not pods.is_sandbox(process, pod):
                reason = _why_unfiltered(pod, process.container)
                reasons.setdefault(reason, set()).add(self._name(process.pod))
        for reason, affected in sorted(reasons.items()):
            self._tell(reason, "none", *_UNFILTERED[reason], sorted(affected))

    def _report_missing(self, removed: t.Sequence[str]) -> None:
        for path in sorted({path for pod in self.pods or () for path in _localhost(pod)} - set(self.texts)):
            if path in removed or not self.node.exists(f"{self.folder}/{path}"):
                message = "pods of this node ask for it, and it is not there"
                self._tell("seccomp/not-there", path, message, "Declare it, or correct its name", self._users(path))

    def _report_logged(self) -> None:
        """What filters let through and logged: a reason not to deny it yet, and what a recorded profile is made of."""
        observed = {path for path, text in self.before.items() if seccomp.LOG in text and path in self.texts}
        if not observed and not self.params["record"]:
            return
        files = [f"{self.folder}/{path}" for path in observed]
        log = audit.read(self.node, _LOGGED, since=audit.since_written(self.node, files))
        running = {process.pid: process.pod for process in self.processes}
        by_pod: t.Dict[str, t.Set[str]] = {}
        shown: t.Dict[str, t.Set[str]] = {}
        for record in log.records:
            if not {"syscall", "arch"}.issubset(record):
                continue  # a process can be called what is looked for
            call = self.library.name(int(record["syscall"]), int(record["arch"], 16))
            pod = running.get(int(record.get("pid", "0")), "")
            by_pod.setdefault(pod, set()).add(call)
            shown.setdefault(pod, set()).add(f"{call} by {record.get('comm', '?')}")
        enforced = [path for path in observed if self._ends_learning(path)]
        if enforced and log.lost:
            message = "the kernel had more to log than it could, so that what it would deny is not all known"
            remedy = "Install auditd, or raise the kernel's audit_backlog_limit, boot the node, and observe again"
            self._tell("seccomp/log-incomplete", ", ".join(sorted(enforced)), message, remedy, refuse=True)
        for pod, calls in sorted(shown.items()):
            users = {path for path in observed if self._name(pod) in self._users(path)}
            if pod and self.pods and not users:
                continue
            place = self._name(pod) if pod else "processes that are no more"
            every = sorted(calls)
            more = [f"and {len(every) - _SHOWN} more"] if len(every) > _SHOWN else []
            self._tell(
                "seccomp/would-deny",
                ", ".join(sorted(users or observed)),
                f"it does not allow what was done in {place}",
                "Allow it in another version, if it is to be",
                [*every[:_SHOWN], *more],
                refuse=bool(enforced if not users else users & set(enforced)),
            )
        if self.params["record"]:
            for about in self.pods or ():
                if _localhost(about) & observed:
                    by_pod.setdefault(api.uid(about), set())
            self._record(by_pod, log.lost)

    def _ends_learning(self, path: str) -> bool:
        """Whether what it let through so far is denied from now on; it may go on to log what it allows."""
        profile = self.profiles[path]
        return not profile.learning and _parsed(self.before[path])[0] != profile.content

    def _record(self, by_pod: t.Mapping[str, t.Set[str]], lost: bool) -> None:
        """What has ended can be any pod's: it is in each recorded profile, as one that lacks a call breaks its pod."""
        gone = by_pod.get("", set())
        self.wanted.result["recorded"] = {
            self._name(pod): seccomp.recorded(calls | gone) for pod, calls in by_pod.items() if pod
        }
        if lost:
            message = "the kernel had more to log than it could, so that what was recorded lacks something"
            self._tell("seccomp/record-incomplete", "none", message, "Run auditd, and record again")


#: Why -> what is the matter, and what to do.
_UNFILTERED = {
    "seccomp/privileged": (
        "privileged containers of these pods have no filter, whatever they ask for",
        "Give them the capabilities that they need instead",
    ),
    "seccomp/unconfined": ("these pods ask to have no filter", "Have them ask for RuntimeDefault, or for a profile"),
    "seccomp/started-before": (
        "these pods have no filter, as they were started before it was the default, or ask for none",
        "Have them created anew, such as by kubectl rollout restart",
    ),
}


def _why_unfiltered(pod: t.Optional[t.Mapping[str, t.Any]], container: str) -> str:
    """By what its own container says: another one of the pod may be privileged, and this one only old."""
    context = pods.containers(pod).get(container, {}) if pod else {}
    if context.get("privileged"):
        return "seccomp/privileged"
    if (context.get("seccompProfile") or {}).get("type") == "Unconfined":
        return "seccomp/unconfined"
    return "seccomp/started-before"


def _parsed(text: str) -> t.Tuple[t.Any, t.Any]:
    """What a file of ours is to the kernel, and what was changed in a base for it; None where it does not say."""
    try:
        content = json.loads(text)
    except ValueError:
        return None, None
    changes = content.pop(_CHANGES, None)
    content.pop(_OWNER, None)
    return content, changes


def _localhost(pod: t.Mapping[str, t.Any]) -> t.Set[str]:
    """Profiles of the node that a pod which has not ended asks for."""
    found = {(context.get("seccompProfile") or {}).get("localhostProfile") for context in pods.contexts(pod)}
    return {str(name) for name in found if name}
