# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kubelet of a node: how it was started, how it takes further settings, and what it thinks of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import typing as t
from dataclasses import dataclass, field

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.node import pods
from ansible_collections.hardened.k8s.plugins.module_utils.node.files import File
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

CONFIG_DIR = "/etc/kubernetes/kubelet.conf.d"
#: Gives kubelet the folder, where it does not have one yet.
UNIT = "/etc/systemd/system/kubelet.service.d/90-hardened-k8s.conf"
#: kubeadm writes kubelet's settings anew when it upgrades a node, with what is here merged in.
PATCH = "/etc/kubernetes/patches/kubeletconfiguration+merge.json"

_CONFIG = "/var/lib/kubelet/config.yaml"
#: kubeadm's, and those of a kubelet that is part of another process.
_KUBECONFIGS = (
    "/etc/kubernetes/kubelet.conf",
    "/var/lib/rancher/k3s/agent/kubelet.kubeconfig",
    "/var/lib/rancher/rke2/agent/kubelet.kubeconfig",
)
_ROOT_DIR = "/var/lib/kubelet"
_HEAD = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
#: The first version whose --config-dir needs no feature to be switched on.
_DROP_INS_SINCE = (1, 30)
_NOBODY = 65534
#: What it ends with when its settings are good: the next thing that it would do is forbidden to it.
_GOOD = ("cannot exit on lock file contention", "failed to construct kubelet dependencies")
_MARK = "# of hardened.k8s: "
_WAS = "# was, before hardened.k8s: "


@dataclass(frozen=True)
class Kubelet:
    """The one that runs.

    :param flags: those of its command line that it was given, without the dashes.
    """

    program: str
    version: t.Tuple[int, int]
    flags: t.Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> str:
        return self.flags.get("config", "")

    @property
    def config_dir(self) -> str:
        return self.flags.get("config-dir", "")

    @property
    def root_dir(self) -> str:
        return self.flags.get("root-dir", _ROOT_DIR)


def find(node: Node) -> Kubelet:
    """:raises HardenedError: none runs as a process of its own."""
    arguments = _command_line(node)
    if not arguments:
        raise HardenedError(
            "no kubelet runs here as a process of its own",
            "Run this on a node whose kubelet is a service; k3s and RKE2 take kubelet-arg in their own config.yaml",
        )
    program = arguments[0] if arguments[0].startswith("/") else node.find(arguments[0]) or arguments[0]
    said = node.run(program, "--version").out
    version = re.search(r"v(\d+)\.(\d+)", said)
    if not version:
        raise HardenedError(f"{program} --version says {said.strip()!r}")
    return Kubelet(program, (int(version.group(1)), int(version.group(2))), _flags(arguments[1:]))


def is_running(node: Node) -> bool:
    return bool(_command_line(node))


def config_path(node: Node) -> str:
    return _flags(_command_line(node)[1:]).get("config", _CONFIG)


def kubeconfig_path(node: Node) -> str:
    usual = next((path for path in _KUBECONFIGS if node.exists(path)), _KUBECONFIGS[0])
    return _flags(_command_line(node)[1:]).get("kubeconfig", usual)


def root_dir(node: Node) -> str:
    return _flags(_command_line(node)[1:]).get("root-dir", _ROOT_DIR)


def healthz_url(node: Node) -> str:
    """Where it answers whether it is well; empty where it is told not to."""
    flags = _flags(_command_line(node)[1:])
    folder = flags.get("config-dir", "")
    drop_ins = [f"{folder}/{name}" for name in node.names(folder) if name.endswith(".conf")] if folder else []
    texts = "\n".join(node.text(path) for path in [flags.get("config", _CONFIG), *drop_ins])

    def setting(name: str, flag: str, default: str) -> str:
        # what is written last holds, and its flag before all; only JSON is indented
        place = rf"^(?:{name}|[ \t]*\"{name}\")[ \t]*:[ \t]*[\"']?([\w.:]+)"
        found: t.List[str] = re.findall(place, texts, re.MULTILINE)
        return flags.get(flag, [default, *found][-1])

    port = setting("healthzPort", "healthz-port", "10248")
    address = setting("healthzBindAddress", "healthz-bind-address", "127.0.0.1")
    if port == "0":
        return ""
    if not address.strip("0.:"):  # all that the node has, so this one too
        address = "::1" if ":" in address else "127.0.0.1"
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/healthz"


def _command_line(node: Node) -> t.List[str]:
    pid = pods.main_process(node, "kubelet")
    return node.text(f"/proc/{pid}/cmdline").rstrip("\0").split("\0") if pid else []


def _flags(arguments: t.Sequence[str]) -> t.Dict[str, str]:
    """Long options with their values, given either way."""
    found: t.Dict[str, str] = {}
    for index, argument in enumerate(arguments):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            following = arguments[index + 1] if index + 1 < len(arguments) else "--"
            found[name] = value if equals else ("true" if following.startswith("--") else following)
    return found


# -- further settings


def drop_in(settings: t.Mapping[str, t.Any], owner: str) -> str:
    """A file for --config-dir."""
    return f"{_MARK}{owner}\n{json.dumps({**_HEAD, **settings}, indent=2, sort_keys=True)}\n"


def owned(node: Node, folder: str, owner: str) -> t.List[str]:
    """The drop-ins of an owner that are there."""
    paths = [f"{folder}/{name}" for name in node.names(folder) if name.endswith(".conf")]
    return [path for path in paths if node.text(path).startswith(f"{_MARK}{owner}\n")]


def overridden(kubelet: Kubelet, settings: t.Mapping[str, t.Any]) -> t.List[str]:
    """Flags of its command line that win over settings of the same name."""
    flags = {re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower() for name in settings}
    return sorted(f"--{flag}" for flag in flags & set(kubelet.flags))


def files(node: Node, kubelet: Kubelet, drop_ins: t.Mapping[str, t.Mapping[str, t.Any]], owner: str) -> t.List[File]:
    """What is to be on disk for these settings to be read, and what of this owner is no longer to be.

    :param drop_ins: name -> settings.
    :raises HardenedError: this kubelet cannot be given any.
    """
    if kubelet.version < _DROP_INS_SINCE and not kubelet.config_dir:
        return _edited(node, kubelet, {k: v for settings in drop_ins.values() for k, v in settings.items()})
    folder = kubelet.config_dir or CONFIG_DIR
    wanted = {f"{folder}/{name}.conf": drop_in(settings, owner) for name, settings in drop_ins.items()}
    before = owned(node, folder, owner)
    found = [File(path, content, 0o600) for path, content in wanted.items()]
    found += [File(path, None) for path in before if path not in wanted]
    others = [name for name in node.names(folder) if name.endswith(".conf") and f"{folder}/{name}" not in before]
    if wanted and not kubelet.config_dir:
        found.append(File(UNIT, _unit(node, folder)))
    elif not wanted and not others:
        found.append(File(UNIT, None))  # its folder may be gone next
    return found


def _unit(node: Node, folder: str) -> str:
    """A drop-in of systemd's that has kubelet read the folder.

    :raises HardenedError: its unit leaves no place to say so.
    """
    said = node.unit("kubelet.service", "ExecStart").get("ExecStart", "")
    if "$KUBELET_CONFIG_ARGS" not in said:
        raise HardenedError(
            "kubelet has no --config-dir, and its unit is not kubeadm's, so it is not known where to add one",
            f"Start it with --config-dir={folder}, then run again",
        )
    return (
        "# By hardened.k8s: kubelet also reads the settings in a folder.\n[Service]\n"
        f'Environment="KUBELET_CONFIG_ARGS=--config={config_path(node)} --config-dir={folder}"\n'
    )


def _edited(node: Node, kubelet: Kubelet, settings: t.Mapping[str, t.Any]) -> t.List[File]:
    """For an older one: its own file with lines of ours, which say what was there before; and kubeadm's patch."""
    nested = sorted(name for name, value in settings.items() if isinstance(value, dict))
    if nested:
        raise HardenedError(
            f"kubelet {'.'.join(map(str, kubelet.version))} has no --config-dir, and so no place for {', '.join(nested)}",
            "Give single values and lists, or upgrade it to 1.30",
        )
    lines = _unedited(node.text(kubelet.config)).splitlines(keepends=True)
    for name, value in sorted(settings.items()):
        ours = f"{name}: {json.dumps(value)} {_MARK.strip()}\n"
        place = next((i for i, line in enumerate(lines) if re.match(rf"{re.escape(name)}\s*:", line)), None)
        if place is None:
            lines.insert(1 if lines and lines[0].startswith("---") else 0, ours)
            continue
        end = place + 1
        while end < len(lines) and lines[end][:1] in (" ", "-"):
            end += 1
        lines[place:end] = [ours, *(f"{_WAS}{line}" for line in lines[place:end])]
    patch = json.dumps(settings, indent=2, sort_keys=True) + "\n" if settings else None
    return [File(kubelet.config, "".join(lines)), File(PATCH, patch)]


def _unedited(content: str) -> str:
    """The file without lines of ours."""
    kept = [line for line in content.splitlines(keepends=True) if not line.endswith(f" {_MARK.strip()}\n")]
    return "".join(line[len(_WAS) :] if line.startswith(_WAS) else line for line in kept)


# -- what it thinks of them


def check(node: Node, kubelet: Kubelet, drop_ins: t.Mapping[str, t.Mapping[str, t.Any]], owner: str) -> None:
    """Have the kubelet itself read these settings on top of its own.

    It is started as nobody, on copies, and with an option that it always ends for once it has found them good. So it
    does nothing, on this version or any other.

    :raises HardenedError: what it says against them.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = f"{scratch}/conf.d"
        os.mkdir(folder)
        if kubelet.config:
            shutil.copyfile(node.real(kubelet.config), f"{scratch}/config.yaml")
        for name in node.names(kubelet.config_dir or CONFIG_DIR) if kubelet.version >= _DROP_INS_SINCE else ():
            path = f"{kubelet.config_dir or CONFIG_DIR}/{name}"
            if name.endswith(".conf") and path not in owned(node, os.path.dirname(path), owner):
                shutil.copyfile(node.real(path), f"{folder}/{name}")
        for name, settings in drop_ins.items():
            _copy(f"{folder}/{name}.conf", drop_in(settings, owner))
        _readable(scratch)
        config = f"--config={scratch}/config.yaml"
        if kubelet.version >= _DROP_INS_SINCE:
            _ask(node, kubelet, config, f"--config-dir={folder}")
        # in a drop-in it does not mind a field that it does not know
        for name in drop_ins:
            shutil.copyfile(f"{folder}/{name}.conf", f"{scratch}/{name}.yaml")
            os.chmod(f"{scratch}/{name}.yaml", 0o644)
            said = _said(node, kubelet, f"--config={scratch}/{name}.yaml")
            unknown = re.findall(r'unknown field \\*"([\w.\[\]]+)', said)
            if unknown:
                raise HardenedError(f"kubelet does not know {', '.join(unknown)}, of {name}", "Correct its spelling")


def _copy(path: str, content: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)


def _readable(scratch: str) -> None:
    """For nobody, too: there are no secrets in a kubelet's settings but the paths of some."""
    for folder, _folders, names in os.walk(scratch):
        os.chmod(folder, 0o755)
        for name in names:
            os.chmod(os.path.join(folder, name), 0o644)


def _ask(node: Node, kubelet: Kubelet, *options: str) -> None:
    said = _said(node, kubelet, *options)
    if not any(good in said for good in _GOOD):
        error = re.findall(r'err="(.*)"', said) or said.strip().splitlines()[-1:] or ["it says nothing"]
        raise HardenedError(f"kubelet does not take these settings: {error[-1]}", "Correct them; nothing was changed")


def _said(node: Node, kubelet: Kubelet, *options: str) -> str:
    def become_nobody() -> None:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)

    command = [kubelet.program, *options, "--exit-on-lock-contention", "--root-dir=/nonexistent"]
    done = node.run(*command, check=False, seconds=120, before=become_nobody)
    return done.out + done.err
