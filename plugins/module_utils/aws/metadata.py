# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Metadata options of instances and launch templates, as they are and as they are wanted. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref


@dataclass(frozen=True)
class Options:
    """What the metadata service of an instance does; None where a launch template leaves it open.

    :param hop_limit: how many hops the answer with a token lives: 1 does not get past the node's own network.
    """

    http_tokens: t.Optional[str] = None
    hop_limit: t.Optional[int] = None
    http_endpoint: t.Optional[str] = None
    http_protocol_ipv6: t.Optional[str] = None
    instance_metadata_tags: t.Optional[str] = None

    @classmethod
    def read(cls, given: t.Optional[t.Mapping[str, t.Any]]) -> Options:
        """As EC2 tells them."""
        found = given or {}
        return cls(**{name: found.get(key) for name, key in _KEYS.items()})

    def view(self) -> t.Dict[str, t.Any]:
        return {name: getattr(self, name) for name in _KEYS}

    def request(self) -> t.Dict[str, t.Any]:
        """As EC2 takes them."""
        return {key: getattr(self, name) for name, key in _KEYS.items() if getattr(self, name) is not None}


_KEYS = {
    "http_tokens": "HttpTokens",
    "hop_limit": "HttpPutResponseHopLimit",
    "http_endpoint": "HttpEndpoint",
    "http_protocol_ipv6": "HttpProtocolIpv6",
    "instance_metadata_tags": "InstanceMetadataTags",
}


def wanted(live: Options, params: t.Mapping[str, t.Any]) -> Options:
    """The options as declared; those that nothing is said of stay.

    :raises HardenedError: a hop limit that EC2 does not know.
    """
    limit = params["http_put_response_hop_limit"]
    if not 1 <= limit <= 64:
        raise HardenedError(f"http_put_response_hop_limit {limit} is out of range", "It is 1 to 64")
    tags = params.get("instance_metadata_tags")
    return replace(
        live,
        http_tokens=params["http_tokens"],
        hop_limit=limit,
        http_endpoint=params["http_endpoint"],
        http_protocol_ipv6=params["http_protocol_ipv6"],
        instance_metadata_tags=live.instance_metadata_tags if tags is None else tags,
    )


def findings(ref: Ref, options: Options) -> t.Iterator[Finding]:
    """What such options leave open; a launch template that says nothing of one takes it from account and image."""
    if options.http_endpoint == "disabled":
        return
    remedy = "Declare it with hardened.k8s.instance_metadata at stage enforce"
    if options.http_tokens != "required":
        yield Finding(
            "imds/tokens",
            ref,
            "metadata are given without a token, so one forged request is enough, and no hop limit holds it",
            remedy,
        )
    if options.hop_limit is None or options.hop_limit > 1:
        shown = "is not said" if options.hop_limit is None else f"is {options.hop_limit}"
        yield Finding("imds/hop-limit", ref, f"the hop limit {shown}, so tokens reach pods", remedy)
    if options.http_protocol_ipv6 == "enabled":
        yield Finding("imds/ipv6", ref, "metadata are also given at fd00:ec2::254, where agents do not look", remedy)
