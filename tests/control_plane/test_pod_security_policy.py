# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pod security policies are admission: each rule refuses and admits real requests, through the real subresources."""

from __future__ import annotations

import typing as t
import uuid

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.checks.pod_security_policy import by_policy

from tests.support.admission import Admission, until
from tests.support.pod_security import (
    CASES,
    EVERY_RULE,
    NOT_EPHEMERAL,
    NOT_INIT,
    Case,
    merged,
    plain_pod,
    surroundings,
    with_fields,
)
from tests.testbed.control_plane import ControlPlane

Fields = dict[str, t.Any]


@pytest.fixture(scope="session")
def admission(cluster: ControlPlane) -> Admission:
    for name in ("gvisor", "kata"):
        body = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": name}
        cluster.request("POST", "/apis/node.k8s.io/v1/runtimeclasses", body)
    return Admission(cluster)


def pod_of(rule: str, namespace: str, name: str = "asked") -> Fields:
    made: Fields = merged(plain_pod(name, namespace), {"spec": surroundings(rule)})
    return made


@pytest.fixture(scope="session")
def ruled(admission: Admission) -> t.Callable[[str], str]:
    """A namespace for each rule alone, all of them made at once."""
    prefix = f"r{uuid.uuid4().hex[:6]}"

    def of(name: str) -> str:
        return f"{prefix}-{name.replace('_', '-')}"

    for name in CASES:
        admission.namespace(of(name))
        # what is debugged was there before
        pod = with_fields(pod_of(name, of(name), "there"), CASES[name], CASES[name].good)
        assert admission.create(pod, dry=False).message == ""
    policies = [{"name": of(name), "namespaces": [of(name)], **case.options} for name, case in CASES.items()]
    admission.apply(policies=policies, owner=prefix)
    for name, case in CASES.items():
        if name != "ephemeral_containers":
            admission.until_refused(with_fields(pod_of(name, of(name)), case, case.bad))
    return of


def allowed_in(case: Case, lists: str) -> bool:
    """Whether the API has the fields of a case in that list."""
    fields = case.good.keys() | case.bad.keys()
    if lists == "containers":
        return True
    return not case.of_pod and not fields & (NOT_EPHEMERAL if lists == "ephemeralContainers" else NOT_INIT)


#: What is wrong with these is not in what was sent.
MADE_BY_THE_SERVER = {"automount_service_account_token"}

IN_PODS = [
    (name, lists)
    for name, case in CASES.items()
    for lists in ("containers", "initContainers")
    if allowed_in(case, lists) and name != "ephemeral_containers"
]
IN_DEBUGGING = [name for name, case in CASES.items() if allowed_in(case, "ephemeralContainers")]


@pytest.mark.parametrize(("name", "lists"), IN_PODS)
def test_a_rule_admits_and_refuses_pods(
    admission: Admission, ruled: t.Callable[[str], str], name: str, lists: str
) -> None:
    case, pod = CASES[name], pod_of(name, ruled(name))
    assert admission.create(with_fields(pod, case, case.good, lists)).message == ""
    message = admission.create(with_fields(pod, case, case.bad, lists)).message
    assert "is forbidden" in message
    assert case.said in message
    if not case.of_pod:
        assert ("init container setup: " if lists == "initContainers" else "container web: ") in message
    if name not in MADE_BY_THE_SERVER:
        asked = with_fields(pod, case, case.bad, lists)
        said = by_policy({**case.options, "mutate": False}, None)(asked["metadata"], asked["spec"])
        assert message.partition("denied request: ")[2] == "; ".join(detail for _rule, detail, _changes in said)


@pytest.mark.parametrize("name", IN_DEBUGGING)
def test_a_rule_admits_and_refuses_debugging(admission: Admission, ruled: t.Callable[[str], str], name: str) -> None:
    case, pod = CASES[name], plain_pod("there", ruled(name))
    debugger = {"name": "debugger", "image": f"{pod['spec']['containers'][0]['image']}"}
    if name != "ephemeral_containers":
        assert admission.debug(pod, merged(debugger, case.good)).message == ""
    message = admission.debug(pod, merged(debugger, case.bad)).message
    assert "ephemeral container debugger: " in message
    assert case.said in message


def test_what_is_not_judged_can_still_be_changed(admission: Admission, ruled: t.Callable[[str], str]) -> None:
    """Finalizers have to go away, whatever became forbidden since; images are judged whenever they change."""
    pod = plain_pod("there", ruled("require_image_digest"))
    assert admission.update(pod, {"metadata": {"labels": {"a": "b"}, "finalizers": None}}).message == ""
    patch = {"spec": {"containers": [{"name": "web", "image": "busybox:latest"}]}}
    assert "has no digest" in admission.update(pod, patch).message


def type_checked(cluster: ControlPlane, prefix: str, count: int) -> list[Fields]:
    """The ValidatingAdmissionPolicies of that name, once the API server has looked at the types of each."""
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"

    def checked() -> list[Fields]:
        found = [item for item in cluster.get(path)["items"] if item["metadata"]["name"].startswith(prefix)]
        assert len(found) == count
        return [item for item in found if "typeChecking" in item.get("status", {})]

    until(lambda: len(checked()) == count)
    return checked()


def test_every_expression_passes_the_type_check(ruled: t.Callable[[str], str], cluster: ControlPlane) -> None:
    checked = type_checked(cluster, ruled(""), 2 * len(CASES))
    assert [item["status"]["typeChecking"] for item in checked if item["status"]["typeChecking"]] == []


def test_what_is_put_together_of_expressions_passes_the_type_check(admission: Admission, cluster: ControlPlane) -> None:
    """All rules at once, alternatives that may be used, exceptions of every kind, and guards."""
    prefix = f"t{uuid.uuid4().hex[:6]}"
    ends = {"owner": "team-shop", "reason": "until version 3", "expires": "2999-12-31", "namespaces": [prefix]}
    exceptions = [
        {"name": "some", "rules": ["privileged", "require_image_digest"], "match_labels": {"app": "a"}, **ends},
        {"name": "whole", "service_accounts": ["driver"], **ends},
        {"name": "all", **ends},
    ]
    common = {
        "namespace_selector": {"match_labels": {f"{prefix}.example/level": "high"}},
        "exceptions": exceptions,
        "guard": [{"user": "dana"}, {"group": "platform"}],
    }
    alternatives = [{"name": "first", "use": True, **EVERY_RULE}, {"name": "second", "use": True, "host_pid": False}]
    policies = [
        {"name": f"{prefix}-all", **common, **EVERY_RULE},
        {"name": f"{prefix}-any", **common, "any_of": alternatives},
    ]
    guards = [{"name": f"{prefix}-guard", "subjects": [{"group": "platform"}]}]
    try:
        admission.apply(policies=policies, guards=guards, owner=prefix)
        # pods, templates and guard of each, and the guard by itself
        checked = type_checked(cluster, prefix, 7)
        assert [item["status"]["typeChecking"] for item in checked if item["status"]["typeChecking"]] == []
    finally:
        admission.apply(policies=[], guards=[], owner=prefix, prune=True)
