# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API server says of pods that a new Pod Security level would refuse.

On a change of the enforce label (dry runs included) PodSecurity admission evaluates the pods that run in the
namespace and answers in Warning headers: one line that names the level, then one a reason
(k8s.io/pod-security-admission, admission.EvaluatePodsInNamespace). It looks at the first 3,000 pods for one
second at most, and says so in a warning of its own.
"""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref

ENFORCE = "pod-security.kubernetes.io/enforce"


def running_pods(namespace: Ref, level: str, warnings: t.Sequence[str]) -> t.List[Finding]:
    """That a namespace's own pods violate the level that is about to be enforced; that not all were looked at."""
    found = [
        Finding(
            rule="pod-security/not-all-checked",
            ref=namespace,
            message=text,
            remedy="Stay at stage warn until its audit events and warnings name no pod of this namespace",
        )
        for text in warnings
        if "only checked against the first" in text
    ]
    heading = next((i for i, text in enumerate(warnings) if "violate the new PodSecurity" in text), None)
    if heading is not None:
        found.append(
            Finding(
                rule="pod-security/running-pods",
                ref=namespace,
                message=f"running pods violate level {level}; they would not start again",
                affected=tuple(text for text in warnings[heading + 1 :] if ": " in text),
                remedy="Correct these pods first, or stay at stage warn or below until they are",
                refuse=True,
            )
        )
    return found
