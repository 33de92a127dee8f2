"""Schema findings: a program checks every object of a tree, and every Application that it generates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from devtools.gitops.schemas import Checked, Rejection
from devtools.gitops.tree.read import KubeObject
from devtools.gitops.verify.applications import Application, World
from devtools.gitops.verify.finding import Finding, finding

Check = Callable[[Sequence[Mapping[str, Any]]], Checked]


def schema_findings(world: World, check: Check) -> tuple[tuple[Finding, ...], Checked]:
    """Return a program's findings about the objects of a tree, and its name.

    Only objects that are applied unchanged are checked: no encrypted ones, and none in which Flux substitutes
    variables.
    """
    subjects: list[KubeObject | Application] = [
        item for item in world.tree.objects if "sops" not in item.data and "${" not in json.dumps(item.data)
    ]
    subjects += [one for one in world.applications if one.generated]
    checked = check([one.data for one in subjects])
    return tuple(dict.fromkeys(_finding(subjects[one.index], one) for one in checked.rejections)), checked


def _finding(subject: KubeObject | Application, rejection: Rejection) -> Finding:
    rule = "schema-unknown-field" if rejection.unknown else "schema-invalid"
    return finding(rule, subject.at(*rejection.path), f"{subject.kind} {subject.name}: {rejection.message}")
