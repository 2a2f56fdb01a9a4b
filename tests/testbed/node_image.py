# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image of kind's nodes, made without any registry: Debian's packages, our binaries, and ``node/``.

What is kept is not the image but the store of a docker daemon that has it, which a new daemon begins with in a
second. The images of the cluster's own pods are in it too, in the store of the node's containerd.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import tarfile
import time
import typing as t
from pathlib import Path

from tests.gates.environment import cache, say
from tests.testbed import binaries, crds, packages
from tests.testbed.cluster import StartError
from tests.testbed.daemon import Daemon, output
from tests.testbed.emulator import TIED
from tests.testbed.images import Files, Image, Link, add, layer, save
from tests.testbed.processes import Processes
from tests.testbed.versions import AGNHOST, COREDNS, ETCD, KUBERNETES, PAUSE

HERE = Path(__file__).parent
#: What the image is called in the store.
TAG = "node:testbed"
#: A shell for pods of tests.
SHELL = "testbed/busybox:1"
#: The example application's services, all of them.
BOUTIQUE = "testbed/boutique:1"
#: What network_probe takes unless it is told otherwise.
AGNHOST_IMAGE = f"registry.k8s.io/e2e-test-images/agnhost:{AGNHOST}"

_SUITE = "bookworm"
#: clang is Cilium's, which compiles its BPF programs when it starts.
_PACKAGES = """
systemd systemd-sysv dbus kmod mount util-linux procps iproute2 iptables nftables conntrack ethtool ipset socat
runc libseccomp2 ca-certificates curl jq python3 python3-yaml busybox-static clang-19
"""
#: What compiling for BPF does not need, and what nobody reads here.
_LEFT_OUT = """
/usr/share/doc/* /usr/share/man/* /usr/share/info/* /usr/share/locale/* /usr/share/lintian/*
/usr/lib/gcc/* /usr/include/* /usr/lib/llvm-19/lib/libclang-19* /usr/lib/x86_64-linux-gnu/libclang-19.so*
/usr/lib/x86_64-linux-gnu/*.a
"""
#: systemd starts what a node needs, and nothing that is for machines.
_SETTLE = """
rm -f /etc/systemd/system/*.wants/* /lib/systemd/system/multi-user.target.wants/*
rm -f /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/basic.target.wants/*
rm -f /lib/systemd/system/sockets.target.wants/*udev*
rm -f /lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service
systemctl mask systemd-binfmt.service systemd-udevd.service
update-alternatives --set iptables /usr/sbin/iptables-nft
echo ReadKMsg=no >> /etc/systemd/journald.conf
"""
_BUSYBOX = "sh ls cat echo sleep id touch mkdir rm chmod mount ps nc ping nslookup wget ip test true false"


def store(kubernetes: str = KUBERNETES[0]) -> Path:
    """The data of a docker daemon that has the image; made if it is not there yet."""
    with_debian, with_ours = _debian(), _files(kubernetes)
    in_images = [binaries.etcd(), binaries.coredns(), binaries.pause(), binaries.boutique(), binaries.agnhost()]
    content = hashlib.sha256(f"{with_debian.name} {in_images} {_code()}".encode())
    for path, what in sorted(with_ours.items()):
        # what is compiled or downloaded lies in a folder that is named by its content or version
        known = what.read_bytes() if isinstance(what, Path) and what.is_relative_to(HERE) else repr(what).encode()
        content.update(f"\0{path}\0".encode() + known)
    home = cache() / "testbed" / f"node-image-{kubernetes}-{content.hexdigest()[:12]}"
    with binaries.alone(home):
        if not (home / "docker").exists():
            start = time.monotonic()
            say(f"making the node image for Kubernetes {kubernetes}")
            _make(home, with_debian, with_ours, kubernetes)
            say(f"made the node image in {time.monotonic() - start:.0f} s")
    return home / "docker"


def copy(kubernetes: str, target: Path) -> None:
    """A store of one's own, which shares the files of the image: no daemon ever writes to those."""
    source = store(kubernetes)
    target.mkdir(mode=0o710)
    layers = source / "overlay2"
    for path in source.iterdir():
        options = ["--link"] if path == layers else []
        subprocess.run(["cp", "--archive", *options, str(path), str(target)], check=True)


def _debian() -> Path:
    """The folder of ``root.tar``, a Debian that nothing of ours is in, and ``nft.tar``, one program of it."""
    recipe = "\0".join([_SUITE, _SETTLE, *_PACKAGES.split(), *_LEFT_OUT.split()])
    home = cache() / "testbed" / f"debian-{_SUITE}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    with binaries.alone(home):
        if not (home / "root.tar").exists():
            packages.need(mmdebstrap="mmdebstrap", setpriv="util-linux")
            start = time.monotonic()
            say("fetching Debian packages for the node image")
            settle = "; ".join(_SETTLE.strip().splitlines())
            nft = "ldd /usr/sbin/nft | grep -o '/[^ ]*' | xargs tar --create --dereference /usr/sbin/nft"
            command = [*TIED, "mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(_PACKAGES.split())}"]
            # whatever a crash leaves is made anew, so nothing need be on the disk at once
            command += ["--dpkgopt=force-unsafe-io", *(f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT.split())]
            command += [f"--customize-hook=chroot \"$1\" sh -c '{settle}'"]
            command += [f'--customize-hook=chroot "$1" sh -c "{nft}" > {home / "nft.tar"}']
            _run([*command, _SUITE, str(home / "new.tar")], home / "mmdebstrap.log")
            (home / "new.tar").rename(home / "root.tar")
            say(f"fetched Debian packages in {time.monotonic() - start:.0f} s")
    return home


def _files(kubernetes: str) -> Files:
    """What nodes have besides Debian."""
    containerd, cni, cilium = binaries.containerd(), binaries.cni(), binaries.cilium()
    files: dict[str, Path | bytes | Link] = {
        f"/{path.relative_to(HERE / 'node')}": path for path in (HERE / "node").rglob("*") if path.is_file()
    }
    for folder, place in ((containerd, "/usr/local/bin"), (cni, "/opt/cni/bin")):
        files |= {f"{place}/{name}": folder / name for name in binaries.COMMANDS[folder.name.partition("-")[0]]}
    files |= {f"/usr/local/bin/{name}": cilium / name for name in ("cilium-agent", "cilium-dbg")}
    files["/opt/cni/bin/cilium-cni"] = cilium / "cilium-cni"
    files["/usr/bin/clang"] = Link("clang-19")
    sources = binaries.cilium_module()
    for path in (sources / "bpf").rglob("*"):
        if path.is_file() and "tests" not in path.parts:
            files[f"/var/lib/cilium/bpf/{path.relative_to(sources / 'bpf')}"] = path
    resources = sorted((sources / "pkg/k8s/apis/cilium.io/client/crds").glob("v*/*.yaml"))
    manifests = [HERE / "node" / "kind" / "manifests" / "cilium.yaml", crds.cluster_network_policies(), *resources]
    files["/kind/manifests/cilium.yaml"] = b"\n---\n".join(path.read_bytes() for path in manifests)
    files["/usr/bin/node"] = binaries.node(kubernetes)
    files |= {f"/usr/bin/{name}": Link("node") for name in ("kubelet", "kubeadm", "kubectl")}
    units = "/etc/systemd/system"
    for unit in ("containerd", "kubelet", "pod-network"):
        files[f"{units}/multi-user.target.wants/{unit}.service"] = Link(f"{units}/{unit}.service")
    files["/kind/version"] = f"v{kubernetes}".encode()
    return files


def images(kubernetes: str, debian: Path) -> list[Image]:
    """What the nodes have without pulling, by the names that kubeadm asks for."""
    registry, search = "registry.k8s.io", {"Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/bin"]}
    components = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    kube = layer(
        {
            "/usr/local/bin/node": binaries.node(kubernetes),
            **{f"/usr/local/bin/{name}": Link("node") for name in components},
        }
    )
    with tarfile.open(debian / "root.tar") as root:
        busybox = root.extractfile("./usr/bin/busybox") or root.extractfile("./bin/busybox")
        assert busybox
        shell: dict[str, Path | bytes | Link] = {
            "/bin/busybox": busybox.read(),
            **{f"/bin/{name}": Link("busybox") for name in _BUSYBOX.split()},
        }
    names = {name: f"{registry}/{name}:v{kubernetes}" for name in components}
    return [
        Image([names[name] for name in components[:3]], [kube], search),
        Image([names["kube-proxy"]], [kube, (debian / "nft.tar").read_bytes()], search),
        Image([f"{registry}/etcd:{ETCD}-0"], [layer({"/usr/local/bin/etcd": binaries.etcd()})], search),
        Image(
            [f"{registry}/coredns/coredns:v{COREDNS}"],
            [layer({"/coredns": binaries.coredns()})],
            {"Entrypoint": ["/coredns"]},
        ),
        Image([f"{registry}/pause:{PAUSE}"], [layer({"/pause": binaries.pause()})], {"Entrypoint": ["/pause"]}),
        Image([f"docker.io/{SHELL}"], [layer(shell)], {"Env": ["PATH=/bin"], "Cmd": ["sleep", "1000000"]}),
        Image(
            [f"docker.io/{BOUTIQUE}"],
            [layer({"/boutique": binaries.boutique()})],
            {"Entrypoint": ["/boutique"], "User": "1000:1000"},
        ),
        Image([AGNHOST_IMAGE], [layer({"/agnhost": binaries.agnhost()})], {"Entrypoint": ["/agnhost"]}),
    ]


def _make(home: Path, debian: Path, files: Files, kubernetes: str) -> None:
    scratch = home / "scratch"
    processes = Processes(scratch / "processes.json")
    processes.stop()  # of one that was interrupted
    daemon = Daemon(scratch, scratch / "docker", processes)
    daemon.clear()
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        save(images(kubernetes, debian), scratch / "images.tar")
        _import(scratch, processes)
        shutil.copy(debian / "root.tar", scratch / "node.tar")
        with tarfile.open(scratch / "node.tar", "a") as tar:
            add(tar, files)
            tar.add(scratch / "containerd", "var/lib/containerd")
        daemon.start()
        options = ("--change", "ENV container=docker", "--change", 'ENTRYPOINT ["/usr/local/bin/entrypoint"]')
        daemon.docker("import", *options, str(scratch / "node.tar"), TAG)
        daemon.shut_down()
        daemon.clear()
        (scratch / "docker").rename(home / "docker")
    finally:
        processes.stop()
    shutil.rmtree(scratch)


def _import(scratch: Path, processes: Processes) -> None:
    """Put the images into a containerd's store, as nodes then find it."""
    folder, address = binaries.containerd(), scratch / "containerd.sock"
    config = scratch / "containerd.toml"
    config.write_text(f"""\
version = 3
root = '{scratch}/containerd'
state = '{scratch}/containerd-state'
disabled_plugins = ['io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime', 'io.containerd.grpc.v1.cri']
[grpc]
address = '{address}'
[ttrpc]
address = '{address}.ttrpc'
""")
    processes.start(
        "containerd", [str(folder / "containerd"), "--config", str(config)], scratch / "containerd.log", scratch
    )
    ctr = [str(folder / "ctr"), "--address", str(address), "--namespace", "k8s.io"]
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(RuntimeError):
            output([*ctr, "version"], environ={})
            break
        if time.monotonic() > deadline:
            raise StartError(f"containerd did not start, see {scratch / 'containerd.log'}")
        time.sleep(0.1)
    output([*ctr, "images", "import", "--no-unpack", str(scratch / "images.tar")], environ={})
    processes.stop()


def _code() -> str:
    """What this very code is known by, as another one makes another image."""
    content = b"".join((HERE / name).read_bytes() for name in ("images.py", "node_image.py"))
    return hashlib.sha256(content).hexdigest()


def _run(command: t.Sequence[str], log: Path) -> None:
    with log.open("w") as target:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=target, stderr=target, check=False)
    if done.returncode:
        raise StartError(f"{command[0]} failed, see {log}:\n{log.read_text()[-2000:]}")
