"""`invoke check`: finds every fault of layer files, values and charts in all environments, without a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.base.atomic_write import private_directory
from devtools.base.open_file import relative
from devtools.base.words import plural
from devtools.checks.findings import Finding, KeyPath, merged, of_rendering
from devtools.checks.objects import Made, conform, crds_among, made_by
from devtools.errors import ConfigError, DevtoolsError, ExitCode, Location
from devtools.model import SYNCED, Release, Stack
from devtools.planning.plan import Selection
from devtools.planning.selection import choose
from devtools.project import Project, Request

if TYPE_CHECKING:
    from devtools.rendering.renderer import Renderer
    from devtools.rendering.steps import StepRendering

Shown = Callable[[Path], Path]


@dataclass(kw_only=True)
class _Checked:
    """The checked objects, and the findings."""

    findings: list[Finding] = field(default_factory=list)
    objects: list[Made] = field(default_factory=list)
    crds: list[Mapping[str, Any]] = field(default_factory=list)
    charts: dict[Path, Mapping[str, Any]] = field(default_factory=dict)  # own charts, with values for linting
    broken: set[Path] = field(default_factory=set)  # charts that do not render, or that lack a dependency
    releases: set[str] = field(default_factory=set)
    environments: tuple[str, ...] = ()


def check(app: App, name: str, options: Options, *, server: bool = False) -> ExitCode:
    """Check the chosen releases in every environment; the exit code is 2 if there is an error."""
    started = time.monotonic()
    settings, done = app.settings, _Checked()

    def shown(path: Path) -> Path:
        return relative(path, settings.root)

    app.toolchain.ensure(("helm",), progress=app.say)
    _stacks(app, name, options, done, shown)
    with private_directory("check") as home:
        _charts(app, home, done, shown)
        _objects(app, home, done, shown)
    if server and done.objects:
        from devtools.checks.server import rehearsed
        from devtools.commands.review.control_plane import control_plane

        with control_plane(app) as kube:
            app.say(f"applying {plural(len(done.objects), 'object')} in a strict dry run")
            known = {item.where for item in done.findings}
            found = rehearsed(kube, done.objects, done.crds, shown)
            done.findings += [item for item in found if item.where not in known]
    return _show(app, done, options, server=server, seconds=time.monotonic() - started)


def _stacks(app: App, name: str, options: Options, done: _Checked, shown: Shown) -> None:
    """Load, plan and render every environment."""
    from devtools.config.environments import environment_names

    try:
        done.environments = environment_names(app.settings)
    except ConfigError as error:
        done.findings += _of_error(error, "layers", "", app.settings.root / "devtools.yaml", shown)
        return
    memory: dict[Any, StepRendering] = {}
    with app.rendering() as rendering:
        for environment in done.environments:
            app.say(f"checking environment {environment}")
            inside = replace(app, environment=environment)
            try:
                stack = inside.stack()
                chosen = choose(stack, name, options.selector)
                _environment(inside, stack, chosen, rendering, memory, done, shown)
            except ConfigError as error:
                done.findings += _of_error(error, "layers", environment, app.settings.root / "devtools.yaml", shown)


def _usable(app: App, stack: Stack) -> Stack:
    """Return the stack without releases whose manifests or kustomization cannot be packaged."""

    def usable(release: Release) -> Release:
        packaged = release.installed and release.chart.kind == "packaged"
        return replace(release, installed=False) if packaged and app.charts.verify([release]) else release

    layers = [replace(layer, releases=tuple(map(usable, layer.releases))) for layer in stack.layers]
    return replace(stack, layers=tuple(layers))


def _environment(
    app: App,
    stack: Stack,
    chosen: Selection,
    rendering: Renderer,
    memory: dict[Any, StepRendering],
    done: _Checked,
    shown: Shown,
) -> None:
    """Render the releases of one environment; raises ConfigError if its values cannot be read."""
    from devtools.config.values import merge, with_stand_ins
    from devtools.rendering.steps import render_steps
    from devtools.toolchain.versions import tool

    environment = stack.environment.name
    project = Project(app)
    releases = chosen.enabled(stack)
    charts = {release.chart.name: release.chart for release in releases if release.chart.kind == "local"}
    lacking = {chart.path: app.charts.missing_dependencies(chart) for chart in charts.values()}
    for problem in app.charts.verify(releases):
        kind = "dependencies" if any(problem in lacks for lacks in lacking.values()) else "charts"
        done.findings.append(_of_problem(problem, kind, environment, shown))
    whole = Selection(layers=tuple(layer.name for layer in stack.layers))
    request = Request(command="check", stack=_usable(app, stack), selection=whole, options=Options())
    planned = project.plan(request, None)
    version = tool("kube-apiserver").version
    merged = with_stand_ins((step.release for step in planned.plan.steps), planned.inputs.values)
    found = render_steps(rendering, planned.plan, merged, None, version, memory)
    for step in planned.plan.steps:
        if step.action not in SYNCED:
            continue
        release, made, values = step.release, found[step.id], merged[step.id]
        done.crds += [item.data for item in made.crds if item.is_crd]
        done.crds += crds_among(made.rendered.objects if made.rendered else ())
        if not chosen.takes(release):
            continue
        done.releases.add(str(step.id))
        is_own = release.chart.kind == "local" and release.chart.path.is_dir()
        if made.failure:
            text = app.redactor.text(made.failure.message)
            origins = merge(release, stack.environment, charts_default=True, root=stack.root).origins
            if not lacking.get(release.chart.path) or "missing in charts/ directory" not in text:
                done.findings += _of_failure(text, release, environment, shown, origins)
            done.broken.add(release.chart.path)
        elif is_own and release.chart.path not in done.charts:
            done.charts[release.chart.path] = values
        if is_own:
            done.charts.setdefault(release.chart.path, values)
        if made.rendered:
            done.objects += made_by(made.rendered.text, environment, release)


def _charts(app: App, home: Path, done: _Checked, shown: Shown) -> None:
    """Check the repository's own charts, independent of releases."""
    from devtools.checks.charts import lint, suites_of, unittest

    helm = app.toolchain.path("helm")
    whole = {chart: values for chart, values in done.charts.items() if chart not in done.broken}
    if whole:
        app.say(f"linting {plural(len(whole), 'chart')}")
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(thread_name_prefix="lint") as pool:
        pairs = list(whole.items())
        for found in pool.map(lambda pair: lint(helm, home, app.runner, pair[0], pair[1], shown), pairs):
            done.findings += found
    tested = [chart for chart in done.charts if suites_of(chart)]
    if tested:
        app.toolchain.ensure(("helm-unittest",), progress=app.say)
        app.say(f"running the suites of {plural(len(tested), 'chart')}")
        program = app.toolchain.path("helm-unittest")
        for chart in tested:
            done.findings += unittest(program, home, app.runner, chart, shown)


def _objects(app: App, home: Path, done: _Checked, shown: Shown) -> None:
    """Validate every rendered object."""
    if not done.objects:
        return
    from devtools.checks.schemas import schemas_of
    from devtools.commands.review.control_plane import definitions

    schemas = schemas_of(definitions(app), done.crds)
    app.toolchain.ensure(("kubeconform",), progress=app.say)
    app.say(f"validating {plural(len(done.objects), 'object')}")
    done.findings += conform(app.toolchain.path("kubeconform"), app.runner, schemas, done.objects, home, shown)


def _of_failure(
    text: str, release: Release, environment: str, shown: Shown, origins: Mapping[KeyPath, Location]
) -> Iterator[Finding]:
    for item in of_rendering(text, release, shown, origins):
        yield replace(item, environments=(environment,), releases=(str(release.id),))


def _of_problem(problem: Any, kind: Any, environment: str, shown: Shown) -> Finding:
    where = replace(problem.where, file=shown(problem.where.file))
    names = (environment,) if environment else ()
    return Finding(where=where, check=kind, message=problem.message, hint=problem.hint, environments=names)


def _of_error(error: DevtoolsError, kind: Any, environment: str, file: Path, shown: Shown) -> list[Finding]:
    """Return every problem of an error, or the error itself if it has none."""
    problems = error.problems if isinstance(error, ConfigError) else ()
    if problems:
        return [_of_problem(problem, kind, environment, shown) for problem in problems]
    names = (environment,) if environment else ()
    where = Location(file=shown(file))
    return [Finding(where=where, check=kind, message=error.message, hint=error.hint, environments=names)]


def _show(app: App, done: _Checked, options: Options, *, server: bool, seconds: float) -> ExitCode:
    from devtools.report.checks import checks_json, checks_lines

    findings: Sequence[Finding] = merged(done.findings)
    document = checks_json(
        findings,
        environments=done.environments,
        releases=len(done.releases),
        objects=len(done.objects),
        server=server,
        seconds=seconds,
    )
    app.show(document, checks_lines, options.output)
    return ExitCode.CONFIG if any(item.severity == "error" for item in findings) else ExitCode.OK
