# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SELinux on a node: its mode, its policy's local modules, what files and processes are labelled, what it denies.

What is local to this node's policy is written in CIL, which says labels of files and rules alike, so that one call of
semodule puts all of it in or takes all of it out: each call compiles the whole policy.
"""

from __future__ import annotations

import bz2
import os
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.node import audit
from ansible_collections.hardened.k8s.plugins.module_utils.node.change import Command
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

CONFIG = "/etc/selinux/config"
#: Where the local modules are kept as text, each in a file of its name.
FOLDER = "/etc/hardened-k8s/selinux"
KERNEL = "/sys/fs/selinux"
#: Has the next boot label every file anew.
RELABEL = "/.autorelabel"
#: Of local modules; a distribution's own have 100.
PRIORITY = "400"
MARK = "; of hardened.k8s: "

#: Of a program that starts one of another domain: where they are denied, that one begins with a clean environment.
_HARMLESS = {"noatsecure", "rlimitinh", "siginh"}
#: The container that is started to see whether one can be.
_TRIAL = "hardened-k8s-trial"
_NEEDED = ("semodule", "restorecon", "matchpathcon")
_APPARMOR = "/sys/module/apparmor/parameters/enabled"
_META = re.compile(r"[.^$?*+|\[({\\]")
#: What can come before the file name in an output of restorecon that changes nothing.
_WOULD = re.compile(r"^Would relabel (.+) from (\S+) to (\S+)$", re.MULTILINE)
_PUT_BACK = 'for file; do [ ! -e "$file" ] && [ ! -L "$file" ] || chcon -h -- "$0" "$file" || exit 1; done'
#: Nothing where nothing has to be done, as each takes long.
_TAKE_BACK = """\
store=$0 priority=$1 everything=$2 added=$3 changed=$4 now=
set --
for name in $added; do [ ! -d "$store/modules/$priority/$name" ] || set -- "$@" -r "$name"; done
for path in $changed; do set -- "$@" -i "$path"; done
[ $# = 0 ] || semodule $everything -X "$priority" "$@" || exit 1
[ ! -e "$store/disable_dontaudit" ] || now=-D
[ "$now" = "$everything" ] || exec semodule $everything -B
"""
#: So many paths in one command; the kernel takes more.
_AT_ONCE = 500


class Mode(t.NamedTuple):
    """In which mode SELinux is.

    :param kernel: of the running kernel; empty where it has none.
    :param configured: that of the next boot.
    :param policy: the name of the policy.
    """

    kernel: str
    configured: str
    policy: str


@dataclass(frozen=True)
class Spec:
    """A label for files, as the policy has them.

    :param pattern: a regular expression that a whole path matches.
    :param kind: what ``filecon`` calls the kind of file.
    """

    pattern: str
    setype: str
    kind: str = "any"

    @property
    def root(self) -> str:
        """The path below which all that it matches lies."""
        found = _META.search(self.pattern)
        return self.pattern if not found else (self.pattern[: found.start()].rpartition("/")[0] or "/")

    def cil(self) -> str:
        return f'(filecon "{self.pattern}" {self.kind} (system_u object_r {self.setype} ((s0) (s0))))'


@dataclass(frozen=True)
class Module:
    """A local module of the policy."""

    name: str
    cil: str

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.name}.cil"

    def text(self, owner: str) -> str:
        return f"{MARK}{owner}\n{self.cil.strip()}\n"


# -- whether there is any


def mode(node: Node) -> Mode:
    text = node.text(CONFIG)
    said = {1: "enforcing", 0: "permissive"}
    enforce = node.text(f"{KERNEL}/enforce").strip()
    return Mode(
        said[int(enforce)] if enforce in ("0", "1") else "",
        _setting(text, "SELINUX").lower(),
        _setting(text, "SELINUXTYPE") or "targeted",
    )


def _setting(text: str, name: str) -> str:
    found = re.search(rf"^\s*{name}\s*=\s*(\S+)", text, re.MULTILINE)
    return found.group(1) if found else ""


def configured(text: str, value: str) -> str:
    """The configuration with another mode for the next boot."""
    return re.sub(r"(?m)^(\s*SELINUX\s*=\s*)\S+", rf"\g<1>{value}", text, count=1)


def require(node: Node) -> None:
    """:raises HardenedError: SELinux can confine nothing here, with what to do about it."""
    found = mode(node)
    if not found.kernel:
        if node.text(_APPARMOR).strip() == "Y":
            raise HardenedError(
                "this host has AppArmor, and a kernel has only one of the two",
                "Use the role hardened.k8s.apparmor for it",
            )
        if not found.configured or "selinux=0" in node.text("/proc/cmdline").split():
            raise HardenedError(
                "SELinux cannot be enforced here: this kernel does not have it, or was started without it",
                "Install a policy, and start the kernel with selinux=1 security=selinux",
            )
        return
    missing = [name for name in _NEEDED if not node.find(name)]
    if missing:
        raise HardenedError(
            f"{', '.join(missing)} is not installed", "Install policycoreutils and libselinux-utils (selinux-utils)"
        )


# -- labels


def type_of(context: str) -> str:
    """The type of ``user:role:type:level``; empty when it is none."""
    parts = context.split(":")
    return parts[2] if len(parts) > 2 else ""


def label(node: Node, path: str) -> str:
    """What a file is labelled; empty where it is not there, or not labelled."""
    try:
        return os.getxattr(node.real(path), "security.selinux", follow_symlinks=False).decode().rstrip("\0")
    except OSError:
        return ""


def wanted(node: Node, paths: t.Sequence[str]) -> t.Dict[str, str]:
    """Path -> type that the policy has for a file of that name, whether or not it is there."""
    if not paths:
        return {}
    said = node.run("matchpathcon", "-m", "file", *paths, check=False).out
    rows = (line.partition("\t") for line in said.splitlines())
    return {path: type_of(context.strip()) for path, tab, context in rows if tab}


def mislabelled(node: Node, paths: t.Sequence[str]) -> t.Dict[str, t.Tuple[str, str]]:
    """Path -> what it and what is in it are labelled, and what the policy has for them, where these differ.

    Other file systems that are mounted there are left alone, as is what somebody labelled for a container.
    """
    there = [node.real(path) for path in paths if node.exists(path)]
    if not there:
        return {}
    said = node.run("restorecon", "-R", "-n", "-v", "-x", *there, seconds=1800).out
    found = {path[len(node.root) :]: (now, then) for path, now, then in _WOULD.findall(said)}
    # with categories, it is some container's, and the policy does not know whose
    return {path: labels for path, labels in found.items() if ":c" not in labels[0]}


def relabelled(node: Node, specs: t.Sequence[Spec]) -> t.Dict[str, t.Tuple[str, str]]:
    """The same for labels that the policy does not have yet."""
    found: t.Dict[str, t.Tuple[str, str]] = {}
    # of two that match, the policy takes the one that says more before its first special character
    order = sorted(specs, key=lambda spec: (not _META.search(spec.pattern), len(spec.root), len(spec.pattern)))
    for root in sorted({spec.root for spec in specs}):
        for path in _below(node, root):
            fitting = [spec for spec in order if re.fullmatch(spec.pattern, path)]
            now = label(node, path)
            if fitting and now and type_of(now) != fitting[-1].setype:
                found[path] = (now, now.replace(type_of(now), fitting[-1].setype))
    return found


def _below(node: Node, root: str) -> t.Iterator[str]:
    """A path and all that is in it, on the same file system."""
    if not node.exists(root):
        return
    yield root
    device = os.lstat(node.real(root)).st_dev
    for folder, folders, names in os.walk(node.real(root)):
        folders[:] = [name for name in folders if os.lstat(os.path.join(folder, name)).st_dev == device]
        for name in [*folders, *names]:
            yield os.path.join(folder, name)[len(node.root) :]


def moved(node: Node, policy: str, usual: str, actual: str) -> t.List[Spec]:
    """What the policy has for a folder, for another one that is used in its place."""
    found = []
    for name in ("file_contexts", "file_contexts.local"):
        for line in node.text(f"/etc/selinux/{policy}/contexts/files/{name}").splitlines():
            fields = line.split()
            pattern, setype = (fields[0], type_of(fields[-1])) if fields else ("", "")
            if setype and re.match(rf"{re.escape(usual)}(?![\w.-])", pattern):
                found.append(Spec(actual + pattern[len(usual) :], setype, _KINDS.get(fields[1], "any")))
    return found


_KINDS = {"--": "file", "-d": "dir", "-l": "symlink", "-s": "socket", "-p": "pipe", "-b": "block", "-c": "char"}


def put_back(labels: t.Mapping[str, str], node: Node) -> t.List[Command]:
    """Commands that label files as they were."""
    by_label: t.Dict[str, t.List[str]] = {}
    for path, before in sorted(labels.items()):
        by_label.setdefault(before, []).append(node.real(path))
    return [
        ("/bin/sh", "-c", _PUT_BACK, before, *paths[start : start + _AT_ONCE])
        for before, paths in by_label.items()
        for start in range(0, len(paths), _AT_ONCE)
    ]


# -- the policy


def installed(node: Node, policy: str, name: str) -> t.Optional[str]:
    """The text of a local module that the policy has; None when it has none of that name."""
    content = node.read(f"{_store(policy)}/{name}/cil")
    if content is None:
        return None
    try:
        return bz2.decompress(content).decode("utf-8", "replace")
    except OSError:  # as semanage.conf may have it
        return content.decode("utf-8", "replace")


def _store(policy: str) -> str:
    return f"/var/lib/selinux/{policy}/active/modules/{PRIORITY}"


def logs_everything(node: Node, policy: str) -> bool:
    """Whether the policy logs also what it would deny without a word."""
    return node.exists(f"/var/lib/selinux/{policy}/active/disable_dontaudit")


def take_back(
    node: Node, policy: str, added: t.Sequence[str], changed: t.Sequence[str], everything: bool
) -> t.List[Command]:
    """Have the policy as it was, if it is not, once files are as they were.

    :param added: modules that it did not have.
    :param changed: those of which it had another text.
    """
    if not added and not changed and everything == logs_everything(node, policy):
        return []
    store = node.real(_store(policy).rpartition("/modules/")[0])
    texts = [node.real(f"{FOLDER}/{name}.cil") for name in changed]
    return [("/bin/sh", "-c", _TAKE_BACK, store, PRIORITY, _flag(node, policy), " ".join(added), " ".join(texts))]


def _flag(node: Node, policy: str) -> str:
    return "-D" if logs_everything(node, policy) else ""


def install(
    node: Node, policy: str, names: t.Sequence[str], removed: t.Sequence[str], everything: bool
) -> t.List[Command]:
    """One transaction, by which the policy has all of it or is as it was; and one more after a time of full logs.

    Nothing where nothing differs, as each compiles the whole policy. That a policy denies silently again is only to be
    had by -B, which goes with no other command.
    """
    command = ["semodule", *(["-D"] if everything else []), "-X", PRIORITY]
    for name in removed:
        command += ["-r", name]
    for name in names:
        command += ["-i", node.real(f"{FOLDER}/{name}.cil")]
    found: t.List[Command] = [tuple(command)] if names or removed else []
    if logs_everything(node, policy) and not everything:
        found.append(("semodule", "-B"))
    elif everything and not found and not logs_everything(node, policy):
        found.append(("semodule", "-D", "-B"))
    return found


class _Decision(t.NamedTuple):
    """What the policy that the kernel has says of some operations, as sets of bits."""

    asked: int
    allowed: int
    logged: int


def _decide(node: Node, source: str, target: str, kind: str, operations: t.Iterable[str]) -> t.Optional[_Decision]:
    """None where it cannot be asked, or does not know one of them."""
    folder = f"{KERNEL}/class/{kind}"
    bits = [node.text(f"{folder}/perms/{name}").strip() for name in operations]
    index = node.text(f"{folder}/index").strip()
    try:
        asked = sum({1 << (int(bit) - 1) for bit in bits})
        with open(node.real(f"{KERNEL}/access"), "r+b", buffering=0) as file:
            file.write(f"{source} {target} {int(index)}".encode())
            answer = file.read(4096).decode().split()
        return _Decision(asked, int(answer[0], 16), int(answer[3], 16))
    except (OSError, ValueError, IndexError):
        return None


def allows(node: Node, source: str, target: str, kind: str, operations: t.Iterable[str]) -> t.Optional[bool]:
    """Whether the policy that the kernel has allows that; None where it cannot be asked.

    :param source: a context, as is the target.
    """
    said = _decide(node, source, target, kind, operations)
    return said and said.allowed & said.asked == said.asked


def is_silent(node: Node, denial: Denial) -> bool:
    """Whether the policy denies it without a word: its authors have seen it, and that nothing needs it."""
    said = _decide(node, denial.contexts[0], denial.contexts[1], denial.kind, denial.operations)
    return said is not None and not said.logged & ~said.allowed & said.asked


def is_allowed(node: Node, denial: Denial) -> bool:
    """Whether the policy that the kernel has by now allows it."""
    return bool(allows(node, *denial.contexts, denial.kind, denial.operations))


def booleans(node: Node) -> t.Dict[str, bool]:
    """Those that the kernel's policy has, with their values."""
    folder = f"{KERNEL}/booleans"
    return {name: node.text(f"{folder}/{name}").split()[:1] == ["1"] for name in node.names(folder)}


def set_booleans(values: t.Mapping[str, bool]) -> t.List[Command]:
    """For good, in one call."""
    pairs = [f"{name}={'on' if value else 'off'}" for name, value in sorted(values.items())]
    return [("setsebool", "-P", *pairs)] if pairs else []


def switch(node: Node, enforcing: bool) -> Command:
    """The mode of the running kernel."""
    return ("/bin/sh", "-c", 'echo "$1" > "$0"', node.real(f"{KERNEL}/enforce"), "1" if enforcing else "0")


# -- what it denies


@dataclass(frozen=True)
class Denial:
    """What was denied, or would have been, to all processes of one domain.

    :param path: one of the files, where it is known.
    :param programs: who did it.
    """

    source: str
    target: str
    kind: str
    operations: t.Tuple[str, ...]
    path: str
    programs: t.Tuple[str, ...]
    count: int
    contexts: t.Tuple[str, str] = ("", "")

    def rule(self) -> str:
        """The rule that would allow it."""
        target = "self" if self.target == self.source else self.target
        return f"(allow {self.source} {target} ({self.kind} ({' '.join(self.operations)})))"


def denials(node: Node, since: float) -> t.Tuple[t.List[Denial], bool]:
    """What was logged since then, one for each domain, type and kind of object; and whether some was lost."""
    found: t.Dict[t.Tuple[str, str, str], t.List[audit.Record]] = {}
    log = audit.read(node, "avc:", since=since)
    for record in log.records:
        ends = [type_of(record.get(end, "")) for end in ("scontext", "tcontext")]
        matters = set(record.get("denied", "").split()) - _HARMLESS
        if all(ends) and matters and float(record.get("time") or since) >= since:
            found.setdefault((ends[0], ends[1], record.get("tclass", "")), []).append(record)
    return [_denial(*key, records) for key, records in sorted(found.items())], log.lost


def _denial(source: str, target: str, kind: str, records: t.Sequence[audit.Record]) -> Denial:
    operations = {name for record in records for name in record["denied"].split()}
    paths = [record.get("path") or "" for record in records]
    return Denial(
        source,
        target,
        kind,
        tuple(sorted(operations)),
        next((path for path in paths if path.startswith("/")), ""),
        tuple(sorted({record.get("comm", "?") for record in records})),
        len(records),
        (records[0]["scontext"], records[0]["tcontext"]),
    )


# -- containers


def trial(node: Node) -> str:
    """Start a container and end it again; why that fails, empty where it does not or cannot be tried.

    It is made of the image that every pod begins with, as that is on every node.
    """
    if not node.find("ctr"):
        return ""
    ctr = ("ctr", "--namespace", "k8s.io")
    images = node.run(*ctr, "images", "list", "--quiet", check=False).out.split()
    image = next((name for name in images if re.search(r"/pause[:@]", name)), "")
    if not image:
        return ""

    def clear() -> None:
        node.run(*ctr, "tasks", "delete", "--force", _TRIAL, check=False)
        node.run(*ctr, "containers", "delete", _TRIAL, check=False)

    try:
        clear()  # of a run that was killed
        done = node.run(*ctr, "run", "--detach", image, _TRIAL, check=False, seconds=120)
        clear()
    except HardenedError as error:
        return error.message
    return done.complaint() if done.rc else ""
