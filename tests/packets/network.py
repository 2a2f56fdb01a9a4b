# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node, its pods and what is around them: each a network namespace that ends with the test.

::

    outside --- ens5 [ node ] cali0 --- pod          (an interface each, as Calico and the VPC CNI have it)
    169.254.169.254           cni0 ---- pod, pod     (a bridge, as the plain CNI has it)
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import http.client
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

HERE = Path(__file__).parent
_NEW_NETWORK = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

T = t.TypeVar("T")

METADATA, METADATA_IPV6 = "169.254.169.254", "fd00:ec2::254"
CREDENTIALS = "/latest/meta-data/iam/security-credentials/"
USER_DATA = "/latest/user-data"
PATIENCE = 30.0


class Namespace:
    """A network of its own, as long as a process sleeps in it.

    :param mounts: a shell script that makes this process's own mounts.
    """

    def __init__(self, mounts: str = "") -> None:
        script = f"{mounts}\necho ready && exec sleep infinity"
        command = ["unshare", "--net", "--mount", "sh", "-ec", script]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("a network namespace needs root, or `unshare --map-root-user --net --mount`")
        self.pid = self._process.pid
        # addresses are ready at once
        self.sh("for of in all default; do echo 0 > /proc/sys/net/ipv6/conf/$of/accept_dad; done; ip link set lo up")

    def command(self, *arguments: str) -> list[str]:
        """A command, in here."""
        return ["nsenter", "--net", "--mount", f"--target={self.pid}", "--", *arguments]

    def sh(self, script: str, *arguments: str, check: bool = True) -> str:
        """What a shell script prints in here.

        :raises RuntimeError: with what it complained about.
        """
        command = self.command("sh", "-ec", script, "sh", *arguments)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{script}: {done.stderr.strip() or done.stdout.strip() or done.returncode}")
        return done.stdout

    def call(self, function: t.Callable[[], T]) -> T:
        """What a function comes to in this network, which only a thread of its own enters."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            try:
                with open(f"/proc/{self.pid}/ns/net") as handle:
                    if _libc.setns(handle.fileno(), _NEW_NETWORK):
                        raise OSError(ctypes.get_errno(), "setns")
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return future.result()

    def ask(self, path: str = CREDENTIALS, **about: t.Any) -> Answer:
        """One request of somebody in here."""
        return self.call(lambda: ask(path, **about))

    def credentials(self, **about: t.Any) -> str:
        """The ARN of the role that somebody in here gets, without a token or with one; otherwise why not."""
        for token in ({}, self.token(**about)):
            role = self.ask(**token, **about)
            if role.status == 200:
                return self.ask(f"{CREDENTIALS}{role.text}", **token, **about).text
        return role.text

    def token(self, **about: t.Any) -> dict[str, str]:
        """The header with a token, where one can be had."""
        wish = {"method": "PUT", "X_aws_ec2_metadata_token_ttl_seconds": "60"}
        answer = self.ask("/latest/api/token", **wish, **about)
        return {"X_aws_ec2_metadata_token": answer.text} if answer.status == 200 else {}

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


class Server:
    """A process that serves in a namespace.

    :param program: a file beside this one.
    """

    def __init__(self, namespace: Namespace, program: str, *arguments: str) -> None:
        self._command = namespace.command(sys.executable, str(HERE / program), *arguments)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Server:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{' '.join(self._command)} does not serve")
        return self

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()


class Answer(t.NamedTuple):
    """What came of a request: a status and a text, or why there was none."""

    status: int
    text: str


REFUSED = Answer(0, "refused")
LOST = Answer(0, "lost")


def ask(
    path: str, host: str = METADATA, port: int = 80, method: str = "GET", seconds: float = PATIENCE, **headers: str
) -> Answer:
    """One request, of whoever calls this."""
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return Answer(response.status, response.read().decode())
    except TimeoutError:
        return LOST
    except OSError:  # refused, or no way there
        return REFUSED
    finally:
        connection.close()


class Pod(Namespace):
    """A pod.

    :param interface: its end on the node.
    """

    def __init__(self, address: str, interface: str) -> None:
        super().__init__()
        self.address = address
        self.ipv6 = f"2001:db8:244::{address.rpartition('.')[2]}"
        self.interface = interface


_NODE_MOUNTS = """
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/upper /run/work /run/systemd/system
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /usr/local/sbin
for name in systemctl systemd-run; do
  printf '#!/bin/sh\\nexec python3 $0 %s "$@"\\n' $name > /usr/local/sbin/$name
  chmod 755 /usr/local/sbin/$name
done
"""


class World:
    """All of it.

    :param required: whether the metadata service wants tokens.
    :param hops: how far these get.
    """

    def __init__(self, required: bool = False, hops: int = 2) -> None:
        with contextlib.ExitStack() as stack:
            self.node = Namespace(_NODE_MOUNTS.replace("$0", str(HERE / "systemctl.py")))
            stack.callback(self.node.end)
            self.outside = Namespace()
            stack.callback(self.outside.end)
            self._lay_out()
            arguments = ["--hops", str(hops), *(["--required"] if required else [])]
            self.metadata = Server(self.outside, "metadata_service.py", *arguments).start()
            stack.callback(self.metadata.kill)
            self._stack = stack.pop_all()

    def _lay_out(self) -> None:
        self.node.sh(
            f"""
            ip link add ens5 type veth peer name ens5 netns {self.outside.pid}
            ip address add 192.0.2.10/24 dev ens5
            ip -6 address add 2001:db8::10/64 dev ens5 nodad
            ip link set ens5 up
            ip link add cni0 type bridge
            ip address add 198.51.100.1/24 dev cni0
            ip -6 address add 2001:db8:244::1/64 dev cni0 nodad
            ip link set cni0 up
            echo 1 > /proc/sys/net/ipv4/ip_forward
            echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
            """
        )
        self.outside.sh(
            f"""
            ip address add 192.0.2.1/24 dev ens5
            ip address add {METADATA}/32 dev ens5
            ip -6 address add 2001:db8::1/64 dev ens5 nodad
            ip -6 address add {METADATA_IPV6}/128 dev ens5 nodad
            ip link set ens5 up
            ip route add 198.51.100.0/24 via 192.0.2.10
            ip -6 route add 2001:db8:244::/64 via 2001:db8::10
            """
        )
        self.node.sh("ip route add default via 192.0.2.1; ip -6 route add default via 2001:db8::1")

    def pod(self, number: int, interface: str = "") -> Pod:
        """A new pod.

        :param interface: its own on the node; otherwise it is on the bridge.
        """
        pod = Pod(f"198.51.100.{number}", interface or "cni0")
        self._stack.callback(pod.end)
        end = interface or f"veth{number}"
        self.node.sh(f"ip link add {end} type veth peer name eth0 netns {pod.pid} && ip link set {end} up")
        pod.sh(
            f"""
            ip address add {pod.address}/32 dev eth0
            ip -6 address add {pod.ipv6}/128 dev eth0 nodad
            ip link set eth0 up
            """
        )
        if interface:
            self.node.sh(
                f"""
                ip route add {pod.address}/32 dev {end}
                ip -6 route add {pod.ipv6}/128 dev {end}
                ip -6 address add fe80::1/64 dev {end} nodad
                echo 1 > /proc/sys/net/ipv4/conf/{end}/proxy_arp
                """
            )
            pod.sh(
                """
                ip route add 169.254.1.1 dev eth0
                ip route add default via 169.254.1.1
                ip -6 route add default via fe80::1 dev eth0
                """
            )
        else:
            self.node.sh(f"ip link set {end} master cni0")
            pod.sh(
                """
                ip route add 198.51.100.1 dev eth0
                ip route add default via 198.51.100.1
                ip -6 route add 2001:db8:244::1 dev eth0
                ip -6 route add default via 2001:db8:244::1
                """
            )
        return pod

    def serve(self, program: str, *arguments: str) -> Server:
        """A process of the node itself, or of a pod on its network."""
        server = Server(self.node, program, *arguments).start()
        self._stack.callback(server.kill)
        return server

    def end(self) -> None:
        self._stack.close()


def until(condition: t.Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
