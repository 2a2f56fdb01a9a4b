# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``ansible-playbook hardened.k8s.harden``: the example there and back, and a fleet."""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path

import pytest

from tests.control_plane.conftest import Requests
from tests.gates.environment import ROOT
from tests.support.modules import Result, run_playbook
from tests.testbed.control_plane import ControlPlane

EXAMPLE = ROOT / "playbooks" / "examples" / "online_boutique.yml"


def harden(*arguments: str, **environ: str) -> Result:
    return run_playbook("hardened.k8s.harden", *arguments, environ=environ)


def spaces(cluster: ControlPlane, prefix: str) -> list[str]:
    names = (item["metadata"]["name"] for item in cluster.get("/api/v1/namespaces")["items"])
    return [name for name in names if name.startswith(prefix)]


def test_the_example_is_predicted_made_left_alone_and_undone(
    cluster: ControlPlane, requests: t.Callable[[], Requests]
) -> None:
    def run(*more: str) -> int:
        result = harden("-e", f"@{EXAMPLE}", *more, K8S_AUTH_KUBECONFIG=str(cluster.kubeconfig))
        assert result["rc"] == 0, result["output"]
        changed: int = result["stats"]["localhost"]["changed"]
        return changed

    assert run("--check", "--diff") == 1
    assert spaces(cluster, "boutique-") == []
    assert run() == 1
    assert len(spaces(cluster, "boutique-")) == 5
    counted = requests()
    assert run() == 0
    assert {uri for _verb, uri in counted.writes()} == {
        "/apis/authorization.k8s.io/v1/subjectaccessreviews"  # what the example expects is asked every time
    }
    assert run("-e", "cluster_state=absent") == 1
    assert spaces(cluster, "boutique-") == []


def test_a_fleet_is_an_inventory_whose_hosts_are_clusters(cluster: ControlPlane, prefix: str, tmp_path: Path) -> None:
    """One that cannot be reached does not keep the others from being hardened."""
    hosts = {
        "near": {"harden_connection": {"kubeconfig": str(cluster.kubeconfig)}},
        "gone": {"harden_connection": {"kubeconfig": str(tmp_path / "nowhere")}},
    }
    declared = {"cluster_tenants": [{"name": prefix}], "cluster_owner": prefix}
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(json.dumps({"clusters": {"hosts": hosts, "vars": declared}}))
    result = harden("-i", str(inventory))
    assert result["stats"]["near"]["changed"] == 1, result["output"]
    assert result["stats"]["gone"]["failed"] == 1
    assert "nowhere" in result["output"]
    assert spaces(cluster, prefix) == [prefix]


def test_a_fleet_without_clusters_is_not_the_cluster_at_hand(
    cluster: ControlPlane, prefix: str, tmp_path: Path
) -> None:
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(json.dumps({"clusters": {"hosts": {}}}))
    declared = json.dumps({"cluster_tenants": [{"name": prefix}]})
    result = harden("-i", str(inventory), "-e", declared, K8S_AUTH_KUBECONFIG=str(cluster.kubeconfig))
    assert result["stats"] == {}
    assert spaces(cluster, prefix) == []


PSP = """\
apiVersion: policy/v1beta1
kind: PodSecurityPolicy
metadata: {name: small}
spec:
  privileged: false
  seLinux: {rule: RunAsAny}
  runAsUser: {rule: MustRunAsNonRoot}
  supplementalGroups: {rule: RunAsAny}
  fsGroup: {rule: RunAsAny}
  volumes: [configMap]
"""


def test_pod_security_policies_are_converted_and_watched_first(
    cluster: ControlPlane, prefix: str, tmp_path: Path
) -> None:
    before, after = tmp_path / "psp.yml", tmp_path / "pod_security.yml"
    before.write_text(PSP)
    said = run_playbook(
        "hardened.k8s.convert_psp", "-e", f"psp_manifests={before} psp_options={after} psp_name={prefix}", environ={}
    )
    assert said["rc"] == 0, said["output"]
    assert "small: no seccomp profile may be set, as before" in said["output"]
    options = ["-e", f"@{after}", "-e", f"cluster_stage=observe cluster_owner={prefix}"]
    for changed in (1, 0):
        result = harden(*options, K8S_AUTH_KUBECONFIG=str(cluster.kubeconfig))
        assert result["rc"] == 0, result["output"]
        assert result["stats"]["localhost"]["changed"] == changed
    undone = harden(*options, "-e", "cluster_state=absent", K8S_AUTH_KUBECONFIG=str(cluster.kubeconfig))
    assert undone["stats"]["localhost"]["changed"] == 1
    assert prefix not in cluster.kubectl("get", "validatingadmissionpolicies", "-o", "name")


def test_paths_begin_where_the_playbook_is_called(tmp_path: Path) -> None:
    (tmp_path / "psp.yml").write_text(PSP)
    options = ["-e", "psp_manifests=psp.yml psp_options=pod_security.yml"]
    said = run_playbook("hardened.k8s.convert_psp", *options, environ={"PWD": str(tmp_path)})
    assert said["rc"] == 0, said["output"]
    assert "cluster_pod_security_policies" in (tmp_path / "pod_security.yml").read_text()


def test_a_risk_of_what_is_for_the_whole_cluster_is_accepted_in_the_same_place(
    cluster: ControlPlane, prefix: str, tmp_path: Path
) -> None:
    risk = {"reason": "Known", "expires": "2999-01-01"}
    guards = [{"name": prefix, "base_role_arn": "arn:aws:iam::111122223333:role/k8s/", "stage": "observe"}]
    declared = {
        "cluster_owner": prefix,
        "cluster_tenants": [{"name": prefix}],
        "cluster_kube2iam_guards": guards,
        "cluster_accept": [
            {"rule": "kube2iam/guard-nobody", **risk},
            {"rule": "rbac/wildcard", **risk},
            {"rule": "iam/escalate", **risk},
        ],
    }
    declaration = tmp_path / "declaration.json"
    declaration.write_text(json.dumps(declared))
    result = harden("-e", f"@{declaration}", K8S_AUTH_KUBECONFIG=str(cluster.kubeconfig))
    assert result["rc"] == 0, result["output"]
    assert "accepts rbac/wildcard, which is not found" in result["output"]
    assert "accepts kube2iam/guard-nobody" not in result["output"]
    assert "accepts iam/escalate" not in result["output"]
    harden("-e", f"@{declaration}", "-e", "cluster_state=absent", K8S_AUTH_KUBECONFIG=str(cluster.kubeconfig))


@pytest.mark.parametrize(
    ("node", "given", "stage"),
    [("", "cluster_stage=everywhere", "everywhere"), ("here", "cluster_stage=everywhere", "here")],
)
def test_the_stage_on_the_command_line_is_for_nodes_too(tmp_path: Path, node: str, given: str, stage: str) -> None:
    """A stage that there is not shows where it arrives; a node's own is the stronger one."""
    python = {"ansible_python_interpreter": sys.executable}
    about = {"ansible_connection": "local", **python, **({"seccomp_stage": node} if node else {})}
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"k8s_nodes": {"hosts": {"node": about}}}))
    roles = ["-e", json.dumps({"harden_node_roles": ["seccomp"]}), "--limit", "node", "--check"]
    result = harden("-i", str(inventory), *roles, "-e", given)
    assert f"got: {stage}" in result["output"]
    assert "seccomp_stage must be one of" in result["output"]


def test_an_empty_declaration_is_told_before_it_prunes_everything(cluster: ControlPlane) -> None:
    result = harden("-e", "cluster_prune=true", K8S_AUTH_KUBECONFIG=str(cluster.kubeconfig))
    assert result["rc"] != 0
    assert "cluster_tenants is empty" in result["output"]
