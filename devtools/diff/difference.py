"""Compares two states of an object field by field, and names the manager of each difference; pure.

Both states are answers of the API server: the live object, and the result of applying the declared one. So defaults,
quantities and undeclared fields are the same in both, and every difference is real.
`managedFields` says how lists are merged and who owns what:
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from devtools.diff.managed_fields import Step, Steps, below, by_key, entries, key_names, managed, owns
from devtools.redaction import is_secret

_SHOWN_OF_SECRETS = (("type",), ("immutable",), ("metadata", "labels"))
_PLAIN = re.compile(r"[A-Za-z_][\w-]*")
# Fields that the API server itself writes.
_SERVERS = frozenset({"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"})


class _Absent:
    """No value at all, as opposed to null."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One field: declared value, live value, its manager, and the time (RFC 3339); ABSENT for a missing value.

    `manager` is empty if no manager owns the field: removing one leaves no trace.
    """

    steps: Steps
    declared: Any
    live: Any
    manager: str = ""
    at: str = ""

    @property
    def path(self) -> str:
        """The path in the API server's notation: `.spec.template.spec.containers[name="app"].image`."""
        return path_of(self.steps)


def changes(live: Mapping[str, Any], desired: Mapping[str, Any], manager: str) -> tuple[Change, ...]:
    """Return the fields of the live object that applying as `manager` would change; `status` never counts."""
    found = _compared(_own(live), _own(desired), managed(live, desired), ())
    return tuple(change_of(live, steps, declared, is_, manager) for steps, declared, is_ in found)


def is_hidden(kind: str, change: Change) -> bool:
    """Return whether a field's values are secret: in a Secret all but type and labels, else by keys and names."""
    if kind == "Secret":
        return not any(change.steps[: len(shown)] == shown for shown in _SHOWN_OF_SECRETS)
    keys = _keys(change.steps)
    scalars = [value for value in (change.declared, change.live) if isinstance(value, str | int | float)]
    return any(is_secret(keys, value) for value in scalars)


def _keys(steps: Steps) -> list[str]:
    """Return the keys that lead to a field; the `value` of a named item (as in `env`) counts under that name."""
    keys: list[str] = []
    for at, step in enumerate(steps):
        before = steps[at - 1] if at else ""
        named = [str(name) for key, name in before if key in {"name", "key"}] if isinstance(before, tuple) else []
        if isinstance(step, str):
            keys.append(named[0] if step == "value" and named else step)
    return keys


def value_at(item: Any, steps: Steps) -> Any:
    """Return the value at a path, ABSENT if there is none."""
    for step in steps:
        if isinstance(step, str):
            item = item.get(step, ABSENT) if isinstance(item, Mapping) else ABSENT
        elif not isinstance(item, list):
            return ABSENT
        elif isinstance(step, int):
            item = item[step] if step < len(item) else ABSENT
        else:
            item = next((one for one in item if _is_named(one, step)), ABSENT)
    return item


def _is_named(item: Any, keys: tuple[tuple[str, Any], ...]) -> bool:
    """Return whether an item of a list has these keys; a member of a set is its own key."""
    return all(
        item == value if not key else isinstance(item, Mapping) and item.get(key) == value for key, value in keys
    )


def path_of(steps: Steps) -> str:
    """Return the path of a field in the API server's notation."""
    return "".join(map(_shown, steps))


def _shown(step: Step) -> str:
    if isinstance(step, str):
        return f".{step}" if _PLAIN.fullmatch(step) else f"[{json.dumps(step)}]"
    if isinstance(step, int):
        return f"[{step}]"
    return "[" + ",".join(f"{key}={json.dumps(value)}" if key else f"={json.dumps(value)}" for key, value in step) + "]"


def _own(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without the fields that the API server writes; in lists objects have no kind."""
    metadata = {key: value for key, value in (item.get("metadata") or {}).items() if key not in _SERVERS}
    left_out = {"status", "metadata", "kind", "apiVersion"}
    return {key: value for key, value in item.items() if key not in left_out} | {"metadata": metadata}


def _compared(live: Any, desired: Any, tree: Mapping[str, Any], at: Steps) -> Iterator[tuple[Steps, Any, Any]]:
    """Yield the deepest differences: path, declared value, live value."""
    if _same(live, desired):
        return
    if isinstance(live, dict) and isinstance(desired, dict):
        for key in sorted({*live, *desired}):
            yield from _compared(
                live.get(key, ABSENT), desired.get(key, ABSENT), tree.get(f"f:{key}") or {}, (*at, key)
            )
    elif isinstance(live, list) and isinstance(desired, list):
        yield from _lists(live, desired, tree, at)
    else:
        yield at, desired, live


def _same(one: Any, other: Any) -> bool:
    """Return whether values are equal; true is not 1, but 1 and 1.0 are the same in JSON."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _lists(live: list[Any], desired: list[Any], tree: Mapping[str, Any], at: Steps) -> Iterator[tuple[Steps, Any, Any]]:
    """Compare two lists: by key if they have keys, as sets if they are sets, else as a whole."""
    names = key_names(tree)
    ours, theirs = by_key(live, names), by_key(desired, names)
    if ours is not None and theirs is not None:
        for step in [*theirs, *(step for step in ours if step not in theirs)]:
            under = below(tree, step) or {}
            yield from _compared(ours.get(step, ABSENT), theirs.get(step, ABSENT), under, (*at, step))
    elif any(key.startswith("v:") for key in tree):
        yield from (((*at, (("", item),)), item, ABSENT) for item in desired if item not in live)
        yield from (((*at, (("", item),)), ABSENT, item) for item in live if item not in desired)
    elif steps := _places(live, desired):
        for step, is_, should in zip(steps, live, desired, strict=True):
            yield from _compared(is_, should, {}, (*at, step))
    else:
        yield at, desired, live


def _places(live: list[Any], desired: list[Any]) -> list[Step]:
    """Return labels for the items of two lists that correspond one by one: their names if they have any.

    Empty if names differ: an item must not be compared with one of another name.
    """
    if len(live) != len(desired) or not all(isinstance(item, dict) for item in (*live, *desired)):
        return []
    ours, theirs = ([item.get("name", ABSENT) for item in items] for items in (live, desired))
    if all(name is ABSENT for name in (*ours, *theirs)):
        return list(range(len(live)))
    unique = all(isinstance(name, str) for name in ours) and len(set(map(str, ours))) == len(ours)
    return [(("name", name),) for name in ours] if unique and ours == theirs else []


def change_of(live: Mapping[str, Any], steps: Steps, declared: Any, is_: Any, manager: str) -> Change:
    """Return a change with its manager: others take precedence over the applier, and the latest over earlier ones."""
    owners = [entry for entry in entries(live) if is_ is not ABSENT and owns(entry, steps)]
    owners.sort(key=lambda entry: (entry.get("manager") != manager, str(entry.get("time") or "")))
    owner = owners[-1] if owners else {}
    return Change(
        steps=steps,
        declared=declared,
        live=is_,
        manager=str(owner.get("manager") or ""),
        at=str(owner.get("time") or ""),
    )
