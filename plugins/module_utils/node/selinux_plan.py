# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SELinux as declared, beside what a node has: what is to be done before it can enforce, and then that it does.

The way there has two changes, each of which happens as a whole or not at all. The first one makes labels right while
nothing is denied. The second one is the switch; it is put back unless somebody who has connected anew confirms it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import typing as t

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import parse_acceptances, settle
from ansible_collections.hardened.k8s.plugins.module_utils.node import change, kubelet, pods, runtime, selinux
from ansible_collections.hardened.k8s.plugins.module_utils.node.change import Effect
from ansible_collections.hardened.k8s.plugins.module_utils.node.files import File, plan, remove_empty
from ansible_collections.hardened.k8s.plugins.module_utils.node.module import Params, Wanted
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node
from ansible_collections.hardened.k8s.plugins.module_utils.node.selinux import Module, Spec
from ansible_collections.hardened.k8s.plugins.module_utils.node.selinux_report import Report

#: What is remembered of how the node was, by owner.
_RECORD = "/var/lib/hardened-k8s/selinux-{}.json"
#: As old as the last change of labels or of what runs by them.
_SETTLED = "/var/lib/hardened-k8s/selinux-{}.settled"
_DROP_IN = "50-selinux"
#: Seconds: a switch that nobody may have the time to confirm would never last, and one without any could not be undone.
_LEAST_HOLD = 30
_CRIO = "/etc/crio/crio.conf.d/50-hardened-k8s-selinux.conf"
_CRIO_SETTINGS = "# of hardened.k8s: {}\n[crio.runtime]\nselinux = true\n"

#: Programs that run pods, and the unit that each is started by; the others are started by these.
_UNITS = {"containerd": "containerd.service", "crio": "crio.service", "kubelet": "kubelet.service"}
_HELPERS = ("containerd-shim-runc-v2", "runc", "crun", "conmon")
#: Types of programs and files that nobody has thought of as anything special.
_PLAIN = {"", "bin_t", "usr_t", "lib_t", "default_t", "unlabeled_t", "var_lib_t", "var_t", "etc_t", "root_t", "tmp_t"}
_PLAIN |= {"user_home_t", "admin_home_t", "mnt_t", "<<none>>"}
_UNKNOWN = {*_PLAIN, "var_run_t"}
#: Domains of services that nothing confines, in which one ends whose program has a plain label.
_UNCONFINED = {"initrc_t", "unconfined_service_t", "init_t", "kernel_t", "unconfined_t"}

_CONTAINERD_ROOT, _CONTAINERD_STATE, _KUBELET_ROOT = "/var/lib/containerd", "/run/containerd", "/var/lib/kubelet"
#: Domains of what kubelet and the runtime call, without which no pod starts; kubelet's own, before it has it.
_HELPING = {"kubelet_t", "mount_t", "iptables_t", "ifconfig_t", "container_engine_t"}
#: What else a node has: what is put there, and what its components write all the time, as their domains have it.
_STATIC = ("/etc/kubernetes", "/etc/cni", "/opt/cni")
_WRITTEN = ("/var/lib/cni", "/var/lib/etcd", "/var/log/pods", "/var/log/containers")
#: What policies lack, by the type of the runtime's program. Debian's lets a runtime that it calls Docker's label anything
#: but the folders in which kubelet gives a pod its token; and pods that run already have shims in the runtime's former
#: domain, which it has to reach, or it would lose these pods when it is started anew. What is run in these pods, such as
#: by kubectl exec or a probe, is handed to runc by such a shim in a file, and its terminal through a socket. Nor may the
#: mount that kubelet calls put a token, or a part of a volume, where kubelet has the folders of pods; nor the runtime
#: change how what is mounted in a container spreads, where that is a path of the node's of nearly any type: what a pod
#: may do with it is decided by its own type, once it runs.
_GAPS = {
    "dockerd_exec_t": """\
(optional hardened_k8s_shims
  (allow dockerd_t initrc_t (unix_stream_socket (connectto))))
(optional hardened_k8s_commands
  (allow container_engine_t initrc_tmp_t (dir (getattr search)))
  (allow container_engine_t initrc_tmp_t (file (getattr open read)))
  (allow container_engine_t initrc_tmp_t (sock_file (getattr write)))
  (allow container_engine_t initrc_t (unix_stream_socket (connectto))))
(optional hardened_k8s_mounts
  (allow mount_t container_var_lib_t (dir (getattr mounton search)))
  (allow mount_t container_var_lib_t (file (getattr mounton))))
(optional hardened_k8s_host_paths
  (allow dockerd_t file_type (dir (getattr mounton search)))
  (allow dockerd_t file_type (file (getattr mounton)))
  (allow dockerd_t file_type (sock_file (getattr mounton)))
  (allow dockerd_t file_type (chr_file (getattr mounton)))
  (allow dockerd_t filesystem_type (dir (getattr mounton search)))
  (allow dockerd_t filesystem_type (file (getattr mounton))))
(optional hardened_k8s_tokens
  (allow dockerd_t kubernetes_tmpfs_t (dir (getattr open read relabelfrom relabelto search)))
  (allow dockerd_t kubernetes_tmpfs_t (file (getattr open read relabelfrom relabelto)))
  (allow dockerd_t kubernetes_tmpfs_t (lnk_file (getattr read relabelfrom relabelto))))"""
}

#: Folders that policies do not know, with the one that they do know and that has the same use.
_LIKE = {"/run/nri": "/run/containerd"}

Labels = t.Dict[str, t.Tuple[str, str]]


def declare(node: Node, params: Params) -> Wanted:
    """A node with SELinux as declared.

    :raises HardenedError: it can confine nothing here.
    """
    wanted = Wanted()
    if params["state"] == "absent":
        _Undo(node, params, wanted).make()
        return wanted
    selinux.require(node)
    if params["hold"] < _LEAST_HOLD:
        raise HardenedError(
            f"hold is {params['hold']}: in less than {_LEAST_HOLD} seconds nobody connects anew and confirms",
            f"Give at least {_LEAST_HOLD}",
        )
    if not selinux.mode(node).kernel:
        _begin(node, params, wanted)
        return wanted
    modules = _modules(params, wanted)
    if not wanted.problems:
        _Plan(node, modules, params, wanted).make()
    return wanted


def _begin(node: Node, params: Params, wanted: Wanted) -> None:
    """It is switched off: the next boot labels every file, and denies nothing yet."""
    text, record = node.text(selinux.CONFIG), _record_path(params)
    was = {"kernel": "", "configured": selinux.mode(node).configured}
    remembered = node.text(record) or json.dumps(was, indent=1, sort_keys=True) + "\n"
    wanted.files = [
        File(selinux.CONFIG, selinux.configured(text, "permissive"), None),
        File(selinux.RELABEL, ""),
        File(record, remembered, 0o600),
    ]
    wanted.result = {"mode": "disabled", "pending": False, "reboot_required": True}


def _modules(params: Params, wanted: Wanted) -> t.List[Module]:
    """Those that the user declares."""
    found: t.Dict[str, Module] = {}
    for index, item in enumerate(params["modules"]):
        where, text = f"modules[{index}] ({item['name']})", re.sub(r"\"[^\"]*\"|;.*", "", item["cil"])
        if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]*", item["name"]):
            wanted.problem(where, HardenedError("a module's name has letters, digits and underscores", "Rename it"))
        if item["name"] in found or item["name"] == _own(params):
            wanted.problem(where, HardenedError("declared twice", "Merge the two entries, or rename one"))
        if not text.strip().startswith("(") or text.count("(") != text.count(")"):
            wanted.problem(
                where, HardenedError("its parentheses do not match", "Write it in CIL, as (allow a_t b_t ...)")
            )
        found[item["name"]] = Module(item["name"], item["cil"])
    for index, item in enumerate(params["fcontexts"]):
        where = f"fcontexts[{index}] ({item['target']})"
        if not item["target"].startswith("/") or '"' in item["target"] or not _is_pattern(item["target"]):
            wanted.problem(where, HardenedError("target is no path and no regular expression of paths", "Correct it"))
        elif Spec(item["target"], item["setype"]).root in ("/", "/etc", "/usr", "/var", "/home", "/root"):
            wanted.problem(where, HardenedError("it is about a part of the system", "Name a folder of your own"))
        if not re.fullmatch(r"[a-zA-Z]\w*", item["setype"]):
            wanted.problem(where, HardenedError("setype is no type", "Name one, such as container_file_t"))
    return list(found.values())


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


def _record_path(params: Params, pattern: str = _RECORD) -> str:
    return pattern.format(re.sub(r"\W", "_", params["owner"]))


def _own(params: Params) -> str:
    """The name of the module that is made here."""
    return "hardened_k8s_" + re.sub(r"\W", "_", params["owner"])


class _Part:
    """What both ways begin with."""

    def __init__(self, node: Node, params: Params, wanted: Wanted) -> None:
        self.node, self.params, self.wanted = node, params, wanted
        self.mode = selinux.mode(node)
        self.record_path, self.settled_path = _record_path(params), _record_path(params, _SETTLED)
        self.record = self._recorded()
        self.programs = _programs(node)
        self.crio = "containerd" not in self.programs and "crio" in self.programs

    def _recorded(self) -> t.Dict[str, t.Any]:
        found: t.Dict[str, t.Any] = json.loads(self.node.text(self.record_path) or "{}")
        return found

    def since(self) -> float:
        """When labels, or what runs by them, were last made right; what is denied until then says little."""
        if not self.node.exists(self.settled_path):
            return float("inf")
        settled = os.stat(self.node.real(self.settled_path)).st_mtime
        return max(settled, change.held_since(self.node))  # what was denied before that was judged before it

    def owned(self) -> t.List[str]:
        """The modules of this owner that are there."""
        names = [name[: -len(".cil")] for name in self.node.names(selinux.FOLDER) if name.endswith(".cil")]
        mark = f"{selinux.MARK}{self.params['owner']}\n"
        return [name for name in names if self.node.text(f"{selinux.FOLDER}/{name}.cil").startswith(mark)]

    def labelling(self, on: bool) -> t.List[File]:
        """Files by which the runtime labels containers, or no longer does."""
        owner = self.params["owner"]
        if self.crio or self.node.exists(_CRIO):
            return [File(_CRIO, _CRIO_SETTINGS.format(owner) if on else None)]
        if not self.node.find("containerd"):
            return []
        containerd = runtime.Containerd(self.node)
        settings = {"enable_selinux": True, "selinux_category_range": self.params["category_range"]}
        drop_ins: t.Dict[str, runtime.Plugins] = {_DROP_IN: {"runtime": settings}} if on else {}
        self.wanted.check = lambda: containerd.check(drop_ins, owner)
        return containerd.files(drop_ins, owner)

    def restarts(self, labels: t.Iterable[str], files: t.Sequence[File]) -> t.List[str]:
        """Units that have to be started anew, for their program's label or for their settings."""
        changed, found = set(labels), []
        for name, unit in _UNITS.items():
            path = self.programs.get(name)
            if path and (path in changed or (name != "kubelet" and plan(self.node, files))):
                found.append(runtime.unit(self.node) if name == "containerd" else unit)
        return found


def _programs(node: Node) -> t.Dict[str, str]:
    """Name -> file of the programs that run pods here."""
    found: t.Dict[str, str] = {}
    for name in _UNITS:
        pid = pods.main_process(node, name)
        if pid:
            path = os.readlink(node.real(f"/proc/{pid}/exe"))
            found[name] = re.sub(r" \(deleted\)$", "", path)
    for name in _HELPERS if found else ():
        where = node.find(name)
        if where:
            found[name] = os.path.realpath(where)
    return found


class _Plan(_Part):
    """What :func:`declare` finds out about one node."""

    def __init__(self, node: Node, modules: t.Sequence[Module], params: Params, wanted: Wanted) -> None:
        super().__init__(node, params, wanted)
        self.enforce = params["stage"] == "enforce"
        #: One that enforced before anybody declared anything here goes on to, whatever the stage: it is no less hardened.
        keeps = self.mode.kernel == "enforcing" == self.record.get("kernel", self.mode.kernel)
        self.to_be = "enforcing" if self.enforce or keeps else "permissive"
        self.everything = params["disable_dontaudit"] and not self.enforce
        self.specs, self.exec_type = self._specs()
        self.modules = [*modules, *self._own_module()]
        self.domains = {name: selinux.type_of(_label(node, name)) for name in _UNITS if name in self.programs}

    # -- labels

    def _specs(self) -> t.Tuple[t.List[Spec], str]:
        """Labels that the policy does not have, and the type of the runtime's program."""
        usual = {name: f"/usr/bin/{name}" for name in self.programs}
        known = selinux.wanted(self.node, sorted({*self.programs.values(), *usual.values(), *_LIKE, *_LIKE.values()}))
        before = selinux.installed(self.node, self.mode.policy, _own(self.params)) or ""
        found, exec_type = [], ""
        for name, path in self.programs.items():
            now, should = known.get(path, ""), known.get(usual[name], "")
            ours = f'"{_escaped(path)}"' in before
            if (now in _PLAIN or ours) and should not in _PLAIN:
                found.append(Spec(_escaped(path), should, "file"))
                now = should
            if name in _UNITS and now in _PLAIN:
                self._no_type(name, path, now)
            exec_type = now if name in ("containerd", "crio") else exec_type
        for path, like in _LIKE.items() if "containerd" in self.programs else ():
            now, should = known.get(path, ""), known.get(like, "")
            if (now in _UNKNOWN or f'"{path}(/.*)?"' in before) and should not in _UNKNOWN:
                found.append(Spec(f"{path}(/.*)?", should))
        for default, actual in self._roots():
            if actual != default:
                found += selinux.moved(self.node, self.mode.policy, default, actual)
        found += [Spec(item["target"], item["setype"]) for item in self.params["fcontexts"]]
        return found, exec_type

    def _no_type(self, name: str, path: str, now: str) -> None:
        self.wanted.problem(
            f"policy {self.mode.policy}",
            HardenedError(
                f"it has no type for {path}, which is {now or 'nothing'} to it, so that {name} would run unconfined and "
                "could start no container that is",
                "Install container-selinux, or a policy that knows Kubernetes (Debian's does from trixie on)",
            ),
        )

    def _roots(self) -> t.List[t.Tuple[str, str]]:
        """Folders that the policy knows, with those that are used here."""
        found = [(_KUBELET_ROOT, kubelet.root_dir(self.node))]
        if "containerd" in self.programs:
            now = runtime.Containerd(self.node).now
            for key, usual in (("root", _CONTAINERD_ROOT), ("state", _CONTAINERD_STATE)):
                found.append((usual, re.sub(r"[\"']", "", now.get(("", key), "")) or usual))
        return found

    def _own_module(self) -> t.List[Module]:
        parts = [spec.cil() for spec in dict.fromkeys(self.specs)]
        parts += [_GAPS[self.exec_type]] if self.exec_type in _GAPS else []
        return [Module(_own(self.params), "\n".join(parts))] if parts else []

    def _labels(self, pending: bool) -> Labels:
        """Files that are not labelled as they are to be.

        :param pending: whether the policy does not have all of this yet.
        """
        paths = [*self.programs.values(), *_STATIC, *(spec.root for spec in self.specs)]
        if pending:
            paths += [*(actual for _usual, actual in self._roots()), *_WRITTEN]
        found = selinux.mislabelled(self.node, sorted(set(paths)))
        return {**found, **selinux.relabelled(self.node, self.specs)} if pending else found

    # -- what is to be done

    def make(self) -> None:
        before = {name: selinux.installed(self.node, self.mode.policy, name) for name in self._names()}
        texts = {module.name: module.text(self.params["owner"]) for module in self.modules}
        written = [name for name, text in texts.items() if (before[name] or "").strip() != text.strip()]
        self._strangers({name: before[name] or "" for name in texts if before[name] is not None})
        removed = [name for name in before if name not in texts and before[name] is not None]
        labels = self._labels(_own(self.params) in written)
        values = self._booleans()
        settings = self.labelling(True)
        restarts = self._restarts(labels, settings)
        files = [File(module.path, texts[module.name]) for module in self.modules]
        files += [File(f"{selinux.FOLDER}/{name}.cil", None) for name in self.owned() if name not in texts]
        differs = self._differs(written, removed, labels, values, restarts)
        if differs or plan(self.node, [*files, *settings]) or "modules" not in self.record:
            files.append(File(self.record_path, self._remembered(labels, values), 0o600))
        if not self.node.exists(self.settled_path):
            files.append(File(self.settled_path, "", 0o600))
        self.policy_differs = bool(written or removed or values)
        self.wanted.files = [*files, *settings, *self._next_boot()]
        self.wanted.differs = differs + self._switch_said()
        self.wanted.effect = lambda _steps: self._effect(written, removed, before, labels, values, restarts)
        if self.enforce and self.mode.kernel == "permissive":
            self.wanted.after = self._switch
        elif self.mode.kernel == self.to_be == "enforcing" and differs:
            self.wanted.hold = float(self.params["hold"])  # what is changed is in force at once
        self._result(labels)
        self.report()

    def _strangers(self, there: t.Mapping[str, str]) -> None:
        """Modules of these names that are somebody else's would be lost.

        :param there: name -> text of those that the policy has.
        """
        mark = f"{selinux.MARK}{self.params['owner']}\n"
        for name in sorted(name for name, text in there.items() if not text.startswith(mark)):
            self.wanted.problem(
                f"module {name}",
                HardenedError(
                    f"the policy has one of that name, which is not of owner {self.params['owner']}",
                    f"Rename it here, or remove that one by semodule -X {selinux.PRIORITY} -r {name}",
                ),
            )

    def _names(self) -> t.List[str]:
        return list(dict.fromkeys([*(module.name for module in self.modules), *self.owned()]))

    def _booleans(self) -> t.Dict[str, bool]:
        there = selinux.booleans(self.node)
        for name in sorted(set(self.params["booleans"]) - set(there)):
            self.wanted.problem(
                f"booleans ({name})",
                HardenedError("the policy has no such boolean", "See getsebool -a for all there are"),
            )
        asked: t.Dict[str, bool] = {}
        for name, value in self.params["booleans"].items():
            try:
                asked[name] = boolean(value)
            except TypeError:
                self.wanted.problem(
                    f"booleans ({name})", HardenedError(f"{value!r} is neither on nor off", "Write true or false")
                )
        return {name: value for name, value in asked.items() if name in there and there[name] != value}

    def _restarts(self, labels: Labels, settings: t.Sequence[File]) -> t.List[str]:
        found = self.restarts(labels, settings)
        for name, domain in self.domains.items():
            unit = _UNITS[name]
            if domain in _UNCONFINED and unit not in found:
                found.append(runtime.unit(self.node) if name == "containerd" else unit)
        return sorted(found)  # kubelet comes after its runtime

    def _next_boot(self) -> t.List[File]:
        """The mode in which the node boots; enforcing only once it is so, and somebody has come in since."""
        text = self.node.text(selinux.CONFIG)
        if self.enforce and self.mode.kernel != "enforcing":
            return []
        if self.to_be == "enforcing" and not self.enforce:
            return []
        return [File(selinux.CONFIG, selinux.configured(text, self.to_be), None)]

    def _differs(
        self,
        written: t.Sequence[str],
        removed: t.Sequence[str],
        labels: Labels,
        values: t.Mapping[str, bool],
        restarts: t.Sequence[str],
    ) -> t.List[str]:
        found = [f"module {name}: to be installed" for name in written]
        found += [f"module {name}: to be removed" for name in removed]
        found += [f"label of {path}: {now} -> {then}" for path, (now, then) in sorted(labels.items())]
        found += [f"boolean {name}: {not value} -> {value}" for name, value in sorted(values.items())]
        found += [f"{unit}: to be restarted" for unit in restarts]
        if self.everything != selinux.logs_everything(self.node, self.mode.policy):
            found.append(f"what the policy denies silently: {'' if self.everything else 'not '}to be logged")
        return found

    def _switch_said(self) -> t.List[str]:
        found = [f"mode: {self.mode.kernel} -> {self.to_be}"] if self.mode.kernel != self.to_be else []
        if found and self.enforce:
            found.append(f"SELINUX in {selinux.CONFIG}: {self.mode.configured} -> {self.to_be}, once that is confirmed")
        return found

    def _effect(
        self,
        written: t.Sequence[str],
        removed: t.Sequence[str],
        before: t.Mapping[str, t.Optional[str]],
        labels: Labels,
        values: t.Mapping[str, bool],
        restarts: t.Sequence[str],
    ) -> Effect:
        effect = change.restart(*restarts) if restarts else Effect()
        first = selinux.install(self.node, self.mode.policy, written, removed, self.everything)
        first += selinux.set_booleans(values)
        first += _relabel(self.node, labels)
        if self.to_be == "permissive" and self.mode.kernel == "enforcing":
            first.insert(0, selinux.switch(self.node, False))
            effect.undo.append(selinux.switch(self.node, True))
        # what is denied from now on counts; what the policy alone denied before goes on to, as it can still be asked,
        # unless it is to be observed with another one
        anew = labels or restarts or (not self.enforce and (written or removed or values))
        settled = [("touch", self.node.real(self.settled_path))] if anew else []
        effect.do = [*first, *settled, *effect.do]
        new = [name for name in written if before[name] is None]
        old = [*(name for name in written if before[name] is not None), *removed]
        effect.lasting = [
            *selinux.take_back(self.node, self.mode.policy, new, old, self.everything),
            *selinux.set_booleans({name: not value for name, value in values.items()}),
            *selinux.put_back({path: now for path, (now, _then) in labels.items()}, self.node),
        ]
        trial = _Trial(self.node)
        # a permissive node is tried by the switch; what a container leaves before labels are right would be denied later
        tries = bool(restarts) and self.mode.kernel == self.to_be == "enforcing"
        if tries:
            effect.first = trial.before

        def verify() -> None:
            self._verify(restarts)
            if tries:
                trial.after()

        effect.verify = verify
        return effect

    def _verify(self, restarts: t.Sequence[str]) -> None:
        """:raises HardenedError: one that was restarted runs unconfined all the same."""
        for name, unit in _UNITS.items():
            if unit in restarts:
                domain = selinux.type_of(_label(self.node, name))
                if domain in _UNCONFINED:
                    raise HardenedError(
                        f"{name} still runs as {domain}, though {self.programs[name]} is labelled",
                        "See by which unit and through which other program it is started",
                    )

    def _remembered(self, labels: Labels, values: t.Mapping[str, bool]) -> str:
        """How the node was before, and of what the policy is."""
        was = self.record
        known = {**{path: now for path, (now, _then) in labels.items()}, **was.get("labels", {})}
        switched = {**{name: not value for name, value in values.items()}, **was.get("booleans", {})}
        content = {
            "kernel": was.get("kernel", self.mode.kernel),
            "configured": was.get("configured", self.mode.configured),
            "booleans": switched,
            "labels": known,
            "modules": {m.name: hashlib.sha256(m.cil.encode()).hexdigest()[:12] for m in self.modules},
        }
        return json.dumps(content, indent=1, sort_keys=True) + "\n"

    # -- the switch

    def _switch(self) -> None:
        """Enforcing from now on, unless it turns out that something would not work; put back unless it is confirmed."""
        node, hold = self.node, float(self.params["hold"])
        known, self.wanted.findings = self.wanted.findings, []
        self.report(switching=True)
        accepted, _problems = parse_acceptances(self.params["accept"], "accept", datetime.date.today())
        found = settle(self.wanted.findings, accepted, lambda _ref: "enforce")
        self.wanted.findings = [*known, *(finding for finding in found if finding not in known)]
        refused = [finding for finding in found if finding.refused]
        self.wanted.problems += [
            finding.refusal("the switch, without which the node stays permissive") for finding in refused
        ]
        if refused:
            return
        on, off = selinux.switch(node, True), selinux.switch(node, False)
        trial = _Trial(node)
        effect = Effect([on], [off], first=trial.before, verify=trial.after, heartbeat=True)
        change.apply(node, [], effect, float(self.params["health_timeout"]), hold)
        self.wanted.result.update(pending=True, mode="enforcing")

    # -- what is worth knowing

    def report(self, switching: bool = False) -> None:
        """:param switching: whether the policy is as it will be; before, it lacks rules, and may log what it is to hide."""
        own = {selinux.type_of(self.node.text("/proc/self/attr/current")), "sshd_t"}
        planned = {re.sub("_exec_t$", "_t", self.exec_type)} if self.exec_type else set()
        relevant = {*own, *planned, *self.domains.values(), *_HELPING} - _UNCONFINED
        settled = not self.policy_differs and not selinux.logs_everything(self.node, self.mode.policy)
        # one that enforces already is as declared, unless that is still to be confirmed
        open_ = self.mode.kernel != "enforcing" or bool(change.held_since(self.node))
        denied = self.enforce and open_ and (switching or settled)
        asks = self.enforce and self.mode.kernel != "enforcing"
        Report(self.node, self.wanted, self.enforce, relevant, asks).make(self.since(), denied)

    def _result(self, labels: Labels) -> None:
        self.wanted.result = {
            "mode": self.mode.kernel,
            "pending": False,
            "reboot_required": False,
            "labels": [{"path": p, "before": now, "after": then} for p, (now, then) in sorted(labels.items())],
            "domains": self.domains,
        }


class _Undo(_Part):
    """All of it taken back."""

    def make(self) -> None:
        names = self.owned()
        self.wanted.result = {"mode": self.mode.kernel, "pending": False, "reboot_required": False}
        if not names and not self.record:
            return
        labels = {path: was for path, was in self.record.get("labels", {}).items() if self.node.exists(path)}
        now = {path: selinux.label(self.node, path) for path in labels}
        labels = {path: was for path, was in labels.items() if now[path] != was}
        there = [name for name in names if selinux.installed(self.node, self.mode.policy, name) is not None]
        values = {n: v for n, v in self.record.get("booleans", {}).items() if selinux.booleans(self.node).get(n) != v}
        settings = self.labelling(False)
        restarts = sorted(self.restarts(labels, settings))
        self.wanted.files = [File(f"{selinux.FOLDER}/{name}.cil", None) for name in names]
        self.wanted.files += [*settings, *self._config(), File(self.record_path, None), File(self.settled_path, None)]
        self.wanted.differs = [f"module {name}: to be removed" for name in there]
        self.wanted.differs += [f"label of {path}: {now[path]} -> {was}" for path, was in sorted(labels.items())]
        self.wanted.differs += [f"boolean {name}: {not value} -> {value}" for name, value in sorted(values.items())]
        self.wanted.effect = lambda _steps: self._effect(there, labels, now, values, restarts)
        self.wanted.after = lambda: remove_empty(self.node, selinux.FOLDER, os.path.dirname(selinux.FOLDER))

    def _config(self) -> t.List[File]:
        was, text = self.record.get("configured"), self.node.text(selinux.CONFIG)
        found = [File(selinux.CONFIG, selinux.configured(text, was), None)] if was else []
        # made for a boot that has not come
        return found if self.mode.kernel else [*found, File(selinux.RELABEL, None)]

    def _effect(
        self,
        there: t.Sequence[str],
        labels: t.Mapping[str, str],
        now: t.Mapping[str, str],
        values: t.Mapping[str, bool],
        restarts: t.Sequence[str],
    ) -> Effect:
        node, policy = self.node, self.mode.policy
        effect = change.restart(*restarts) if restarts else Effect()
        first = selinux.install(node, policy, [], there, False)
        first += [*selinux.set_booleans(values), *selinux.put_back(labels, node)]
        was = self.record.get("kernel")
        if was and self.mode.kernel and was != self.mode.kernel:
            first.insert(0, selinux.switch(node, was == "enforcing"))
            effect.undo.append(selinux.switch(node, self.mode.kernel == "enforcing"))
        effect.do = [*first, *effect.do]
        effect.lasting = [
            *selinux.take_back(node, policy, [], there, False),
            *selinux.set_booleans({name: not value for name, value in values.items()}),
            *selinux.put_back({path: now[path] for path in labels}, node),
        ]
        return effect


def _relabel(node: Node, labels: Labels) -> t.List[change.Command]:
    """Label files as the policy then has them."""
    return selinux.put_back({path: then for path, (_now, then) in labels.items()}, node)


def _label(node: Node, name: str) -> str:
    """What the kernel has a program's oldest process labelled."""
    pid = pods.main_process(node, name)
    return node.text(f"/proc/{pid}/attr/current").strip("\0\n ") if pid else ""


def _escaped(path: str) -> str:
    return path.replace(".", r"\.")


class _Trial:
    """Whether a container can be started, before a change and after it."""

    def __init__(self, node: Node) -> None:
        self._node, self._complaint = node, ""

    def before(self) -> None:
        self._complaint = selinux.trial(self._node)

    def after(self) -> None:
        """:raises HardenedError: it could be before, and cannot now."""
        now = selinux.trial(self._node)
        if now and not self._complaint:
            raise HardenedError(f"no container can be started any more: {now}", "See the denials in the audit log")
