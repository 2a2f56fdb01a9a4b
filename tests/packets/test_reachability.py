# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What iam_reachability says of a pod is what the pod then gets, packet by packet."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.filter.iam_reachability import iam_reachability
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.iam_documents import node_policy, pod_trust

from tests.packets.conftest import BASE, Site
from tests.packets.metadata_service import ROLE
from tests.packets.network import METADATA, METADATA_IPV6, USER_DATA, Namespace

#: So long a token that does not live for the hop is waited for.
_SECONDS = 3.0
TRUST = {f"{BASE}web": pod_trust([ROLE])}
NODE = {
    "role": ROLE,
    # without its denials: no AWS is here that would judge them
    "policies": {"hardened-k8s": node_policy("aws", "111122223333", "/k8s/prod/", False)},
    "http_protocol_ipv6": "enabled",
    "pod_ipv6": True,
}


class Situation(t.NamedTuple):
    """A node.

    :param metadata: what its metadata service is like.
    :param rules: what the role puts in place; None for nothing.
    :param agent: whether kube2iam runs.
    :param got: what each of :data:`PODS` gets, so that it is not only the same as was said.
    """

    metadata: dict[str, t.Any]
    rules: dict[str, t.Any] | None
    agent: bool
    got: tuple[str, ...]


class Asking(t.NamedTuple):
    """A pod: which role it asks for, which its namespace may have, its interface on the node."""

    role: str = ""
    allowed: tuple[str, ...] = ()
    interface: str = ""


#: The last one is on the host network.
PODS = (Asking("web", ("web",), "eni5"), Asking("web", ("w*",)), Asking("admin", ("web",), "vlan7"), Asking())
OPEN: dict[str, t.Any] = {}
SITUATIONS = {
    "nothing": Situation(OPEN, None, False, ("node", "node", "node", "node")),
    "tokens for two hops": Situation({"required": True}, None, False, ("node", "node", "node", "node")),
    "one hop": Situation({"hops": 1}, None, False, ("node", "node", "node", "node")),
    "tokens for one hop": Situation({"required": True, "hops": 1}, None, False, ("none", "none", "none", "node")),
    "an agent and no rules": Situation(OPEN, None, True, ("node", "node", "node", "node")),
    "led, no agent": Situation(OPEN, {}, False, ("none", "none", "none", "node")),
    "led": Situation(OPEN, {}, True, ("own", "own", "none", "node")),
    "led by names": Situation(OPEN, {"interfaces": ("eni+",)}, True, ("own", "none", "none", "node")),
    "led, tokens for one hop": Situation({"required": True, "hops": 1}, {}, True, ("own", "own", "none", "node")),
    "blocked": Situation(OPEN, {"redirect": False}, True, ("none", "none", "none", "node")),
}


def told(situation: Situation, asking: Asking, interface: str, on_host: bool) -> dict[str, t.Any]:
    """What the filter says before anything runs."""
    rules = situation.rules
    annotations = {"iam.amazonaws.com/role": asking.role} if asking.role else {}
    allowed = {"iam.amazonaws.com/allowed-roles": str(list(asking.allowed)).replace("'", '"')} if asking.allowed else {}
    node = {
        **NODE,
        "http_tokens": "required" if situation.metadata.get("required") else "optional",
        "hop_limit": situation.metadata.get("hops", 2),
        "redirect": "" if rules is None else "kube2iam" if rules.get("redirect", True) else "block",
        "interfaces": list((rules or {}).get("interfaces", ())),
        "refuses_others": True,
        "redirect_ipv6": rules is not None,
    }
    return iam_reachability(
        {"metadata": {"annotations": annotations}, "spec": {"hostNetwork": on_host}},
        namespace={"metadata": {"annotations": allowed}},
        interface=interface,
        node=node,
        agent={"base_role_arn": BASE, "running": situation.agent},
        roles=TRUST,
    )


def got(who: Namespace) -> tuple[str, bool]:
    """The identity that somebody gets, and whether they can read user data, by either family."""
    role = who.credentials(seconds=_SECONDS)
    identity = {ROLE: "node", f"{BASE}web": "own"}.get(role, "none")
    token = who.token(seconds=_SECONDS)  # which also reads what is given without one
    read = {who.ask(USER_DATA, host=host, seconds=_SECONDS, **token).text for host in (METADATA, METADATA_IPV6)}
    return identity, "bootstrap-secret" in read


@pytest.mark.parametrize(
    ("site", "situation"),
    [(situation.metadata, situation) for situation in SITUATIONS.values()],
    ids=SITUATIONS.keys(),
    indirect=["site"],
)
def test_what_is_said_of_a_pod_is_what_it_gets(site: Site, situation: Situation) -> None:
    pods = [
        site.pod(number, asking.interface, asking.role, asking.allowed)
        for number, asking in enumerate(PODS[:-1], start=5)
    ]
    if situation.rules is not None:
        site.rules("nftables", **situation.rules)
    if situation.agent:
        site.agent()
    for asking, who, expected in zip(PODS, [*pods, site.world.node], situation.got, strict=True):
        interface = getattr(who, "interface", "")
        verdict = told(situation, asking, interface, on_host=who is site.world.node)
        assert verdict["certain"], verdict
        identity, user_data = got(who)
        assert identity == verdict["identity"] == expected, verdict
        assert user_data == verdict["user_data"], verdict
