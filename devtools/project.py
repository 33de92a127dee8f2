"""The public API: one repository, from its files to a finished run.

    project = Project.find(environment="dev")
    stack = project.stack()
    request = Request(command="layer 40-data-plane", stack=stack, selection=Selection(layers=("40-data-plane",)))
    planned = project.plan(request, project.provider.find())
    for step in planned.plan.steps:
        print(step.action, step.id, step.reason)

`Project.run` carries a request out: verify the charts, find the cluster, take the lock, observe, plan, apply, report.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from devtools.app.environment import App, real_app
from devtools.app.options import Options, Request, Uninstall
from devtools.errors import ConfigError, DevtoolsError, ExitCode, Interrupted
from devtools.events import Bus, RunFinished, RunStarted
from devtools.model import Facts, Inputs, Plan, Planned, ReleaseId, Stack
from devtools.planning.overrides import adopted, with_overrides
from devtools.planning.plan import Selection, changes, down_plan, in_waves, make_plan, of_new_cluster

if TYPE_CHECKING:
    from devtools.clusters.provider import Cluster, Provider
    from devtools.kube.client import Kube

__all__ = ["Options", "Project", "Request", "Uninstall"]


class Project:
    """One repository, as used by one process."""

    def __init__(self, app: App) -> None:
        """Use the environment of `app`; `find` uses that of this process."""
        self.app = app

    @classmethod
    def find(
        cls,
        start: Path | None = None,
        *,
        environment: str = "",
        environ: Mapping[str, str] | None = None,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> Project:
        """Return the project whose devtools.yaml or layers/ is in `start` (default: here) or above.

        `environment` selects the overlays and the cluster (default: the one in devtools.yaml).
        """
        app = real_app(environment)
        environ = app.environ if environ is None else environ
        return cls(replace(app, environ=environ, cwd=start or app.cwd, out=out or app.out, err=err or app.err))

    @property
    def provider(self) -> Provider:
        """The provider that creates, finds and removes the cluster: `find()`, `ensure(say)`."""
        return self.app.provider

    def stack(self) -> Stack:
        """Load and validate the stack; raise ConfigError with every problem."""
        return self.app.stack()

    def run(self, request: Request) -> ExitCode:
        """Carry out a request, or show its plan if it is a dry run; ConfigError if a controller owns the target."""
        if not (request.options.dry_run or request.options.force_local):
            from devtools.config.settings_file.handover import refuse_handed_over

            refuse_handed_over(self.app.settings, request.stack.environment.name)
        self.verify_charts(request)
        if request.options.dry_run:
            return self._preview(request)
        from devtools.app.locks import machine_lock

        cluster = self._cluster(request)
        if not (request.options.yes or request.context):
            from devtools.app.providers import confirm_writing

            confirm_writing(self.app, cluster.context)
        with (
            self._bus(request.options) as bus,
            machine_lock(self.app, bus, cluster, request),
        ):
            return self._run(request, cluster, bus)

    def verify_charts(self, request: Request) -> None:
        """Raise ConfigError if an archive that will be used differs from the lock."""
        if problems := self.app.charts.verify(_to_sync(request).enabled(request.stack)):
            from devtools.errors import config_error

            raise config_error(problems)

    def plan(self, request: Request, cluster: Cluster | None, kube: Kube | None = None) -> Planned:
        """Observe the cluster (None: plan for an empty one), read the inputs and plan; changes nothing."""
        facts = self.observe(request, kube or self.app.client(cluster)) if cluster else _without_cluster(request)
        inputs = self.inputs(request, cluster.smoke_values if cluster else {})
        return Planned(plan=_plan(request, facts, inputs), facts=facts, inputs=inputs)

    def observe(self, request: Request, kube: Kube) -> Facts:
        """Return what the cluster holds: of the enabled releases to sync, or of the whole stack to uninstall."""
        from devtools.releases.facts import observe

        namespaces = {release.namespace for release in request.stack.releases()}
        if request.uninstall is None:
            enabled = request.selection.enabled(request.stack)
            about = {release.id for release in enabled}.__contains__
            return observe(kube, about, namespaces, request.selection.must_exist(request.stack))
        from devtools.releases.cleanup import stack_crds, stack_namespaces

        name = request.stack.name
        found = observe(kube, namespaces=namespaces)
        made = stack_namespaces(kube, name, request.stack.must_exist())
        return replace(found, namespaces=made, crds=stack_crds(kube, name))

    def inputs(self, request: Request, smoke_values: Mapping[str, Any]) -> Inputs:
        """Merge the values of each release to sync and digest its inputs."""
        from devtools.app.stack_cache import cached_values
        from devtools.config.values import inputs_digest, overlaid
        from devtools.planning.selection import names

        releases = _to_sync(request).enabled(request.stack)
        merged = cached_values(self.app, request.stack, releases)
        values: dict[ReleaseId, Mapping[str, Any]] = {}
        digests: dict[ReleaseId, str] = {}
        for release in releases:
            own = merged[str(release.id)]
            values[release.id] = overlaid(own, smoke_values) if release.smoke else own
            digests[release.id] = inputs_digest(release, values[release.id], self.app.charts.digest(release.chart))
        self.app.redactor.spare(names(request.stack))
        environment = request.stack.environment
        self.app.redactor.learn(*values.values(), environment.values if environment.references else {})
        return Inputs(values=values, digests=digests)

    def apply(
        self, request: Request, planned: Planned, cluster: Cluster, kube: Kube, bus: Bus, directory: Path | None = None
    ) -> ExitCode:
        """Carry out a plan; emits the events of every step and a final RunFinished. `directory` is the run's."""
        from devtools.app.orphans import RUN_VARIABLE, marked
        from devtools.app.run_setup import new_session
        from devtools.engine.engine import Engine
        from devtools.run_context.durations import durations_file, save_durations

        state = self.app.folders.state
        with marked(state / "marks", bus.warn) as mark:
            variables = {RUN_VARIABLE: mark, "DEVTOOLS_RUN_DIRECTORY": str(directory or "")}
            run = new_session(self.app, cluster, bus, kube, request, values=planned.inputs.values, variables=variables)
            code = Engine(run, planned.plan, planned.facts).run()
            save_durations(durations_file(state, request.stack.name, cluster.context), run.durations)
            return code

    def _run(self, request: Request, cluster: Cluster, bus: Bus) -> ExitCode:
        """Observe, plan, apply; an error before the engine's end ends the run in its events, too.

        The first plan only decides whether anything changes: a run that changes nothing needs no lock on the cluster.
        If something does, another machine's run may be changing it, too: the cluster is locked, observed and planned
        again.
        """
        from devtools.app.locks import cluster_lock
        from devtools.app.stack_cache import with_secrets

        directory, options = self._add_run_files(request, bus), request.options
        bus.emit(self._started(request, cluster, directory))
        started, cancel = time.monotonic(), self.app.cancel.child()  # a run may stop while the command goes on
        try:
            kube = self.app.client(cluster, bus, cancel)
            with contextlib.ExitStack() as locks:
                planned = self.plan(request, cluster, kube)
                if options.sync:  # without the key nothing can be done
                    planned = with_secrets(self.app, planned, cluster)
                if changes(planned.plan, planned.facts, sync=options.sync, test=options.test, retest=options.retest):
                    locks.enter_context(cluster_lock(self.app, bus, kube, cluster, request))
                    facts = self.observe(request, kube)
                    planned = replace(planned, facts=facts, plan=_plan(request, facts, planned.inputs))
                    planned = with_secrets(self.app, planned, cluster) if options.sync else planned
                self._announce(request, planned, bus)
                return self.apply(request, planned, cluster, kube, bus, directory)
        except DevtoolsError as error:
            return self._ended_early(bus, cancel.error or error, started)
        except KeyboardInterrupt:
            return self._ended_early(bus, Interrupted(self.app.cancel.reason), started)
        except Exception as error:  # noqa: BLE001 - readers of events must learn of the end
            from devtools.app.crash_reports import bug

            return self._ended_early(bus, bug(error, self.app.redactor.text), started)

    def _preview(self, request: Request) -> ExitCode:
        """Show the plan: reads the cluster if there is one, writes nothing anywhere."""
        from devtools.app.notices import broken_releases, other_run

        started = time.monotonic()
        with self._bus(request.options) as bus:
            cluster = self.find_cluster(request, bus.warn)
            kube = self.app.client(cluster) if cluster else None
            planned = self.plan(request, cluster, kube)
            bus.emit(self._started(request, cluster, None))
            if cluster and kube and (other := other_run(self.app, request.stack, cluster.context, kube)):
                bus.warn(other)
            self._announce(request, planned, bus)
            broken = broken_releases(self.app, planned, bus)
            reason = f"helm cannot render {', '.join(map(str, broken))}; " if broken else ""
            reason += "dry run: nothing was touched"
            code = ExitCode.CONFIG if broken else ExitCode.OK
            bus.emit(RunFinished(exit_code=int(code), seconds=time.monotonic() - started, reason=reason))
        return code

    def _announce(self, request: Request, planned: Planned, bus: Bus) -> None:
        """Emit the plan and the warnings about it before it is carried out."""
        from devtools.app.notices import warn_of_plan
        from devtools.engine.engine import announce

        bus.emit(announce(planned.plan, dry_run=request.options.dry_run))
        warn_of_plan(planned, self.app.environment, bus)

    def _cluster(self, request: Request) -> Cluster:
        """Find the cluster, or create it if asked to; raise EnvironmentFault if it is not the expected one."""
        if request.create_cluster and not request.options.dry_run:
            from devtools.app.providers import say_why_embedded
            from devtools.app.stack_cache import require_keys

            require_keys(self.app, request.selection.enabled(request.stack) if request.options.sync else ())
            say_why_embedded(self.app)
            self.app.toolchain.ensure(progress=self.app.say)
            return self.provider.ensure(self.app.say)
        from devtools.app.providers import require_target

        return require_target(self.provider.find(), request.context, request.kubeconfig)

    def find_cluster(self, request: Request, say: Callable[[str], None]) -> Cluster | None:
        """Return the cluster, None with a warning if there is none; raise EnvironmentFault if it does not answer."""
        from devtools.clusters.provider import ClusterAbsent

        try:
            return self._cluster(request)
        except ClusterAbsent as error:
            say(f"{error.message}: planning for an empty cluster")
            return None

    @contextlib.contextmanager
    def _bus(self, options: Options) -> Iterator[Bus]:
        """Yield the event bus with the renderer for this output and terminal."""
        from devtools.report.renderers import renderer

        app = self.app
        sinks = renderer(
            options.output,
            out=app.out,
            err=app.err,
            environ=app.environ,
            is_terminal=app.is_terminal,
            clock=app.clock,
            cwd=app.cwd,
            verbose=options.verbose,
        )
        bus = Bus(sinks, app.clock, app.redactor)
        try:
            yield bus
        finally:
            bus.close()

    def _add_run_files(self, request: Request, bus: Bus) -> Path:
        """Create the run's directory, now that the run begins, and fill it from the events."""
        from devtools.report.files import RunFiles, run_directory

        directory = run_directory(self.app.settings.root, request.command, self.app.clock())
        bus.add(RunFiles(directory, self.app.say))
        return directory

    def _started(self, request: Request, cluster: Cluster | None, directory: Path | None) -> RunStarted:
        """Return the first event of a run."""
        return RunStarted(
            run=directory.name if directory else "dry-run",
            what=request.command,
            stack=request.stack.name,
            environment=request.stack.environment.name,
            provider=cluster.provider if cluster else self.app.provider_name,
            context=cluster.context if cluster else "",
            directory=str(directory) if directory else "",
        )

    def _ended_early(self, bus: Bus, error: DevtoolsError, started: float) -> ExitCode:
        """Emit the last event of a run that ended before the engine did."""
        error = Interrupted(self.app.cancel.reason) if self.app.cancel.is_set() else error
        problems = error.problems if isinstance(error, ConfigError) else ()
        reason = "\n".join((error.message, *map(str, problems)))
        seconds = time.monotonic() - started
        bus.emit(RunFinished(exit_code=int(error.exit_code), seconds=seconds, reason=reason, hint=error.hint))
        return error.exit_code


def _without_cluster(request: Request) -> Facts:
    """Return the facts of a plan without a cluster; a dry run shows which namespaces a new one lacks."""
    return of_new_cluster(request.selection.must_exist(request.stack)) if request.options.dry_run else Facts()


def _to_sync(request: Request) -> Selection:
    """Return the releases whose charts and values are read; none for an uninstall."""
    return Selection(layers=()) if request.uninstall else request.selection


def _plan(request: Request, facts: Facts, inputs: Inputs) -> Plan:
    """Return the plan of a request."""
    stack, selection, options = request.stack, request.selection, request.options
    if uninstall := request.uninstall:
        from devtools.planning.uninstall import find_dependents, refuse_dependents, with_sweeps

        dependents = () if uninstall.undeclared else find_dependents(stack, selection, facts)
        if not uninstall.dependents:
            refuse_dependents(dependents, request.command)
        plan = down_plan(stack, selection, facts, declared_too=not uninstall.undeclared, dependents=dependents)
        if uninstall.undeclared or not uninstall.whole:
            return plan
        return with_sweeps(plan, facts, crds=uninstall.crds, force=options.force)
    adopt = adopted(request.overrides, facts)
    plan = make_plan(stack, selection, facts, inputs.digests, force=options.force, adopt=adopt)
    plan = with_overrides(in_waves(plan, request.waves) if request.waves else plan, request.overrides)
    return replace(plan, runs_commands=options.sync)
