# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking the API server what a subject may do, rather than computing it (SubjectAccessReview)."""

from __future__ import annotations

import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Api, ApiError
from ansible_collections.hardened.k8s.plugins.module_utils.errors import Problem
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Expectation

_PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
#: Seconds that the server's authorizer gets to see what was just written.
SETTLE = 5.0


def _review(expectation: Expectation) -> t.Dict[str, t.Any]:
    spec: t.Dict[str, t.Any] = {"user": expectation.user, "groups": list(expectation.groups)}
    if expectation.resource.startswith("/"):
        spec["nonResourceAttributes"] = {"verb": expectation.verb, "path": expectation.resource}
    else:
        resource, _dot, group = expectation.resource.partition(".")
        name, _slash, subresource = resource.partition("/")
        if "/" in group:
            group, _slash, subresource = group.partition("/")
        attributes = {
            "verb": expectation.verb,
            "resource": name,
            "subresource": subresource,
            "group": group,
            "namespace": expectation.namespace,
            "name": expectation.name,
        }
        spec["resourceAttributes"] = {key: value for key, value in attributes.items() if value}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


def sentence(expectation: Expectation, allowed: bool) -> str:
    """What is or is not the case, in words."""
    who = expectation.user or f"group {', '.join(expectation.groups)}"
    what = f"{expectation.verb} {expectation.resource} {expectation.name}".rstrip()
    place = f" in namespace {expectation.namespace}" if expectation.namespace else ""
    return f"{who} {'can' if allowed else 'cannot'} {what}{place}"


def ask(api: Api, expectations: t.Sequence[Expectation]) -> t.List[t.Optional[Problem]]:
    """One answer for each expectation: None where it holds, else what is the case instead."""
    deadline = time.monotonic() + SETTLE

    def one(expectation: Expectation) -> t.Optional[Problem]:
        while True:
            try:
                status = api.request("POST", _PATH, body=_review(expectation)).body.get("status") or {}
            except ApiError as error:
                return Problem(
                    expectation.where,
                    f"the API server does not say: {error.message}",
                    "Grant the caller the verb create on subjectaccessreviews.authorization.k8s.io",
                )
            if bool(status.get("allowed")) == expectation.allowed:
                return None
            if time.monotonic() > deadline:
                why = f" ({status['reason']})" if status.get("reason") else ""
                return Problem(
                    expectation.where,
                    f"{sentence(expectation, not expectation.allowed)}{why}",
                    "Correct the roles and bindings, or what is expected of them",
                )
            time.sleep(0.1)

    with ThreadPoolExecutor(api.workers) as pool:
        return list(pool.map(one, expectations))
