# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AppArmor profiles as declared, beside those that a node has: what is to be done, and what is worth knowing."""

from __future__ import annotations

import os
import re
import tempfile
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.node import api, apparmor, audit, pods, runtime
from ansible_collections.hardened.k8s.plugins.module_utils.node.apparmor import Profile
from ansible_collections.hardened.k8s.plugins.module_utils.node.change import Effect, restart
from ansible_collections.hardened.k8s.plugins.module_utils.node.files import File, Step
from ansible_collections.hardened.k8s.plugins.module_utils.node.module import Params, Wanted
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

_LABEL = "hardened.k8s/apparmor-"
_KIND = "AppArmorProfile"
_SHOWN = 12
#: What runtimes load themselves where they use AppArmor, for pods that ask for nothing.
_OF_RUNTIMES = {"containerd": "cri-containerd.apparmor.d", "crio": "crio-default"}
#: Beside names of pods, for containers that are nobody's pods.
_NO_POD = "processes of no pod"
#: Beside names of pods, where CRI-O's settings name a profile.
_OF_CRIO = "all pods that ask for none, by CRI-O's apparmor_profile"


def declare(node: Node, params: Params) -> Wanted:
    """A node with these profiles.

    :raises HardenedError: AppArmor confines nothing here.
    """
    items = params["profiles"] if params["state"] == "present" else []
    wanted = Wanted()
    if items or params["state"] == "present":
        apparmor.require(node, params["parser_expected"])
    profiles = _profiles(items, params["stage"], wanted)
    if not wanted.problems:
        _Plan(node, profiles, params, wanted).make()
    return wanted


def _profiles(items: t.Sequence[Params], stage: str, wanted: Wanted) -> t.List[Profile]:
    found: t.Dict[str, Profile] = {}
    for index, item in enumerate(items):
        where = f"profiles[{index}] ({item['name']})"
        stage_here = item.get("stage") or stage
        profile = Profile(item["name"], item["version"], item["rules"], stage_here != "enforce")
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", profile.name) or profile.version < 1:
            wanted.problem(
                where,
                HardenedError(
                    "a name has up to 40 small letters, digits and dashes, a version is at least 1", "Rename it"
                ),
            )
        if profile.loaded in found:
            wanted.problem(where, HardenedError("declared twice", "Merge the two entries, or rename one"))
        if re.search(r"(?m)^\s*profile\s", profile.rules) or profile.rules.count("{") < profile.rules.count("}"):
            wanted.problem(
                where,
                HardenedError("rules has a profile's head or its last brace", "Give only what is between its braces"),
            )
        found[profile.loaded] = profile
    return list(found.values())


class _Plan:
    """What :func:`declare` finds out about one node."""

    def __init__(self, node: Node, profiles: t.Sequence[Profile], params: Params, wanted: Wanted) -> None:
        self.node, self.params, self.wanted = node, params, wanted
        self.profiles = {profile.loaded: profile for profile in profiles}
        self.compiled: t.Dict[str, str] = {}
        self.before = apparmor.owned(node, params["owner"])
        self.kernel = apparmor.loaded(node)
        self.users = apparmor.users(node)
        leaving = set(self.before) - set(self.profiles)
        self.others = apparmor.other_users(node, self.users) if leaving else set()
        self.crio_profile = runtime.crio_profile(node) if pods.main_process(node, "crio") else ""
        self.server = self._server()
        self.answer = self._pods()
        self.asked = self.answer or []
        self.known = {**pods.names(node), **{api.uid(pod): pods.place(pod) for pod in self.asked}}

    def _server(self) -> t.Optional[api.Api]:
        """Who knows of the node's pods; nobody on a machine that is in no cluster."""
        try:
            return api.Api(self.node)
        except HardenedError:
            return None

    def _pods(self) -> t.Optional[t.List[t.Dict[str, t.Any]]]:
        """The node's; None when the API server does not answer, and nothing on a machine that is in no cluster."""
        try:
            return self.server.pods() if self.server else []
        except HardenedError:
            return None

    def make(self) -> None:
        removed = self._removed()
        files = [File(profile.path, profile.text(self.params["owner"])) for profile in self.profiles.values()]
        files += [File(f"{apparmor.FOLDER}/{name}", None) for name in removed]
        files += [File(path, None) for name in removed for path in apparmor.cached(self.node, name)]
        self.wanted.files = files
        self._refuse_edits()
        missing = [name for name, p in self.profiles.items() if self.kernel.get(name) != p.mode]
        self.wanted.differs = [f"{name} is not loaded in {self.profiles[name].mode} mode" for name in missing]
        stale = self._stale_runtime()
        if stale:
            self.wanted.differs.append(f"{stale} was started before the parser was installed, and has to look again")
        self.wanted.check = self._check if self.node.find(apparmor.PARSER) else None
        self.wanted.effect = lambda steps: self._effect(steps, missing, removed, stale)
        self._label(removed)
        self._report(removed)
        self.wanted.result["profiles"] = self._actions(missing, removed)

    # -- what is to be done

    def _removed(self) -> t.List[str]:
        """Those that are declared no more, but for those that somebody uses."""
        found = []
        for name in self.before:
            if name in self.profiles:
                continue
            affected = self._pods_of(name)
            if not affected and self.answer is not None:
                found.append(name)
                continue
            message = "it is no longer declared, and kept, as pods use it"
            if not affected:
                message = "it is no longer declared, and kept, as the API server does not say whether pods use it"
            self._tell("apparmor/still-used", name, message, "Have them use another one, then run again", affected)
        return found

    def _pods_of(self, name: str) -> t.List[str]:
        """Pods that a profile confines, those that ask for it without running yet, and those that ask for none."""
        running = {self._pod(process.pod) for process in self.users.get(name, ())}
        running |= {_NO_POD} if name in self.others else set()
        default = {_OF_CRIO} if name == self.crio_profile else set()
        return sorted(running | default | {"/".join(pods.place(pod)) for pod in self.asked if name in _localhost(pod)})

    def _pod(self, uid: str) -> str:
        return "/".join(self.known[uid]) if uid in self.known else uid

    def _refuse_edits(self) -> None:
        """Rules that differ under a name that is there already would change under running containers."""
        for name, profile in self.profiles.items():
            there = self.node.text(profile.path)
            where = f"profiles ({profile.name})"
            if there and name not in self.before:
                error = HardenedError(f"{profile.path} is not of owner {self.params['owner']}", "Rename the profile")
                self.wanted.problem(where, error)
            elif there and apparmor.rules_of(there) != apparmor.rules_of(profile.text(self.params["owner"])):
                error = HardenedError(
                    f"{name} is there with other rules, and pods may rely on them",
                    f"Raise its version to {profile.version + 1}",
                )
                self.wanted.problem(where, error)

    def _check(self) -> None:
        """What the parser says, of all that would be written.

        :raises HardenedError: never; each is a problem of its own.
        """
        new = [p for p in self.profiles.values() if self.node.text(p.path) != p.text(self.params["owner"])]
        scratch = tempfile.mkdtemp()
        self.wanted.scratch.append(scratch)
        for name, reason in apparmor.check(self.node, new, self.params["owner"], scratch).items():
            self.wanted.problem(f"profiles ({self.profiles[name].name})", HardenedError(reason, "Correct its rules"))
        self.compiled = apparmor.compiled(scratch)

    def _effect(self, steps: t.Sequence[Step], missing: t.List[str], removed: t.List[str], stale: str) -> Effect:
        written = {os.path.basename(step.path) for step in steps if step.after is not None}
        loads = [name for name in self.profiles if name in written or name in missing]
        effect = restart(stale) if stale else Effect()
        gone = [name for name in removed if name in self.kernel]
        effect.do = [*apparmor.load(self.node, loads, self.compiled), *apparmor.unload(self.node, gone), *effect.do]
        new = [name for name in loads if name not in self.kernel]
        again = [name for name in [*loads, *gone] if name in self.kernel and name in self.before]
        effect.undo = [*apparmor.unload(self.node, new), *apparmor.load(self.node, again, {})]
        effect.verify = lambda: apparmor.verify(self.node, [self.profiles[name] for name in loads])
        return effect

    def _stale_runtime(self) -> str:
        """The unit of a runtime that looked for AppArmor before it could be used.

        :raises HardenedError: a runtime that will not use it.
        """
        if self.params["state"] == "absent":
            return ""
        parser = self.node.find(apparmor.PARSER)
        for name in ("containerd", "crio"):
            pid = pods.main_process(self.node, name)
            if not pid:
                continue
            if any(line.startswith("container=") and line != "container=" for line in pods.environment(self.node, pid)):
                raise HardenedError(
                    f"{name} runs in a container itself, and so confines no pod by AppArmor", "Use a node that is none"
                )
            if name == "containerd" and runtime.disables_apparmor(self.node, pid):
                raise HardenedError(
                    "containerd is told to do without AppArmor (disable_apparmor = true)", "Remove that setting"
                )
            if name == "crio" and self.crio_profile == "unconfined":
                raise HardenedError(
                    'CRI-O is told to confine no pod of itself (apparmor_profile = "unconfined")', "Remove that setting"
                )
            if _OF_RUNTIMES[name] in self.kernel:
                continue  # which it has loaded itself, so the parser that is newer than it is an upgrade
            if self.profiles and (not parser or 0 < pods.started(self.node, pid) < os.stat(parser).st_ctime):
                return runtime.unit(self.node, pods.unit(self.node, pid) or f"{name}.service")
        return ""

    def _label(self, removed: t.Sequence[str]) -> None:
        """Have the node's labels say which profiles it has."""
        if not self.params["label_node"] or not self.server:
            return
        server = self.server
        try:
            there: t.Dict[str, str] = server.node()["metadata"].get("labels", {})
        except HardenedError as error:
            self._tell("apparmor/not-labelled", "", f"its labels cannot be read: {error}", "")
            return
        wanted: t.Dict[str, t.Optional[str]] = {_label(name): p.mode for name, p in self.profiles.items()}
        kept = (set(self.kernel) - set(removed)) | set(self.profiles)
        # also of one that an earlier run removed, when the API server did not answer
        wanted.update({key: None for key in there if key.startswith(_LABEL) and _named(key) not in kept})
        changed = {key: value for key, value in wanted.items() if there.get(key) != value}
        if changed:
            self.wanted.differs += [f"label {key}: {there.get(key)} -> {value}" for key, value in changed.items()]
            self.wanted.after = lambda: self._set_labels(server, changed)

    def _set_labels(self, server: api.Api, labels: t.Mapping[str, t.Optional[str]]) -> None:
        """The profiles are there, whatever becomes of this; the next run tries again."""
        try:
            server.label(labels)
        except HardenedError as error:
            self._tell(
                "apparmor/not-labelled", "", f"its labels cannot be set: {error}", "Run again once that is repaired"
            )

    def _actions(self, missing: t.Sequence[str], removed: t.Sequence[str]) -> t.List[t.Dict[str, str]]:
        found = []
        for name, profile in self.profiles.items():
            same = self.before.get(name) == profile.text(self.params["owner"])
            action = "create" if name not in self.before else "update"
            action = ("load" if name in missing else "unchanged") if same else action
            found.append({"name": name, "mode": profile.mode, "action": action})
        others = [name for name in self.before if name not in self.profiles]
        return found + [
            {
                "name": name,
                "mode": self.kernel.get(name, ""),
                "action": "delete" if name in removed else "keep",
            }
            for name in others
        ]

    # -- what is worth knowing

    def _tell(
        self, rule: str, name: str, message: str, remedy: str, affected: t.Iterable[str] = (), refuse: bool = False
    ) -> None:
        self.wanted.findings.append(Finding(rule, Ref(_KIND, "", name), message, remedy, tuple(affected), refuse))

    def _report(self, removed: t.Sequence[str]) -> None:
        if self.params["state"] == "absent":
            return
        self._report_would_deny()
        objects = {api.uid(pod): pod for pod in self.asked}
        free = [p for p in self.users.get("unconfined", ()) if not pods.is_sandbox(p, objects.get(p.pod))]
        unconfined = sorted({self._pod(process.pod) for process in free})
        if unconfined:
            self._tell(
                "apparmor/unconfined",
                "unconfined",
                "no profile confines these pods of this node",
                "Give them an appArmorProfile; privileged ones have none unless they ask for it",
                unconfined,
            )
        there = (set(self.kernel) | set(self.profiles)) - set(removed)
        wanting: t.Dict[str, t.List[str]] = {}
        if self.crio_profile and self.crio_profile not in there:
            wanting[self.crio_profile] = [_OF_CRIO]
        for pod in self.asked:
            for name in _localhost(pod) - there:
                wanting.setdefault(name, []).append("/".join(pods.place(pod)))
        for name, affected in sorted(wanting.items()):
            self._tell(
                "apparmor/not-loaded",
                name,
                "pods of this node ask for it, and it is not loaded here",
                "Declare it, or correct its name in the pods",
                sorted(affected),
            )

    def _report_would_deny(self) -> None:
        """What profiles in complain mode let through: by pod, as far as it can be told."""
        learning = {name for name, mode in self.kernel.items() if mode == "complain" and name in self.profiles}
        if not learning:
            return
        running = {process.pid: process.pod for process in pods.processes(self.node)}
        since = audit.since_written(self.node, [self.profiles[name].path for name in learning])
        denied, lost = apparmor.would_deny(self.node, learning, since)
        enforced = sorted(name for name in learning if not self.profiles[name].complain)
        if enforced and lost:
            message = "the kernel had more to log than it could, so that what it would deny is not all known"
            remedy = "Install auditd, or raise the kernel's audit_backlog_limit, boot the node, and observe again"
            self._tell("apparmor/log-incomplete", ", ".join(enforced), message, remedy, refuse=True)
        for name, records in sorted(denied.items()):
            confined = sorted({self._pod(process.pod) for process in self.users.get(name, ())})
            # a process that has ended is any of theirs
            ended = f"one of {', '.join(confined)}" if len(confined) > 1 else "".join(confined)
            by_pod: t.Dict[str, t.Set[str]] = {}
            for record in records:
                pod = running.get(int(record.get("pid", "0")))
                place = self._pod(pod) if pod else ended or "pods that are no more"
                by_pod.setdefault(place, set()).add(apparmor.said(record))
            for pod, operations in sorted(by_pod.items()):
                shown = sorted(operations)
                more = [f"and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
                self._tell(
                    "apparmor/would-deny",
                    name,
                    f"it does not allow what was done in {pod}",
                    f"Allow it in version {self.profiles[name].version + 1}, if it is to be",
                    [*shown[:_SHOWN], *more],
                    refuse=not self.profiles[name].complain,
                )


def _label(name: str) -> str:
    return f"{_LABEL}{name[len('k8s.') :]}"


def _named(label: str) -> str:
    """The profile that a label is about."""
    return f"k8s.{label[len(_LABEL) :]}"


def _localhost(pod: t.Mapping[str, t.Any]) -> t.Set[str]:
    """Profiles of the node that a pod which has not ended asks for."""
    found = {(context.get("appArmorProfile") or {}).get("localhostProfile") for context in pods.contexts(pod)}
    return {str(name) for name in found if name}
