# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all clusters of the test bed have in common: a name, a folder, a life, and ways to ask them."""

from __future__ import annotations

import abc
import contextlib
import fcntl
import json
import os
import random
import re
import shutil
import socket
import ssl
import subprocess
import time
import typing as t
import urllib.request
from pathlib import Path

from tests.gates.environment import cache
from tests.testbed.processes import Processes
from tests.testbed.versions import KUBERNETES

C = t.TypeVar("C", bound="Cluster")


#: What an instance is, while it is brought up and from then on.
_BEGUN, _DESCRIPTION = "begun.json", "description.json"
#: What is kept of an instance that did not come up, and for how many seconds.
_LOGS = ("*.log", "*/*.log", "machines/*/*.log", "logs/**/*")
_KEPT = 7 * 86400


class StartError(Exception):
    """A cluster did not come up; the message says why, with the end of a log."""


class Cluster(abc.ABC):
    """One instance, told from others by its name.

    :param name: several can run side by side, whatever their modes.
    :param kubernetes: the version to start, one of ``versions.KUBERNETES``.
    """

    #: What ``--mode`` calls it.
    mode: t.ClassVar[str]

    def __init__(self, name: str = "default", kubernetes: str = KUBERNETES[0]) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,60}", name):
            raise ValueError(f"{name!r} is no name of an instance: use lower-case letters, digits and '-'")
        self.name = name
        self.kubernetes = kubernetes
        self.directory = home() / name
        self.kubeconfig = self.directory / "kubeconfig"
        self._processes = Processes(self.directory / "processes.json")

    # -- life

    def up(self: C) -> C:
        """Start it unless it runs; whatever a crashed predecessor left is removed first."""
        self._prepare()
        with _alone(self.directory):
            if self.is_up():
                if self.description() != self._wanted():
                    there = ", ".join(f"{key} {value}" for key, value in self.description().items())
                    raise StartError(f"{self.name} is up with {there}: take it down first")
                return self
            self._clear()
            self._write(_BEGUN, json.dumps(self._wanted()))
            try:
                self._start()
                (self.directory / _BEGUN).rename(self.directory / _DESCRIPTION)
            except BaseException:
                self._stop()  # the logs stay
                self._keep_logs()
                raise
        return self

    def down(self) -> None:
        """Stop it and remove all that it left."""
        with _alone(self.directory):
            self._clear()
            self.directory.rmdir()

    @property
    def failed(self) -> Path:
        """Where the logs are of the last start that failed, also when the instance has been taken down since."""
        return home().parent / "failed" / self.name

    def _keep_logs(self) -> None:
        shutil.rmtree(self.failed, ignore_errors=True)
        for other in self.failed.parent.glob("*"):
            if other.stat().st_mtime < time.time() - _KEPT:
                shutil.rmtree(other, ignore_errors=True)
        for log in (path for pattern in _LOGS for path in self.directory.glob(pattern)):
            kept = self.failed / log.relative_to(self.directory)
            with contextlib.suppress(OSError):  # a socket, or gone meanwhile
                if log.is_file():
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(log, kept)

    @abc.abstractmethod
    def is_up(self) -> bool:
        """Whether all of it runs."""

    def description(self) -> dict[str, str]:
        """What was started here; empty where nothing came up."""
        return _read(self.directory / _DESCRIPTION)

    def _wanted(self) -> dict[str, str]:
        return {"mode": self.mode, "Kubernetes": self.kubernetes}

    @abc.abstractmethod
    def _prepare(self) -> None:
        """Make what it needs, which may take long, once."""

    @abc.abstractmethod
    def _start(self) -> None:
        """Bring it up, in a folder in which nothing is."""

    def _stop(self) -> None:
        self._processes.stop()

    def _clear(self) -> None:
        self._stop()
        for path in self.directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text)

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
        headers = {"Content-Type": content_type, "User-Agent": "testbed", **self._credentials}
        asked = urllib.request.Request(self.server + path, data, headers, method=method)
        with urllib.request.urlopen(asked, context=self._context(), timeout=60) as answer:
            text = answer.read().decode()
            return json.loads(text) if answer.headers.get_content_type() == "application/json" else text

    @property
    def _credentials(self) -> dict[str, str]:
        """The administrator's headers."""
        return {}

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    def kubectl(self, *arguments: str, text: str | None = None, stdin: int | None = None) -> str:
        """What kubectl of the same version prints, as the administrator.

        :param text: its standard input.
        :param stdin: or an open file that is.
        :raises RuntimeError: with what it complained about.
        """
        return self._kube("kubectl", "--kubeconfig", str(self.kubeconfig), *arguments, text=text, stdin=stdin)

    def client_certificate(self, user: str, groups: t.Sequence[str] = ()) -> tuple[Path, Path]:
        """A certificate and its key for a user and its groups."""
        stem = "client-" + re.sub(r"[^a-z0-9]", "-", user.lower())
        self._kube("client-certificate", stem, user, *groups)
        return self.directory / f"{stem}.crt", self.directory / f"{stem}.key"

    def service_account_token(self, namespace: str, name: str) -> str:
        """A token of a service account, good for an hour."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return str(self.request("POST", path, {"spec": {"expirationSeconds": 3600}})["status"]["token"])

    def _kube(self, *arguments: str, text: str | None = None, stdin: int | None = None) -> str:
        command = [str(self.directory / "kube"), *arguments]
        done = subprocess.run(
            command, cwd=self.directory, input=text, stdin=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


def home() -> Path:
    """Where the instances are."""
    return cache() / "run"


def begun(name: str) -> dict[str, str]:
    """What was begun by that name, whether or not it came up; empty where nothing was."""
    directory = home() / name
    return _read(directory / _DESCRIPTION) or _read(directory / _BEGUN)


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    return {str(key): str(value) for key, value in json.loads(text).items()}


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


def free_ports(count: int) -> list[int]:
    """Ports below those of outgoing connections, which might take one before it is listened on."""
    candidates = random.sample(range(20000, 32768), 1000)
    return [port for port in candidates if _is_free(port)][:count]


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
