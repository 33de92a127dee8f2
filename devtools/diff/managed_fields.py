"""Reads `managedFields`, which say which manager owns which fields of an object; pure.

`fieldsV1` is described at https://github.com/kubernetes-sigs/structured-merge-diff (`fieldpath`): `f:` a key of a map,
`k:` an item of a list by its keys, `v:` a member of a set, `i:` an index, and `.` the map or list itself.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Step = str | tuple[tuple[str, Any], ...] | int  # a key, the keys that identify an item of a list, an index
Steps = tuple[Step, ...]


def entries(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return which manager owns which fields, except the status."""
    found = (item.get("metadata") or {}).get("managedFields") or ()
    return [entry for entry in found if entry.get("subresource") != "status"]


def managed(*items: Mapping[str, Any]) -> dict[str, Any]:
    """Return every field of these objects that a manager owns."""
    tree: dict[str, Any] = {}
    for item in items:
        for entry in entries(item):
            _add(tree, entry.get("fieldsV1") or {})
    return tree


def key_names(tree: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the keys that identify a list's items; none if it is not merged by key."""
    return next((tuple(json.loads(key[2:])) for key in tree if key.startswith("k:")), ())


def by_key(items: Sequence[Any], names: Sequence[str]) -> dict[Step, Any] | None:
    """Return items by their keys; None if one lacks them, two have the same, or a key is not a scalar."""
    found: dict[Step, Any] = {}
    for item in items:
        if not names or not isinstance(item, dict):
            return None
        if any(isinstance(item.get(name), dict | list) for name in names):
            return None
        found[item_key(item, names)] = item
    return found if names and len(found) == len(items) else None


def item_key(item: Mapping[str, Any], names: Iterable[str]) -> Step:
    """Return the keys that identify an item of a list."""
    return tuple((name, item[name]) for name in names if name in item)


def below(fields: Mapping[str, Any], step: Step) -> Mapping[str, Any] | None:
    """Return the entry of a step in a set of fields; None if it is not in the set."""
    key = _key(fields, step)
    return None if key is None else fields[key] or {}


def owns(entry: Mapping[str, Any], steps: Steps) -> bool:
    """Return whether a manager owns this field, or an enclosing one as a whole."""
    node: Mapping[str, Any] = entry.get("fieldsV1") or {}
    for depth, step in enumerate(steps):
        found = below(node, step)
        if found is None:
            return depth > 0 and not node  # a leaf: a list or map that is owned as a whole
        node = found
    return True


def handed_over(item: Mapping[str, Any], paths: Sequence[Steps], manager: str) -> list[dict[str, Any]]:
    """Return the object's `managedFields` with these fields, and their children, owned only by this applier.

    The next apply removes fields that the applier owns and does not declare. Empty if it has applied nothing.
    """
    found: list[dict[str, Any]] = copy.deepcopy(list((item.get("metadata") or {}).get("managedFields") or ()))
    applied = (one for one in found if one.get("operation") == "Apply" and not one.get("subresource"))
    mine = next((one for one in applied if one.get("manager") == manager), None)
    if mine is None:
        return []
    for entry in found:
        if entry is not mine and entry.get("subresource") != "status":
            for steps in paths:
                _move(entry.get("fieldsV1") or {}, mine.setdefault("fieldsV1", {}), steps)
    return [entry for entry in found if entry.get("fieldsV1")]


def _move(source: dict[str, Any], target: dict[str, Any], steps: Steps) -> None:
    """Move the entry at a path to another set; remove parents left empty: an empty entry means the whole field."""
    key = _key(source, steps[0])
    if key is None:
        return
    if len(steps) == 1:
        _add(target.setdefault(key, {}), source.pop(key) or {})
        return
    _move(source[key], target.setdefault(key, {}), steps[1:])
    if not source[key]:
        del source[key]
    if not target[key]:
        del target[key]


def _add(tree: dict[str, Any], fields: Mapping[str, Any]) -> None:
    """Merge one set of fields into another."""
    for key, under in fields.items():
        _add(tree.setdefault(key, {}), under or {})


def _key(fields: Mapping[str, Any], step: Step) -> str | None:
    """Return the name of a step in a set of fields; None if it is not in the set."""
    if not isinstance(step, tuple):
        key = f"f:{step}" if isinstance(step, str) else f"i:{step}"
        return key if key in fields else None
    for key in fields:
        if key.startswith("k:") and json.loads(key[2:]) == dict(step):
            return key
        if key.startswith("v:") and step[0][0] == "" and json.loads(key[2:]) == step[0][1]:
            return key
    return None
