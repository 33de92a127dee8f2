"""The output of `invoke check`: one document (`docs/output.md`), as text one line for each finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devtools.base.words import plural
from devtools.checks.findings import Finding
from devtools.errors import Location
from devtools.report.text import Line, Span, Style, duration, wrapped

VERSION = 1


def checks_json(
    findings: Sequence[Finding],
    *,
    environments: Sequence[str],
    releases: int,
    objects: int,
    server: bool,
    seconds: float,
) -> dict[str, Any]:
    """Return the documented `check` document."""
    rows = [
        {
            "file": str(item.where.file),
            "line": item.where.line,
            "column": item.where.column,
            "severity": item.severity,
            "check": item.check,
            "message": item.message,
            "hint": item.hint,
            "environments": list(item.environments),
            "releases": list(item.releases),
        }
        for item in findings
    ]
    return {
        "version": VERSION,
        "kind": "check",
        "seconds": round(seconds, 3),
        "environments": list(environments),
        "server": server,
        "counts": {
            "releases": releases,
            "objects": objects,
            "errors": sum(row["severity"] == "error" for row in rows),
            "warnings": sum(row["severity"] == "warning" for row in rows),
        },
        "findings": rows,
    }


def checks_lines(document: Mapping[str, Any], width: int) -> list[Line]:
    """Return the document as text."""
    lines: list[Line] = []
    for row in document["findings"]:
        place = str(Location(file=Path(row["file"]), line=row["line"], column=row["column"]))
        style: Style = "bad" if row["severity"] == "error" else "warn"
        lines.append((Span(place, "strong"), Span(f" {row['severity']}", style), Span(f" [{row['check']}]", "dim")))
        lines += wrapped(row["message"], width, "  ")
        if row["hint"]:
            lines += wrapped(f"Hint: {row['hint']}", width, "  ", "dim")
        if row["environments"] and set(row["environments"]) != set(document["environments"]):
            lines += wrapped(f"in {', '.join(row['environments'])}", width, "  ", "dim")
    counts = document["counts"]
    what = f"{plural(counts['releases'], 'release')} in {plural(len(document['environments']), 'environment')}"
    what += f", {plural(counts['objects'], 'object')}"
    took = duration(document["seconds"])
    if not document["findings"]:
        return [(Span(f"No findings: {what} ({took})", "good"),)]
    found = [plural(counts["errors"], "error"), plural(counts["warnings"], "warning")]
    text = f"{' and '.join(found)}: {what} ({took})"
    return [*lines, (), *wrapped(text, width, "", "bad" if counts["errors"] else "warn")]
