# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies that an API server reads from its own folders: in force from its first request on, and nobody deletes them."""

from __future__ import annotations

import json
import os
import typing as t

import pytest

from tests.support.admission import Admission
from tests.support.modules import run_module
from tests.support.pod_security import plain_pod
from tests.testbed.control_plane import ControlPlane

Fields = dict[str, t.Any]

SHOP = "shop"
POLICY: Fields = {
    "name": "web",
    "namespaces": [SHOP],
    "host_network": False,
    "read_only_root_filesystem": True,
    "exceptions": [
        {
            "name": "cache",
            "rules": ["host_network"],
            "match_labels": {"app": "cache"},
            "owner": "team-shop",
            "reason": "until version 3",
            "expires": "2999-12-31",
        }
    ],
}
GUARD: Fields = {"name": "levels", "subjects": [{"group": "platform"}]}
_CONFIGURATION = "apiserver.config.k8s.io/v1"


class Static(ControlPlane):
    """One with such folders: each kind of policy has its own."""

    def _more_flags(self) -> list[str]:
        rendered = run_module(
            "pod_security_policy", {"state": "rendered", "static": True, "policies": [POLICY], "guards": [GUARD]}
        )
        plugins = []
        for kind in ("ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"):
            folder = self.directory / kind
            folder.mkdir()
            for manifest in rendered["manifests"]:
                if manifest["kind"].startswith(kind):
                    name = f"{manifest['kind']}-{manifest['metadata']['name']}.json"
                    (folder / name).write_text(json.dumps(manifest))
            settings = {"apiVersion": _CONFIGURATION, "kind": f"{kind}Configuration", "staticManifestsDir": str(folder)}
            plugins.append({"name": kind, "configuration": settings})
        admission = {"apiVersion": _CONFIGURATION, "kind": "AdmissionConfiguration", "plugins": plugins}
        self._write("admission.json", json.dumps(admission))
        return ["--admission-control-config-file=admission.json"]


@pytest.fixture(scope="module")
def admission() -> t.Iterator[Admission]:
    instance = Static(f"test-{os.getpid()}-static")
    try:
        yield Admission(instance.up())
    finally:
        instance.down()


# slow, and only the newest Kubernetes reads such folders
@pytest.mark.slow
def test_policies_of_the_api_servers_own_folders_judge_and_fill_in(admission: Admission) -> None:
    admission.namespace(SHOP)
    made = admission.create(plain_pod("asked", SHOP))
    assert made.message == ""
    filled = [container["securityContext"] for container in made.body["spec"]["containers"]]
    assert filled == [{"readOnlyRootFilesystem": True}]
    pod = plain_pod("asked", SHOP)
    pod["spec"]["hostNetwork"] = True
    assert "hostNetwork is true, remove it" in admission.create(pod).message
    pod["metadata"]["labels"] = {"app": "cache"}
    assert admission.create(pod).message == "", "its exception"
    kinds = "validatingadmissionpolicies,mutatingadmissionpolicies"
    assert admission.cluster.kubectl("get", kinds, "-o", "name") == "", "there is nothing that anybody could delete"
