# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that decides about flows, read from a cluster: who is there, and policies of every kind that it serves."""

from __future__ import annotations

import json
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ansible_collections.hardened.k8s.plugins.module_utils.cluster import explain
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Api, ApiError
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.resources import (
    KINDS,
    Kind,
)
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.network_providers import (
    CALICO_VERSION,
    CILIUM_VERSION,
)

#: Read in every cluster.
ALWAYS = (
    Kind("v1", "Pod", "pods"),
    Kind("v1", "Namespace", "namespaces", namespaced=False),
    Kind("v1", "Node", "nodes", namespaced=False),
    Kind("v1", "Service", "services"),
    Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
    Kind("v1", "ServiceAccount", "serviceaccounts"),
    KINDS["NetworkPolicy"],
)
#: Read where the cluster serves them.
EXTENSIONS = (
    *(kind for kind in KINDS.values() if kind.extension),
    Kind(CALICO_VERSION, "StagedKubernetesNetworkPolicy", "stagedkubernetesnetworkpolicies"),
    Kind(CILIUM_VERSION, "CiliumCIDRGroup", "ciliumcidrgroups", namespaced=False),
)
#: Where Calico keeps what its API server shows: a cluster without that server has the same objects here alone.
CALICO_STORE = "crd.projectcalico.org/v1"
#: And there, as JSON, the metadata that the API server would show (libcalico-go).
_SHOWN_METADATA = "projectcalico.org/metadata"


def served(api: Api) -> t.Set[str]:
    """The versions of API groups that a cluster serves, such as ``cilium.io/v2``."""
    groups = api.request("GET", "/apis").body.get("groups") or ()
    return {version["groupVersion"] for group in groups for version in group.get("versions") or ()}


def read(api: Api) -> t.List[Manifest]:
    """All of it, each kind by one list.

    :raises HardenedError: no permission.
    """
    versions = served(api)
    stored = CALICO_VERSION not in versions and CALICO_STORE in versions
    extensions = [
        replace(k, api_version=CALICO_STORE) if stored and k.api_version == CALICO_VERSION else k for k in EXTENSIONS
    ]
    kinds = [*ALWAYS, *(kind for kind in extensions if kind.api_version in versions)]

    def one(kind: Kind) -> t.List[Manifest]:
        try:
            return [item for page in api.pages(kind.path()) for item in page]
        except ApiError as error:
            if error.status == 404:
                return []  # of its group, this kind is not served
            raise HardenedError(
                f"cannot list {kind.resource}: {error.message}", explain.permission(kind, "list")
            ) from error

    found: t.List[Manifest] = []
    with ThreadPoolExecutor(api.workers) as pool:
        for kind, items in zip(kinds, pool.map(one, kinds)):
            for item in items:
                item["apiVersion"], item["kind"] = kind.api_version, kind.name
                if kind.api_version == CALICO_STORE:
                    _as_shown(item)
            found += items
    return found


def _as_shown(item: Manifest) -> None:
    """Give an object of Calico's store the version and the labels that Calico's API server would show."""
    item["apiVersion"] = CALICO_VERSION
    try:
        shown = json.loads(item["metadata"].get("annotations", {}).get(_SHOWN_METADATA, "{}"))
    except ValueError:
        return  # whoever wrote that, Calico reads no labels from it either
    if isinstance(shown, dict) and isinstance(shown.get("labels"), dict):
        item["metadata"]["labels"] = {**item["metadata"].get("labels", {}), **shown["labels"]}
