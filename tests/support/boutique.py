# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Online Boutique: who calls whom, what each service needs, and pods that stand in for them.

The facts are read off the shop's own manifests (GoogleCloudPlatform/microservices-demo, folders
kubernetes-manifests and kustomize/components/network-policies), not off the example.

``python3 -m tests.support.boutique IMAGE`` prints the pods for kubectl.
"""

from __future__ import annotations

import json
import sys
import typing as t

import yaml

from tests.gates.environment import ROOT

Manifest = dict[str, t.Any]
#: Caller, callee, the callee's container port.
Call = tuple[str, str, int]

EXAMPLE_FILE = ROOT / "playbooks" / "examples" / "online_boutique.yml"
EXAMPLE: t.Final = yaml.safe_load(EXAMPLE_FILE.read_text())

CALLS: set[Call] = {
    ("loadgenerator", "frontend", 8080),
    ("frontend", "adservice", 9555),
    ("frontend", "cartservice", 7070),
    ("frontend", "checkoutservice", 5050),
    ("frontend", "currencyservice", 7000),
    ("frontend", "productcatalogservice", 3550),
    ("frontend", "recommendationservice", 8080),
    ("frontend", "shippingservice", 50051),
    ("recommendationservice", "productcatalogservice", 3550),
    ("checkoutservice", "cartservice", 7070),
    ("checkoutservice", "currencyservice", 7000),
    ("checkoutservice", "emailservice", 8080),
    ("checkoutservice", "paymentservice", 50051),
    ("checkoutservice", "productcatalogservice", 3550),
    ("checkoutservice", "shippingservice", 50051),
    ("cartservice", "redis-cart", 6379),
}
SERVICES = {service for caller, callee, _port in CALLS for service in (caller, callee)}
#: The port that a service listens on; nobody asks the load generator.
PORTS = {callee: port for _caller, callee, port in CALLS}
#: Where the port of the Service is another one than its container's.
SERVICE_PORTS = {**PORTS, "emailservice": 5000, "frontend": 80}
#: A port that every stand-in listens on too, and that no policy opens.
HIDDEN_PORT = 9999

#: Of each service's containers: CPU and memory requested, and their limits.
_USUAL = ("100m", "64Mi", "200m", "128Mi")
RESOURCES = {
    **dict.fromkeys(SERVICES, _USUAL),
    "adservice": ("200m", "180Mi", "300m", "300Mi"),
    "cartservice": ("200m", "64Mi", "300m", "128Mi"),
    "loadgenerator": ("300m", "256Mi", "500m", "512Mi"),
    "recommendationservice": ("100m", "220Mi", "200m", "450Mi"),
    "redis-cart": ("70m", "200Mi", "125m", "256Mi"),
}

#: Where each service lives: the namespace that declares its service account.
HOMES: dict[str, str] = {
    account["name"]: tenant["name"] for tenant in EXAMPLE["cluster_tenants"] for account in tenant["service_accounts"]
}


def pods(image: str) -> list[Manifest]:
    """Deployments and Services of stand-ins, which level ``restricted`` admits.

    :param image: what stands in for every service, see ``tests/testbed/go/boutique``.
    """
    manifests = [_deployment(name, image) for name in sorted(SERVICES)]
    return [*manifests, *(_service(name, SERVICE_PORTS[name]) for name in sorted(PORTS))]


def as_list(manifests: t.Sequence[Manifest]) -> str:
    """What ``kubectl apply --filename -`` takes."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})


def address(callee: str) -> str:
    """As the shop's own variables have it, with the namespace."""
    return f"{callee}.{HOMES[callee]}:{SERVICE_PORTS[callee]}"


def _deployment(name: str, image: str) -> Manifest:
    labels = {"app": name}
    cpu_request, memory_request, cpu, memory = RESOURCES[name]
    environ = {"SERVICE": name}
    environ |= {
        f"{callee.upper().replace('-', '_')}_ADDR": address(callee)
        for caller, callee, _port in sorted(CALLS)  # the same text in every process
        if caller == name
    }
    environ |= {"PORT": str(PORTS[name])} if name in PORTS else {"CLIENT": "true"}
    container = {
        "name": "server",
        "image": image,
        "env": [{"name": key, "value": value} for key, value in environ.items()],
        "resources": {
            "requests": {"cpu": cpu_request, "memory": memory_request},
            "limits": {"cpu": cpu, "memory": memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    if name in PORTS:
        container |= {
            "ports": [{"containerPort": PORTS[name]}],
            "readinessProbe": {"tcpSocket": {"port": PORTS[name]}, "periodSeconds": 1},
        }
    spec = {
        "serviceAccountName": name,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": HOMES[name], "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def _service(name: str, port: int) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": HOMES[name], "labels": {"app": name}},
        "spec": {"selector": {"app": name}, "ports": [{"port": port, "targetPort": PORTS[name]}]},
    }


if __name__ == "__main__":
    print(as_list(pods(sys.argv[1])))
