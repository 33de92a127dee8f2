"""Writes an export into its directory: only files that differ, and never over edited files.

`.devtools-export.yaml` in that directory lists the files of each engine with their SHA-256: listed files belong to the
export.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path, PurePosixPath

from devtools.base.atomic_write import write_whole
from devtools.base.machine_yaml import read_map, yaml_text
from devtools.base.open_file import check_inside, read_source
from devtools.config.validate import is_inside
from devtools.errors import ConfigError, EnvironmentFault, Location, Problem, config_error

MANIFEST = ".devtools-export.yaml"
_HEAD = "# Written by invoke gitops.export: the files of each engine and their SHA-256. Do not edit.\n"

Files = Mapping[PurePosixPath, bytes]
Digests = Mapping[str, Mapping[str, str]]  # by engine and path


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The changes of an export to its directory."""

    out: Path
    engine: str
    files: Files
    digests: Digests  # of the manifest, as it is
    is_narrowed: bool = False  # to a selection of the files
    written: tuple[PurePosixPath, ...] = ()  # new, or with other content
    removed: tuple[PurePosixPath, ...] = ()  # listed, and no longer exported
    left_out: tuple[PurePosixPath, ...] = ()  # that differ, and that the selection does not include

    @property
    def is_empty(self) -> bool:
        """Whether the directory is up to date."""
        return not self.written and not self.removed


def changes_of(
    out: Path,
    engine: str,
    files: Files,
    *,
    shown: Path,
    overwrite: bool = False,
    includes: Callable[[PurePosixPath], bool] | None = None,
) -> Changes:
    """Compare an export with its directory, which is named `shown` in messages.

    With `includes`, only files that it accepts are written, and none is removed. Raises ConfigError with every edited
    file and every file that no export wrote and this one would replace, unless `overwrite` is set.
    """
    digests = _digests(out, shown)
    ours = digests.get(engine, {})
    shared = {path for other, paths in digests.items() if other != engine for path in paths}
    differing: list[PurePosixPath] = []
    problems: list[Problem] = []
    for path, content in files.items():
        there = _content(out / path, shown / path)
        if there == content:
            continue
        differing.append(path)
        if there is not None and (includes is None or includes(path)):
            problems += _edited(shown / path, there, content, _known(digests, path))
    removed: list[PurePosixPath] = []
    for path in () if includes else (PurePosixPath(path) for path in ours):
        if path not in files and str(path) not in shared and (there := _content(out / path, shown / path)) is not None:
            removed.append(path)
            problems += _edited(shown / path, there, None, _known(digests, path))
    if problems and not overwrite:
        raise config_error(problems)
    written = [path for path in differing if includes is None or includes(path)]
    return Changes(
        out=out,
        engine=engine,
        files=files,
        digests=digests,
        is_narrowed=includes is not None,
        written=tuple(sorted(written)),
        removed=tuple(sorted(removed)),
        left_out=tuple(sorted(set(differing) - set(written))),
    )


def write_changes(changes: Changes) -> None:
    """Carry changes out, the manifest last; raises EnvironmentFault if a file cannot be written."""
    try:
        for path in changes.written:
            write_whole(changes.out / path, changes.files[path])
        for path in changes.removed:
            _remove(changes.out, path)
        manifest = changes.out / MANIFEST
        text = (_HEAD + yaml_text(_new_digests(changes))).encode()
        if _content(manifest, manifest) != text:
            write_whole(manifest, text)
    except OSError as error:
        raise EnvironmentFault(f"the export cannot be written: {error}") from error


def note_restored(out: Path, files: Mapping[PurePosixPath, bytes | None]) -> None:
    """Record in the manifest that files of it were restored from version control, or removed (None)."""
    digests = _digests(out, Path(out.name))
    changed = {}
    for engine, paths in digests.items():
        ours = {path: content for path, content in files.items() if (path.parts[0] == "flux") == (engine == "flux")}
        remaining = {path: digest for path, digest in paths.items() if PurePosixPath(path) not in ours}
        new = {str(path): hashlib.sha256(content).hexdigest() for path, content in ours.items() if content is not None}
        changed[engine] = dict(sorted({**remaining, **new}.items()))
    write_whole(out / MANIFEST, (_HEAD + yaml_text(changed)).encode())


def _new_digests(changes: Changes) -> dict[str, dict[str, str]]:
    """Return the manifest after the changes: sorted, and only with files of the export."""
    before = changes.digests.get(changes.engine, {}) if changes.is_narrowed else {}
    written = set(changes.files) - set(changes.left_out)
    ours = {**before, **{str(path): hashlib.sha256(changes.files[path]).hexdigest() for path in written}}
    everything = {**changes.digests, changes.engine: ours}
    return {engine: dict(sorted(paths.items())) for engine, paths in sorted(everything.items()) if paths}


def _digests(out: Path, shown: Path) -> Digests:
    """Read the manifest; raise ConfigError if it is invalid."""
    raw = _content(out / MANIFEST, shown / MANIFEST)
    if raw is None:
        return {}
    hint = "restore it from version control, or delete it and export with --overwrite"
    try:
        data = read_map(raw)
    except ValueError as error:
        raise ConfigError(f"{shown / MANIFEST} is not YAML: {error}", hint=hint) from error
    for paths in data.values():
        if not isinstance(paths, dict):
            raise ConfigError(f"{shown / MANIFEST} is not a map of engines and files", hint=hint)
        for path, digest in paths.items():
            if not (isinstance(digest, str) and is_inside(path)):
                raise ConfigError(f"{shown / MANIFEST} lists {path!r}, which is not a file of an export", hint=hint)
    return data


def _known(digests: Digests, path: PurePosixPath) -> set[str]:
    return {paths[str(path)] for paths in digests.values() if str(path) in paths}


def _content(path: Path, shown: Path) -> bytes | None:
    """Return the bytes of a file, None if there is none; raise ConfigError if it is not a regular file."""
    try:
        return read_source(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror}", hint="move it away, or fix it") from error


def _edited(shown: Path, there: bytes, content: bytes | None, known: Iterable[str]) -> Iterable[Problem]:
    """Yield the problem of a file that was edited, or that no export wrote."""
    if hashlib.sha256(there).hexdigest() in known:
        return
    where = Location(file=shown, line=_first_difference(there, content))
    if not known:
        message = "exists, and was not written by an export"
        yield Problem(where=where, message=message, hint="move it away, or export with --overwrite")
        return
    hint = "move the change to the layer file or an overlay, then export with --overwrite"
    yield Problem(where=where, message="was edited by hand since the last export", hint=hint)


def _first_difference(there: bytes, content: bytes | None) -> int:
    if content is None:
        return 1
    pairs = zip_longest(there.split(b"\n"), content.split(b"\n"))
    return next((number for number, (one, other) in enumerate(pairs, 1) if one != other), 1)


def _remove(out: Path, path: PurePosixPath) -> None:
    """Delete a file and the directories that become empty."""
    check_inside((out / path).parent)
    (out / path).unlink(missing_ok=True)
    for directory in path.parents:
        if directory == PurePosixPath() or any((out / directory).iterdir()):
            return
        (out / directory).rmdir()
