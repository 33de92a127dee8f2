"""`plan --diff`: shows a plan's changes on the cluster, object by object and field by field."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.errors import ConfigError, ExitCode
from devtools.project import Planned, Project, Request

if TYPE_CHECKING:
    from devtools.clusters.provider import Cluster
    from devtools.drift.changes import ReleaseChange
    from devtools.kube.client import Kube

OUTPUTS = ("text", "json", "markdown")


def run_or_diff(app: App, request: Request) -> ExitCode:
    """Carry out a request, or with `--diff` show its changes; ConfigError for incompatible flags."""
    _require_diff(request.options)
    return show_diff(app, request) if request.options.diff else Project(app).run(request)


def show_diff(app: App, request: Request) -> ExitCode:
    """Show what a request would change; reads the cluster if there is one, and writes nothing anywhere.

    The exit code is 2 if a chart cannot be rendered, else with --fail-on-change 1 if anything would be done.
    """
    started = time.monotonic()
    project = Project(app)
    project.verify_charts(request)
    cluster = _cluster(app, request)
    kube = project.client(cluster) if cluster else None
    planned = project.with_secrets(project.plan(request, cluster, kube), cluster)
    if kube and cluster:
        from devtools.app.notices import others_notice

        if other := others_notice(app, request.stack, cluster.context, kube):
            app.say(other.message)
    found = _changes(app, planned, cluster, kube)
    _show(app, request, planned, cluster.context if cluster else "", found, time.monotonic() - started)
    if any(item.problem for item in found):
        return ExitCode.CONFIG
    from devtools.model import SYNCED, Action

    changed = any(step.action in {*SYNCED, Action.UNINSTALL} for step in planned.plan.steps)
    return ExitCode.FAILED if request.options.fail_on_change and changed else ExitCode.OK


def _require_diff(options: Options) -> None:
    """Raise ConfigError for flags that require others."""
    diff, output = options.diff, options.output
    if diff and not options.dry_run:
        raise ConfigError("--diff needs --dry-run", hint="to see what would change: invoke plan --diff")
    if options.fail_on_change and not diff:
        raise ConfigError("--fail-on-change needs --diff", hint="invoke plan --diff --fail-on-change")
    if diff and output not in OUTPUTS:
        raise ConfigError(f"--diff has no output {output!r}", hint=f"choose one of {', '.join(OUTPUTS)}")
    if output == "markdown" and not diff:
        raise ConfigError("--output markdown needs --diff", hint="invoke plan --diff --output markdown")


def _cluster(app: App, request: Request) -> Cluster | None:
    """Return the cluster; None and a line of explanation if there is none; EnvironmentFault if it does not answer."""
    from devtools.app.providers import require_target
    from devtools.clusters.provider import ClusterAbsent

    try:
        return require_target(app.provider.find(), request.context, request.kubeconfig)
    except ClusterAbsent as error:
        app.say(f"{error.message}: planning for an empty cluster")
        return None


def _changes(app: App, planned: Planned, cluster: Cluster | None, kube: Kube | None) -> list[ReleaseChange]:
    """Render the releases that change and compare them with the live objects."""
    from devtools.model import SYNCED, Action

    steps = [step for step in planned.plan.steps if step.action in {*SYNCED, Action.UNINSTALL}]
    if not steps:
        return []
    from devtools.base.words import plural
    from devtools.drift.planned import predict
    from devtools.rendering.renderer import renderer
    from devtools.rendering.steps import render_steps

    app.say(f"comparing {plural(len(steps), 'release')} with the cluster")
    app.toolchain.ensure(("helm",), progress=app.say)
    values = planned.inputs.values
    where: dict[str, Any] = {"kubeconfig": cluster.kubeconfig, "context": cluster.context} if cluster else {}
    with renderer(app.toolchain.path("helm"), app.runner, **where) as rendering:
        served, version = (kube.served(), kube.version()) if kube else (None, "")
        rendered = render_steps(rendering, planned.plan, values, served, version)
    return predict(kube, planned.plan, rendered, values, app.cancel)


def _show(
    app: App, request: Request, planned: Planned, context: str, found: list[ReleaseChange], seconds: float
) -> None:
    from devtools.app.notices import undeclared_notices
    from devtools.report.changes.document import changes_json
    from devtools.report.changes.text import changes_lines

    notices = [notice.message for notice in undeclared_notices(planned.plan, app.environment)]
    document = changes_json(planned.plan, context, found, notices, seconds)
    if request.options.output == "markdown":
        from devtools.report.changes.markdown import changes_markdown

        app.out.write(changes_markdown(document))
        return
    from devtools.report.tables import show_document

    show_document(document, changes_lines, request.options.output, app.out, app.environ)
