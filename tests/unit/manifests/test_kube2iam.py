# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube2iam's objects: what is always so, what is refused, and what allow lists say."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import kube2iam, tenant
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Context, Declaration, Manifest

from tests.support.modules import run_module

CONTEXT = Context("enforce", 37)
IMAGE = f"registry.example/kube2iam@sha256:{'0' * 64}"
BASE = "arn:aws:iam::111122223333:role/k8s/prod/"
AGENT = {
    "image": IMAGE,
    "base_role_arn": BASE,
    "region": "eu-central-1",
}


def declared(**more: t.Any) -> Declaration:
    return kube2iam.declare_agent({**AGENT, **more}, "agents[0]", CONTEXT)


def by_kind(declaration: Declaration) -> dict[str, Manifest]:
    return {manifest["kind"]: manifest for manifest in declaration.objects}


def template(**more: t.Any) -> dict[str, t.Any]:
    spec: dict[str, t.Any] = by_kind(declared(**more))["DaemonSet"]["spec"]["template"]["spec"]
    return spec


def rules(declaration: Declaration) -> dict[str, bool]:
    return {finding.rule: finding.refuse for finding in declaration.findings}


def test_the_agent_gets_as_little_as_can_be() -> None:
    objects = by_kind(declared())
    assert objects["ClusterRole"]["rules"] == [
        {"apiGroups": [""], "resources": ["namespaces", "pods"], "verbs": ["list", "watch"]}
    ]
    spec = template()
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
    assert "volumes" not in spec
    assert rules(declared()) == {}


def test_arguments_open_nothing() -> None:
    arguments = template()["containers"][0]["args"]
    assert {"--namespace-restrictions", "--namespace-restriction-format=glob", "--use-regional-sts-endpoint"} <= set(
        arguments
    )
    flags = {argument.partition("=")[0] for argument in arguments}
    assert not flags & {
        "--iptables",
        "--debug",
        "--verbose",
        "--insecure",
        "--default-role",
        "--resolve-duplicate-cache-ips",
    }
    assert not [flag for flag in flags if flag.startswith("--auto-discover")]
    values = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    assert values["--metrics-port"] != values["--app-port"]
    assert "169.254" not in values["--metadata-addr"]


def test_it_runs_wherever_pods_are_led_to_it() -> None:
    spec = template()
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["priorityClassName"] == "system-node-critical"
    strategy = by_kind(declared())["DaemonSet"]["spec"]["updateStrategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": 0, "maxUnavailable": 1}


def test_only_a_namespace_of_its_own_is_opened() -> None:
    labels = by_kind(declared())["Namespace"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
    assert "Namespace" not in by_kind(declared(namespace="kube-system"))


@pytest.mark.parametrize(
    ("more", "rule", "refuses"),
    [
        ({"default_role": "web"}, "kube2iam/default-role", True),
        ({"base_role_arn": "arn:aws:iam::111122223333:role/"}, "kube2iam/no-path", True),
        ({"base_role_arn": "arn:aws:iam::111122223333:role"}, "kube2iam/no-path", True),
        ({"image": "registry.example/kube2iam:0.15.0"}, "kube2iam/image-tag", False),
    ],
)
def test_findings(more: dict[str, t.Any], rule: str, refuses: bool) -> None:
    assert rules(declared(**more)) == {rule: refuses}


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.169.254:80", "[::ffff:169.254.169.254]", "Instance-Data"),
        *("[fd00:ec2::254]:80", "[fd00:ec2:0::254]", "[FD00:EC2::254]:80", "10.0.0.9:80", "127.0.0.1:80"),
    ],
)
def test_every_other_address_may_be_the_metadata_services(address: str) -> None:
    (finding,) = declared(metadata_address=address).findings
    assert (finding.rule, finding.affected, finding.refuse) == ("kube2iam/user-data", (address,), True)


def test_the_address_that_leads_nowhere_may_be_written_out() -> None:
    assert rules(declared(metadata_address=kube2iam.NOWHERE)) == {}


@pytest.mark.parametrize(
    "more",
    [
        {"name": "No"},
        {"namespace": "a/b"},
        {"image": "a b"},
        {"image": "a@sha256:1"},
        {"base_role_arn": "k8s/prod/"},
        {"base_role_arn": "arn:aws:iam::111122223333:role/*/"},
        {"base_role_arn": "arn:aws:iam::111122223333:user/a/"},
        {"base_role_arn": "arn:aws:iam::111122223333:role/k8s@prod/"},
        {"region": "Europe"},
        {"region": "eu-central-1; x"},
        {"default_role": "a b"},
        {"default_role": "a*"},
        {"port": 80},
        {"port": 8182},
        {"port": 99999},
        {"metrics_port": 8181},
        {"metadata_address": "a b"},
        {"node_selector": {"a": True}},
        {"priority_class": "A"},
        {"resources": {"request": {}}},
        {"resources": {"limits": {"memory": "much"}}},
        {"resources": {"limits": "1Gi"}},
        {"image_pull_secrets": ["A"]},
    ],
)
def test_mistakes_are_told(more: dict[str, t.Any]) -> None:
    declaration = declared(**more)
    assert declaration.objects == []
    (problem,) = declaration.problems
    assert problem.reason
    assert problem.remedy


def test_a_role_that_could_leave_the_list_is_no_role() -> None:
    for role in ('a","b', "a b", "a,b", "a]", "", "a\n", "a(b"):
        with pytest.raises(ItemError):
            kube2iam.allow_list([role])


def test_an_allow_list_has_one_form_and_an_inverse() -> None:
    text = kube2iam.allow_list(["web", "api", "web"])
    assert json.loads(text) == ["api", "web"]
    assert kube2iam.allowed_roles({kube2iam.ALLOWED_ROLES: text}) == ["api", "web"]
    for other in ('["web","api"]', "web", "{}", "[]", "[1]", '["a b"]'):
        assert kube2iam.allowed_roles({kube2iam.ALLOWED_ROLES: other}) is None
    assert kube2iam.allowed_roles({}) is None


@pytest.mark.parametrize(
    ("roles", "told"),
    [
        *((["*"], True), (["**"], True), (["/*"], True), (["arn:*"], True), (["ARN:aws:iam::*"], True)),
        *((["arn:*:*"], True), (["arn:*:iam::*"], True), (["arn:*:role*"], True), (["arn:*role*"], True)),
        *((["arn:*:role/*"], True), (["arn:*/*"], True), (["*:role/*"], True), (["*:role/k8s/prod/*"], True)),
        *((["arn:aws:iam::111122223333:role*"], True), (["arn:aws:iam::111122223333:role/*"], True)),
        *((["arn:aws:iam::111122223333:role/k8s/prod/*"], True), (["arn:aws:iam::*:role/k8s/prod/**"], True)),
        *((["arn:*web*"], False), (["arn:aws:iam::111122223333:role/k8s/prod/web"], False)),
        *((["web*"], False), ([], False), (["*-web"], False), (["shop/*"], False), (["arn:*/web"], False)),
        (["arn:aws:iam::111122223333:role/k8s/prod/shop-*"], False),
    ],
)
def test_a_list_of_everything_is_refused(roles: list[str], told: bool) -> None:
    declaration = kube2iam.declare_namespace({"name": "shop", "allowed_roles": roles}, "namespaces[0]", CONTEXT)
    assert rules(declaration) == ({"kube2iam/every-role": True} if told else {})


def namespace_of(**options: t.Any) -> tuple[dict[str, t.Any], Declaration]:
    declaration = tenant.declare({"name": "shop", **options}, "tenants[0]", CONTEXT)
    (namespace,) = [manifest for manifest in declaration.objects if manifest["kind"] == "Namespace"]
    return namespace["metadata"].get("annotations", {}), declaration


def test_roles_of_service_accounts_end_in_the_namespaces_list() -> None:
    accounts = [{"name": "web", "iam_role": "shop-web"}, {"name": "job"}]
    annotations, declaration = namespace_of(service_accounts=accounts, iam_roles=["metrics"], annotations={"a": "b"})
    assert annotations == {"a": "b", kube2iam.ALLOWED_ROLES: '["metrics", "shop-web"]'}
    assert not declaration.problems
    assert namespace_of(service_accounts=[{"name": "web"}])[0] == {}
    assert namespace_of(iam_roles=[])[0] == {kube2iam.ALLOWED_ROLES: "[]"}
    assert rules(namespace_of(iam_roles=["*"])[1])["kube2iam/every-role"]


def test_the_same_thing_twice_is_a_problem() -> None:
    _annotations, declaration = namespace_of(iam_roles=["a"], annotations={kube2iam.ALLOWED_ROLES: "[]"})
    assert "twice" in declaration.problems[0].reason


@pytest.mark.parametrize(
    ("roles", "role", "loses"),
    [
        (["web"], "web", False),
        (["web"], "arn:aws:iam::111122223333:role/k8s/prod/web", False),
        (["arn:aws:iam::111122223333:role/k8s/prod/web"], "web", False),
        (["w*"], "web", False),
        (["web"], "web-admin", True),
        (["web"], "xweb", True),
        ([], "web", True),
        # a star is any text, slashes included
        (["shop*"], "shop/web", False),
        (["shop*"], f"{BASE}shop/web", False),
        ([f"{BASE}shop*"], "shop/web", False),
        ([f"{BASE}shop*"], f"{BASE}shop/web", False),
        (["*/web"], "shop/a/web", False),
        # and an entry is more than its last part
        (["shop/*"], "web", True),
        (["shop/web"], "web", True),
        ([f"{BASE}web-*"], "api", True),
        ([f"{BASE}web"], "arn:aws:iam::111122223333:role/k8s/test/web", True),
        # as the base ARN is not known
        (["arn:*/web"], "web", False),
        (["arn:*"], "web", False),
        (["arn:*/web"], "shop/web", False),
        (["arn:*/web"], "api", True),
    ],
)
def test_who_loses_a_role(roles: list[str], role: str, loses: bool) -> None:
    pods = [{"metadata": {"name": "a", "annotations": {kube2iam.ROLE: role}}, "spec": {}}]
    found = list(kube2iam.running_pods(Ref("Namespace", "", "shop"), roles, pods))
    assert [finding.rule for finding in found] == (["kube2iam/loses-role"] if loses else [])


@pytest.mark.parametrize(
    ("annotation", "default", "gets"),
    [
        ('["web"]', "", True),
        ('["api","w*"]', "", True),
        ('["api", 1]', "", False),
        ("web", "", False),
        ('{"web": 1}', "", False),
        (None, "", False),
        (None, "web", True),
    ],
)
def test_who_gets_no_role_from_an_agent_that_goes_by_lists(annotation: str | None, default: str, gets: bool) -> None:
    agent = by_kind(declared(default_role=default))["DaemonSet"]
    assert kube2iam.restricted(agent)
    assert not kube2iam.restricted(None)
    metadata = {"name": "a", "namespace": "shop", "annotations": {kube2iam.ROLE: "web"}}
    pods: list[Manifest] = [
        {"metadata": metadata, "spec": {}},
        {"metadata": {**metadata, "name": "b"}, "spec": {"hostNetwork": True}},
        {"metadata": {"name": "c", "namespace": "shop"}, "spec": {}},
    ]
    for sure in (True, False):
        found = list(kube2iam.unlisted_pods(agent, {"shop": annotation}, pods, sure))
        told = [(finding.rule, finding.affected, finding.refuse) for finding in found]
        assert told == ([] if gets else [("kube2iam/no-list", ("shop/a (web)",), sure)])


@pytest.mark.parametrize(
    ("entry", "role", "gets"),
    [
        ("shop*", "shop/web", True),
        ("shop*", f"{BASE}shop/web", True),
        (f"{BASE}shop*", "shop/web", True),
        ("shop/*", "web", False),
        (f"{BASE}shop/web", "web", False),
        ("arn:aws:iam::111122223333:role/k8s/test/web", "web", False),
        ("web", "arn:aws:iam::111122223333:role/k8s/test/web", False),
    ],
)
def test_an_agent_knows_its_base_arn(entry: str, role: str, gets: bool) -> None:
    agent = by_kind(declared())["DaemonSet"]
    pods: list[Manifest] = [{"metadata": {"name": "a", "namespace": "shop", "annotations": {kube2iam.ROLE: role}}}]
    found = list(kube2iam.unlisted_pods(agent, {"shop": json.dumps([entry])}, pods, sure=True))
    assert (found == []) == gets


def test_no_more_than_one_node_is_without_its_agent() -> None:
    spec = by_kind(declared())["DaemonSet"]["spec"]
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    assert spec["template"]["spec"]["priorityClassName"] == "system-node-critical"
    # the autoscaler leaves it on a node that it empties
    kept = {"cluster-autoscaler.kubernetes.io/enable-ds-eviction": "false"}
    assert spec["template"]["metadata"]["annotations"] == kept


def test_rendered_without_a_cluster() -> None:
    result = run_module("kube2iam", {"state": "rendered", "agents": [AGENT], "guards": [{"groups": ["platform"]}]})
    assert not result.get("failed"), result
    assert [manifest["kind"] for manifest in result["manifests"]].count("ValidatingAdmissionPolicy") == 3
    assert result["findings"] == []
