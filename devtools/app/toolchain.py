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
    from rich.table import Table  # noqa: PLC0415 - not needed for JSON
    from rich.text import Text  # noqa: PLC0415

    shown = toolchain.table()
    table = Table(box=None, pad_edge=False)
    columns = ("tool", "version", "from", "path") + (("note",) if any(row.note for row in shown) else ())
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in {"tool", "version", "from"})
    for row in shown:
        style = "red" if row.source == "missing" else ""
        cells = (row.name, row.version, row.source, "" if row.path is None else str(row.path), row.note)
        table.add_row(*(Text(cell, style=style) for cell in cells[: len(columns)]))
    console.print(table)


def _plain(row: ToolRow) -> dict[str, str | None]:
    """One row as JSON data."""
    return {
        "name": row.name,
        "version": row.version,
        "source": row.source,
        "path": None if row.path is None else str(row.path),
        "note": row.note,
    }
