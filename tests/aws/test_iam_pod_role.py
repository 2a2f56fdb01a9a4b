# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles of pods, in moto's IAM."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.aws.conftest import Runner, actions, rules
from tests.support.aws import ACCOUNT, Moto

NODES = f"arn:aws:iam::{ACCOUNT}:role/nodes"
READ = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "arn:aws:s3:::shop/*"}],
}
#: READ in other words.
READ_TOO = {
    "Statement": {"Resource": ["arn:aws:s3:::shop/*"], "Action": ["S3:listbucket", "s3:GetObject"], "Effect": "Allow"},
    "Version": "2012-10-17",
}
COMMON: dict[str, t.Any] = {"path": "/k8s/prod/", "node_roles": [NODES]}


def role(name: str = "web", **more: t.Any) -> dict[str, t.Any]:
    return {"name": name, "policies": {"read": READ}, **more}


def boundary(moto: Moto, name: str = "limit") -> str:
    answer = moto.client("iam").create_policy(PolicyName=name, PolicyDocument=json.dumps(READ))
    arn: str = answer["Policy"]["Arn"]
    return arn


def many(count: int, **more: t.Any) -> list[dict[str, t.Any]]:
    return [role(f"pod-{number:03}", **more) for number in range(count)]


def test_a_role_is_made_as_declared(run: Runner, moto: Moto) -> None:
    limit = boundary(moto)
    wanted = role(boundary=limit, description="The shop", tags={"team": "shop"}, max_session_duration=7200)
    result = run("iam_pod_role", **COMMON, roles=[wanted])
    assert not result.get("failed"), result
    assert result["objects"] == [
        {
            "kind": "AWS::IAM::Role",
            "name": "web",
            "action": "create",
            "arn": f"arn:aws:iam::{ACCOUNT}:role/k8s/prod/web",
        }
    ]
    live = moto.client("iam").get_role(RoleName="web")["Role"]
    (statement,) = live["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"AWS": [NODES]}
    assert statement["Action"] == "sts:AssumeRole"
    assert live["Path"] == "/k8s/prod/"
    assert live["MaxSessionDuration"] == 7200
    assert live["PermissionsBoundary"]["PermissionsBoundaryArn"] == limit
    assert {tag["Key"]: tag["Value"] for tag in live["Tags"]} == {
        "team": "shop",
        "hardened.k8s/owner": "iam_pod_role",
        "hardened.k8s/created": "iam_pod_role",
    }
    assert moto.client("iam").get_role_policy(RoleName="web", PolicyName="read")["PolicyDocument"] == READ


@pytest.mark.parametrize("count", [2, 6])
def test_a_second_run_writes_nothing_also_when_it_says_the_same_otherwise(run: Runner, moto: Moto, count: int) -> None:
    more = {"boundary": boundary(moto), "tags": {"team": "shop"}, "description": "The shop"}
    assert run("iam_pod_role", **COMMON, roles=many(count, **more))["changed"]
    again = many(count, **more)
    for item in again:
        item["policies"] = {"read": json.dumps(READ_TOO)}
    result = run("iam_pod_role", **COMMON, roles=again, debug_botocore_endpoint_logs=True)
    assert not result["changed"]
    assert set(actions(result).values()) == {"unchanged"}
    assert not [action for action in result["resource_actions"] if ":Get" not in action and ":List" not in action]


def test_many_roles_are_read_by_two_lists(run: Runner) -> None:
    roles = many(30)
    run("iam_pod_role", **COMMON, roles=roles)
    result = run("iam_pod_role", **COMMON, roles=roles, debug_botocore_endpoint_logs=True)
    assert not result["changed"]
    assert result["resource_actions"] == ["iam:GetAccountAuthorizationDetails", "iam:ListRoles"]


LESS = json.loads(json.dumps(READ).replace("ListBucket", "GetBucketAcl"))

CHANGES: dict[str, dict[str, t.Any]] = {
    "a right": {"policies": {"read": LESS}},
    "a policy more": {"policies": {"read": READ, "too": READ}},
    "a policy less": {"policies": {}},
    "another node": {"node_roles": [NODES, f"{NODES}-b"]},
    "a description": {"description": "Another"},
    "a longer session": {"max_session_duration": 7200},
    "a tag": {"tags": {"team": "b"}},
    "no tags": {"tags": {}},
    "an external ID": {"external_id": "abc"},
    "a managed policy": {"managed_policies": [f"arn:aws:iam::{ACCOUNT}:policy/limit"]},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("count", [1, 6])
def test_check_mode_tells_what_a_run_then_does(run: Runner, moto: Moto, change: str, count: int) -> None:
    base = {**COMMON, "tags": {}}
    boundary(moto)
    run("iam_pod_role", **base, roles=many(count, tags={"team": "a"}, description="One"))
    changed = many(count, **{"tags": {"team": "a"}, "description": "One", **CHANGES[change]})
    before = moto.client("iam").get_account_authorization_details(Filter=["Role"])["RoleDetailList"]
    predicted = run("iam_pod_role", check=True, diff=True, **base, roles=changed)
    assert moto.client("iam").get_account_authorization_details(Filter=["Role"])["RoleDetailList"] == before
    done = run("iam_pod_role", diff=True, **base, roles=changed)
    assert not done.get("failed"), done
    assert done == predicted
    assert set(actions(done).values()) == {"update"}
    assert all(entry["before"] != entry["after"] for entry in done["diff"])
    again = run("iam_pod_role", diff=True, **base, roles=changed)
    assert not again["changed"]
    assert again["diff"] == []


@pytest.mark.parametrize("count", [1, 6])
def test_check_mode_of_a_creation_and_a_removal(run: Runner, moto: Moto, count: int) -> None:
    predicted = run("iam_pod_role", check=True, diff=True, **COMMON, roles=many(count))
    assert moto.client("iam").list_roles()["Roles"] == []
    done = run("iam_pod_role", diff=True, **COMMON, roles=many(count))
    assert done == predicted
    assert [entry["before"] for entry in done["diff"]] == [""] * count
    predicted = run("iam_pod_role", check=True, diff=True, state="absent", roles=many(count))
    done = run("iam_pod_role", diff=True, state="absent", roles=many(count))
    assert done == predicted
    assert [entry["after"] for entry in done["diff"]] == [""] * count
    assert moto.client("iam").list_roles()["Roles"] == []
    assert not run("iam_pod_role", state="absent", roles=many(count))["changed"]


def test_the_diff_after_a_run_is_what_is_there(run: Runner) -> None:
    first = run("iam_pod_role", diff=True, **COMMON, roles=[role(description="One")])["diff"][0]
    second = run("iam_pod_role", diff=True, **COMMON, roles=[role(description="Two")])["diff"][0]
    assert second["before"] == first["after"]


def test_a_role_that_was_there_before_is_given_back(run: Runner, moto: Moto) -> None:
    client = moto.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    client.create_role(
        RoleName="web", Path="/k8s/prod/", AssumeRolePolicyDocument=trust, Tags=[{"Key": "a", "Value": "1"}]
    )
    assert actions(run("iam_pod_role", **COMMON, roles=[role()])) == {"web": "update"}
    assert actions(run("iam_pod_role", state="absent", roles=[role()])) == {"web": "release"}
    tags = client.list_role_tags(RoleName="web")["Tags"]
    assert tags == [{"Key": "a", "Value": "1"}]
    assert not run("iam_pod_role", state="absent", roles=[role()])["changed"]


def test_what_another_owner_has_is_left_alone(run: Runner) -> None:
    run("iam_pod_role", **COMMON, owner="one", roles=[role()])
    changed = role(description="Mine")
    result = run("iam_pod_role", **COMMON, owner="two", roles=[changed])
    assert result["failed"]
    assert "belongs to owner one" in result["msg"]
    assert not run("iam_pod_role", owner="two", state="absent", roles=[role()])["changed"]
    assert run("iam_pod_role", **COMMON, owner="two", force_conflicts=True, roles=[changed])["changed"]


def test_prune_takes_its_own_roles_below_the_path(run: Runner, moto: Moto) -> None:
    run("iam_pod_role", **COMMON, roles=many(3))
    run("iam_pod_role", **COMMON, owner="other", roles=[role("others")])
    run("iam_pod_role", node_roles=[NODES], roles=[role("elsewhere", path="/k8s/test/")])
    predicted = run("iam_pod_role", check=True, **COMMON, prune=True, roles=many(1))
    done = run("iam_pod_role", **COMMON, prune=True, roles=many(1))
    assert actions(done) == actions(predicted) == {"pod-000": "unchanged", "pod-001": "delete", "pod-002": "delete"}
    left = {item["RoleName"] for item in moto.client("iam").list_roles()["Roles"]}
    assert left == {"pod-000", "others", "elsewhere"}


def test_nothing_is_pruned_while_an_item_is_wrong(run: Runner, moto: Moto) -> None:
    run("iam_pod_role", **COMMON, roles=many(3))
    result = run("iam_pod_role", **COMMON, prune=True, roles=[role("pod-000"), role("pod-001", path="nowhere")])
    assert result["failed"]
    assert "nothing is pruned" in result["msg"]
    assert len(moto.client("iam").list_roles()["Roles"]) == 3


def test_prune_wants_a_path(run: Runner) -> None:
    result = run("iam_pod_role", node_roles=[NODES], prune=True, roles=[role(path="/k8s/")])
    assert "prune needs the path" in result["msg"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/k8s/prod", "is no IAM path"),
        ("k8s/prod/", "is no IAM path"),
        ("/", "every role of the account"),
        ("/k8s/*/", "wildcard"),
    ],
)
def test_a_path_that_is_none_for_pods_prunes_nothing(run: Runner, moto: Moto, path: str, message: str) -> None:
    run("iam_pod_role", node_roles=[NODES], roles=[role("cousin", path="/k8s/prod-eu/")])
    result = run("iam_pod_role", path=path, node_roles=[NODES], prune=True, roles=[role(path="/k8s/prod/")])
    assert result["failed"]
    assert result["msg"].startswith("prune: path ")
    assert message in result["msg"]
    assert [item["RoleName"] for item in moto.client("iam").list_roles()["Roles"]] == ["cousin"]


def test_one_wrong_item_does_not_stop_the_others(run: Runner) -> None:
    result = run(
        "iam_pod_role", **COMMON, roles=[role("bad name!"), role("good"), role("worse", managed_policies=["x"])]
    )
    assert result["failed"]
    assert actions(result) == {"good": "create"}
    assert [problem["item"] for problem in result["problems"]] == ["roles[0] (bad name!)", "roles[2] (worse)"]
    assert all(problem["reason"] and problem["remedy"] for problem in result["problems"])


def test_what_aws_refuses_is_told_with_the_role_and_a_remedy(run: Runner) -> None:
    missing = f"arn:aws:iam::{ACCOUNT}:policy/missing"
    result = run("iam_pod_role", **COMMON, roles=[role(managed_policies=[missing]), role("good")])
    assert result["failed"]
    assert actions(result) == {"web": "failed", "good": "create"}
    (problem,) = result["problems"]
    assert problem["name"] == "web"
    assert "missing" in problem["reason"]
    assert problem["remedy"]


def test_a_name_at_another_path_is_told(run: Runner) -> None:
    run("iam_pod_role", **COMMON, roles=[role()])
    result = run("iam_pod_role", path="/k8s/test/", node_roles=[NODES], roles=[role()])
    assert "exists below /k8s/prod/" in result["msg"]


ADMIN = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
PASS = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iam:Pass*", "Resource": "*"}]}
CHAIN = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}]}


@pytest.mark.parametrize(("document", "rule"), [(ADMIN, "iam/admin"), (PASS, "iam/escalate"), (CHAIN, "iam/escalate")])
def test_a_role_that_is_too_much_is_refused_unless_accepted(run: Runner, document: dict[str, t.Any], rule: str) -> None:
    roles = [role(policies={"all": document}), role("good")]
    result = run("iam_pod_role", **COMMON, roles=roles)
    assert result["failed"]
    assert actions(result) == {"web": "refused", "good": "create"}
    assert rule in result["msg"]
    assert actions(run("iam_pod_role", check=True, **COMMON, stage="warn", roles=roles))["web"] == "create"
    accept = [{"rule": rule, "name": "web", "reason": "test", "expires": "2999-01-01"}]
    assert actions(run("iam_pod_role", **COMMON, accept=accept, roles=roles))["web"] == "create"


def on(resource: str, *actions: str, effect: str = "Allow") -> dict[str, t.Any]:
    return {"Effect": effect, "Action": list(actions), "Resource": resource}


@pytest.mark.parametrize(
    ("statement", "lifting"),
    [
        (on(f"arn:aws:iam::{ACCOUNT}:role/*", "iam:*"), "iam:PutRolePolicy"),
        (on("arn:aws:iam::*:role/*", "iam:PutRolePolicy"), "iam:PutRolePolicy"),
        (on(f"arn:aws:iam::{ACCOUNT}:role/k8s/prod/*", "iam:PassRole"), "iam:PassRole"),
        (on(f"arn:aws:iam::{ACCOUNT}:policy/*", "iam:CreatePolicyVersion"), "iam:CreatePolicyVersion"),
        (on(f"arn:aws:iam::{ACCOUNT}:user/*", "iam:CreateAccessKey"), "iam:CreateAccessKey"),
    ],
)
def test_rights_over_every_resource_of_a_kind_are_refused_too(
    run: Runner, statement: dict[str, t.Any], lifting: str
) -> None:
    policies = {"lift": {"Version": "2012-10-17", "Statement": [statement]}}
    result = run("iam_pod_role", check=True, **COMMON, roles=[role(policies=policies)])
    (finding,) = [finding for finding in result["findings"] if finding["rule"] == "iam/escalate"]
    assert lifting in finding["affected"]
    assert finding["refused"]


@pytest.mark.parametrize(
    "statements",
    [
        [on(f"arn:aws:iam::{ACCOUNT}:role/job", "iam:PassRole")],
        [on(f"arn:aws:iam::{ACCOUNT}:role/*", "iam:GetRole", "iam:CreatePolicyVersion")],
        [on(f"arn:aws:iam::{ACCOUNT}:*", "iam:*"), on(f"arn:aws:iam::{ACCOUNT}:*", "iam:*", effect="Deny")],
    ],
)
def test_rights_over_what_is_named_or_denied_are_not(run: Runner, statements: list[dict[str, t.Any]]) -> None:
    policies = {"some": {"Version": "2012-10-17", "Statement": statements}}
    result = run("iam_pod_role", check=True, **COMMON, roles=[role(policies=policies)])
    assert "iam/escalate" not in rules(result)


def test_a_role_without_a_boundary_is_told(run: Runner, moto: Moto) -> None:
    assert "iam/no-boundary" in rules(run("iam_pod_role", check=True, **COMMON, roles=[role()]))
    limited = run("iam_pod_role", check=True, **COMMON, boundary=boundary(moto), roles=[role()])
    assert "iam/no-boundary" not in rules(limited)
