# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Connection options, named as in kubernetes.core."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of a kubeconfig file, or its content as a dictionary.
      - Without any connection option, the pod's own service account is tried first, then the default kubeconfig.
      - Several paths are separated as in the E(KUBECONFIG) variable.
      - Also read from E(K8S_AUTH_KUBECONFIG).
    type: raw
  context:
    description:
      - Name of the context in the kubeconfig.
      - Also read from E(K8S_AUTH_CONTEXT).
    type: str
  host:
    description:
      - URL of the API server.
      - Also read from E(K8S_AUTH_HOST).
    type: str
  api_key:
    description:
      - Bearer token.
      - Also read from E(K8S_AUTH_API_KEY).
    type: str
  username:
    description:
      - User name for API servers behind a proxy that does HTTP basic authentication; Kubernetes itself has none.
      - Also read from E(K8S_AUTH_USERNAME).
    type: str
  password:
    description:
      - Password that goes with O(username).
      - Also read from E(K8S_AUTH_PASSWORD).
    type: str
  validate_certs:
    description:
      - Whether the API server's certificate is verified. It is, unless the kubeconfig says otherwise.
      - Also read from E(K8S_AUTH_VALIDATE_CERTS) and E(K8S_AUTH_VERIFY_SSL).
    type: bool
    aliases: [verify_ssl]
  ca_cert:
    description:
      - Path of the CA certificate of the API server.
      - Also read from E(K8S_AUTH_CA_CERT) and E(K8S_AUTH_SSL_CA_CERT).
    type: path
    aliases: [ssl_ca_cert]
  client_cert:
    description:
      - Path of a client certificate.
      - Also read from E(K8S_AUTH_CLIENT_CERT) and E(K8S_AUTH_CERT_FILE).
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - Path of the key of O(client_cert).
      - Also read from E(K8S_AUTH_CLIENT_KEY) and E(K8S_AUTH_KEY_FILE).
    type: path
    aliases: [key_file]
  proxy:
    description:
      - URL of an HTTP proxy on the way to the API server.
      - Also read from E(K8S_AUTH_PROXY).
    type: str
  no_proxy:
    description:
      - Hosts, domains and networks, separated by commas, that are reached without O(proxy).
      - Also read from E(K8S_AUTH_NO_PROXY).
    type: str
  proxy_headers:
    description:
      - Headers for the proxy.
    type: dict
    suboptions:
      proxy_basic_auth:
        description:
          - User name and password for the proxy, with a colon between.
          - Also read from E(K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH).
        type: str
      basic_auth:
        description:
          - User name and password, with a colon between.
          - Also read from E(K8S_AUTH_PROXY_HEADERS_BASIC_AUTH).
        type: str
      user_agent:
        description:
          - User agent told to the proxy.
          - Also read from E(K8S_AUTH_PROXY_HEADERS_USER_AGENT).
        type: str
  persist_config:
    description:
      - Whether a token that was renewed is written back to the kubeconfig.
      - Also read from E(K8S_AUTH_PERSIST_CONFIG).
    type: bool
  impersonate_user:
    description:
      - User to act as.
      - Also read from E(K8S_AUTH_IMPERSONATE_USER).
    type: str
  impersonate_groups:
    description:
      - Groups to act as.
      - Also read from E(K8S_AUTH_IMPERSONATE_GROUPS), separated by commas.
    type: list
    elements: str
requirements:
  - python >= 3.10
  - kubernetes >= 24.2.0, except 36.0.0 and 36.0.1; a kubeconfig's C(tls-server-name) needs 28.1
  - a Kubernetes API server from 1.30 to 1.37
"""
