# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which AWS identity a pod gets: a table of what can be, each case one step away from a hardened cluster."""

from __future__ import annotations

import json
import typing as t
from types import MappingProxyType

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.hardened.k8s.plugins.filter.iam_reachability import FilterModule, iam_reachability
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.iam_documents import node_policy, pod_trust

NODES = "arn:aws:iam::111122223333:role/nodes"
BASE = "arn:aws:iam::111122223333:role/k8s/prod/"
WEB = f"{BASE}web"
ELSEWHERE = "arn:aws:iam::111122223333:role/admin"
ABROAD = "arn:aws:iam::444455556666:role/k8s/prod/web"
TRUST = pod_trust([NODES])


def document(action: str, resource: str, effect: str = "Allow", **more: t.Any) -> dict[str, t.Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": action, "Resource": resource, **more}]}


def trust(principal: t.Any, **more: t.Any) -> dict[str, t.Any]:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


def pod(role: str | None = "web", external_id: str = "", **spec: t.Any) -> dict[str, t.Any]:
    annotations = {} if role is None else {"iam.amazonaws.com/role": role}
    if external_id:
        annotations["iam.amazonaws.com/external-id"] = external_id
    return {
        "kind": "Pod",
        "metadata": {"name": "web", "annotations": annotations},
        "spec": {"containers": [{"name": "web"}], **spec},
    }


def deployment(**spec: t.Any) -> dict[str, t.Any]:
    return {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": pod(**spec)}}


def cron_job(**spec: t.Any) -> dict[str, t.Any]:
    return {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": pod(**spec)}}}}


def allows(*patterns: str) -> dict[str, t.Any]:
    return {"metadata": {"name": "shop", "annotations": {"iam.amazonaws.com/allowed-roles": json.dumps(patterns)}}}


HARDENED = {
    "role": NODES,
    "policies": {"hardened-k8s": node_policy("aws", "111122223333", "/k8s/prod/", True)},
    "http_tokens": "required",
    "hop_limit": 1,
    "redirect": "kube2iam",
}
OPEN = {"hop_limit": 2, "http_tokens": "optional", "policies": {}, "redirect": ""}
ONE_HOP = {**OPEN, "hop_limit": 1}
AGENT = {"base_role_arn": BASE}
REGEXP = {"namespace_restriction_format": "regexp"}
PRIVILEGED: dict[str, t.Any] = {"containers": [{"name": "web", "securityContext": {"privileged": True}}]}
KEYS: dict[str, t.Any] = {"containers": [{"name": "web", "env": [{"name": "AWS_ACCESS_KEY_ID", "value": "x"}]}]}
IRSA = {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": WEB}}}
LOOSE = {"all": document("sts:AssumeRole", "*")}
DENY_ALL_V1 = {"v1": document("*", "*", "Deny", Condition={"NumericLessThan": {"ec2:RoleDelivery": "2.0"}})}


ASKING = pod()


class Case(t.NamedTuple):
    """One line of the table.

    :param why: a word of the reason; :param also: identities within reach besides.
    """

    name: str
    identity: str
    why: str
    pod: t.Mapping[str, t.Any] = MappingProxyType(ASKING)
    namespace: t.Mapping[str, t.Any] = MappingProxyType(allows("web"))
    node: t.Mapping[str, t.Any] = MappingProxyType({})
    agent: t.Mapping[str, t.Any] = MappingProxyType({})
    roles: t.Mapping[str, t.Any] | None = MappingProxyType({WEB: TRUST})
    more: t.Mapping[str, t.Any] = MappingProxyType({})
    user_data: bool = False
    certain: bool = True
    also: tuple[str, ...] = ()


TABLE = [
    # hardened
    Case("all as it should be", "own", "STS gives it"),
    Case("the role by its ARN", "own", "STS gives it", pod(WEB)),
    Case("a base ARN without a slash", "own", "STS gives it", agent={"base_role_arn": BASE.rstrip("/")}),
    Case("a Deployment's pods", "own", "STS gives it", deployment()),
    Case("a CronJob's pods", "own", "STS gives it", cron_job()),
    Case("no annotation", "none", "asks for no role", pod(None)),
    Case("an empty annotation", "none", "allow list", pod("")),
    Case("the agent does not run", "none", "refused", agent={"running": False}),
    Case("only blocked", "none", "drop", node={"redirect": "block"}),
    Case("blocked, and IRSA", "own", "IRSA", node={"redirect": "block"}, more={"service_account": IRSA}),
    Case("blocked, and Pod Identity", "own", "Pod Identity", node={"redirect": "block"}, more={"associated_role": WEB}),
    Case("blocked, no agent", "none", "drop", node={"redirect": "block"}, agent={"running": False}),
    # the host network
    Case("on the host network", "node", "host network", pod(hostNetwork=True), user_data=True),
    Case(
        "on the host network, agent or not",
        "node",
        "host network",
        pod(hostNetwork=True),
        agent={"running": False},
        user_data=True,
    ),
    Case(
        "on the host network, blocked",
        "node",
        "host network",
        pod(hostNetwork=True),
        node={"redirect": "block"},
        user_data=True,
    ),
    Case("a Deployment on the host network", "node", "host network", deployment(hostNetwork=True), user_data=True),
    Case(
        "on the host network, no metadata",
        "none",
        "no metadata service",
        pod(hostNetwork=True),
        node={"http_endpoint": "disabled"},
    ),
    Case("on the host network, no role", "none", "no role", pod(hostNetwork=True), node={"role": ""}, user_data=True),
    Case(
        "on the host network with IRSA",
        "own",
        "IRSA",
        pod(hostNetwork=True),
        more={"service_account": IRSA},
        user_data=True,
        also=("node",),
    ),
    Case("hostNetwork: false", "own", "STS gives it", pod(hostNetwork=False)),
    # no rules on the node
    Case("no rules, two hops", "node", "2 hops", node=OPEN, user_data=True),
    Case("no rules, two hops, tokens", "node", "2 hops", node={**OPEN, "http_tokens": "required"}, user_data=True),
    Case("no rules, one hop, no tokens", "node", "IMDSv1", node=ONE_HOP, user_data=True),
    Case("no rules, one hop, tokens", "none", "does not live", node={**ONE_HOP, "http_tokens": "required"}),
    Case("no rules, no metadata", "none", "no metadata service", node={**OPEN, "http_endpoint": "disabled"}),
    Case("no rules, no role", "none", "no role", node={**OPEN, "role": ""}, user_data=True),
    Case(
        "no rules, one hop, IMDSv1 denied",
        "none",
        "IMDSv1 delivered",
        node={**ONE_HOP, "policies": DENY_ALL_V1},
        user_data=True,
    ),
    Case("no rules, two hops, IMDSv1 denied", "node", "2 hops", node={**OPEN, "policies": DENY_ALL_V1}, user_data=True),
    Case("no rules, agent alone", "node", "nothing on the node", node={"redirect": "", "hop_limit": 2}, user_data=True),
    Case("no rules, IRSA", "own", "IRSA", node=OPEN, more={"service_account": IRSA}, user_data=True, also=("node",)),
    Case(
        "no rules, Pod Identity",
        "own",
        "Pod Identity",
        node=OPEN,
        more={"associated_role": WEB},
        user_data=True,
        also=("node",),
    ),
    Case("no rules, keys", "other", "AWS_ACCESS_KEY_ID", pod(**KEYS), node=OPEN, user_data=True, also=("node",)),
    # rules that look elsewhere
    Case("an eBPF data path", "node", "eBPF", node={"host_routing": True, "hop_limit": 2}, user_data=True),
    Case("an eBPF data path, one hop", "none", "does not live", node={"host_routing": True}),
    Case("the right interface", "own", "STS gives it", node={"interfaces": ["eni+"]}, more={"interface": "eni123"}),
    Case(
        "one of the interfaces",
        "own",
        "STS gives it",
        node={"interfaces": ["cali+", "cni0"]},
        more={"interface": "cni0"},
    ),
    Case(
        "security groups for pods",
        "node",
        "vlan.eth.1",
        node={"interfaces": ["eni+"], "hop_limit": 2},
        more={"interface": "vlan.eth.1"},
        user_data=True,
    ),
    Case(
        "the wrong interface, one hop",
        "none",
        "does not live",
        node={"interfaces": ["docker0"]},
        more={"interface": "cni0"},
    ),
    Case(
        "an unknown interface",
        "node",
        "not known",
        node={"interfaces": ["eni+"], "hop_limit": 2},
        user_data=True,
        certain=False,
    ),
    Case(
        "another interface, refused",
        "none",
        "refuse what comes in by its interface, vlan.eth.1",
        node={"interfaces": ["eni+"], "refuses_others": True, "hop_limit": 2},
        more={"interface": "vlan.eth.1"},
    ),
    Case(
        "an unknown interface, others refused",
        "own",
        "STS gives it",
        node={"interfaces": ["eni+"], "refuses_others": True, "hop_limit": 2},
        certain=False,
    ),
    # IPv6
    Case("IPv6 metadata, dropped", "own", "STS gives it", node={"http_protocol_ipv6": "enabled", "pod_ipv6": True}),
    Case(
        "IPv6 metadata, forgotten",
        "node",
        "IPv6",
        node={"http_protocol_ipv6": "enabled", "pod_ipv6": True, "redirect_ipv6": False, "hop_limit": 2},
        user_data=True,
        also=("own",),
    ),
    Case(
        "IPv6 metadata, forgotten, one hop",
        "own",
        "STS gives it",
        node={"http_protocol_ipv6": "enabled", "pod_ipv6": True, "redirect_ipv6": False},
    ),
    Case(
        "IPv6 metadata, IPv4 pods",
        "own",
        "STS gives it",
        node={"http_protocol_ipv6": "enabled", "redirect_ipv6": False, "hop_limit": 2},
    ),
    Case(
        "IPv6 pods, endpoint off",
        "own",
        "STS gives it",
        node={"pod_ipv6": True, "redirect_ipv6": False, "hop_limit": 2},
    ),
    Case(
        "blocked, IPv6 forgotten",
        "node",
        "IPv6",
        node={
            "redirect": "block",
            "http_protocol_ipv6": "enabled",
            "pod_ipv6": True,
            "redirect_ipv6": False,
            "hop_limit": 2,
        },
        user_data=True,
    ),
    # the namespace
    Case("no allow list", "none", "may have no role", namespace={"metadata": {"name": "shop"}}),
    Case("an empty allow list", "none", "does not have", namespace=allows()),
    Case("another role in the list", "none", "does not have", namespace=allows("api")),
    Case("the ARN in the list", "own", "STS gives it", namespace=allows(WEB)),
    Case("a glob in the list", "own", "STS gives it", namespace=allows("w*")),
    Case("a glob that ends elsewhere", "none", "does not have", namespace=allows("w*x")),
    Case("a glob is anchored", "none", "does not have", pod("web-admin"), roles={f"{BASE}web-admin": TRUST}),
    Case(
        "a list that is no JSON",
        "none",
        "no JSON list",
        namespace={"metadata": {"annotations": {"iam.amazonaws.com/allowed-roles": "web"}}},
    ),
    Case(
        "a list of numbers",
        "none",
        "does not have",
        namespace={"metadata": {"annotations": {"iam.amazonaws.com/allowed-roles": "[1]"}}},
    ),
    Case(
        "a number in a list",
        "own",
        "allow list has web",
        namespace={"metadata": {"annotations": {"iam.amazonaws.com/allowed-roles": '[1, "web"]'}}},
    ),
    Case("restrictions off", "own", "every namespace", namespace={}, agent={"namespace_restrictions": False}),
    Case(
        "regexp, unanchored",
        "own",
        "allow list has web",
        pod("web-admin"),
        agent=REGEXP,
        roles={f"{BASE}web-admin": TRUST},
    ),
    Case("regexp, anchored", "none", "does not have", pod("web-admin"), namespace=allows(f"{BASE}web$"), agent=REGEXP),
    Case("regexp, broken", "none", "does not have", namespace=allows("(["), agent=REGEXP),
    Case("another annotation key", "none", "asks for no role", agent={"role_key": "example.com/role"}),
    # the default role
    Case("the default role", "own", "default", pod(None), namespace={}, agent={"default_role": "web"}),
    Case("the default role, by name", "own", "default role", namespace={}, agent={"default_role": "web"}),
    Case("the default role by ARN", "own", "default", pod(None), namespace={}, agent={"default_role": WEB}),
    Case(
        "a default role, another asked",
        "none",
        "may have no role",
        pod("api"),
        namespace={},
        agent={"default_role": "web"},
    ),
    # policies of the node's role
    Case(
        "a role outside of the path",
        "none",
        "NoOtherRole denies",
        pod(ELSEWHERE),
        namespace=allows(ELSEWHERE),
        roles={ELSEWHERE: TRUST},
    ),
    Case(
        "a loose node role",
        "own",
        "STS gives it",
        pod(ELSEWHERE),
        namespace=allows("*", ELSEWHERE),
        node={"policies": LOOSE},
        roles={ELSEWHERE: TRUST},
    ),
    Case("no policy, but the role names the node", "own", "STS gives it", node={"policies": {}}),
    Case(
        "no policy, and the role trusts the account",
        "none",
        "no policy",
        node={"policies": {}},
        roles={WEB: trust({"AWS": "arn:aws:iam::111122223333:root"})},
    ),
    Case("unknown policies", "own", "STS may", node={"policies": None}, certain=False),
    Case(
        "a condition that cannot be judged",
        "own",
        "STS may",
        node={"policies": {"a": document("sts:*", "*", Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}})}},
        roles={WEB: trust({"AWS": "111122223333"})},
        certain=False,
    ),
    Case("the boundary does not allow it", "none", "boundary", node={"boundary": document("s3:*", "*")}),
    Case("the boundary allows it", "own", "STS gives it", node={"boundary": document("sts:*", "*")}),
    Case("the node has no role", "none", "the node has no role", node={"role": "", "policies": {}}),
    # trust
    Case("there is no such role", "none", "there is no role", roles={}),
    Case("unknown roles", "own", "STS may", roles=None, certain=False),
    Case("another node is trusted", "none", "does not trust", roles={WEB: pod_trust([f"{NODES}-b"])}),
    Case("several nodes are trusted", "own", "STS gives it", roles={WEB: pod_trust([f"{NODES}-b", NODES])}),
    Case("the account is trusted", "own", "STS gives it", roles={WEB: trust({"AWS": "111122223333"})}),
    Case("everybody is trusted", "own", "STS gives it", roles={WEB: trust("*")}),
    Case("instances are trusted", "none", "does not trust", roles={WEB: trust({"Service": "ec2.amazonaws.com"})}),
    Case(
        "another action is trusted",
        "none",
        "does not trust",
        roles={WEB: trust({"AWS": NODES}, Action="sts:TagSession")},
    ),
    Case(
        "trust, and a denial",
        "none",
        "does not trust",
        roles={WEB: {"Statement": [*TRUST["Statement"], {**TRUST["Statement"][0], "Effect": "Deny"}]}},
    ),
    Case("an external ID is missing", "none", "does not trust", roles={WEB: pod_trust([NODES], "abc")}),
    Case(
        "an external ID is given", "own", "STS gives it", pod(external_id="abc"), roles={WEB: pod_trust([NODES], "abc")}
    ),
    Case(
        "another external ID is given",
        "none",
        "does not trust",
        pod(external_id="abd"),
        roles={WEB: pod_trust([NODES], "abc")},
    ),
    Case(
        "another account, allowed on both sides",
        "own",
        "STS gives it",
        pod(ABROAD),
        namespace=allows(ABROAD),
        node={"policies": LOOSE},
        roles={ABROAD: TRUST},
    ),
    Case(
        "another account, allowed there alone",
        "none",
        "no policy",
        pod(ABROAD),
        namespace=allows(ABROAD),
        node={"policies": {}},
        roles={ABROAD: TRUST},
    ),
    Case("not an ARN", "none", "no ARN", agent={"base_role_arn": ""}),
    # what the agent hands on, and what escapes
    Case("an agent that hands on", "own", "hands on", agent={"metadata_open": True}, user_data=True),
    Case(
        "an agent that hands on, no role", "none", "hands on", pod(None), agent={"metadata_open": True}, user_data=True
    ),
    Case("a privileged pod", "own", "STS gives it", pod(**PRIVILEGED), also=("node",)),
    Case("a privileged pod, blocked", "none", "drop", pod(**PRIVILEGED), node={"redirect": "block"}, also=("node",)),
    Case("IRSA beside kube2iam", "own", "IRSA", more={"service_account": IRSA}, also=("own",)),
    Case("keys beside kube2iam", "other", "AWS_ACCESS_KEY_ID", pod(**KEYS), also=("own",)),
]


def judged(case: Case) -> dict[str, t.Any]:
    return iam_reachability(
        case.pod,
        namespace=case.namespace,
        node={**HARDENED, **case.node},
        agent={**AGENT, **case.agent},
        roles=case.roles,
        **case.more,
    )


def test_the_table_is_one() -> None:
    assert len(TABLE) >= 60
    assert len({case.name for case in TABLE}) == len(TABLE)


@pytest.mark.parametrize("case", TABLE, ids=[case.name for case in TABLE])
def test_what_a_pod_gets(case: Case) -> None:
    verdict = judged(case)
    assert verdict["identity"] == case.identity, verdict
    assert case.why in "; ".join(verdict["why"]), verdict
    assert verdict["user_data"] == case.user_data, verdict
    assert verdict["certain"] == case.certain, verdict
    assert tuple(entry["identity"] for entry in verdict["also"]) == case.also, verdict
    if case.identity == "node":
        assert verdict["role"] == NODES
    if case.identity == "none":
        assert verdict["role"] == ""


@pytest.mark.parametrize("case", [case for case in TABLE if case.identity == "node"], ids=lambda case: case.name)
def test_every_way_to_the_nodes_role_is_closed_by_what_is_hardened_or_by_pod_security(case: Case) -> None:
    """The rules on the node, one hop, and a pod that Pod Security's baseline would admit."""
    admitted = json.loads(json.dumps(dict(case.pod)).replace('"hostNetwork": true', '"hostNetwork": false'))
    verdict = iam_reachability(admitted, namespace=case.namespace, node=HARDENED, agent=AGENT, roles=case.roles)
    assert verdict["identity"] != "node"
    assert not verdict["user_data"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pod": "web"}, "the pod is no dictionary"),
        ({"pod": {}, "namespace": "shop"}, "namespace is no dictionary"),
        ({"pod": {}, "node": {"hops": 1}}, "node has no option hops"),
        ({"pod": {}, "node": {"hop_limit": "1"}}, "node.hop_limit is '1'"),
        ({"pod": {}, "node": {"interfaces": "eni+"}}, "node.interfaces"),
        ({"pod": {}, "agent": {"running": "yes"}}, "agent.running"),
        ({"pod": {}, "agent": ["x"]}, "agent is no dictionary"),
        ({"pod": {"spec": ["x"]}}, "not as the API has it"),
        ({"pod": {"spec": {"containers": [None]}}}, "not as the API has it"),
        (
            {
                "pod": {"metadata": {"annotations": {"iam.amazonaws.com/role": WEB}}},
                "agent": {"namespace_restrictions": False},
                "node": {"role": "nodes", "redirect": "kube2iam"},
                "roles": {WEB: TRUST},
            },
            "no ARN of a role",
        ),
    ],
)
def test_mistakes_are_told(arguments: dict[str, t.Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        iam_reachability(**arguments)


def test_it_is_a_filter() -> None:
    assert FilterModule().filters() == {"iam_reachability": iam_reachability}
