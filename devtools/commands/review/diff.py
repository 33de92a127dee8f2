"""`plan --diff`: shows a plan's changes on the cluster, object by object and field by field."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.errors import ConfigError, ExitCode
from devtools.model import SYNCED, Action, Planned
from devtools.project import Project, Request

if TYPE_CHECKING:
    from devtools.clusters.provider import Cluster
    from devtools.drift.changes import ReleaseChange
    from devtools.kube.client import Kube

OUTPUTS = ("text", "json", "markdown")
_CHANGING = frozenset({*SYNCED, Action.UNINSTALL})


def run_or_diff(app: App, request: Request) -> ExitCode:
    """Carry out a request, or with `--diff` show its changes; ConfigError for incompatible flags."""
    _require_diff(request.options)
    return show_diff(app, request) if request.options.diff else Project(app).run(request)


def show_diff(app: App, request: Request) -> ExitCode:
    """Show what a request would change; reads the cluster if there is one, and writes nothing anywhere.

    The exit code is 2 if a chart cannot be rendered, else with --fail-on-change 1 if anything would be done.
    """
    from devtools.app.notices import other_run, undeclared_releases
    from devtools.app.stack_cache import with_secrets
    from devtools.report.changes.document import changes_json
    from devtools.report.changes.markdown import changes_markdown
    from devtools.report.changes.text import changes_lines

    started = time.monotonic()
    project = Project(app)
    project.verify_charts(request)
    cluster = project.find_cluster(request, app.say)
    kube = app.client(cluster) if cluster else None
    planned = with_secrets(app, project.plan(request, cluster, kube), cluster)
    if kube and cluster and (other := other_run(app, request.stack, cluster.context, kube)):
        app.say(other)
    found = _changes(app, planned, cluster, kube)
    notices = tuple(filter(None, [undeclared_releases(planned.plan, app.environment)]))
    context, seconds = cluster.context if cluster else "", time.monotonic() - started
    document = changes_json(planned.plan, context, found, notices, seconds)
    app.show(document, changes_lines, request.options.output, changes_markdown)
    if any(item.problem for item in found):
        return ExitCode.CONFIG
    changed = any(step.action in _CHANGING for step in planned.plan.steps)
    return ExitCode.FAILED if request.options.fail_on_change and changed else ExitCode.OK


def _require_diff(options: Options) -> None:
    diff, output = options.diff, options.output
    if diff and not options.dry_run:
        raise ConfigError("--diff needs --dry-run", hint="to see what would change: invoke plan --diff")
    if options.fail_on_change and not diff:
        raise ConfigError("--fail-on-change needs --diff", hint="invoke plan --diff --fail-on-change")
    if diff and output not in OUTPUTS:
        raise ConfigError(f"--diff has no output {output!r}", hint=f"choose one of {', '.join(OUTPUTS)}")
    if output == "markdown" and not diff:
        raise ConfigError("--output markdown needs --diff", hint="invoke plan --diff --output markdown")


def _changes(app: App, planned: Planned, cluster: Cluster | None, kube: Kube | None) -> list[ReleaseChange]:
    """Render the releases that change and compare them with the live objects."""
    steps = [step for step in planned.plan.steps if step.action in _CHANGING]
    if not steps:
        return []
    from devtools.base.words import plural
    from devtools.drift.planned import predict
    from devtools.rendering.steps import render_steps

    app.say(f"comparing {plural(len(steps), 'release')} with the cluster")
    values = planned.inputs.values
    with app.rendering(cluster) as rendering:
        served, version = (kube.served(), kube.version()) if kube else (None, "")
        rendered = render_steps(rendering, planned.plan, values, served, version)
    return predict(kube, planned.plan, rendered, values, app.cancel)
