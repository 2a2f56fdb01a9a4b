# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way to reach an API server that kubernetes.core has: each option, each variable."""

from __future__ import annotations

import json
import os
import stat
import typing as t
from pathlib import Path

import pytest

from tests.support.modules import run_module
from tests.support.proxy import FaultProxy
from tests.testbed.control_plane import AuditMark, ControlPlane

NOBODY = {"HOME": "/nonexistent", "KUBECONFIG": "/nonexistent/config"}


def reach(options: dict[str, t.Any], environ: dict[str, str] | None = None) -> None:
    """The module reads the cluster with these options and nothing else."""
    result = run_module("tenant_info", {"names": ["default"], **options}, environ={**NOBODY, **(environ or {})})
    assert not result.get("failed"), result["msg"]
    assert [tenant["name"] for tenant in result["tenants"]] == ["default"]


def seen_as(cluster: ControlPlane, mark: AuditMark) -> set[str]:
    """The users that this collection's requests came from since a mark, impersonation considered."""
    return {
        (event.get("impersonatedUser") or event["user"])["username"]
        for event in cluster.audit(mark)
        if event.get("userAgent", "").startswith("hardened.k8s")
    }


def test_a_kubeconfig_as_path_dictionary_and_text(cluster: ControlPlane) -> None:
    for kubeconfig in (str(cluster.kubeconfig), cluster.config, cluster.kubeconfig.read_text()):
        reach({"kubeconfig": kubeconfig})


def test_a_kubeconfig_by_variable_and_by_default(cluster: ControlPlane, tmp_path: Path) -> None:
    reach({}, {"K8S_AUTH_KUBECONFIG": str(cluster.kubeconfig)})
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(cluster.kubeconfig.read_text())
    reach({"kubeconfig": "~/.kube/config"}, {"HOME": str(tmp_path)})


def test_several_kubeconfigs_and_a_context(cluster: ControlPlane, tmp_path: Path) -> None:
    kinds = {"apiVersion": "v1", "kind": "Config"}
    whom = {**kinds, **{part: cluster.config[part] for part in ("clusters", "users")}}
    how = {**kinds, "contexts": cluster.config["contexts"]}
    paths = []
    for name, config in (("whom", whom), ("how", how)):
        paths.append(str(tmp_path / name))
        (tmp_path / name).write_text(json.dumps(config))
    both = os.pathsep.join(paths)
    context = cluster.config["current-context"]
    reach({"kubeconfig": both, "context": context})
    reach({"kubeconfig": both}, {"K8S_AUTH_CONTEXT": context})
    result = run_module("tenant_info", {"kubeconfig": both, "context": "missing"})
    assert "missing" in result["msg"]


def test_host_and_token(cluster: ControlPlane) -> None:
    options = {"host": cluster.server, "api_key": cluster.token, "ca_cert": str(cluster.authority)}
    reach(options)
    reach({**options, "ssl_ca_cert": options["ca_cert"]} | {"ca_cert": None})
    reach({}, {f"K8S_AUTH_{name.upper()}": value for name, value in options.items()})
    reach(
        {},
        {
            "K8S_AUTH_HOST": cluster.server,
            "K8S_AUTH_API_KEY": cluster.token,
            "K8S_AUTH_SSL_CA_CERT": options["ca_cert"],
        },
    )


def test_the_servers_certificate_is_verified_unless_told_otherwise(cluster: ControlPlane) -> None:
    options = {"host": cluster.server, "api_key": cluster.token}
    result = run_module("tenant_info", options)
    assert result["failed"]
    assert "certificate" in result["msg"]
    reach({**options, "validate_certs": False})
    reach({**options, "verify_ssl": False})
    reach(options, {"K8S_AUTH_VERIFY_SSL": "false"})


def test_a_client_certificate(cluster: ControlPlane, prefix: str) -> None:
    certificate, key = cluster.client_certificate(prefix, ["system:masters"])
    options = {
        "host": cluster.server,
        "ca_cert": str(cluster.authority),
        "client_cert": str(certificate),
        "client_key": str(key),
    }
    mark = cluster.audit_mark()
    reach(options)
    names = {"client_cert": "CERT_FILE", "client_key": "KEY_FILE"}
    reach({}, {f"K8S_AUTH_{names.get(name, name.upper())}": value for name, value in options.items()})
    assert seen_as(cluster, mark) == {prefix}


def test_an_exec_plugin(cluster: ControlPlane, tmp_path: Path) -> None:
    plugin = tmp_path / "login"
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": cluster.token},
    }
    plugin.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(credential)}\nEND\n")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    config = cluster.config
    config["users"][0]["user"] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "interactiveMode": "Never",
            "env": [{"name": "PASS", "value": "a-secret-of-the-plugin"}],
        }
    }
    reach({"kubeconfig": config})
    failed = run_module("tenant_info", {"kubeconfig": config, "names": ["a-secret-of-the-plugin"]})
    assert "a-secret-of-the-plugin" not in json.dumps(failed)


def test_a_service_account_inside_a_pod(
    cluster: ControlPlane, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubernetes.config import incluster_config

    cluster.kubectl("create", "namespace", prefix)
    cluster.kubectl("create", "serviceaccount", "runner", "-n", prefix)
    cluster.kubectl(
        "create", "clusterrolebinding", prefix, "--clusterrole=cluster-admin", f"--serviceaccount={prefix}:runner"
    )
    token = tmp_path / "token"
    token.write_text(cluster.kubectl("create", "token", "runner", "-n", prefix).strip())
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(cluster.authority))
    host, _colon, port = cluster.server.removeprefix("https://").partition(":")
    inside = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    mark = cluster.audit_mark()
    reach({}, inside)
    assert seen_as(cluster, mark) == {f"system:serviceaccount:{prefix}:runner"}
    # it does not restrict the namespace that it lives in
    options = {"namespaces": [{"name": prefix, "pod_security": "restricted"}]}
    result = run_module("namespace", options, environ={**NOBODY, **inside})
    assert result["failed"]
    assert "that this call itself runs in" in result["msg"]


def test_impersonation(cluster: ControlPlane, prefix: str) -> None:
    options = {"kubeconfig": cluster.config, "impersonate_user": prefix}
    mark = cluster.audit_mark()
    reach({**options, "impersonate_groups": ["one", "system:masters"]})
    environ = {"K8S_AUTH_IMPERSONATE_USER": prefix, "K8S_AUTH_IMPERSONATE_GROUPS": "one,system:masters"}
    reach({"kubeconfig": cluster.config}, environ)
    assert seen_as(cluster, mark) == {prefix}
    assert "forbidden" in run_module("tenant_info", options)["msg"]


def test_a_tls_server_name(cluster: ControlPlane) -> None:
    """A client older than 28.1 knows only the host's name, and goes on asking for that."""
    from kubernetes.client import Configuration

    known = hasattr(Configuration(), "tls_server_name")
    config = cluster.config
    details = config["clusters"][0]["cluster"]
    details["server"] = details["server"].replace("127.0.0.1", "127.0.0.2")
    refused = run_module("tenant_info", {"kubeconfig": config})
    assert refused["failed"]
    details["server"] = cluster.server
    details["tls-server-name"] = "kubernetes.default.svc"
    reach({"kubeconfig": config})
    details["tls-server-name"] = "elsewhere.example"
    answer = run_module("tenant_info", {"kubeconfig": config})
    assert ("certificate" in answer.get("msg", "")) is known


def test_an_http_proxy_and_its_exceptions(cluster: ControlPlane) -> None:
    with FaultProxy(cluster) as proxy:
        target = proxy.config["clusters"][0]["cluster"]["server"]
        # a plain proxy is asked for absolute URLs, which this one takes as paths of its own server
        options = {"host": "http://api.example", "api_key": cluster.token, "proxy": target}
        result = run_module("tenant_info", options)
        assert proxy.counts, f"the proxy was asked: {result.get('msg')}"
        proxy.counts.clear()
        reach({"kubeconfig": cluster.config, "proxy": target, "no_proxy": "127.0.0.1"})
        assert not proxy.counts


def test_basic_authentication_and_proxy_headers_are_sent_and_not_shown(cluster: ControlPlane) -> None:
    options = {
        "host": cluster.server,
        "validate_certs": False,
        "username": "someone",
        "password": "not-to-be-shown",
        "proxy_headers": {"proxy_basic_auth": "proxy:not-this-either", "user_agent": "x"},
    }
    result = run_module("tenant_info", {**options, "label_selector": "not-to-be-shown"})
    assert result["failed"]
    assert "not-to-be-shown" not in json.dumps(result)
    assert "not-this-either" not in json.dumps(result)
