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
import datetime
import json
import secrets
import time
import typing as t
from pathlib import Path

from tests.testbed import binaries
from tests.testbed.cluster import Cluster, StartError, free_ports
from tests.testbed.versions import minor

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


#: The minor version from which on they are on by default.
_IMAGE_VOLUMES = 35


def _features(kubernetes: str) -> list[str]:
    """Fields that policies judge, and that an older server would leave out of a pod without a word."""
    return ["--feature-gates=ImageVolume=true"] if int(minor(kubernetes)) < _IMAGE_VOLUMES else []


class AuditMark(t.NamedTuple):
    """A point in the audit log, and when it was reached, as the log writes it."""

    offset: int
    time: str


BEGINNING = AuditMark(0, "")


class ControlPlane(Cluster):
    """A control plane without nodes."""

    mode = "control-plane"

    def is_up(self) -> bool:
        return bool(self.description()) and len(self._processes.running()) == len(COMPONENTS)

    def _prepare(self) -> None:
        binaries.kube(self.kubernetes)
        binaries.etcd()

    # -- start

    def _start(self) -> None:
        kube, etcd = binaries.kube(self.kubernetes), binaries.etcd()
        (self.directory / "kube").symlink_to(kube)
        self._kube("certificates")
        etcd_port, port = free_ports(2)
        server, values = f"https://127.0.0.1:{port}", {"etcd": f"http://127.0.0.1:{etcd_port}", "port": port}
        admin, controllers = secrets.token_hex(16), secrets.token_hex(16)
        users = [f"{admin},admin,admin,system:masters", f"{controllers},system:{CONTROLLERS},controllers"]
        self._write("tokens.csv", "\n".join(users))
        self._write("audit.yml", _AUDIT_POLICY)
        self._write("kubeconfig", json.dumps(self._config(server, admin), indent=2))
        self._write("controllers.json", json.dumps(self._config(server, controllers)))

        self._run(ETCD, [str(etcd), *_ETCD_FLAGS.format(**values).split()])
        flags = [*_API_FLAGS.format(**values).split(), *_features(self.kubernetes), *self._more_flags()]
        self._run(API, [str(kube), API, *flags])
        self._wait(API, lambda: self.get("/readyz"))
        self._run(CONTROLLERS, [str(kube), CONTROLLERS, *_CONTROLLERS_FLAGS.split()])
        # made by a controller: with it, pods can be created
        self._wait(CONTROLLERS, lambda: self.get("/api/v1/namespaces/default/serviceaccounts/default"))

    def _more_flags(self) -> list[str]:
        """Of the API server, for a test that needs it otherwise."""
        return []

    def _run(self, component: str, command: t.Sequence[str]) -> None:
        self._processes.start(component, command, self._log(component), self.directory)

    def _log(self, component: str) -> Path:
        return self.directory / f"{component}.log"

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
    def token(self) -> str:
        return str(self.config["users"][0]["user"]["token"])

    @property
    def _credentials(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def audit_mark(self) -> AuditMark:
        """Now, for :meth:`audit`."""
        now = datetime.datetime.now(datetime.UTC)
        return AuditMark((self.directory / "audit.log").stat().st_size, now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))

    def audit(self, since: AuditMark = BEGINNING) -> list[dict[str, t.Any]]:
        """The requests that the API server has received since a mark and answered, as it wrote them down.

        A request is written down before the end of its answer is sent: whoever has an answer finds it here. One that
        was received before the mark does not count, though it may be answered after it, as when its sender was killed.
        """
        with (self.directory / "audit.log").open("rb") as log:
            log.seek(since.offset)
            events = [json.loads(line) for line in log if line.endswith(b"\n")]
        return [event for event in events if event["requestReceivedTimestamp"] >= since.time]
