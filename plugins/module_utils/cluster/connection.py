# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection to an API server: the kubernetes package's own configuration, kept-alive requests, retries.

Nothing here knows what is written. The ``kubernetes`` package is imported once, when a connection is made.
"""

from __future__ import annotations

import base64
import json
import os
import random
import threading
import time
import typing as t
from urllib.parse import quote, urlencode

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError

#: Option of the modules -> attribute of kubernetes.client.Configuration, as kubernetes.core maps them.
_CONFIGURATION = {
    "host": "host",
    "validate_certs": "verify_ssl",
    "ca_cert": "ssl_ca_cert",
    "client_cert": "cert_file",
    "client_key": "key_file",
    "proxy": "proxy",
    "no_proxy": "no_proxy",
}
_SERVICE_ACCOUNT_NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

ATTEMPTS = 10
FIRST_CONTACT_ATTEMPTS = 4
LONGEST_PAUSE = 5.0
LONGEST_RETRY_AFTER = 30.0
CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 70.0
PAGE = 1000
#: Characters at each end of an error's message that a person still reads.
_LONGEST = 2000


class ApiError(Exception):
    """The API server said no. ``status`` is its HTTP code, ``reason`` its own word (metav1.Status)."""

    def __init__(self, status: int, body: t.Mapping[str, t.Any]) -> None:
        self.status = status
        self.reason = str(body.get("reason") or "")
        self.message = _without_its_middle(str(body.get("message") or f"HTTP {status}"))
        details = body.get("details") or {}
        self.causes: t.List[t.Dict[str, t.Any]] = details.get("causes") or []
        super().__init__(self.message)


def _without_its_middle(message: str) -> str:
    """A message that quotes a field of any length, such as an expression: which field it is, and what is wrong with it."""
    head, tail = message[:_LONGEST], message[_LONGEST:]
    return head + (f" ... {tail[-_LONGEST:]}" if len(tail) > _LONGEST else tail)


class Answer(t.NamedTuple):
    body: t.Dict[str, t.Any]
    warnings: t.List[str]


def _decode(data: bytes) -> t.Dict[str, t.Any]:
    try:
        body = json.loads(data) if data else {}
    except ValueError:
        return {"message": data[:300].decode("utf-8", "replace")}
    return body if isinstance(body, dict) else {"message": str(body)[:300]}


def _warnings(headers: t.Any) -> t.List[str]:
    """The texts of Warning headers (RFC 7234, ``299 - "text"``), as the API server sends them."""
    texts = []
    for value in headers.getlist("Warning") if "Warning" in headers else ():
        text = value.partition(" ")[2].partition(" ")[2].strip()
        if text.startswith('"'):
            text = text[1:].rpartition('"')[0].replace('\\"', '"').replace("\\\\", "\\")
        texts.append(text)
    return texts


def _load(options: t.Mapping[str, t.Any], kubernetes: t.Any) -> t.Any:
    """A kubernetes.client.Configuration by the rules of kubernetes.core: complete options, kubeconfig, in-cluster."""
    configuration = kubernetes.client.Configuration()
    given = {key for key, value in options.items() if value not in (None, "")}
    complete = "host" in given and (
        "api_key" in given or {"client_cert", "client_key"} <= given or {"username", "password"} <= given
    )
    loading = {
        "context": options.get("context"),
        "persist_config": bool(options.get("persist_config")),
        "client_configuration": configuration,
    }
    source = options.get("kubeconfig")
    if complete:
        pass
    elif isinstance(source, dict):
        kubernetes.config.load_kube_config_from_dict(config_dict=source, **loading)
    elif source or options.get("context"):
        path = os.path.expanduser(source) if source else None
        kubernetes.config.load_kube_config(config_file=path, **loading)
    else:
        try:
            kubernetes.config.load_incluster_config(client_configuration=configuration)
        except kubernetes.config.ConfigException:
            kubernetes.config.load_kube_config(**loading)
    for option, attribute in _CONFIGURATION.items():
        if options.get(option) is not None:
            setattr(configuration, attribute, options[option])
    configuration.host = (configuration.host or "").rstrip("/")
    if options.get("api_key"):
        # the slot is called BearerToken from kubernetes 36 on
        for slot in ("authorization", "BearerToken"):
            configuration.api_key[slot] = f"Bearer {options['api_key']}"
            configuration.api_key_prefix.pop(slot, None)
    return configuration


def _source(options: t.Mapping[str, t.Any]) -> str:
    source = options.get("kubeconfig")
    if isinstance(source, dict):
        return "the kubeconfig given as a dictionary"
    return f"kubeconfig {source}" if source else "the options, the pod's service account or the default kubeconfig"


class Api:
    """Requests to one API server, safe to use from several threads.

    :param options: the connection options of the modules (``kubeconfig``, ``context``, ``host``, ...).
    :param workers: how many requests run at a time, each over a kept-alive connection.
    """

    def __init__(self, options: t.Mapping[str, t.Any], workers: int = 8, user_agent: str = "hardened.k8s") -> None:
        try:
            import kubernetes
            import urllib3
            from urllib3._collections import HTTPHeaderDict  # where 1.26 and 2 both define it
        except ImportError as error:
            raise HardenedError(missing_required_lib("kubernetes")) from error
        self._urllib3 = urllib3
        self._header_dict = HTTPHeaderDict
        try:
            configuration = _load(options, kubernetes)
            configuration.connection_pool_maxsize = workers
            self._proxy_headers(configuration, options.get("proxy_headers"))
            client = kubernetes.client.ApiClient(configuration)
        except Exception as error:  # the loader raises its own, yaml's, OSError, KeyError, TypeError, ...
            raise HardenedError(
                f"{_source(options)} cannot be used: {_one_line(error)}",
                "Check that the file exists, is complete YAML and that the context, cluster and user it names are in it",
            ) from error
        if not configuration.verify_ssl:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self.workers = workers
        self.server = configuration.host
        self._configuration = configuration
        self._pool = client.rest_client.pool_manager
        self._client = client
        self._lock = threading.Lock()
        self._headers = {"Accept": "application/json", "User-Agent": user_agent}
        self._headers.update(_basic_auth(options))
        self._impersonate = [
            *(("Impersonate-User", user) for user in [options.get("impersonate_user")] if user),
            *(("Impersonate-Group", group) for group in options.get("impersonate_groups") or ()),
        ]

    def _proxy_headers(self, configuration: t.Any, given: t.Optional[t.Mapping[str, t.Any]]) -> None:
        headers = {key: value for key, value in (given or {}).items() if value}
        if headers:
            configuration.proxy_headers = self._urllib3.util.make_headers(**headers)

    def _request_headers(self, content_type: str) -> t.Any:
        headers = self._header_dict(self._headers)
        with self._lock:  # an exec plugin may be run to renew a token
            settings = list(self._configuration.auth_settings().values())
        for setting in settings:
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        if content_type:
            headers["Content-Type"] = content_type
        for name, value in self._impersonate:
            headers.add(name, value)
        return headers

    def request(
        self,
        method: str,
        path: str,
        query: t.Optional[t.Mapping[str, t.Any]] = None,
        body: t.Optional[t.Mapping[str, t.Any]] = None,
        content_type: str = "application/json",
        attempts: int = 0,
    ) -> Answer:
        """One request, repeated with growing, jittered pauses while the server is busy or the connection breaks.

        :param attempts: how often it is sent at most; the usual number when 0.
        :raises ApiError: the server's final answer is an error.
        :raises HardenedError: the server cannot be reached, or does not know who asks.
        """
        url = self.server + quote(path) + (f"?{urlencode(query)}" if query else "")
        data = json.dumps(body).encode() if body is not None else None
        attempts = attempts or ATTEMPTS
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            try:
                response = self._pool.request(
                    method,
                    url,
                    body=data,
                    headers=self._request_headers(content_type if data else ""),
                    retries=False,
                    timeout=self._urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
                )
            except self._urllib3.exceptions.HTTPError as error:
                if last or isinstance(error, self._urllib3.exceptions.SSLError):
                    raise self._unreachable(error) from error
                time.sleep(_pause(attempt))
                continue
            if response.status < 400:
                return Answer(_decode(response.data), _warnings(response.headers))
            if not last and (response.status == 429 or response.status >= 500):
                time.sleep(_retry_after(response.headers.get("Retry-After"), attempt))
                continue
            if response.status == 401:
                raise HardenedError(
                    f"{self.server} does not accept the credentials (401 Unauthorized)",
                    "The token or certificate is wrong or has expired: log in again, or renew the kubeconfig",
                )
            raise ApiError(response.status, _decode(response.data))
        raise AssertionError("the last attempt returns or raises")

    def _unreachable(self, error: Exception) -> HardenedError:
        if isinstance(error, self._urllib3.exceptions.SSLError):
            return HardenedError(
                f"the certificate of {self.server} does not fit: {_one_line(error)}",
                "Is this kubeconfig for another server? Give the CA in ca_cert, or correct host",
            )
        return HardenedError(
            f"{self.server} cannot be reached: {_one_line(error)}", "Check host, proxy and that the API server runs"
        )

    def minor(self) -> int:
        """The API server's minor version, 37 for v1.37.2; also the first contact, with fewer attempts."""
        try:
            body = self.request("GET", "/version", attempts=FIRST_CONTACT_ATTEMPTS).body
            return int(str(body["minor"]).rstrip("+"))
        except (ApiError, KeyError, ValueError) as error:
            raise HardenedError(
                f"{self.server} does not answer as a Kubernetes API server: {_one_line(error)}",
                "Check host, or the server of the kubeconfig's cluster",
            ) from error

    def pages(
        self, path: str, query: t.Optional[t.Mapping[str, t.Any]] = None
    ) -> t.Iterator[t.List[t.Dict[str, t.Any]]]:
        """The items of a list, page by page; begun anew without pages when the list's snapshot expires."""
        wanted: t.Dict[str, t.Any] = {**(query or {}), "limit": PAGE}
        while True:
            try:
                body = self.request("GET", path, wanted).body
            except ApiError as error:
                if error.status != 410 or "continue" not in wanted:
                    raise
                wanted = dict(query or {})
                continue
            yield body.get("items") or []
            following = (body.get("metadata") or {}).get("continue")
            if not following:
                return
            wanted["continue"] = following

    def own_namespace(self) -> str:
        """The namespace that the caller itself lives in, when it is a service account; otherwise empty."""
        try:
            with open(_SERVICE_ACCOUNT_NAMESPACE, encoding="utf-8") as file:
                return file.read().strip()
        except OSError:
            pass
        authorization = str(self._request_headers("").get("Authorization", ""))
        parts = authorization.rpartition(" ")[2].split(".")
        if len(parts) != 3:
            return ""
        try:
            claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
            kind, account, namespace, _name = str(claims["sub"]).split(":")
        except (ValueError, KeyError, TypeError):
            return ""
        return namespace if (kind, account) == ("system", "serviceaccount") else ""


def _basic_auth(options: t.Mapping[str, t.Any]) -> t.Dict[str, str]:
    if not (options.get("username") and options.get("password")):
        return {}
    pair = f"{options['username']}:{options['password']}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _pause(attempt: int) -> float:
    """Seconds to wait: doubling from 0.1 s, at most LONGEST_PAUSE, spread over half of it."""
    longest = min(LONGEST_PAUSE, 0.1 * 2.0**attempt)
    return longest * (0.5 + random.random() / 2)


def _retry_after(header: t.Optional[str], attempt: int) -> float:
    try:
        asked = min(LONGEST_RETRY_AFTER, float(header or ""))
    except ValueError:
        return _pause(attempt)
    return asked + random.random() * 0.25


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400] or type(error).__name__
