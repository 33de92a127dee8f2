"""Finds the existing value files of an Application, in the order in which Argo CD passes them to helm; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from devtools.gitops.tree.applications import Application, place_of, value_files_of
from devtools.gitops.tree.read import mapping, normal

Exists = Callable[[str], bool]  # whether the repository has a file, by its path from the root


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueFile:
    """One entry of `valueFiles`: the file of this repository it names, and what Argo CD does with it."""

    written: str
    path: str = ""  # from the repository's root; empty: it is in another repository or a URL
    state: str = "used"  # used, dropped (missing and ignored), missing (the sync fails), elsewhere
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmSource:
    """One Helm source of an Application."""

    source: Mapping[str, Any]
    value_files: tuple[ValueFile, ...]

    @property
    def helm(self) -> Mapping[str, Any]:
        """Its `helm` section."""
        return mapping(self.source, "helm")


def helm_sources(application: Application, exists: Exists, is_here: Callable[[str], bool]) -> tuple[HelmSource, ...]:
    """Return the Helm sources of an Application; `is_here` returns whether a repository URL is that of the tree."""
    found = []
    for _, source in application.sources:
        if source.get("chart") or source.get("path"):
            ignored = mapping(source, "helm").get("ignoreMissingValueFiles") is True
            files = (_resolved(written, source, application.refs, is_here) for written in value_files_of(source))
            value_files = tuple(_with_state(item, exists, ignored=ignored) for item in files)
            found.append(HelmSource(source=source, value_files=value_files))
    return tuple(found)


def _resolved(
    written: str, source: Mapping[str, Any], refs: Mapping[str, Mapping[str, Any]], is_here: Callable[[str], bool]
) -> ValueFile:
    """Find where a value file is, if it is in this repository."""
    name = written[1:].partition("/")[0] if written.startswith("$") else ""
    place = place_of(written, source, refs)
    state, why = "elsewhere", ""
    if "://" in written:
        why = "it is a URL"
    elif name and name not in refs:
        state, why = "missing", f"no source has the ref {name!r}"
    elif name and place is None:
        state, why = "missing", f"the source with the ref {name!r} is a chart"
    elif place is None:
        why = "it is in the chart's archive"
    elif not is_here(place[0]):
        why = f"it is in {place[0]}"
    elif (path := normal(place[1])) is None:
        state, why = "missing", "it leads out of the repository"
    else:
        return ValueFile(written=written, path=str(path))
    return ValueFile(written=written, state=state, why=why)


def _with_state(item: ValueFile, exists: Exists, *, ignored: bool) -> ValueFile:
    """Return the entry with what Argo CD does if the file is not in the repository."""
    if not item.path or exists(item.path):
        return item
    if ignored:
        return replace(item, state="dropped", why="the file does not exist, and ignoreMissingValueFiles is true")
    return replace(item, state="missing", why="the file does not exist")
