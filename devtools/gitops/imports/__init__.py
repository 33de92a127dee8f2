"""Imports the GitOps tree of a team as layers, with a note for each conversion; nothing is dropped silently."""

from __future__ import annotations

from devtools.gitops.imports.argocd import found_in_applications
from devtools.gitops.imports.flux import found_in_releases
from devtools.gitops.imports.found import Found, ImportNote
from devtools.gitops.imports.layers import Imported, repository_of
from devtools.gitops.verify.applications import World

__all__ = ["Imported", "imported"]


def imported(world: World, name: str, url: str) -> Imported:
    """Return the layers that deploy what a tree deploys, with notes in the order of files."""
    items = [*found_in_applications(world), *found_in_releases(world.tree)]
    made = repository_of(world.tree, [item for item in items if isinstance(item, Found)], name, url)
    made.notes = sorted({*made.notes, *(item for item in items if isinstance(item, ImportNote))})
    return made
