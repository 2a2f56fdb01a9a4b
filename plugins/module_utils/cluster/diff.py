# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Before and after, as Ansible's ``--diff`` prints them."""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.cluster.canonical import view
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest


def changed(before: t.Optional[Manifest], after: t.Optional[Manifest]) -> bool:
    """Whether two states of an object differ in anything that a person would call a difference."""
    return (before and view(before)) != (after and view(after))


def entry(ref: Ref, before: t.Optional[Manifest], after: t.Optional[Manifest]) -> t.Dict[str, str]:
    """One element of a module's ``diff`` list: two YAML texts and their headers."""
    return {
        "before_header": str(ref),
        "after_header": str(ref),
        "before": to_yaml(view(before)) if before else "",
        "after": to_yaml(view(after)) if after else "",
    }


def to_yaml(manifest: Manifest) -> str:
    """YAML with sorted keys; by libyaml where it is there, for a thousand objects in a moment."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(manifest, Dumper=dumper, default_flow_style=False)
    return text
