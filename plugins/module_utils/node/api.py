# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API server as a node itself may ask it: by its kubelet's own certificate, which is allowed no more than that."""

from __future__ import annotations

import base64
import json
import os
import re
import ssl
import tempfile
import typing as t
import urllib.error
import urllib.request

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.node import kubelet
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node

_SECONDS = 15


class Api:
    """The API server.

    :raises HardenedError: the node has no kubeconfig of its own that can be read.
    """

    def __init__(self, node: Node) -> None:
        settings = node.text(kubelet.kubeconfig_path(node))
        self._server = _value(settings, "server")
        if not self._server:
            raise HardenedError("kubelet has no kubeconfig with a server in it")
        try:
            context = ssl.create_default_context(cadata=_authority(node, settings))
            _identify(node, settings, context)
        except (OSError, ValueError) as error:  # no base64, no PEM, no certificate, or not there
            raise HardenedError(f"kubelet's certificates cannot be used: {error}") from error
        self._open = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        self._node, self._settings = node, settings
        self._given = _value(settings, "token")

    def request(self, method: str, path: str, body: t.Any = None, kind: str = "application/json") -> t.Any:
        """:raises HardenedError: what it answers instead."""
        headers = {"Accept": "application/json", "Content-Type": kind}
        token = self.token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._server}{path}", data=data, headers=headers, method=method)
        try:
            with self._open.open(request, timeout=_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise HardenedError(f"the API server answers {error.code} to {method} {path}") from error
        except (OSError, ValueError) as error:
            raise HardenedError(f"the API server at {self._server} does not answer: {error}") from error

    def token(self) -> str:
        """What it is asked with besides a certificate; a program that gives it is called once.

        :raises HardenedError: there is such a program, and it gives none.
        """
        if not self._given:
            self._given = _asked_for(self._node, self._settings)
        return self._given

    def name(self) -> str:
        """The node's own, as the API server reads it in the certificate."""
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = self.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", kind)
        user = str(answer["status"]["userInfo"]["username"])
        if not user.startswith("system:node:"):
            raise HardenedError(f"kubelet's certificate is {user}'s, which is no node")
        return user[len("system:node:") :]

    def node(self) -> t.Dict[str, t.Any]:
        """This node's object."""
        found: t.Dict[str, t.Any] = self.request("GET", f"/api/v1/nodes/{self.name()}")
        return found

    def pods(self) -> t.List[t.Dict[str, t.Any]]:
        """The pods that are this node's, whether they run or not."""
        found = self.request("GET", f"/api/v1/pods?fieldSelector=spec.nodeName%3D{self.name()}")
        return list(found["items"])

    def label(self, labels: t.Mapping[str, t.Optional[str]]) -> None:
        """Set labels of this node; None takes one away."""
        body = {"metadata": {"labels": dict(labels)}}
        self.request("PATCH", f"/api/v1/nodes/{self.name()}", body, "application/merge-patch+json")


def heartbeat(node: Node) -> t.Optional[t.Tuple[bool, str]]:
    """Whether the API server has this node as Ready, and when its kubelet last renewed its lease; None: it cannot be asked."""
    try:
        server = Api(node)
        about = server.node()
        lease = server.request(
            "GET", f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{about['metadata']['name']}"
        )
    except HardenedError:
        return None
    conditions = {item["type"]: item["status"] for item in about["status"].get("conditions", ())}
    return conditions.get("Ready") == "True", str(lease["spec"].get("renewTime"))


def ended(node: Node, uids: t.AbstractSet[str]) -> t.Set[str]:
    """Those of some pods that are done, or that nobody wants any more."""
    try:
        there = {uid(pod): pod for pod in Api(node).pods()}
    except HardenedError:
        return set()
    return {
        known
        for known in uids
        if known not in there
        or there[known]["metadata"].get("deletionTimestamp")
        or there[known]["status"].get("phase") in ("Succeeded", "Failed")
    }


def uid(pod: t.Mapping[str, t.Any]) -> str:
    """A pod's uid on its node: that of a static one is a digest, and its object's another."""
    about = pod["metadata"]
    return str(about.get("annotations", {}).get("kubernetes.io/config.mirror") or about["uid"])


def _value(settings: str, key: str) -> str:
    """A value of a kubeconfig as kubeadm and kubelet write it, which has each key once."""
    found = re.search(rf"^[\s-]*{re.escape(key)}:\s*[\"']?([^\s\"']+)", settings, re.MULTILINE)
    return found.group(1) if found else ""


def _asked_for(node: Node, settings: str) -> str:
    """The token that a program gives, where the kubeconfig names one, as on nodes of EKS.

    Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins

    :raises HardenedError: it gives none.
    """
    block = re.search(r"^(\s*)exec:\s*\n((?:\1[ \t-]+.*(?:\n|$))*)", settings, re.MULTILINE)
    if not block:
        return ""
    said = block.group(2)
    program = _value(said, "command")
    listed = re.search(r"^\s*args:\s*\n((?:\s*-\s.*(?:\n|$))*)", said, re.MULTILINE)
    arguments = [line.strip()[1:].strip().strip("\"'") for line in listed.group(1).splitlines()] if listed else []
    names = re.findall(r"^\s*-\s+name:\s*[\"']?([^\s\"']+)[\"']?\s*\n\s*value:\s*[\"']?([^\n\"']*)", said, re.MULTILINE)
    environ = {name: value.strip() for name, value in names}
    asked = {"apiVersion": _value(said, "apiVersion"), "kind": "ExecCredential", "spec": {"interactive": False}}
    environ["KUBERNETES_EXEC_INFO"] = json.dumps(asked)
    try:
        done = node.run(program, *arguments, check=False, seconds=60, environ=environ)
        return str(json.loads(done.out)["status"]["token"])
    except (HardenedError, ValueError, KeyError, TypeError) as error:  # which could have secrets in its words
        raise HardenedError(f"{program}, which kubelet's kubeconfig names, gives no token") from error


def _identify(node: Node, settings: str, context: ssl.SSLContext) -> None:
    """Have the certificate shown that the kubeconfig names or holds."""
    certificate, held = _value(settings, "client-certificate"), _value(settings, "client-certificate-data")
    if certificate:
        key = _value(settings, "client-key") or certificate
        context.load_cert_chain(node.real(certificate), node.real(key))
    elif held:
        with tempfile.NamedTemporaryFile() as file:
            file.write(base64.b64decode(held) + base64.b64decode(_value(settings, "client-key-data")))
            file.flush()
            context.load_cert_chain(file.name)


def _authority(node: Node, settings: str) -> str:
    data = _value(settings, "certificate-authority-data")
    if data:
        return base64.b64decode(data).decode()
    path = _value(settings, "certificate-authority")
    return node.text(path) if path and os.path.isabs(path) else ""
