"""Prints errors for users: what, where, what to do; every problem on a line that editors can follow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from devtools.base.words import plural
from devtools.errors import ConfigError, DevtoolsError, Interrupted
from devtools.report.text import Line, Span, Writer, clean, clean_lines, plain, shown

VERSION = 1
_ANSI = {"": "", "bad": "\x1b[1;31m", "strong": "\x1b[1m", "dim": "\x1b[2m", "good": "\x1b[32m", "warn": "\x1b[33m"}
_LISTED = 50  # problems shown; with more, something else is wrong


def render_error(error: DevtoolsError, stream: TextIO, *, color: bool, cwd: Path | None = None) -> None:
    """Write an error to `stream`: the sentence, its problems as `file:line:column` (relative to `cwd`), the hint.

    Colours are written here without rich, so that even a failure to import anything can be shown.
    """
    writer = Writer(stream)
    for line in error_lines(error, cwd):
        colored = (f"{_ANSI[span.style]}{span.text}\x1b[0m" if span.style else span.text for span in line)
        writer.write("".join(colored) if color else plain(line))


def error_lines(error: DevtoolsError, cwd: Path | None = None) -> list[Line]:
    """Return the lines of an error, not wrapped, because editors follow only whole paths."""
    first, *more = clean_lines(error.message)
    lines: list[Line] = [(Span("error: ", "bad"), Span(first))]
    if isinstance(error, Interrupted):  # many of these messages begin with the word
        rest = first.removeprefix("interrupted")
        lines = [(Span("interrupted" if rest != first else "interrupted: ", "bad"), Span(rest))]
    lines += [(Span("  "), Span(line)) for line in more]
    problems = error.problems if isinstance(error, ConfigError) else ()
    for problem in problems[:_LISTED]:
        where = f"  {replace(problem.where, file=Path(shown(problem.where.file, cwd)))}: "
        hint = f" ({clean(problem.hint)})" if problem.hint else ""
        lines.append((Span(where, "strong"), Span(" ".join(clean_lines(problem.message)) + hint)))
    if len(problems) > _LISTED:
        lines.append((Span(f"  and {plural(len(problems) - _LISTED, 'more problem')}"),))
    details: tuple[str, ...] = tuple(getattr(error, "details", ()))
    lines += [(Span("  | ", "dim"), Span(clean(line))) for line in details]
    hints = clean_lines(error.hint) if error.hint else []
    return lines + [(Span("  hint: " if not at else "        ", "dim"), Span(hint)) for at, hint in enumerate(hints)]


def error_json(error: DevtoolsError, cwd: Path | None = None) -> dict[str, Any]:
    """Return the documented `error` document, which `--output json` prints instead of a result."""
    problems = error.problems if isinstance(error, ConfigError) else ()
    return {
        "version": VERSION,
        "kind": "error",
        "message": error.message,
        "hint": error.hint,
        "exit_code": int(error.exit_code),
        "problems": [
            {
                "file": shown(item.where.file, cwd),
                "line": item.where.line,
                "column": item.where.column,
                "message": item.message,
                "hint": item.hint,
            }
            for item in problems
        ],
        "details": [clean(line) for line in getattr(error, "details", ())],
    }
