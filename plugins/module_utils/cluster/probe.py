# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends out canaries, waits for what they find, and takes them back whatever happens."""

from __future__ import annotations

import time
import typing as t
import uuid

from ansible_collections.hardened.k8s.plugins.module_utils.checks import probe
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Api, ApiError
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import canary
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Manifest

_PAUSE = 0.5
#: Seconds that are left for making canaries.
_MORE = 120
#: What a run makes, in this order: API, and the name of the resource.
_KINDS = {"Job": ("apis/batch/v1", "jobs"), "ConfigMap": ("api/v1", "configmaps"), "Pod": ("api/v1", "pods")}
_RESOURCES = "pods, configmaps and jobs"
CLIENT, CONTROL = "client", "control"
#: The namespace and name of a pod; a call by its role, and the number of its flow.
_Pod = t.Tuple[str, str]
_Call = t.Tuple[str, int]


class Probe:
    """One run.

    :param timeout: seconds to wait for servers, and again for clients.
    :param settle: seconds that the network gets to know the servers' labels.
    :param control: a namespace from which addresses outside are called, too, as nothing is denied there; none if empty.
    """

    def __init__(self, api: Api, image: str, timeout: float, settle: float, control: str = "") -> None:
        self.api = api
        self.timeout = timeout
        self.settle = settle
        self.control = control
        seconds = int(2 * timeout + settle) + _MORE
        self.made = canary.Run(f"hardened-probe-{uuid.uuid4().hex[:10]}", image, seconds)
        self._owners: t.Dict[str, str] = {}

    def run(self, flows: t.Sequence[canary.Flow]) -> t.List[probe.Verdict]:
        """The verdict on each flow.

        :raises HardenedError: canaries could not be made.
        """
        ends = {end.namespace for flow in flows for end in (flow.source, flow.target) if end}
        spaces = sorted(ends | ({self.control} if self.control else set()))
        try:
            for space in spaces:
                timer = self._make(canary.timer(self.made, space))["metadata"]["uid"]
                self._owners[space] = self._make(canary.owner(self.made, space, timer))["metadata"]["uid"]
            servers = self._servers(flows)
            clients = self._clients(flows, servers)
            pods = self._pods(spaces)
            ended = {call: probe.outcome(pods.get(pod), flows[call[1]]) for call, pod in clients.items()}
            tried = [
                (flow, ended.get((CLIENT, index), _no_address(flow)), self._control(index, flow, servers, pods, ended))
                for index, flow in enumerate(flows)
            ]
            return probe.judge_all(tried, any(outcome.open for outcome in ended.values()))
        finally:
            self.clear(spaces)

    # -- canaries

    def _servers(self, flows: t.Sequence[canary.Flow]) -> t.Dict[canary.Canary, _Pod]:
        """A pod for each who is called, once it answers itself or never will."""
        wanted: t.Dict[canary.Canary, t.Set[t.Tuple[str, int]]] = {}
        for flow in flows:
            if flow.target:
                wanted.setdefault(flow.target, set()).add((flow.protocol, flow.port))
        made = {}
        for index, (target, ports) in enumerate(wanted.items()):
            name = f"{self.made.name}-server-{index}"
            uid = self._owners[target.namespace]
            self._make(canary.server(self.made, name, target, ports, uid))
            made[target] = (target.namespace, name)

        def ready(pods: t.Mapping[_Pod, Manifest]) -> bool:
            return all(
                probe.answers(pods.get(made[target]), *port).open for target, ports in wanted.items() for port in ports
            )

        self._wait({target.namespace for target in wanted}, ready)
        if made:
            time.sleep(self.settle)
        return made

    def _clients(self, flows: t.Sequence[canary.Flow], servers: t.Mapping[canary.Canary, _Pod]) -> t.Dict[_Call, _Pod]:
        """The pods that call, once all have ended; none where there is no address to call."""
        pods = self._pods({space for space, _name in servers.values()})
        made: t.Dict[_Call, _Pod] = {}
        for index, flow in enumerate(flows):
            host = _address(pods.get(servers[flow.target]), flow.version) if flow.target else flow.host
            calls = [(CLIENT, flow)] if host else []
            if self.control and not flow.target:
                calls.append((CONTROL, flow._replace(source=canary.Canary(self.control, ()))))
            for role, call in calls:
                space, name = call.source.namespace, f"{self.made.name}-{role}-{index}"
                self._make(canary.client(self.made, name, call, host, self._owners[space]))
                made[role, index] = (space, name)
        wanted = set(made.values())

        def ended(found: t.Mapping[_Pod, Manifest]) -> bool:
            return all(_phase(pod) in ("Succeeded", "Failed") for key, pod in found.items() if key in wanted)

        self._wait({space for space, _name in wanted}, ended)
        return made

    def _control(
        self,
        index: int,
        flow: canary.Flow,
        servers: t.Mapping[canary.Canary, _Pod],
        pods: t.Mapping[_Pod, Manifest],
        ended: t.Mapping[_Call, probe.Outcome],
    ) -> t.Optional[probe.Outcome]:
        """Whether who is called answers: himself, or somebody whom nobody denies it."""
        if flow.target is not None:
            return probe.answers(pods.get(servers[flow.target]), flow.protocol, flow.port)
        found = ended.get((CONTROL, index))
        if found is None:
            return None
        whom = f"pods of namespace {self.control}"
        return found._replace(reason=f"it answers {whom}" if found.open else f"of {whom}: {found.reason}")

    # -- requests

    def _make(self, manifest: Manifest) -> Manifest:
        space = manifest["metadata"]["namespace"]
        try:
            return self.api.request(
                "POST", _path(manifest["kind"], space), {"fieldValidation": "Strict"}, manifest
            ).body
        except ApiError as error:
            raise HardenedError(
                f"a canary could not be made in namespace {space}: {error.message}",
                f"The caller needs create, list and delete on {_RESOURCES} there; see also its quota",
            ) from error

    def _pods(self, spaces: t.Iterable[str]) -> t.Dict[_Pod, Manifest]:
        query = {"labelSelector": f"{canary.PROBE}={self.made.name}"}
        found = {}
        for space in sorted(spaces):
            for page in self.api.pages(_path("Pod", space), query):
                for pod in page:
                    found[space, pod["metadata"]["name"]] = pod
        return found

    def _wait(self, spaces: t.Collection[str], done: t.Callable[[t.Mapping[_Pod, Manifest]], bool]) -> None:
        deadline = time.monotonic() + self.timeout
        while not done(self._pods(spaces)) and time.monotonic() < deadline:
            time.sleep(_PAUSE)

    def clear(self, spaces: t.Iterable[str]) -> None:
        """Remove all that this run has made."""
        wrong: t.List[HardenedError] = []
        for space in spaces:
            for kind, (_api, resource) in reversed(_KINDS.items()):
                try:
                    self._clear(space, kind, resource)
                except HardenedError as error:
                    wrong.append(error)  # what can be removed elsewhere is
        if wrong:
            raise wrong[0]

    def _clear(self, space: str, kind: str, resource: str) -> None:
        query, path = {"labelSelector": f"{canary.PROBE}={self.made.name}"}, _path(kind, space)
        try:
            listed = [item for page in self.api.pages(path, query) for item in page]
        except ApiError as error:
            raise HardenedError(
                f"cannot list {resource} in namespace {space}: {error.message}",
                f"The caller needs create, list and delete on {_RESOURCES}",
            ) from error
        for item in listed:
            self._remove(f"{path}/{item['metadata']['name']}", resource)

    def _remove(self, path: str, resource: str) -> None:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "propagationPolicy": "Background"}
        try:
            self.api.request("DELETE", path, body=body)
        except ApiError as error:
            if error.status != 404:  # with its owner, a pod may have gone by itself
                raise HardenedError(
                    f"a canary could not be removed: {error.message}",
                    f"The caller needs delete on {resource}; it goes by itself within {self.made.seconds} seconds",
                ) from error


def _path(kind: str, namespace: str) -> str:
    api, resource = _KINDS[kind]
    return f"/{api}/namespaces/{namespace}/{resource}"


def _phase(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def _no_address(flow: canary.Flow) -> probe.Outcome:
    return probe.Outcome(None, f"who is called has no address of IPv{flow.version}")


def _address(pod: t.Optional[Manifest], version: int) -> str:
    """The address of a pod in a version of IP."""
    for item in ((pod or {}).get("status") or {}).get("podIPs") or ():
        if (":" in item["ip"]) == (version == 6):
            return str(item["ip"])
    return ""
