# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""containerd's settings: what is in effect, files that add to them, and what containerd makes of these."""

from __future__ import annotations

import fnmatch
import json
import re
import tempfile
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.node.files import File
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

CONFIG = "/etc/containerd/config.toml"
FOLDER = "/etc/containerd/conf.d"
#: The plug-in that runs pods, by the version of the settings' format.
_RUNTIME = {2: "io.containerd.grpc.v1.cri"}
_NEWER_RUNTIME = "io.containerd.cri.v1.runtime"

_CRIO = "/etc/crio/crio.conf"
#: CRI-O loads it itself when it starts.
_CRIO_DEFAULT = "crio-default"

_MARK = "# of hardened.k8s: "
_IMPORTED = "# by hardened.k8s"
_WAS = "# was, before hardened.k8s: "
_MADE = "# made by hardened.k8s, as there was none\n"

#: (section, key) -> value, as containerd prints it.
Dump = t.Dict[t.Tuple[str, str], str]
Plugins = t.Mapping[str, t.Mapping[str, t.Any]]


class Containerd:
    """The one that is installed, with the settings that it now has on disk.

    :raises HardenedError: it is not there, or its present settings cannot be read.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        if not node.find("containerd"):
            raise HardenedError("containerd is not installed here", "CRI-O has its own drop-ins, below /etc/crio")
        self.now = parse(self._dump(CONFIG))
        self.version = self._format()

    def _format(self) -> int:
        """The version of the format that further files are to have."""
        written = re.search(r"^\s*version\s*=\s*(\d+)", self._node.text(CONFIG), re.MULTILINE)
        if written:
            return int(written.group(1))
        # a file without one is of the oldest format; without a file, it is the newest
        return 1 if self._node.exists(CONFIG) else int(self.now.get(("", "version"), "2"))

    def _dump(self, path: str) -> str:
        return self._node.run("containerd", "--config", self._node.real(path), "config", "dump", seconds=120).out

    @property
    def runtime(self) -> str:
        """The plug-in that runs pods."""
        if self.version < 2:
            raise HardenedError(f"{CONFIG} is of format 1", "Have containerd config migrate rewrite it")
        return _RUNTIME.get(self.version, _NEWER_RUNTIME)

    def value(self, key: str) -> str:
        """A setting of that plug-in, as it is now; empty when there is none of that name."""
        known = (_RUNTIME[2], _NEWER_RUNTIME)
        return next((v for (section, k), v in self.now.items() if k == key and section.endswith(known)), "")

    # -- further settings

    def drop_in(self, plugins: Plugins, owner: str) -> str:
        """A file to import."""
        lines = [f"{_MARK}{owner}", f"version = {self.version}"]
        for name, settings in sorted(plugins.items()):
            plugin = self.runtime if name == "runtime" else name
            lines += ["", *_table([f"plugins.{json.dumps(plugin)}"], settings)]
        return "\n".join(lines) + "\n"

    def owned(self, owner: str) -> t.List[str]:
        paths = [f"{FOLDER}/{name}" for name in self._node.names(FOLDER) if name.endswith(".toml")]
        return [path for path in paths if self._node.text(path).startswith(f"{_MARK}{owner}\n")]

    def files(self, drop_ins: t.Mapping[str, Plugins], owner: str) -> t.List[File]:
        """What is to be on disk for these settings to be read, and what of this owner is no longer to be."""
        wanted = {f"{FOLDER}/{name}.toml": self.drop_in(plugins, owner) for name, plugins in drop_ins.items()}
        before = self.owned(owner)
        found = [File(path, content) for path, content in wanted.items()]
        found += [File(path, None) for path in before if path not in wanted]
        others = [name for name in self._node.names(FOLDER) if f"{FOLDER}/{name}" not in before]
        content = self._node.text(CONFIG)
        if wanted and not self._imports():
            found.append(File(CONFIG, _importing(content, self.version), None))
        elif not wanted and not others and _IMPORTED in content:
            found.append(File(CONFIG, _not_importing(content), None))
        return found

    def _imports(self) -> bool:
        """Whether what is in the folder is read."""
        # containerd 1 prints the files that it found, and not what it looked for
        written = re.search(r"^\s*imports\s*=\s*\[([^\]]*)\]", self._node.text(CONFIG), re.MULTILINE)
        one = f"{FOLDER}/x.toml"
        return _matches(one, written.group(1) if written else "") or _matches(
            self._node.real(one), self.now.get(("", "imports"), "")
        )

    # -- what it makes of them

    def check(self, drop_ins: t.Mapping[str, Plugins], owner: str) -> None:
        """Have containerd read these settings on top of its own, and change nothing but what they say.

        :raises HardenedError: it does not read them, does not know one, or loses others by them.
        """
        replaced = self.owned(owner)
        with tempfile.TemporaryDirectory() as scratch:
            imports = [self._node.real(CONFIG)] if self._node.exists(CONFIG) else []
            for name, plugins in drop_ins.items():
                with open(f"{scratch}/{name}.toml", "w", encoding="utf-8") as file:
                    file.write(self.drop_in(plugins, owner))
            # in the order of their names, as of two that say the same, the later one is heard
            there = {f"{name}.toml": f"{scratch}/{name}.toml" for name in drop_ins}
            for name in self._node.names(FOLDER):
                if name.endswith(".toml") and f"{FOLDER}/{name}" not in replaced:
                    there.setdefault(name, self._node.real(f"{FOLDER}/{name}"))
            imports += [there[name] for name in sorted(there)]
            main = f"{scratch}/config.toml"
            with open(main, "w", encoding="utf-8") as file:
                file.write(f"version = {self.version}\nimports = {json.dumps(imports)}\n")
            done = self._node.run("containerd", "--config", main, "config", "dump", check=False, seconds=120)
        if done.rc:
            raise HardenedError(f"containerd does not take these settings: {done.complaint()}", "Nothing was changed")
        after = parse(done.out)
        wanted = {(s, k): v for plugins in drop_ins.values() for s, k, v in self._flat(plugins)}
        own = {place for path in replaced for place in parse(self._node.text(path))}
        self._compare(after, wanted, own)

    def _flat(self, plugins: Plugins) -> t.Iterator[t.Tuple[str, str, str]]:
        for name, settings in plugins.items():
            section = f"plugins.{self.runtime if name == 'runtime' else name}"
            yield from _flat(section, settings)

    def _compare(self, after: Dump, wanted: Dump, own: t.AbstractSet[t.Tuple[str, str]]) -> None:
        """:param own: what this owner's files say now, which they need no longer say."""
        for (section, key), value in wanted.items():
            if _plain(after.get((section, key), "")) != _plain(value):
                raise HardenedError(
                    f"containerd does not take {key} = {value} in {section}",
                    "Correct its name and its type; containerd config default shows all there are",
                )
        aside = {("", "imports"), ("", "version")}
        changed = {place for place in {*after, *self.now} if _plain(after.get(place)) != _plain(self.now.get(place))}
        lost = sorted(f"{section}.{key}" for section, key in changed - set(wanted) - own - aside)
        if lost:
            raise HardenedError(
                f"with these settings containerd would lose others: {', '.join(lost[:5])}",
                f"This containerd replaces a whole plug-in; repeat its settings, as in {CONFIG}",
            )


def _matches(path: str, imports: str) -> bool:
    return any(fnmatch.fnmatch(path, pattern) for pattern in re.findall(r"[\"']([^\"']+)[\"']", imports))


def parse(dump: str) -> Dump:
    """containerd's own print of its settings, which has one setting a line."""
    found: Dump = {}
    section = ""
    for line in dump.splitlines():
        text = line.strip()
        if text.startswith("["):
            section = re.sub(r"[\"']", "", text.strip("[]"))
        elif "=" in text and not text.startswith("#"):
            key, _equals, value = text.partition("=")
            found[section, key.strip().strip("\"'")] = value.strip()
    return found


def _plain(value: t.Optional[str]) -> str:
    """Without what two ways of writing the same differ in."""
    return re.sub(r"[\s\"']", "", value or "")


def _flat(section: str, settings: t.Mapping[str, t.Any]) -> t.Iterator[t.Tuple[str, str, str]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(f"{section}.{key}", value)
        else:
            yield section, key, json.dumps(value)


def _table(path: t.List[str], settings: t.Mapping[str, t.Any]) -> t.List[str]:
    """TOML of one table and those within it; JSON's single values and lists are TOML's."""
    lines = [f"[{'.'.join(path)}]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in sorted(settings.items()) if not isinstance(value, dict)]
    for key, value in sorted(settings.items()):
        if isinstance(value, dict):
            lines += ["", *_table([*path, json.dumps(key)], value)]
    return lines


def _importing(content: str, version: int) -> str:
    """containerd's own file, with our folder among what it imports."""
    if not content:
        return f"{_MADE}version = {version}\nimports = {json.dumps([f'{FOLDER}/*.toml'])} {_IMPORTED}\n"
    lines = content.splitlines(keepends=True)
    ours = f"imports = {{}} {_IMPORTED}\n"
    place = next((i for i, line in enumerate(lines) if re.match(r"\s*imports\s*=", line)), None)
    if place is None:
        # at the very top, as what follows a table belongs to it
        return ours.format(json.dumps([f"{FOLDER}/*.toml"])) + content
    if "]" not in lines[place]:
        raise HardenedError(
            f"imports in {CONFIG} is written over several lines", f"Add {FOLDER}/*.toml to it, then run again"
        )
    there = re.findall(r"[\"']([^\"']+)[\"']", lines[place])
    lines[place : place + 1] = [f"{_WAS}{lines[place]}", ours.format(json.dumps([*there, f"{FOLDER}/*.toml"]))]
    return "".join(lines)


def _not_importing(content: str) -> t.Optional[str]:
    """The file as it was; None when it was not there."""
    kept = [line for line in content.splitlines(keepends=True) if not line.rstrip("\n").endswith(_IMPORTED)]
    if len(kept) == 2 and kept[0] == _MADE:
        return None
    return "".join(line[len(_WAS) :] if line.startswith(_WAS) else line for line in kept)


def unit(node: Node, name: str = "containerd.service") -> str:
    """A runtime's unit.

    :raises HardenedError: restarting it would end every container.
    """
    about = node.unit(name, "KillMode", "ActiveState")
    if about.get("ActiveState") == "active" and about.get("KillMode") not in ("process", "none"):
        raise HardenedError(
            f"{name} has KillMode={about.get('KillMode')}, so that a restart would end every container",
            "Set KillMode=process in its unit, as containerd's own has",
        )
    return name


def disables_apparmor(node: Node, pid: int) -> bool:
    """Whether containerd is told not to use AppArmor, by any of the files that it may read.

    :param pid: its own; k3s and RKE2 have it read another file than the usual one.
    """
    line = re.search(r"\0(?:--config=|--config\0|-c\0)([^\0]+)", node.text(f"/proc/{pid}/cmdline"))
    paths = [line.group(1) if line else CONFIG]
    paths += [f"{FOLDER}/{name}" for name in node.names(FOLDER) if name.endswith(".toml")]
    return any(re.search(r"^\s*disable_apparmor\s*=\s*true", node.text(path), re.MULTILINE) for path in paths)


def crio_profile(node: Node) -> str:
    """The AppArmor profile that CRI-O gives to pods which ask for none; empty when it is CRI-O's own."""
    folder = f"{_CRIO}.d"
    texts = [node.text(path) for path in [_CRIO, *(f"{folder}/{name}" for name in node.names(folder))]]
    found = re.findall(r"^\s*apparmor_profile\s*=\s*[\"']([^\"']*)[\"']", "\n".join(texts), re.MULTILINE)
    return found[-1] if found and found[-1] != _CRIO_DEFAULT else ""
