"""Finds errors in a GitOps tree that Argo CD or Flux would not report; renders and executes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from devtools.gitops.tree.read import read_tree
from devtools.gitops.verify import argocd, flux, objects, projects, sets, steps
from devtools.gitops.verify.applications import World, world_of
from devtools.gitops.verify.finding import RULES, Finding, finding

__all__ = ["RULES", "Finding", "World", "findings_of", "notes_of", "read_world"]

_RULES = (sets, steps, argocd, projects, flux, objects)


def read_world(directory: Path, root: Path | None = None, repository: str = "") -> World:
    """Read a tree and generate its ApplicationSets' Applications; raise ConfigError if it is not a directory."""
    return world_of(read_tree(directory, root), repository)


def findings_of(world: World) -> tuple[Finding, ...]:
    """Return all findings, in the order of files, each once."""
    unreadable = (finding("unreadable-file", one.where, one.message, one.hint) for one in world.tree.problems)
    return tuple(sorted({*unreadable, *(one for rules in _RULES for one in rules.findings(world))}))


def notes_of(world: World) -> Iterator[str]:
    """Yield what could not be checked, and why."""
    for made in world.sets:
        if made.unknown:
            yield f"ApplicationSet {made.item.name}: {made.unknown}; the Applications it generates are not checked"
