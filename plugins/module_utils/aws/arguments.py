# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of every AWS module. Those of the connection, and their environment variables, are amazon.aws's own."""

from __future__ import annotations

from ansible.module_utils.basic import env_fallback
from ansible_collections.hardened.k8s.plugins.module_utils.arguments import Spec
from ansible_collections.hardened.k8s.plugins.module_utils.findings import STAGES

CONNECTION: Spec = {
    "access_key": {
        "type": "str",
        "aliases": ["aws_access_key_id", "aws_access_key"],
        "fallback": (env_fallback, ["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"]),
        "no_log": False,  # it is a name; the secret is the next one
    },
    "secret_key": {
        "type": "str",
        "aliases": ["aws_secret_access_key", "aws_secret_key"],
        "fallback": (env_fallback, ["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"]),
        "no_log": True,
    },
    "session_token": {
        "type": "str",
        "aliases": ["aws_session_token"],
        "fallback": (env_fallback, ["AWS_SESSION_TOKEN"]),
        "no_log": True,
    },
    "profile": {
        "type": "str",
        "aliases": ["aws_profile"],
        "fallback": (env_fallback, ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]),
    },
    "region": {
        "type": "str",
        "aliases": ["aws_region"],
        "fallback": (env_fallback, ["AWS_REGION", "AWS_DEFAULT_REGION"]),
    },
    "endpoint_url": {"type": "str", "aliases": ["aws_endpoint_url"], "fallback": (env_fallback, ["AWS_URL"])},
    "aws_ca_bundle": {"type": "path", "fallback": (env_fallback, ["AWS_CA_BUNDLE"])},
    "validate_certs": {"type": "bool", "default": True},
    "aws_config": {"type": "dict"},
    "debug_botocore_endpoint_logs": {
        "type": "bool",
        "default": False,
        "fallback": (env_fallback, ["ANSIBLE_DEBUG_BOTOCORE_LOGS"]),
    },
}


def harden() -> Spec:
    """The options of every AWS module."""
    return {
        **CONNECTION,
        "stage": {"type": "str", "choices": list(STAGES), "default": "enforce"},
        "accept": {"type": "list", "elements": "dict", "default": []},
        "workers": {"type": "int", "default": 8},
    }


def roles(owner: str) -> Spec:
    """The options of the modules for roles.

    :param owner: the default owner, the module's own name.
    """
    return {
        **harden(),
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "owner": {"type": "str", "default": owner},
        "force_conflicts": {"type": "bool", "default": False},
    }
