# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A change of a node, which happens as a whole or not at all.

Before anything is written, a journal is: a shell script that puts everything back, however far the change has come.
There is one way back, and whoever notices first takes it: the change itself when something fails, the next run when
this one was killed, a timer when nobody comes back, the next boot when the power was cut.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import typing as t
from dataclasses import dataclass, field

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.node import health, kubelet
from ansible_collections.hardened.k8s.plugins.module_utils.node.files import (
    Step,
    missing_folders,
    sync_folder,
    write,
)
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import LOCK, Node

Command = t.Tuple[str, ...]

_HOME = "/var/lib/hardened-k8s"
CHANGE = f"{_HOME}/change"
#: A change that is complete, and still has to be cleared away.
_DONE = f"{_HOME}/done"
#: There as long as this boot lasts: a change under way is not one to undo at boot.
_MARK = "/run/hardened-k8s.changing"
_TIMER = "hardened-k8s-undo-timer"
_UNIT = "/etc/systemd/system/hardened-k8s-undo.service"
_WANTED = "/etc/systemd/system/sysinit.target.wants/hardened-k8s-undo.service"
_TRACES = (_WANTED, _UNIT, _MARK)
#: What a change may take on top of its wait for a healthy node, before the timer takes it for dead.
_PATIENCE = 900
#: In a change that is left open: it was found healthy, and waits to be confirmed.
_HELD = f"{CHANGE}/held"

_UNDO_AT_BOOT = """\
# Of a change by hardened.k8s that is under way; gone when it is complete.
[Unit]
Description=Put back what an unfinished change did
DefaultDependencies=no
RequiresMountsFor={home} /etc /var
After=local-fs.target
Before=sysinit.target apparmor.service containerd.service crio.service docker.service kubelet.service
ConditionPathExists={change}/undo
ConditionPathExists=!{mark}

[Service]
Type=oneshot
ExecStart=/bin/sh {change}/undo boot
"""

_UNDO = """\
#!/bin/sh
# Puts back all that an unfinished change by hardened.k8s has done, however far it has come, also when it is run twice.
# held: by whoever has the lock; boot: before what it is about has started; otherwise by a timer.
set -u
failed=0
[ $# -gt 0 ] || {{ exec 9> {lock} && flock 9; }}
[ -e {change}/undo ] || exit 0

old() {{ # a backup, if there is one yet, goes back to its path
    if [ "$1" -ef "$2" ]; then
        rm -f -- "$1" || failed=1 # both are still the same file
    elif [ -e "$1" ]; then
        mv -f -- "$1" "$2" || failed=1
    fi
}}
gone() {{ rm -f -- "$1" || failed=1; }}
folder() {{ [ ! -d "$1" ] || rmdir -- "$1" 2> /dev/null || :; }}
live() {{ "$@" || failed=1; }}

{files}
if [ -e {change}/activated ]; then
    {lasting}
fi
if [ "${{1-}}" = boot ]; then
    {reload}
elif [ -e {change}/activated ]; then
    {live}
fi
sync
[ $failed = 0 ] || exit 1
rm -rf -- {done}
mv -- {change} {done} || exit 1
rm -f -- {mark} {wanted} {unit}
rm -rf -- {done}
"""


@dataclass
class Effect:
    """How what was written takes effect.

    :param do: commands, one after the other.
    :param undo: commands after which what was there before is in effect again, once its files are back.
    :param lasting: such commands for what outlives a boot; done before the others, and also after a power cut.
    :param first: called before anything is written.
    :param verify: raises an error when it is not in effect.
    :param restarts: units that are restarted, for the result.
    :param heartbeat: whether kubelet has to tell the API server anew that it is well, though it is not restarted.
    """

    do: t.List[Command] = field(default_factory=list)
    undo: t.List[Command] = field(default_factory=list)
    lasting: t.List[Command] = field(default_factory=list)
    first: t.Optional[t.Callable[[], None]] = None
    verify: t.Optional[t.Callable[[], None]] = None
    restarts: t.List[str] = field(default_factory=list)
    heartbeat: bool = False


def restart(*units: str) -> Effect:
    """Services read their settings anew."""
    commands: t.List[Command] = [("systemctl", "daemon-reload"), ("systemctl", "restart", *units)]
    return Effect(list(commands), list(commands), restarts=list(units))


def apply(node: Node, steps: t.Sequence[Step], effect: Effect, seconds: float = 120.0, hold: float = 0.0) -> None:
    """Write, put into effect, and wait for a healthy node; whatever goes wrong, put everything back and say why.

    :param seconds: how long to wait for a healthy node.
    :param hold: leave it open: unless :func:`confirm` is called within so many seconds, it is put back.
    :raises HardenedError: why it was not done; the node is as it was.
    """
    before = health.look(node)
    if effect.first:
        effect.first()
    folders = [folder for folder in missing_folders(node, steps) if folder != _HOME]  # which the journal makes
    _begin(node, steps, folders, effect)
    try:
        with _signals():
            _arm(node, seconds + _PATIENCE)
            for folder in folders:
                os.mkdir(node.real(folder), 0o755)
                sync_folder(os.path.dirname(node.real(folder)))
            for step in steps:
                write(node, step)
            for folder in sorted({os.path.dirname(node.real(step.path)) for step in steps}):
                sync_folder(folder)
            _activate(node, effect)
            health.wait(node, before, effect.restarts, seconds, effect.heartbeat)
            if hold:
                _arm(node, hold)
                _save(node.real(_HELD), "")
            else:
                os.rename(node.real(CHANGE), node.real(_DONE))
    except BaseException as error:
        raise _undone(node, before, effect, seconds, error) from error
    if not hold:
        _clear(node)


def _activate(node: Node, effect: Effect) -> None:
    _save(node.real(f"{CHANGE}/activated"), "")
    for command in effect.do:
        node.run(*command)
    if effect.verify:
        effect.verify()


def held(node: Node) -> None:
    """See that there is a change to confirm, and that the node is well with it.

    :raises HardenedError: there is none, or none any more.
    """
    if not node.exists(_HELD):
        raise HardenedError(
            "there is no change to confirm", "It has been put back, as nobody confirmed it in time; run again"
        )
    now = health.look(node)
    if now.ready is False or (kubelet.is_running(node) and now.kubelet is False):
        raise HardenedError("the node is not healthy, and what was changed is put back in a while", "Run again then")
    _arm(node, _PATIENCE)  # it is not put back while it is looked at


def held_since(node: Node) -> float:
    """When a change was left open that waits to be confirmed; 0 where there is none."""
    return os.stat(node.real(_HELD)).st_mtime if node.exists(_HELD) else 0.0


def confirm(node: Node) -> None:
    """The change that was left open is complete: nothing is left of what could put it back."""
    os.rename(node.real(CHANGE), node.real(_DONE))
    _clear(node)


def recover(node: Node) -> bool:
    """Put back what a run that was killed has left; whether there was any.

    :raises HardenedError: it cannot be put back.
    """
    if node.exists(_DONE):
        _clear(node)
    if not node.exists(f"{CHANGE}/undo"):
        return False
    _undo(node)
    return True


def pending(node: Node) -> bool:
    """Whether a run that was killed has left something to put back."""
    return node.exists(f"{CHANGE}/undo")


# -- the journal


def _begin(node: Node, steps: t.Sequence[Step], folders: t.Sequence[str], effect: Effect) -> None:
    """Write down how to undo it, for good, before there is anything to undo."""
    draft = node.real(f"{CHANGE}.new")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        os.makedirs(draft, mode=0o700)
        _save(f"{draft}/undo", _script(node, steps, folders, effect))
        _save(f"{draft}/backups", "".join(f"{step.backup}\n" for step in steps))
        if node.find("systemctl"):
            _at_boot(node)
        with open(node.real(_MARK), "w"):
            pass
        os.rename(draft, node.real(CHANGE))
        sync_folder(node.real(_HOME))
    except OSError as error:
        for path in (draft, node.real(CHANGE)):
            shutil.rmtree(path, ignore_errors=True)
        _remove(node, _TRACES)
        raise HardenedError(f"nothing was changed, as its journal could not be written: {error}") from error


def _script(node: Node, steps: t.Sequence[Step], folders: t.Sequence[str], effect: Effect) -> str:
    def quoted(path: str) -> str:
        return shlex.quote(node.real(path))

    lines = []
    for step in reversed(steps):
        lines.append(f"gone {quoted(step.draft)}")
        if step.before is None:
            lines.append(f"gone {quoted(step.path)}")
        else:
            lines.append(f"old {quoted(step.backup)} {quoted(step.path)}")
    lines += [f"folder {quoted(folder)}" for folder in reversed(folders)]
    units = any(step.path.startswith("/etc/systemd/") for step in steps)
    return _UNDO.format(
        files="\n".join(lines),
        lasting=_lines(effect.lasting),
        # systemd has read its units before this runs
        reload="live systemctl daemon-reload" if units else ":",
        live=_lines(effect.undo),
        lock=quoted(LOCK),
        mark=quoted(_MARK),
        change=quoted(CHANGE),
        done=quoted(_DONE),
        unit=quoted(_UNIT),
        wanted=quoted(_WANTED),
    )


def _lines(commands: t.Sequence[Command]) -> str:
    return "\n    ".join(f"live {' '.join(map(shlex.quote, command))}" for command in commands) or ":"


def _at_boot(node: Node) -> None:
    """Files are all that systemd needs for the next boot; this one does not hear of it."""
    _save(node.real(_UNIT), _UNDO_AT_BOOT.format(home=_HOME, change=CHANGE, mark=_MARK))
    os.makedirs(os.path.dirname(node.real(_WANTED)), exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.symlink(_UNIT, node.real(_WANTED))
    sync_folder(os.path.dirname(node.real(_WANTED)))


def _arm(node: Node, seconds: float) -> None:
    """Somebody looks after this change, also when who makes it is killed."""
    if node.find("systemd-run"):
        command = ["/bin/sh", node.real(f"{CHANGE}/undo")]
        node.run("systemctl", "stop", f"{_TIMER}.timer", check=False)
        node.run("systemd-run", "--quiet", "--collect", f"--unit={_TIMER}", f"--on-active={seconds:.0f}", *command)


def _save(path: str, content: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(os.path.dirname(path))


def _clear(node: Node) -> None:
    """What a complete change leaves behind. Where that fails, the next run does it."""
    with contextlib.suppress(OSError):
        sync_folder(node.real(_HOME))
        _remove(node, [*_TRACES, *node.text(f"{_DONE}/backups").splitlines()])
        shutil.rmtree(node.real(_DONE))
    _end_watch(node)


def _end_watch(node: Node) -> None:
    """Nobody looks after the change any more, and systemd knows nothing of it."""
    if not node.find("systemctl"):
        return
    node.run("systemctl", "stop", f"{_TIMER}.timer", check=False)
    name = os.path.basename(_UNIT)
    # it has read the unit where the change had it read its units
    if node.unit(name, "LoadState").get("LoadState") == "loaded":
        node.run("systemctl", "daemon-reload", check=False)


def _remove(node: Node, paths: t.Iterable[str]) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(node.real(path))


# -- the way back


def _undo(node: Node) -> None:
    done = node.run("/bin/sh", node.real(f"{CHANGE}/undo"), "held", check=False, seconds=600)
    if done.rc:
        raise HardenedError(
            f"what an unfinished change did could not all be put back: {done.complaint()}",
            f"Run sh {CHANGE}/undo on the node once that is repaired",
        )
    _end_watch(node)


def _undone(node: Node, before: health.Health, effect: Effect, seconds: float, error: BaseException) -> HardenedError:
    """Put everything back; why, and how the node is now."""
    reason = str(error) or type(error).__name__
    restarted = node.exists(f"{CHANGE}/activated")
    try:
        _undo(node)
        if restarted:
            health.wait(node, before, effect.restarts, seconds, effect.heartbeat)
    except HardenedError as second:
        return HardenedError(f"{reason.rstrip('.')}. On the way back: {second.message}", second.remedy)
    return HardenedError(f"{reason.rstrip('.')}. Everything was put back, and the node is as healthy as it was")


@contextlib.contextmanager
def _signals() -> t.Iterator[None]:
    """Being asked to end is a failure like any other."""

    def stop(number: int, _frame: t.Any) -> None:
        raise HardenedError(f"stopped by signal {number}")

    wanted = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = [signal.signal(number, stop) for number in wanted]
    try:
        yield
    finally:
        for number, handler in zip(wanted, before):
            signal.signal(number, handler)
