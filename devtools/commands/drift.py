"""`invoke drift`: what is on the cluster is not what was deployed there, and with `--fix` is again."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Sequence
from typing import Any

from devtools.app.environment import App
from devtools.app.running import Inputs, Options, Work, execute, load, typed, with_only
from devtools.clusters.provider import Cluster
from devtools.drift.comparison import ReleaseDrift, find_drift
from devtools.errors import ExitCode
from devtools.model import Facts, Plan, Release, Stack
from devtools.planning.overrides import insisted
from devtools.planning.plan import Selection, make_plan
from devtools.planning.selection import choose

_NAMED = 2  # objects that a reason names


def drift(app: App, name: str, options: Options, *, fix: bool) -> ExitCode:
    """Compare the objects of the chosen releases (all, or those of one layer and the selector) with the live ones.

    The exit code is 1 where anything differs or could not be compared, else 0. With `fix` the releases that drifted are
    synced again, taking back what others hold, and are compared once more.
    """
    from devtools.app.notices import others_notice  # noqa: PLC0415 - the imports of this verb
    from devtools.report.drift import fix_json  # noqa: PLC0415 - the imports of this verb

    stack = load(app, options)
    selection = choose(stack, name, options.selector)
    releases = selection.enabled(stack)
    target = app.find_cluster()
    if other := others_notice(app, stack.name, target.context):
        app.say(other.message)
    found, document = _look(app, target, stack, releases)
    drifted = [item for item in found if item.drifts]
    what = typed(f"drift {shlex.quote(name)}" if name else "drift", options, fix=True)
    if not (fix and drifted):
        _show(app, document, options)
        if drifted and options.output == "text":
            app.say(f"put back what was deployed: invoke {what}")
        return ExitCode.FAILED if document["drifted"] else ExitCode.OK
    if options.output == "text":
        _show(app, document, options)
    code = _fix(app, stack, drifted, what, options)
    left, after = _look(app, target, stack, releases)
    made = fix_json(code, [str(item.release.id) for item in drifted], left)
    _show(app, after if options.output == "text" else {**document, "fix": made}, options)
    return code or (ExitCode.FAILED if after["drifted"] else ExitCode.OK)


def _show(app: App, document: dict[str, Any], options: Options) -> None:
    from devtools.report.drift import drift_lines  # noqa: PLC0415 - the imports of this verb
    from devtools.report.tables import show_document  # noqa: PLC0415

    show_document(document, drift_lines, options.output, app.out, app.environ)


def _look(
    app: App, target: Cluster, stack: Stack, releases: Sequence[Release]
) -> tuple[list[ReleaseDrift], dict[str, Any]]:
    """The releases compared with what is there, and the document that says so."""
    from devtools.app.session import kube_of  # noqa: PLC0415 - the imports of this verb
    from devtools.report.drift import drift_json  # noqa: PLC0415

    started = time.monotonic()
    found = find_drift(kube_of(app, target), releases, app.cancel, app.say)
    seconds = time.monotonic() - started
    return found, drift_json(stack.name, stack.environment.name, target.context, found, seconds)


def _fix(app: App, stack: Stack, drifted: Sequence[ReleaseDrift], what: str, options: Options) -> ExitCode:
    """Sync them again, unchanged as they are, over whatever others hold."""
    names = frozenset(item.release.id for item in drifted)
    held = {item.release.layer for item in drifted}
    layers = tuple(layer.name for layer in stack.layers if layer.name in held)
    selection = Selection(layers=layers, releases=names)
    reasons = {item.release.id: _reason(item) for item in drifted}

    def plan(inputs: Inputs, facts: Facts) -> Plan:
        return insisted(make_plan(stack, selection, facts, inputs.digests), take=names, reasons=reasons)

    work = Work(what=what, stack=stack, selection=selection, plan=plan, cluster=app.find_cluster)
    # The one document on stdout is ours: a run of its own would be a second one.
    beside = app if options.output == "text" else dataclasses.replace(app, out=app.err)
    return execute(beside, work, with_only(options, output="text", test=False))


def _reason(item: ReleaseDrift) -> str:
    """`drifted: Deployment/web, ConfigMap/conf and 1 more`."""
    names = ", ".join(str(drift.ref) for drift in item.drifts[:_NAMED])
    more = len(item.drifts) - _NAMED
    return f"drifted: {names}" + (f" and {more} more" if more > 0 else "")
