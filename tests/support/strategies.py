# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random tenants: whatever the options allow, sensible or not."""

from __future__ import annotations

import typing as t

from hypothesis import strategies as st

_NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
_LABELS = st.dictionaries(_NAMES, st.from_regex(r"[A-Za-z0-9]{0,8}", fullmatch=True), max_size=3)
_AMOUNTS = st.sampled_from(
    ["1", "1000m", "2", "0.5", "500m", "1500m", "2k", "1e3", 4, 0.25, "1Ki", "1024Ki", "1.5Gi", "3M"]
)
_COUNTS = st.sampled_from(["0", "5", 7, "1000m", "2k", "1e3", 10])


def _maybe(**options: st.SearchStrategy[t.Any]) -> st.SearchStrategy[dict[str, t.Any]]:
    """A dictionary in which each of these may be missing."""
    return st.fixed_dictionaries({}, optional=options)


def _unique(elements: st.SearchStrategy[dict[str, t.Any]], key: str = "name") -> st.SearchStrategy[list[t.Any]]:
    return st.lists(elements, max_size=3, unique_by=lambda item: item[key])


_QUOTA = st.dictionaries(
    st.sampled_from(
        [
            "pods",
            "services",
            "secrets",
            "configmaps",
            "count/jobs.batch",
            "services.nodeports",
            "persistentvolumeclaims",
        ]
    ),
    _COUNTS,
    min_size=1,
    max_size=4,
) | st.dictionaries(
    st.sampled_from(
        ["requests.storage", "gold.storageclass.storage.k8s.io/requests.storage", "requests.example.com/gpu"]
    ),
    _COUNTS,
    min_size=1,
    max_size=2,
)
_SCOPED = st.fixed_dictionaries(
    {"name": _NAMES, "hard": st.just({"pods": 3})},
    optional={
        "scopes": st.sampled_from([["BestEffort"], ["Terminating"], ["NotTerminating", "NotBestEffort"]]),
    },
) | st.fixed_dictionaries(
    {
        "name": _NAMES,
        "hard": st.just({"pods": 0}),
        "scope_selector": st.just([{"scope_name": "PriorityClass", "operator": "In", "values": ["b", "a"]}]),
    }
)
_COMPUTE = st.dictionaries(st.sampled_from(["cpu", "memory"]), _AMOUNTS, min_size=1)
_LIMITS = st.builds(
    lambda option, amounts: {option: amounts}, st.sampled_from(["default", "default_request", "max", "min"]), _COMPUTE
)
_RULE = st.fixed_dictionaries(
    {
        "resources": st.lists(
            st.sampled_from(["configmaps", "services", "pods", "pods/log", "endpoints"]), min_size=1, unique=True
        ),
        "verbs": st.lists(st.sampled_from(["get", "list", "watch", "create"]), min_size=1, unique=True),
    },
    optional={
        "api_groups": st.sampled_from([[""], ["", "apps"], ["apps", ""]]),
        "resource_names": st.lists(_NAMES, min_size=1, max_size=2, unique=True),
    },
)
_RULES = st.lists(_RULE, min_size=1, max_size=3)
_SUBJECT = st.one_of(
    st.builds(lambda name: {"group": name}, _NAMES | st.just("oidc:team/one")),
    st.builds(lambda name: {"user": name}, _NAMES),
    st.builds(lambda name: {"service_account": name}, _NAMES),
    st.builds(lambda name: {"service_account": name, "namespace": "elsewhere"}, _NAMES),
)
_PODS = st.one_of(
    _LABELS,
    st.builds(
        lambda labels, keys: {
            "match_labels": labels,
            "match_expressions": [{"key": key, "operator": "In", "values": ["y", "x"]} for key in keys],
        },
        _LABELS,
        st.lists(_NAMES, min_size=1, max_size=2, unique=True),
    ),
)
_PEER = st.one_of(
    st.builds(lambda name: {"namespace": name}, _NAMES),
    st.builds(lambda name, pods: {"namespace": name, "pods": pods}, _NAMES, _PODS),
    st.builds(lambda labels: {"namespace_labels": labels}, _LABELS),
    st.builds(lambda pods: {"pods": pods}, _PODS),
    st.sampled_from(
        [
            {"cidr": "192.0.2.0/24"},
            {"cidr": "0.0.0.0/0"},
            {"cidr": "0.0.0.0/0", "except": ["198.51.100.0/24", "169.254.0.0/16"]},
            {"cidr": "::/0"},
            {"cidr": "169.254.0.0/16"},
            {"cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"]},
        ]
    ),
)
_PORT = st.sampled_from(
    [8080, "8443", "53/UDP", "http", "8000-8010", "9000-9001/SCTP", {"port": 5432}, {"protocol": "UDP"}]
)
_PORTS = st.lists(_PORT, min_size=1, max_size=3)


def _flow(own: str, peers: str) -> st.SearchStrategy[dict[str, t.Any]]:
    return _maybe(**{own: _PODS, peers: st.lists(_PEER, min_size=1, max_size=3), "ports": _PORTS})


_NETWORK = _maybe(
    default_deny=st.booleans(),
    dns=st.one_of(
        st.booleans(), st.just({"cidrs": ["169.254.20.10/32"]}), st.just({"namespace": "dns", "pods": {"app": "dns"}})
    ),
    ingress=st.lists(_flow("to", "from"), max_size=3),
    egress=st.lists(_flow("from", "to"), max_size=3),
)

OPTIONS: st.SearchStrategy[dict[str, t.Any]] = _maybe(
    labels=_LABELS,
    annotations=_LABELS,
    stage=st.sampled_from(["observe", "warn", "enforce"]),
    pod_security=st.sampled_from(["privileged", "baseline", "restricted"]),
    default_service_account_token=st.booleans(),
    quota=_QUOTA,
    quotas=_unique(_SCOPED),
    limits=_LIMITS,
    limit_ranges=_unique(
        st.fixed_dictionaries(
            {"name": _NAMES, "limits": st.builds(lambda limit: [{"type": "Container", **limit}], _LIMITS)}
        )
    ),
    service_accounts=_unique(
        st.fixed_dictionaries(
            {"name": _NAMES.map(lambda name: f"sa-{name}")},
            optional={
                "automount": st.booleans(),
                "labels": _LABELS,
                "rules": _RULES,
                "image_pull_secrets": st.just(["b", "a"]),
            },
        )
    ),
    roles=_unique(st.fixed_dictionaries({"name": _NAMES.map(lambda name: f"role-{name}"), "rules": _RULES})),
    bindings=_unique(
        st.fixed_dictionaries(
            {
                "name": _NAMES.map(lambda name: f"binding-{name}"),
                "cluster_role": st.sampled_from(["view", "edit"]),
                "subjects": st.lists(_SUBJECT, min_size=1, max_size=3, unique_by=str),
            }
        )
    ),
    access=st.lists(
        st.builds(lambda subject, role: {**subject, "role": role}, _SUBJECT, st.sampled_from(["view", "edit"])),
        max_size=3,
        unique_by=str,
    ),
    network=_NETWORK,
)
