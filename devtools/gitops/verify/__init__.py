"""Finds errors in a GitOps tree that Argo CD or Flux would not report; renders and executes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from devtools.gitops.schemas import Checked, Rejection
from devtools.gitops.tree.read import KubeObject, read_tree
from devtools.gitops.verify import argocd, flux, objects, projects, sets, steps
from devtools.gitops.verify.applications import Application, World, world_of
from devtools.gitops.verify.finding import RULES, Finding, finding

__all__ = ["RULES", "Check", "Finding", "World", "findings_of", "notes_of", "read_world", "schema_findings"]

Check = Callable[[Sequence[Mapping[str, Any]]], Checked]
_RULES = (sets, steps, argocd, projects, flux, objects)


def read_world(directory: Path, root: Path | None = None, repository: str = "") -> World:
    """Read a tree and generate its ApplicationSets' Applications; raise ConfigError if it is not a directory."""
    return world_of(read_tree(directory, root), repository)


def findings_of(world: World) -> tuple[Finding, ...]:
    """Return all findings, in the order of files, each once."""
    unreadable = (finding("unreadable-file", one.where, one.message, one.hint) for one in world.tree.problems)
    return tuple(sorted({*unreadable, *(one for rules in _RULES for one in rules.findings(world))}))


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


def notes_of(world: World) -> Iterator[str]:
    """Yield what could not be checked, and why."""
    for made in world.sets:
        if made.unknown:
            yield f"ApplicationSet {made.item.name}: {made.unknown}; the Applications it generates are not checked"
