"""`invoke gitops.diff`: differences between two environments, two git revisions, or Git and a cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from devtools.app.environment import App
from devtools.commands.gitops.preview import checked_out, checkout_of
from devtools.commands.gitops.sides import Difference, compare_sides, difference_json, difference_lines, side_of
from devtools.errors import ConfigError, ExitCode
from devtools.report.changes.markdown import changes_markdown

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
        found, before, after = _between(app, typed)
        document = difference_json(found, before, after, time.monotonic() - started)
    app.show(document, difference_lines, typed.output, changes_markdown)
    if document["counts"]["not_predicted"]:
        return ExitCode.CONFIG
    return ExitCode.FAILED if typed.fail_on_change and document["changed"] else ExitCode.OK


def _check(typed: Arguments) -> None:
    if sum(map(bool, (typed.against, typed.from_ref, typed.live))) != 1:
        hint = "such as invoke gitops.diff --env staging --against dev, or invoke gitops.diff --env dev --from main"
        raise ConfigError("gitops.diff takes exactly one of --against, --from and --live", hint=hint)
    if typed.to_ref and not typed.from_ref:
        raise ConfigError("--to needs --from", hint="invoke gitops.diff --env dev --from main --to feature")
    if not typed.environment:
        hint = "invoke gitops.diff --env dev --from main"
        raise ConfigError("--env is missing: the environment to compare", hint=hint)


def _between(app: App, typed: Arguments) -> tuple[Difference, str, str]:
    """Compare two environments of the working tree, or one environment at two revisions."""
    name = typed.environment
    if typed.against:
        found = compare_sides(app, side_of(app, typed.against), side_of(app, name))
        return found, typed.against, name
    with tree_at(app, typed.from_ref) as old, tree_at(app, typed.to_ref) as new:
        found = compare_sides(app, side_of(app, name, old), side_of(app, name, new))
        return found, f"{name} at {typed.from_ref}", f"{name} at {typed.to_ref or 'the working tree'}"


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
