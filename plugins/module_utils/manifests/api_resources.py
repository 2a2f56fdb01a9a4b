# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The resources of Kubernetes' own API groups and the verbs that they are asked for, 1.30 to 1.37.

RBAC accepts any text as a resource or a verb, so a slip of the pen grants nothing and says nothing. Groups
that are not listed belong to custom resources and aggregated APIs: nothing is known of them.

Sources: api/discovery of kubernetes/kubernetes; for what only authorizers see, the authorization checks of
kubernetes/kubernetes (registry/rbac, registry/resource, certauthorization, kubelet/server/auth.go) and of
k8s.io/apiserver (endpoints/filters/impersonation).
"""

from __future__ import annotations

import difflib
import typing as t


class Resource(t.NamedTuple):
    """What is known of ``resource`` or ``resource/subresource`` in one API group."""

    namespaced: bool
    verbs: t.FrozenSet[str]


_EVERY = "create,delete,deletecollection,get,list,patch,update,watch"
_HTTP = "create,delete,get,patch,update"
_CHANGE = "get,patch,update"

# Written name[=verbs][+subresource[=verbs]], the group first; EVERY and HTTP stand for the verbs above. What
# has no verbs has EVERY, a subresource without any has get, patch and update.
_NAMESPACED = """
core bindings=create configmaps endpoints events limitranges persistentvolumeclaims+status podtemplates
    pods+attach=create,get+binding=create+ephemeralcontainers+eviction=create+exec=create,get+log=get
    +portforward=create,get+proxy=HTTP+resize+status
    replicationcontrollers+scale+status resourcequotas+status secrets
    serviceaccounts=EVERY,impersonate+token=create services+proxy=HTTP+status
apps controllerrevisions daemonsets+status deployments+scale+status replicasets+scale+status
    statefulsets+scale+status
authentication.k8s.io serviceaccounts=impersonate:serviceaccount
authorization.k8s.io localsubjectaccessreviews=create
autoscaling horizontalpodautoscalers+status
batch cronjobs+status jobs+status
certificates.k8s.io podcertificaterequests+status
coordination.k8s.io leasecandidates leases
discovery.k8s.io endpointslices
events.k8s.io events
lifecycle.k8s.io evictionrequests+status evictions+status
networking.k8s.io ingresses+status networkpolicies
policy poddisruptionbudgets+status
rbac.authorization.k8s.io rolebindings roles=EVERY,bind,escalate
resource.k8s.io podschedulingcontexts+status resourceclaimparameters
    resourceclaims+binding=patch,update+driver=arbitrary-node:update+status
    resourceclaimtemplates resourceclassparameters
scheduling.k8s.io compositepodgroups+status podgroups+status workloads
storage.k8s.io csistoragecapacities
"""
_CLUSTER = """
core componentstatuses=get,list groups=impersonate users=impersonate
    namespaces=HTTP,list,watch+finalize=update+status
    nodes+checkpoint=create+configz=get+healthz=get+log=get+metrics=get+pods=get+proxy=HTTP+stats=get
    +status+statusz=get
    persistentvolumes+status
admissionregistration.k8s.io mutatingadmissionpolicies mutatingadmissionpolicybindings
    mutatingwebhookconfigurations validatingadmissionpolicies+status validatingadmissionpolicybindings
    validatingwebhookconfigurations
apiextensions.k8s.io customresourcedefinitions+status
apiregistration.k8s.io apiservices+status
authentication.k8s.io admissionReviewAPIGroups=attest groups=impersonate:user-info
    nodes=impersonate:arbitrary-node,impersonate:associated-node selfsubjectreviews=create tokenreviews=create
    uids=impersonate,impersonate:user-info userextras=impersonate,impersonate:user-info
    users=impersonate:user-info
authorization.k8s.io selfsubjectaccessreviews=create selfsubjectrulesreviews=create
    subjectaccessreviews=create
certificates.k8s.io certificatesigningrequests+approval+status clustertrustbundles signers=approve,attest,sign
flowcontrol.apiserver.k8s.io flowschemas+status prioritylevelconfigurations+status
internal.apiserver.k8s.io storageversions+status
networking.k8s.io ingressclasses ipaddresses servicecidrs+status
node.k8s.io runtimeclasses
rbac.authorization.k8s.io clusterrolebindings clusterroles=EVERY,bind,escalate
resource.k8s.io deviceclasses devicetaintrules+status resourceclasses resourcepoolstatusrequests+status
    resourceslices
scheduling.k8s.io priorityclasses
storage.k8s.io csidrivers csinodes+status storageclasses volumeattachments+status volumeattributesclasses
storagemigration.k8s.io storageversionmigrations+status
"""


def _parsed(entry: str) -> t.Iterator[t.Tuple[str, t.FrozenSet[str]]]:
    """Each resource that an entry of a table is about, and its verbs."""
    top, *below = entry.split("+")
    name, _equals, verbs = top.partition("=")
    parts = [(name, verbs or "EVERY")]
    for subresource, _equals, verbs in (part.partition("=") for part in below):
        parts.append((f"{name}/{subresource}", verbs or _CHANGE))
    for resource, texts in parts:
        yield resource, frozenset(texts.replace("EVERY", _EVERY).replace("HTTP", _HTTP).split(","))


def _read() -> t.Dict[str, t.Dict[str, Resource]]:
    resources: t.Dict[str, t.Dict[str, Resource]] = {}
    for table, namespaced in ((_NAMESPACED, True), (_CLUSTER, False)):
        for line in table.replace("\n    +", "+").replace("\n    ", " ").split("\n"):
            group, *entries = line.split() or [""]
            for resource, verbs in (pair for entry in entries for pair in _parsed(entry)):
                resources.setdefault(group if group != "core" else "", {})[resource] = Resource(namespaced, verbs)
    return resources


#: API group -> ``resource[/subresource]`` -> what is known of it.
RESOURCES = _read()


def find(group: str, resource: str) -> t.Optional[Resource]:
    """What is known of a resource; None where nothing is, or where it does not exist."""
    if resource.startswith("userextras/"):  # the rest is a key that anybody may choose
        resource = "userextras"
    return RESOURCES.get(group, {}).get(resource)


def is_asked(verb: str, verbs: t.Iterable[str]) -> bool:
    """Whether a request with this verb can come, given the verbs of a resource.

    Verbs that qualify others (``impersonate-on:user-info:get``) and those asked of any resource pass.
    """
    return verb in ("*", "use", "unsafe-delete-ignore-read-errors") or ":" in verb or verb in verbs


def split(text: str) -> t.Tuple[str, str]:
    """Group and resource of ``pods``, ``deployments.apps``, ``deployments.apps/scale``, as kubectl has it."""
    name, slash, subresource = text.partition("/")
    resource, _dot, group = name.partition(".")
    return group, f"{resource}{slash}{subresource}"


def joined(group: str, resource: str) -> str:
    """The inverse of :func:`split`."""
    name, slash, subresource = resource.partition("/")
    return f"{name}.{group}{slash}{subresource}" if group else resource


def nearest(resource: str) -> str:
    """What was probably meant by a resource that does not exist, or an empty text."""
    everywhere: t.Dict[str, t.List[str]] = {}
    for group, resources in RESOURCES.items():
        for name in resources:
            everywhere.setdefault(name, []).append(group)
    found = difflib.get_close_matches(resource, everywhere, 1, 0.8)
    return " or ".join(joined(group, found[0]) for group in everywhere[found[0]]) if found else ""
