# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The AWS plays of harden.yml, in moto."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.aws import ACCOUNT, Moto
from tests.support.modules import run_playbook

_EC2 = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}


def test_roles_are_made_and_metadata_is_closed(moto: Moto, tmp_path: Path) -> None:
    nodes = moto.client("iam").create_role(RoleName="nodes", AssumeRolePolicyDocument=json.dumps(_EC2))["Role"]["Arn"]
    ec2 = moto.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    declared = {
        "harden_aws_connection": moto.options,
        "harden_pod_iam_roles": [{"name": "web"}],
        "harden_pod_iam_path": "/k8s/prod/",
        "harden_pod_iam_trusted": [nodes],
        "harden_node_iam_roles": [{"name": "nodes", "pod_path": "/k8s/prod/"}],
        "harden_instances": [instance],
    }
    file = tmp_path / "declared.json"
    file.write_text(json.dumps(declared))

    def changed(*more: str) -> int:
        result = run_playbook("hardened.k8s.harden", "--tags=aws", "-e", f"@{file}", *more)
        assert result["rc"] == 0, result["output"]
        count: int = result["stats"]["localhost"]["changed"]
        return count

    assert [changed("--check"), changed(), changed()] == [3, 3, 0]
    role = moto.client("iam").get_role(RoleName="web")["Role"]
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/k8s/prod/web"
    (found,) = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
    assert found["MetadataOptions"]["HttpTokens"] == "required"
    # what instances have stays: nobody knows what they had before
    assert changed("-e", "cluster_state=absent") == 2
    assert [role["RoleName"] for role in moto.client("iam").list_roles()["Roles"]] == ["nodes"]
