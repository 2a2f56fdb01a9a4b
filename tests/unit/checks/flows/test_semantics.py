# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cases of the documented semantics, kind by kind: what the upstream suites try, written down as tables."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible_collections.hardened.k8s.plugins.module_utils.checks.flows.enquiry import Enquiry

from tests.support.flows import CLUSTER

Manifest = dict[str, t.Any]

#: Shorthands of these tables; a name with a slash is a pod, others are nodes, addresses or domains.
WEB, WEB2, API, BACK, DB, SCAN, AGENT = (
    *("shop/web-1", "shop/web-2", "shop/api-1", "api/api-1", "api/db-1", "ops/scan-1", "ops/agent-1"),
)


def _policy(api_version: str, kind: str, space: str, spec: str, name: str = "p") -> Manifest:
    metadata = {"name": name, **({"namespace": space} if space else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": yaml.safe_load(spec)}


def np(space: str, spec: str, name: str = "p") -> Manifest:
    return _policy("networking.k8s.io/v1", "NetworkPolicy", space, spec, name)


def cnp(spec: str, name: str = "p") -> Manifest:
    return _policy("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", "", spec, name)


def gnp(spec: str, name: str = "p") -> Manifest:
    return _policy("projectcalico.org/v3", "GlobalNetworkPolicy", "", spec, name)


def cilium(space: str, spec: str, name: str = "p") -> Manifest:
    kind = "CiliumNetworkPolicy" if space else "CiliumClusterwideNetworkPolicy"
    return _policy("cilium.io/v2", kind, space, spec, name)


def _end(name: str) -> dict[str, str]:
    if "/" in name:
        space, pod = name.split("/")
        return {"namespace": space, "pod": pod}
    if name in CLUSTER.domains:
        return {"domain": name}
    return {"node" if name in ("one", "two") else "address": name}


def allowed(policies: list[Manifest], flow: str, engine: str = "", **more: t.Any) -> bool:
    """``shop/web-1 > api/api-1 80``, ``... 53/UDP``."""
    source, _mark, destination, port = flow.split()
    number, _slash, protocol = port.partition("/")
    objects = [*CLUSTER.namespaces, *CLUSTER.pods, *CLUSTER.nodes, *policies]
    asked = Enquiry(objects, engine, domains=CLUSTER.domains, **more)
    question = {"from": _end(source), "to": _end(destination), "port": number, "protocol": protocol or "TCP"}
    (answer,) = asked.ask(question)
    return answer.verdict.allowed


Case = tuple[list[Manifest], list[str], list[str]]
DENY_ALL = "{podSelector: {}, policyTypes: [Ingress, Egress]}"
NETWORK_POLICY: dict[str, Case] = {
    "without policies everything is allowed": ([], [f"{WEB} > {DB} 80", f"198.51.100.7 > {DB} 53/UDP"], []),
    "an empty policy isolates for ingress alone": (
        [np("shop", "{podSelector: {}}")],
        [f"{WEB} > {BACK} 80"],
        [f"{BACK} > {WEB} 80", f"{API} > {WEB} 80"],
    ),
    "egress rules isolate for egress, too": (
        [np("shop", "{podSelector: {}, egress: [{}]}")],
        [f"{WEB} > {BACK} 80"],
        [f"{BACK} > {WEB} 80"],
    ),
    "policyTypes Egress leaves ingress open": (
        [np("shop", "{podSelector: {}, policyTypes: [Egress]}")],
        [f"{BACK} > {WEB} 80"],
        [f"{WEB} > {BACK} 80"],
    ),
    "rules of a type that is not named have no effect": (
        [np("shop", "{podSelector: {}, policyTypes: [Ingress], ingress: [{}], egress: []}")],
        [f"{WEB} > {BACK} 80", f"{BACK} > {WEB} 80"],
        [],
    ),
    "both ends have to allow": (
        [np("shop", DENY_ALL), np("shop", "{podSelector: {}, egress: [{}], policyTypes: [Egress]}", "out")],
        [f"{WEB} > {BACK} 80"],
        [f"{WEB} > {API} 80"],
    ),
    "policies add up": (
        [
            np("api", "{podSelector: {}, ingress: [{ports: [{port: 80}]}]}", "one"),
            np("api", "{podSelector: {matchLabels: {app: api}}, ingress: [{ports: [{port: 81}]}]}", "two"),
        ],
        [f"{WEB} > {BACK} 80", f"{WEB} > {BACK} 81", f"{WEB} > {DB} 80"],
        [f"{WEB} > {DB} 81"],
    ),
    "selectors in one peer are ANDed": (
        [
            np(
                "api",
                "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}, "
                "podSelector: {matchLabels: {app: web}}}]}]}",
            )
        ],
        [f"{WEB} > {BACK} 80"],
        [f"{API} > {BACK} 80", f"{SCAN} > {BACK} 80"],
    ),
    "selectors in two peers are ORed, and pods alone are the policy's own": (
        [
            np(
                "api",
                "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}, "
                "{podSelector: {matchLabels: {app: db}}}]}]}",
            )
        ],
        [f"{WEB} > {BACK} 80", f"{API} > {BACK} 80", f"{DB} > {BACK} 80"],
        [f"{SCAN} > {BACK} 80"],
    ),
    "an empty list of peers is everybody": (
        [np("api", "{podSelector: {}, ingress: [{from: [], ports: [{port: 80}]}]}")],
        [f"{SCAN} > {BACK} 80", f"203.0.113.9 > {BACK} 80"],
        [f"{SCAN} > {BACK} 81"],
    ),
    "NotIn and DoesNotExist select what has no label": (
        [
            np(
                "api",
                "{podSelector: {}, ingress: [{from: [{namespaceSelector: "
                "{matchExpressions: [{key: team, operator: NotIn, values: [a]}]}}]}]}",
            )
        ],
        [f"{SCAN} > {BACK} 80", f"{DB} > {BACK} 80"],
        [f"{WEB} > {BACK} 80"],
    ),
    "a port without a number is all of its protocol": (
        [np("api", "{podSelector: {}, ingress: [{ports: [{protocol: UDP}]}]}")],
        [f"{WEB} > {BACK} 53/UDP"],
        [f"{WEB} > {BACK} 53"],
    ),
    "endPort is included": (
        [np("api", "{podSelector: {}, ingress: [{ports: [{port: 80, endPort: 90}]}]}")],
        [f"{WEB} > {BACK} 80", f"{WEB} > {BACK} 90"],
        [f"{WEB} > {BACK} 79", f"{WEB} > {BACK} 91", f"{WEB} > {BACK} 85/UDP"],
    ),
    "a named port is the destination's, for ingress and for egress": (
        [
            np(
                "shop",
                "{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: http}]}], "
                "egress: [{ports: [{port: http}]}]}",
            )
        ],
        [f"{API} > {WEB} 8080", f"{WEB} > {API} 80", f"{WEB} > {BACK} 80"],
        [f"{API} > {WEB} 80", f"{WEB} > {API} 8080", f"{WEB} > 198.51.100.7 80"],
    ),
    "SCTP is a protocol of its own": (
        [np("api", "{podSelector: {}, ingress: [{ports: [{protocol: SCTP, port: 80}]}]}")],
        [f"{WEB} > {BACK} 80/SCTP"],
        [f"{WEB} > {BACK} 80", f"{WEB} > {BACK} 80/UDP", f"{WEB} > {BACK} 81/SCTP"],
    ),
    "expressions and labels in one selector are ANDed": (
        [
            np(
                "api",
                "{podSelector: {matchLabels: {app: api}, matchExpressions: [{key: tier, operator: Exists}]}, "
                "ingress: [{from: [{namespaceSelector: {}, podSelector: {matchExpressions: "
                "[{key: app, operator: In, values: [web, x]}, {key: tier, operator: NotIn, values: [back]}]}}]}]}",
            )
        ],
        [f"{WEB} > {BACK} 80", f"{SCAN} > {DB} 80"],
        [f"{API} > {BACK} 80", f"{SCAN} > {BACK} 80"],
    ),
    "of several ports each counts": (
        [np("api", "{podSelector: {}, ingress: [{ports: [{port: 80}, {port: 81}, {protocol: UDP, port: 53}]}]}")],
        [f"{WEB} > {BACK} 80", f"{WEB} > {BACK} 81", f"{WEB} > {BACK} 53/UDP"],
        [f"{WEB} > {BACK} 53", f"{WEB} > {BACK} 82"],
    ),
    "a block has its exceptions": (
        [
            np(
                "shop",
                "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]}], "
                "policyTypes: [Egress]}",
            )
        ],
        [f"{WEB} > 198.51.100.7 443", f"{WEB} > {BACK} 80"],
        [f"{WEB} > 169.254.169.254 80"],
    ),
    "an exception of one block may be in another": (
        [
            np(
                "shop",
                "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 198.51.0.0/16, "
                "except: [198.51.100.0/24]}}, {ipBlock: {cidr: 198.51.100.0/28}}]}]}",
            )
        ],
        [f"{WEB} > 198.51.100.7 443"],
        [f"{WEB} > 203.0.113.9 443"],
    ),
    "a pod reaches itself, but not its replica": (
        [np("shop", DENY_ALL)],
        [f"{WEB} > {WEB} 80"],
        [f"{WEB} > {WEB2} 80"],
    ),
    "a pod on the host's network is selected by nobody, and is its node as a peer": (
        [
            np("ops", DENY_ALL),
            np("api", "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.10/32}}]}]}"),
            np("shop", "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}"),
        ],
        [f"{AGENT} > {BACK} 80", f"one > {BACK} 80", f"{AGENT} > 198.51.100.7 443"],
        [f"{AGENT} > {WEB} 80", f"{SCAN} > {WEB} 80", f"two > {BACK} 80"],
    ),
}
CLUSTER_POLICY: dict[str, Case] = {
    "Deny in the Admin tier wins over an allow": (
        [
            np("api", "{podSelector: {}, ingress: [{}]}"),
            cnp(
                "{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: "
                "{matchLabels: {team: a}}}]}]}"
            ),
        ],
        [f"{SCAN} > {BACK} 80"],
        [f"{WEB} > {BACK} 80"],
    ),
    "Accept in the Admin tier wins over isolation": (
        [
            np("api", DENY_ALL),
            cnp(
                "{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{pods: "
                "{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}], protocols: [{tcp: {destinationPort: {number: 80}}}]}]}"
            ),
        ],
        [f"{WEB} > {BACK} 80"],
        [f"{WEB} > {BACK} 81", f"{API} > {BACK} 80"],
    ),
    "the lower priority is asked first, and rules in order": (
        [
            cnp(
                "{tier: Admin, priority: 10, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}",
                "later",
            ),
            cnp(
                "{tier: Admin, priority: 5, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: "
                "{matchLabels: {team: a}}}]}, {action: Deny, from: [{namespaces: {matchLabels: {team: a}}}]}]}",
                "earlier",
            ),
        ],
        [f"{WEB} > {BACK} 80"],
        [f"{SCAN} > {BACK} 80"],
    ),
    "Pass leaves it to NetworkPolicies, and then to the Baseline tier": (
        [
            cnp(
                "{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Pass, from: [{namespaces: "
                "{matchLabels: {team: a}}}]}, {action: Deny, from: [{namespaces: {}}]}]}",
                "admin",
            ),
            cnp(
                "{tier: Baseline, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}",
                "base",
            ),
            np("api", "{podSelector: {matchLabels: {app: api}}, ingress: [{}]}"),
        ],
        [f"{WEB} > {BACK} 80"],
        [f"{WEB} > {DB} 80", f"{SCAN} > {BACK} 80"],
    ),
    "whom a NetworkPolicy isolates the Baseline tier is not asked about": (
        [
            np("api", "{podSelector: {}, ingress: [{ports: [{port: 80}]}]}"),
            cnp(
                "{tier: Baseline, priority: 1, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}]}]}"
            ),
        ],
        [f"{WEB} > {BACK} 80"],
        [f"{WEB} > {BACK} 81"],
    ),
    "networks are about pods, too; those outside are no pods": (
        [
            cnp(
                "{tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {team: a}}}, egress: [{action: Deny, "
                "to: [{networks: [10.1.1.0/24, 198.51.100.0/24]}]}]}"
            )
        ],
        [f"{WEB} > 203.0.113.9 443", f"{SCAN} > {BACK} 80"],
        [f"{WEB} > {BACK} 80", f"{WEB} > 198.51.100.7 443"],
    ),
    "nodes by labels, names with a wildcard for parts of them": (
        [
            cnp(
                "{tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {team: a}}}, egress: [{action: Accept, "
                "to: [{domainNames: ['*.example.com']}, {nodes: {matchLabels: {zone: a}}}]}, "
                "{action: Deny, to: [{networks: [0.0.0.0/0]}, {nodes: {}}]}]}"
            )
        ],
        [f"{WEB} > www.example.com 443", f"{WEB} > a.b.example.com 443", f"{WEB} > one 443"],
        [f"{WEB} > example.com 443", f"{WEB} > two 443"],
    ),
    "a named port is one of the destination's": (
        [
            cnp(
                "{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}], "
                "protocols: [{destinationNamedPort: http}]}]}"
            )
        ],
        [f"{BACK} > {WEB} 80", f"{WEB} > {BACK} 8080"],
        [f"{BACK} > {WEB} 8080", f"{WEB} > {BACK} 80"],
    ),
    "a peer of an unknown kind fails closed": (
        [
            cnp(
                "{tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {team: a}}}, egress: [{action: Deny, "
                "to: [{somethingNew: {}}]}]}"
            )
        ],
        [f"{SCAN} > {BACK} 80"],
        [f"{WEB} > {BACK} 80"],
    ),
}
CALICO: dict[str, Case] = {
    "a namespaced policy cannot undo an earlier Deny of the default tier, but a later one": (
        [
            np("api", "{podSelector: {}, ingress: [{}]}"),
            gnp(
                "{order: 100, selector: all(), types: [Ingress], ingress: [{action: Deny, source: {selector: app == 'web'}}]}",
                "early",
            ),
            gnp("{order: 2000, selector: all(), types: [Ingress], ingress: [{action: Deny}]}", "late"),
        ],
        [f"{API} > {BACK} 80"],
        [f"{WEB} > {BACK} 80", f"{API} > {WEB} 80"],
    ),
    "a tier denies whom it selects and says nothing of": (
        [
            _policy("projectcalico.org/v3", "Tier", "", "{order: 10}", "security"),
            gnp(
                "{tier: security, selector: app == 'db', types: [Ingress], ingress: [{action: Pass, source: {selector: app == 'api'}}]}"
            ),
        ],
        [f"{BACK} > {DB} 80", f"{WEB} > {BACK} 80"],
        [f"{WEB} > {DB} 80"],
    ),
    "a tier whose default is Pass does not": (
        [
            _policy("projectcalico.org/v3", "Tier", "", "{order: 10, defaultAction: Pass}", "security"),
            gnp(
                "{tier: security, selector: app == 'db', types: [Ingress], ingress: [{action: Deny, source: {selector: app == 'web'}}]}"
            ),
        ],
        [f"{BACK} > {DB} 80"],
        [f"{WEB} > {DB} 80"],
    ),
    "of the same order, the name decides": (
        [
            gnp("{order: 1, selector: all(), types: [Ingress], ingress: [{action: Allow}]}", "a-allow"),
            gnp("{order: 1, selector: all(), types: [Ingress], ingress: [{action: Deny}]}", "b-deny"),
            gnp("{order: 1, selector: app == 'db', types: [Ingress], ingress: [{action: Deny}]}", "a-a-deny"),
        ],
        [f"{WEB} > {BACK} 80"],
        [f"{WEB} > {DB} 80"],
    ),
    "also between NetworkPolicies, which are at 1000, and its own": (
        [
            np("api", "{podSelector: {}, ingress: [{}]}", "m"),
            _policy(
                "projectcalico.org/v3",
                "NetworkPolicy",
                "api",
                "{order: 1000, selector: app == 'db', types: [Ingress], ingress: [{action: Deny}]}",
                "a",
            ),
            _policy(
                "projectcalico.org/v3",
                "NetworkPolicy",
                "api",
                "{order: 1000, selector: app == 'api', types: [Ingress], ingress: [{action: Deny}]}",
                "z",
            ),
        ],
        [f"{WEB} > {BACK} 80"],
        [f"{WEB} > {DB} 80"],
    ),
    "ports that are left out, by number and by name, are left out also where a name means them": (
        [
            gnp(
                "{order: 1, selector: all(), types: [Egress], egress: [{action: Deny, protocol: TCP, "
                "destination: {ports: [http, '79:81'], notPorts: [80]}}]}",
                "number",
            ),
            gnp(
                "{order: 2, selector: all(), types: [Egress], egress: [{action: Deny, protocol: TCP, "
                "destination: {ports: ['8000:9000'], notPorts: [http]}}, {action: Allow}]}",
                "name",
            ),
        ],
        [f"{WEB} > {BACK} 80", f"{WEB} > 198.51.100.7 80"],
        [f"{API} > {WEB} 8080", f"{WEB} > {BACK} 79", f"{WEB} > {BACK} 8080", f"{WEB} > {WEB2} 8081"],
    ),
    "a rule about ports of callers is about no call, one that leaves some out is": (
        [
            gnp(
                "{order: 1, selector: all(), types: [Ingress], ingress: [{action: Deny, protocol: TCP, source: "
                "{ports: [53]}}, {action: Deny, protocol: UDP, source: {notPorts: [68]}}, {action: Allow}]}"
            )
        ],
        [f"{WEB} > {BACK} 80"],
        [f"{WEB} > {BACK} 80/UDP"],
    ),
    "what is about host endpoints alone is about no pod": (
        [
            gnp("{selector: all(), doNotTrack: true, applyOnForward: true, ingress: [{action: Deny}]}", "raw"),
            gnp("{selector: all(), preDNAT: true, applyOnForward: true, ingress: [{action: Deny}]}", "before"),
        ],
        [f"{WEB} > {BACK} 80"],
        [],
    ),
    "words without a space between, as its parser has them": (
        [gnp("{selector: 'app notin {\"db\"} && has(app)', types: [Ingress], ingress: []}")],
        [f"{WEB} > {DB} 80", f"{WEB} > {SCAN} 80"],
        [f"{DB} > {WEB} 80"],
    ),
    "Pass from the last tier is allowed for pods": (
        [gnp("{selector: all(), types: [Egress], egress: [{action: Pass}]}")],
        [f"{WEB} > {BACK} 80"],
        [],
    ),
    "notSelector has addresses outside, a negated selector has not": (
        [
            gnp(
                "{order: 1, selector: app == 'web', types: [Egress], egress: [{action: Allow, destination: {notSelector: app == 'db'}}]}",
                "not",
            ),
            gnp(
                "{order: 1, selector: app == 'api', types: [Egress], egress: [{action: Allow, destination: {selector: '!app == \"db\"'}}]}",
                "neg",
            ),
        ],
        [f"{WEB} > 198.51.100.7 443", f"{WEB} > {BACK} 80", f"{API} > {BACK} 80"],
        [f"{WEB} > {DB} 80", f"{API} > 198.51.100.7 443", f"{API} > {DB} 80"],
    ),
    "staged policies do nothing": (
        [_policy("projectcalico.org/v3", "StagedGlobalNetworkPolicy", "", "{selector: all(), types: [Ingress]}")],
        [f"{WEB} > {BACK} 80"],
        [],
    ),
}
CILIUM: dict[str, Case] = {
    "a denial wins over every allow": (
        [
            np("api", "{podSelector: {}, ingress: [{}]}"),
            cilium("", "{endpointSelector: {}, ingressDeny: [{fromEndpoints: [{matchLabels: {app: web}}]}]}"),
        ],
        [f"{API} > {BACK} 80"],
        [f"{WEB} > {BACK} 80"],
    ),
    "a denial alone isolates, unless that is switched off": (
        [
            cilium("api", "{endpointSelector: {}, ingressDeny: [{fromEntities: [world]}]}", "on"),
            cilium(
                "shop",
                "{endpointSelector: {}, ingressDeny: [{fromEntities: [world]}], enableDefaultDeny: {ingress: false}}",
                "off",
            ),
        ],
        [f"{BACK} > {WEB} 80"],
        [f"{WEB} > {BACK} 80", f"198.51.100.7 > {WEB} 80"],
    ),
    "endpoints of a namespaced policy are of its namespace": (
        [cilium("shop", "{endpointSelector: {}, ingress: [{fromEndpoints: [{}]}]}")],
        [f"{API} > {WEB} 80"],
        [f"{BACK} > {WEB} 80"],
    ),
    "unless it names another": (
        [
            cilium(
                "shop",
                "{endpointSelector: {}, ingress: [{fromEndpoints: [{matchLabels: "
                "{'k8s:io.kubernetes.pod.namespace': api, app: api}}]}]}",
            )
        ],
        [f"{BACK} > {WEB} 80"],
        [f"{DB} > {WEB} 80", f"{API} > {WEB} 80"],
    ),
    "an empty rule isolates and allows nothing; one with ports allows everybody": (
        [
            cilium("shop", "{endpointSelector: {matchLabels: {app: web}}, ingress: [{}]}", "empty"),
            cilium(
                "shop",
                "{endpointSelector: {matchLabels: {app: api}}, ingress: [{toPorts: [{ports: [{port: '80'}]}]}]}",
                "ports",
            ),
        ],
        [f"{BACK} > {API} 80", f"198.51.100.7 > {API} 80", f"{BACK} > {API} 80/UDP"],
        [f"{BACK} > {WEB} 80", f"{BACK} > {API} 81"],
    ),
    "a network never means pods or nodes": (
        [
            cilium("shop", "{endpointSelector: {}, egress: [{toCIDR: [0.0.0.0/0]}]}"),
            np("api", "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}"),
        ],
        [f"{WEB} > 198.51.100.7 443", f"{BACK} > 198.51.100.7 443"],
        [f"{WEB} > {BACK} 80", f"{WEB} > two 443", f"{BACK} > {SCAN} 80"],
    ),
    "nor does one of a policy for the whole cluster": (
        [
            cnp(
                "{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, "
                "to: [{networks: [0.0.0.0/0]}]}]}"
            )
        ],
        [f"{WEB} > {BACK} 80", f"{WEB} > two 443"],
        [f"{WEB} > 198.51.100.7 443"],
    ),
    "its agents ignore a policy without rules, and one whose rule names peers in two ways": (
        [
            cilium("shop", "{endpointSelector: {}, enableDefaultDeny: {egress: true}}", "nothing"),
            cilium("shop", "{endpointSelector: {}, egress: [{toEndpoints: [{}], toEntities: [world]}]}", "both"),
        ],
        [f"{WEB} > {BACK} 80", f"{WEB} > two 443"],
        [],
    ),
    "names, with a wildcard within one part": (
        [cilium("shop", "{endpointSelector: {}, egress: [{toFQDNs: [{matchPattern: '*.example.com'}]}]}")],
        [f"{WEB} > www.example.com 443"],
        [f"{WEB} > example.com 443", f"{WEB} > a.b.example.com 443", f"{WEB} > 198.51.100.7 443"],
    ),
}
CASES = [
    pytest.param(engine, *case, id=f"{engine}: {title}")
    for engine, table in (
        ("kubernetes", NETWORK_POLICY),
        ("kubernetes", CLUSTER_POLICY),
        ("calico", NETWORK_POLICY),
        ("calico", CLUSTER_POLICY),
        ("cilium", {key: case for key, case in CLUSTER_POLICY.items() if "networks" not in key}),
        ("calico", CALICO),
        ("cilium", CILIUM),
    )
    for title, case in table.items()
]


@pytest.mark.parametrize(("engine", "policies", "open_flows", "cut_flows"), CASES)
def test_semantics(engine: str, policies: list[Manifest], open_flows: list[str], cut_flows: list[str]) -> None:
    assert [flow for flow in open_flows if not allowed(policies, flow, engine)] == []
    assert [flow for flow in cut_flows if allowed(policies, flow, engine)] == []


def test_what_is_staged_counts_when_asked() -> None:
    spec = "{selector: all(), types: [Ingress]}"
    staged = _policy("projectcalico.org/v3", "StagedGlobalNetworkPolicy", "", spec)
    assert allowed([staged], f"{WEB} > {BACK} 80")
    assert not allowed([staged], f"{WEB} > {BACK} 80", staged=True)


def test_network_sets_by_labels() -> None:
    nets = _policy("projectcalico.org/v3", "GlobalNetworkSet", "", "{nets: [198.51.100.0/24]}", "partners")
    nets["metadata"]["labels"] = {"role": "partner"}
    rules = "[{action: Deny, destination: {selector: has(role)}}, {action: Allow}]"
    policies = [nets, gnp(f"{{selector: all(), types: [Egress], egress: {rules}}}")]
    assert not allowed(policies, f"{WEB} > 198.51.100.7 443")
    assert allowed(policies, f"{WEB} > 203.0.113.9 443")


def _set(name: str, space: str, nets: str) -> Manifest:
    made = _policy("projectcalico.org/v3", "NetworkSet", space, f"{{nets: [{nets}]}}", name)
    made["metadata"]["labels"] = {"role": "partner"}
    return made


def test_network_sets_have_the_labels_of_their_namespace() -> None:
    deny = "{{action: Deny, destination: {{namespaceSelector: {}, selector: has(role)}}}}"
    sets = [_set("a", "shop", "198.51.100.0/24"), _set("b", "api", "203.0.113.0/24")]
    for chosen, cut in (("team == 'a'", "198.51.100.7"), ("projectcalico.org/name == 'api'", "203.0.113.9")):
        rules = f"[{deny.format(chosen)}, {{action: Allow}}]"
        policies = [*sets, gnp(f"{{selector: all(), types: [Egress], egress: {rules}}}")]
        reached = {each: allowed(policies, f"{WEB} > {each} 443") for each in ("198.51.100.7", "203.0.113.9")}
        assert [address for address, is_open in reached.items() if not is_open] == [cut]


def test_calico_means_the_ports_of_a_service_too() -> None:
    service = _policy("v1", "Service", "api", "{selector: {app: api}, ports: [{port: 443, targetPort: http}]}", "api")
    rules = "[{action: Allow, destination: {services: {name: api, namespace: api}}}]"
    policies = [service, gnp(f"{{selector: app == 'web', types: [Egress], egress: {rules}}}")]
    assert allowed(policies, f"{WEB} > {BACK} 80", "calico")
    for other in (f"{WEB} > {BACK} 443", f"{WEB} > {DB} 80", f"{WEB} > 198.51.100.7 80"):
        assert not allowed(policies, other, "calico")


def test_a_service_without_a_selector_is_what_its_slices_say() -> None:
    made = _policy("v1", "Service", "api", "{ports: [{port: 443, targetPort: 8443}]}", "out")
    slices: Manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "out-1", "namespace": "api", "labels": {"kubernetes.io/service-name": "out"}},
        "endpoints": [{"addresses": ["198.51.100.7"]}],
        "ports": [{"port": 8443}],
    }
    rules = "[{action: Allow, destination: {services: {name: out, namespace: api}}}]"
    policies = [made, slices, gnp(f"{{selector: app == 'web', types: [Egress], egress: {rules}}}")]
    assert allowed(policies, f"{WEB} > 198.51.100.7 8443", "calico")
    assert not allowed(policies, f"{WEB} > 198.51.100.7 443", "calico")
    assert not allowed(policies, f"{WEB} > 203.0.113.9 8443", "calico")
    spec = "{endpointSelector: {}, egress: [{toServices: [{k8sService: {serviceName: out, namespace: api}}]}]}"
    for address, is_open in (("198.51.100.7", True), ("203.0.113.9", False)):
        assert allowed([made, slices, cilium("shop", spec)], f"{WEB} > {address} 8443", "cilium") == is_open


def test_ipv6() -> None:
    """The addresses of one version are no other's; blocks of the other one are about nobody."""
    pods = [
        {**item, "status": {"podIPs": [*item["status"]["podIPs"], {"ip": f"2001:db8::{number}"}]}}
        for number, item in enumerate(CLUSTER.pods)
    ]
    spec = "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: '%s', except: ['2001:db8::3/128']}}]}]}"
    objects = [*CLUSTER.namespaces, *pods, np("shop", spec % "2001:db8::/32")]
    asked = Enquiry(objects, version=6)
    for name, is_open in ((SCAN, True), (BACK, False), (DB, True)):
        (answer,) = asked.ask({"from": _end(WEB), "to": _end(name), "port": 80})
        assert answer.verdict.allowed == is_open, name
    (answer,) = asked.ask({"from": _end(WEB), "to": {"address": "fd00::1"}, "port": 80})
    assert not answer.verdict.allowed


def test_a_pod_without_an_address_of_a_version_is_in_none_of_its_networks() -> None:
    policy = np("shop", "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: '::/0'}}]}]}")
    asked = Enquiry([*CLUSTER.namespaces, *CLUSTER.pods, policy], version=6)
    for name, is_open in ((BACK, False), (DB, True)):  # the latter has no address at all yet
        (answer,) = asked.ask({"from": _end(WEB), "to": _end(name), "port": 80})
        assert answer.verdict.allowed == is_open


@pytest.mark.parametrize(
    ("entities", "reached"),
    [
        ("[host]", {"one"}),
        ("[remote-node]", {"two"}),
        ("[host, remote-node]", {"one", "two"}),
        ("[cluster]", {"one", "two"}),
        ("[world]", set()),
    ],
)
def test_cilium_tells_a_pods_own_node_from_others(entities: str, reached: set[str]) -> None:
    pods = [{**item, "spec": {**item["spec"], "nodeName": "one"}} for item in CLUSTER.pods]
    policy = cilium("shop", f"{{endpointSelector: {{}}, egress: [{{toEntities: {entities}}}]}}")
    asked = Enquiry([*CLUSTER.namespaces, *pods, *CLUSTER.nodes, policy])
    found = set()
    for name in ("one", "two"):
        (answer,) = asked.ask({"from": _end(WEB), "to": _end(name), "port": 80})
        found |= {name} if answer.verdict.allowed else set()
    assert found == reached


def test_own_node() -> None:
    pods = [{**item, "spec": {**item["spec"], "nodeName": "one"}} for item in CLUSTER.pods]
    objects = [*CLUSTER.namespaces, *pods, *CLUSTER.nodes, np("shop", DENY_ALL)]
    for engine, out in (("kubernetes", True), ("calico", False), ("cilium", False)):
        asked = Enquiry(objects, engine)
        for source, destination, expected in ((_end("one"), _end(WEB), True), (_end(WEB), _end("one"), out)):
            (answer,) = asked.ask({"from": source, "to": destination, "port": 80})
            assert answer.verdict.allowed == expected
        (other,) = asked.ask({"from": _end("two"), "to": _end(WEB), "port": 80})
        assert not other.verdict.allowed
