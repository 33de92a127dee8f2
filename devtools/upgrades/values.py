"""Compares the default values of two versions of a chart, and finds where this repository sets them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from devtools.errors import Location
from devtools.model import ReleaseId

Path = tuple[str, ...]
_MISSING = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value that a layer file or an overlay sets, for a release in an environment."""

    path: Path
    where: Location
    release: ReleaseId
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueChange:
    """A default that only one version has (None in the other), or that differs; `settings` set it or a part of it."""

    path: Path
    does: Literal["add", "change", "remove"]
    before: Any
    after: Any
    settings: tuple[Setting, ...] = ()


def compare_values(
    before: Mapping[str, Any], after: Mapping[str, Any], settings: Iterable[Setting]
) -> list[ValueChange]:
    """Return the differences, in the order of the new version's values.yaml, then the old version's own ones.

    Lists are compared as a whole, as Helm replaces them. A map that only one version has is one change.
    """
    known = tuple(settings)
    found = []
    for change in _changes(before, after, ()):
        at = change.path
        own = tuple(one for one in known if one.path[: len(at)] == at or at[: len(one.path)] == one.path)
        found.append(replace(change, settings=own))
    return found


def leaves(values: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield each value that is not a map with keys, and its path."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], path: Path) -> Iterator[ValueChange]:
    for key in dict.fromkeys([*after, *before]):
        old, new = before.get(key, _MISSING), after.get(key, _MISSING)
        below = (*path, str(key))
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changes(old, new, below)
        elif old is _MISSING:
            yield ValueChange(path=below, does="add", before=None, after=new)
        elif new is _MISSING:
            yield ValueChange(path=below, does="remove", before=old, after=None)
        elif type(old) is not type(new) or old != new:
            yield ValueChange(path=below, does="change", before=old, after=new)
