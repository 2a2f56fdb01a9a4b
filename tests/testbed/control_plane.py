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
import re
import shutil
import socket
import ssl
import subprocess
import time
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

from tests.gates.environment import cache
from tests.testbed import binaries
from tests.testbed.processes import Processes
from tests.testbed.versions import KUBERNETES

_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    userGroups: ["system:nodes", "system:serviceaccounts:kube-system"]
  - level: None
    users: ["system:apiserver", "system:kube-controller-manager"]
  - level: Metadata
"""


class StartError(Exception):
    """A component did not come up; the message has the end of its log."""


class ControlPlane:
    """One instance, told from others by its name.

    :param name: several can run side by side.
    :param kubernetes: its version, one of ``versions.KUBERNETES``.
    """

    def __init__(self, name: str = "default", kubernetes: str = KUBERNETES[0]) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,60}", name):
            raise ValueError(f"{name!r} is no name of an instance: use lower-case letters, digits and '-'")
        self.name = name
        self.kubernetes = kubernetes
        self.directory = cache() / "run" / name
        self.kubeconfig = self.directory / "kubeconfig"
        self._processes = Processes(self.directory / "processes.json")

    # -- life

    def up(self) -> ControlPlane:
        """Start it unless it runs; whatever a crashed predecessor left is removed first."""
        kube, etcd = binaries.kube(self.kubernetes), binaries.etcd()
        with self._lock():
            if self.is_up():
                return self
            self._remove()
            self.directory.mkdir(parents=True, mode=0o700)
            try:
                self._start(kube, etcd)
            except BaseException:
                self._processes.stop()
                raise
        return self

    def down(self) -> None:
        """Stop it and remove all that it left."""
        with self._lock():
            self._remove()

    def is_up(self) -> bool:
        """Whether all of it runs, in this version."""
        try:
            version = (self.directory / "version").read_text()
        except OSError:
            return False
        return version == self.kubernetes and len(self._processes.running()) == len(("etcd", "api", "controllers"))

    @contextlib.contextmanager
    def _lock(self) -> t.Iterator[None]:
        home = self.directory.parent
        home.mkdir(parents=True, exist_ok=True)
        with (home / f".{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _remove(self) -> None:
        self._processes.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- start

    def _start(self, kube: Path, etcd: Path) -> None:
        os.symlink(kube, self.directory / "kube")
        client, peer, port = _free_ports(3)
        token = os.urandom(16).hex()
        self._write("tokens.csv", f'{token},admin,admin,"system:masters"\n')
        self._write("audit.yml", _AUDIT_POLICY)
        self._write("service-accounts.key", "")
        _openssl(self.directory, "genrsa", "-out", "service-accounts.key", "2048")
        _openssl(self.directory, "genrsa", "-out", "client-ca.key", "2048")
        authority = ["-new", "-x509", "-key", "client-ca.key", "-days", "30", "-subj", "/CN=clients"]
        _openssl(self.directory, "req", *authority, "-out", "client-ca.crt")
        url = f"http://127.0.0.1:{client}"
        self._run(
            "etcd",
            [str(etcd), "--data-dir=etcd", "--unsafe-no-fsync", "--log-level=warn"]
            + [f"--listen-client-urls={url}", f"--advertise-client-urls={url}"]
            + [f"--listen-peer-urls=http://127.0.0.1:{peer}"],
        )
        self._run(
            "api",
            [str(kube), "kube-apiserver", f"--etcd-servers={url}", f"--secure-port={port}"]
            + ["--bind-address=127.0.0.1", "--cert-dir=certs", "--service-cluster-ip-range=10.0.0.0/16"]
            + ["--service-account-issuer=https://kubernetes.default.svc", "--allow-privileged=true"]
            + ["--service-account-key-file=service-accounts.key", "--authorization-mode=Node,RBAC"]
            + ["--service-account-signing-key-file=service-accounts.key", "--token-auth-file=tokens.csv"]
            + ["--client-ca-file=client-ca.crt", "--audit-policy-file=audit.yml", "--audit-log-path=audit.log"],
        )
        certificate = self.directory / "certs" / "apiserver.crt"
        self._wait("api", lambda: certificate.exists() and bool(certificate.read_text()))
        self._write("kubeconfig", json.dumps(self._config(f"https://127.0.0.1:{port}", token, certificate), indent=1))
        self._wait("api", self._ready)
        self._run(
            "controllers",
            [str(kube), "kube-controller-manager", "--kubeconfig=kubeconfig", "--leader-elect=false"]
            + ["--service-account-private-key-file=service-accounts.key", "--use-service-account-credentials=true"]
            + ["--bind-address=127.0.0.1", "--secure-port=0", "--concurrent-namespace-syncs=20"],
        )
        self._write("version", self.kubernetes)

    def _run(self, name: str, command: list[str]) -> None:
        self._processes.start(name, command, self.directory / f"{name}.log", self.directory)

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text)

    def _wait(self, name: str, ready: t.Callable[[], bool], seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            running = self._processes.running()
            dead = next((part for part in ("etcd", name) if part not in running), None)
            if dead or time.monotonic() > deadline:
                log = (self.directory / f"{dead or name}.log").read_text()[-3000:]
                raise StartError(f"{dead or name} {'ended' if dead else 'is not ready'} after all:\n{log}")
            time.sleep(0.05)

    def _ready(self) -> bool:
        try:
            return bool(self.get("/readyz") == "ok")
        except OSError:
            return False

    @staticmethod
    def _config(server: str, token: str, certificate: Path) -> dict[str, t.Any]:
        authority = base64.b64encode(certificate.read_bytes()).decode()
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bed", "cluster": {"server": server, "certificate-authority-data": authority}}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "admin"}}],
            "current-context": "bed",
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
        """The certificate that the API server's own is verified with."""
        return self.directory / "certs" / "apiserver.crt"

    def get(self, path: str) -> t.Any:
        """GET as the administrator: decoded JSON, or text."""
        return self.request("GET", path)

    def request(self, method: str, path: str, body: t.Any = None, content_type: str = "application/json") -> t.Any:
        """One request as the administrator.

        :raises urllib.error.HTTPError: with the server's answer in its body.
        """
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type, "User-Agent": "testbed"}
        asked = urllib.request.Request(self.server + path, data, headers, method=method)
        context = ssl.create_default_context(cafile=str(self.authority))
        with urllib.request.urlopen(asked, context=context, timeout=60) as answer:
            text = answer.read().decode()
            return json.loads(text) if answer.headers.get_content_type() == "application/json" else text

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """What kubectl of the same version prints, as the administrator.

        :raises RuntimeError: with what it complained about.
        """
        command = [str(self.directory / "kube"), "kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def client_certificate(self, user: str, groups: t.Sequence[str] = ()) -> tuple[Path, Path]:
        """A certificate and its key for a user and its groups."""
        stem = re.sub(r"[^a-z0-9]", "-", user.lower())
        key, request, certificate = (self.directory / f"client-{stem}.{end}" for end in ("key", "csr", "crt"))
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        _openssl(self.directory, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-subj", subject, "-out", str(request))
        signing = ["-CA", "client-ca.crt", "-CAkey", "client-ca.key", "-CAcreateserial", "-days", "30"]
        _openssl(self.directory, "x509", "-req", "-in", str(request), *signing, "-out", str(certificate))
        return certificate, key

    def audit_mark(self) -> int:
        """A point in the audit log, for :meth:`audit`."""
        return (self.directory / "audit.log").stat().st_size

    def audit(self, since: int = 0) -> list[dict[str, t.Any]]:
        """The requests that the API server has answered since a mark, as it wrote them down."""
        with (self.directory / "audit.log").open("rb") as log:
            log.seek(since)
            return [json.loads(line) for line in log if line.endswith(b"\n")]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(server.getsockname()[1]) for server in sockets]
    for server in sockets:
        server.close()
    return ports


def _openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)
