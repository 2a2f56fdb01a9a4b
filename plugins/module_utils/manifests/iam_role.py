# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of an IAM role. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.hardened.k8s.plugins.module_utils.manifests import iam_policy
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.iam_policy import Document

MAX_SESSION = 3600


@dataclass(frozen=True)
class Role:
    """A role as IAM has it, or as it is to be.

    :param policies: inline policies by name.
    :param managed: ARNs of attached managed policies.
    """

    name: str
    arn: str = ""
    path: str = "/"
    trust: Document = field(default_factory=dict)
    policies: t.Mapping[str, Document] = field(default_factory=dict)
    managed: t.FrozenSet[str] = frozenset()
    boundary: str = ""
    description: str = ""
    max_session_duration: int = MAX_SESSION
    tags: t.Mapping[str, str] = field(default_factory=dict)
    profiles: t.Tuple[str, ...] = ()

    def view(self) -> t.Dict[str, t.Any]:
        """What a person sees in a diff: documents in their canonical form, so that only differences differ."""
        return {
            "path": self.path,
            "name": self.name,
            "description": self.description,
            "trust_policy": iam_policy.canonical(self.trust),
            "policies": {name: iam_policy.canonical(self.policies[name]) for name in sorted(self.policies)},
            "managed_policies": sorted(self.managed),
            "boundary": self.boundary,
            "max_session_duration": self.max_session_duration,
            "tags": dict(sorted(self.tags.items())),
        }
