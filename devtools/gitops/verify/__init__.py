"""Finds what goes wrong silently in a GitOps tree, Argo CD's or Flux's; nothing is rendered or executed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from devtools.errors import Problem
from devtools.gitops.tree.read import read_tree
from devtools.gitops.verify import argocd, flux, objects, projects, sets, steps
from devtools.gitops.verify.applications import World, world_of
from devtools.gitops.verify.finding import RULES, Finding, finding

__all__ = ["RULES", "Finding", "World", "findings_of", "notes_of", "read_world"]

_ROOMS = (sets, steps, argocd, projects, flux, objects)


def read_world(directory: Path, root: Path | None = None, repository: str = "") -> World:
    """Read a tree and what its ApplicationSets generate; ConfigError if it is not a directory."""
    return world_of(read_tree(directory, root), repository)


def findings_of(world: World) -> tuple[Finding, ...]:
    """Everything that is wrong, in the order of files, each thing once."""
    found = {*map(_unreadable, world.tree.problems)}
    for room in _ROOMS:
        found |= {*room.findings(world)}
    return tuple(sorted(found))


def notes_of(world: World) -> Iterator[str]:
    """What could not be checked, and why."""
    for made in world.sets:
        if made.unknown:
            yield f"ApplicationSet {made.item.name}: {made.unknown}; the Applications it generates are not checked"


def _unreadable(problem: Problem) -> Finding:
    return finding("unreadable-file", problem.where, problem.message, problem.hint)
