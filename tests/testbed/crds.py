# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of Calico, of Cilium and of network-policy-api, for an API server that then validates objects of them.

The last two publish CustomResourceDefinitions; of Calico's API, whose own server is not to be had, they are made from
the schemas of that server.
"""

from __future__ import annotations

import json
import subprocess
import typing as t
from pathlib import Path

import yaml

from tests.testbed import binaries
from tests.testbed.control_plane import ControlPlane
from tests.testbed.versions import CILIUM

Manifest = dict[str, t.Any]

#: Module, version and sum; the files in it.
_PUBLISHED: tuple[tuple[tuple[str, str, str], tuple[str, ...]], ...] = (
    (
        ("sigs.k8s.io/network-policy-api", "v0.2.0", "h1:W/f0Y9VoeQdOWjX/h2gZyLH6gZ5LLEXmh/9wy9mQWKw="),
        ("config/crd/experimental/policy.networking.k8s.io_clusternetworkpolicies.yaml",),
    ),
    (
        # the last one of v1alpha1; in v0.1.1, selectors of namespaces were one level deeper still
        ("sigs.k8s.io/network-policy-api", "v0.1.7", "h1:obY2FTEidLXVdRYu7gJ4q1RYE57pBnrpMqoE2LZgp4g="),
        (
            "config/crd/standard/policy.networking.k8s.io_adminnetworkpolicies.yaml",
            "config/crd/standard/policy.networking.k8s.io_baselineadminnetworkpolicies.yaml",
        ),
    ),
    (
        ("github.com/cilium/cilium", f"v{CILIUM}", "h1:dqiEGIcXc+gqCLYG/l7VCFJ8GHyb4HUrwbZOpkX5dL8="),
        tuple(
            f"pkg/k8s/apis/cilium.io/client/crds/v2/{name}.yaml"
            for name in ("ciliumnetworkpolicies", "ciliumclusterwidenetworkpolicies", "ciliumcidrgroups")
        ),
    ),
)
#: Kinds of Calico's, and whether they are in a namespace.
_CALICO = {
    "Tier": False,
    "NetworkPolicy": True,
    "GlobalNetworkPolicy": False,
    "NetworkSet": True,
    "GlobalNetworkSet": False,
    "StagedNetworkPolicy": True,
    "StagedGlobalNetworkPolicy": False,
    "StagedKubernetesNetworkPolicy": True,
}
_GROUP, _VERSION = "projectcalico.org", "v3"
_PACKAGE = "github.com/projectcalico/api/pkg/apis/projectcalico/v3"


def cluster_network_policies() -> Path:
    """The file that defines them."""
    module, (name,) = _PUBLISHED[0]
    return binaries.module(*module) / name


def sources() -> list[Path]:
    """What they are made from, fetched and compiled where it is missing: published files, and Calico's schemas."""
    return [*(binaries.module(*module) for module, _files in _PUBLISHED), binaries.calico_schemas()]


def definitions() -> list[Manifest]:
    """All CustomResourceDefinitions."""
    *homes, schemas = sources()
    found = [
        _trusted(yaml.safe_load((home / name).read_text()))
        for home, (_module, files) in zip(homes, _PUBLISHED, strict=True)
        for name in files
    ]
    return [*found, *_calico(schemas)]


def install(cluster: ControlPlane) -> None:
    """Have a cluster serve them, and wait until it does."""
    for definition in definitions():
        cluster.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(definition))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


def _trusted(definition: Manifest) -> Manifest:
    """With the note that the group of Kubernetes itself has to have."""
    annotations = definition["metadata"].setdefault("annotations", {})
    if definition["spec"]["group"].endswith(".k8s.io"):
        annotations["api-approved.kubernetes.io"] = "https://github.com/kubernetes-sigs/network-policy-api"
    return definition


# -- Calico


def _calico(program: Path) -> t.Iterator[Manifest]:
    schemas = json.loads(subprocess.run([program], check=True, capture_output=True, text=True).stdout)
    for kind, namespaced in _CALICO.items():
        plural = f"{kind.lower()[:-1]}ies" if kind.endswith("y") else f"{kind.lower()}s"
        version = {
            "name": _VERSION,
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": _resolved(schemas, schemas[f"{_PACKAGE}.{kind}"])},
        }
        yield {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{_GROUP}"},
            "spec": {
                "group": _GROUP,
                "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
                "scope": "Namespaced" if namespaced else "Cluster",
                "versions": [version],
            },
        }


def _resolved(schemas: Manifest, schema: Manifest) -> Manifest:
    """A schema with those that it refers to in their places, without the defaults of Go's zero values."""
    reference = schema.get("$ref")
    if reference:
        name = reference.removeprefix("#/")
        if name.endswith("ObjectMeta"):
            return {"type": "object"}
        if "numorstring." in name or name.endswith("intstr.IntOrString"):
            return {"x-kubernetes-int-or-string": True}
        return _resolved(schemas, schemas[name])
    kept: Manifest = {key: schema[key] for key in ("type", "required", "enum", "format") if key in schema}
    if "properties" in schema:
        kept["properties"] = {key: _resolved(schemas, value) for key, value in schema["properties"].items()}
    for below in ("items", "additionalProperties"):
        if isinstance(schema.get(below), dict):
            kept[below] = _resolved(schemas, schema[below])
    return kept
