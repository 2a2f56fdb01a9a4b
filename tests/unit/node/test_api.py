# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who a node says that it is to the API server."""

from __future__ import annotations

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.node.api import Api

from tests.support.nodes import FakeNode

#: As nodes of EKS have it.
_EXEC = """\
apiVersion: v1
kind: Config
clusters:
  - name: kubernetes
    cluster:
      server: https://192.0.2.1
users:
  - name: kubelet
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1beta1
        command: aws-iam-authenticator
        args:
          - "token"
          - -i
          - shop
        env:
          - name: AWS_STS_REGIONAL_ENDPOINTS
            value: regional
contexts: []
"""
_PROGRAM = """\
#!/bin/sh
echo "$AWS_STS_REGIONAL_ENDPOINTS $KUBERNETES_EXEC_INFO" > {root}/environ
[ "$*" = "token -i shop" ] && echo '{{"kind": "ExecCredential", "status": {{"token": "of-the-node"}}}}'
"""


@pytest.fixture
def node(fake: FakeNode) -> FakeNode:
    fake.write("/etc/kubernetes/kubelet.conf", _EXEC)
    return fake


def test_a_program_that_the_kubeconfig_names_gives_the_token(node: FakeNode) -> None:
    node.program("aws-iam-authenticator", _PROGRAM)
    assert Api(node.node()).token() == "of-the-node"
    said = node.read("/environ")
    assert said.startswith("regional ")
    assert '"apiVersion": "client.authentication.k8s.io/v1beta1"' in said


def test_one_that_gives_none_is_named(node: FakeNode) -> None:
    node.program("aws-iam-authenticator", "#!/bin/sh\nexit 1\n")
    with pytest.raises(HardenedError, match="aws-iam-authenticator, which kubelet's kubeconfig names, gives no token"):
        Api(node.node()).pods()


def test_one_that_is_not_done_in_time_says_none_of_its_settings(node: FakeNode) -> None:
    with pytest.raises(HardenedError) as said:  # and is not there at all
        Api(node.node()).pods()
    assert "regional" not in str(said.value)
