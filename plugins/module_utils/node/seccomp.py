# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Seccomp profiles: what is wrong with one, the runtime's own as a base, what is taken from it, what was recorded."""

from __future__ import annotations

import ctypes
import json
import re
import tempfile
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

Profile = t.Dict[str, t.Any]

ALLOW, LOG, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_ERRNO"
_NOTIFY = "SCMP_ACT_NOTIFY"
_ACTIONS = {
    *("SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", ERRNO),
    *("SCMP_ACT_TRACE", ALLOW, LOG, _NOTIFY),
}
_OPERATORS = {
    *("SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"),
}
_ARCHITECTURES = {
    *("SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS"),
    *("SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32"),
    *("SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390", "SCMP_ARCH_S390X"),
    *("SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64", "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K"),
    *("SCMP_ARCH_SH", "SCMP_ARCH_SHEB"),
}
_FLAGS = {
    *("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"),
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
}
_KEYS = {"defaultAction", "defaultErrnoRet", "architectures", "flags", "listenerPath", "listenerMetadata", "syscalls"}
_RULE_KEYS = {"names", "action", "errnoRet", "args", "comment"}
#: One more than what a register holds.
_END = 1 << 64
_ARGUMENT_KEYS = {"index", "value", "valueTwo", "op"}

#: By their names in socket(2).
FAMILIES = {
    "AF_UNIX": 1,
    "AF_INET": 2,
    "AF_INET6": 10,
    "AF_NETLINK": 16,
    "AF_PACKET": 17,
    "AF_RDS": 21,
    "AF_CAN": 29,
    "AF_TIPC": 30,
    "AF_BLUETOOTH": 31,
    "AF_ALG": 38,
    "AF_NFC": 39,
    "AF_VSOCK": 40,
    "AF_KCM": 41,
    "AF_SMC": 43,
    "AF_XDP": 44,
}

#: What every program does all the time, and what runc does itself on the way to it. It is not logged while a pod is
#: recorded, as there would be too much, and is part of every recorded profile.
_ALWAYS = re.findall(
    r"\w+",
    """
    arch_prctl brk capget capset chdir clock_gettime clock_nanosleep close dup dup2 dup3 epoll_create1 epoll_ctl
    epoll_pwait epoll_wait execve exit exit_group faccessat faccessat2 fchdir fchown fcntl fstat fstatfs futex getcwd
    getdents64 getegid geteuid getgid getpid getppid getrandom gettid getuid ioctl lseek lstat madvise mmap mprotect
    mremap munmap nanosleep newfstatat openat openat2 pipe2 poll ppoll prctl pread64 prlimit64 pselect6 pwrite64 read
    readlink readlinkat readv recvfrom recvmsg restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn
    sched_getaffinity sched_yield select sendmsg sendto set_robust_list set_tid_address setgid setgroups setuid
    sigaltstack stat statfs statx tgkill uname write writev
    """,
)


def audit() -> Profile:
    """Lets everything through, and has the kernel log it."""
    return {"defaultAction": LOG, "syscalls": [{"names": _ALWAYS, "action": ALLOW}]}


def recorded(syscalls: t.Iterable[str]) -> Profile:
    """The smallest profile that lets these through."""
    return {"defaultAction": ERRNO, "syscalls": [{"names": sorted({*_ALWAYS, *syscalls}), "action": ALLOW}]}


def learning(profile: Profile) -> Profile:
    """The same, with everything that it denies let through and logged instead."""
    softer = {**profile, "syscalls": [dict(rule) for rule in profile.get("syscalls") or ()]}
    softer.pop("defaultErrnoRet", None)
    for rule in [softer, *softer["syscalls"]]:
        key = "defaultAction" if rule is softer else "action"
        if rule[key] not in (ALLOW, LOG, _NOTIFY):
            rule[key] = LOG
            rule.pop("errnoRet", None)
    return softer


# -- what is wrong with one


def wrong(profile: t.Any) -> t.List[str]:
    """What the runtime would not understand, each on a line, with its place."""
    if not isinstance(profile, dict):
        return ["a profile is a dictionary with defaultAction and syscalls"]
    found = _unknown(profile, _KEYS, "")
    found += _wrong_action(profile, "defaultAction", "defaultErrnoRet", "")
    for key, known in (("architectures", _ARCHITECTURES), ("flags", _FLAGS)):
        for name in _list(profile, key, "", found):
            found += _choice(name, known, key)
    for index, rule in enumerate(_list(profile, "syscalls", "", found)):
        found += _wrong_rule(rule, f"syscalls[{index}]")
    if _NOTIFY in str(profile) and not profile.get("listenerPath"):
        found.append(f"{_NOTIFY} without listenerPath, at which somebody decides")
    return found


def _wrong_rule(rule: t.Any, place: str) -> t.List[str]:
    if not isinstance(rule, dict):
        return [f"{place} is no dictionary"]
    found = _unknown(rule, _RULE_KEYS, f"{place}.")
    found += _wrong_action(rule, "action", "errnoRet", f"{place}.")
    names = rule.get("names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        found.append(f"{place}.names is no list of names of system calls")
    for index, argument in enumerate(_list(rule, "args", f"{place}.", found)):
        here = f"{place}.args[{index}]"
        if not isinstance(argument, dict):
            found.append(f"{here} is no dictionary")
            continue
        found += _unknown(argument, _ARGUMENT_KEYS, f"{here}.")
        found += _choice(argument.get("op"), _OPERATORS, f"{here}.op")
        if not _is_number(argument.get("index"), 6):
            found.append(f"{here}.index is {argument.get('index')!r}, and a system call has six, 0 to 5")
        values = {"value": argument.get("value"), "valueTwo": argument.get("valueTwo", 0)}
        found += [
            f"{here}.{key} is no number of 64 bits" for key, value in values.items() if not _is_number(value, _END)
        ]
    return found


def _wrong_action(item: t.Mapping[str, t.Any], key: str, errno: str, place: str) -> t.List[str]:
    """An action, and the error that goes with it."""
    found = _choice(item.get(key), _ACTIONS, f"{place}{key}")
    if item.get(errno) is None:
        return found
    if not _is_number(item[errno], 4096):
        found.append(f"{place}{errno} is {item[errno]!r}, which is no error's number")
    if item.get(key) not in (ERRNO, "SCMP_ACT_TRACE"):
        found.append(f"{place}{errno} goes with {ERRNO} and SCMP_ACT_TRACE only")
    return found


def _is_number(value: t.Any, end: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < end


def _unknown(item: t.Mapping[str, t.Any], known: t.AbstractSet[str], place: str) -> t.List[str]:
    return [f"{place}{key} is not known" for key in item if key not in known]


def _choice(value: t.Any, known: t.AbstractSet[str], place: str) -> t.List[str]:
    return (
        []
        if isinstance(value, str) and value in known
        else [f"{place} is {value!r}, which is none of {', '.join(sorted(known))}"]
    )


def _list(item: t.Mapping[str, t.Any], key: str, place: str, found: t.List[str]) -> t.List[t.Any]:
    value = [] if item.get(key) is None else item[key]
    if not isinstance(value, list):
        found.append(f"{place}{key} is no list")
        return []
    return value


class Library:
    """libseccomp, as the runtime of this node uses it; nothing is known without it."""

    def __init__(self) -> None:
        try:
            self._library: t.Optional[ctypes.CDLL] = ctypes.CDLL("libseccomp.so.2")
        except OSError:
            self._library = None
            return
        self._library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p

    @property
    def is_there(self) -> bool:
        return self._library is not None

    def unknown(self, names: t.Iterable[str]) -> t.List[str]:
        """System calls by names that it does not know, which the runtime would leave out without a word."""
        if self._library is None:
            return []
        resolve = self._library.seccomp_syscall_resolve_name
        return sorted(name for name in set(names) if resolve(name.encode()) == -1)

    def unknown_architectures(self, profile: Profile) -> t.List[str]:
        """Those that it does not know, with which no container would start."""
        if self._library is None:
            return []
        resolve = self._library.seccomp_arch_resolve_name
        names = profile.get("architectures") or ()
        return sorted(name for name in names if not resolve(name[len("SCMP_ARCH_") :].lower().encode()))

    def name(self, number: int, architecture: int) -> str:
        """A system call's name; its number where that is not known."""
        if self._library is None:
            return str(number)
        # the kernel's name of an architecture is also libseccomp's
        found = self._library.seccomp_syscall_resolve_num_arch(ctypes.c_uint32(architecture), ctypes.c_int(number))
        return found.decode() if found else str(number)


# -- the runtime's own, and what is taken from it


def runtime_default(node: Node) -> Profile:
    """What the installed runtime gives to a container with the usual capabilities.

    containerd has it compiled in. Its client writes it into a container, which is never started and goes again.

    :raises HardenedError: there is no runtime that shows it.
    """
    if not node.find("ctr"):
        text = node.text("/usr/share/containers/seccomp.json")  # CRI-O's
        if not text:
            raise HardenedError("no runtime here shows its own seccomp profile", "Give profile instead of base")
        found: Profile = json.loads(text)
        return {key: value for key, value in found.items() if key in _KEYS}
    space, name = "hardened-k8s", "seccomp"
    ctr = ("ctr", "--namespace", space)
    with tempfile.TemporaryDirectory() as scratch:
        node.run(*ctr, "containers", "delete", name, check=False)  # of a run that was killed
        try:
            node.run(*ctr, "containers", "create", "--seccomp", "--rootfs", scratch, name, "true")
            about = json.loads(node.run(*ctr, "containers", "info", name).out)
        finally:
            node.run(*ctr, "containers", "delete", name, check=False)
            node.run("ctr", "namespaces", "remove", space, check=False)
    base: Profile = about["Spec"]["linux"]["seccomp"]
    return base


def names(profile: Profile) -> t.Set[str]:
    """The system calls that a profile names."""
    return {name for rule in profile.get("syscalls") or () for name in rule["names"]}


def without(base: Profile, syscalls: t.Iterable[str], families: t.Iterable[int], allowed: t.Iterable[str]) -> Profile:
    """A profile that lets less through, and some more.

    :param families: of sockets.
    """
    gone, more = set(syscalls), sorted(set(allowed))
    rules = []
    for rule in base.get("syscalls") or ():
        names = [name for name in rule["names"] if name not in gone and name not in more]
        if names:
            rules.append({**rule, "names": names})
    profile = {**base, "syscalls": rules + ([{"names": more, "action": ALLOW}] if more else [])}
    return _without_families(profile, sorted(set(families))) if families else profile


def _without_families(profile: Profile, families: t.Sequence[int]) -> Profile:
    """Without some families of sockets.

    Rules of one system call are alternatives, so a further rule cannot take anything back. socketcall hides its
    arguments, and would be a way around.
    """
    spans: t.List[t.Tuple[int, int]] = []
    rules = []
    for rule in profile["syscalls"]:
        names = [name for name in rule["names"] if name not in ("socket", "socketcall")]
        if "socket" in rule["names"] and rule["action"] == ALLOW:
            spans += _spans(rule.get("args") or [])
        elif "socket" in rule["names"]:
            names.append("socket")
        if names:
            rules.append({**rule, "names": names})
    for family in families:
        spans = [
            part
            for low, high in spans
            for part in ((low, min(high, family)), (max(low, family + 1), high))
            if part[0] < part[1]
        ]
    conditions = [arguments for span in sorted(set(spans)) for arguments in _conditions(*span)]
    rules += [{"names": ["socket"], "action": ALLOW, "args": arguments} for arguments in conditions]
    return {**profile, "syscalls": rules}


def _spans(arguments: t.Sequence[t.Mapping[str, t.Any]]) -> t.List[t.Tuple[int, int]]:
    """From and to of the families that a rule lets through; its other conditions are not kept, which no default has.

    :raises HardenedError: it is one that this cannot tell of.
    """
    if not arguments:
        return [(0, _END)]
    if len(arguments) == 1 and arguments[0]["index"] == 0:
        value = int(arguments[0]["value"])
        known = {
            "SCMP_CMP_EQ": [(value, value + 1)],
            "SCMP_CMP_NE": [(0, value), (value + 1, _END)],
            "SCMP_CMP_LT": [(0, value)],
            "SCMP_CMP_LE": [(0, value + 1)],
            "SCMP_CMP_GT": [(value + 1, _END)],
            "SCMP_CMP_GE": [(value, _END)],
        }
        if arguments[0]["op"] in known:
            return known[arguments[0]["op"]]
    raise HardenedError("the base has a rule for socket from which no family can be taken", "Give profile instead")


def _conditions(low: int, high: int) -> t.List[t.List[t.Dict[str, t.Any]]]:
    """Conditions, one of which holds for each of these families; two in one rule would be alternatives to runc."""
    if high == _END:
        return [[{"index": 0, "value": low, "op": "SCMP_CMP_GE"}] if low else []]
    if low == 0:
        return [[{"index": 0, "value": high, "op": "SCMP_CMP_LT"}]]
    return [[{"index": 0, "value": family, "op": "SCMP_CMP_EQ"}] for family in range(low, high)]
