"""Shows what an import converted, what it did not, and what to do about that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from devtools.app.environment import App
from devtools.base.words import plural

if TYPE_CHECKING:
    from devtools.report.text import Line


def show(app: App, document: dict[str, Any], output: str) -> None:
    """Write the document as JSON, or as text for people."""
    app.show(document, _lines, output)


def _lines(document: Mapping[str, Any], width: int) -> list[Line]:
    from devtools.report.text import Span

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
    return [*lines, *_next(document, width)]


def _row(row: Mapping[str, Any], width: int) -> Iterator[Line]:
    from devtools.report.text import Span, clean, wrapped

    place = (Span(f"  {row['where']}: ", "strong"),) if row["where"] else (Span("  "),)
    yield (*place, Span(clean(row["what"])))
    yield from wrapped(row["note"], width, "      ")


def _next(document: Mapping[str, Any], width: int) -> list[Line]:
    """Print the next commands."""
    from devtools.report.text import wrapped

    steps = ["invoke charts.vendor"] if document["charts"] else []
    steps.append("invoke plan")
    return wrapped("next: " + ", ".join(steps), width)
