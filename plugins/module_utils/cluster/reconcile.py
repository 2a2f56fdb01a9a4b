# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what is declared and what is there to what is to be done, and then doing it.

``Planner`` only reads: one LIST a kind. ``Plan.execute`` writes by server-side apply, wave by wave, several
requests at a time. Check mode runs the same steps with ``dryRun=All``, so that admission has its say.
"""

from __future__ import annotations

import base64
import hashlib
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from ansible_collections.hardened.k8s.plugins.module_utils.checks import selectors
from ansible_collections.hardened.k8s.plugins.module_utils.cluster import canonical, diff, explain, wait
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.canonical import FIELD_MANAGER, view
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import Answer, Api, ApiError
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.resources import (
    FIRST,
    KINDS,
    LAST,
    MIDDLE,
    READ_ONLY,
    Kind,
    object_path,
    wave,
)
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError, Problem
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import admission
from ansible_collections.hardened.k8s.plugins.module_utils.manifests.declaration import Declaration, Manifest, ref_of

_Query = t.Mapping[str, t.Any]

PART_OF = "applyset.kubernetes.io/part-of"
OWNER = "hardened.k8s/owner"
CREATED = "hardened.k8s/created"

#: With so few namespaces concerned, a LIST in each is less than one of the whole cluster.
FEW_NAMESPACES = 2
#: Lists kept whole, because checks look at objects that are not declared too.
KEPT_WHOLE = ("Namespace", "ClusterRole", "Role", "NetworkPolicy")

CREATE, UPDATE, REPLACE, DELETE, RELEASE = "create", "update", "replace", "delete", "release"
UNCHANGED, REFUSED, FAILED = "unchanged", "refused", "failed"
CHANGING = (CREATE, UPDATE, REPLACE, DELETE, RELEASE)


def applyset_id(owner: str) -> str:
    """The value of the part-of label, in the form of KEP-3659: a digest of ``name.namespace.kind.group``."""
    digest = hashlib.sha256(f"{owner}..Owner.hardened.k8s".encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"


def is_protected(namespace: str) -> bool:
    """Namespaces that the cluster itself lives in."""
    return namespace == "default" or namespace.startswith("kube-")


@dataclass
class Step:
    """What is to be done with one object, and afterwards what was done.

    :param desired: what is sent, ownership included; None for deletions.
    :param within: the object goes with its namespace, without a request of its own.
    :param about: the namespaces that it concerns from outside, all of which are to go: it holds until they do.
    :param predicted: the server could not be asked (its namespace is not there yet).
    """

    ref: Ref
    action: str
    where: str
    live: t.Optional[Manifest] = None
    desired: t.Optional[Manifest] = None
    after: t.Optional[Manifest] = None
    within: bool = False
    about: t.FrozenSet[str] = frozenset()
    predicted: bool = False
    warnings: t.List[str] = field(default_factory=list)
    problem: t.Optional[Problem] = None

    @property
    def kind(self) -> Kind:
        return KINDS[self.ref.kind]

    @property
    def changed(self) -> bool:
        return self.action in CHANGING

    def fail(self, reason: str, remedy: str) -> None:
        self.stop(Problem(self.where, reason, remedy, *self.ref), FAILED)

    def stop(self, problem: Problem, action: str) -> None:
        """Nothing (more) is done with this object; what is there stays."""
        self.problem = problem
        self.action = action
        self.after = self.live

    def as_dict(self) -> t.Dict[str, t.Any]:
        result: t.Dict[str, t.Any] = {**self.ref._asdict(), "action": self.action}
        if self.predicted:
            result["predicted"] = True
        if self.warnings:
            result["warnings"] = self.warnings
        return result

    def diff(self) -> t.Dict[str, str]:
        return diff.entry(self.ref, self.live, self.after)


class Store:
    """What was read from the cluster: declared and owned objects by name, some kinds whole."""

    def __init__(self) -> None:
        self.objects: t.Dict[Ref, Manifest] = {}
        self.whole: t.Dict[str, t.List[Manifest]] = {kind: [] for kind in KEPT_WHOLE}
        #: kinds of which not all could be listed
        self.partial: t.Set[str] = set()

    def get(self, ref: Ref) -> t.Optional[Manifest]:
        return self.objects.get(ref)


class Reader:
    """LISTs, one a kind, over the connection's threads."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.partial: t.Set[str] = set()

    def _in_each(
        self, kind: Kind, namespaces: t.Iterable[str], query: t.Optional[_Query] = None
    ) -> t.Iterator[Manifest]:
        for namespace in sorted(namespaces):
            yield from self.items(kind, query, namespace)

    def items(self, kind: Kind, query: t.Optional[_Query] = None, namespace: str = "") -> t.Iterator[Manifest]:
        """What one LIST returns, each item with the kind that the server leaves out."""
        for page in self.api.pages(kind.path(namespace), query):
            for item in page:
                item["apiVersion"], item["kind"] = kind.api_version, kind.name
                yield item

    def list(
        self, kind: Kind, namespaces: t.Collection[str], everywhere: bool, query: t.Optional[_Query] = None
    ) -> t.Iterator[Manifest]:
        """All objects of a kind that may matter; in the namespaces alone where the cluster may not be listed.

        :param everywhere: objects outside these namespaces matter too (prune), so only the whole cluster will do.
        :param query: what the server is to select by.
        :raises HardenedError: no permission.
        """
        few = kind.namespaced and len(namespaces) <= FEW_NAMESPACES
        # the other end of a flow is judged, too
        narrow = few and not everywhere and kind.name != "NetworkPolicy"
        try:
            if narrow:
                yield from self._in_each(kind, namespaces, query)
            else:
                yield from self.items(kind, query)
        except ApiError as error:
            if error.status == 404 and kind.extension:
                raise HardenedError(
                    f"the cluster does not serve {kind.resource}, which this declaration needs",
                    f"Install what brings {kind.api_version}, or choose another provider",
                ) from error
            if error.status == 404:
                return  # a kind that this version of Kubernetes does not have
            if error.status != 403 or narrow or everywhere:
                raise HardenedError(
                    f"cannot list {kind.resource}: {error.message}", explain.permission(kind, "list")
                ) from error
            self.partial.add(kind.name)
            yield from self._one_by_one(kind, namespaces, query)

    def _one_by_one(self, kind: Kind, namespaces: t.Collection[str], query: t.Optional[_Query]) -> t.Iterator[Manifest]:
        try:
            if kind.namespaced:
                yield from self._in_each(kind, namespaces, query)
                return
            for name in namespaces if kind.name == "Namespace" else ():
                found = self.find(Ref(kind.name, "", name))
                if found:
                    yield found
        except ApiError as error:
            raise HardenedError(
                f"cannot read {kind.resource}: {error.message}", explain.permission(kind, "list")
            ) from error

    def find(self, ref: Ref) -> t.Optional[Manifest]:
        """One object, or None where there is none."""
        try:
            return self.api.request("GET", object_path(ref)).body
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def in_namespaces(
        self, kind_name: str, namespaces: t.Collection[str], query: t.Optional[_Query] = None
    ) -> t.List[Manifest]:
        """Objects of a kind that is only read (pods, ...), of these namespaces alone."""
        kind = READ_ONLY[kind_name]
        wanted = set(namespaces)
        if not wanted:
            return []
        return [item for item in self.list(kind, wanted, False, query) if item["metadata"]["namespace"] in wanted]


def read(api: Api, kinds: t.Iterable[str], wanted: t.Collection[Ref], part_of: str, prune: bool) -> Store:
    """Read every kind concerned, at the same time; keep what is declared or carries the owner's label."""
    reader = Reader(api)
    namespaces = {ref.namespace or ref.name for ref in wanted if ref.namespace or ref.kind == "Namespace"}
    store = Store()

    def one(name: str) -> t.Tuple[str, t.List[Manifest]]:
        kept = []
        for item in reader.list(KINDS[name], namespaces, prune):
            labels = item["metadata"].get("labels") or {}
            if name in store.whole or ref_of(item) in wanted or labels.get(PART_OF) == part_of:
                kept.append(item)
        return name, kept

    with ThreadPoolExecutor(api.workers) as pool:
        for name, items in pool.map(one, sorted(set(kinds))):
            for item in items:
                store.objects[ref_of(item)] = item
            if name in store.whole:
                store.whole[name] = items
    store.partial = reader.partial
    return store


def read_namespaces(
    api: Api, kinds: t.Iterable[str], names: t.Optional[t.Sequence[str]], selector: str
) -> t.Dict[str, t.List[Manifest]]:
    """The objects of these kinds by namespace, as a person reads them.

    :param names: the namespaces wanted; None for all.
    :param selector: only namespaces with these labels.
    """
    reader = Reader(api)
    query = {"labelSelector": selector} if selector else None
    try:
        spaces = {item["metadata"]["name"]: [view(item)] for item in reader.items(KINDS["Namespace"], query)}
    except ApiError as error:
        raise HardenedError(
            f"cannot list namespaces: {error.message}", explain.permission(KINDS["Namespace"], "list")
        ) from error
    wanted = {name for name in spaces if names is None or name in names}

    def one(name: str) -> t.List[Manifest]:
        listed = reader.list(KINDS[name], wanted, False)
        return [view(item) for item in listed if item["metadata"]["namespace"] in wanted]

    with ThreadPoolExecutor(api.workers) as pool:
        for items in pool.map(one, [name for name in kinds if name != "Namespace"]):
            for item in items:
                spaces[item["metadata"]["namespace"]].append(item)
    return {name: spaces[name] for name in wanted}


class Planner:
    """Compares a declaration with the store, object by object. Sends nothing."""

    def __init__(self, store: Store, owner: str, force: bool) -> None:
        self.store = store
        self.owner = owner
        self.part_of = applyset_id(owner)
        self.force = force
        #: namespaces on their way out: what is still in them will be gone, too
        self.ending = {
            item["metadata"]["name"] for item in store.whole["Namespace"] if item["metadata"].get("deletionTimestamp")
        }

    def _labels(self, manifest: Manifest) -> t.Dict[str, str]:
        labels: t.Dict[str, str] = manifest["metadata"].get("labels") or {}
        return labels

    def owns(self, live: Manifest) -> bool:
        return self._labels(live).get(PART_OF) == self.part_of

    def created(self, live: Manifest) -> bool:
        """Whether this owner made the object, rather than found it."""
        return (live["metadata"].get("annotations") or {}).get(CREATED) == self.owner

    def _owned(self, manifest: Manifest, live: t.Optional[Manifest]) -> Manifest:
        """The manifest with this owner's labels, and with the mark of who made it, which decides its end."""
        metadata = dict(manifest["metadata"])
        metadata["labels"] = {**(metadata.get("labels") or {}), PART_OF: self.part_of, OWNER: self.owner}
        if live is None or self.created(live):
            metadata["annotations"] = {**(metadata.get("annotations") or {}), CREATED: self.owner}
        return {**manifest, "metadata": metadata}

    def present(self, manifest: Manifest, where: str) -> Step:
        """What it takes to make an object as declared."""
        ref = ref_of(manifest)
        live = None if ref.namespace in self.ending else self.store.get(ref)
        ending = ref.kind == "Namespace" and ref.name in self.ending
        desired = self._owned(manifest, None if ending else live)
        step = Step(ref, CREATE, where, live, desired)
        if live is None or ending:
            return step
        other = self._labels(live).get(OWNER)
        if other and other != self.owner and not self.force:
            step.fail(
                f"{ref} belongs to owner {other}, this call is owner {self.owner}",
                f"Declare it in one place, say owner: {other} here, or take it over with force_conflicts: true",
            )
            return step
        fields = canonical.own_fields(live)
        # an object that already says what is declared stays its maker's: no label, no write
        compared = desired if fields is not None else manifest
        if canonical.satisfied(live, compared) and not any(canonical.beyond(fields or {}, compared)):
            step.action, step.after = UNCHANGED, live
        elif any(not canonical.satisfied(_part(live, name), _part(manifest, name)) for name in step.kind.immutable):
            step.action, step.desired = REPLACE, self._owned(manifest, None)
        else:
            step.action = UPDATE
        return step

    def gone(self, ref: Ref, where: str) -> t.Optional[Step]:
        """What it takes to undo an object; None where there is nothing of this owner's."""
        live = self.store.get(ref)
        if live is None or not self.owns(live) or live["metadata"].get("deletionTimestamp"):
            return None
        adopted = self._adopted(ref, live)
        return Step(ref, RELEASE if adopted else DELETE, where, live, _bare(live) if adopted else None)

    def _adopted(self, ref: Ref, live: Manifest) -> bool:
        """Whether others need the object: it was there before, and would still mean something of theirs."""
        if ref[::2] == ("ServiceAccount", "default"):
            return True
        return not self.created(live) and all(canonical.shared(live, path) for path in KINDS[ref.kind].core)


def _part(manifest: Manifest, name: str) -> Manifest:
    same: Manifest = {key: manifest[key] for key in ("apiVersion", "kind") if key in manifest}
    return {**same, "metadata": {"name": ""}, name: manifest.get(name)}


def _bare(live: Manifest) -> Manifest:
    """An object that desires nothing: applied, it gives up every field that this collection owns."""
    metadata = {key: live["metadata"][key] for key in ("name", "namespace") if key in live["metadata"]}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata}


def _about(going: t.Collection[str], deleted: t.Iterable[Step]) -> t.Dict[Ref, t.FrozenSet[str]]:
    """Deleted objects outside of all namespaces that only concern namespaces that are to go; and which these are.

    These are admission policies with their bindings, and cluster roles with the bindings that grant them to service
    accounts.
    """
    policy_of = {f"{kind}Binding": kind for kind in (admission.VALIDATING, admission.MUTATING)}
    about: t.Dict[Ref, t.FrozenSet[str]] = {}
    for step in deleted:
        live = t.cast(Manifest, step.live)
        if step.ref.kind in policy_of:
            selector = (live["spec"].get("matchResources") or {}).get("namespaceSelector")
            spaces = selectors.namespaces_named(selectors.requirements(selector))
            target = Ref(policy_of[step.ref.kind], "", live["spec"]["policyName"])
        elif step.ref.kind == "ClusterRoleBinding":
            spaces = frozenset(subject.get("namespace") or "" for subject in live.get("subjects") or [])
            target = Ref("ClusterRole", "", live["roleRef"]["name"])
        else:
            continue
        if spaces and spaces.issubset(going):
            for ref in (step.ref, target):
                about[ref] = about.get(ref, frozenset()) | spaces
    return about


class Plan:
    """The steps of one call."""

    def __init__(self, steps: t.List[Step], store: Store, api: Api) -> None:
        self.steps = steps
        self.store = store
        self.api = api
        self._by_ref = {step.ref: step for step in steps}
        going = {s.ref.name for s in steps if s.ref.kind == "Namespace" and s.action == DELETE}
        about = _about(going, [step for step in steps if step.action == DELETE])
        for step in steps:
            step.within = step.ref.namespace in going
            step.about = about.get(step.ref, frozenset())

    def writing(self, *kinds: str) -> t.List[Step]:
        """The steps that create or change an object of these kinds."""
        return [s for s in self.steps if s.ref.kind in kinds and s.action in (CREATE, UPDATE, REPLACE)]

    def new_namespaces(self) -> t.Set[str]:
        return {s.ref.name for s in self.steps if s.ref.kind == "Namespace" and s.action == CREATE}

    def refuse(self, finding: Finding) -> Finding:
        """Withhold the object of a refused finding; one that is as declared already is only reported."""
        step = self._by_ref.get(finding.ref)
        if not finding.refused or step is None:
            return finding
        if step.action == UNCHANGED:
            return replace(finding, refused=False)
        step.stop(finding.refusal(step.where), REFUSED)
        self._keep_what_is_of_kept_namespaces()
        return finding

    def execute(self, check_mode: bool, force: bool, timeout: float) -> None:
        """Carry out the steps: namespaces, then the rest, then what grants or denies; deletions in reverse.

        :param timeout: seconds to wait for a namespace to become Active or to be gone.
        """
        writer = Writer(self, check_mode, force, timeout)
        # (deleting, wave) in the order in which cutting or granting does the least harm
        phases = [(False, FIRST), (False, MIDDLE), (False, LAST), (True, LAST), (True, MIDDLE), (True, FIRST)]
        with ThreadPoolExecutor(self.api.workers) as pool:

            def carry_out(steps: t.Sequence[Step]) -> None:
                for deleting, number in phases:
                    batch = [
                        s
                        for s in steps
                        if s.changed
                        and (s.action in (DELETE, RELEASE)) == deleting
                        and wave(s.desired if s.desired and not deleting else t.cast(Manifest, s.live)) == number
                    ]
                    for _done in pool.map(writer.run, batch):
                        pass

            carry_out([s for s in self.steps if not s.about])
            # all are asked to go before the first one is waited for
            for _gone in pool.map(writer.wait_until_gone, self.steps):
                pass
            self._keep_what_is_of_kept_namespaces()
            carry_out([s for s in self.steps if s.about])

    def _keep_what_is_of_kept_namespaces(self) -> None:
        """Objects that were to go with a namespace, in it or about it, stay with one that was refused or failed."""
        kept = {s.ref.name for s in self.steps if s.ref.kind == "Namespace" and s.action in (REFUSED, FAILED)}
        for step in self.steps:
            if (step.within and step.ref.namespace in kept) or step.about & kept:
                step.action, step.after = UNCHANGED, step.live


class Writer:
    """Carries out one step; safe to call from several threads, as steps touch different objects."""

    def __init__(self, plan: Plan, check_mode: bool, force: bool, timeout: float) -> None:
        self.api = plan.api
        self.plan = plan
        self.check_mode = check_mode
        self.force = force
        self.timeout = timeout
        self.new_namespaces = plan.new_namespaces()

    def run(self, step: Step) -> None:
        self._explained(step, lambda: self._dispatch(step))

    def _explained(self, step: Step, action: t.Callable[[], None]) -> None:
        """Do something for a step; what goes wrong becomes the step's problem, with its remedy."""
        try:
            action()
        except ApiError as error:
            if self.check_mode and error.status == 404 and self._role_to_come(step):
                step.after, step.predicted = step.desired, True
                return
            reason, remedy = explain.error(error, step.ref, step.kind, self.force)
            step.fail(reason, remedy)
        except (HardenedError, wait.WaitError) as error:
            step.fail(str(error), getattr(error, "remedy", ""))

    def _role_to_come(self, step: Step) -> bool:
        """Whether a binding is to a role that this run creates: a caller with no right to bind any has it looked up."""
        role = (step.desired or {}).get("roleRef") or {}
        return any(
            other.action == CREATE
            and (other.ref.kind, other.ref.name) == (role.get("kind"), role.get("name"))
            and other.ref.namespace in ("", step.ref.namespace)
            for other in self.plan.steps
        )

    def _dispatch(self, step: Step) -> None:
        if step.within:
            step.after = None
        elif step.action == DELETE:
            self._delete(step)
        elif step.action == REPLACE:
            self._replace(step)
        elif step.action == CREATE and step.ref.namespace in self.new_namespaces and self.check_mode:
            step.after, step.predicted = step.desired, True
        elif step.action == CREATE and step.live is not None:
            self._after_the_old_one(step)
        else:
            self._apply(step)

    def _apply(self, step: Step) -> None:
        self._record(step, self._send(t.cast(Manifest, step.desired), step.ref))
        if step.action == UPDATE and not diff.changed(step.live, step.after):
            step.action = UNCHANGED
        if step.ref.kind == "Namespace" and not self.check_mode and step.action == CREATE:
            wait.until_active(self.api, step.ref, t.cast(Manifest, step.after), self.timeout)

    def _send(self, manifest: Manifest, ref: Ref, dry_run: bool = False) -> Answer:
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        if self.force:
            query["force"] = "true"
        if self.check_mode or dry_run:
            query["dryRun"] = "All"
        for attempt in range(1, 4):
            try:
                return self.api.request("PATCH", object_path(ref), query, manifest, "application/apply-patch+yaml")
            except ApiError as error:
                # somebody made or changed it between two reads of the server; not a conflict of managers
                if error.status != 409 or error.causes or attempt == 3:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _record(self, step: Step, answer: Answer) -> None:
        step.after = answer.body
        step.warnings += [text for text in answer.warnings if text not in step.warnings]

    def _delete(self, step: Step) -> None:
        live = t.cast(Manifest, step.live)
        body: t.Dict[str, t.Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": live["metadata"]["uid"]},
        }
        if self.check_mode:
            body["dryRun"] = ["All"]
        try:
            self.api.request("DELETE", object_path(step.ref), body=body)
        except ApiError as error:
            if error.status != 404:
                raise
        step.after = None

    def wait_until_gone(self, step: Step) -> None:
        """Wait for a deleted namespace, whose contents go first."""
        if step.ref.kind == "Namespace" and step.action == DELETE and not self.check_mode:
            self._explained(step, lambda: wait.until_gone(self.api, step.ref, self.timeout))

    def _after_the_old_one(self, step: Step) -> None:
        if self.check_mode:
            step.after, step.predicted, step.live = step.desired, True, None
            return
        wait.until_gone(self.api, step.ref, self.timeout)
        step.live = None
        self._apply(step)

    def _replace(self, step: Step) -> None:
        """Delete and create, for a field that cannot change; tried under another name first, put back on failure."""
        desired, old = t.cast(Manifest, step.desired), t.cast(Manifest, step.live)
        rehearsal = {
            **desired,
            "metadata": {**desired["metadata"], "name": f"{step.ref.name[:200]}.hardened-rehearsal"},
        }
        self._send(rehearsal, step.ref._replace(name=rehearsal["metadata"]["name"]), dry_run=True)
        self._delete(step)
        if self.check_mode:
            step.after = desired
            return
        try:
            self._record(step, self._send(desired, step.ref))
        except (ApiError, HardenedError):
            self.api.request(
                "POST", step.kind.path(step.ref.namespace), {"fieldManager": FIELD_MANAGER}, _portable(old)
            )
            raise


def _portable(manifest: Manifest) -> Manifest:
    """An object without what ties it to its stored self, so that it can be created again."""
    metadata = {k: v for k, v in manifest["metadata"].items() if k in ("name", "namespace", "labels", "annotations")}
    return {**manifest, "metadata": metadata}


def make_plan(
    api: Api,
    declaration: Declaration,
    *,
    kinds: t.Collection[str],
    owner: str,
    state: str,
    prune: bool,
    force: bool,
) -> Plan:
    """Read the cluster and decide, object by object.

    :param kinds: the kinds that the calling module writes; what prune may remove.
    :param state: ``present`` or ``absent``.
    """
    declared = [ref_of(manifest) for manifest in declaration.objects]
    wanted = {*declared, *declaration.withdrawn}
    listed = {ref.kind for ref in wanted} | (set(kinds) if prune else set())
    if "RoleBinding" in listed or "ClusterRoleBinding" in listed:
        listed |= {"ClusterRole", "Role"}  # what a binding hands out is judged by the role's rules
    if listed & {"NetworkPolicy", "ValidatingAdmissionPolicyBinding"} and state != "absent":
        listed.add("Namespace")  # peers, and what a binding selects, are judged by the labels of their namespaces
    store = read(api, listed, wanted, applyset_id(owner), prune)
    planner = Planner(store, owner, force)
    if state == "absent":
        steps = [planner.gone(ref, declaration.where[ref]) or _nothing(ref, declaration, store) for ref in declared]
        steps += [s for s in (planner.gone(ref, declaration.where[ref]) for ref in declaration.withdrawn) if s]
    else:
        steps = [planner.present(manifest, declaration.where[ref_of(manifest)]) for manifest in declaration.objects]
        steps += [s for s in (planner.gone(ref, declaration.where[ref]) for ref in declaration.withdrawn) if s]
    if prune:
        known = set(wanted)
        for ref in sorted(store.objects):
            space = ref.name if ref.kind == "Namespace" else ref.namespace
            if ref.kind in kinds and ref not in known and not is_protected(space):
                step = planner.gone(ref, "prune")
                if step:
                    steps.append(step)
    return Plan(steps, store, api)


def _nothing(ref: Ref, declaration: Declaration, store: Store) -> Step:
    live = store.get(ref)
    return Step(ref, UNCHANGED, declaration.where[ref], live, after=live)
