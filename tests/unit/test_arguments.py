# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options: completed from the environment, checked item by item, secrets known."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils import arguments
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import quota, rbac


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("K8S_AUTH_"):
            monkeypatch.delenv(name)


# -- connection options


def test_without_options_and_environment_nothing_is_given() -> None:
    headers = {"proxy_basic_auth": None, "basic_auth": None, "user_agent": None}
    expected = {**dict.fromkeys(arguments.CONNECTION), "proxy_headers": headers}
    assert arguments.connection({}) == expected


@pytest.mark.parametrize(
    ("variable", "text", "option", "value"),
    [
        ("K8S_AUTH_HOST", "https://192.0.2.1:6443", "host", "https://192.0.2.1:6443"),
        ("K8S_AUTH_API_KEY", "t0ken", "api_key", "t0ken"),
        ("K8S_AUTH_CONTEXT", "prod", "context", "prod"),
        ("K8S_AUTH_KUBECONFIG", "config", "kubeconfig", "config"),
        ("K8S_AUTH_VERIFY_SSL", "false", "validate_certs", False),
        ("K8S_AUTH_VERIFY_SSL", "No", "validate_certs", False),
        ("K8S_AUTH_VERIFY_SSL", "0", "validate_certs", False),
        ("K8S_AUTH_VERIFY_SSL", "yes", "validate_certs", True),
        ("K8S_AUTH_VALIDATE_CERTS", "true", "validate_certs", True),
        ("K8S_AUTH_SSL_CA_CERT", "ca.crt", "ca_cert", "ca.crt"),
        ("K8S_AUTH_CERT_FILE", "c.crt", "client_cert", "c.crt"),
        ("K8S_AUTH_KEY_FILE", "c.key", "client_key", "c.key"),
        ("K8S_AUTH_CA_CERT", "~/ca.crt", "ca_cert", str(Path.home() / "ca.crt")),
        ("K8S_AUTH_IMPERSONATE_GROUPS", "dev,,ops", "impersonate_groups", ["dev", "ops"]),
    ],
)
def test_the_environment_completes_what_is_not_given(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, option: str, value: t.Any
) -> None:
    monkeypatch.setenv(variable, text)
    assert arguments.connection({})[option] == value
    assert arguments.connection({option: [] if isinstance(value, list) else None})[option] == value


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("host", "https://a"),
        ("validate_certs", False),
        ("persist_config", False),
        ("impersonate_groups", ["a"]),
    ],
)
def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, option: str, value: t.Any) -> None:
    monkeypatch.setenv(f"K8S_AUTH_{option.upper()}", "true")
    assert arguments.connection({option: value})[option] == value


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_AUTH_VERIFY_SSL", "")
    monkeypatch.setenv("K8S_AUTH_HOST", "")
    options = arguments.connection({})
    assert (options["validate_certs"], options["host"]) == (None, None)


def test_proxy_headers_are_completed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_AUTH_PROXY_HEADERS_BASIC_AUTH", "env:env")
    monkeypatch.setenv("K8S_AUTH_PROXY_HEADERS_USER_AGENT", "env")
    headers = arguments.connection({"proxy_headers": {"user_agent": "given"}})["proxy_headers"]
    assert headers == {"proxy_basic_auth": None, "basic_auth": "env:env", "user_agent": "given"}


CONFIG = {"kind": "Config", "users": [{"name": "ann", "user": {"token": "hunter2"}}]}


@pytest.mark.parametrize("text", [json.dumps(CONFIG), "\n" + json.dumps(CONFIG), json.dumps(CONFIG, indent=1)])
def test_a_kubeconfig_given_as_text_is_its_content(text: str) -> None:
    assert arguments.connection({"kubeconfig": text})["kubeconfig"] == CONFIG


@pytest.mark.parametrize("text", ["a\nb", "{", "- a\n- b\n", "a: [\n"])
def test_text_that_is_no_kubeconfig_is_an_empty_one(text: str) -> None:
    assert arguments.connection({"kubeconfig": text})["kubeconfig"] == {}


# -- secrets


SECRETS = [
    ({"api_key": "a1"}, {"a1"}),
    ({"password": "b2", "username": "ann"}, {"b2"}),
    ({"proxy_headers": {"basic_auth": "c3", "user_agent": None}}, {"c3"}),
    ({"kubeconfig": CONFIG}, {"hunter2"}),
    (
        {"kubeconfig": {"users": [{"user": {"client-key-data": "d4", "client-certificate-data": "public"}}]}},
        {"d4"},
    ),
    (
        {
            "kubeconfig": {
                "users": [
                    {"user": {"exec": {"command": "login", "env": [{"name": "PASSWORD", "value": "e5"}]}}},
                    {"user": {"auth-provider": {"config": {"refresh-token": "f6", "client-id": "web"}}}},
                ]
            }
        },
        {"e5", "f6"},
    ),
    ({"kubeconfig": "config", "api_key": None, "password": ""}, set()),
    ({}, set()),
]


@pytest.mark.parametrize(("options", "expected"), SECRETS)
def test_secrets_are_found_and_nothing_else_is(options: dict[str, t.Any], expected: set[str]) -> None:
    assert arguments.secrets(options) == expected


def test_secrets_from_the_environment_are_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_AUTH_API_KEY", "a1")
    monkeypatch.setenv("K8S_AUTH_PASSWORD", "b2")
    assert arguments.secrets(arguments.connection({})) == {"a1", "b2"}


def test_every_option_that_ansible_hides_is_a_secret_here() -> None:
    """``no_log`` in the argument spec and secrets() agree."""
    hidden = {name for name, spec in arguments.CONNECTION.items() if spec.get("no_log")} - {"kubeconfig"}
    assert arguments.secrets({name: f"secret {name}" for name in hidden}) == {f"secret {name}" for name in hidden}


# -- what was declared

_NESTED: dict[str, t.Any] = {
    "name": {"type": "str"},
    "labels": {"type": "dict"},
    "rules": {
        "type": "list",
        "elements": "dict",
        "options": {"verbs": {"type": "list"}, "names": {"type": "list"}},
    },
    "limits": {"type": "dict", "options": {"max": {"type": "dict"}, "min": {"type": "dict"}}},
}


def test_options_that_are_none_were_not_declared_at_any_depth() -> None:
    nothing = dict.fromkeys(_NESTED)
    assert arguments.declared(nothing, _NESTED) == {}
    item = {
        **nothing,
        "rules": [{"verbs": ["get"], "names": None}],
        "limits": {"max": {"cpu": "1"}, "min": None},
    }
    assert arguments.declared(item, _NESTED) == {
        "rules": [{"verbs": ["get"]}],
        "limits": {"max": {"cpu": "1"}},
    }


@pytest.mark.parametrize(
    "item", [{"name": ""}, {"labels": {}}, {"rules": []}, {"rules": [{"verbs": []}]}, {"limits": {"max": {}}}]
)
def test_what_is_empty_was_declared(item: dict[str, t.Any]) -> None:
    assert arguments.declared(item, _NESTED) == item


def test_none_under_a_key_of_the_users_own_is_left_for_the_manifests_to_refuse() -> None:
    item = {"labels": {"team": None}, "limits": {"max": {"cpu": None}}}
    assert arguments.declared(item, _NESTED) == item


# -- items


def test_a_good_item_has_its_types_and_only_what_was_declared() -> None:
    item, errors = arguments.ItemChecker(rbac.SERVICE_ACCOUNT_SPEC).check(
        {"name": "web", "namespace": "shop", "automount": "yes", "roles": "reader"}
    )
    assert errors == []
    assert item == {"name": "web", "namespace": "shop", "automount": True, "roles": ["reader"]}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({}, "missing required arguments: namespace"),
        ({"namespace": "a", "qouta": {}}, "unknown option qouta"),
        ({"namespace": "a", "stage": "on"}, "value of stage must be one of: observe, warn, enforce"),
        ({"namespace": "a", "quotas": [{"name": "x"}]}, "missing required arguments: hard found in quotas"),
        (
            {"namespace": "a", "quotas": [{"name": "x", "hard": {}, "scope": []}]},
            "unknown option quotas.scope",
        ),
        ({"namespace": "a", "quota": "much"}, "quota"),
    ],
)
def test_what_is_wrong_with_an_item_is_named(item: dict[str, t.Any], expected: str) -> None:
    checked, errors = arguments.ItemChecker(quota.SPEC).check(item)
    assert checked == {}
    assert expected in "\n".join(errors)


def test_checking_leaves_what_was_given_as_it_was() -> None:
    given_item = {"namespace": "a", "quotas": [{"name": "x", "hard": {"pods": 1}, "scopes": "BestEffort"}]}
    before = json.dumps(given_item)
    arguments.ItemChecker(quota.SPEC).check(given_item)
    assert json.dumps(given_item) == before


def test_modules_share_their_options_and_differ_in_owner_alone() -> None:
    one, two = arguments.harden("rbac"), arguments.harden("tenant")
    assert (one.pop("owner")["default"], two.pop("owner")["default"]) == ("rbac", "tenant")
    assert one == two
    assert set(arguments.CONNECTION) <= set(one)
