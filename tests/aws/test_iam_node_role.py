# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles of nodes, in moto's IAM: what they get, and what is said of those that exist."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.aws.conftest import Runner, actions, rules
from tests.support.aws import ACCOUNT, Moto

PODS = f"arn:aws:iam::{ACCOUNT}:role/k8s/prod/*"
EC2 = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}


def statement(action: t.Any, resource: t.Any = "*", effect: str = "Allow") -> dict[str, t.Any]:
    return {"Effect": effect, "Action": action, "Resource": resource}


def document(*statements: dict[str, t.Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def existing(moto: Moto, *statements: dict[str, t.Any], trust: dict[str, t.Any] | None = None) -> None:
    """A role ``nodes`` as somebody else made it."""
    client = moto.client("iam")
    client.create_role(RoleName="nodes", AssumeRolePolicyDocument=document(trust or EC2))
    if statements:
        client.put_role_policy(RoleName="nodes", PolicyName="theirs", PolicyDocument=document(*statements))


def node(**more: t.Any) -> list[dict[str, t.Any]]:
    return [{"name": "nodes", "pod_path": "/k8s/prod/", **more}]


def sids(moto: Moto) -> set[str]:
    found = moto.client("iam").get_role_policy(RoleName="nodes", PolicyName="hardened-k8s")["PolicyDocument"]
    return {item["Sid"] for item in found["Statement"]}


@pytest.mark.parametrize("there", [False, True])
def test_the_node_may_assume_the_roles_of_its_pods_and_no_other(run: Runner, moto: Moto, there: bool) -> None:
    if there:
        existing(moto)
    predicted = run("iam_node_role", check=True, diff=True, node_roles=node())
    done = run("iam_node_role", diff=True, node_roles=node())
    assert not done.get("failed"), done
    assert done == predicted
    assert actions(done) == {"nodes": "update" if there else "create"}
    assert sids(moto) == {"AssumePodRoles", "Regions", "NoOtherRole", "NoImdsV1", "NoSelfLift"}
    policy = moto.client("iam").get_role_policy(RoleName="nodes", PolicyName="hardened-k8s")["PolicyDocument"]
    by_sid = {item["Sid"]: item for item in policy["Statement"]}
    assert by_sid["AssumePodRoles"]["Resource"] == by_sid["NoOtherRole"]["NotResource"] == PODS
    assert not run("iam_node_role", node_roles=node())["changed"]


def test_what_others_gave_the_role_stays(run: Runner, moto: Moto) -> None:
    existing(moto, statement("s3:GetObject", "arn:aws:s3:::packages/*"))
    run("iam_node_role", node_roles=node())
    client = moto.client("iam")
    assert client.list_role_policies(RoleName="nodes")["PolicyNames"] == ["theirs", "hardened-k8s"]
    assert client.get_role(RoleName="nodes")["Role"]["AssumeRolePolicyDocument"]["Statement"] == [EC2]
    assert actions(run("iam_node_role", state="absent", node_roles=node())) == {"nodes": "release"}
    assert client.list_role_policies(RoleName="nodes")["PolicyNames"] == ["theirs"]
    assert client.list_role_tags(RoleName="nodes")["Tags"] == []


def test_stages(run: Runner, moto: Moto) -> None:
    existing(moto)
    looked = run("iam_node_role", stage="observe", node_roles=node())
    assert not looked["changed"]
    assert {"iam/no-deny", "iam/imdsv1", "iam/no-boundary"} <= rules(looked)
    assert looked["objects"][0]["policy"]["Statement"][0]["Sid"] == "AssumePodRoles"
    assert moto.client("iam").list_role_policies(RoleName="nodes")["PolicyNames"] == []
    run("iam_node_role", stage="warn", node_roles=node())
    assert sids(moto) == {"AssumePodRoles", "Regions"}
    last = run("iam_node_role", node_roles=node())
    assert "NoOtherRole" in sids(moto)
    assert not rules(last) & {"iam/no-deny", "iam/imdsv1", "iam/self-lift"}


LINT: dict[str, tuple[list[dict[str, t.Any]], str]] = {
    "kube2iam's sample": ([statement("sts:AssumeRole")], "iam/assume-any"),
    "every action of sts": ([statement("sts:*")], "iam/assume-any"),
    "everything": ([statement("*")], "iam/assume-any"),
    "all but some": ([{"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}], "iam/assume-any"),
    "a path that is wider": ([statement("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/k8s/*")], "iam/assume-any"),
    "the CNI's rights": ([statement("ec2:AssignPrivateIpAddresses")], "iam/cni-on-node"),
    "passing roles": ([statement("iam:PassRole")], "iam/self-lift"),
    "rewriting policies": ([statement("iam:Put*")], "iam/self-lift"),
    "switching tokens off": ([statement("ec2:ModifyInstanceMetadataOptions")], "iam/self-lift"),
    "switching tokens off in one region": (
        [statement("ec2:ModifyInstanceMetadataOptions", f"arn:aws:ec2:eu-west-1:{ACCOUNT}:instance/*")],
        "iam/self-lift",
    ),
    "switching tokens off in some regions": ([statement("ec2:*", "arn:aws:ec2:eu-*:*:instance/*")], "iam/self-lift"),
    "rewriting every role": ([statement("iam:*", f"arn:aws:iam::{ACCOUNT}:role/*")], "iam/self-lift"),
    "rewriting roles of any account": ([statement("iam:PutRolePolicy", "arn:aws:iam::*:role/*")], "iam/self-lift"),
    "rewriting the roles of its pods": ([statement("iam:PutRolePolicy", PODS)], "iam/self-lift"),
    "rewriting itself": ([statement("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/nodes")], "iam/self-lift"),
    "rewriting policies anywhere": ([statement("iam:CreatePolicyVersion", "arn:aws:iam::*:policy/*")], "iam/self-lift"),
    "switching tokens off anywhere": (
        [statement("ec2:ModifyInstanceMetadataOptions", "arn:aws:ec2:*:*:instance/*")],
        "iam/self-lift",
    ),
}


@pytest.mark.parametrize("case", LINT)
def test_an_existing_role_is_judged(run: Runner, moto: Moto, case: str) -> None:
    statements, rule = LINT[case]
    existing(moto, *statements)
    found = run("iam_node_role", stage="observe", node_roles=node())
    assert rule in rules(found)
    assert all(finding["message"] and finding["remedy"] for finding in found["findings"])


def test_a_role_with_just_what_it_needs_is_left_in_peace(run: Runner, moto: Moto) -> None:
    reading = statement("iam:Get*", f"arn:aws:iam::{ACCOUNT}:role/*")
    existing(moto, statement("ecr:GetAuthorizationToken"), statement("sts:AssumeRole", PODS), reading)
    found = rules(run("iam_node_role", stage="observe", node_roles=node()))
    assert not found & {"iam/assume-any", "iam/cni-on-node", "iam/self-lift", "iam/node-trust", "iam/cuts"}


@pytest.mark.parametrize(
    "principal", [{"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, {"AWS": "*"}, "*", {"Service": "lambda.amazonaws.com"}]
)
def test_others_who_may_take_the_nodes_role_are_told(run: Runner, moto: Moto, principal: t.Any) -> None:
    existing(moto, trust={**EC2, "Principal": principal})
    assert "iam/node-trust" in rules(run("iam_node_role", stage="observe", node_roles=node()))


@pytest.mark.parametrize(
    "used",
    [
        statement("sts:AssumeRole", "arn:aws:iam::111122223333:role/registry"),
        statement(["iam:PassRole", "ec2:RunInstances"], f"arn:aws:iam::{ACCOUNT}:role/karpenter"),
    ],
)
def test_a_right_that_would_be_cut_refuses_until_accepted(run: Runner, moto: Moto, used: dict[str, t.Any]) -> None:
    existing(moto, used)
    result = run("iam_node_role", node_roles=node())
    assert result["failed"]
    assert "iam/cuts" in result["msg"]
    assert actions(result) == {"nodes": "refused"}
    assert actions(run("iam_node_role", check=True, stage="warn", node_roles=node())) == {"nodes": "update"}
    accept = [{"rule": "iam/cuts", "reason": "test", "expires": "2999-01-01"}]
    assert actions(run("iam_node_role", accept=accept, node_roles=node())) == {"nodes": "update"}
    assert "accept/unused" in rules(run("iam_node_role", accept=accept, node_roles=node()))


def test_attached_policies_are_judged_too(run: Runner, moto: Moto) -> None:
    existing(moto)
    client = moto.client("iam")
    cni = client.create_policy(PolicyName="cni", PolicyDocument=document(statement("ec2:CreateNetworkInterface")))
    client.attach_role_policy(RoleName="nodes", PolicyArn=cni["Policy"]["Arn"])
    assert "iam/cni-on-node" in rules(run("iam_node_role", stage="observe", node_roles=node()))
    moved = run("iam_node_role", node_roles=node(managed_policies=[]))
    assert "iam/cni-on-node" not in rules(moved)
    assert client.list_attached_role_policies(RoleName="nodes")["AttachedPolicies"] == []


@pytest.mark.parametrize("path", ["/", "k8s", "/k8s", "/k8s/*/", "/k8s/${aws:username}/", "//"])
def test_a_path_that_holds_nothing_in_is_told(run: Runner, path: str) -> None:
    result = run("iam_node_role", check=True, node_roles=node(pod_path=path))
    assert result["failed"]
    assert "path" in result["msg"]
    assert result["objects"] == []


def test_a_node_below_the_path_of_its_pods_is_told(run: Runner) -> None:
    result = run("iam_node_role", check=True, node_roles=node(path="/k8s/prod/nodes/"))
    assert "below /k8s/prod/" in result["msg"]
