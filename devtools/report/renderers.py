"""Chooses the renderer of a run by the requested output and the terminal's abilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from devtools.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from devtools.events import Sink

Kind = Literal["live", "plain", "json", "jsonl"]
OUTPUTS = ("text", "json", "jsonl")
_NARROW = 40  # columns below which a redrawn view is not useful


def choose(output: str, *, isatty: bool, environ: Mapping[str, str]) -> Kind:
    """Return the renderer for `--output`; `isatty` says whether progress goes to a terminal.

    A terminal that cannot move its cursor (`TERM=dumb` or none) and CI get plain lines. Raises ConfigError for an
    unknown output.
    """
    if output == "json":
        return "json"
    if output == "jsonl":
        return "jsonl"
    if output != "text":
        raise ConfigError(f"unknown output {output!r}", hint=f"choose one of {', '.join(OUTPUTS)}")
    dumb = environ.get("TERM", "").lower() in {"", "dumb", "unknown"}
    in_ci = environ.get("CI", "").lower() not in {"", "0", "false"}
    return "live" if isatty and not dumb and not in_ci else "plain"


def use_color(*, isatty: bool, environ: Mapping[str, str]) -> bool:
    """Return whether to colour: never with NO_COLOR (no-color.org), always with FORCE_COLOR, else on a terminal."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return isatty and environ.get("TERM", "").lower() not in {"", "dumb", "unknown"}


def renderer(
    output: str,
    *,
    out: TextIO,
    err: TextIO,
    environ: Mapping[str, str],
    is_terminal: bool,
    clock: Callable[[], float],
    cwd: Path,
    verbose: bool = False,
) -> tuple[Sink, ...]:
    """Return the renderer of a run: results on `out`, progress on `err`, a live view if both are a terminal.

    With `json`, `out` gets the one document and `err` plain progress; with `jsonl`, `out` gets the events.
    Raises ConfigError for an unknown output.
    """
    kind = choose(output, isatty=is_terminal, environ=environ)
    if kind == "jsonl":
        from devtools.report.jsonl import JsonLines

        return (JsonLines(out),)
    from devtools.report.terminal.plain import Plain, Ticking

    if kind == "live":
        from devtools.report.terminal.live import RATE, LiveView

        view_out, view_err = console(out, environ), console(err, environ)
        if view_err.width >= _NARROW:
            return (Ticking(LiveView(view_out, view_err, clock=clock, cwd=cwd, verbose=verbose), clock, 1 / RATE),)
    plain = Ticking(Plain(out, err, cwd=cwd, verbose=verbose, final=kind != "json"), clock)
    if kind != "json":
        return (plain,)
    from devtools.report.jsonl import JsonSummary

    return plain, JsonSummary(out)


def console(stream: TextIO, environ: Mapping[str, str]) -> Console:
    """Return a rich console on `stream`: colour by `use_color`, no interpretation of the printed text."""
    from rich.console import Console

    color = use_color(isatty=stream.isatty(), environ=environ)
    return Console(
        file=stream,
        force_terminal=stream.isatty() or color,
        no_color=not color,
        markup=False,
        emoji=False,
        highlight=False,
        _environ={**environ},
    )
