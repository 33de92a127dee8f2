"""`invoke toolchain`: gets what is missing and shows each tool, its version and where it came from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from devtools.toolchain import Toolchain, ToolRow

if TYPE_CHECKING:
    from rich.console import Console

VERSION = 1  # of the JSON document


def rows(toolchain: Toolchain) -> list[dict[str, str | None]]:
    """A row for each tool, as JSON data: `name`, `version`, `source` (PATH, cache, PyPI, missing), `path`, `note`."""
    return [_plain(row) for row in toolchain.table()]


def document(toolchain: Toolchain) -> str:
    """What `invoke toolchain --output json` prints: `{"v": 1, "tools": [row, …]}`, indented, with a final newline."""
    data: dict[str, Any] = {"v": VERSION, "tools": rows(toolchain)}
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def render(toolchain: Toolchain, console: Console) -> None:
    """The same as a table for people."""
    from rich.text import Text  # noqa: PLC0415 - not needed for JSON

    cells = [("tool", "version", "from", "path", "")]
    cells += [
        (row.name, row.version, row.source, str(row.path or "-"), f"({row.note})" if row.note else "")
        for row in toolchain.table()
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    for number, row in enumerate(cells):
        line = "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), *row[3:]))
        style = "bold" if number == 0 else "red" if row[2] == "missing" else ""
        console.print(Text(line.rstrip(), style=style), soft_wrap=True)  # a path cut in two is no path


def _plain(row: ToolRow) -> dict[str, str | None]:
    """One row as JSON data."""
    return {
        "name": row.name,
        "version": row.version,
        "source": row.source,
        "path": None if row.path is None else str(row.path),
        "note": row.note,
    }
