"""`invoke secrets`: lists encrypted values files, their recipients, and whether this user can decrypt them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.base.words import plural
from devtools.base.yaml_positions import read
from devtools.errors import ExitCode
from devtools.report.text import Line, Span, Style
from devtools.sops.encrypted_file import SUFFIX, encryption_problems, recipients

VERSION = 1  # of the JSON document
_STYLES: dict[str, Style] = {"readable": "good", "no key": "warn", "broken": "bad"}


def secrets(app: App, output: str) -> ExitCode:
    """List the files of every environment, or of the typed one; exit code 2 if a file is broken."""
    rows = [_row(app, file) for file in _files(app)]
    sound = [row for row in rows if row["state"] != "broken"]
    if sound:
        from devtools.app.stack_cache import decryption

        found = decryption(app).each([app.settings.root / row["file"] for row in sound])
        for row, item in zip(sound, found.values(), strict=True):
            if item.problem:
                row |= {"state": "broken" if item.has_key else "no key", "problems": [str(item.problem)]}
    app.show({"version": VERSION, "kind": "secrets", "files": rows}, _lines, output)
    return ExitCode.CONFIG if any(row["state"] == "broken" for row in rows) else ExitCode.OK


def _files(app: App) -> Iterator[Path]:
    """Yield the files by name: of all environments, or of the typed one and the shared ones."""
    from devtools.config.environments import SHARED, chosen

    directory = app.settings.environments
    only = (SHARED, chosen(app.settings, app.environment)) if app.environment else None
    for file in sorted(directory.glob(f"*/*/*{SUFFIX}")):
        is_hidden = any(part.startswith(".") for part in file.relative_to(directory).parts)
        if not is_hidden and (only is None or file.parent.parent.name in only):
            yield file


def _row(app: App, file: Path) -> dict[str, Any]:
    document = read(file, file.relative_to(app.settings.root))
    problems = list(encryption_problems(document))
    return {
        "file": str(document.file),
        "environment": file.parent.parent.name,
        "layer": file.parent.name,
        "release": file.name.removesuffix(SUFFIX),
        "recipients": list(recipients(document.data)),
        "state": "broken" if problems else "readable",
        "problems": [str(problem) for problem in problems],
    }


def _lines(document: dict[str, Any], _: int) -> list[Line]:
    rows = document["files"]
    if not rows:
        return [(Span(f"no encrypted values: environments/<env>/<layer>/<release>{SUFFIX} would hold them"),)]
    lines: list[Line] = []
    width = max(len(row["state"]) for row in rows)
    for row in rows:
        lines.append((Span(f"{row['state']:<{width}}", _STYLES[row["state"]]), Span(f"  {row['file']}")))
        lines += [(Span(f"{'':<{width}}  {name}", "dim"),) for name in row["recipients"]]
        if row["state"] == "broken":
            lines += [(Span(f"{'':<{width}}  {problem}", "bad"),) for problem in row["problems"]]
    readable = sum(row["state"] == "readable" for row in rows)
    lines.append((Span(f"{plural(len(rows), 'file')}, {readable} readable"),))
    return lines
