"""The keys of an Argo CD Application and their types."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from devtools.base.open_file import read_file
from devtools.base.yaml_positions import KeyPath


@cache
def _keys() -> Mapping[str, Any]:
    from devtools.base.machine_yaml import read_map

    return read_map(read_file(Path(__file__).parent / "application_keys.yaml"))


def type_of(path: KeyPath) -> Any:
    """Return the type of a field below `spec`: a word, or the types in a list or map; None for an unknown field."""
    schema: Any = _keys()["spec"]
    for key in path:
        if schema == "source":
            schema = _keys()["source"]
        if schema == "any":
            return "any"
        if isinstance(key, int):
            schema = schema[0] if isinstance(schema, list) else None
        elif isinstance(schema, Mapping):
            schema = schema.get(key, schema.get("*"))
        else:
            return None
        if schema is None:
            return None
    return _keys()["source"] if schema == "source" else schema


def without_unknown(value: Any, path: KeyPath = ()) -> Any:
    """Return a spec without the keys that Argo CD drops from a patch."""
    if isinstance(value, Mapping):
        known = isinstance(type_of(path), Mapping)
        return {
            key: without_unknown(item, (*path, key))
            for key, item in value.items()
            if not known or type_of((*path, key)) is not None
        }
    if isinstance(value, list):
        return [without_unknown(item, (*path, index)) for index, item in enumerate(value)]
    return value
