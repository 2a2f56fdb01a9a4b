# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Declarations that tests share: plausible tenants, as many as wanted."""

from __future__ import annotations

import typing as t

Tenant = dict[str, t.Any]


def tenant(name: str, **more: t.Any) -> Tenant:
    """A tenant of twelve objects: every topic, both directions of traffic."""
    return {
        "name": name,
        "pod_security": "restricted",
        "labels": {"team": "shop"},
        "quota": {"pods": 50, "requests.cpu": 4, "requests.memory": "8Gi", "limits.memory": "16384Mi"},
        "limits": {"default": {"cpu": "500m", "memory": "512Mi"}, "default_request": {"cpu": "100m"}},
        "service_accounts": [
            {"name": "web", "rules": [{"resources": ["configmaps"], "resource_names": ["web"], "verbs": ["get"]}]}
        ],
        "access": [{"group": "team-shop", "role": "view"}],
        "network": {
            "ingress": [{"to": {"app": "web"}, "from": [{"namespace": "ingress-nginx"}], "ports": [8080]}],
            "egress": [{"from": {"app": "web"}, "to": [{"cidr": "192.0.2.0/24"}], "ports": [5432]}],
        },
        **more,
    }


OBJECTS = 12


def pod(name: str, namespace: str, privileged: bool = False, **resources: t.Any) -> dict[str, t.Any]:
    """A pod, as the API takes it."""
    container: dict[str, t.Any] = {"name": "main", "image": "registry.example/main"}
    if privileged:
        container["securityContext"] = {"privileged": True}
    if resources:
        container["resources"] = resources
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
