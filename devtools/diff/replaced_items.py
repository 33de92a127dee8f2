"""Finds list items that other managers put in place of declared ones; pure.

If keys identify the items (a port by its number), editing a key removes one item and adds another. An apply adds the
declared item to the other one, and the API server may refuse both together, because they have the same name. It removes
the other one only if the applier owns that; so ownership is transferred to the applier, as client-go's `csaupgrade`
does (https://pkg.go.dev/k8s.io/client-go/util/csaupgrade).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devtools.diff.difference import ABSENT, Change, change_of
from devtools.diff.managed_fields import Step, Steps, below, by_key, entries, item_key, key_names, managed, owns


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """The items of an object that replace declared ones."""

    lost: tuple[Change, ...]  # declared, but not live
    foreign: tuple[Change, ...]  # live, but neither declared nor owned by the applier
    rest: Mapping[str, Any]  # the declared object without the lost items


def replaced(live: Mapping[str, Any], declared: Mapping[str, Any], manager: str) -> Replaced | None:
    """Return the items with which others replaced those that `manager` declares; None if there are none."""
    look = _Look(live, manager)
    rest = look.at(live, declared, managed(live), ())
    if not look.foreign:
        return None
    lost = [Change(steps=steps, declared=item, live=ABSENT) for steps, item in look.lost]
    foreign = [change_of(live, steps, ABSENT, item, manager) for steps, item in look.foreign]
    return Replaced(lost=tuple(lost), foreign=tuple(foreign), rest=rest)


class _Look:
    def __init__(self, live: Mapping[str, Any], manager: str) -> None:
        self._mine = [entry for entry in entries(live) if entry.get("manager") == manager]
        self.lost: list[tuple[Steps, Any]] = []
        self.foreign: list[tuple[Steps, Any]] = []

    def at(self, live: Any, declared: Any, tree: Mapping[str, Any], steps: Steps) -> Any:
        """Return the declared value without lost items; record replaced items on the way."""
        if isinstance(live, Mapping) and isinstance(declared, Mapping):
            return {
                key: self.at(live[key], value, below(tree, key) or {}, (*steps, key)) if key in live else value
                for key, value in declared.items()
            }
        if isinstance(live, list) and isinstance(declared, list):
            return self._list(live, declared, tree, steps)
        return declared

    def _list(self, live: list[Any], declared: list[Any], tree: Mapping[str, Any], steps: Steps) -> list[Any]:
        names = key_names(tree)
        there = by_key(live, names)
        if there is None or not all(isinstance(item, Mapping) for item in declared):
            return declared
        pairs = [(item, _match(item, there, names)) for item in declared]
        matched = {key for _, key in pairs if key is not None}
        lost = [item for item, key in pairs if key is None]
        others = [key for key in there if key not in matched]
        foreign = [key for key in others if not any(owns(entry, (*steps, key)) for entry in self._mine)]
        replaces = bool(lost and foreign)
        if replaces:
            self.lost += [((*steps, item_key(item, names)), item) for item in lost]
            self.foreign += [((*steps, key), there[key]) for key in foreign]
        return [
            item if key is None else self.at(there[key], item, below(tree, key) or {}, (*steps, key))
            for item, key in pairs
            if key is not None or not replaces
        ]


def _match(item: Mapping[str, Any], there: Mapping[Step, Any], names: tuple[str, ...]) -> Step | None:
    """Return the key of the live item for a declared one; keys that it omits have defaults (`protocol`)."""
    named = [name for name in names if name in item]
    for key, live in there.items():
        if named and all(live.get(name) == item[name] for name in named):
            return key
    return None
