# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a flow is allowed, asked of the manifests themselves: slowly, without any form in between.

The second opinion that the evaluator is compared with. It shares no line with it, on purpose.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
import typing as t

Manifest = dict[str, t.Any]


class End(t.NamedTuple):
    """One end of a flow: a pod, a node, or an address or name outside."""

    pod: Manifest | None = None
    node: Manifest | None = None
    ip: str = ""
    domain: str = ""

    @property
    def is_pod(self) -> bool:
        return self.pod is not None and not self.pod["spec"].get("hostNetwork")

    @property
    def addresses(self) -> list[str]:
        if self.pod:
            return [item["ip"] for item in self.pod.get("status", {}).get("podIPs", [])]
        if self.node:
            return [item["address"] for item in self.node["status"]["addresses"] if item["type"] == "InternalIP"]
        return [self.ip] if self.ip else []


class Cluster(t.Protocol):
    """Who is in a cluster."""

    namespaces: list[Manifest]
    accounts: list[Manifest]


class Naive:
    """All there is in a cluster.

    :param engine: ``kubernetes``, ``calico`` or ``cilium``; :param version: of IP.
    """

    def __init__(
        self, engine: str, policies: list[Manifest], cluster: Cluster, others: list[Manifest], version: int = 4
    ) -> None:
        self.engine = engine
        self.policies = policies
        self.namespaces = {item["metadata"]["name"]: item["metadata"].get("labels", {}) for item in cluster.namespaces}
        self.accounts = cluster.accounts
        self.others = others
        self.version = version

    def allowed(self, source: End, destination: End, protocol: str, port: int) -> bool:
        return self.end("egress", source, destination, destination, protocol, port) and self.end(
            "ingress", destination, source, destination, protocol, port
        )

    def end(self, direction: str, me: End, peer: End, destination: End, protocol: str, port: int) -> bool:
        """Whether one end lets it through."""
        if not me.is_pod:
            return True
        question = (direction, me, peer, destination, protocol, port)
        if self.engine == "calico":
            return self.calico(*question)
        verdict = self.cluster_policies("Admin", *question)
        if verdict is None:
            verdict = self.cilium(*question) if self.engine == "cilium" else self.network_policies(*question)
        if verdict is None:
            verdict = self.cluster_policies("Baseline", *question)
        return verdict is not False

    # -- labels and addresses

    def labels(self, end: End) -> dict[str, str]:
        assert end.pod
        return dict(end.pod["metadata"].get("labels", {}))

    def space(self, end: End) -> str:
        assert end.pod
        return str(end.pod["metadata"]["namespace"])

    def space_labels(self, end: End) -> dict[str, str]:
        name = self.space(end)
        return {**self.namespaces.get(name, {}), "kubernetes.io/metadata.name": name}

    @staticmethod
    def selects(selector: Manifest | None, labels: dict[str, str]) -> bool:
        for key, value in ((selector or {}).get("matchLabels") or {}).items():
            if labels.get(key) != value:
                return False
        for entry in (selector or {}).get("matchExpressions") or []:
            key, operator, values = entry["key"], entry["operator"], entry.get("values") or []
            if operator == "In" and labels.get(key) not in values:
                return False
            if operator == "NotIn" and labels.get(key) in values:
                return False
            if operator == "Exists" and key not in labels:
                return False
            if operator == "DoesNotExist" and key in labels:
                return False
        return True

    def account(self, end: End) -> str:
        assert end.pod
        return str(end.pod["spec"].get("serviceAccountName", "default"))

    def account_labels(self, end: End) -> dict[str, str]:
        for item in self.accounts:
            if (item["metadata"]["namespace"], item["metadata"]["name"]) == (self.space(end), self.account(end)):
                return dict(item["metadata"]["labels"])
        return {}

    def within(self, end: End, cidr: str, excepted: t.Sequence[str] = ()) -> bool:
        network = ipaddress.ip_network(cidr, strict=False)
        if network.version != self.version:
            return False
        for text in end.addresses:
            address = ipaddress.ip_address(text)
            if address in network and not any(address in ipaddress.ip_network(part) for part in excepted):
                return True
        # an address that nobody knows yet is in a network that has them all
        return not end.addresses and network.prefixlen == 0

    @staticmethod
    def named(end: End, name: str, protocol: str, port: int) -> bool:
        if not end.is_pod or not end.pod:
            return False
        return any(
            item.get("name") == name and item.get("protocol", "TCP") == protocol and item["containerPort"] == port
            for container in end.pod["spec"]["containers"]
            for item in container.get("ports", [])
        )

    # -- NetworkPolicy

    def network_policies(
        self, direction: str, me: End, peer: End, destination: End, protocol: str, port: int
    ) -> bool | None:
        isolated = False
        for policy in self.policies:
            if policy["apiVersion"] != "networking.k8s.io/v1":
                continue
            if policy["metadata"]["namespace"] != self.space(me):
                continue
            answer = self.network_policy(
                policy["spec"], self.space(me), direction, me, peer, destination, protocol, port
            )
            if answer:
                return True
            isolated = isolated or answer is False
        return False if isolated else None

    def network_policy(
        self,
        spec: Manifest,
        namespace: str,
        direction: str,
        me: End,
        peer: End,
        destination: End,
        protocol: str,
        port: int,
    ) -> bool | None:
        """True where it allows, False where it isolates and does not, None where it is not about this."""
        types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
        if direction.capitalize() not in types or not self.selects(spec.get("podSelector"), self.labels(me)):
            return None
        for rule in spec.get(direction) or []:
            peers = rule.get("from" if direction == "ingress" else "to") or []
            if peers and not any(self.peer(item, namespace, peer) for item in peers):
                continue
            ports = rule.get("ports") or []
            if not ports or any(self.port(item, destination, protocol, port) for item in ports):
                return True
        return False

    def peer(self, item: Manifest, namespace: str, peer: End) -> bool:
        if item.get("ipBlock"):
            if self.engine == "cilium" and (peer.pod or peer.node):
                return False
            return self.within(peer, item["ipBlock"]["cidr"], item["ipBlock"].get("except") or [])
        if not peer.is_pod:
            return False
        if item.get("namespaceSelector") is None:
            if self.space(peer) != namespace:
                return False
        elif not self.selects(item["namespaceSelector"], self.space_labels(peer)):
            return False
        return self.selects(item.get("podSelector"), self.labels(peer))

    def port(self, item: Manifest, destination: End, protocol: str, port: int) -> bool:
        if item.get("protocol", "TCP") != protocol:
            return False
        wanted: t.Any = item.get("port")
        if wanted is None:
            return True
        if isinstance(wanted, str):
            return self.named(destination, wanted, protocol, port)
        return bool(wanted <= port <= item.get("endPort", wanted))

    # -- ClusterNetworkPolicy and AdminNetworkPolicy

    def cluster_policies(
        self, tier: str, direction: str, me: End, peer: End, destination: End, protocol: str, port: int
    ) -> bool | None:
        mine = []
        for policy in self.policies:
            kind = policy["kind"]
            its = policy["spec"].get("tier") or ("Baseline" if kind == "BaselineAdminNetworkPolicy" else "Admin")
            if policy["apiVersion"].startswith("policy.networking.k8s.io") and its == tier:
                mine.append(policy)
        mine.sort(key=lambda policy: (policy["spec"].get("priority", 0), policy["metadata"]["name"]))
        for policy in mine:
            if not self.cluster_peer(policy["spec"]["subject"], me):
                continue
            for rule in policy["spec"].get(direction) or []:
                if not any(self.cluster_peer(item, peer) for item in rule["from" if direction == "ingress" else "to"]):
                    continue
                if not self.cluster_port(rule, destination, protocol, port):
                    continue
                if rule["action"] == "Pass":
                    return None
                return bool(rule["action"] in ("Accept", "Allow"))
        return None

    def cluster_peer(self, item: Manifest, peer: End) -> bool:
        if "networks" in item and self.engine == "cilium" and (peer.pod or peer.node):
            return False
        if "networks" in item:
            return any(self.within(peer, cidr) for cidr in item["networks"])
        if "nodes" in item:
            return peer.node is not None and self.selects(item["nodes"], peer.node["metadata"].get("labels", {}))
        if "domainNames" in item:
            return any(
                peer.domain.endswith(name[1:]) if name.startswith("*.") else peer.domain == name
                for name in item["domainNames"]
                if peer.domain
            )
        if not peer.is_pod:
            return False
        if "namespaces" in item:
            return self.selects(item["namespaces"], self.space_labels(peer))
        pods = item["pods"]
        return self.selects(pods.get("namespaceSelector"), self.space_labels(peer)) and self.selects(
            pods.get("podSelector"), self.labels(peer)
        )

    def cluster_port(self, rule: Manifest, destination: End, protocol: str, port: int) -> bool:
        protocols, ports = rule.get("protocols") or [], rule.get("ports") or []
        if not protocols and not ports:
            return True
        return any(self.new_port(item, destination, protocol, port) for item in protocols) or any(
            self.old_port(item, destination, protocol, port) for item in ports
        )

    def new_port(self, item: Manifest, destination: End, protocol: str, port: int) -> bool:
        if "destinationNamedPort" in item:
            return self.named(destination, item["destinationNamedPort"], protocol, port)
        if protocol.lower() not in item:
            return False
        wanted = item[protocol.lower()].get("destinationPort", {})
        ends: Manifest = wanted.get("range") or {"start": wanted.get("number", 0), "end": wanted.get("number", 65535)}
        return bool(ends["start"] <= port <= ends["end"])

    def old_port(self, item: Manifest, destination: End, protocol: str, port: int) -> bool:
        if "namedPort" in item:
            return self.named(destination, item["namedPort"], protocol, port)
        if "portNumber" in item:
            return bool(item["portNumber"] == {"protocol": protocol, "port": port})
        span = item["portRange"]
        return bool(span.get("protocol", "TCP") == protocol and span["start"] <= port <= span["end"])

    # -- Calico

    def calico(self, direction: str, me: End, peer: End, destination: End, protocol: str, port: int) -> bool:
        tiers = {"kube-admin": (1000.0, "Pass"), "default": (1e6, "Deny"), "kube-baseline": (1e7, "Pass")}
        for item in self.others:
            if item["kind"] == "Tier":
                spec = item["spec"]
                order = spec.get("order")
                tiers[item["metadata"]["name"]] = (
                    float("inf") if order is None else order,
                    spec.get("defaultAction", "Deny"),
                )
        for name, (_order, default) in sorted(tiers.items(), key=lambda entry: (entry[1][0], entry[0])):
            if name in ("kube-admin", "kube-baseline"):
                tier = "Admin" if name == "kube-admin" else "Baseline"
                verdict = self.cluster_policies(tier, direction, me, peer, destination, protocol, port)
            else:
                verdict = self.calico_tier(name, default, direction, me, peer, destination, protocol, port)
            if verdict is not None:
                return verdict
        return True

    def calico_tier(
        self,
        tier: str,
        default: str,
        direction: str,
        me: End,
        peer: End,
        destination: End,
        protocol: str,
        port: int,
    ) -> bool | None:
        isolated = False
        for policy in self.calico_policies(tier):
            spec, space = policy["spec"], policy["metadata"].get("namespace", "")
            if space and space != self.space(me):
                continue
            if policy["apiVersion"] == "networking.k8s.io/v1":
                answer = self.network_policy(spec, space, direction, me, peer, destination, protocol, port)
                if answer:
                    return True
                isolated = isolated or answer is False
                continue
            given = [word for word in ("Ingress", "Egress") if spec.get(word.lower())]
            if direction.capitalize() not in (spec.get("types") or given or ["Ingress"]):
                continue
            if not self.calico_selects(spec.get("selector", ""), spec.get("namespaceSelector", ""), me):
                continue
            if not expression(spec.get("serviceAccountSelector", ""), self.account_labels(me)):
                continue
            isolated = True
            for rule in spec.get(direction) or []:
                if self.calico_rule(rule, space, direction, me, peer, destination, protocol, port):
                    return {"Allow": True, "Deny": False, "Pass": None}[rule["action"]]
        return False if isolated and default == "Deny" else None

    def calico_policies(self, tier: str) -> list[Manifest]:
        """The policies of a tier, in order."""
        mine: list[tuple[float, str, Manifest]] = []
        for policy in self.policies:
            name, space = policy["metadata"]["name"], policy["metadata"].get("namespace", "")
            if policy["apiVersion"] == "networking.k8s.io/v1" and tier == "default":
                mine.append((1000.0, f"{name}/{space}/KubernetesNetworkPolicy", policy))
            elif policy["apiVersion"] == "projectcalico.org/v3" and policy["spec"].get("tier", "default") == tier:
                order = policy["spec"].get("order")
                told = f"{name}/{space}/{policy['kind']}"
                mine.append((float("inf") if order is None else order, told, policy))
        mine.sort(key=lambda entry: entry[:2])
        return [policy for _order, _name, policy in mine]

    def calico_selects(self, selector: str, spaces: str, end: End) -> bool:
        if not end.is_pod:
            return False
        labels = {**self.labels(end), "projectcalico.org/namespace": self.space(end)}
        labels.update({f"pcns.{key}": value for key, value in self.space_labels(end).items()})
        labels.update({f"pcsa.{key}": value for key, value in self.account_labels(end).items()})
        return expression(selector, labels) and expression(
            spaces, {**self.space_labels(end), "projectcalico.org/name": self.space(end)}
        )

    def calico_rule(
        self,
        rule: Manifest,
        space: str,
        direction: str,
        me: End,
        peer: End,
        destination: End,
        protocol: str,
        port: int,
    ) -> bool:
        if rule["action"] == "Log" or rule.get("protocol", protocol) != protocol or rule.get("notProtocol") == protocol:
            return False
        if rule.get("ipVersion", self.version) != self.version:
            return False
        source = peer if direction == "ingress" else me
        for entity, end in ((rule.get("source") or {}, source), (rule.get("destination") or {}, destination)):
            if not self.calico_entity(entity, space, end):
                return False
        target = rule.get("destination") or {}
        if target.get("ports") and not self.calico_port(target["ports"], destination, protocol, port):
            return False
        if "services" in target and not self.service_port(target["services"], destination, protocol, port):
            return False
        return not self.calico_port(target.get("notPorts") or [], destination, protocol, port)

    def service(self, wanted: Manifest) -> Manifest | None:
        for item in self.others:
            metadata = item["metadata"]
            if item["kind"] == "Service" and metadata["name"] == wanted["name"]:
                assert metadata["namespace"] == wanted["namespace"]
                return item
        return None

    def slices(self, wanted: Manifest) -> list[Manifest]:
        label = "kubernetes.io/service-name"
        return [item for item in self.others if item["metadata"].get("labels", {}).get(label) == wanted["name"]]

    def service_end(self, wanted: Manifest, end: End) -> bool:
        found = self.service(wanted)
        if found and "selector" in found["spec"]:
            if not end.is_pod or self.space(end) != wanted["namespace"]:
                return False
            return all(self.labels(end).get(key) == value for key, value in found["spec"]["selector"].items())
        listed = [each for item in self.slices(wanted) for entry in item["endpoints"] for each in entry["addresses"]]
        return any(self.within(end, f"{address}/32") for address in listed)

    def service_port(self, wanted: Manifest, end: End, protocol: str, port: int) -> bool:
        found = self.service(wanted)
        if not found:
            return False
        if "selector" not in found["spec"]:
            there = [entry for item in self.slices(wanted) for entry in item["ports"]]
            return any(entry["port"] == port and entry.get("protocol", "TCP") == protocol for entry in there)
        for entry in found["spec"]["ports"]:
            target = entry.get("targetPort", entry["port"])
            if entry.get("protocol", "TCP") != protocol:
                continue
            if self.named(end, target, protocol, port) if isinstance(target, str) else target == port:
                return True
        return False

    def calico_port(self, ports: list[t.Any], destination: End, protocol: str, port: int) -> bool:
        for item in ports:
            first, _colon, last = str(item).partition(":")
            if not first.isdigit():
                if self.named(destination, first, protocol, port):
                    return True
            elif int(first) <= port <= int(last or first):
                return True
        return False

    def calico_entity(self, entity: Manifest, space: str, end: End) -> bool:
        if entity.get("nets") and not any(self.within(end, cidr) for cidr in entity["nets"]):
            return False
        if any(self.within(end, cidr) for cidr in entity.get("notNets") or []):
            return False
        if "services" in entity and not self.service_end(entity["services"], end):
            return False
        selector, spaces = entity.get("selector", ""), entity.get("namespaceSelector", "")
        if "serviceAccounts" in entity and not self.calico_account(entity["serviceAccounts"], spaces, space, end):
            return False
        if (selector or spaces) and not self.calico_end(selector, spaces, space, end):
            return False
        negated = entity.get("notSelector")
        if negated:
            if space and not (selector or spaces) and not self.calico_end("", "", space, end):
                return False
            if self.calico_end(negated, "", "", end):
                return False
        return True

    def calico_account(self, wanted: Manifest, spaces: str, space: str, end: End) -> bool:
        if not end.is_pod or (wanted.get("names") and self.account(end) not in wanted["names"]):
            return False
        if space and not spaces and self.space(end) != space:
            return False
        return expression(wanted.get("selector", ""), self.account_labels(end))

    def calico_end(self, selector: str, spaces: str, space: str, end: End) -> bool:
        """Whether a selector is about an end: a pod by its labels, an address by those of network sets."""
        if end.is_pod:
            if (space and not spaces and self.space(end) != space) or spaces == "global()":
                return False
            return self.calico_selects(selector, "" if spaces == "all()" else spaces, end)
        for item in self.others:
            if item["kind"] not in ("NetworkSet", "GlobalNetworkSet"):
                continue
            labels = dict(item["metadata"].get("labels", {}))
            home = item["metadata"].get("namespace", "")
            inherited = {}
            if home:
                labels["projectcalico.org/namespace"] = home
                inherited = {**self.namespaces.get(home, {}), "projectcalico.org/name": home}
                labels.update({f"pcns.{key}": value for key, value in inherited.items()})
            if space and not spaces and home != space:
                continue
            if spaces in ("all()", "global()") and bool(home) != (spaces == "all()"):
                continue
            if spaces not in ("", "all()", "global()") and not expression(spaces, inherited):
                continue
            if expression(selector, labels) and any(self.within(end, cidr) for cidr in item["spec"]["nets"]):
                return True
        return False

    # -- Cilium

    def cilium(self, direction: str, me: End, peer: End, destination: End, protocol: str, port: int) -> bool | None:
        isolated = self.network_policies(direction, me, peer, destination, protocol, port)
        allowed, isolated_here = isolated is True, isolated is False
        for policy in self.policies:
            if policy["apiVersion"] != "cilium.io/v2":
                continue
            space = policy["metadata"].get("namespace", "")
            for spec in [policy["spec"]] if "spec" in policy else policy["specs"]:
                if not self.cilium_selects(spec["endpointSelector"], space, me):
                    continue
                wanted = spec.get("enableDefaultDeny", {}).get(direction)
                if wanted is None:
                    wanted = bool(spec.get(direction) or spec.get(f"{direction}Deny"))
                isolated_here = isolated_here or wanted
                for rule in spec.get(f"{direction}Deny") or []:
                    if self.cilium_rule(rule, space, direction, peer, destination, protocol, port):
                        return False
                for rule in spec.get(direction) or []:
                    allowed = allowed or self.cilium_rule(rule, space, direction, peer, destination, protocol, port)
        return True if allowed else (False if isolated_here else None)

    def cilium_selects(self, selector: Manifest, space: str, end: End) -> bool:
        if not end.is_pod:
            return False
        marks = {f"io.cilium.k8s.namespace.labels.{key}": value for key, value in self.space_labels(end).items()}
        labels = {**self.labels(end), **marks, "io.kubernetes.pod.namespace": self.space(end)}
        labels["io.cilium.k8s.policy.serviceaccount"] = self.account(end)
        known = {re.sub(r"^(k8s|any):", "", key): value for key, value in (selector.get("matchLabels") or {}).items()}
        entries = [
            {**entry, "key": re.sub(r"^(k8s|any):", "", entry["key"])}
            for entry in selector.get("matchExpressions") or []
        ]
        keys = [*known, *(entry["key"] for entry in entries)]
        if space and not any(
            key.startswith(("io.kubernetes.pod.namespace", "io.cilium.k8s.namespace")) for key in keys
        ):
            known["io.kubernetes.pod.namespace"] = space
        return self.selects({"matchLabels": known, "matchExpressions": entries}, labels)

    def cilium_rule(
        self, rule: Manifest, space: str, direction: str, peer: End, destination: End, protocol: str, port: int
    ) -> bool:
        word = "from" if direction == "ingress" else "to"
        said = [option for option in rule if option != "toPorts"]
        if not said and not rule.get("toPorts"):
            return False
        if said and not any(self.cilium_peer(option[len(word) :], rule[option], space, peer) for option in said):
            return False
        entries = [item for entry in rule.get("toPorts") or [] for item in entry["ports"]]
        return not entries or any(self.cilium_port(item, destination, protocol, port) for item in entries)

    def cilium_peer(self, option: str, value: list[t.Any], space: str, peer: End) -> bool:
        outside = peer.pod is None and peer.node is None
        entities = {"all": True, "world": outside, "cluster": not outside, "remote-node": peer.node is not None}
        entities[f"world-ipv{self.version}"] = outside
        host = peer.pod is not None and not peer.is_pod
        entities["remote-node"] = entities["remote-node"] or host

        def is_named(item: Manifest) -> bool:
            pattern = item.get("matchName") or item["matchPattern"]
            return fnmatch.fnmatch(peer.domain, pattern) and peer.domain.count(".") == pattern.count(".")

        meant: dict[str, t.Callable[[t.Any], bool]] = {
            "Endpoints": lambda item: self.cilium_selects(item, space, peer),
            "Entities": lambda item: entities.get(item, False),
            "CIDR": lambda item: outside and self.within(peer, item),
            "CIDRSet": lambda item: outside and self.within(peer, item["cidr"], item.get("except") or []),
            "FQDNs": is_named,
        }
        return any(meant[option](item) for item in value)

    def cilium_port(self, item: Manifest, destination: End, protocol: str, port: int) -> bool:
        if item.get("protocol", "ANY") not in ("ANY", protocol) or protocol not in ("TCP", "UDP", "SCTP"):
            return False
        if not item["port"].isdigit():
            return self.named(destination, item["port"], protocol, port)
        return bool(item["port"] == "0" or int(item["port"]) <= port <= item.get("endPort", int(item["port"])))


def expression(selector: str, labels: dict[str, str]) -> bool:
    """A Calico selector, turned into Python word for word."""
    text = selector.strip() or "all()"
    text = re.sub(r"has\(([^)]*)\)", r"_has('\1')", text).replace("all()", "True").replace("global()", "_global()")
    name = r"(?<!['\w./-])([A-Za-z][\w./-]*)"
    text = re.sub(name + r"\s*(==|!=)\s*(['\"][^'\"]*['\"])", r"(_get('\1') \2 \3)", text)
    text = re.sub(name + r"\s+(in|not in)\s*\{([^}]*)\}", r"(_get('\1') \2 [\3])", text)
    text = re.sub(name + r"\s+starts with\s*('[^']*')", r"(_get('\1') or '').startswith(\2)", text)
    text = text.replace("&&", " and ").replace("||", " or ")
    text = re.sub(r"!(?!=)", " not ", text)
    known = {
        "_has": lambda key: key.strip() in labels,
        "_get": labels.get,
        "_global": lambda: "projectcalico.org/namespace" not in labels,
    }
    return bool(eval(text, {"__builtins__": {}}, known))
