# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One declaration, several providers: what each writes means the same, and what it lacks is refused by name."""

from __future__ import annotations

import itertools
import random
import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows import ports
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.enquiry import Enquiry
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import network, network_cluster
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Context, Declaration, Manifest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.flows import CLUSTER, PROTOCOLS, ends
from tests.unit.checks.flows.test_semantics import API, BACK, DB, SCAN, WEB, allowed

OBJECTS = [*CLUSTER.namespaces, *CLUSTER.pods, *CLUSTER.nodes]
CALICO, CILIUM, NEW, OLD = (
    *("projectcalico.org/v3", "cilium.io/v2"),
    *("policy.networking.k8s.io/v1alpha2", "policy.networking.k8s.io/v1alpha1"),
)


def declare(provider: str, stage: str = "enforce", **options: t.Any) -> Declaration:
    return network.declare({"namespace": "shop", "provider": provider, **options}, "", Context(stage))


def cluster(stage: str = "enforce", served: t.Collection[str] = (), **options: t.Any) -> Declaration:
    return network_cluster.declare({"name": "guard", **options}, "here", Context(stage, 37, lambda: served))


def kinds(declaration: Declaration) -> list[str]:
    assert declaration.problems == []
    return [item["kind"] for item in declaration.objects]


def wrong(declaration: Declaration) -> str:
    (problem,) = declaration.problems
    return f"{problem.reason}. {problem.remedy}"


_PODS = st.sampled_from([{}, {"app": "web"}, {"match_expressions": [{"key": "tier", "operator": "Exists"}]}])
_NAMED = st.one_of(
    st.builds(lambda name: {"namespace": name}, st.sampled_from(["shop", "api", "ops"])),
    st.builds(lambda name, pods: {"namespace": name, "pods": pods}, st.sampled_from(["api", "ops"]), _PODS),
    st.builds(lambda pods: {"pods": pods}, _PODS),
    st.sampled_from(
        [
            {"namespace_labels": {}},
            {"namespace_labels": {"team": "b"}},
            {"namespace_labels": {"match_expressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}},
            {"namespace_labels": {"match_expressions": [{"key": "team", "operator": "DoesNotExist"}]}, "pods": {}},
        ]
    ),
)
_OUTSIDE = st.sampled_from([{"cidr": "198.51.100.0/24"}, {"cidr": "203.0.113.0/24", "except": ["203.0.113.8/29"]}])
_NAMED_NETS = st.sampled_from([{"network": "partners"}, {"network": "everywhere"}])
_NETWORKS = {"partners": ["198.51.100.0/24", "203.0.113.0/29"], "everywhere": ["0.0.0.0/0", "192.0.2.0/24"]}
_PORTS = st.lists(st.sampled_from([80, "53/UDP", "http", "400-500", {"protocol": "UDP"}]), min_size=1, max_size=3)


def _flow(own: str, peers: str) -> t.Any:
    return st.fixed_dictionaries(
        {peers: st.lists(_NAMED | _OUTSIDE | _NAMED_NETS, min_size=1, max_size=3)},
        optional={own: _PODS, "ports": _PORTS},
    )


_ITEM = st.fixed_dictionaries(
    {"dns": st.just(False), "networks": st.just(_NETWORKS)},
    optional={
        "default_deny": st.booleans(),
        "ingress": st.lists(_flow("to", "from"), max_size=3),
        "egress": st.lists(_flow("from", "to"), max_size=3),
    },
)


@pytest.mark.parametrize("provider", ["calico", "cilium"])
@settings(max_examples=40)
@given(item=_ITEM)
def test_every_provider_means_what_network_policies_mean(provider: str, item: dict[str, t.Any]) -> None:
    plain, other = declare("kubernetes", **item), declare(provider, **item)
    assert plain.problems == []
    assert other.problems == []
    one, two = (Enquiry([*OBJECTS, *each.objects], provider, domains=CLUSTER.domains) for each in (plain, other))
    assert not two.after.book.unread
    mine, theirs = ends(one.world), ends(two.world)
    flows = list(itertools.product(mine, mine, PROTOCOLS))
    for source, destination, (protocol, port) in random.Random(len(str(item))).sample(flows, 80):
        point = ports.point(protocol, port)
        expected = one.after.flow(mine[source], mine[destination], point).allowed
        assert two.after.flow(theirs[source], theirs[destination], point).allowed == expected


def test_a_denial_wins_over_what_is_allowed() -> None:
    deny = {"from": {"app": "web"}, "action": "deny", "to": [{"namespace": "api", "pods": {"app": "db"}}]}
    for provider in ("calico", "cilium"):
        declaration = declare(provider, egress=[{"to": [{"namespace": "api"}]}, deny])
        assert declaration.problems == []
        assert allowed(declaration.objects, f"{WEB} > {BACK} 80", provider)
        assert not allowed(declaration.objects, f"{WEB} > {DB} 80", provider)
        assert allowed(declaration.objects, f"{API} > {DB} 80", provider)


@pytest.mark.parametrize(
    ("provider", "option", "able"),
    [
        ("kubernetes", {"egress": [{"to": [{"domains": ["www.example.com"]}]}]}, "cilium"),
        ("calico", {"egress": [{"to": [{"domains": ["www.example.com"]}]}]}, "cilium"),
        ("kubernetes", {"egress": [{"to": [{"pods": {}, "service_account": "web"}]}]}, "calico or cilium"),
        ("cilium", {"egress": [{"to": [{"service_account_labels": {"role": "db"}}]}]}, "calico"),
        ("kubernetes", {"ingress": [{"action": "deny", "from": [{"namespace": "api"}]}]}, "calico or cilium"),
    ],
)
def test_what_a_provider_lacks_names_one_that_has_it(provider: str, option: t.Any, able: str) -> None:
    declaration = declare(provider, **option)
    assert declaration.objects == []
    assert wrong(declaration).endswith(f"use provider: {able}")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"ingress": [{"from": [{"domains": ["www.example.com"]}]}]}, "domains cannot be who calls"),
        ({"egress": [{"to": [{"domains": []}]}]}, "domains is empty"),
        ({"egress": [{"to": [{"service_account_labels": 1}]}]}, "is not a map of labels"),
        ({"egress": [{"to": [{"network": "x"}]}]}, "network x has no addresses"),
        ({"networks": {"x": ["y"]}, "egress": [{"to": [{"network": "x"}]}]}, "networks.x[0]"),
        ({"networks": {"x": 1}, "egress": [{"to": [{"network": "x"}]}]}, "is not a list"),
        ({"egress": [{"to": [{"network": "x", "pods": {}}]}]}, "network and others in one peer"),
        ({"egress": [{"to": [{"domains": ["a..b"]}]}]}, "no domain name"),
        ({"egress": [{"to": [{"domains": ["a.b"], "pods": {}}]}]}, "in one peer"),
        ({"default_deny": False, "ingress": [{"action": "deny", "from": [{"pods": {}}]}]}, "without default_deny"),
        (
            {
                "ingress": [
                    {"name": "x", "from": [{"pods": {}}]},
                    {"name": "x", "action": "deny", "from": [{"pods": {}}]},
                ]
            },
            "allows and denies",
        ),
    ],
)
def test_mistakes(option: t.Any, message: str) -> None:
    assert message in wrong(declare("cilium", **option))


def test_auto_is_what_the_cluster_serves() -> None:
    def chosen(*served: str) -> list[str]:
        context = Context("enforce", 37, lambda: served)
        return kinds(network.declare({"namespace": "shop", "provider": "auto", "dns": False}, "", context))

    assert chosen() == chosen(NEW) == ["NetworkPolicy"]
    assert chosen(CILIUM) == ["CiliumNetworkPolicy"]
    assert chosen(CILIUM, CALICO) == ["NetworkPolicy"]
    assert "needs a cluster" in wrong(declare("auto"))


def test_calico_stages_and_logs() -> None:
    observed = declare("calico", "observe")
    assert set(kinds(observed)) == {"StagedNetworkPolicy"}
    assert {ref.kind for ref in observed.withdrawn} == {"NetworkPolicy.projectcalico.org"}
    assert allowed(observed.objects, f"{WEB} > {BACK} 80")
    warned = declare("calico", "warn", egress=[{"action": "deny", "to": [{"namespace": "api"}]}])
    assert allowed(warned.objects, f"{WEB} > {BACK} 80")
    last = max(warned.objects, key=lambda item: item["spec"]["order"] if item["spec"].get("egress") else 0)
    assert [rule["action"] for rule in last["spec"]["egress"]] == ["Log", "Allow"]
    assert {ref.kind for ref in warned.withdrawn} == {"StagedNetworkPolicy"}
    enforced = declare("calico")
    assert not allowed(enforced.objects, f"{WEB} > {BACK} 80")
    assert allowed(declare("cilium", "warn").objects, f"{WEB} > {BACK} 80")


def test_at_stage_warn_nothing_is_denied_also_where_a_denial_would_win() -> None:
    """Cilium's denials win over the policy that allows everything: they wait for stage enforce."""
    egress = [{"action": "deny", "to": [{"namespace": "api"}]}, {"to": [{"namespace": "ops"}]}]
    for provider in ("calico", "cilium"):
        for flow in (f"{WEB} > {BACK} 80", f"{WEB} > {SCAN} 80", f"{SCAN} > {WEB} 80"):
            assert allowed(declare(provider, "warn", dns=False, egress=egress).objects, flow, provider), (
                provider,
                flow,
            )
        assert not allowed(declare(provider, dns=False, egress=egress).objects, f"{WEB} > {BACK} 80", provider)


def _of_account(name: str, **labels: str) -> list[Manifest]:
    """The cluster, with one pod's service account of this name and labels."""
    pods = [{**item, "spec": {**item["spec"]}} for item in CLUSTER.pods]
    (db,) = [item for item in pods if item["metadata"]["name"] == "db-1"]
    db["spec"]["serviceAccountName"] = name
    owned = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "api"}}
    owned["metadata"] = {"name": name, "namespace": "api", "labels": labels}
    return [*CLUSTER.namespaces, *pods, *CLUSTER.nodes, owned]


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("calico", {"service_account": "store"}),
        ("cilium", {"service_account": "store"}),
        ("calico", {"service_account_labels": {"role": "db"}}),
    ],
)
def test_service_accounts_by_name_and_by_labels(provider: str, said: dict[str, t.Any]) -> None:
    objects = _of_account("store", role="db")
    namespaced = declare(provider, dns=False, egress=[{"to": [{"namespace": "api", **said}]}])
    wide = cluster(provider=provider, deny_metadata=False, egress=[{"action": "deny", "to": [said]}])
    for declaration, reached in ((namespaced, "db-1"), (wide, "api-1")):
        assert declaration.problems == []
        asked = Enquiry([*objects, *declaration.objects], provider)
        found = set()
        for pod in ("db-1", "api-1"):
            question = {"from": {"namespace": "shop", "pod": "web-1"}, "to": {"namespace": "api", "pod": pod}}
            (answer,) = asked.ask({**question, "port": 80})
            found |= {pod} if answer.verdict.allowed else set()
        assert found == {reached}


def test_a_policy_for_pods_of_some_service_accounts() -> None:
    objects = _of_account("store", role="db")
    policy = cluster(
        provider="calico", service_account_labels={"role": "db"}, egress=[{"action": "deny", "ports": [9]}]
    )
    asked = Enquiry([*objects, *policy.objects], "calico")
    for pod, expected in (("db-1", False), ("api-1", True)):
        source = {"namespace": "api", "pod": pod}
        (answer,) = asked.ask({"from": source, "to": {"namespace": "shop", "pod": "web-1"}, "port": 9})
        assert answer.verdict.allowed == expected


# -- whole clusters

DENY: dict[str, t.Any] = {"egress": [{"action": "deny", "to": [{"cidr": "198.51.100.0/24"}]}]}
OUT, METADATA = f"{WEB} > 198.51.100.7 443", f"{WEB} > 169.254.169.254 80"
ENGINES = {"calico": "calico", "cilium": "cilium", "cluster_network_policy": "kubernetes"}


@pytest.mark.parametrize("provider", ENGINES)
def test_an_admin_policy_wins_and_keeps_the_metadata_address_shut(provider: str) -> None:
    declaration = cluster(provider=provider, **DENY)
    assert declaration.problems == []
    tenants = declare(
        "kubernetes", default_deny=False, dns=False, raw=[{"name": "all", "spec": {"podSelector": {}, "egress": [{}]}}]
    )
    policies = [*declaration.objects, *tenants.objects]
    engine = ENGINES[provider]
    assert not allowed(policies, OUT, engine)
    assert not allowed(policies, METADATA, engine)
    assert allowed(policies, f"{WEB} > 203.0.113.9 443", engine)
    assert allowed(policies, f"{SCAN} > {BACK} 80", engine)


@pytest.mark.parametrize("provider", ENGINES)
def test_the_clusters_own_namespaces_are_left_out_unless_named(provider: str) -> None:
    system = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "labels": {}}}
    dns = {**CLUSTER.pods[0], "metadata": {"name": "dns", "namespace": "kube-system", "labels": {}}}
    question = {"from": {"namespace": "kube-system", "pod": "dns"}, "to": {"address": "198.51.100.7"}, "port": 53}
    for named, expected in (([], True), (["kube-system"], False)):
        objects = [*OBJECTS, system, dns, *cluster(provider=provider, include_system=named, **DENY).objects]
        (answer,) = Enquiry(objects, ENGINES[provider]).ask(question)
        assert answer.verdict.allowed == expected


def test_allow_pass_and_a_baseline() -> None:
    rules = [{"action": "pass", "from": [{"namespace": "api"}]}, {"action": "deny"}]
    for provider in ("calico", "cluster_network_policy"):
        admin = cluster(provider=provider, deny_metadata=False, ingress=rules, namespaces={"team": "a"})
        base = cluster(provider=provider, tier="baseline", name="base", ingress=[{"action": "deny", "ports": [80]}])
        policies = [*admin.objects, *base.objects]
        engine = ENGINES[provider]
        assert not allowed(policies, f"{SCAN} > {WEB} 80", engine)
        assert not allowed(policies, f"{BACK} > {WEB} 80", engine)
        assert allowed(policies, f"{BACK} > {WEB} 81", engine)
        own = declare("kubernetes", dns=False, ingress=[{"from": [{"namespace": "api"}]}])
        assert allowed([*policies, *own.objects], f"{BACK} > {WEB} 80", engine)


def test_only_the_old_api() -> None:
    declaration = cluster(served=[OLD], **DENY)
    assert kinds(declaration) == ["AdminNetworkPolicy"]
    assert not allowed(declaration.objects, OUT)
    assert kinds(cluster(served=[OLD, NEW], **DENY)) == ["ClusterNetworkPolicy"]
    baseline = cluster(
        served=[OLD], tier="baseline", name="default", ingress=[{"action": "deny", "ports": [80, "90-99"]}]
    )
    assert kinds(baseline) == ["BaselineAdminNetworkPolicy"]
    assert "called default" in wrong(cluster(served=[OLD], tier="baseline", ingress=[{"action": "deny"}]))


def test_stages_of_the_whole_cluster() -> None:
    observed = cluster("observe", provider="calico", **DENY)
    assert kinds(observed) == ["Tier", "StagedGlobalNetworkPolicy"]
    warned = cluster("warn", provider="calico", **DENY)
    assert allowed(warned.objects, OUT)
    assert [ref.kind for ref in warned.withdrawn] == ["StagedGlobalNetworkPolicy"]
    for provider in ("cilium", "cluster_network_policy"):
        declaration = cluster("warn", provider=provider, **DENY)
        assert declaration.objects == []
        assert [finding.rule for finding in declaration.findings] == ["network/not-enforced"]
        assert len(declaration.withdrawn) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"provider": "cilium", "ingress": [{"action": "allow"}]}, "use provider: cluster_network_policy or calico"),
        ({"provider": "cilium", "tier": "baseline", **DENY}, "no baseline tier"),
        ({"provider": "cilium", "egress": [{"action": "deny", "to": [{"domains": ["a.b"]}]}]}, "cannot deny domains"),
        (
            {"provider": "calico", "egress": [{"action": "allow", "to": [{"domains": ["a.b"]}]}]},
            "calico has no domains",
        ),
        (
            {"provider": "cluster_network_policy", "ingress": [{"action": "deny", "from": [{"cidr": "192.0.2.0/24"}]}]},
            "no networks in ingress",
        ),
        ({"priority": 1001, **DENY}, "priority 1001 is out of range"),
        ({"provider": "cilium", "service_account_labels": {"a": "b"}, **DENY}, "use provider: calico"),
        (
            {
                "provider": "cluster_network_policy",
                "ingress": [{"action": "deny", "from": [{"service_account": "web"}]}],
            },
            "has no service_account. Leave it out, or use provider: calico or cilium",
        ),
        ({"deny_metadata": False}, "has no rules"),
        ({"ingress": [{"action": "deny", "from": []}]}, "ingress[0]: from is empty"),
        (DENY, "no policies for the whole of it"),
    ],
)
def test_mistakes_about_the_whole_cluster(options: t.Any, message: str) -> None:
    assert message in wrong(cluster(**options))


def test_a_denial_of_everything_is_refused() -> None:
    everything: Manifest = {"action": "deny", "to": [{"cidr": "0.0.0.0/0"}]}
    (finding,) = cluster(provider="calico", egress=[everything]).findings
    assert (finding.rule, finding.refuse) == ("network/cuts-system", True)
    let: Manifest = {"action": "pass", "to": [{"namespace": "kube-system"}]}
    assert cluster(provider="calico", egress=[let, everything]).findings == []


@pytest.mark.parametrize("provider", ENGINES)
def test_who_calls_is_a_pod_where_nobody_is_named(provider: str) -> None:
    """So nodes, and with them the API server and its calls of webhooks, are not cut off by accident."""
    declaration = cluster(provider=provider, deny_metadata=False, ingress=[{"action": "deny"}])
    assert declaration.findings == []
    engine = ENGINES[provider]
    assert not allowed(declaration.objects, f"{SCAN} > {BACK} 80", engine)
    for caller in ("two", "198.51.100.7"):
        assert allowed(declaration.objects, f"{caller} > {BACK} 80", engine)


@pytest.mark.parametrize("provider", ["calico", "cilium"])
def test_a_denial_of_all_callers_by_address_is_refused(provider: str) -> None:
    everybody: Manifest = {"action": "deny", "from": [{"cidr": "0.0.0.0/0"}]}
    (finding,) = cluster(provider=provider, ingress=[everybody]).findings
    assert (finding.rule, finding.refuse) == ("network/cuts-system", True)
    assert "the way of the API server to webhooks" in finding.message
    named = cluster(
        provider=provider, networks={"all": ["::/0"]}, egress=[{"action": "deny", "to": [{"network": "all"}]}]
    )
    assert [each.rule for each in named.findings] == ["network/cuts-system"]


def test_two_policies_share_a_tier() -> None:
    both = cluster(provider="calico", **DENY)
    both.merge(cluster(provider="calico", name="other", **DENY))
    assert kinds(both) == ["Tier", "GlobalNetworkPolicy", "GlobalNetworkPolicy"]


def test_calico_has_named_networks_as_sets() -> None:
    flow = {"to": [{"network": "partners"}, {"network": "everywhere"}], "ports": [443]}
    declaration = declare("calico", networks=_NETWORKS, egress=[flow], dns=False)
    assert kinds(declaration) == ["NetworkSet", "NetworkSet", "NetworkPolicy", "NetworkPolicy"]
    sets = {item["metadata"]["name"]: item["spec"]["nets"] for item in declaration.objects[:2]}
    # what leaves something out, here the metadata address, is no set's
    assert sets == {"partners": ["198.51.100.0/24", "203.0.113.0/29"], "everywhere": ["192.0.2.0/24"]}
    for address, expected in (("198.51.100.7", True), ("203.0.113.9", True), ("169.254.169.254", False)):
        assert allowed(declaration.objects, f"{WEB} > {address} 443", "calico") == expected

    deny = [{"action": "deny", "to": [{"network": "partners"}]}]
    for provider in ("calico", "cilium", "cluster_network_policy"):
        wide = cluster(provider=provider, networks=_NETWORKS, egress=deny)
        assert ("GlobalNetworkSet" in kinds(wide)) == (provider == "calico")
        engine = "kubernetes" if provider == "cluster_network_policy" else provider
        assert not allowed(wide.objects, f"{WEB} > 198.51.100.7 443", engine)
        assert allowed(wide.objects, f"{WEB} > 203.0.113.9 443", engine)
