"""Merges maps as Helm merges values: maps merge, everything else replaces; records the place of each key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from devtools.errors import Location

if TYPE_CHECKING:
    from devtools.base.yaml_positions import KeyPath

Origins = dict["KeyPath", Location]
At = Callable[["KeyPath"], Location]


def lay_over(base: Mapping[str, Any], over: Mapping[str, Any], origins: Origins, at: At, path: KeyPath = ()) -> Any:
    """Return a new map: `base` with `over` on top. Updates `origins`, the source place of each key's value.

    `at` returns the place of a path in `over`. A null stays, because to Helm it means "delete the chart's default".
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        here = (*path, key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = lay_over(below, value, origins, at, here)
            continue
        if isinstance(below, Mapping):
            for gone in [known for known in origins if known[: len(here)] == here]:
                del origins[gone]
        merged[key] = value
        _note(value, origins, at, here)
    return merged


def _note(value: Any, origins: Origins, at: At, path: KeyPath) -> None:
    """Record the same file as the source of every key of a value; a list is one value."""
    origins[path] = at(path)
    if isinstance(value, Mapping):
        for key, item in value.items():
            _note(item, origins, at, (*path, key))


def paths_of(data: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every path of a map, as its keys, with its value."""
    for key, value in data.items():
        yield (*above, key), value
        if isinstance(value, Mapping):
            yield from paths_of(value, (*above, key))
