"""The parts of the `charts-upgrade` document (`docs/output.md`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from devtools.redaction import hidden_at
from devtools.upgrades.crds import CrdChange
from devtools.upgrades.values import Setting, ValueChange
from devtools.upgrades.versions import Change


def changes_json(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Return rows of `metadata`, `dependencies` or `images`."""
    return [asdict(change) for change in changes]


def crds_json(changes: Iterable[CrdChange]) -> list[dict[str, Any]]:
    """Return `crds`."""
    return [
        {
            "name": one.name,
            "action": one.does,
            "before": list(one.before),
            "after": list(one.after),
            "notes": list(one.notes),
        }
        for one in changes
    ]


def values_json(changes: Iterable[ValueChange], hide: Callable[[Any], Any]) -> list[dict[str, Any]]:
    """Return `values`; `hide` removes secrets from nested values."""
    return [
        {
            "path": ".".join(one.path),
            "action": one.does,
            "before": hidden_at(one.path, one.before, hide),
            "after": hidden_at(one.path, one.after, hide),
            "set": _settings(one.settings),
        }
        for one in changes
    ]


def _settings(settings: Iterable[Setting]) -> list[dict[str, Any]]:
    """Return each place once, with the environments in which it applies."""
    found: dict[tuple[str, str, str], dict[str, None]] = {}
    for one in settings:
        key = (".".join(one.path), str(one.where), str(one.release))
        found.setdefault(key, {})[one.environment] = None
    return [
        {"path": path, "where": where, "release": release, "environments": list(environments)}
        for (path, where, release), environments in found.items()
    ]
