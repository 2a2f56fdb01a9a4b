# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""moto's server: AWS on loopback, in a process of its own, as boto3 sees it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import typing as t
import urllib.error
import urllib.request

#: Whose account moto's is.
ACCOUNT = "111122223333"
REGION = "eu-central-1"

_PATIENCE = 300.0


class Moto:
    """One server.

    :param host: the address to listen on.
    :param wrap: what to put before the command, such as ``ip netns exec name``.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, wrap: t.Sequence[str] = ()) -> None:
        self.host = host
        self.port = port or _free_port(host)
        self._wrap = list(wrap)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def options(self) -> dict[str, t.Any]:
        """How a module reaches it; the keys are nobody's."""
        return {
            "endpoint_url": self.url,
            "access_key": "testing",
            "secret_key": "testing",
            "region": REGION,
            # its first answers may take minutes where the machine is busy
            "aws_config": {"read_timeout": _PATIENCE},
        }

    def up(self) -> Moto:
        command = [sys.executable, "-m", "moto.server", "-H", self.host, "-p", str(self.port)]
        self._process = subprocess.Popen(
            [*self._wrap, *command],
            env={**os.environ, "MOTO_ACCOUNT_ID": ACCOUNT},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.down()
                raise RuntimeError(f"moto's server does not answer at {self.url}")
            time.sleep(0.1)
        return self

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def reset(self) -> None:
        """Forget everything."""
        self.post("/moto-api/reset")

    def post(self, path: str, body: bytes = b"") -> None:
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}{path}", body, method="POST"), timeout=30):
            pass

    def client(self, service: str) -> t.Any:
        """A client of boto3, for arranging and looking."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            config=Config(read_timeout=_PATIENCE, retries={"max_attempts": 0}),
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def down(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as server:
        port: int = server.getsockname()[1]
        return port
