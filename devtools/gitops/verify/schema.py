"""Findings of schemas: every object of a tree, and every Application that it generates, judged by a program."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from devtools.errors import Location
from devtools.gitops.schemas import Checked, Rejection
from devtools.gitops.tree.read import KubeObject
from devtools.gitops.verify.applications import Application, World
from devtools.gitops.verify.finding import Finding, finding

Check = Callable[[Sequence[Mapping[str, Any]]], Checked]


def schema_findings(world: World, check: Check) -> tuple[tuple[Finding, ...], Checked]:
    """What a program has against the objects of a tree, and what it is."""
    subjects: list[KubeObject | Application] = [*_objects(world)]
    subjects += [one for one in world.applications if one.generated]
    checked = check([_data(one) for one in subjects])
    return tuple(dict.fromkeys(_finding(subjects[one.index], one) for one in checked.rejections)), checked


def _objects(world: World) -> Iterator[KubeObject]:
    """The objects that are applied as they are: no encrypted ones, and none that Flux substitutes variables in."""
    for item in world.tree.objects:
        if "sops" not in item.data and "${" not in json.dumps(item.data):
            yield item


def _data(subject: KubeObject | Application) -> Mapping[str, Any]:
    if isinstance(subject, KubeObject):
        return subject.data
    return {**subject.data, "apiVersion": "argoproj.io/v1alpha1", "kind": "Application"}


def _finding(subject: KubeObject | Application, rejection: Rejection) -> Finding:
    kind = subject.kind if isinstance(subject, KubeObject) else "Application"
    rule = "schema-unknown-field" if rejection.unknown else "schema-invalid"
    return finding(rule, _place(subject, rejection), f"{kind} {subject.name}: {rejection.message}")


def _place(subject: KubeObject | Application, rejection: Rejection) -> Location:
    return subject.at(*rejection.path)
