# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disks of virtual machines, put together from Debian packages and from binaries that are compiled here.

What takes long where processors are emulated is done here, before a machine boots. A disk is kept by a digest of all
that goes onto it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import time
import typing as t
from pathlib import Path

from tests.gates.environment import cache, say
from tests.testbed import binaries, packages
from tests.testbed.cluster import StartError
from tests.testbed.emulator import TIED
from tests.testbed.images import Files, Image, Link, add, layer, save
from tests.testbed.machine import USER
from tests.testbed.versions import KUBERNETES, PAUSE

HERE = Path(__file__).parent
#: A shell for pods of tests.
SHELL = "docker.io/testbed/busybox:1"

_PACKAGES = [
    *("linux-image-cloud-amd64", "systemd", "systemd-sysv", "dbus", "udev", "kmod", "procps", "openssh-server"),
    *("sudo", "python3", "ca-certificates", "curl", "jq", "busybox-static", "iproute2", "iptables", "nftables"),
    *("conntrack", "ethtool", "socat", "runc"),
]
#: The policy, its tools, and the log of what it denies.
_SELINUX = [
    *("selinux-policy-default", "policycoreutils", "policycoreutils-python-utils", "selinux-utils"),
    *("semodule-utils", "checkpolicy", "python3-selinux", "auditd"),
]
_UNITS = ("containerd", "kubelet", "pod-network")
_BUSYBOX = [
    *("sh", "ls", "cat", "echo", "sleep", "id", "touch", "mkdir", "rm", "chmod", "mount", "ps", "nc", "ping"),
    *("nslookup", "wget", "ip", "test", "true", "false"),
]

_MOUNT = """
set -o errexit -o xtrace
mount -t proc proc /proc
"""
#: What a new machine does about itself, as root, once everything is on its disk.
_SETTLE = f"""
useradd --create-home --shell /bin/bash {USER}
install --directory --mode 700 --owner {USER} --group {USER} ~{USER}/.ssh
install --mode 600 --owner {USER} --group {USER} /authorized_keys ~{USER}/.ssh
rm /authorized_keys
echo '{USER} ALL=(ALL:ALL) NOPASSWD: ALL' > /etc/sudoers.d/{USER}
chmod 440 /etc/sudoers.d/{USER}
systemctl --quiet enable systemd-networkd {" ".join(_UNITS)}
systemctl --quiet mask systemd-networkd-wait-online apt-daily.timer apt-daily-upgrade.timer fstrim.timer
"""
#: Its own containerd unpacks what pods are made of, which takes minutes where machines are emulated.
_IMPORT = """
containerd > /dev/null 2>&1 & containerd=$!
until ctr version > /dev/null 2>&1; do kill -0 $containerd && sleep 0.1; done
ctr --namespace k8s.io images import /images.tar
kill $containerd
wait $containerd || true
rm /images.tar
"""
#: Labels are given here, in seconds; an emulated machine that labels itself takes six minutes.
_LABEL = """
sed --in-place 's/^SELINUX=.*/SELINUX=permissive/' /etc/selinux/config
setfiles -F /etc/selinux/default/contexts/files/file_contexts /
"""


class Disk(t.NamedTuple):
    """What is special about a machine.

    :param number: tells its network card from the others'.
    :param packages: of Debian, on top of those that all have.
    :param containerd: the one that is compiled here; otherwise Debian's.
    :param arguments: the kernel's.
    """

    number: int
    suite: str
    packages: t.Sequence[str]
    containerd: bool = True
    arguments: str = ""

    @property
    def mac(self) -> str:
        return f"52:54:00:00:00:{self.number:02x}"

    @property
    def labelled(self) -> bool:
        return self.packages is _SELINUX


DISKS = {
    "apparmor": Disk(1, "bookworm", ["apparmor"]),
    # the first suite whose policy knows containers and Kubernetes
    "selinux": Disk(2, "trixie", _SELINUX, arguments="security=selinux selinux=1"),
    "old": Disk(3, "bookworm", ["containerd"], containerd=False, arguments="systemd.unified_cgroup_hierarchy=0"),
}
#: Of each disk, of which only what is written takes room.
_SIZE = 6 << 30
_NFT = "ldd /usr/sbin/nft | grep -o '/[^ ]*' | xargs tar --create --dereference /usr/sbin/nft"


def disk(name: str) -> Path:
    """The folder of a machine's disk, made if it is not there yet.

    ``disk`` is a file system, without partitions; ``kernel`` and ``ramdisk`` are what is on it; ``key`` is the user's
    private one, ``host_key.pub`` the machine's own.
    """
    packages.need(mmdebstrap="mmdebstrap", mke2fs="e2fsprogs", setpriv="util-linux", ssh_keygen="openssh-client")
    about = DISKS[name]
    files = _files(about)
    home = cache() / "testbed" / f"disk-{name}-{_digest(about, files)}"
    with binaries.alone(home):
        if not (home / "disk").exists():
            start = time.monotonic()
            say(f"making the disk of the machine {name}: Debian {about.suite}")
            _make(name, about, files, home)
            say(f"made the disk of the machine {name} in {time.monotonic() - start:.0f} s")
    return home


def _files(disk: Disk) -> Files:
    """Path in the machine -> what is there besides Debian."""
    kubernetes, units = binaries.node(KUBERNETES[0]), "etc/systemd/system"
    # files of their own, as SELinux tells programs by their files
    files: dict[str, Path | bytes | Link] = {f"usr/bin/{name}": kubernetes for name in ("kubelet", "kubeadm")}
    files["usr/bin/kubectl"] = Link("kubeadm")
    files |= {f"opt/cni/bin/{name}": binaries.cni() / name for name in binaries.COMMANDS["cni"]}
    shared = ["usr/local/bin/kubelet-cgroup", "usr/local/bin/pod-network", f"{units}/pod-network.service"]
    shared += [f"{units}/kubelet.service", f"{units}/kubelet.service.d/10-kubeadm.conf"]
    if disk.containerd:
        files |= {f"usr/local/bin/{name}": binaries.containerd() / name for name in binaries.COMMANDS["containerd"]}
        shared.append(f"{units}/containerd.service")
    files |= {name: HERE / "node" / name for name in shared}
    for folder in [HERE / "guest", *([] if disk.containerd else [HERE / "guest-old"])]:
        files |= {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return files


def _digest(about: Disk, files: Files) -> str:
    """What a disk is known by: this code, and what goes onto it."""
    content = hashlib.sha256(Path(__file__).read_bytes() + repr(about).encode())
    for name, what in sorted(files.items()):
        # the folder of what is compiled is called by a digest of all that it is made of
        known = what.read_bytes() if isinstance(what, Path) and HERE in what.parents else str(what).encode()
        content.update(f"\0{name}\0".encode() + known)
    return content.hexdigest()[:12]


# -- making one


def _make(name: str, about: Disk, files: Files, home: Path) -> None:
    scratch, root = home / "scratch", home / "scratch" / "root"
    shutil.rmtree(scratch, ignore_errors=True)  # of one that was interrupted
    scratch.mkdir()
    with (home / "build.log").open("w") as log:
        _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", USER, "-f", str(scratch / "key")], log)
        own: dict[str, Path | bytes | Link] = {
            "authorized_keys": scratch / "key.pub",
            "etc/hostname": f"{name}\n".encode(),
            "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n".encode(),
        }
        with tarfile.open(scratch / "files.tar", "w") as tar:
            add(tar, {**files, **own})
        debian = ["mmdebstrap", "--variant=minbase", f"--include={','.join([*_PACKAGES, *about.packages])}"]
        debian += [f"--customize-hook=tar-in {scratch / 'files.tar'} /", about.suite, str(root)]
        _run([*TIED, *debian], log)
        _pod_images(root)
        settle = _MOUNT + _SETTLE + _IMPORT + (_LABEL if about.labelled else "")
        _run([*TIED, "chroot", str(root), "sh", "-c", settle], log)
        with (scratch / "disk").open("w") as file:
            file.truncate(_SIZE)
        _run([*TIED, "mke2fs", "-q", "-t", "ext4", "-d", str(root), str(scratch / "disk")], log)
    for wanted, pattern in (("kernel", "vmlinuz-*"), ("ramdisk", "initrd.img-*")):
        (found,) = (root / "boot").glob(pattern)
        shutil.copy(found, home / wanted)
    shutil.copy(root / "etc" / "ssh" / "ssh_host_ed25519_key.pub", home / "host_key.pub")
    for part in ("key", "disk"):  # with the disk, all is there
        (scratch / part).rename(home / part)
    shutil.rmtree(scratch)


def _pod_images(root: Path) -> None:
    """What pods are made of, in an archive, as a machine can pull nothing."""
    registry = "registry.k8s.io"
    search = {"Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/bin"]}
    shell: dict[str, Path | bytes | Link] = {
        "/bin/busybox": root / "bin" / "busybox",
        **{f"/bin/{name}": Link("busybox") for name in _BUSYBOX},
    }
    proxy = layer({"/usr/local/bin/kube-proxy": binaries.node(KUBERNETES[0])})
    # which writes its rules by this program
    nft = subprocess.run(["chroot", str(root), "sh", "-c", _NFT], check=True, capture_output=True).stdout
    save(
        [
            Image([f"{registry}/pause:{PAUSE}"], [layer({"/pause": binaries.pause()})], {"Entrypoint": ["/pause"]}),
            Image([f"{registry}/kube-proxy:v{KUBERNETES[0]}"], [proxy, nft], search),
            Image([SHELL], [layer(shell)], {"Env": ["PATH=/bin"], "Cmd": ["sleep", "1000000"]}),
        ],
        root / "images.tar",
    )


def _run(command: t.Sequence[str], log: t.TextIO) -> None:
    log.flush()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    if done.returncode:
        said = Path(log.name).read_text()[-2000:]
        raise StartError(f"{' '.join(command[:20])} failed, see {log.name}:\n{said}")
