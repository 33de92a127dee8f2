"""In which fields two states of an object differ, and who made the second what it is; pure.

Both states are the API server's own answers: the live object, and what an apply of the declared one would make of it.
So defaults, quantities and fields that nobody declared are the same in both, and whatever differs is a difference.
`managedFields` says how lists are merged and who owns what:
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management,
https://github.com/kubernetes-sigs/structured-merge-diff (`fieldpath` has the form of `fieldsV1`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_][\w-]*")
# What the API server itself writes, whoever applies.
_SERVERS = frozenset({"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"})
Step = str | tuple[tuple[str, Any], ...] | int  # a key, the keys that tell an item of a list from others, an index
Steps = tuple[Step, ...]


class _Absent:
    """No value at all, which is not null."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One field: what it should be, what it is, who made it so, and when (RFC 3339); ABSENT where there is none.

    `manager` is empty where nobody owns the field: whoever removes one leaves no trace.
    """

    steps: Steps
    declared: Any
    live: Any
    manager: str = ""
    at: str = ""

    @property
    def path(self) -> str:
        """As the API server writes it: `.spec.template.spec.containers[name="app"].image`."""
        return path_of(self.steps)


def changes(live: Mapping[str, Any], wanted: Mapping[str, Any], manager: str) -> tuple[Change, ...]:
    """The fields in which the live object is not what applying as `manager` would make of it; `status` never counts."""
    entries = [*_entries(live), *_entries(wanted)]
    tree: dict[str, Any] = {}
    for entry in entries:
        _add(tree, entry.get("fieldsV1") or {})
    found = _compared(_own(live), _own(wanted), tree, ())
    return tuple(_told(live, steps, declared, is_, manager) for steps, declared, is_ in found)


def path_of(steps: Steps) -> str:
    """The path of a field, as the API server writes it."""
    return "".join(map(_shown, steps))


def _shown(step: Step) -> str:
    if isinstance(step, str):
        return f".{step}" if _PLAIN.fullmatch(step) else f"[{json.dumps(step)}]"
    if isinstance(step, int):
        return f"[{step}]"
    return "[" + ",".join(f"{key}={json.dumps(value)}" if key else f"={json.dumps(value)}" for key, value in step) + "]"


def _own(item: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what is not anybody's to declare; in lists objects have no kind."""
    metadata = {key: value for key, value in (item.get("metadata") or {}).items() if key not in _SERVERS}
    left_out = {"status", "metadata", "kind", "apiVersion"}
    return {key: value for key, value in item.items() if key not in left_out} | {"metadata": metadata}


def _entries(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Who manages which of its fields, but for the status."""
    found = (item.get("metadata") or {}).get("managedFields") or ()
    return [entry for entry in found if entry.get("subresource") != "status"]


def _add(tree: dict[str, Any], fields: Mapping[str, Any]) -> None:
    """Lay one set of fields over another."""
    for key, below in fields.items():
        _add(tree.setdefault(key, {}), below or {})


def _compared(live: Any, wanted: Any, tree: Mapping[str, Any], at: Steps) -> Iterator[tuple[Steps, Any, Any]]:
    """The deepest places that differ: where, what should be, what is."""
    if _same(live, wanted):
        return
    if isinstance(live, dict) and isinstance(wanted, dict):
        for key in sorted({*live, *wanted}):
            yield from _compared(live.get(key, ABSENT), wanted.get(key, ABSENT), tree.get(f"f:{key}") or {}, (*at, key))
    elif isinstance(live, list) and isinstance(wanted, list):
        yield from _lists(live, wanted, tree, at)
    else:
        yield at, wanted, live


def _same(one: Any, other: Any) -> bool:
    """Equal, where true is not 1; 1 and 1.0 are the same in JSON."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _lists(live: list[Any], wanted: list[Any], tree: Mapping[str, Any], at: Steps) -> Iterator[tuple[Steps, Any, Any]]:
    """Two lists: by key where they have keys, as sets where they are sets, else as wholes."""
    names = _key_names(tree)
    ours, theirs = _by_key(live, names), _by_key(wanted, names)
    if ours is not None and theirs is not None:
        for step in [*theirs, *(step for step in ours if step not in theirs)]:
            below = _below(tree, step)
            yield from _compared(ours.get(step, ABSENT), theirs.get(step, ABSENT), below, (*at, step))
    elif any(key.startswith("v:") for key in tree):
        yield from (((*at, (("", item),)), item, ABSENT) for item in wanted if item not in live)
        yield from (((*at, (("", item),)), ABSENT, item) for item in live if item not in wanted)
    elif steps := _places(live, wanted):
        for step, is_, should in zip(steps, live, wanted, strict=True):
            yield from _compared(is_, should, {}, (*at, step))
    else:
        yield at, wanted, live


def _places(live: list[Any], wanted: list[Any]) -> list[Step]:
    """What to call the items of two lists that correspond one by one: by their names where they have any.

    None of them where names differ: what is behind one name must not be taken for what is behind another.
    """
    if len(live) != len(wanted) or not all(isinstance(item, dict) for item in (*live, *wanted)):
        return []
    ours, theirs = ([item.get("name", ABSENT) for item in items] for items in (live, wanted))
    if all(name is ABSENT for name in (*ours, *theirs)):
        return list(range(len(live)))
    unique = all(isinstance(name, str) for name in ours) and len(set(map(str, ours))) == len(ours)
    return [(("name", name),) for name in ours] if unique and ours == theirs else []


def _key_names(tree: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the keys by which a list's items are told apart; none where it is not merged by key."""
    return next((tuple(json.loads(key[2:])) for key in tree if key.startswith("k:")), ())


def _by_key(items: Sequence[Any], names: Sequence[str]) -> dict[Step, Any] | None:
    """Items by their keys; None where they have none, or where two have the same."""
    found: dict[Step, Any] = {}
    for item in items:
        if not names or not isinstance(item, dict):
            return None
        found[tuple((name, item[name]) for name in names if name in item)] = item
    return found if names and len(found) == len(items) else None


def _below(fields: Mapping[str, Any], step: Step) -> Mapping[str, Any]:
    """What is under a step in a set of fields; nothing where it is not in it."""
    return _node(fields, step) or {}


def _node(fields: Mapping[str, Any], step: Step) -> Mapping[str, Any] | None:
    if isinstance(step, str):
        return fields.get(f"f:{step}")
    if isinstance(step, int):
        return fields.get(f"i:{step}")
    for key, below in fields.items():
        if key.startswith("k:") and json.loads(key[2:]) == dict(step):
            return below or {}
        if key.startswith("v:") and step[0][0] == "" and json.loads(key[2:]) == step[0][1]:
            return below or {}
    return None


def _told(live: Mapping[str, Any], steps: Steps, declared: Any, is_: Any, manager: str) -> Change:
    """A change with who made it: others before the one who would apply, and of them the latest."""
    owners = [entry for entry in _entries(live) if is_ is not ABSENT and _owns(entry.get("fieldsV1") or {}, steps)]
    owners.sort(key=lambda entry: (entry.get("manager") != manager, str(entry.get("time") or "")))
    owner = owners[-1] if owners else {}
    return Change(
        steps=steps,
        declared=declared,
        live=is_,
        manager=str(owner.get("manager") or ""),
        at=str(owner.get("time") or ""),
    )


def _owns(fields: Mapping[str, Any], steps: Steps) -> bool:
    """Whether a set of fields has this one, or a whole that it is part of."""
    node = fields
    for depth, step in enumerate(steps):
        below = _node(node, step)
        if below is None:
            return depth > 0 and not node  # a leaf: a list or map that is owned as a whole
        node = below
    return True
