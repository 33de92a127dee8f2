"""Imports the GitOps tree of a team as layers, with a note for each conversion; nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from devtools.gitops.imports.argocd import found_in_applications
from devtools.gitops.imports.flux import found_in_releases
from devtools.gitops.imports.found import Found, ImportNote
from devtools.gitops.imports.layers import repository_of
from devtools.gitops.verify.applications import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The files of the new repository, notes in the order of files, and how many releases there are."""

    files: Mapping[PurePosixPath, bytes]
    notes: tuple[ImportNote, ...]
    releases: int


def imported(world: World, name: str, url: str) -> Imported:
    """Return the layers that deploy what a tree deploys."""
    items = [*found_in_applications(world), *found_in_releases(world.tree)]
    found = [item for item in items if isinstance(item, Found)]
    made = repository_of(world.tree, found, name, url)
    notes = {item for item in items if isinstance(item, ImportNote)} | {*made.notes}
    return Imported(files=made.files, notes=tuple(sorted(notes)), releases=len({one.key for one in found}))
