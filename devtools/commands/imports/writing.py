"""Writes an import into a repository, new files and missing keys of existing files, and shows what it converted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

from devtools.app.environment import App
from devtools.base.atomic_write import write_whole
from devtools.base.machine_yaml import read_map, yaml_text
from devtools.base.open_file import read_source
from devtools.base.words import plural
from devtools.errors import ConfigError, EnvironmentFault, Location, Problem, raise_problems
from devtools.imports.layer_files import slug
from devtools.imports.model import Files, Imported
from devtools.report.text import Line, Span, clean, wrapped

LOCK = PurePosixPath("charts", "third_party", "lock.yaml")
_IF_MISSING = frozenset({PurePosixPath("devtools.yaml"), PurePosixPath("tasks.py")})
_ENVIRONMENT = "environment.yaml"
VERSION = 1  # of the JSON documents


def finish(
    app: App,
    root: Path,
    imported: Imported,
    environments: Sequence[str],
    head: Mapping[str, Any],
    output: str,
    *,
    dry_run: bool,
    overwrite: bool,
) -> None:
    """Write an import below a root, unless it is a dry run, and show the document, which begins with `head`.

    Nothing is written if there is a problem.
    """
    files = {**imported.files, **_repository_files(root, environments[0])}
    changes = _changes(root, files, imported.lock, overwrite=overwrite)
    try:
        for path, content in changes.items() if not dry_run else ():
            write_whole(root / path, content)
    except OSError as error:
        raise EnvironmentFault(f"the import cannot be written: {error}") from error
    document = {
        "version": VERSION,
        **head,
        "directory": str(root),
        "environments": list(environments),
        "dry_run": dry_run,
        "written": sorted(map(str, changes)),
        "unchanged": len(imported.files) - len(set(changes) & set(imported.files)),
        "charts": [{key: entry[key] for key in ("publisher", "name", "version")} for entry in imported.lock],
        "rows": [asdict(row) for row in imported.rows],
    }
    app.show(document, _lines, output)


def layer_names(root: Path) -> list[str]:
    """Return the names of a repository's layer files."""
    return sorted(path.name for path in (root / "layers").glob("*.yaml"))


def _changes(
    out: Path, files: Files, lock: Sequence[Mapping[str, Any]], *, overwrite: bool
) -> dict[PurePosixPath, bytes]:
    """Return the files to write, with their whole contents; up-to-date files are left out.

    Raises ConfigError with every file that has different content, unless `overwrite` is set.
    """
    changes: dict[PurePosixPath, bytes] = {}
    problems: list[Problem] = []
    for path, content in files.items():
        there = _content(out / path)
        if there == content or (there is not None and path in _IF_MISSING):
            continue
        if there is not None and path.name == _ENVIRONMENT:
            extended = _with_keys(there, content)
            if extended is not None:
                changes |= {path: extended} if extended != there else {}
                continue
        if there is not None and not overwrite:
            line = _first_difference(there, content)
            hint = "move it away, or import into another directory with --out, or replace it with --overwrite"
            message = "exists with different content"
            problems.append(Problem(where=Location(file=Path(path), line=line), message=message, hint=hint))
        changes[path] = content
    raise_problems(problems)
    if lock:
        there = _content(out / LOCK)
        changes[LOCK] = _with_entries(there or b"", lock)
    return changes


def _repository_files(out: Path, environment: str) -> dict[PurePosixPath, bytes]:
    """Return the files that make a directory a repository that invoke finds."""
    name = slug(out.name)[:32].strip("-")
    settings = f"name: {name}\nenvironment: {environment}\n"
    return {
        PurePosixPath("devtools.yaml"): settings.encode(),
        PurePosixPath("tasks.py"): b"from devtools.tasks import namespace\n",
    }


def _content(path: Path) -> bytes | None:
    try:
        return read_source(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="move it away") from error


def _with_keys(there: bytes, content: bytes) -> bytes | None:
    """Return a map's text with its missing keys added; None if a key has another value."""
    try:
        old, new = read_map(there), read_map(content)
    except ValueError:
        return None
    if any(key in old and old[key] != value for key, value in new.items()):
        return None
    missing = {key: value for key, value in new.items() if key not in old}
    if not missing:
        return there
    text = there.rstrip(b"\n") + b"\n" + yaml_text(missing).encode()
    return text if _reads_as(text, {**old, **missing}) else None


def _with_entries(there: bytes, entries: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the lock's text with entries appended; ConfigError if that cannot be done safely."""
    added = [dict(entry) for entry in entries]
    old = read_map(there) if there.strip() else {}
    wanted = {**old, "charts": [*(old.get("charts") or ()), *added]}
    items = yaml_text(added)
    if not old.get("charts"):
        before = b"\n".join(line for line in there.splitlines() if not line.startswith(b"charts:"))
        candidates = [before.rstrip(b"\n") + b"\ncharts:\n" + items.encode()]
    else:
        candidates = [
            there.rstrip(b"\n") + b"\n" + "".join(f"{pad}{line}\n" for line in items.splitlines()).encode()
            for pad in ("", "  ", "    ")
        ]
    for text in candidates:
        if _reads_as(text, wanted):
            return text.lstrip(b"\n")
    names = ", ".join(f"{entry['publisher']}/{entry['name']}" for entry in added)
    raise ConfigError(f"{LOCK} cannot be extended safely", hint=f"add the entries at its end yourself: {names}")


def _reads_as(text: bytes, wanted: Mapping[str, Any]) -> bool:
    try:
        return read_map(text) == wanted
    except ValueError:
        return False


def _first_difference(there: bytes, content: bytes) -> int:
    pairs = zip_longest(there.split(b"\n"), content.split(b"\n"))
    return next((number for number, (one, other) in enumerate(pairs, 1) if one != other), 1)


def _lines(document: Mapping[str, Any], width: int) -> list[Line]:
    lines: list[Line] = []
    for title, carried in (("carried over", True), ("not carried over", False)):
        rows = [row for row in document["rows"] if row["carried"] == carried]
        if rows:
            lines.append((Span(f"{title}: {len(rows)}", "good" if carried else "warn"),))
        for row in rows:
            lines += _row(row, width)
    written = document["written"]
    verb = "would be written" if document["dry_run"] else "written"
    summary = f"{plural(len(written), 'file')} {verb}, {document['unchanged']} unchanged, in {document['directory']}"
    lines.append((Span(summary, "strong"),))
    lines += [(Span(f"  {path}"),) for path in written]
    return [*lines, *wrapped(f"next: {'invoke charts.vendor, ' if document['charts'] else ''}invoke plan", width)]


def _row(row: Mapping[str, Any], width: int) -> Iterator[Line]:
    place = (Span(f"  {row['where']}: ", "strong"),) if row["where"] else (Span("  "),)
    yield (*place, Span(clean(row["what"])))
    yield from wrapped(row["note"], width, "      ")
