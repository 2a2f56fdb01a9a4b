# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node that is a folder: its files are there, its programs are small scripts that act on them.

It has systemd, a kubelet that answers /healthz, and pods, as far as the node half looks at them.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import stat
import threading
import typing as t
from pathlib import Path
from unittest import mock

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.node import api, kubelet, module, selinux
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

from tests.support.modules import Result, run_module

POD = "11111111-2222-3333-4444-555555555555"
CONTAINER = "c0ffee00" * 8

#: A unit is what the file of its name says: active, failed. What is told to restart fails when ``breaks`` names it
#: and the file that it does not like is there.
_SYSTEMCTL = """\
#!/bin/sh
root={root}
echo "$@" >> "$root/commands"
case "$1" in
show)
    [ -e "$root/units/$2" ] && . "$root/units/$2"
    echo "ActiveState=${{ActiveState-inactive}}"
    echo "SubState=${{SubState-dead}}"
    echo "KillMode=${{KillMode-process}}"
    echo "ExecStart=${{ExecStart-}}"
    ;;
restart)
    shift
    for unit; do
        state=active
        while read -r name file; do
            [ "$name" = "$unit" ] && [ -e "$root$file" ] && state=failed
        done < "$root/breaks"
        sed -i "s/^ActiveState=.*/ActiveState=$state/" "$root/units/$unit"
        # it gets the domain of its program's label
        [ "$unit" != containerd.service ] || [ ! -e "$root/labels" ] || case "$(tail -n 99 "$root/labels")" in
        *bin/containerd[[:space:]]*:dockerd_exec_t:*) echo system_u:system_r:dockerd_t:s0 > "$root/proc/90/attr/current" ;;
        *) echo system_u:system_r:initrc_t:s0 > "$root/proc/90/attr/current" ;;
        esac
    done
    ;;
esac
"""
_RECORDED = """\
#!/bin/sh
echo "$(basename "$0") $*" >> {root}/commands
"""
#: It prints its settings with what it imports; it knows no setting that is misspelt, and stops at what is no TOML.
CONTAINERD = """\
#!/bin/sh
imports=$(sed -n 's/^imports = //p' "$2" | cut -d '#' -f 1 | sed 's,"/etc,"{root}/etc,g')
printf 'version = 3\nimports = %s\n' "${{imports:-[]}}"
printf '[plugins."io.containerd.cri.v1.runtime"]\nenable_selinux = false\n'
printf 'selinux_category_range = 1024\n'
show() {{
    [ -e "$1" ] || return 0
    if grep -q '= = ' "$1"; then
        echo "containerd: failed to load TOML: $1: expected a value" >&2
        exit 1
    fi
    grep -vE 'misspelt|^imports|^version' "$1"
    for file in $(sed -n 's/^imports = //p' "$1" | tr -d '[],"'); do show "$file"; done
}}
show "$2"
"""
#: A rule that says BAD is a syntax error; a profile that says UNLOADABLE is one to the kernel only; of one that says
#: UNKEPT nothing is kept that was compiled.
_PARSER = """\
#!/bin/sh
kernel={root}/sys/kernel/security/apparmor/profiles
echo "apparmor_parser $*" >> {root}/commands
do=$1
shift
[ "$do" = --remove ] && {{ read -r head name rest; sed -i "/^$name (/d" "$kernel"; exit; }}
case "$1" in --skip-read-cache)
    compiled=${{3#--cache-loc=}}/features
    mkdir -p "$compiled"
    shift 2 ;;
esac
shift
for file; do
    if grep -q BAD "$file"; then
        echo "AppArmor parser error for $file at line 9: syntax error" >&2
        exit 1
    fi
    [ -z "$compiled" ] || grep -q UNKEPT "$file" || cp "$file" "$compiled"
    [ "$do" = --replace ] || continue
    if grep -q UNLOADABLE "$file"; then
        echo "Unable to replace: Invalid argument" >&2
        exit 1
    fi
    name=$(basename "$file") mode=enforce
    ! grep -q "complain)" "$file" || mode=complain
    sed -i "/^$name (/d" "$kernel"
    echo "$name ($mode)" >> "$kernel"
done
"""
#: All of SELinux's programs. Labels of files, and those that the policy has, are in files of the node; a module is in
#: the policy's store, as its text. A module that says BAD does not compile; one that says SLOW kills who asked.
_SELINUX = """\
#!/usr/bin/env python3
import os, pathlib, re, signal, sys
root, name, args = pathlib.Path("{root}"), os.path.basename(sys.argv[0]), sys.argv[1:]
store = root / "var/lib/selinux/default/active"
with (root / "commands").open("a") as log:
    print(name, *args, file=log)
def table(file):
    lines = (line.rsplit(" ", 1) for line in (root / file).read_text().splitlines())
    return dict(lines)
def policy(path):
    known = table("policy")
    for cil in store.glob("modules/400/*/cil"):
        for pattern, setype in re.findall(r'filecon "([^"]+)" [a-z]+ .system_u object_r ([a-z_]+)', cil.read_text()):
            known[pattern] = setype
    fitting = [p for p in known if re.fullmatch(p, path)]
    return known[max(fitting, key=len)] if fitting else "default_t"
def here(path):
    return "/" + str(pathlib.Path(path).relative_to(root)) if path.startswith(str(root)) else path
if name == "matchpathcon":
    for path in args[2:]:
        print(path + "\\tsystem_u:object_r:" + policy(path) + ":s0")
elif name == "restorecon":
    for path, label in table("labels").items():
        should = "system_u:object_r:" + policy(path) + ":s0"
        if label != should and any(path == here(a) or path.startswith(here(a) + "/") for a in args[4:]):
            print("Would relabel " + str(root) + path + " from " + label + " to " + should)
elif name == "chcon":
    known = table("labels")
    known[here(args[-1])] = args[2]
    (root / "labels").write_text("".join(k + " " + v + "\\n" for k, v in known.items()))
elif name == "setsebool":
    for pair in args[1:]:
        key, value = pair.split("=")
        (root / "sys/fs/selinux/booleans" / key).write_text("1 1" if value == "on" else "0 0")
elif name == "semodule":
    if "-B" in args and ("-i" in args or "-r" in args):
        sys.exit("build or reload should not be used with other commands.")
    for index, arg in enumerate(args):
        if arg == "-i":
            text = pathlib.Path(args[index + 1]).read_text()
            if "BAD" in text:
                sys.exit("Failed to compile cildb: unknown type BAD")
            target = store / "modules/400" / pathlib.Path(args[index + 1]).stem
            target.mkdir(parents=True, exist_ok=True)
            (target / "cil").write_text(text)
        if arg == "-r":
            (store / "modules/400" / args[index + 1] / "cil").unlink()
            (store / "modules/400" / args[index + 1]).rmdir()
    if "-D" in args:
        (store / "disable_dontaudit").touch()
    elif "-B" in args:
        (store / "disable_dontaudit").unlink(missing_ok=True)
"""
#: A container starts unless the file says why not, which counts only where SELinux enforces.
_CTR = """\
#!/bin/sh
echo "ctr $*" >> {root}/commands
case "$*" in
*"images list"*) echo registry.k8s.io/pause:3.10 ;;
*" run "*) ! grep -q 1 {root}/sys/fs/selinux/enforce || [ ! -s {root}/refuses ] || {{ cat {root}/refuses >&2; exit 1; }} ;;
esac
"""
_KUBELET = """\
#!/bin/sh
case "$*" in
--version) echo "Kubernetes v{version}" ;;
*)
    for argument; do
        case "$argument" in
        --config=*) ! grep -q seccompDefalt "${{argument#*=}}" || echo 'strict decoding error: unknown field "seccompDefalt"' ;;
        --config-dir=*)
            if grep -q maybe "${{argument#*=}}"/*.conf 2> /dev/null; then
                echo 'E1 run.go:72] "command failed" err="failed to merge kubelet configs: of type bool"'
                exit 1
            fi
            ;;
        esac
    done
    echo 'err="cannot exit on lock file contention: no lock file specified"'
    exit 1
    ;;
esac
"""


class FakeNode:
    """A folder that stands for a node with a kubelet, containerd and one pod."""

    def __init__(self, folder: Path, port: int) -> None:
        self.root, self.bin = folder / "root", folder / "bin"
        self.bin.mkdir(parents=True)
        for name in ("run", "units", "var/lib", "etc/systemd/system", "etc/kubernetes", "etc/containerd", "proc"):
            (self.root / name).mkdir(parents=True)
        self.write("/breaks", "")
        self.write("/commands", "")
        self.program("systemctl", _SYSTEMCTL)
        self.program("systemd-run", _RECORDED)
        self.program("containerd", CONTAINERD)
        self.program("ctr", "#!/bin/sh\n")  # a containerd whose plug-ins are all well; this machine's would be asked
        start = "ExecStart='kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS'"
        self.write("/units/kubelet.service", f"ActiveState=active\nSubState=running\n{start}\n")
        self.write("/units/containerd.service", "ActiveState=active\nSubState=running\n")
        self.write("/var/lib/kubelet/config.yaml", f"kind: KubeletConfiguration\nhealthzPort: {port}\nmaxPods: 110\n")
        self.kubelet("1.37.2")
        self.process(4711, "sleep")

    @property
    def path(self) -> str:
        return f"{self.bin}:{os.environ['PATH']}"

    def node(self) -> Node:
        return Node(str(self.root), self.path)

    def apparmor(self, *loaded: str) -> None:
        """Its kernel has AppArmor, with these profiles in enforce mode."""
        self.write("/sys/module/apparmor/parameters/enabled", "Y\n")
        self.write("/sys/kernel/security/apparmor/profiles", "".join(f"{name} (enforce)\n" for name in loaded))
        self.program("apparmor_parser", _PARSER)

    def selinux(self, mode: str = "permissive") -> None:
        """Its kernel has SELinux; containerd is where no policy looks for it, and so has nobody to confine it."""
        for name in ("semodule", "restorecon", "matchpathcon", "chcon", "setsebool"):
            self.program(name, _SELINUX)
        self.program("ctr", _CTR)
        self.write("/sys/fs/selinux/enforce", "1" if mode == "enforcing" else "0")
        self.write("/sys/fs/selinux/booleans/container_manage_cgroup", "0 0")
        self.write("/etc/selinux/config", f"# how\nSELINUX={mode}\nSELINUXTYPE=default\n")
        self.write("/etc/selinux/default/contexts/files/file_contexts", "/var/lib/kubelet(/.*)? x:x:kube_t:s0\n")
        self.write("/var/lib/selinux/default/active/commit_num", "1")
        (self.root / "refuses").write_text("")
        usual = {
            "containerd": "dockerd_exec_t",
            "containerd-shim-runc-v2": "dockerd_exec_t",
            "kubelet": "kubelet_exec_t",
        }
        policy = {f"/usr/bin/{name}": setype for name, setype in usual.items()}
        policy |= {r"/usr/local/bin/.*": "bin_t", r"/var/lib/kubelet(/.*)?": "container_var_lib_t"}
        (self.root / "policy").write_text("".join(f"{path} {setype}\n" for path, setype in policy.items()))
        (self.root / "labels").write_text("")
        for path, setype in (
            ("/usr/local/bin/containerd", "bin_t"),
            ("/usr/bin/kubelet", "kubelet_exec_t"),
            ("/var/lib/kubelet/config.yaml", "default_t"),
        ):
            if not Path(f"{self.root}{path}").exists():
                self.write(path, "")
            self.labelled(path, f"system_u:object_r:{setype}:s0")
        for pid, name, path, domain in (
            (90, "containerd", "/usr/local/bin/containerd", "initrc_t"),
            (100, "kubelet", "/usr/bin/kubelet", "kubelet_t"),
        ):
            self.write(f"/proc/{pid}/comm", f"{name}\n")
            (self.root / f"proc/{pid}/exe").symlink_to(path)
            self.write(f"/proc/{pid}/attr/current", f"system_u:system_r:{domain}:s0")

    def labelled(self, path: str, label: str) -> None:
        with (self.root / "labels").open("a") as file:
            file.write(f"{path} {label}\n")

    def labels(self) -> dict[str, str]:
        """What files are labelled."""
        pairs = (line.rsplit(" ", 1) for line in self.read("/labels").splitlines())
        return {path: label.split(":")[2] for path, label in pairs}

    def modules(self) -> list[str]:
        """Those that its policy has of somebody's own."""
        return sorted(path.parent.name for path in self.root.glob("var/lib/selinux/default/active/modules/400/*/cil"))

    def _label(self, _node: Node, path: str) -> str:
        pairs = (line.rsplit(" ", 1) for line in self.read("/labels").splitlines())
        return dict(t.cast("t.Iterable[tuple[str, str]]", pairs)).get(path, "")

    def loaded(self) -> list[str]:
        """What its kernel has, with the modes."""
        return self.read("/sys/kernel/security/apparmor/profiles").splitlines()

    def write(self, name: str, content: str) -> Path:
        path = Path(f"{self.root}{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def read(self, name: str) -> str:
        return Path(f"{self.root}{name}").read_text()

    def program(self, name: str, script: str, **values: str) -> None:
        path = self.bin / name
        path.write_text(script.format(root=self.root, **values))
        path.chmod(0o755)

    def kubelet(self, version: str, *flags: str) -> None:
        """The one that runs is of that version, and was started with these flags."""
        self.program("kubelet", _KUBELET, version=version)
        line = [f"{self.bin}/kubelet", "--config=/var/lib/kubelet/config.yaml", *flags]
        self.write("/proc/100/comm", "kubelet\n")
        self.write("/proc/100/cmdline", "\0".join(line) + "\0")

    def process(self, pid: int, name: str, pod: str = POD, label: str = "unconfined", seccomp: int = 0) -> None:
        """A process of a pod."""
        group = f"0::/kubepods.slice/kubepods-pod{pod.replace('-', '_')}.slice/cri-containerd-{CONTAINER}.scope\n"
        self.write(f"/proc/{pid}/cgroup", group)
        self.write(f"/proc/{pid}/status", f"Name:\t{name}\nSeccomp:\t{seccomp}\n")
        self.write(f"/proc/{pid}/attr/current", f"{label}\n")

    def server(self, *pods: t.Any) -> contextlib.AbstractContextManager[t.Any]:
        """It is in a cluster, whose API server has these pods for it, and nothing else; with None, not even that."""
        silent = mock.Mock(side_effect=HardenedError("no answer"))
        asked = silent if pods == (None,) else mock.Mock(return_value=list(pods))
        return mock.patch.object(api, "Api", return_value=mock.Mock(pods=asked, node=silent))

    def breaks(self, unit: str, file: str) -> None:
        """From now on a unit fails when it is restarted while that file is there."""
        self.write("/breaks", f"{self.read('/breaks')}{unit} {file}\n")

    def restarts(self) -> list[str]:
        """Units that were restarted, in order."""
        lines = [line.split() for line in self.read("/commands").splitlines()]
        return [unit for line in lines if line[0] == "restart" for unit in line[1:]]

    def settings(self) -> dict[str, tuple[str, int, str]]:
        """Every file and folder below /etc and /var/lib: kind, mode and content."""
        found = {}
        for top in ("etc", "var/lib"):
            for path in sorted((self.root / top).rglob("*")):
                about = path.lstat()
                kind = "folder" if path.is_dir() and not path.is_symlink() else "file"
                content = "" if kind == "folder" or path.is_symlink() else path.read_text()
                found[str(path.relative_to(self.root))] = (kind, stat.S_IMODE(about.st_mode), content)
        # the journal's own folder stays, empty
        found.pop("var/lib/hardened-k8s", None)
        found.pop("etc/systemd/system/sysinit.target.wants", None)
        return found

    def run(self, name: str, check: bool = False, **params: t.Any) -> Result:
        """One of the node's modules, here."""
        # nobody may not enter the folders of tests
        nobody = mock.patch.object(kubelet, "_NOBODY", os.getuid())
        labels = mock.patch.object(selinux, "label", self._label)
        with nobody, labels, mock.patch.object(module, "Node", self.node):
            return run_module(name, {"health_timeout": 1, **params}, check=check, diff=True)


class _Healthz(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_request(self, _code: int | str = "-", _size: int | str = "-") -> None:
        """Nobody asks."""


@contextlib.contextmanager
def healthz() -> t.Iterator[int]:
    """The port at which a kubelet says that it is well."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Healthz) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
