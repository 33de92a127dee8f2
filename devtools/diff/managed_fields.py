"""Who manages which fields of an object: its `managedFields`; pure.

`fieldsV1` is described at https://github.com/kubernetes-sigs/structured-merge-diff (`fieldpath`): `f:` a key of a map,
`k:` an item of a list by its keys, `v:` a member of a set, `i:` an index, and `.` the map or list itself.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

Step = str | tuple[tuple[str, Any], ...] | int  # a key, the keys that tell an item of a list from others, an index
Steps = tuple[Step, ...]


def entries(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Who manages which of its fields, but for the status."""
    found = (item.get("metadata") or {}).get("managedFields") or ()
    return [entry for entry in found if entry.get("subresource") != "status"]


def managed(*items: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of these objects that a manager owns."""
    tree: dict[str, Any] = {}
    for item in items:
        for entry in entries(item):
            _add(tree, entry.get("fieldsV1") or {})
    return tree


def key_names(tree: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the keys that identify a list's items; none if it is not merged by key."""
    return next((tuple(json.loads(key[2:])) for key in tree if key.startswith("k:")), ())


def by_key(items: Sequence[Any], names: Sequence[str]) -> dict[Step, Any] | None:
    """Items by their keys; None if they have none, two have the same, or one is not a scalar."""
    found: dict[Step, Any] = {}
    for item in items:
        if not names or not isinstance(item, dict):
            return None
        if any(isinstance(item.get(name), dict | list) for name in names):
            return None
        found[tuple((name, item[name]) for name in names if name in item)] = item
    return found if names and len(found) == len(items) else None


def below(fields: Mapping[str, Any], step: Step) -> Mapping[str, Any] | None:
    """What is under a step in a set of fields; None if it is not in it."""
    key = _key(fields, step)
    return None if key is None else fields[key] or {}


def owns(entry: Mapping[str, Any], steps: Steps) -> bool:
    """Whether a manager has this field, or a whole that it is part of."""
    node: Mapping[str, Any] = entry.get("fieldsV1") or {}
    for depth, step in enumerate(steps):
        found = below(node, step)
        if found is None:
            return depth > 0 and not node  # a leaf: a list or map that is owned as a whole
        node = found
    return True


def handed_over(item: Mapping[str, Any], paths: Sequence[Steps], manager: str) -> list[dict[str, Any]]:
    """The object's `managedFields` with these fields, and what is in them, managed by this applier alone.

    An applier that does not declare what it manages takes it away with its next apply. Empty if it applied nothing.
    """
    found: list[dict[str, Any]] = copy.deepcopy(list((item.get("metadata") or {}).get("managedFields") or ()))
    mine = next((one for one in found if _is_applier(one, manager)), None)
    if mine is None:
        return []
    for entry in found:
        if entry is not mine and entry.get("subresource") != "status":
            for steps in paths:
                _move(entry.get("fieldsV1") or {}, mine.setdefault("fieldsV1", {}), steps)
    return [entry for entry in found if entry.get("fieldsV1")]


def _is_applier(entry: Mapping[str, Any], manager: str) -> bool:
    return (entry.get("manager"), entry.get("operation")) == (manager, "Apply") and not entry.get("subresource")


def _move(source: dict[str, Any], target: dict[str, Any], steps: Steps) -> None:
    """Move what is at a path to another set; a parent that is left empty would stand for itself, so it goes, too."""
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
    """Lay one set of fields over another."""
    for key, under in fields.items():
        _add(tree.setdefault(key, {}), under or {})


def _key(fields: Mapping[str, Any], step: Step) -> str | None:
    """What a step is called in a set of fields; None if it is not in it."""
    if not isinstance(step, tuple):
        key = f"f:{step}" if isinstance(step, str) else f"i:{step}"
        return key if key in fields else None
    for key in fields:
        if key.startswith("k:") and json.loads(key[2:]) == dict(step):
            return key
        if key.startswith("v:") and step[0][0] == "" and json.loads(key[2:]) == step[0][1]:
            return key
    return None
