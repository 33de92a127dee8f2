"""`invoke gitops.diff`: differences between two environments, two git revisions, or Git and a cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.commands.gitops.preview import checked_out, checkout_of
from devtools.commands.gitops.sides import compare_sides, side_of
from devtools.errors import ConfigError, ExitCode
from devtools.report.text import Line, Span

OUTPUTS = ("text", "json", "markdown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The options as typed."""

    environment: str = ""
    against: str = ""  # another environment
    from_ref: str = ""
    to_ref: str = ""  # empty: the working tree
    live: bool = False
    engine: str = ""  # with `live`
    fail_on_change: bool = False
    output: str = "text"


def diff(app: App, typed: Arguments) -> ExitCode:
    """Show the differences; with `fail_on_change` FAILED if there are any, CONFIG if a chart cannot be rendered."""
    started = time.monotonic()
    _check(typed)
    if typed.live:
        from devtools.commands.takeover.adopt import live_difference

        document = live_difference(app, typed.engine, started)
    else:
        before, after, plan, found = _between(app, typed)
        document = difference_json(plan, found, before, after, time.monotonic() - started)
    show_difference(app, document, typed.output)
    if document["counts"]["not_predicted"]:
        return ExitCode.CONFIG
    return ExitCode.FAILED if typed.fail_on_change and document["changed"] else ExitCode.OK


def difference_json(plan: Any, found: Any, before: str, after: str, seconds: float) -> dict[str, Any]:
    """Return the documented `gitops-diff` document: a `plan-diff` between two sides."""
    from devtools.report.changes.document import changes_json

    made = changes_json(plan, "", found, (), seconds)
    return {**made, "kind": "gitops-diff", "from": before, "to": after}


def show_difference(app: App, document: dict[str, Any], output: str) -> None:
    """Write a difference as text, JSON or Markdown."""
    from devtools.report.changes.markdown import changes_markdown

    if output == "markdown":
        app.out.write(changes_markdown(document))
    else:
        app.show(document, difference_lines, output)


def difference_lines(document: Mapping[str, Any], width: int) -> list[Line]:
    """Return the document as text for people."""
    from devtools.report.changes.text import changes_lines

    head = (Span(f"from {document['from']} to {document['to']}", "strong"),)
    if not document["releases"]:
        return [head, (Span("nothing differs", "good"),)]
    return [head, (), *changes_lines(document, width)]


def _check(typed: Arguments) -> None:
    """Raise ConfigError for incompatible flags."""
    if sum(map(bool, (typed.against, typed.from_ref, typed.live))) != 1:
        hint = "such as invoke gitops.diff --env staging --against dev, or invoke gitops.diff --env dev --from main"
        raise ConfigError("gitops.diff takes exactly one of --against, --from and --live", hint=hint)
    if typed.to_ref and not typed.from_ref:
        raise ConfigError("--to needs --from", hint="invoke gitops.diff --env dev --from main --to feature")
    if not typed.environment:
        raise ConfigError(
            "--env is missing: the environment to compare", hint="invoke gitops.diff --env dev --from main"
        )


def _between(app: App, typed: Arguments) -> tuple[str, str, Any, Any]:
    """Compare two environments of the working tree, or one environment at two revisions."""
    name = typed.environment
    if typed.against:
        before, after = side_of(app, typed.against), side_of(app, name)
        return typed.against, name, *compare_sides(app, before, after)
    with tree_at(app, typed.from_ref) as old, tree_at(app, typed.to_ref) as new:
        before, after = side_of(app, name, old), side_of(app, name, new)
        shown = typed.to_ref or "the working tree"
        return f"{name} at {typed.from_ref}", f"{name} at {shown}", *compare_sides(app, before, after)


@contextlib.contextmanager
def tree_at(app: App, ref: str) -> Iterator[Path]:
    """Yield the stack's root as of a git ref; without a ref that of the working tree."""
    root = app.settings.root
    if not ref:
        yield root
        return
    top = checkout_of(app, root)
    with checked_out(app, top, ref) as tree:
        there = tree / root.relative_to(top)
        if not there.is_dir():
            raise ConfigError(f"{root} is not in {ref}", hint="name a ref that has the stack")
        yield there
