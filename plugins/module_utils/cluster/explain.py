# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API server's errors in words that name the remedy."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import ApiError
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.resources import Kind
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref


def permission(kind: Kind, verb: str) -> str:
    return f"Grant the caller the verb {verb} on {kind.resource}; the module's documentation lists all that it needs"


def error(error: ApiError, ref: Ref, kind: Kind, force: bool) -> t.Tuple[str, str]:
    """Reason and remedy for one object that the server refused."""
    conflicts = [cause for cause in error.causes if cause.get("reason") == "FieldManagerConflict"]
    if conflicts:
        fields = ", ".join(f"{cause.get('field')} ({cause.get('message')})" for cause in conflicts)
        return (
            f"{ref}: another field manager owns {fields}",
            "Leave the field to it by not declaring it, or take it over with force_conflicts: true",
        )
    if error.status == 403:
        return f"{ref} is forbidden: {error.message}", _forbidden(error.message, kind)
    if error.status == 404 and ref.namespace:
        return (
            f"{ref}: {error.message}",
            f"Create namespace {ref.namespace} first: declare it with hardened.k8s.namespace or hardened.k8s.tenant",
        )
    if error.status in (400, 422):
        return f"{ref} is not valid: {error.message}", "Correct the declaration where the message points"
    if error.status == 409 and not force:
        return f"{ref} changed while it was being written: {error.message}", "Run again"
    return f"{ref}: {error.message} (HTTP {error.status})", "Run again; if it stays, look at the API server's log"


def _forbidden(message: str, kind: Kind) -> str:
    if "attempting to grant RBAC permissions not currently held" in message:
        return "Let a caller who holds these rights grant them, or give this caller the verb escalate (roles) or bind (bindings)"
    if "exceeded quota" in message:
        return "Raise the quota in that namespace, or remove what is no longer needed"
    if "is being terminated" in message:
        return "Wait until the namespace is gone and run again"
    verb = re.search(r'cannot (\w+) resource "([^"]+)"', message)
    return permission(kind, verb.group(1) if verb else "patch and create")
