"""Which value files of an Application exist, in the order in which Argo CD passes them to helm; pure."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from devtools.gitops.preview.applications import Application

Exists = Callable[[str], bool]  # whether the repository has a file, by its path from the root


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueFile:
    """One entry of `valueFiles`: the file of this repository it leads to, and what Argo CD does with it."""

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
        return _map(self.source.get("helm"))


def helm_sources(application: Application, exists: Exists, is_here: Callable[[str], bool]) -> tuple[HelmSource, ...]:
    """Return the Helm sources of an Application; `is_here` tells whether a repository URL is that of the tree."""
    refs = {str(item["ref"]): item for item in application.sources if item.get("ref")}
    return tuple(
        HelmSource(source=item, value_files=_value_files(item, refs, exists, is_here))
        for item in application.sources
        if item.get("chart") or item.get("path")
    )


def _value_files(
    source: Mapping[str, Any], refs: Mapping[str, Mapping[str, Any]], exists: Exists, is_here: Callable[[str], bool]
) -> tuple[ValueFile, ...]:
    helm = _map(source.get("helm"))
    ignored = helm.get("ignoreMissingValueFiles") is True
    found = (_resolved(str(written), source, refs, is_here) for written in helm.get("valueFiles") or ())
    return tuple(_judged(item, exists, ignored=ignored) for item in found)


def _resolved(
    written: str, source: Mapping[str, Any], refs: Mapping[str, Mapping[str, Any]], is_here: Callable[[str], bool]
) -> ValueFile:
    """Find where a value file is: `$ref/…` from the root of that source, `/…` from the chart's, else from its path."""
    if "://" in written:
        return ValueFile(written=written, state="elsewhere", why="it is a URL")
    if written.startswith("$"):
        name, _, rest = written[1:].partition("/")
        if name not in refs:
            return ValueFile(written=written, state="missing", why=f"no source has the ref {name!r}")
        if refs[name].get("chart"):
            return ValueFile(written=written, state="missing", why=f"the source with the ref {name!r} is a chart")
        return _inside(written, rest, str(refs[name].get("repoURL") or ""), is_here)
    if source.get("chart"):
        return ValueFile(written=written, state="elsewhere", why="it is in the chart's archive")
    path = written.lstrip("/") if written.startswith("/") else posixpath.join(str(source.get("path") or ""), written)
    return _inside(written, path, str(source.get("repoURL") or ""), is_here)


def _inside(written: str, path: str, repository: str, is_here: Callable[[str], bool]) -> ValueFile:
    if not is_here(repository):
        return ValueFile(written=written, state="elsewhere", why=f"it is in {repository}")
    clean = posixpath.normpath(path)
    if clean.startswith("../") or clean == "..":
        return ValueFile(written=written, state="missing", why="it leads out of the repository")
    return ValueFile(written=written, path=clean)


def _judged(item: ValueFile, exists: Exists, *, ignored: bool) -> ValueFile:
    """Say what becomes of a file that is not in the repository."""
    if not item.path or exists(item.path):
        return item
    if ignored:
        why = "the file does not exist, and ignoreMissingValueFiles is true"
        return ValueFile(written=item.written, path=item.path, state="dropped", why=why)
    return ValueFile(written=item.written, path=item.path, state="missing", why="the file does not exist")


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
