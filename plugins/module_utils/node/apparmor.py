# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AppArmor on a node: profiles as files and in the kernel, who is confined by them, and what they deny."""

from __future__ import annotations

import contextlib
import os
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.node import audit, pods
from ansible_collections.hardened.k8s.plugins.module_utils.node.change import Command
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

FOLDER = "/etc/apparmor.d"
PARSER = "apparmor_parser"
_KERNEL = "/sys/kernel/security/apparmor"
_ENABLED = "/sys/module/apparmor/parameters/enabled"
_CACHE = "/var/cache/apparmor"
_COMPILED = "compiled"
_MARK = "# of hardened.k8s: "

#: What every profile begins with: how a pod can end, and what the runtime's own profile keeps from containers, too.
_PROFILE = """\
{mark}{owner}
include <tunables/global>

profile {name} flags=({flags}) {{
  # without these, a pod never ends where runc is confined itself
  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
  signal (send, receive) peer={name},
  ptrace (trace, read, tracedby, readby) peer={name},

  {deny} mount,
  {deny} umount,
  {deny} pivot_root,
  {deny} @{{PROC}}/sys/** wkl,
  {deny} @{{PROC}}/sysrq-trigger rwkl,
  {deny} @{{PROC}}/kcore rwkl,
  {deny} @{{PROC}}/kmem rwkl,
  {deny} @{{PROC}}/mem rwkl,
  {deny} /sys/[^f]*/** wkl,
  {deny} /sys/f[^s]*/** wkl,
  {deny} /sys/fs/[^c]*/** wkl,
  {deny} /sys/firmware/** rwkl,
  {deny} /sys/kernel/security/** rwkl,

{rules}
}}
"""

#: A name may be gone already, and the file that it came from, too.
_REMOVE = 'if grep -q "^$1 (" "$0/profiles"; then echo "profile $1 {}" | apparmor_parser --remove; fi'


@dataclass(frozen=True)
class Profile:
    """A profile as it is declared.

    :param rules: what is between its braces.
    :param complain: whether what it does not allow is logged only.
    """

    name: str
    version: int
    rules: str
    complain: bool = False

    @property
    def loaded(self) -> str:
        """What the kernel and pods call it."""
        return f"k8s.{self.name}.v{self.version}"

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.loaded}"

    @property
    def mode(self) -> str:
        return "complain" if self.complain else "enforce"

    def text(self, owner: str) -> str:
        """The file. A rule that denies would deny in complain mode, too, unless it says that it wants it logged."""
        flags = ["attach_disconnected", "mediate_deleted", *(["complain"] if self.complain else [])]
        rules, deny = self.rules.strip("\n"), "deny"
        if self.complain:
            rules, deny = re.sub(r"(?m)^(\s*)deny\b", r"\1audit deny", rules), "audit deny"
        indented = "\n".join(f"  {line}" if line.strip() else "" for line in rules.splitlines())
        return _PROFILE.format(
            mark=_MARK, owner=owner, name=self.loaded, flags=", ".join(flags), deny=deny, rules=indented
        )


def require(node: Node, parser_expected: bool) -> None:
    """:param parser_expected: whether the parser may be missing.
    :raises HardenedError: AppArmor confines nothing here, with what to do about it."""
    if node.text(_ENABLED).strip() == "Y" and node.exists(f"{_KERNEL}/profiles"):
        if not node.find(PARSER) and not parser_expected:
            raise HardenedError(
                f"{PARSER} is not installed, without which nobody can load a profile, containerd included",
                "Install the package apparmor (apparmor-parser on SUSE)",
            )
        return
    if node.exists("/sys/fs/selinux/enforce"):
        raise HardenedError(
            "this host has SELinux, and a kernel has only one of the two", "Use the role hardened.k8s.selinux for it"
        )
    raise HardenedError(
        "AppArmor cannot be enforced here: this kernel does not have it, or was started without it",
        "Use a kernel with CONFIG_SECURITY_APPARMOR, and apparmor=1 security=apparmor on its command line",
    )


def loaded(node: Node) -> t.Dict[str, str]:
    """Name -> mode of all that the kernel has."""
    lines = (line.rpartition(" ") for line in node.text(f"{_KERNEL}/profiles").splitlines())
    return {name: mode.strip("()") for name, space, mode in lines if space}


def owned(node: Node, owner: str) -> t.Dict[str, str]:
    """Name -> text of this owner's files."""
    texts = {name: node.text(f"{FOLDER}/{name}") for name in node.names(FOLDER) if name.startswith("k8s.")}
    return {name: text for name, text in texts.items() if text.startswith(f"{_MARK}{owner}\n")}


def cached(node: Node, name: str) -> t.List[str]:
    """Where the parser keeps what it made of a file."""
    paths = [f"{_CACHE}/{folder}/{name}" for folder in node.names(_CACHE)]
    return [path for path in paths if node.exists(path)]


def rules_of(text: str) -> str:
    """A file without what differs between its modes."""
    return re.sub(r"(?m)^(\s*)audit deny\b", r"\1deny", text.replace(", complain)", ")"))


# -- the parser and the kernel


def check(node: Node, profiles: t.Sequence[Profile], owner: str, scratch: str) -> t.Dict[str, str]:
    """What the parser says against profiles, by name; all of them in one call.

    :param scratch: an empty folder, where :func:`compiled` then finds what it has made of them.
    """
    if not profiles:
        return {}
    paths = []
    for profile in profiles:
        paths.append(os.path.join(scratch, profile.loaded))
        with open(paths[-1], "w", encoding="utf-8") as file:
            file.write(profile.text(owner))
    cache = os.path.join(scratch, _COMPILED)
    os.mkdir(cache)
    keep = ("--skip-read-cache", "--write-cache", f"--cache-loc={cache}")
    done = node.run(PARSER, "--skip-kernel-load", *keep, *paths, check=False)
    if not done.rc:
        return {}
    # which of them it means is only certain when there is one
    each = {
        p.loaded: node.run(PARSER, "--skip-kernel-load", "--skip-cache", path, check=False)
        for p, path in zip(profiles, paths)
    }
    return {name: result.complaint().replace(f"{scratch}/", "") for name, result in each.items() if result.rc}


def compiled(scratch: str) -> t.Dict[str, str]:
    """Name -> file that the kernel takes as it is, of what was checked there; a parser may have kept none."""
    # by the kernel's features, where the parser knows several
    folders = sorted(os.walk(os.path.join(scratch, _COMPILED)))
    return {name: os.path.join(folder, name) for folder, _inner, names in folders for name in names}


def load(node: Node, names: t.Sequence[str], ready: t.Mapping[str, str]) -> t.List[Command]:
    """Have the kernel take files, all in one call.

    Not by the parser's cache: of a file that was put back, it would take what the newer one was.

    :param ready: those of :func:`compiled`, which take a small part of the time.
    """
    binary = [ready[name] for name in names if name in ready]
    text = [node.real(f"{FOLDER}/{name}") for name in names if name not in ready]
    commands: t.List[Command] = [(PARSER, "--replace", "--binary", *binary)] if binary else []
    return commands + ([(PARSER, "--replace", "--skip-cache", *text)] if text else [])


def unload(node: Node, names: t.Sequence[str]) -> t.List[Command]:
    return [("/bin/sh", "-c", _REMOVE, node.real(_KERNEL), name) for name in names]


def verify(node: Node, profiles: t.Sequence[Profile]) -> None:
    """:raises HardenedError: the kernel does not have one of them in its mode."""
    found = loaded(node)
    wrong = [p.loaded for p in profiles if found.get(p.loaded) != p.mode]
    if wrong:
        raise HardenedError(f"the kernel does not have {', '.join(wrong)} as declared, though the parser loaded it")


# -- containers


def users(node: Node) -> t.Dict[str, t.List[pods.Process]]:
    """Profile -> processes of pods that it confines."""
    found: t.Dict[str, t.List[pods.Process]] = {}
    for process in pods.processes(node):
        found.setdefault(_profile_of(process.label), []).append(process)
    return found


def other_users(node: Node, of_pods: t.Mapping[str, t.Sequence[pods.Process]]) -> t.Set[str]:
    """Profiles that confine a process which is no pod's, such as one of a container that Docker or ctr started.

    :param of_pods: what :func:`users` has found.
    """
    found, in_pods = set(), {process.pid for processes in of_pods.values() for process in processes}
    for name in node.names("/proc"):
        if name.isdigit() and int(name) not in in_pods:
            with contextlib.suppress(OSError):  # it has ended
                found.add(_profile_of(node.text(f"/proc/{name}/attr/current").strip("\0\n ")))
    return found


def _profile_of(label: str) -> str:
    """Without its mode, and without a hat."""
    return re.sub(r"(//.*)? \(\w+\)$", "", label)


def would_deny(node: Node, names: t.AbstractSet[str], since: float) -> t.Tuple[t.Dict[str, t.List[audit.Record]], bool]:
    """Profile -> what was logged that it does not allow, while it was in complain mode; and whether some was lost."""
    found: t.Dict[str, t.List[audit.Record]] = {}
    log = audit.read(node, 'apparmor="ALLOWED"', since=since)
    for record in log.records:
        name = record.get("profile", "").partition("//")[0]
        if name in names:
            found.setdefault(name, []).append(record)
    return found, log.lost


def said(record: audit.Record) -> str:
    """What was done, on one line."""
    parts = [record.get("operation", "?"), record.get("name") or record.get("capname") or record.get("family", "")]
    parts += [f"({record['denied_mask']})"] if "denied_mask" in record else []
    return " ".join([*filter(None, parts), "by", record.get("comm", "?")])
