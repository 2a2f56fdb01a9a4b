# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the test bed is made of. Each version has its go.mod and go.sum beside the sources, in ``go/``."""

from __future__ import annotations

#: Newest first. 1.33 is the oldest minor whose staging modules are all on the module proxy.
KUBERNETES = ("1.37.2", "1.33.13")
#: These three as kubeadm of the newest Kubernetes names them.
ETCD = "3.7.0"
COREDNS = "1.14.6"
PAUSE = "3.10.2"
KIND = "0.33.0"
CONTAINERD = "2.4.2"
CNI_PLUGINS = "1.9.1"
CILIUM = "1.20.2"
#: Of github.com/projectcalico/api, whose own numbers Go does not know; between Calico 3.30 and 3.31.
CALICO = "0.0.0-20250916150628-d4009e4d7c50"
#: Of the image that Kubernetes' own tests take; it is compiled from Kubernetes.
AGNHOST = "2.66.1"
#: Oracles: k8s.io/pod-security-admission of the newest Kubernetes, and the last one that had PodSecurityPolicy.
POD_SECURITY = "0.37.2"
POD_SECURITY_POLICY = "1.24.17"
#: Ours.
BOUTIQUE = "1"
#: The oldest Go that compiles them.
GO = (1, 26, 6)


def minor(kubernetes: str) -> str:
    """``37`` for ``1.37.2``."""
    return kubernetes.split(".")[1]
