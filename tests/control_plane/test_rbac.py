# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the checks of rights take for granted, tried on an API server."""

from __future__ import annotations

import json
import ssl
import typing as t
import urllib.error
import urllib.request

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.checks import rbac
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import api_resources

from tests.control_plane.conftest import Runner
from tests.support.admission import until
from tests.testbed.control_plane import ControlPlane

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one"}, "stringData": {"password": "hunter2"}}
_LABEL = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}


class Ask(t.Protocol):
    def __call__(self, method: str, path: str, body: t.Any = None, kind: str = "merge-patch+json") -> str: ...


def discovered(cluster: ControlPlane) -> t.Iterator[tuple[str, str, bool, set[str]]]:
    """Group, resource, whether it has a namespace, and verbs of everything that the API server serves."""
    for path in ("/api", "/apis"):
        context = ssl.create_default_context(cafile=str(cluster.authority))
        headers = {"Authorization": f"Bearer {cluster.token}", "Accept": _AGGREGATED}
        with urllib.request.urlopen(
            urllib.request.Request(cluster.server + path, headers=headers), context=context
        ) as r:
            groups = json.load(r)["items"]
        for group in groups:
            for version in group["versions"]:
                for resource in version["resources"]:
                    name, namespaced = resource["resource"], resource["scope"] == "Namespaced"
                    yield group["metadata"].get("name", ""), name, namespaced, set(resource["verbs"])
                    for below in resource.get("subresources", ()):
                        sub = f"{name}/{below['subresource']}"
                        yield group["metadata"].get("name", ""), sub, namespaced, set(below["verbs"])


def test_every_resource_is_known(cluster: ControlPlane) -> None:
    served = list(discovered(cluster))
    assert len(served) > 100
    for group, resource, namespaced, verbs in served:
        known = api_resources.find(group, resource)
        assert known is not None, (group, resource)
        assert known.namespaced == namespaced, (group, resource)
        assert verbs <= known.verbs, (group, resource)


@pytest.fixture
def ask(cluster: ControlPlane, run: Runner, prefix: str) -> t.Callable[..., Ask]:
    """Gives a rule to a user of a new namespace with a Secret in it, and lets the user ask."""
    run("namespace", namespaces=[{"name": prefix}])
    cluster.request("POST", f"/api/v1/namespaces/{prefix}/secrets", _SECRET)

    def given(resources: str, verbs: str, names: str = "") -> Ask:
        rule = {"resources": resources.split(), "verbs": verbs.split()}
        rules = [{**rule, **({"resource_names": names.split()} if names else {})}]
        subjects = [{"user": prefix}]
        bound = {"name": "r", "namespace": prefix}
        run(
            "rbac",
            roles=[{**bound, "rules": rules}],
            bindings=[{**bound, "role": "r", "subjects": subjects}],
            stage="warn",
        )
        resource, _slash, subresource = rule["resources"][0].partition("/")
        attributes = {"namespace": prefix, "resource": resource, "subresource": subresource, "verb": rule["verbs"][0]}
        review = {"spec": {"user": prefix, "resourceAttributes": {**attributes, "name": names.partition(" ")[0]}}}
        # the API server takes a moment to take notice
        until(lambda: cluster.request("POST", _REVIEWS, review)["status"]["allowed"])

        def call(method: str, path: str, body: t.Any = None, kind: str = "merge-patch+json") -> str:
            asked = urllib.request.Request(
                f"{cluster.server}/api/v1/namespaces/{prefix}{path}",
                json.dumps(body).encode() if body is not None else None,
                {
                    "Authorization": f"Bearer {cluster.token}",
                    "Impersonate-User": prefix,
                    "Content-Type": f"application/{kind}",
                },
                method=method,
            )
            context = ssl.create_default_context(cafile=str(cluster.authority))
            try:
                with urllib.request.urlopen(asked, context=context) as answer:
                    return str(answer.read().decode())
            except urllib.error.HTTPError as error:
                return f"{error.code} {error.read().decode()}"

        return call

    return given


@pytest.mark.parametrize(
    ("verb", "method", "path", "body"),
    [
        ("get", "GET", "/secrets/one", None),
        ("list", "GET", "/secrets", None),
        ("patch", "PATCH", "/secrets/one?dryRun=All", {}),
        ("deletecollection", "DELETE", "/secrets?dryRun=All", None),
    ],
)
def test_each_of_these_reads_secrets(ask: t.Callable[..., Ask], verb: str, method: str, path: str, body: t.Any) -> None:
    answer = ask("secrets", verb)(method, path, body)
    assert "aHVudGVyMg==" in answer  # hunter2
    assert verb in rbac.SHOWS_SECRETS


def test_delete_does_not(ask: t.Callable[..., Ask]) -> None:
    answer = ask("secrets", "delete")("DELETE", "/secrets/one?dryRun=All")
    assert '"Success"' in answer
    assert "aHVudGVyMg==" not in answer


def test_names_narrow_list_but_not_deletecollection(ask: t.Callable[..., Ask]) -> None:
    call = ask("secrets", "list deletecollection", "one")
    assert "aHVudGVyMg==" in call("GET", "/secrets?fieldSelector=metadata.name%3Done")
    assert call("GET", "/secrets").startswith("403")
    assert call("GET", "/secrets?fieldSelector=metadata.name%3Dtwo").startswith("403")
    assert call("DELETE", "/secrets?fieldSelector=metadata.name%3Done").startswith("403")


def test_create_has_a_name_in_server_side_apply_alone(ask: t.Callable[..., Ask]) -> None:
    call = ask("configmaps", "create patch", "named")
    found = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "named"}}
    assert call("POST", "/configmaps", found, "json").startswith("403")
    applied = call("PATCH", "/configmaps/named?fieldManager=test", found, "apply-patch+yaml")
    assert '"name":"named"' in applied


@pytest.mark.parametrize(
    ("resource", "verb", "path"),
    [
        ("namespaces", "patch", ""),
        ("namespaces/status", "patch", "/status"),
        ("namespaces/finalize", "update", "/finalize"),
    ],
)
def test_a_role_changes_labels_of_its_namespace(
    cluster: ControlPlane, ask: t.Callable[..., Ask], prefix: str, resource: str, verb: str, path: str
) -> None:
    assert resource in rbac.NAMESPACES
    body = _LABEL if verb == "patch" else {**cluster.get(f"/api/v1/namespaces/{prefix}")}
    if verb == "update":
        body["metadata"]["labels"].update(_LABEL["metadata"]["labels"])
    call = ask(resource, verb)
    call("PATCH", path, body) if verb == "patch" else call("PUT", path, body, "json")
    labels = cluster.get(f"/api/v1/namespaces/{prefix}")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"


def test_making_and_reading_a_secret_is_having_a_token(ask: t.Callable[..., Ask]) -> None:
    """With one name for all of it; the token controller fills the Secret in."""
    call = ask("secrets", "create patch", "minted")
    found = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "minted", "annotations": {"kubernetes.io/service-account.name": "default"}},
    }
    for _attempt in range(100):
        answer = call("PATCH", "/secrets/minted?fieldManager=test", found, "apply-patch+yaml")
        if '"token"' in answer:
            return
    pytest.fail(answer)


def test_star_is_no_part_of_a_resource(cluster: ControlPlane, ask: t.Callable[..., Ask], prefix: str) -> None:
    def may(resource: str) -> bool:
        spec = {
            "user": prefix,
            "resourceAttributes": {"namespace": prefix, "verb": "create", "resource": "pods", "subresource": "exec"},
        }
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        ask(resource, "create")
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(cluster.request("POST", path, body)["status"]["allowed"])

    assert not may("pods/*")
    assert may("*/exec")
