# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real control plane on loopback: etcd, kube-apiserver and kube-controller-manager, no nodes.

Enough for everything that the API server decides. Every request is in its audit log, so that tests count what
was really sent.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import random
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import time
import typing as t
import urllib.request
from pathlib import Path

from tests.gates.environment import cache
from tests.testbed import binaries
from tests.testbed.processes import Processes, started
from tests.testbed.versions import KUBERNETES

ETCD, API, CONTROLLERS = COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager")

#: What the components and their controllers ask for among themselves is left out.
_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    userGroups: ["system:serviceaccounts:kube-system"]
  - level: None
    users: ["system:apiserver", "system:kube-controller-manager"]
  - level: Metadata
"""

#: Being its only member, etcd elects itself at once.
_ETCD_FLAGS = """
--data-dir=etcd --unsafe-no-fsync --log-level=warn --heartbeat-interval=10 --election-timeout=100
--listen-peer-urls=http://127.0.0.1:0 --listen-client-urls={etcd} --advertise-client-urls={etcd}
"""
_API_FLAGS = """
--etcd-servers={etcd} --bind-address=127.0.0.1 --secure-port={port} --advertise-address=192.0.2.1
--service-cluster-ip-range=10.0.0.0/16
--tls-cert-file=serving.crt --tls-private-key-file=serving.key --client-ca-file=ca.crt
--token-auth-file=tokens.csv --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction
--service-account-issuer=https://kubernetes.default.svc --service-account-key-file=service-accounts.key
--service-account-signing-key-file=service-accounts.key --allow-privileged=true
--audit-policy-file=audit.yml --audit-log-path=audit.log --audit-log-maxsize=100000
"""
#: At the usual limit of requests, making an account for each controller takes seconds.
_CONTROLLERS_FLAGS = """
--kubeconfig=controllers.json --leader-elect=false --secure-port=0 --use-service-account-credentials=true
--service-account-private-key-file=service-accounts.key --root-ca-file=ca.crt --concurrent-namespace-syncs=20
--kube-api-qps=1000 --kube-api-burst=1000
"""


class StartError(Exception):
    """A component did not come up; the message has the end of its log."""


class ControlPlane:
    """One instance, told from others by its name.

    :param name: several can run side by side.
    :param kubernetes: the version to start, one of ``versions.KUBERNETES``.
    """

    def __init__(self, name: str = "default", kubernetes: str = KUBERNETES[0]) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,60}", name):
            raise ValueError(f"{name!r} is no name of an instance: use lower-case letters, digits and '-'")
        self.name = name
        self.kubernetes = kubernetes
        self.directory = _home() / name
        self.kubeconfig = self.directory / "kubeconfig"
        self._processes = Processes(self.directory / "processes.json")

    # -- life

    def up(self) -> ControlPlane:
        """Start it unless it runs; whatever a crashed predecessor left is removed first."""
        kube, etcd = binaries.kube(self.kubernetes), binaries.etcd()
        with _alone(self.directory):
            if self.is_up():
                if self.version() != self.kubernetes:
                    raise StartError(f"{self.name} is up with Kubernetes {self.version()}: take it down first")
                return self
            self._clear()
            try:
                self._start(kube, etcd)
            except BaseException:
                self._processes.stop()  # the logs stay
                raise
        return self

    def down(self) -> None:
        """Stop it and remove all that it left."""
        with _alone(self.directory):
            self._clear()
            self.directory.rmdir()

    def is_up(self) -> bool:
        """Whether all of it runs."""
        return bool(self.version()) and len(self._processes.running()) == len(COMPONENTS)

    def version(self) -> str:
        """The version that was started here; empty where none came up."""
        try:
            return (self.directory / "version").read_text()
        except FileNotFoundError:
            return ""

    def _clear(self) -> None:
        self._processes.stop()
        for path in self.directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    # -- start

    def _start(self, kube: Path, etcd: Path) -> None:
        (self.directory / "kube").symlink_to(kube)
        self._kube("certificates")
        etcd_port, port = _free_ports(2)
        server, values = f"https://127.0.0.1:{port}", {"etcd": f"http://127.0.0.1:{etcd_port}", "port": port}
        admin, controllers = secrets.token_hex(16), secrets.token_hex(16)
        users = [f"{admin},admin,admin,system:masters", f"{controllers},system:{CONTROLLERS},controllers"]
        self._write("tokens.csv", "\n".join(users))
        self._write("audit.yml", _AUDIT_POLICY)
        self._write("kubeconfig", json.dumps(self._config(server, admin), indent=2))
        self._write("controllers.json", json.dumps(self._config(server, controllers)))

        self._run(ETCD, [str(etcd), *_ETCD_FLAGS.format(**values).split()])
        self._run(API, [str(kube), API, *_API_FLAGS.format(**values).split()])
        self._wait(API, lambda: self.get("/readyz"))
        self._run(CONTROLLERS, [str(kube), CONTROLLERS, *_CONTROLLERS_FLAGS.split()])
        # made by a controller: with it, pods can be created
        self._wait(CONTROLLERS, lambda: self.get("/api/v1/namespaces/default/serviceaccounts/default"))
        self._write("version", self.kubernetes)

    def _run(self, component: str, command: t.Sequence[str]) -> None:
        self._processes.start(component, command, self._log(component), self.directory)

    def _log(self, component: str) -> Path:
        return self.directory / f"{component}.log"

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text)

    def _wait(self, component: str, question: t.Callable[[], object], seconds: float = 90.0) -> None:
        """Wait until the question raises no ``OSError`` any more, while everything started still runs."""
        due = COMPONENTS[: COMPONENTS.index(component) + 1]
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                question()
                return
            running = self._processes.running()
            ended = next((name for name in due if name not in running), "")
            if ended or time.monotonic() > deadline:
                said = self._log(ended or component).read_text()[-3000:]
                state = "has ended" if ended else f"was not ready within {seconds:.0f} s"
                raise StartError(f"{ended or component} of {self.name} {state}; its log ends with:\n{said}")
            time.sleep(0.05)

    def _config(self, server: str, token: str) -> dict[str, t.Any]:
        authority = base64.b64encode(self.authority.read_bytes()).decode()
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "testbed", "cluster": {"server": server, "certificate-authority-data": authority}}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "user"}}],
            "current-context": "testbed",
        }

    # -- use

    @property
    def config(self) -> dict[str, t.Any]:
        """The administrator's kubeconfig, as a dictionary."""
        config: dict[str, t.Any] = json.loads(self.kubeconfig.read_text())
        return config

    @property
    def server(self) -> str:
        return str(self.config["clusters"][0]["cluster"]["server"])

    @property
    def token(self) -> str:
        return str(self.config["users"][0]["user"]["token"])

    @property
    def authority(self) -> Path:
        """The certificate that the API server's own is verified with, and those of clients."""
        return self.directory / "ca.crt"

    def get(self, path: str) -> t.Any:
        """GET as the administrator: decoded JSON, or text."""
        return self.request("GET", path)

    def request(self, method: str, path: str, body: t.Any = None, content_type: str = "application/json") -> t.Any:
        """One request as the administrator.

        :raises urllib.error.HTTPError: with the server's answer in its body.
        """
        data = json.dumps(body).encode() if body is not None else None
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": content_type,
            "User-Agent": "testbed",
        }
        asked = urllib.request.Request(self.server + path, data, headers, method=method)
        context = ssl.create_default_context(cafile=str(self.authority))
        with urllib.request.urlopen(asked, context=context, timeout=60) as answer:
            text = answer.read().decode()
            return json.loads(text) if answer.headers.get_content_type() == "application/json" else text

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """What kubectl of the same version prints, as the administrator.

        :param text: its standard input.
        :raises RuntimeError: with what it complained about.
        """
        return self._kube("kubectl", "--kubeconfig", str(self.kubeconfig), *arguments, text=text)

    def client_certificate(self, user: str, groups: t.Sequence[str] = ()) -> tuple[Path, Path]:
        """A certificate and its key for a user and its groups."""
        stem = "client-" + re.sub(r"[^a-z0-9]", "-", user.lower())
        self._kube("client-certificate", stem, user, *groups)
        return self.directory / f"{stem}.crt", self.directory / f"{stem}.key"

    def service_account_token(self, namespace: str, name: str) -> str:
        """A token of a service account, good for an hour."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return str(self.request("POST", path, {"spec": {"expirationSeconds": 3600}})["status"]["token"])

    def _kube(self, *arguments: str, text: str | None = None) -> str:
        command = [str(self.directory / "kube"), *arguments]
        done = subprocess.run(command, cwd=self.directory, input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def audit_mark(self) -> int:
        """A point in the audit log, for :meth:`audit`."""
        return (self.directory / "audit.log").stat().st_size

    def audit(self, since: int = 0) -> list[dict[str, t.Any]]:
        """The requests that the API server has answered since a mark, as it wrote them down.

        A request is written down before the end of its answer is sent: whoever has an answer finds it here.
        """
        with (self.directory / "audit.log").open("rb") as log:
            log.seek(since)
            return [json.loads(line) for line in log if line.endswith(b"\n")]


def instances() -> list[ControlPlane]:
    """All of them, up or not."""
    return [ControlPlane(path.parent.name) for path in sorted(_home().glob("*/processes.json"))]


def remove_orphans(prefix: str) -> None:
    """Take down the instances named ``<prefix><id>`` for the process that made them, where that has ended."""
    for instance in instances():
        maker = instance.name[len(prefix) :]
        if instance.name.startswith(prefix) and maker.isdigit() and not started(int(maker)):
            instance.down()


def _home() -> Path:
    return cache() / "run"


@contextlib.contextmanager
def _alone(directory: Path) -> t.Iterator[None]:
    """In that folder, which is made, one process at a time. It is its own lock, so nothing else stays."""
    handle = _locked(directory)
    try:
        yield
    finally:
        os.close(handle)


def _locked(directory: Path) -> int:
    """An open folder, until whose closing nobody else gets it."""
    while True:
        # each step fails where whoever had it before removes it just then
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(directory, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), directory.stat()):
                    return handle
            os.close(handle)


def _free_ports(count: int) -> list[int]:
    """Ports below those of outgoing connections, which might take one before it is listened on."""
    candidates = random.sample(range(20000, 32768), 1000)
    return [port for port in candidates if _is_free(port)][:count]


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
