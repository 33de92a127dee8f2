"""The output of `invoke bootstrap` and its companions; `docs/output.md` describes the documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, TextIO

from devtools.bootstrap.dry_run_script import Line as Planned
from devtools.bootstrap.dry_run_script import as_json
from devtools.bootstrap.prerequisites import Finding
from devtools.bootstrap.stage import DIFFERENCES, StageStatus
from devtools.report.tables import show_document
from devtools.report.text import Line, Span, Style, wrapped

VERSION = 1
_STYLES: dict[str, Style] = {"ready": "good", "unused": "dim", "broken": "bad", "removed": "good"}


def document(  # noqa: PLR0913 - one parameter per field
    verb: str,
    *,
    provider: str,
    context: str,
    kubeconfig: str,
    stages: Iterable[StageStatus],
    findings: Iterable[Finding] = (),
    fallback: bool = False,
    ui: str = "",
    log: str = "",
    next_: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the documented `bootstrap` document; `verb` is `up`, `status` or `down`."""
    return {
        "version": VERSION,
        "kind": "bootstrap",
        "verb": verb,
        "provider": provider,
        "context": context,
        "kubeconfig": kubeconfig,
        "stages": [
            {"stage": item.stage, "state": item.state, "ok": item.ok, "detail": item.detail, "hint": item.hint}
            for item in stages
        ],
        "findings": findings_json(findings),
        "differences": [asdict(item) for item in DIFFERENCES if fallback],
        "ui": ui,
        "log": log,
        "next": list(next_),
    }


def plan_document(
    *, provider: str, context: str, findings: Iterable[Finding], lines: Iterable[Planned]
) -> dict[str, Any]:
    """Return the documented `bootstrap-plan` document."""
    return {
        "version": VERSION,
        "kind": "bootstrap-plan",
        "provider": provider,
        "context": context,
        "findings": findings_json(findings),
        "commands": [as_json(line) for line in lines],
    }


def findings_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return the elements of `findings`."""
    return [asdict(item) for item in findings]


def show(found: dict[str, Any], *, output: str, out: TextIO, environ: Mapping[str, str]) -> None:
    """Write a `bootstrap` document in the requested format; ConfigError for an unknown format."""
    show_document(found, lines, output, out, environ)


def lines(found: Mapping[str, Any], width: int) -> list[Line]:
    """Return the `bootstrap` document for people: a row per stage."""
    rendered: list[Line] = [(Span(f"cluster {found['context']} ({found['provider']})", "strong"),)]
    for item in found["stages"]:
        head = (Span(f"  {item['stage']:<9} "), Span(f"{item['state']:<8}", _STYLES.get(item["state"], "warn")))
        first, *rest = wrapped(item["detail"], width, " " * 22) if item["detail"] else [()]
        rendered += [(*head, Span("  "), *first[1:]) if first else head, *rest]
        if item["hint"] and not item["ok"]:
            rendered += wrapped(item["hint"], width, " " * 22, "warn")
    if found["differences"]:
        rendered += _table(found["differences"], width)
    rendered += [(Span(f"  {name:<9} ", "dim"), Span(found[name])) for name in ("ui", "log") if found[name]]
    return rendered + [
        (Span(f"  {'next' if not at else '':<9} ", "dim"), Span(item)) for at, item in enumerate(found["next"])
    ]


def _table(rows: Iterable[Mapping[str, str]], width: int) -> list[Line]:
    """Return the differences between k3d and the embedded cluster as a table."""
    rendered: list[Line] = [(Span("  The embedded cluster is not k3d:", "strong"),)]
    room = max((width - 26) // 2, 20)
    pad = min(room, 36)
    rendered.append((Span(f"    {'':<20}  {'k3d':<{pad}}  embedded", "dim"),))
    for row in rows:
        left = [line[1].text for line in wrapped(row["k3d"], pad)]
        right = [line[1].text for line in wrapped(row["embedded"], max(width - 28 - pad, 20))]
        for at in range(max(len(left), len(right))):
            cells = (
                row["what"] if not at else "",
                left[at] if at < len(left) else "",
                right[at] if at < len(right) else "",
            )
            rendered.append((Span(f"    {cells[0]:<20}  ", "dim"), Span(f"{cells[1]:<{pad}}  "), Span(cells[2])))
    return rendered
