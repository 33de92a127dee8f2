"""Compares the CRDs of two versions of a chart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from devtools.diff.effects import CRD

_STAYS, _GOES = "it stays on the cluster", "Helm deletes it, and every object of its kind"
_Versions = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class CrdChange:
    """A CRD that only one version has, or whose versions or schemas differ."""

    name: str
    does: Literal["add", "change", "remove"]
    before: tuple[str, ...] = ()  # versions, such as `v1 (stored)`
    after: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def compare_crds(
    before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]], staying: Collection[str]
) -> list[CrdChange]:
    """Return the differences between the CRDs of two sets of objects, by name; Helm never deletes `staying` ones."""
    old, new = _by_name(before), _by_name(after)
    found = []
    for name in sorted({*old, *new}):
        one, other = old.get(name, {}), new.get(name, {})
        does: Literal["add", "change", "remove"] = "change" if one and other else "remove" if one else "add"
        notes = tuple(_notes(one, other)) if does == "change" else ()
        if does == "remove":
            notes = (_STAYS if name in staying else _GOES,)
        if notes or does != "change":
            found.append(CrdChange(name, does, tuple(_shown(one)), tuple(_shown(other)), notes))
    return found


def _by_name(objects: Iterable[Mapping[str, Any]]) -> dict[str, _Versions]:
    return {
        item["metadata"]["name"]: {version["name"]: version for version in item["spec"].get("versions") or ()}
        for item in objects
        if item.get("kind") == CRD
    }


def _shown(versions: _Versions) -> Iterator[str]:
    """Yield the versions, such as `v1 (stored)`."""
    for name, one in versions.items():
        words = [*(["stored"] if one.get("storage") else []), *([] if one.get("served") else ["not served"])]
        yield f"{name} ({', '.join(words)})" if words else name


def _notes(old: _Versions, new: _Versions) -> Iterator[str]:
    stored, stores = (next((name for name, one in side.items() if one.get("storage")), "") for side in (old, new))
    if stored != stores:
        yield f"stores {stores} instead of {stored}"
    for name in (name for name in new if name not in old):
        yield f"{name} is new"
    for name in (name for name in old if name not in new):
        risk = ": the upgrade fails as long as objects are stored in it" if name == stored else ""
        yield f"{name} is gone{risk}"
    for name in (name for name in new if name in old):
        if bool(old[name].get("served")) != bool(new[name].get("served")):
            yield f"{name} is {'served again' if new[name].get('served') else 'no longer served'}"
        if old[name].get("schema") != new[name].get("schema"):
            yield f"the schema of {name} differs"
