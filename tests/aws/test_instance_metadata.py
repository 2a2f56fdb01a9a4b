# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Metadata options, in moto's EC2."""

from __future__ import annotations

import typing as t

import pytest

from tests.aws.conftest import Runner, actions, rules
from tests.support.aws import Moto

IMAGE = "ami-12c6146b"
OPEN = {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2, "HttpProtocolIpv6": "enabled"}


def instances(moto: Moto, count: int = 2, **options: t.Any) -> list[str]:
    answer = moto.client("ec2").run_instances(
        ImageId=IMAGE,
        InstanceType="m5.large",
        MinCount=count,
        MaxCount=count,
        MetadataOptions=options or OPEN,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "cluster", "Value": "prod"}]}],
    )
    return [instance["InstanceId"] for instance in answer["Instances"]]


def options_of(moto: Moto, name: str) -> dict[str, t.Any]:
    (reservation,) = moto.client("ec2").describe_instances(InstanceIds=[name])["Reservations"]
    found: dict[str, t.Any] = reservation["Instances"][0]["MetadataOptions"]
    return found


@pytest.mark.parametrize("by", ["instances", "filters"])
def test_tokens_stay_on_the_node(run: Runner, moto: Moto, by: str) -> None:
    names = instances(moto, 3)
    chosen: dict[str, t.Any] = {"instances": names} if by == "instances" else {"filters": {"tag:cluster": "prod"}}
    predicted = run("instance_metadata", check=True, diff=True, **chosen)
    assert options_of(moto, names[0])["HttpTokens"] == "optional"
    done = run("instance_metadata", diff=True, **chosen)
    assert done == predicted
    assert actions(done) == dict.fromkeys(names, "update")
    for name in names:
        found = options_of(moto, name)
        assert (found["HttpTokens"], found["HttpPutResponseHopLimit"]) == ("required", 1)
        assert (found["HttpEndpoint"], found["HttpProtocolIpv6"]) == ("enabled", "disabled")
    again = run("instance_metadata", diff=True, **chosen)
    assert not again["changed"]
    assert again["diff"] == []
    assert again["findings"] == []


@pytest.mark.parametrize("stage", ["observe", "warn"])
def test_below_enforce_it_only_tells(run: Runner, moto: Moto, stage: str) -> None:
    (name,) = instances(moto, 1)
    result = run("instance_metadata", stage=stage, instances=[name])
    assert not result["changed"]
    assert rules(result) == {"imds/tokens", "imds/hop-limit", "imds/ipv6"}
    assert options_of(moto, name)["HttpTokens"] == "optional"


def test_an_instance_that_is_not_there_does_not_stop_the_others(run: Runner, moto: Moto) -> None:
    (name,) = instances(moto, 1)
    result = run("instance_metadata", instances=[name, "i-00000000000000000"])
    assert result["failed"]
    assert "i-00000000000000000" in result["msg"]
    assert actions(result) == {name: "update"}


def test_filters_that_fit_no_instance_are_told(run: Runner, moto: Moto) -> None:
    instances(moto, 1)
    result = run("instance_metadata", filters={"tag:cluster": "prdo"})
    assert (result["changed"], result["objects"], rules(result)) == (False, [], {"imds/no-instance"})


def test_what_nothing_is_said_of_stays(run: Runner, moto: Moto) -> None:
    (name,) = instances(moto, 1, **OPEN, InstanceMetadataTags="enabled")
    run("instance_metadata", instances=[name])
    assert options_of(moto, name)["InstanceMetadataTags"] == "enabled"
    run("instance_metadata", instances=[name], instance_metadata_tags="disabled")
    assert options_of(moto, name)["InstanceMetadataTags"] == "disabled"


def test_a_launch_template_gets_a_version_that_is_the_default(run: Runner, moto: Moto) -> None:
    client = moto.client("ec2")
    data = {"ImageId": IMAGE, "MetadataOptions": {"HttpTokens": "optional"}}
    client.create_launch_template(LaunchTemplateName="nodes", LaunchTemplateData=data)
    predicted = run("instance_metadata", check=True, diff=True, launch_templates=["nodes"])
    done = run("instance_metadata", diff=True, launch_templates=["nodes"])
    assert done == predicted
    assert actions(done) == {"nodes": "update"}
    (version,) = client.describe_launch_template_versions(LaunchTemplateName="nodes", Versions=["$Default"])[
        "LaunchTemplateVersions"
    ]
    assert version["VersionNumber"] == 2
    assert version["LaunchTemplateData"]["MetadataOptions"]["HttpTokens"] == "required"
    assert not run("instance_metadata", launch_templates=["nodes"])["changed"]


def test_a_launch_template_with_a_version_to_come_is_left_alone(run: Runner, moto: Moto) -> None:
    client = moto.client("ec2")
    for make in (client.create_launch_template, client.create_launch_template_version):
        make(LaunchTemplateName="nodes", LaunchTemplateData={"ImageId": IMAGE})
    result = run("instance_metadata", launch_templates=["nodes", "none"])
    assert result["failed"]
    assert "version 2 besides its default version 1" in result["msg"]
    assert "launch_templates (none)" in result["msg"]
    assert actions(result) == {"nodes": "failed"}


@pytest.mark.parametrize("stage", ["enforce", "observe"])
def test_a_latest_version_that_is_open_is_told_behind_a_default_that_is_closed(
    run: Runner, moto: Moto, stage: str
) -> None:
    client = moto.client("ec2")
    closed = {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"}
    made: list[dict[str, t.Any]] = [{**closed, "HttpProtocolIpv6": "disabled"}, OPEN]
    for make, options in zip((client.create_launch_template, client.create_launch_template_version), made, strict=True):
        make(LaunchTemplateName="nodes", LaunchTemplateData={"ImageId": IMAGE, "MetadataOptions": options})
    result = run("instance_metadata", stage=stage, launch_templates=["nodes"])
    assert not result.get("failed"), result
    assert actions(result) == {"nodes": "unchanged"}
    assert rules(result) == {"imds/tokens", "imds/hop-limit", "imds/ipv6"}
    assert all("in its latest version 2," in finding["message"] for finding in result["findings"])
    client.modify_launch_template(LaunchTemplateName="nodes", DefaultVersion="2")
    assert actions(run("instance_metadata", launch_templates=["nodes"])) == {"nodes": "update"}
    assert rules(run("instance_metadata", launch_templates=["nodes"])) == set()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "nothing is named"),
        ({"instances": ["i-1"], "http_put_response_hop_limit": 0}, "there is no instance"),
        ({"launch_templates": ["none"], "workers": 0}, "workers must be at least 1"),
    ],
)
def test_mistakes_are_told(run: Runner, params: dict[str, t.Any], message: str) -> None:
    assert message in run("instance_metadata", **params)["msg"]


def test_a_hop_limit_that_cannot_be_is_told(run: Runner, moto: Moto) -> None:
    result = run("instance_metadata", instances=instances(moto, 1), http_put_response_hop_limit=65)
    assert "out of range" in result["msg"]
