# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for namespaces: for Active, and for gone. Nothing else that this collection writes becomes ready later."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Api, ApiError
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.resources import object_path
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest

#: Seconds between two looks: short at first, a namespace is often gone within one.
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.5)


class WaitError(Exception):
    """It did not happen in time; ``remedy`` says what holds it up."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def _poll(check: t.Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    for pause in _endless(_PAUSES):
        if check():
            return True
        if time.monotonic() + pause > deadline:
            return False
        time.sleep(pause)
    raise AssertionError("endless")


def _endless(pauses: t.Sequence[float]) -> t.Iterator[float]:
    yield from pauses
    while True:
        yield pauses[-1]


def until_active(api: Api, namespace: Ref, answer: Manifest, timeout: float) -> None:
    """Wait until a namespace is Active; the answer to its creation nearly always says so already.

    :raises WaitError: it is not after so many seconds.
    """
    state = {"body": answer}

    def active() -> bool:
        if (state["body"].get("status") or {}).get("phase") == "Active":
            return True
        state["body"] = api.request("GET", object_path(namespace)).body
        return False

    if not _poll(active, timeout):
        raise WaitError(f"{namespace} is not Active after {timeout:.0f} s", "Look at its status, or raise wait_timeout")


def until_gone(api: Api, namespace: Ref, timeout: float) -> None:
    """Wait until a namespace and everything in it is gone.

    :raises WaitError: it is still there after so many seconds; says which finalizers or contents remain.
    """
    remaining = [""]

    def gone() -> bool:
        try:
            body = api.request("GET", object_path(namespace)).body
        except ApiError as error:
            if error.status == 404:
                return True
            raise
        conditions = (body.get("status") or {}).get("conditions") or []
        remaining[0] = "; ".join(c.get("message", "") for c in conditions if c.get("status") == "True")
        return False

    if not _poll(gone, timeout):
        raise WaitError(
            f"{namespace} is still being deleted after {timeout:.0f} s",
            f"{remaining[0] or 'Look at its finalizers'}. Clear that, or raise wait_timeout, and run again",
        )
