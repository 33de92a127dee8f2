"""Writes an upgrade: the archive, layer files that name the version, the lock; all or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.atomic_write import write_whole
from devtools.base.open_file import read_file, read_source
from devtools.base.yaml_edit import with_scalar, with_value
from devtools.base.yaml_positions import KeyPath, parse, read
from devtools.charts.lock import LOCK, LockEntry, index_of
from devtools.errors import ConfigError, EnvironmentFault, Interrupted


def changes_of(app: App, old: LockEntry, new: LockEntry, contract: Mapping[str, Any] | None) -> dict[Path, bytes]:
    """Return the changed files, the lock last, with their full texts; raises ConfigError if one cannot be edited.

    Layer files change only if they name the chart with its version.
    """
    changes = _layers(app, old, new)
    lock = app.settings.charts / LOCK
    shown = app.charts.lock.file
    raw = read_source(lock)
    at = ("charts", index_of(parse(raw, shown).data, old.pin))
    values = {"version": new.version, "sha256": new.sha256}
    values |= {"ref": new.ref, "commit": new.commit} if new.git else {}
    for key, value in values.items():
        raw = _set(raw, shown, (*at, key), value)
    known = parse(raw, shown).data["charts"][at[1]].get("contract") or {}
    for path, value in _contract_changes(known, contract or known):
        text = with_value(raw, shown, (*at, "contract", *path), value)
        if text is None:
            raise _cannot(shown, raw, (*at, "contract", *path), "the new version's contract")
        raw = text
    return {**changes, lock: raw}


def _contract_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Any]]:
    """Yield the changed keys of a contract, or the whole contract if a key is removed."""
    if old.keys() - new.keys():
        yield (), new
        return
    for key, value in new.items():
        there = old.get(key)
        if isinstance(value, list) and isinstance(there, list):
            names = [_identity(item) for item in there]
            value = sorted(  # noqa: PLW2901 - the same items
                value, key=lambda item: names.index(_identity(item)) if _identity(item) in names else len(names)
            )
        if value != there:
            yield (key,), value


def _identity(item: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(item.get(key) for key in ("group", "plural", "kind", "name"))


def write(app: App, archive: Path, target: Path, changes: Mapping[Path, bytes], unused: Path) -> None:
    """Write the archive, then the files; then delete the archive that no entry names.

    Raises EnvironmentFault if a file cannot be written, Interrupted on cancel: everything is then restored.
    """
    if app.cancel.is_set():
        raise Interrupted(app.cancel.reason)
    before = {path: read_source(path) for path in changes}
    is_new = not target.exists()
    try:
        write_whole(target, read_file(archive), lasting=True)
        for path, text in changes.items():
            write_whole(path, text, lasting=True)
    except BaseException as error:
        with contextlib.suppress(OSError):
            for path, text in before.items():
                if read_source(path) != text:
                    write_whole(path, text, lasting=True)
            if is_new:
                target.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise EnvironmentFault(f"the upgrade cannot be written: {error}", hint="nothing was changed") from error
        raise
    with contextlib.suppress(OSError):  # charts.verify reports it
        unused.unlink(missing_ok=True)


def undo_interrupted(app: App, old: LockEntry, new: LockEntry) -> None:
    """Restore layer files that name the new version before it is locked: an upgrade was killed between the writes."""
    for path, text in _layers(app, new, old).items():
        app.say(f"{path.relative_to(app.settings.root)}: {new.pin} is not locked yet, so it is {old.pin} again")
        write_whole(path, text, lasting=True)


def _layers(app: App, old: LockEntry, new: LockEntry) -> dict[Path, bytes]:
    changes: dict[Path, bytes] = {}
    for path in sorted(app.settings.layers.glob("*.yaml")):
        shown = path.relative_to(app.settings.root)
        releases = read(path, shown).data.get("releases")
        for at, release in enumerate(releases if isinstance(releases, list) else ()):
            if isinstance(release, Mapping) and release.get("chart") == old.pin:
                raw = changes.get(path) or read_source(path)
                changes[path] = _set(raw, shown, ("releases", at, "chart"), new.pin)
    return changes


def _set(raw: bytes, shown: Path, path: KeyPath, value: str) -> bytes:
    text = with_scalar(raw, shown, path, value)
    if text is None:
        raise _cannot(shown, raw, path, value)
    return text


def _cannot(shown: Path, raw: bytes, path: KeyPath, value: str) -> ConfigError:
    where = parse(raw, shown).at(path)
    return ConfigError(f"'{path[-1]}' cannot be changed at {where}", hint=f"write it there by hand: {value}")
