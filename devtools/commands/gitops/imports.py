"""`invoke gitops.import`: writes layers from the GitOps tree of a team that already uses Argo CD or Flux."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.atomic_write import write_whole
from devtools.base.words import plural
from devtools.errors import ConfigError, ExitCode, raise_problems
from devtools.gitops.imports import Imported, imported
from devtools.gitops.verify import read_world
from devtools.report.text import Line, Span, clean, shown

VERSION = 1  # of the JSON document


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """An import as typed."""

    directory: str
    out: str = "imported"
    root: str = ""
    repository: str = ""
    dry_run: bool = False


def import_tree(app: App, typed: Arguments, output: str) -> ExitCode:
    """Write layers, overlays, charts and the lock into a new directory; exit code 1 if anything was rejected."""
    directory, out = app.cwd / typed.directory, (app.cwd / typed.out).resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{typed.out} exists and is not an empty directory", hint="name a new directory with --out")
    world = read_world(directory, app.cwd / typed.root if typed.root else None, typed.repository)
    raise_problems(world.tree.problems)
    made = imported(world, _name(out), typed.repository)
    if not made.releases:
        hint = "name a directory with Applications, ApplicationSets or HelmReleases"
        raise ConfigError(f"{typed.directory} has nothing that deploys a chart", hint=hint)
    for path, content in made.files.items() if not typed.dry_run else ():
        write_whole(out / path, content)
    document = import_json(app, typed, made)
    app.show(document, _lines, output)
    return ExitCode.FAILED if any(note.refused for note in made.notes) else ExitCode.OK


def _name(out: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", out.name.lower()).strip("-")[:32].strip("-") or "imported"


def import_json(app: App, typed: Arguments, made: Imported) -> dict[str, Any]:
    """Return the documented `gitops-import` document."""
    return {
        "version": VERSION,
        "kind": "gitops-import",
        "out": typed.out,
        "written": not typed.dry_run,
        "releases": made.releases,
        "files": sorted(map(str, made.files)),
        "notes": [
            {
                **asdict(note.where),
                "file": shown(note.where.file, app.cwd),
                "subject": note.subject,
                "message": note.message,
                "refused": note.refused,
            }
            for note in made.notes
        ],
    }


def _lines(document: Mapping[str, Any], width: int) -> list[Line]:
    del width
    lines: list[Line] = []
    for note in document["notes"]:
        place = f"{note['file']}:{note['line']}:{note['column']}: "
        word = Span("refused: ", "bad") if note["refused"] else Span("note: ", "dim")
        lines.append((Span(place, "strong"), word, Span(clean(f"{note['subject']}: {note['message']}"))))
    refused = sum(note["refused"] for note in document["notes"])
    would = "" if document["written"] else "would be "
    summary = f"{plural(document['releases'], 'release')}, {plural(len(document['files']), 'file')} {would}written"
    lines.append((Span(f"{document['out']}: {summary}"), Span(f", {refused} refused" if refused else "", "bad")))
    return lines
