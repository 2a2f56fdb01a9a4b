# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the options of a policy say of pods; tests/control_plane compares it with the API server, rule by rule."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.checks.cel import compiled
from ansible_collections.hardened.k8s.plugins.module_utils.checks.pod_security import Judge
from ansible_collections.hardened.k8s.plugins.module_utils.checks.pod_security_policy import Stored, by_policy
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import cel
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Context, Declaration
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.pod_security_policy import declare
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.pod_security_rules import NAMES, rules

from tests.support.pod_security import CASES, EVERY_RULE, LISTS, careful_pod
from tests.support.psp import pod

Fields = dict[str, t.Any]

DIGEST = "sha256:" + "0" * 64


def judged(options: Fields, **spec: t.Any) -> str:
    """Everything that is wrong with a pod, in one line."""
    return "; ".join(detail for _rule, detail, _changes in by_policy({**options, "mutate": False}, None)({}, spec))


def one(lists: str = "containers", **fields: t.Any) -> Fields:
    return {lists: [{"name": "web", **fields}]}


def test_every_rule_has_a_case_that_the_api_server_is_asked_about() -> None:
    assert {rule.name for case in CASES.values() for rule in rules(case.options)} == {*NAMES}


def test_every_rule_is_in_what_is_measured() -> None:
    # its capabilities are all dropped, which leaves none to add
    assert {rule.name for rule in rules(EVERY_RULE)} == {*NAMES} - {"default_add_capabilities"}


@pytest.mark.parametrize(
    ("image", "registries", "fine"),
    [
        ("busybox", ["docker.io"], True),
        ("busybox", ["docker.io/library"], True),
        ("docker.io/busybox", ["docker.io/library"], True),
        ("index.docker.io/busybox", ["docker.io/library"], True),
        ("index.docker.io/shop/web:1", ["docker.io/shop"], True),
        ("shop/web", ["docker.io/shop"], True),
        ("shop/web", ["docker.io/library"], False),
        # a first part in capitals can be no path: it is a host of the local network
        ("SHOP/web", ["docker.io"], False),
        ("Shop/web", ["docker.io"], False),
        ("localhost/web", ["docker.io"], False),
        ("localhost/web", ["localhost"], True),
        ("registry:5000/web", ["docker.io"], False),
        ("registry:5000/web", ["registry"], False),
        ("registry:5000/web", ["registry:5000"], True),
        ("[2001:db8::1]:5000/web", ["docker.io"], False),
        ("registry.example.com.evil.example/web", ["registry.example.com"], False),
        ("registry.example.com:5000/web", ["registry.example.com"], False),
        ("evil.example/registry.example.com/web", ["registry.example.com"], False),
        ("docker.io.evil.example/web", ["docker.io"], False),
        ("registry.example.com/web", ["registry.example.com/"], True),
        ("registry.example.com", ["registry.example.com"], False),
    ],
)
def test_the_registry_of_an_image_is_the_one_that_it_is_pulled_from(
    image: str, registries: list[str], fine: bool
) -> None:
    for lists in LISTS:
        assert (judged({"allowed_image_registries": registries}, **one(lists, image=image)) == "") is fine
    volumes = [{"name": "data", "image": {"reference": image}}]
    assert (judged({"allowed_image_registries": registries}, volumes=volumes) == "") is fine


@pytest.mark.parametrize(
    ("image", "fine"),
    [
        (f"a@{DIGEST}", True),
        (f"a:1@{DIGEST}", True),
        (f"registry.example.com:5000/a@{DIGEST}", True),
        ("a", False),
        ("a:sha256", False),
        (f"a@{DIGEST[:-1]}", False),
        (f"a@{DIGEST}0", False),
        (f"a@{DIGEST}:latest", False),
        (f"a@{DIGEST.upper()}", False),
        ("", False),
    ],
)
def test_a_digest_is_a_whole_one_at_the_end(image: str, fine: bool) -> None:
    assert (judged({"require_image_digest": True}, **one(image=image)) == "") is fine


@pytest.mark.parametrize(
    ("capabilities", "fine"),
    [
        ({"drop": ["NET_RAW"]}, True),
        ({"drop": ["ALL"]}, True),
        ({"drop": ["ALL"], "add": ["CHOWN"]}, True),
        ({}, False),
        ({"drop": ["all"]}, False),
        ({"drop": ["ALL"], "add": ["NET_RAW"]}, False),
        ({"drop": ["ALL"], "add": ["net_raw"]}, False),
        ({"drop": ["ALL"], "add": ["CAP_NET_RAW"]}, False),
        ({"drop": ["ALL"], "add": ["Cap_Net_Raw"]}, False),
    ],
)
def test_what_has_to_be_dropped_cannot_be_had_by_another_spelling(capabilities: Fields, fine: bool) -> None:
    context = {"capabilities": capabilities}
    for lists in LISTS:
        said = judged({"required_drop_capabilities": ["NET_RAW"]}, **one(lists, securityContext=context))
        assert (said == "") is fine


@pytest.mark.parametrize(
    ("of_pod", "of_container", "fine"),
    [(None, None, True), (True, None, False), (None, True, False), (True, False, True), (False, True, False)],
)
def test_a_host_process_of_windows_is_privileged(of_pod: bool | None, of_container: bool | None, fine: bool) -> None:
    def context(value: bool | None) -> Fields:
        return {"windowsOptions": {} if value is None else {"hostProcess": value}}

    spec = {**one(securityContext=context(of_container)), "securityContext": context(of_pod), "os": {"name": "windows"}}
    assert (judged({"privileged": False}, **spec) == "") is fine


def stored() -> Judge:
    """A policy as the API server has it."""
    item = {"name": "web", "namespaces": ["shop"], **EVERY_RULE}
    declared = declare(item, "", Context("enforce"))
    templates = ("ValidatingAdmissionPolicy", "web.templates.hardened.k8s")
    (found,) = (made for made in declared.objects if (made["kind"], made["metadata"]["name"]) == templates)
    return Stored(found, "2026-01-01").judge("shop")


@pytest.mark.parametrize("judge", [by_policy(EVERY_RULE, None), stored()], ids=["options", "stored"])
def test_pods_that_differ_by_node_and_token_are_judged_once(judge: Judge) -> None:
    pod = careful_pod("web", "shop")
    first, second = copy.deepcopy(pod["spec"]), copy.deepcopy(pod["spec"])
    for spec, node, token in ((first, "a", "kube-api-access-4x2zq"), (second, "b", "kube-api-access-qq9tt")):
        spec |= {"nodeName": node, "volumes": [{"name": token, "projected": {}}]}
        spec["containers"][0]["volumeMounts"] = [{"name": token, "mountPath": "/token"}]
    wrong = judge({}, first)
    assert wrong
    assert judge({}, second) is wrong


def differing(options: Fields, pods: t.Iterable[Fields]) -> list[tuple[str, Fields]]:
    """Rules and pods where the short question and the long answer do not agree."""
    found = []
    for rule in rules(options):
        for verdict in (rule.violations, rule.remaining):
            fine, wrong = compiled(cel.fine(verdict)), compiled(verdict.wrong)
            for asked in pods:
                scope = {
                    "spec": asked["spec"],
                    "annotations": asked["metadata"].get("annotations", {}),
                    "linux": asked["spec"].get("os") != {"name": "windows"},
                }
                if fine({"variables": scope}) is not (wrong({"variables": scope}) == []):
                    found.append((rule.name, asked))
    return found


def test_a_pod_is_fine_when_nothing_is_wrong_with_it() -> None:
    for case in CASES.values():
        specs = (
            [case.good, case.bad] if case.of_pod else [one(name, **f) for name in LISTS for f in (case.good, case.bad)]
        )
        assert not differing(case.options, [{"metadata": {}, "spec": spec} for spec in specs])
    pods = [pod(f"fine {seed}", "shop") for seed in range(300)]
    assert not differing(EVERY_RULE, pods)
    assert not differing({**EVERY_RULE, "default_seccomp_profile": None}, pods)


def test_defaults_are_asked_for_without_variables_but_for_what_literals_say() -> None:
    item = {"name": "p", "namespaces": ["shop"], "required_drop_capabilities": ["it's variables.spec"], "mutate": True}
    declared = declare(item, "", Context("enforce"))
    spec = next(made["spec"] for made in declared.objects if made["kind"] == "MutatingAdmissionPolicy")
    (condition,) = spec["matchConditions"]
    assert "variables" not in condition["expression"].replace("\\'s variables.spec'", "")
    assert condition["expression"].count("variables.spec") == len(LISTS)


def filling(name: str, first: int, **fields: t.Any) -> Fields:
    users = {"rule": "MustRunAs", "ranges": [{"min": first, "max": 5000}]}
    return {"name": name, "run_as_user": users, "required_drop_capabilities": ["ALL"], "mutate": True, **fields}


@pytest.mark.parametrize(
    ("one", "other", "refused", "told"),
    [
        (filling("a", 1000, namespaces=["shop"]), filling("b", 2000, namespaces=["shop", "web"]), True, False),
        (filling("a", 1000, namespaces=["shop"]), filling("b", 2000, namespaces=["web"]), False, False),
        (filling("a", 1000, namespaces=["shop"]), filling("b", 1000, namespaces=["shop"]), False, False),
        (filling("a", 1000, namespaces=["shop"]), filling("b", 2000, namespaces=["shop"], mutate=False), False, False),
        (filling("a", 1000, namespaces=["shop"]), filling("b", 2000, namespace_selector={}), False, True),
        (filling("a", 1000, namespace_selector={}), filling("b", 1000, namespace_selector={}), False, False),
    ],
)
def test_no_two_policies_fill_in_the_same_field_differently(
    one: Fields, other: Fields, refused: bool, told: bool
) -> None:
    declared = Declaration()
    for index, item in enumerate((one, other)):
        declared.merge(declare(item, f"policies[{index}]", Context("enforce")))
    assert [problem.item for problem in declared.problems] == ["policies[1]"] * refused
    assert [finding.rule for finding in declared.findings] == ["pod-security/two-defaults"] * told
    if refused:
        said = "fills in securityContext.runAsUser with 2000, a.defaults.hardened.k8s with 1000, both in shop"
        assert said in declared.problems[0].reason
