"""`invoke drift`: compares live objects with the deployed ones, and restores them with `--fix`."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Sequence
from typing import Any

from devtools.app.environment import App
from devtools.app.notices import other_run
from devtools.app.options import Options, command_line
from devtools.app.stack_cache import cached_values
from devtools.base.words import shortened
from devtools.clusters.provider import Cluster
from devtools.config.settings_file.handover import refuse_handed_over
from devtools.drift.comparison import ReleaseDrift, find_drift
from devtools.errors import ConfigError, ExitCode
from devtools.model import Release, Stack
from devtools.planning.overrides import Overrides
from devtools.planning.plan import Selection
from devtools.planning.selection import choose
from devtools.project import Project, Request
from devtools.report.drift import drift_json, drift_lines, fix_json

_NAMED = 2  # maximum objects that a reason names


def drift(app: App, name: str, options: Options, *, fix: bool) -> ExitCode:
    """Compare the objects of the chosen releases (all, or those of one layer and the selector) with the live ones.

    The exit code is 1 if anything differs or could not be compared, else 0. With `fix` drifted releases are synced
    again, taking fields back from other field managers, and compared once more.
    """
    stack = app.stack()
    if fix and not options.force_local:
        refuse_handed_over(app.settings, stack.environment.name)
    selection = choose(stack, name, options.selector)
    releases = selection.enabled(stack)
    _refuse_disabled([] if releases else [item for item in stack.releases() if selection.takes(item)])
    target = app.find_cluster()
    if other := other_run(app, stack, target.context, app.client(target)):
        app.say(other)
    found, document = _look(app, target, stack, releases)
    drifted = [item for item in found if item.drifts]
    what = command_line(f"drift {shlex.quote(name)}" if name else "drift", options, app.environment, fix=True)
    if not (fix and drifted):
        _show(app, document, options)
        if drifted and options.output == "text":
            app.say(f"restore what was deployed: invoke {what}")
        return ExitCode.FAILED if document["drifted"] else ExitCode.OK
    if options.output == "text":
        _show(app, document, options)
    code = _fix(app, stack, drifted, what, options)
    left, after = _look(app, target, stack, releases)
    made = fix_json(code, [str(item.release.id) for item in drifted], left)
    _show(app, after if options.output == "text" else {**document, "fix": made}, options)
    return code or (ExitCode.FAILED if after["drifted"] else ExitCode.OK)


def _refuse_disabled(chosen: Sequence[Release]) -> None:
    """Raise ConfigError if every chosen release is disabled: comparing nothing would look like no drift."""
    if chosen:
        names = shortened([str(item.id) for item in chosen], _NAMED)
        why = chosen[0].disabled_by
        verb, by = "is" if len(chosen) == 1 else "are", f" by {why}" if why and len(chosen) == 1 else ""
        hint = "invoke layers shows what is enabled"
        raise ConfigError(f"{names} {verb} disabled{by}: nothing to compare", hint=hint)


def _show(app: App, document: dict[str, Any], options: Options) -> None:
    app.show(document, drift_lines, options.output)


def _look(
    app: App, target: Cluster, stack: Stack, releases: Sequence[Release]
) -> tuple[list[ReleaseDrift], dict[str, Any]]:
    """Compare the releases with the live objects; return them and the document."""
    started = time.monotonic()
    values = cached_values(app, stack, releases) if stack.environment.references else {}
    found = find_drift(app.client(target), releases, app.cancel, app.say, values)
    seconds = time.monotonic() - started
    return found, drift_json(stack.name, stack.environment.name, target.context, found, seconds)


def _fix(app: App, stack: Stack, drifted: Sequence[ReleaseDrift], what: str, options: Options) -> ExitCode:
    """Sync drifted releases again, although their inputs are unchanged, overwriting other field managers."""
    names = frozenset(item.release.id for item in drifted)
    held = {item.release.layer for item in drifted}
    layers = tuple(layer.name for layer in stack.layers if layer.name in held)
    request = Request(
        command=what,
        stack=stack,
        selection=Selection(layers=layers, releases=names),
        options=dataclasses.replace(options, output="text", test=False),
        overrides=Overrides(take=names, reasons={item.release.id: _reason(item) for item in drifted}),
    )
    # This command prints the only document on stdout: the run must not print another one.
    beside = app if options.output == "text" else dataclasses.replace(app, out=app.err)
    return Project(beside).run(request)


def _reason(item: ReleaseDrift) -> str:
    """Return `drifted: Deployment/web, ConfigMap/conf and 1 more`."""
    return f"drifted: {shortened([str(drift.ref) for drift in item.drifts], _NAMED)}"
