# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services: who is behind them, and at which ports. Policies are about what a call becomes once it is sent on."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.observed import Flow, Party
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.world import port_names
from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest

#: Namespace and name of a service.
Key = t.Tuple[str, str]
#: The one through which pods ask the API server.
API: Key = ("default", "kubernetes")
_SERVICE = "kubernetes.io/service-name"


def _slices(objects: t.Iterable[Manifest], space: str, name: str) -> t.Iterator[Manifest]:
    """The EndpointSlices of a service."""
    for item in objects:
        labels = item["metadata"].get("labels") or {}
        where = (item["metadata"].get("namespace"), labels.get(_SERVICE))
        if item["kind"] == "EndpointSlice" and where == (space, name):
            yield item


def addresses(objects: t.Iterable[Manifest], space: str, name: str) -> t.List[str]:
    """The addresses behind a service, out of EndpointSlices."""
    found = (
        str(address)
        for item in _slices(objects, space, name)
        for endpoint in item.get("endpoints") or ()
        for address in endpoint.get("addresses") or ()
    )
    return list(dict.fromkeys(found))


def targets(service: Manifest, objects: t.Iterable[Manifest]) -> t.List[t.Tuple[str, t.Union[int, str]]]:
    """The protocol and port, by number or by name, of those behind a service."""
    spec, metadata = service.get("spec") or {}, service.get("metadata") or {}
    if spec.get("selector"):
        ports = [(port.get("protocol"), port.get("targetPort") or port["port"]) for port in spec.get("ports") or ()]
    else:
        slices = _slices(objects, metadata.get("namespace") or "", metadata.get("name") or "")
        ports = [(port.get("protocol"), port["port"]) for item in slices for port in item.get("ports") or ()]
    numbered = ((protocol or "TCP", int(port) if str(port).isdigit() else str(port)) for protocol, port in ports)
    return list(dict.fromkeys(numbered))


class Services:
    """Those of a cluster.

    :param objects: of any kind; services, EndpointSlices and pods are of interest.
    """

    def __init__(self, objects: t.Iterable[Manifest]) -> None:
        self.by_name: t.Dict[Key, Manifest] = {}
        self.slices: t.List[Manifest] = []
        self._by_address: t.Dict[str, Key] = {}
        self._pods: t.Dict[str, t.List[Manifest]] = {}
        for item in objects:
            space = item["metadata"].get("namespace") or ""
            if item["kind"] == "Service":
                self._add(item, (space, item["metadata"]["name"]))
            elif item["kind"] == "EndpointSlice":
                self.slices.append(item)
            elif item["kind"] == "Pod":
                self._pods.setdefault(space, []).append(item)

    def _add(self, service: Manifest, key: Key) -> None:
        self.by_name[key] = service
        spec = service.get("spec") or {}
        for text in spec.get("clusterIPs") or [spec.get("clusterIP")]:
            if text and text != "None":
                self._by_address[str(ipaddress.ip_address(text))] = key

    def at(self, address: str) -> t.Optional[Key]:
        """The service that has an address of the cluster's own."""
        return self._by_address.get(address)

    def pods(self, key: Key) -> t.List[Manifest]:
        """The pods behind a service."""
        selector = (self.by_name.get(key, {}).get("spec") or {}).get("selector")
        if not selector:
            return []
        return [
            pod
            for pod in self._pods.get(key[0], ())
            if selector.items() <= (pod["metadata"].get("labels") or {}).items()
        ]

    def addresses(self, key: Key) -> t.List[str]:
        """The addresses behind a service that has no selector."""
        spec = self.by_name.get(key, {}).get("spec") or {}
        return [] if spec.get("selector") else addresses(self.slices, *key)

    def target(self, key: Key, wanted: t.Any, protocol: str) -> t.Any:
        """The port of those behind it, by number or by name, for a port of the service.

        :raises ItemError: it has no such port.
        """
        spec = self.by_name[key].get("spec") or {}
        for port in spec.get("ports") or ():
            same = str(wanted) in (str(port.get("port")), str(port.get("name")))
            if not same or (port.get("protocol") or "TCP") != protocol:
                continue
            if not spec.get("selector"):
                return self._sliced(key, port)
            return port.get("targetPort") or port["port"]
        raise ItemError(f"service {key[1]} has no port {wanted}", "Use one of the service's own ports")

    def _sliced(self, key: Key, port: Manifest) -> t.Any:
        """Behind one without a selector, ports go by the same name."""
        for item in _slices(self.slices, *key):
            for there in item.get("ports") or ():
                if (there.get("name") or "") == (port.get("name") or ""):
                    return there["port"]
        return port.get("targetPort") or port["port"]

    def through(self, flows: t.Iterable[Flow]) -> t.List[Flow]:
        """Flows as policies see them: what was sent to a service, which has addresses of its own, goes to pods."""
        return list(dict.fromkeys(sent for flow in flows for sent in self._sent(flow)))

    def _sent(self, flow: Flow) -> t.Iterator[Flow]:
        to = flow.destination
        key = None if to.named else self.at(to.address)
        if key is None:
            yield flow
            return
        try:
            port = self.target(key, flow.port, flow.protocol)
        except ItemError:
            yield flow  # nothing answers there
            return
        behind = [(_party(pod), _number(port, pod)) for pod in self.pods(key)]
        behind += [(Party(address), port) for address in self.addresses(key)]
        if not behind:
            yield flow  # nobody is there yet
        for party, number in behind:
            if number is not None:
                yield flow._replace(destination=party, port=int(number))


def _party(pod: Manifest) -> Party:
    """A pod as an end; on the host's network it is known by its node's address alone."""
    if (pod.get("spec") or {}).get("hostNetwork"):
        return Party(str((pod.get("status") or {}).get("podIP") or ""))
    return Party(namespace=pod["metadata"]["namespace"], pod=pod["metadata"]["name"])


def _number(port: t.Any, pod: Manifest) -> t.Optional[int]:
    """The number of a port that may be a name of a container's port."""
    if str(port).isdigit():
        return int(port)
    point = dict(port_names(pod.get("spec") or {})).get(port)
    return None if point is None else point & 0xFFFF
