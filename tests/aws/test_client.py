# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the modules get to AWS, and what they say when they do not."""

from __future__ import annotations

import json
import os
import time
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.aws import client, iam
from ansible_collections.hardened.k8s.plugins.module_utils.aws.client import Aws, AwsError
from ansible_collections.hardened.k8s.plugins.module_utils.aws.steps import CREATE, FAILED, ROLE, Call, Step
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref

from tests.aws.conftest import Runner, actions
from tests.support.aws import REGION, Moto
from tests.support.modules import run_module

_VARIABLES = (
    *("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_URL", "AWS_CA_BUNDLE"),
)


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials from anywhere."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)


ROLES = {"path": "/k8s/", "node_roles": ["arn:aws:iam::111122223333:role/nodes"], "roles": [{"name": "web"}]}
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def pod_role(moto: Moto | None = None, environ: t.Mapping[str, str] | None = None, **params: t.Any) -> dict[str, t.Any]:
    endpoint = {"endpoint_url": moto.url} if moto else {}
    return run_module("iam_pod_role", {**endpoint, **ROLES, **params}, environ=environ)


@pytest.mark.parametrize(
    "names",
    [
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"),
        ("AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_DEFAULT_REGION"),
    ],
)
def test_variables_of_amazon_aws_are_read(moto: Moto, names: tuple[str, str, str]) -> None:
    environ = dict(zip(names, ("testing", SECRET, REGION), strict=True)) | {"AWS_URL": moto.url}
    result = pod_role(environ=environ)
    assert not result.get("failed"), result
    assert SECRET not in json.dumps(result)


@pytest.mark.parametrize("by", ["option", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
def test_a_profile_is_read(moto: Moto, tmp_path: Path, by: str) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"[ops]\naws_access_key_id = testing\naws_secret_access_key = {SECRET}\n")
    environ = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    result = pod_role(moto, environ, profile="ops") if by == "option" else pod_role(moto, {**environ, by: "ops"})
    assert not result.get("failed"), result


ALIASES = [
    {"aws_access_key": "testing", "aws_secret_key": SECRET, "aws_session_token": "x", "aws_region": REGION},
    {"aws_access_key_id": "testing", "aws_secret_access_key": SECRET, "region": REGION},
]


@pytest.mark.parametrize("options", ALIASES)
def test_aliases_of_amazon_aws_are_taken(moto: Moto, options: dict[str, t.Any]) -> None:
    result = pod_role(moto, None, **options)
    assert not result.get("failed"), result
    assert SECRET not in json.dumps(result)


WRONG: list[tuple[dict[str, t.Any], str]] = [
    ({}, "Give access_key and secret_key"),
    ({"access_key": "a"}, "access_key and secret_key together"),
    ({"profile": "nobody"}, "Correct profile"),
    ({"profile": "ops", "access_key": "a", "secret_key": SECRET}, "both a profile and keys"),
    ({"access_key": "a", "secret_key": SECRET, "endpoint_url": "nowhere"}, "cannot talk to AWS"),
    ({"access_key": "a", "secret_key": SECRET, "aws_config": {"nonsense": 1}}, "aws_config is wrong"),
    ({"access_key": "a", "secret_key": SECRET, "aws_config": {"retries": {"mode": "x"}}}, "cannot talk to AWS"),
    ({"access_key": "a", "secret_key": SECRET, "workers": 0}, "workers must be at least 1"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_what_is_missing_is_told_without_a_traceback(moto: Moto, options: dict[str, t.Any], message: str) -> None:
    result = pod_role(moto, **options)
    assert result["failed"]
    assert message in result["msg"], result["msg"]
    assert SECRET not in json.dumps(result)


def test_an_endpoint_that_does_not_answer_is_told() -> None:
    options: dict[str, t.Any] = {
        "access_key": "a",
        "secret_key": SECRET,
        "aws_config": {"retries": {"max_attempts": 1}},
    }
    result = pod_role(endpoint_url="http://127.0.0.1:9", **options)
    assert "Check the network, region and endpoint_url" in result["msg"]


def test_ec2_wants_a_region(moto: Moto) -> None:
    options = {"access_key": "a", "secret_key": SECRET, "endpoint_url": moto.url, "instances": ["i-1"]}
    result = run_module("instance_metadata", options)
    assert "Give region" in result["msg"]


@pytest.mark.parametrize(
    ("code", "kind", "remedy"),
    [
        ("ExpiredToken", HardenedError, "session token"),
        ("InvalidClientTokenId", HardenedError, "access_key"),
        ("SignatureDoesNotMatch", HardenedError, "secret_key"),
        ("AccessDenied", AwsError, "Allow the caller PutRolePolicy"),
        ("UnauthorizedOperation", AwsError, "Allow the caller PutRolePolicy"),
        ("MalformedPolicyDocument", AwsError, "Correct the document"),
        ("LimitExceededException", AwsError, "higher quota"),
        ("ValidationError", AwsError, "Correct the declaration"),
        ("InternalFailure", AwsError, "Run again"),
    ],
)
def test_errors_have_a_remedy(code: str, kind: type, remedy: str) -> None:
    error = client.explain(code, "no. Encoded authorization failure message: abcDEF123", "PutRolePolicy")
    assert isinstance(error, kind)
    assert remedy in getattr(error, "remedy", "")
    assert "abcDEF123" not in str(error)


def step(*calls: Call) -> Step:
    return Step(Ref(ROLE, "", "web"), CREATE, "roles[0] (web)", None, {"name": "web"}, list(calls))


MAKE = Call("create_role", {"RoleName": "web"})
GIVE = Call("put_role_policy", {"RoleName": "web"})
TRUST = Call("create_role", {"RoleName": "web", "AssumeRolePolicyDocument": "{}"})


def carried_out(calls: list[Call], answers: list[t.Any]) -> tuple[Step, int]:
    """A step on an AWS that answers like this, and how many requests it took."""
    aws = mock.create_autospec(Aws, instance=True, workers=1)
    aws.call.side_effect = answers
    done = step(*calls)
    with mock.patch.object(time, "sleep"):
        iam.Iam(aws).execute([done])
    return done, aws.call.call_count


def test_what_was_just_made_may_not_be_known_yet() -> None:
    made = {"Role": {"Arn": "arn"}}
    late = AwsError("NoSuchEntity", "The role with name web cannot be found.", "")
    done, count = carried_out([MAKE, GIVE], [made, late, late, {}])
    assert (done.action, count) == (CREATE, 4)
    stranger = AwsError("MalformedPolicyDocument", 'Invalid principal in policy: "AWS":"arn"', "")
    assert carried_out([MAKE], [stranger, made])[0].action == CREATE


def test_what_does_not_come_is_given_up() -> None:
    missing = AwsError("NoSuchEntity", "Policy arn:aws:iam::aws:policy/none does not exist", "Make it")
    done, count = carried_out([MAKE, GIVE], [{"Role": {"Arn": "arn"}}, missing])
    assert (done.action, count) == (FAILED, 2)
    assert done.changed  # the role is there
    assert done.problem
    assert done.problem.remedy == "Make it"
    late = AwsError("NoSuchEntity", "The role with name web cannot be found.", "")
    assert carried_out([GIVE], [late])[1] == 1


def test_what_is_gone_already_needs_no_removal() -> None:
    gone = AwsError("NoSuchEntity", "The role with name web cannot be found.", "")
    assert carried_out([Call("delete_role", {"RoleName": "web"})], [gone])[0].problem is None


def test_lists_are_read_to_their_end(run: Runner) -> None:
    roles = [{"name": f"pod-{number:02}"} for number in range(12)]
    common: dict[str, t.Any] = {"path": "/k8s/", "node_roles": ["arn:aws:iam::111122223333:role/nodes"]}
    run("iam_pod_role", **common, roles=roles)
    with mock.patch.object(iam, "_PAGE", {"PageSize": 5}):
        again = run("iam_pod_role", **common, roles=roles)
    assert set(actions(again).values()) == {"unchanged"}


def test_a_caller_who_may_not_list_is_answered_one_by_one(run: Runner) -> None:
    roles = [{"name": f"pod-{number:02}", "tags": {"a": "b"}} for number in range(6)]
    common: dict[str, t.Any] = {"path": "/k8s/", "node_roles": ["arn:aws:iam::111122223333:role/nodes"]}
    run("iam_pod_role", **common, roles=roles)
    denied = AwsError("AccessDenied", "not you", "")
    with mock.patch.object(iam.Iam, "_all", side_effect=denied):
        again = run("iam_pod_role", **common, roles=roles, debug_botocore_endpoint_logs=True)
        pruned = run("iam_pod_role", **common, roles=roles, prune=True)
    assert set(actions(again).values()) == {"unchanged"}
    assert "iam:GetRole" in again["resource_actions"]
    assert "cannot read roles" in pruned["msg"]
