# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node's files: what is there, what differs, and writing one as a whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import typing as t
from dataclasses import dataclass

from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

_LABEL = "security.selinux"
_MODE = 0o644
#: Folders of which everything is read, whatever its name, with one that serves as well.
_READS_ALL = {"/etc/crio/crio.conf.d": "/etc/crio"}


@dataclass(frozen=True)
class File:
    """A file as it is wanted.

    :param content: None when it is not to be there.
    :param mode: None for the one that it has, as of a file that is not ours.
    """

    path: str
    content: t.Optional[str]
    mode: t.Optional[int] = _MODE


@dataclass(frozen=True)
class Step:
    """A file that is not as wanted.

    :param path: where it really is, when a link was asked for.
    :param before: what it holds; None when it is not there.
    """

    path: str
    before: t.Optional[bytes]
    after: t.Optional[bytes]
    mode: int
    mode_before: int = 0

    @property
    def action(self) -> str:
        if self.before is None:
            return "create"
        return "delete" if self.after is None else "update"

    @property
    def backup(self) -> str:
        """Where what was there before stays meanwhile: beside it, so that it goes back without needing any room.

        Nothing reads it there: its name begins with a dot, and ends as no configuration does. Where that keeps nobody
        from reading it, it is one folder further out.
        """
        return self._beside("~")

    @property
    def draft(self) -> str:
        """Where it is written, before it takes its place."""
        return self._beside("+")

    def _beside(self, sign: str) -> str:
        folder, name = os.path.split(self.path)
        folder = _READS_ALL.get(folder, folder)
        return f"{folder}/.{name}.hardened-k8s{sign}"

    def as_dict(self) -> dict[str, t.Any]:
        return {"path": self.path, "action": self.action}

    def diff(self) -> dict[str, t.Any]:
        before, after = _shown(self.before), _shown(self.after)
        if before == after:
            before, after = f"mode: {self.mode_before:04o}\n", f"mode: {self.mode:04o}\n"
        return {"before_header": self.path, "after_header": self.path, "before": before, "after": after}


def _shown(content: t.Optional[bytes]) -> str:
    return (content or b"").decode("utf-8", "replace")


def plan(node: Node, files: t.Iterable[File]) -> t.List[Step]:
    """What is to be done, and nothing for a file that is as wanted."""
    found = (_step(node, file) for file in files)
    return [step for step in found if step is not None]


def _step(node: Node, file: File) -> t.Optional[Step]:
    real = os.path.realpath(node.real(file.path))
    path = real[len(node.root) :] if real.startswith(node.root) else file.path
    before = node.read(path)
    after = None if file.content is None else file.content.encode()
    mode = stat.S_IMODE(os.stat(node.real(path)).st_mode) if before is not None else 0
    wanted = file.mode if file.mode is not None else mode or _MODE
    if before == after and (after is None or mode == wanted):
        return None
    return Step(path, before, after, wanted, mode)


def missing_folders(node: Node, steps: t.Iterable[Step]) -> t.List[str]:
    """Folders that are to be made, the outer ones first."""
    found: t.List[str] = []
    for step in steps:
        folder, chain = os.path.dirname(step.path), []
        while step.after is not None and folder != "/" and not node.exists(folder):
            chain.append(folder)
            folder = os.path.dirname(folder)
        found += [name for name in reversed(chain) if name not in found]
    return found


def write(node: Node, step: Step) -> None:
    """Do one. Whoever reads the file meanwhile finds the old one or the new one; the old one stays as its backup.

    It outlives a power cut once its folder is synced.
    """
    path, backup, draft = (node.real(name) for name in (step.path, step.backup, step.draft))
    if step.after is None:
        os.rename(path, backup)
    else:
        _draft(draft, step.after, step.mode)
        if step.before is not None:
            _as_it_was(path, draft)
            _keep(path, backup)
        elif node.exists("/sys/fs/selinux/enforce") and node.find("restorecon"):
            node.run("restorecon", draft, check=False)
        os.rename(draft, path)


def _draft(path: str, content: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(content)
        os.fchmod(handle, mode)
        os.fsync(handle)
    finally:
        os.close(handle)


def _as_it_was(path: str, draft: str) -> None:
    """The owner and the SELinux label that the file has."""
    about = os.stat(path)
    os.chown(draft, about.st_uid, about.st_gid)
    with contextlib.suppress(OSError):  # there is no SELinux
        os.setxattr(draft, _LABEL, os.getxattr(path, _LABEL))


def _keep(path: str, backup: str) -> None:
    """The same file under a second name, which takes no room and has everything of it."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(backup)
    try:
        os.link(path, backup)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            raise
        shutil.copy2(path, backup)
        about = os.stat(path)
        os.chown(backup, about.st_uid, about.st_gid)


def remove_empty(node: Node, *folders: str) -> None:
    """Folders of our own, unless something of somebody else's is there."""
    for folder in folders:
        with contextlib.suppress(OSError):
            os.rmdir(node.real(folder))


def sync_folder(path: str) -> None:
    """What was renamed in a folder outlives a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
