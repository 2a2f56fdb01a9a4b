# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that the modules share, and the checking of list items one by one.

Connection options and their environment variables are named as in kubernetes.core, so that playbooks and
``module_defaults`` written for it work unchanged.
"""

from __future__ import annotations

import os
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.hardened.k8s.plugins.module_utils.findings import STAGES

Spec = t.Dict[str, t.Any]

_PROXY_HEADERS: Spec = {
    "proxy_basic_auth": {"type": "str", "no_log": True},
    "basic_auth": {"type": "str", "no_log": True},
    "user_agent": {"type": "str"},
}

CONNECTION: Spec = {
    "kubeconfig": {"type": "raw", "no_log": True},
    "context": {"type": "str"},
    "host": {"type": "str"},
    "api_key": {"type": "str", "no_log": True},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "validate_certs": {"type": "bool", "aliases": ["verify_ssl"]},
    "ca_cert": {"type": "path", "aliases": ["ssl_ca_cert"]},
    "client_cert": {"type": "path", "aliases": ["cert_file"]},
    "client_key": {"type": "path", "aliases": ["key_file"]},
    "proxy": {"type": "str"},
    "no_proxy": {"type": "str"},
    "proxy_headers": {"type": "dict", "options": _PROXY_HEADERS},
    "persist_config": {"type": "bool"},
    "impersonate_user": {"type": "str"},
    "impersonate_groups": {"type": "list", "elements": "str"},
}


def harden(owner: str) -> Spec:
    """The options of every module that writes.

    :param owner: the default owner, the module's own name: two modules never prune each other's objects.
    """
    return {
        **CONNECTION,
        "state": {"type": "str", "choices": ["present", "absent", "rendered"], "default": "present"},
        "stage": {"type": "str", "choices": list(STAGES), "default": "enforce"},
        "owner": {"type": "str", "default": owner},
        "prune": {"type": "bool", "default": False},
        "accept": {"type": "list", "elements": "dict", "default": []},
        "allow_system": {"type": "list", "elements": "str", "default": []},
        "force_conflicts": {"type": "bool", "default": False},
        "workers": {"type": "int", "default": 8},
        "wait_timeout": {"type": "int", "default": 120},
    }


def _from_environment(option: str, spec: t.Mapping[str, t.Any]) -> t.Any:
    names = [option, *spec.get("aliases", ())]
    text = next((v for v in (os.environ.get(f"K8S_AUTH_{name.upper()}") for name in names) if v), None)
    if text is None:
        return None
    if spec["type"] == "bool":
        return text.lower() not in ("0", "false", "no")
    if spec["type"] == "list":
        return [part for part in text.split(",") if part]
    return os.path.expanduser(text) if spec["type"] == "path" else text


def connection(params: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """The connection options given, completed from ``K8S_AUTH_*``."""
    options = {}
    for option, spec in CONNECTION.items():
        value = params.get(option)
        if option == "proxy_headers":
            given = value or {}
            value = {
                name: given.get(name) or os.environ.get(f"K8S_AUTH_PROXY_HEADERS_{name.upper()}")
                for name in _PROXY_HEADERS
            }
        elif value in (None, "", []):
            value = _from_environment(option, spec)
        options[option] = value
    options["kubeconfig"] = _content(options["kubeconfig"])
    return options


def _content(kubeconfig: t.Any) -> t.Any:
    """A kubeconfig given as text rather than as a path or dictionary, as a lookup returns it."""
    if not isinstance(kubeconfig, str) or not ("\n" in kubeconfig or kubeconfig.lstrip().startswith("{")):
        return kubeconfig
    try:
        import yaml
    except ImportError:
        return {}  # it comes with kubernetes, whose absence is told when it is imported
    try:
        parsed = yaml.safe_load(kubeconfig)
    except yaml.YAMLError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {}


_SECRET_KEYS = frozenset(
    ["access-token", "client-key-data", "client-secret", "id-token", "password", "refresh-token", "token"]
)


def secrets(options: t.Mapping[str, t.Any]) -> t.Set[str]:
    """Every secret inside the connection options, and nothing else of them, for ``no_log``.

    Ansible would hide each value of a kubeconfig dictionary, and so every ``v1`` in a result.
    """
    found = {options.get("api_key"), options.get("password"), *(options.get("proxy_headers") or {}).values()}

    def walk(value: t.Any, secret: bool = False) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                # the environment of an exec plugin may be anything
                walk(item, secret or key in _SECRET_KEYS or (key == "value" and "name" in value))
        elif isinstance(value, list):
            for item in value:
                walk(item, secret)
        elif secret:
            found.add(str(value))

    walk(options.get("kubeconfig"))
    return {text for text in found if text}


def declared(value: t.Any, spec: t.Mapping[str, t.Any]) -> t.Any:
    """An item without the options that are None, which is how Ansible says that nothing was declared.

    Dictionaries of the user's own keys (labels, quantities) keep theirs: there, None is a mistake to be told.
    """
    return {option: _within(item, spec[option].get("options")) for option, item in value.items() if item is not None}


def _within(item: t.Any, options: t.Optional[Spec]) -> t.Any:
    if not options:
        return item
    return [declared(entry, options) for entry in item] if isinstance(item, list) else declared(item, options)


def misshapen(item: t.Mapping[t.Any, t.Any], spec: Spec, path: str = "") -> t.Iterator[str]:
    """Where an item has something else than the dictionary, or list of dictionaries, that has options of its own.

    Ansible's validator takes that for granted, and ends in a traceback.
    """
    for option, rules in spec.items():
        below, value = rules.get("options"), item.get(option)
        if not below or value is None:
            continue
        place = f"{path}{option}"
        if rules["type"] == "dict":
            value = [value]
        elif not isinstance(value, list):
            yield f"{place}: {value!r} is no list"
            continue
        for index, entry in enumerate(value):
            inner = place if rules["type"] == "dict" else f"{place}[{index}]"
            if isinstance(entry, dict):
                yield from misshapen(entry, below, f"{inner}.")
            else:
                yield f"{inner}: {entry!r} is no dictionary of options"


class ItemChecker:
    """Checks items against an argument spec, so that one bad item does not stop the others."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._validator = ArgumentSpecValidator(spec)

    def check(self, item: t.Any) -> t.Tuple[t.Dict[str, t.Any], t.List[str]]:
        """The item with types converted, and what is wrong with it."""
        wrong = list(misshapen(item, self._spec))
        if wrong:
            return {}, wrong
        result = self._validator.validate(item)
        errors = [_readable(text) for text in result.error_messages]
        return ({} if errors else declared(result.validated_parameters, self._spec)), errors


def _readable(text: str) -> str:
    """Ansible's message for an option that does not exist begins with its bare name."""
    return f"unknown option {text}" if "Supported parameters include" in text else text
