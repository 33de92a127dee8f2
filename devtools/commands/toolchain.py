"""`invoke toolchain`: builds missing tools, shows each tool and its source, removes unused builds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from devtools.app.environment import App
from devtools.base.machine_json import json_text
from devtools.errors import ConfigError, ExitCode
from devtools.toolchain.chain import Toolchain

if TYPE_CHECKING:
    from rich.console import Console

    from devtools.toolchain.prune import Decision

VERSION = 1  # of the JSON document


def show(app: App, output: str, *, dry_run: bool = False) -> ExitCode:
    """Build missing tools, then print a table; ConfigError for a dry run, which only pruning supports."""
    if dry_run:
        raise ConfigError("--dry-run needs --prune", hint="invoke toolchain --prune --dry-run")
    app.toolchain.ensure(progress=app.say)
    app.toolchain.renew(progress=app.say)
    if output == "json":
        app.out.write(document(app.toolchain))
        return ExitCode.OK
    from rich.console import Console

    render(app.toolchain, Console(file=app.out, no_color="NO_COLOR" in app.environ or None))
    return ExitCode.OK


def prune(app: App, output: str, *, days: str, dry_run: bool) -> ExitCode:
    """Remove builds of former pins; ConfigError for less than one day, because a run may be using them."""
    if not re.fullmatch(r"[1-9]\d{0,3}", days, re.ASCII):
        message = f"--days {days[:20]} is not a number of days from 1 to 9999"
        raise ConfigError(message, hint="builds used today may still be in use")
    from devtools.clusters.embedded.layout import programs

    decisions = app.toolchain.prune(programs(app.folders.state / "clusters"), days=int(days), dry_run=dry_run)
    text = pruned_document if output == "json" else pruned_text
    app.out.write(text(decisions, dry_run=dry_run))
    return ExitCode.OK


def document(toolchain: Toolchain) -> str:
    """Return the output of `invoke toolchain --output json`: the documented `toolchain` document."""
    rows = [{**asdict(row), "path": str(row.path) if row.path else None} for row in toolchain.table()]
    return json_text({"version": VERSION, "kind": "toolchain", "tools": rows}) + "\n"


def render(toolchain: Toolchain, console: Console) -> None:
    """Print the same as a table for people."""
    from rich.text import Text

    cells = [("tool", "version", "from", "path", "")]
    cells += [
        (row.name, row.version, row.source, str(row.path or "-"), f"({row.note})" if row.note else "")
        for row in toolchain.table()
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    for number, row in enumerate(cells):
        line = "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), *row[3:]))
        style = "bold" if number == 0 else "red" if row[2] == "missing" else ""
        console.print(Text(line.rstrip(), style=style), soft_wrap=True)  # a wrapped path cannot be copied


def pruned_document(decisions: Sequence[Decision], *, dry_run: bool) -> str:
    """Return the output of `invoke toolchain --prune --output json`: the documented `toolchain-prune` document."""
    builds = [
        {
            "build": item.build.name,
            "family": item.build.family,
            "version": item.build.version,
            "bytes": item.build.size,
            "used": datetime.fromtimestamp(item.build.used, UTC).isoformat(timespec="seconds"),
            "goes": item.goes,
            "reason": item.reason,
        }
        for item in decisions
    ]
    head = {"version": VERSION, "kind": "toolchain-prune", "dry_run": dry_run, "freed": _freed(decisions)}
    return json_text({**head, "builds": builds}) + "\n"


def pruned_text(decisions: Sequence[Decision], *, dry_run: bool) -> str:
    """Print the same for people: a line for each build, and the freed space."""
    word = {True: "to remove" if dry_run else "removed", False: "kept"}
    names = [f"{item.build.family} {item.build.version or '(unfinished)'}" for item in decisions]
    pad = max(map(len, names), default=0)
    lines = [
        f"{word[item.goes]:<9}  {name:<{pad}}  {_mebibytes(item.build.size):>9}  {item.reason}"
        for item, name in zip(decisions, names, strict=True)
    ]
    freed = f"{_mebibytes(_freed(decisions))} {'would be freed' if dry_run else 'freed'}"
    return "\n".join([*lines, freed if _freed(decisions) else "nothing to remove"]) + "\n"


def _freed(decisions: Sequence[Decision]) -> int:
    return sum(item.build.size for item in decisions if item.goes)


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
