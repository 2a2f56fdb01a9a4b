# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is worth knowing before SELinux enforces on a node, and once it does: who would be denied what, who is confined."""

from __future__ import annotations

import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.node import api, kubelet, pods, selinux
from ansible_collections.hardened.k8s.plugins.module_utils.node.module import Wanted
from ansible_collections.hardened.k8s.plugins.module_utils.node.node import Node
from ansible_collections.hardened.k8s.plugins.module_utils.node.selinux import Denial

_SHOWN = 12
#: Containers run as this, unless their pods ask for another one.
_CONTAINER = "container_t"
#: Of a container that nothing confines.
_SPC = "spc_t"
_CATEGORIES = "s0:c1,c2"
#: What a type is that containers may not use, until the file is labelled for them.
_FOR_CONTAINERS = "container_file_t"
#: What is denied to containers -> the boolean of container-selinux by which it is allowed to all of them.
_BOOLEANS: t.Mapping[t.Tuple[str, str], str] = {
    ("cgroup_t", ""): "container_manage_cgroup",
    ("cert_t", ""): "container_read_certs",
    ("nfs_t", ""): "virt_use_nfs",
    ("cifs_t", ""): "virt_use_samba",
    ("cephfs_t", ""): "container_use_cephfs",
    ("ecryptfs_t", ""): "container_use_ecryptfs",
    ("fusefs_t", ""): "virt_sandbox_use_fusefs",
    ("device_t", ""): "container_use_devices",
    ("", "tcp_socket"): "container_connect_any",
}
Pod = t.Mapping[str, t.Any]


class Report:
    """What is found on one node.

    :param enforce: whether it is to enforce.
    :param relevant: domains without which the node has no pods, or nobody gets in.
    :param asks: whether it does not begin to where the API server cannot be asked.
    """

    def __init__(
        self, node: Node, wanted: Wanted, enforce: bool, relevant: t.AbstractSet[str], asks: bool = False
    ) -> None:
        self.node, self.wanted, self.enforce, self.asks = node, wanted, enforce, asks
        self.asked = self._ask()
        self.processes = pods.processes(node)
        self.known = {**pods.names(node), **{api.uid(pod): pods.place(pod) for pod in self.asked}}
        self.relevant = {*relevant, *(selinux.type_of(process.label) for process in self.processes)}
        self.booleans = selinux.booleans(node)

    def _ask(self) -> t.List[t.Dict[str, t.Any]]:
        try:
            return api.Api(self.node).pods()
        except HardenedError as error:
            if kubelet.is_running(self.node) and self.node.exists(kubelet.kubeconfig_path(self.node)):
                self._tell(
                    "selinux/api-silent",
                    Ref("Node", "", ""),
                    f"the API server cannot be asked whether this node stays Ready, nor what its pods use: {error.message}",
                    "See that the node reaches it, or accept that this is not known",
                    refuse=self.asks,
                )
            return []

    def make(self, since: float, refuse: bool) -> None:
        """Find it all.

        :param since: when labels were made right; what was denied before says nothing any more.
        :param refuse: whether what would be denied keeps the node from enforcing.
        """
        denials, lost = selinux.denials(self.node, since)
        for denial in denials:
            # by a rule or a label that has come since
            if not selinux.is_allowed(self.node, denial) and not self._is_relabelled(denial):
                self._denied(denial, refuse)
        if lost and refuse:
            self._tell(
                "selinux/log-incomplete",
                Ref("Node", "", ""),
                "the kernel denied more than it could log, so that what would be denied is not all known",
                "Install auditd, or raise its backlog and rate limits, boot the node, and observe again",
                refuse=True,
            )
        self._unconfined()
        self._same_categories()
        self._host_paths()
        self._shared_volumes()

    def _tell(
        self, rule: str, ref: Ref, message: str, remedy: str, affected: t.Iterable[str] = (), refuse: bool = False
    ) -> None:
        self.wanted.findings.append(Finding(rule, ref, message, remedy, tuple(affected), refuse))

    # -- what is denied

    def _denied(self, denial: Denial, refuse: bool) -> None:
        matters = _is_container(denial.source) or denial.source in self.relevant
        matters = matters and not selinux.is_silent(self.node, denial)
        where = f" ({denial.path})" if denial.path else ""
        self._tell(
            "selinux/would-deny" if matters else "selinux/denied-elsewhere",
            Ref("SELinuxDomain", "", denial.source),
            f"it may not {' '.join(denial.operations)} a {denial.kind} of type {denial.target}{where}",
            self._remedy(denial),
            [f"{', '.join(denial.programs[:_SHOWN])}, {denial.count} times"],
            refuse=matters and refuse,
        )

    def _is_relabelled(self, denial: Denial) -> bool:
        """Whether what it was about has another label by now; of several files, one is known."""
        if denial.count > 1 or not denial.path or not self.node.exists(denial.path):
            return False
        return selinux.type_of(selinux.label(self.node, denial.path)) not in ("", denial.target)

    def _remedy(self, denial: Denial) -> str:
        """A label before a boolean, a boolean before a rule."""
        if denial.path and self.node.exists(denial.path):
            now = selinux.type_of(selinux.label(self.node, denial.path))
            should = selinux.wanted(self.node, [denial.path]).get(denial.path, "")
            if now == denial.target and should not in ("", "<<none>>", now):
                return f"It is mislabelled: restorecon -R {denial.path} makes it {should}"
        if _is_container(denial.source):
            keys = ((denial.target, ""), ("", denial.kind))
            boolean = next((_BOOLEANS[key] for key in keys if _BOOLEANS.get(key) in self.booleans), "")
            if boolean:
                return f"Let all containers do it by the boolean {boolean}, or the one pod by a type of its own"
            if denial.path and denial.kind in ("file", "dir", "lnk_file", "sock_file"):
                return f"Label it {_FOR_CONTAINERS} by fcontexts, if it is for containers; or allow it: {denial.rule()}"
        return f"Allow it in one of modules, if it is to be: {denial.rule()}"

    # -- who is confined

    def _unconfined(self) -> None:
        free = {_uid for _uid, pod in self._pods() if _is_free(pod)}
        found = {
            self._pod(process.pod)
            for process in self.processes
            if process.pod not in free and not _is_confined(selinux.type_of(process.label))
        }
        if found:
            self._tell(
                "selinux/started-before",
                Ref("Node", "", ""),
                "nothing confines these pods, as they were started before the runtime labelled any",
                "Have them created anew, such as by kubectl rollout restart",
                sorted(found),
            )

    def _pods(self) -> t.List[t.Tuple[str, Pod]]:
        return [(api.uid(pod), pod) for pod in self.asked]

    def _pod(self, uid: str) -> str:
        return "/".join(self.known[uid]) if uid in self.known else uid

    def _same_categories(self) -> None:
        """Pods that could reach each other's files, but for those that ask for it."""
        chosen = {
            uid for uid, pod in self._pods() if any(_options(context).get("level") for context in pods.contexts(pod))
        }
        by_level: t.Dict[str, t.Set[str]] = {}
        for process in self.processes:
            parts = process.label.split(":", 3)
            if len(parts) == 4 and _is_container(parts[2]) and "c" in parts[3] and process.pod not in chosen:
                by_level.setdefault(parts[3], set()).add(self._pod(process.pod))
        for level, names in sorted(by_level.items()):
            if len(names) > 1:
                self._tell(
                    "selinux/same-categories",
                    Ref("SELinuxLevel", "", level),
                    "pods have the same categories, so that nothing keeps them from each other's files",
                    "Have all but one created anew",
                    sorted(names),
                )

    # -- what pods ask for

    def _host_paths(self) -> None:
        """Pods that are given a file or folder of the node which the policy keeps from them."""
        refused: t.Dict[t.Tuple[str, str], t.Set[str]] = {}
        for _uid, pod in self._pods():
            for path, setype, writes in _host_paths(pod):
                now = selinux.label(self.node, path)
                if now and self._may(setype, now, path, writes) is False:
                    refused.setdefault((path, selinux.type_of(now)), set()).add("/".join(pods.place(pod)))
        for (path, now), names in sorted(refused.items()):
            self._tell(
                "selinux/host-path",
                Ref("HostPath", "", path),
                f"it is labelled {now}, which keeps it from the pods that are given it",
                f"Label it {_FOR_CONTAINERS} by fcontexts if it is for pods alone, or give them seLinuxOptions.type {_SPC}",
                sorted(names),
                refuse=self.enforce,
            )

    def _may(self, setype: str, label: str, path: str, writes: bool) -> t.Optional[bool]:
        source = f"system_u:system_r:{setype}:{_CATEGORIES}"
        if self.node.is_folder(path):
            return selinux.allows(self.node, source, label, "dir", ["search", "read", *(["write"] if writes else [])])
        return selinux.allows(self.node, source, label, "file", ["read", *(["write"] if writes else [])])

    def _shared_volumes(self) -> None:
        """Pods of this node that could not have a volume at the same time, once it is mounted with its label.

        As KEP-1710 has it, which holds for every volume from Kubernetes 1.37 on: a volume has one label, that of the pod
        that came first; others wait until it is gone, unless all of them ask to have files labelled one by one.
        """
        claims: t.Dict[t.Tuple[str, str], t.Dict[str, t.Set[str]]] = {}
        mounted: t.Set[t.Tuple[str, str]] = set()
        for _uid, pod in self._pods():
            space, name = pods.place(pod)
            for claim in _claims(pod):
                claims.setdefault((space, claim), {}).setdefault(_level(pod), set()).add(name)
                mounted |= set() if _policy(pod) == "Recursive" else {(space, claim)}
        for (space, claim), by_label in sorted(claims.items()):
            if len(by_label) > 1 and (space, claim) in mounted:
                shown = (f"{', '.join(sorted(names))}: {label or 'none'}" for label, names in sorted(by_label.items()))
                self._tell(
                    "selinux/shared-volume",
                    Ref("PersistentVolumeClaim", space, claim),
                    "pods with different SELinux labels share it, which Kubernetes 1.37 no longer lets them do at once",
                    "Give them the same seLinuxOptions.level, or all of them seLinuxChangePolicy: Recursive",
                    shown,
                )


# -- pods, as their objects have them


def _is_container(setype: str) -> bool:
    return setype.startswith(("container_", "svirt_")) or setype == _SPC


def _is_confined(setype: str) -> bool:
    """A runtime that labels no container starts it in spc_t, which may do everything, or in its own domain."""
    return _is_container(setype) and setype not in (_SPC, "container_runtime_t")


def _options(context: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    return context.get("seLinuxOptions") or {}


def _is_free(pod: Pod) -> bool:
    """Whether it is of those that nothing is to confine: privileged, with the node's processes, or asking for it."""
    spec = pod["spec"]
    free = (c.get("privileged") or _options(c).get("type") == _SPC for c in pods.contexts(pod))
    return bool(spec.get("hostPID") or spec.get("hostIPC") or any(free))


def _host_paths(pod: Pod) -> t.Iterator[t.Tuple[str, str, bool]]:
    """Path, type of the container, and whether it may write there."""
    if not pods.contexts(pod) or pod["spec"].get("hostPID") or pod["spec"].get("hostIPC"):
        return
    spec, common = pod["spec"], _options(pod["spec"].get("securityContext") or {})
    paths = {v["name"]: v["hostPath"]["path"] for v in spec.get("volumes") or () if v.get("hostPath")}
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        context = container.get("securityContext") or {}
        setype = {**common, **_options(context)}.get("type") or _CONTAINER
        if context.get("privileged") or setype == _SPC:
            continue
        for mount in container.get("volumeMounts") or ():
            if mount["name"] in paths:
                yield paths[mount["name"]], setype, not mount.get("readOnly")


def _claims(pod: Pod) -> t.Iterator[str]:
    if pods.contexts(pod):  # not of one that has ended
        for volume in pod["spec"].get("volumes") or ():
            if volume.get("persistentVolumeClaim"):
                yield str(volume["persistentVolumeClaim"]["claimName"])


def _policy(pod: Pod) -> str:
    return str((pod["spec"].get("securityContext") or {}).get("seLinuxChangePolicy") or "MountOption")


def _level(pod: Pod) -> str:
    """The label that a volume of it gets; none, where the runtime chooses."""
    chosen = {tuple(sorted(_options(context).items())) for context in pods.contexts(pod) if _options(context)}
    return " ".join(f"{key}={value}" for options in sorted(chosen) for key, value in options)
