# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Instances and launch templates, and their metadata options changed."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ansible_collections.hardened.k8s.plugins.module_utils.aws import metadata
from ansible_collections.hardened.k8s.plugins.module_utils.aws.client import Aws, AwsError, Client
from ansible_collections.hardened.k8s.plugins.module_utils.aws.driver import Outcome
from ansible_collections.hardened.k8s.plugins.module_utils.aws.steps import (
    FAILED,
    INSTANCE,
    LAUNCH_TEMPLATE,
    UNCHANGED,
    UPDATE,
    Call,
    Step,
)
from ansible_collections.hardened.k8s.plugins.module_utils.errors import HardenedError, Problem
from ansible_collections.hardened.k8s.plugins.module_utils.findings import Finding, Ref

#: Instances that still have, or may get again, a metadata service.
_STATES = ("pending", "running", "stopping", "stopped")
_CHUNK = 200


def _chunks(items: t.Sequence[str]) -> t.Iterator[t.List[str]]:
    for start in range(0, len(items), _CHUNK):
        yield list(items[start : start + _CHUNK])


def _latest(ref: Ref, number: int, version: t.Mapping[str, t.Any]) -> t.Iterator[Finding]:
    """What a launch template's latest version leaves open: groups may follow it instead of the default one."""
    options = metadata.Options.read(version["LaunchTemplateData"].get("MetadataOptions"))
    for finding in metadata.findings(ref, options):
        yield replace(
            finding,
            message=f"in its latest version {number}, which is not the default one, {finding.message}",
            remedy="Make its latest version the default one and declare it at stage enforce, or delete it",
        )


class Metadata:
    """instance_metadata."""

    def __init__(self, aws: Aws, params: t.Mapping[str, t.Any]) -> None:
        self.aws = aws
        self.params = params
        self.client: Client = aws.client("ec2")

    def plan(self, outcome: Outcome, items: t.Mapping[str, t.Any]) -> None:  # the module has no lists of dictionaries
        del items
        if not any(self.params[option] for option in ("instances", "filters", "launch_templates")):
            raise HardenedError(
                "nothing is named", "Name instances by instances or filters, or launch templates by launch_templates"
            )
        for instance in self._instances(outcome):
            self._instance(outcome, instance)
        for name in dict.fromkeys(self.params["launch_templates"]):
            self._template(outcome, name)

    # -- instances

    def _instances(self, outcome: Outcome) -> t.List[t.Dict[str, t.Any]]:
        found: t.Dict[str, t.Dict[str, t.Any]] = {}
        named = list(dict.fromkeys(self.params["instances"]))
        for chunk in _chunks(named):
            # by a filter, so that one that is not there does not hide the others
            for instance in self._described([{"Name": "instance-id", "Values": chunk}]):
                found[instance["InstanceId"]] = instance
        for missing in [name for name in named if name not in found]:
            outcome.problem(
                f"instances ({missing})",
                f"there is no instance {missing} in this region, or it is terminated",
                "Correct the ID, or the region",
                Ref(INSTANCE, "", missing),
            )
        if self.params["filters"]:
            filters = [
                {
                    "Name": str(name),
                    "Values": [str(value) for value in (values if isinstance(values, list) else [values])],
                }
                for name, values in self.params["filters"].items()
            ]
            fitting = {instance["InstanceId"]: instance for instance in self._described(filters)}
            found.update(fitting)
            if not fitting:
                outcome.findings.append(
                    Finding(
                        "imds/no-instance",
                        Ref(INSTANCE, "", "filters"),
                        "no instance fits the filters, so nothing was looked at",
                        "Correct them, or the region",
                    )
                )
        return [found[name] for name in sorted(found)]

    def _described(self, filters: t.List[t.Dict[str, t.Any]]) -> t.Iterator[t.Dict[str, t.Any]]:
        for reservation in self.aws.pages(self.client, "describe_instances", "Reservations", Filters=filters):
            for instance in reservation["Instances"]:
                if instance["State"]["Name"] in _STATES:
                    yield instance

    def _instance(self, outcome: Outcome, instance: t.Mapping[str, t.Any]) -> None:
        name = instance["InstanceId"]
        live = metadata.Options.read(instance.get("MetadataOptions"))
        after = metadata.wanted(live, self.params)
        call = Call("modify_instance_metadata_options", {"InstanceId": name, **after.request()})
        step = Step(
            Ref(INSTANCE, "", name),
            UNCHANGED if after == live else UPDATE,
            f"instance {name}",
            live.view(),
            after.view(),
            [] if after == live else [call],
        )
        self._add(outcome, step, live, after)

    def _add(self, outcome: Outcome, step: Step, live: metadata.Options, after: metadata.Options) -> None:
        """Below enforce nothing is written: every one of these options takes something away."""
        if self.params["stage"] != "enforce":
            step.action, step.calls, step.after, after = UNCHANGED, [], step.before, live
        outcome.steps.append(step)
        outcome.findings += metadata.findings(step.ref, after)

    # -- launch templates

    def _template(self, outcome: Outcome, name: str) -> None:
        where = f"launch_templates ({name})"
        key = "LaunchTemplateId" if name.startswith("lt-") else "LaunchTemplateName"
        ref = Ref(LAUNCH_TEMPLATE, "", name)
        try:
            answer = self.aws.call(
                self.client, "describe_launch_template_versions", **{key: name}, Versions=["$Default", "$Latest"]
            )
        except AwsError as error:
            outcome.problem(where, f"{ref}: {error.message}", error.remedy, ref)
            return
        versions = {version["VersionNumber"]: version for version in answer["LaunchTemplateVersions"]}
        latest = max(versions)
        default = next((number for number, version in versions.items() if version.get("DefaultVersion")), latest)
        live = metadata.Options.read(versions[default]["LaunchTemplateData"].get("MetadataOptions"))
        after = metadata.wanted(live, self.params)
        step = Step(
            ref,
            UNCHANGED,
            where,
            {"default_version": default, "metadata_options": live.view()},
            {"default_version": default, "metadata_options": live.view()},
        )
        if after != live:
            step.action = UPDATE
            step.after = {"default_version": latest + 1, "metadata_options": after.view()}
            step.calls = self._new_version({key: name}, default, latest, after)
        if after != live and latest != default and self.params["stage"] == "enforce":
            step.stop(
                Problem(
                    where,
                    f"{ref} has version {latest} besides its default version {default}; a new one would be the latest "
                    "and the default at once",
                    "Make its latest version the default one, or delete it",
                    *ref,
                ),
                FAILED,
            )
        self._add(outcome, step, live, live if step.problem else after)
        if latest != default:
            outcome.findings += _latest(ref, latest, versions[latest])

    def _new_version(
        self, template: t.Mapping[str, str], source: int, latest: int, after: metadata.Options
    ) -> t.List[Call]:
        """A version like the default one but for these options, and then the default."""
        data = {"MetadataOptions": after.request()}
        return [
            Call(
                "create_launch_template_version",
                {
                    **template,
                    "SourceVersion": str(source),
                    "VersionDescription": "hardened.k8s.instance_metadata",
                    "LaunchTemplateData": data,
                },
            ),
            Call("modify_launch_template", {**template, "DefaultVersion": str(latest + 1)}),
        ]

    # -- writing

    def execute(self, steps: t.Sequence[Step]) -> None:
        with ThreadPoolExecutor(self.aws.workers) as pool:
            for _done in pool.map(self._run, [step for step in steps if step.changed]):
                pass

    def _run(self, step: Step) -> None:
        params: t.Dict[str, t.Any] = {}
        try:
            for call in step.calls:
                answer = self.aws.call(self.client, call.method, **{**call.params, **params})
                step.done += 1
                if call.method == "create_launch_template_version":
                    params = {"DefaultVersion": str(answer["LaunchTemplateVersion"]["VersionNumber"])}
        except (AwsError, HardenedError) as error:
            step.stop(Problem(step.where, f"{step.ref}: {error.message}", error.remedy, *step.ref), FAILED)
