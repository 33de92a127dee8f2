"""`invoke check`: finds every fault of layer files, values and charts in all environments, without a cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.base.atomic_write import private_directory
from devtools.base.open_file import relative
from devtools.base.words import plural
from devtools.checks.charts import lint, suites_of, unittest
from devtools.checks.findings import Finding, merged, of_rendering
from devtools.checks.objects import Made, conform, crds_among, made_by
from devtools.checks.schemas import schemas_of
from devtools.commands.review.control_plane import control_plane, definitions
from devtools.config.environments import environment_names
from devtools.config.values import merge, with_stand_ins
from devtools.errors import ConfigError, ExitCode, Location, Problem
from devtools.model import SYNCED, Release, Stack
from devtools.planning.plan import Selection
from devtools.planning.selection import choose
from devtools.project import Project, Request
from devtools.rendering.renderer import Renderer
from devtools.rendering.steps import StepRendering, render_steps
from devtools.report.checks import checks_json, checks_lines
from devtools.toolchain.versions import tool


@dataclass(kw_only=True)
class _Check:
    """One check: its results so far."""

    app: App
    findings: list[Finding] = field(default_factory=list)
    objects: list[Made] = field(default_factory=list)
    crds: list[Mapping[str, Any]] = field(default_factory=list)
    charts: dict[Path, Mapping[str, Any]] = field(default_factory=dict)  # own charts, with values for linting
    broken: set[Path] = field(default_factory=set)  # charts that do not render, or that lack a dependency
    releases: set[str] = field(default_factory=set)
    environments: tuple[str, ...] = ()
    memory: dict[Any, StepRendering] = field(default_factory=dict)  # renderings of other environments

    def shown(self, path: Path) -> Path:
        return relative(path, self.app.settings.root)

    def check_stacks(self, name: str, options: Options) -> None:
        """Load, plan and render every environment."""
        app = self.app
        try:
            self.environments = environment_names(app.settings)
        except ConfigError as error:
            self._add_error(error, "")
            return
        with app.rendering() as rendering:
            for environment in self.environments:
                app.say(f"checking environment {environment}")
                inside = replace(app, environment=environment)
                try:
                    stack = inside.stack()
                    self._check_environment(inside, stack, choose(stack, name, options.selector), rendering)
                except ConfigError as error:
                    self._add_error(error, environment)

    def _check_environment(self, app: App, stack: Stack, chosen: Selection, rendering: Renderer) -> None:
        """Render the releases of one environment; raises ConfigError if its values cannot be read."""
        environment = stack.environment.name
        releases = chosen.enabled(stack)
        charts = {release.chart.name: release.chart for release in releases if release.chart.kind == "local"}
        lacking = {chart.path: app.charts.missing_dependencies(chart) for chart in charts.values()}
        for problem in app.charts.verify(releases):
            is_lack = any(problem in lacks for lacks in lacking.values())
            self._add(problem, "dependencies" if is_lack else "charts", environment)
        whole = Selection(layers=tuple(layer.name for layer in stack.layers))
        request = Request(command="check", stack=_usable(app, stack), selection=whole, options=Options())
        planned = Project(app).plan(request, None)
        values = with_stand_ins((step.release for step in planned.plan.steps), planned.inputs.values)
        version = tool("kube-apiserver").version
        found = render_steps(rendering, planned.plan, values, None, version, self.memory)
        for step in planned.plan.steps:
            if step.action not in SYNCED:
                continue
            release, made, path = step.release, found[step.id], step.release.chart.path
            self.crds += [item.data for item in made.crds if item.is_crd]
            self.crds += crds_among(made.rendered.objects if made.rendered else ())
            if not chosen.takes(release):
                continue
            self.releases.add(str(step.id))
            if made.failure:
                text = app.redactor.text(made.failure.message)
                origins = merge(release, stack.environment, charts_default=True, root=stack.root).origins
                if not lacking.get(path) or "missing in charts/ directory" not in text:
                    self.findings += [
                        replace(finding, environments=(environment,), releases=(str(step.id),))
                        for finding in of_rendering(text, release, self.shown, origins)
                    ]
                self.broken.add(path)
            if release.chart.kind == "local" and path.is_dir():
                self.charts.setdefault(path, values[step.id])
            if made.rendered:
                self.objects += made_by(made.rendered.text, environment, release)

    def check_charts(self, home: Path) -> None:
        """Check the repository's own charts, independent of releases."""
        app, helm = self.app, self.app.tool("helm")
        whole = [(chart, values) for chart, values in self.charts.items() if chart not in self.broken]
        if whole:
            app.say(f"linting {plural(len(whole), 'chart')}")
        with ThreadPoolExecutor(thread_name_prefix="lint") as pool:
            for found in pool.map(lambda pair: lint(helm, home, app.runner, pair[0], pair[1], self.shown), whole):
                self.findings += found
        tested = [chart for chart in self.charts if suites_of(chart)]
        if tested:
            program = app.tool("helm-unittest")
            app.say(f"running the suites of {plural(len(tested), 'chart')}")
            for chart in tested:
                self.findings += unittest(program, home, app.runner, chart, self.shown)

    def check_objects(self, home: Path) -> None:
        """Validate every rendered object."""
        if not self.objects:
            return
        app, schemas = self.app, schemas_of(definitions(self.app), self.crds)
        program = app.tool("kubeconform")
        app.say(f"validating {plural(len(self.objects), 'object')}")
        self.findings += conform(program, app.runner, schemas, self.objects, home, self.shown)

    def rehearse(self) -> None:
        """Apply every rendered object in a strict dry run on a private API server."""
        from devtools.checks.server import rehearsed

        if not self.objects:
            return
        with control_plane(self.app) as kube:
            self.app.say(f"applying {plural(len(self.objects), 'object')} in a strict dry run")
            known = {item.where for item in self.findings}
            found = rehearsed(kube, self.objects, self.crds, self.shown)
            self.findings += [item for item in found if item.where not in known]

    def _add(self, problem: Problem, kind: Any, environment: str) -> None:
        where = replace(problem.where, file=self.shown(problem.where.file))
        names = (environment,) if environment else ()
        finding = Finding(where=where, check=kind, message=problem.message, hint=problem.hint, environments=names)
        self.findings.append(finding)

    def _add_error(self, error: ConfigError, environment: str) -> None:
        """Add every problem of an error, or the error itself if it has none."""
        where = Location(file=self.app.settings.root / "devtools.yaml")
        for problem in error.problems or (Problem(where=where, message=error.message, hint=error.hint),):
            self._add(problem, "layers", environment)


def check(app: App, name: str, options: Options, *, server: bool = False) -> ExitCode:
    """Check the chosen releases in every environment; the exit code is 2 if there is an error."""
    started, done = time.monotonic(), _Check(app=app)
    done.check_stacks(name, options)
    with private_directory("check") as home:
        done.check_charts(home)
        done.check_objects(home)
    if server:
        done.rehearse()
    findings = merged(done.findings)
    document = checks_json(
        findings,
        environments=done.environments,
        releases=len(done.releases),
        objects=len(done.objects),
        server=server,
        seconds=time.monotonic() - started,
    )
    app.show(document, checks_lines, options.output)
    return ExitCode.CONFIG if any(item.severity == "error" for item in findings) else ExitCode.OK


def _usable(app: App, stack: Stack) -> Stack:
    """Return the stack without releases whose manifests or kustomization cannot be packaged."""

    def usable(release: Release) -> Release:
        packaged = release.installed and release.chart.kind == "packaged"
        return replace(release, installed=False) if packaged and app.charts.verify([release]) else release

    layers = [replace(layer, releases=tuple(map(usable, layer.releases))) for layer in stack.layers]
    return replace(stack, layers=tuple(layers))
