# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a namespace uses is counted as the API server counts it, where a quota takes something away."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.checks import quota as checks
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest
from hypothesis import given
from hypothesis import strategies as st

QUOTA = Ref("ResourceQuota", "shop", "quota")


def quota(hard: t.Mapping[str, t.Any], *selectors: tuple[str, ...], **spec: t.Any) -> Manifest:
    """A ResourceQuota; selectors are (scope, operator, value, ...)."""
    if selectors:
        expressions = [{"scopeName": s[0], "operator": s[1], "values": list(s[2:])} for s in selectors]
        spec["scopeSelector"] = {"matchExpressions": expressions}
    metadata = {"name": "quota", "namespace": "shop"}
    return {"kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": dict(hard), **spec}}


def stored(manifest: Manifest, **used: str) -> Manifest:
    return {**manifest, "status": {"used": used}}


def container(name: str = "main", /, **resources: t.Any) -> dict[str, t.Any]:
    """A container; resources are ``requests`` and ``limits``."""
    return {"name": name, "resources": resources}


def sidecar(**resources: t.Any) -> dict[str, t.Any]:
    return {**container("sidecar", **resources), "restartPolicy": "Always"}


def pod(*containers: dict[str, t.Any], status: t.Any = None, name: str = "web", **spec: t.Any) -> Manifest:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"containers": list(containers) or [container()], **spec},
        "status": status or {"phase": "Running"},
    }


def service(kind: str, *node_ports: int, **spec: t.Any) -> Manifest:
    ports = [{"port": 80, **({"nodePort": port} if port else {})} for port in node_ports]
    return {"kind": "Service", "metadata": {"name": "web"}, "spec": {"type": kind, "ports": ports, **spec}}


def claim(storage: str, status: t.Any = None, annotations: t.Any = None, **spec: t.Any) -> Manifest:
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "annotations": annotations},
        "spec": {"resources": {"requests": {"storage": storage}}, **spec},
        "status": status or {},
    }


def used(key: str, items: t.Sequence[Manifest], *selectors: tuple[str, ...], **spec: t.Any) -> str:
    """What a quota of nothing says is used of a key; empty where nothing is."""
    manifest = quota({key: 0}, *selectors, **spec)
    kinds = checks.counted_kinds(manifest, None)
    assert {item["kind"] for item in items} <= kinds
    finding = checks.over_limit(manifest, None, dict.fromkeys(kinds, items))
    if finding is None:
        return ""
    (affected,) = finding.affected
    told, _comma, hard = affected.rpartition(", ")
    assert hard == "hard 0"
    return told[len(f"{key}: used ") :]


# -- what a change takes away


def test_a_quota_below_use_names_each_resource_and_is_refused() -> None:
    pods = [pod(container(requests={"cpu": "3", "memory": "1Gi"})), pod(container(requests={"cpu": "3000m"}))]
    finding = checks.over_limit(quota({"requests.cpu": "4", "requests.memory": "2Gi", "pods": 1}), None, {"Pod": pods})
    assert finding is not None
    assert (finding.rule, finding.ref, finding.refuse) == ("quota/below-use", QUOTA, True)
    assert finding.affected == ("pods: used 2, hard 1", "requests.cpu: used 6, hard 4")


def test_a_quota_at_use_is_fine() -> None:
    pods = [pod(container(requests={"cpu": "500m"})), pod(container(requests={"cpu": "0.5"}))]
    assert checks.over_limit(quota({"requests.cpu": 1, "pods": "2"}), None, {"Pod": pods}) is None


@pytest.mark.parametrize(
    ("before", "after", "over"),
    [
        ({"pods": "9"}, {"pods": "5"}, True),
        ({"pods": "9"}, {"pods": "8"}, False),
        ({"pods": "5"}, {"pods": "5000m"}, False),
        ({"pods": "4"}, {"pods": "5"}, False),
        ({}, {"pods": "5"}, True),
    ],
)
def test_only_what_is_lowered_is_judged(before: dict[str, str], after: dict[str, str], over: bool) -> None:
    """A namespace that was above its quota already does not stop every later run."""
    live = stored(quota(before), pods="8")
    assert checks.counted_kinds(quota(after), live) == set()
    assert (checks.over_limit(quota(after), live, {}) is not None) == over


def test_what_the_status_tells_is_not_counted_again() -> None:
    live = stored(quota({"pods": "9", "services": "9"}), pods="8")
    assert checks.counted_kinds(quota({"pods": "5", "services": "9", "secrets": "1"}), live) == {"Secret"}


def test_a_status_under_other_scopes_tells_nothing() -> None:
    live = stored(quota({"pods": "9"}), pods="8")
    wanted = quota({"pods": "5"}, scopes=["Terminating"])
    assert checks.counted_kinds(wanted, live) == {"Pod"}
    assert checks.over_limit(wanted, live, {"Pod": [pod()] * 8}) is None


def test_the_order_of_scopes_means_nothing() -> None:
    one = quota({"pods": "9"}, ("PriorityClass", "In", "b", "a"), ("NotBestEffort", "Exists"), scopes=["Terminating"])
    other = quota({"pods": "5"}, ("NotBestEffort", "Exists"), ("PriorityClass", "In", "a", "b"), scopes=["Terminating"])
    assert checks.counted_kinds(other, stored(one, pods="3")) == set()


@pytest.mark.parametrize(
    ("key", "kinds"),
    [
        *((key, {"Pod"}) for key in ("pods", "count/pods", "cpu", "limits.memory", "requests.example.com/gpu")),
        *((key, {"Pod"}) for key in ("hugepages-2Mi", "requests.ephemeral-storage")),
        *((key, {"Service"}) for key in ("services", "services.nodeports", "count/services")),
        *((key, {"PersistentVolumeClaim"}) for key in ("requests.storage", "count/persistentvolumeclaims")),
        ("gold.storageclass.storage.k8s.io/persistentvolumeclaims", {"PersistentVolumeClaim"}),
        *(
            ("secrets", {"Secret"}),
            ("count/configmaps", {"ConfigMap"}),
            ("resourcequotas", {"ResourceQuota"}),
        ),
        *(("count/jobs.batch", set()), ("gpu.deviceclass.resource.k8s.io/devices", set())),
    ],
)
def test_only_what_a_key_counts_is_listed(key: str, kinds: set[str]) -> None:
    assert checks.counted_kinds(quota({key: 1}), None) == kinds


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap", "ReplicationController", "ResourceQuota"])
def test_other_objects_are_counted_by_number(kind: str) -> None:
    items: list[Manifest] = [{"kind": kind, "metadata": {"name": str(n)}} for n in range(3)]
    assert used(f"{kind.lower()}s", items) == used(f"count/{kind.lower()}s", items) == "3"


# -- pods


@pytest.mark.parametrize(
    ("item", "pods", "stored_pods"),
    [
        (pod(status={"phase": "Pending"}), "1", "1"),
        (pod(status={"phase": "Failed"}), "", "1"),
        (pod(status={"phase": "Succeeded"}), "", "1"),
        ({**pod(), "metadata": {"name": "web", "deletionTimestamp": "2027-01-01T00:00:00Z"}}, "", "1"),
    ],
)
def test_pods_at_their_end_only_count_as_stored(item: Manifest, pods: str, stored_pods: str) -> None:
    assert used("pods", [item]) == pods
    assert used("count/pods", [item]) == stored_pods


@pytest.mark.parametrize(
    ("item", "cpu"),
    [
        (pod(container(requests={"cpu": 1}), container(requests={"cpu": "500m"})), "1.5"),
        (pod(container(requests={"cpu": 1}), initContainers=[container(requests={"cpu": 3})]), "3"),
        (pod(container(requests={"cpu": 4}), initContainers=[container(requests={"cpu": 3})]), "4"),
        (pod(container(requests={"cpu": 1}), initContainers=[sidecar(requests={"cpu": 3})]), "4"),
        (
            pod(initContainers=[container(requests={"cpu": 3}), sidecar(requests={"cpu": 2})]),
            "3",
        ),
        (
            pod(initContainers=[sidecar(requests={"cpu": 2}), container(requests={"cpu": 3})]),
            "5",
        ),
        (pod(container(requests={"cpu": 1}), overhead={"cpu": "250m"}), "1.25"),
        (pod(container(), overhead={"cpu": "250m"}), "0.25"),
        (pod(container(requests={"cpu": 1}), resources={"requests": {"cpu": 2}}), "2"),
        (pod(container(limits={"cpu": 1})), ""),
    ],
)
def test_requests_are_those_of_the_greediest_moment(item: Manifest, cpu: str) -> None:
    assert used("requests.cpu", [item]) == used("cpu", [item]) == cpu


@pytest.mark.parametrize(
    ("item", "memory"),
    [
        (pod(container(limits={"memory": "1Gi"}), overhead={"memory": "1Mi"}), str(2**30 + 2**20)),
        (pod(container(), overhead={"memory": "1Mi"}), ""),
        (pod(container(limits={"memory": 0}), overhead={"memory": "1Mi"}), ""),
        (pod(container(requests={"memory": "1Gi"})), ""),
    ],
)
def test_overhead_counts_towards_limits_that_are_there(item: Manifest, memory: str) -> None:
    assert used("limits.memory", [item]) == memory


@pytest.mark.parametrize("key", ["requests.example.com/gpu", "hugepages-2Mi", "requests.hugepages-2Mi"])
def test_devices_and_huge_pages_are_counted(key: str) -> None:
    item = pod(container(requests={"example.com/gpu": 2, "hugepages-2Mi": "2"}))
    assert used(key, [item, item]) == "4"


CPU = st.integers(0, 8)
CONTAINERS = st.lists(CPU.map(lambda cpu: container(requests={"cpu": cpu})), min_size=1, max_size=3)
INIT = st.lists(
    st.tuples(st.booleans(), CPU).map(lambda p: (sidecar if p[0] else container)(requests={"cpu": p[1]})),
    max_size=4,
)


@given(CONTAINERS, INIT)
def test_a_pod_uses_what_it_needs_at_some_moment(main: list[dict[str, t.Any]], init: list[dict[str, t.Any]]) -> None:
    """The rule of KEP-753, played out: init containers one after the other, sidecars stay."""

    def cpu(item: dict[str, t.Any]) -> int:
        return int(item["resources"]["requests"]["cpu"])

    moments, staying = [], 0
    for item in init:
        moments.append(staying + cpu(item))
        staying += cpu(item) if item.get("restartPolicy") else 0
    moments.append(staying + sum(map(cpu, main)))
    assert used("requests.cpu", [pod(*main, initContainers=init)]) == (str(max(moments)) if max(moments) else "")


# -- scopes

BEST_EFFORT = pod(container(requests={"cpu": "0", "example.com/gpu": 1}))
BURSTABLE = pod(container(limits={"memory": 1}))


@pytest.mark.parametrize(
    ("scope", "within", "without"),
    [
        ("Terminating", pod(activeDeadlineSeconds=0), pod()),
        ("NotTerminating", pod(), pod(activeDeadlineSeconds=60)),
        ("BestEffort", BEST_EFFORT, BURSTABLE),
        ("NotBestEffort", BURSTABLE, BEST_EFFORT),
        ("BestEffort", pod(), pod(initContainers=[container(requests={"cpu": 1})])),
        ("BestEffort", pod(), pod(resources={"limits": {"cpu": 1}})),
        ("NotBestEffort", pod(status={"qosClass": "Burstable"}), pod(status={"qosClass": "BestEffort"})),
        ("PriorityClass", pod(priorityClassName="high"), pod()),
    ],
)
def test_scopes_select_pods(scope: str, within: Manifest, without: Manifest) -> None:
    assert used("pods", [within, within, without], scopes=[scope]) == "2"
    assert used("pods", [within, within, without], (scope, "Exists")) == "2"


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        (("In", "high"), {"high"}),
        (("In", "high", "low"), {"high", "low"}),
        (("NotIn", "high"), {"low", ""}),
        (("Exists",), {"high", "low"}),
        (("DoesNotExist",), {""}),
    ],
)
def test_classes_are_selected_by_name(selector: tuple[str, ...], names: set[str]) -> None:
    for name in ("high", "low", ""):
        counted = "1" if name in names else ""
        assert used("pods", [pod(priorityClassName=name)], ("PriorityClass", *selector)) == counted
        volume = claim("1", volumeAttributesClassName=name)
        assert used("persistentvolumeclaims", [volume], ("VolumeAttributesClass", *selector)) == counted


@pytest.mark.parametrize(
    "status",
    [
        {"currentVolumeAttributesClassName": "high"},
        {"modifyVolumeStatus": {"targetVolumeAttributesClassName": "high"}},
    ],
)
def test_a_claim_has_the_class_that_it_comes_from_and_goes_to(status: dict[str, t.Any]) -> None:
    items = [claim("1", status, volumeAttributesClassName="low")]
    assert used("requests.storage", items, ("VolumeAttributesClass", "In", "high")) == "1"
    assert used("requests.storage", items, ("VolumeAttributesClass", "In", "low")) == "1"


@pytest.mark.parametrize("part", ["podAffinity", "podAntiAffinity"])
@pytest.mark.parametrize(
    ("term", "crosses"),
    [({}, ""), ({"namespaces": ["other"]}, "1"), ({"namespaceSelector": {}}, "1"), ({"namespaces": []}, "")],
)
def test_affinity_to_other_namespaces_is_a_scope(part: str, term: dict[str, t.Any], crosses: str) -> None:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": term}]}
    for terms in (required, preferred):
        assert used("pods", [pod(affinity={part: terms})], scopes=["CrossNamespacePodAffinity"]) == crosses


def test_all_scopes_have_to_fit() -> None:
    items = [pod(activeDeadlineSeconds=1), pod(activeDeadlineSeconds=1, priorityClassName="high")]
    assert used("pods", items, ("PriorityClass", "In", "high"), scopes=["Terminating"]) == "1"


# -- services and claims


@pytest.mark.parametrize(
    ("item", "node_ports", "load_balancers"),
    [
        (service("ClusterIP", 0, 0), "", ""),
        (service("ExternalName"), "", ""),
        (service("NodePort", 0, 30000), "2", ""),
        (service("LoadBalancer", 0, 0), "2", "1"),
        (service("LoadBalancer", 0, 30000, allocateLoadBalancerNodePorts=True), "2", "1"),
        (service("LoadBalancer", 0, 30000, allocateLoadBalancerNodePorts=False), "1", "1"),
    ],
)
def test_load_balancers_have_node_ports_too(item: Manifest, node_ports: str, load_balancers: str) -> None:
    assert used("services", [item]) == used("count/services", [item]) == "1"
    assert used("services.nodeports", [item]) == node_ports
    assert used("services.loadbalancers", [item]) == load_balancers


def test_storage_is_counted_in_all_and_by_class() -> None:
    items = [
        claim("1Gi", storageClassName="gold"),
        claim("1", storageClassName="silver"),
        claim("1", annotations={"volume.beta.kubernetes.io/storage-class": "gold"}, storageClassName="silver"),
        claim("1500m", storageClassName="gold"),
        claim("1", {"allocatedResources": {"storage": "4"}}),
        claim("9", {"allocatedResources": {"storage": "4"}}, storageClassName=""),
    ]
    assert used("requests.storage", items) == str(2**30 + 1 + 1 + 2 + 4 + 9)
    assert used("persistentvolumeclaims", items) == used("count/persistentvolumeclaims", items) == "6"
    assert used("gold.storageclass.storage.k8s.io/requests.storage", items) == str(2**30 + 1 + 2)
    assert used("gold.storageclass.storage.k8s.io/persistentvolumeclaims", items) == "3"
    assert used("bronze.storageclass.storage.k8s.io/persistentvolumeclaims", items) == ""


# -- pods that would not start again


def limit_range(kind: str = "Container", /, **limit: t.Any) -> Manifest:
    return {"kind": "LimitRange", "spec": {"limits": [{"type": kind, **limit}]}}


def lacking(hard: t.Mapping[str, t.Any], *pods: Manifest, ranges: t.Sequence[Manifest] = ()) -> list[str]:
    finding: Finding | None = checks.without_requests(quota(hard), ranges, pods)
    if finding is None:
        return []
    assert (finding.rule, finding.ref, finding.refuse) == ("quota/pods-without-requests", QUOTA, False)
    return list(finding.affected)


def test_containers_that_name_too_little_are_named() -> None:
    item = pod(
        container("whole", requests={"cpu": 0}, limits={"cpu": 1, "memory": 1}),
        container("half", requests={"cpu": 1}),
        initContainers=[container("init")],
    )
    assert lacking({"cpu": 9, "limits.memory": "9Gi"}, item) == [
        "web/init: limits.memory, requests.cpu",
        "web/half: limits.memory",
    ]


@pytest.mark.parametrize(
    "item",
    [
        pod(status={"phase": "Succeeded"}),
        pod(resources={"requests": {"cpu": 1}}),
        {**pod(), "metadata": {"name": "web", "deletionTimestamp": "2027-01-01T00:00:00Z"}},
    ],
)
def test_pods_that_end_or_ask_as_a_whole_lack_nothing(item: Manifest) -> None:
    assert lacking({"cpu": 9}, item) == []


def test_pods_outside_the_scopes_lack_nothing() -> None:
    scoped = quota({"cpu": 9}, scopes=["Terminating"])
    assert checks.without_requests(scoped, [], [pod()]) is None
    assert checks.without_requests(scoped, [], [pod(activeDeadlineSeconds=1)])


@pytest.mark.parametrize("hard", ["pods", "requests.ephemeral-storage", "requests.example.com/gpu"])
def test_other_resources_are_not_asked_for(hard: str) -> None:
    assert lacking({hard: 9}, pod()) == []


@pytest.mark.parametrize(
    ("limit", "left"),
    [
        (limit_range(default={"cpu": 1}), []),
        (limit_range(max={"cpu": 1}), []),
        (limit_range(defaultRequest={"cpu": 1}), ["web/main: limits.cpu"]),
        (limit_range(min={"cpu": 1}), ["web/main: limits.cpu"]),
        (limit_range(default={"memory": 1}), ["web/main: limits.cpu, requests.cpu"]),
        (limit_range("Pod", max={"cpu": 1}), ["web/main: limits.cpu, requests.cpu"]),
    ],
)
def test_defaults_give_what_is_lacking(limit: Manifest, left: list[str]) -> None:
    assert lacking({"requests.cpu": 9, "limits.cpu": 9}, pod(), ranges=[limit]) == left


def test_a_long_list_is_cut_and_says_so() -> None:
    affected = lacking({"cpu": 99}, *(pod(name=f"web-{n}") for n in range(60)))
    assert affected[49:] == ["web-49/main: requests.cpu", "and 10 more"]
