"""From what was typed to a finished run: load, verify, find the cluster, lock, observe, plan, do."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

from devtools.app.wiring import App
from devtools.errors import ConfigError, DevtoolsError, EnvironmentFault, ExitCode, Interrupted
from devtools.run.events import Bus, Notice, RunFinished, RunStarted, Sink
from devtools.stack.choice import Selector
from devtools.stack.model import Facts, Plan, Release, ReleaseId, Stack
from devtools.stack.plan import Selection

if TYPE_CHECKING:
    from devtools.clients.kube import Kube
    from devtools.clusters.base import Cluster
    from devtools.run.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run, as typed."""

    environment: str = ""
    test: bool = True
    sync: bool = True
    retest: bool = True
    force: bool = False
    dry_run: bool = False
    wait: bool = True
    output: str = "text"
    verbose: bool = False
    selector: Selector = field(default_factory=Selector)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A loaded stack with everything that Helm will be given: merged values and their digests."""

    stack: Stack
    values: Mapping[ReleaseId, Mapping[str, Any]]
    digests: Mapping[ReleaseId, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a verb wants done: with which releases, decided how, on which cluster."""

    what: str  # as typed: "layer 40-data-plane"
    stack: Stack
    selection: Selection  # whose charts and values are read
    plan: Callable[[Inputs, Facts], Plan]
    cluster: Callable[[], Cluster]  # finds or makes it


@dataclass(slots=True, kw_only=True)
class _Screen:
    """Where events go: renderer, run directory."""

    bus: Bus
    directory: Path | None
    warnings: list[str] = field(default_factory=list)


def load(app: App, options: Options) -> Stack:
    """The stack as one environment sees it, with its graph checked; ConfigError with every problem."""
    from devtools.stack.config import load_stack  # noqa: PLC0415 - imports pydantic

    environment = options.environment or app.environ.get("DEVTOOLS_ENVIRONMENT") or app.settings.environment
    return load_stack(app.settings, environment, app.charts)


def execute(app: App, work: Work, options: Options) -> ExitCode:
    """One run; what is declared is verified before the cluster is looked for."""
    verify_charts(app, work)
    if options.dry_run:
        return _dry_run(app, work, options)
    target = work.cluster()
    screen = _screen(app, work, options)
    try:
        with _locked(app, screen, f"stack {work.stack.name} on {target.context}", work.what, options):
            return _run(app, work, options, target, screen)
    finally:
        screen.bus.close()


def verify_charts(app: App, work: Work) -> None:
    """Every archive that will be used is what the lock says; ConfigError with all that are not."""
    from devtools.stack.settings import failed  # noqa: PLC0415

    if problems := app.charts.verify(_enabled(work)):
        raise failed(problems)


def read_inputs(app: App, work: Work, smoke_values: Mapping[str, Any]) -> Inputs:
    """Merge each enabled release's values and digest its inputs, once."""
    from devtools.stack.values import inputs_digest, merge, overlaid  # noqa: PLC0415

    values: dict[ReleaseId, Mapping[str, Any]] = {}
    digests: dict[ReleaseId, str] = {}
    for release in _enabled(work):
        merged = merge(release, root=work.stack.root).data
        values[release.id] = overlaid(merged, smoke_values) if release.smoke else merged
        digests[release.id] = inputs_digest(release, values[release.id], app.charts.digest(release.chart))
    return Inputs(stack=work.stack, values=values, digests=digests)


def _enabled(work: Work) -> list[Release]:
    """The chosen releases that this environment installs."""
    return [release for release in work.stack.releases() if release.installed and work.selection.takes(release)]


def _dry_run(app: App, work: Work, options: Options) -> ExitCode:
    """The plan and nothing else: reads the cluster where there is one, writes nothing anywhere."""
    from devtools.run.engine import announce  # noqa: PLC0415
    from devtools.run.facts import observe  # noqa: PLC0415

    bus = Bus((_renderer(app, options),), app.clock)
    started = app.clock()
    try:
        target: Cluster | None = work.cluster()
        facts = observe(kube_of(app, target)) if target else Facts()
    except EnvironmentFault as error:
        bus.emit(Notice(level="warning", message=f"{error.message}: planning for an empty cluster"))
        target, facts = None, Facts()
    try:
        made = work.plan(read_inputs(app, work, target.smoke_values if target else {}), facts)
        bus.emit(_started(app, work, target, None))
        bus.emit(announce(made, dry_run=True))
        bus.emit(RunFinished(exit_code=0, seconds=app.clock() - started, reason="dry run: nothing was touched"))
    finally:
        bus.close()
    return ExitCode.OK


def _run(app: App, work: Work, options: Options, cluster: Cluster, screen: _Screen) -> ExitCode:
    """Observe, plan, do; whatever goes wrong before the engine ends the run in its events, too."""
    from devtools.run.engine import Engine, announce  # noqa: PLC0415
    from devtools.run.facts import observe  # noqa: PLC0415

    screen.bus.emit(_started(app, work, cluster, screen.directory))
    kube = kube_of(app, cluster)
    started = app.clock()
    try:
        facts = observe(kube)
        inputs = read_inputs(app, work, cluster.smoke_values)
        made = work.plan(inputs, facts)
        screen.bus.emit(announce(made, dry_run=False))
        with _session(app, options, inputs, cluster, screen.bus, kube) as session:
            return Engine(session, made, facts).run()
    except DevtoolsError as error:
        error = Interrupted(app.cancel.reason) if app.cancel.is_set() else error
        problems = error.problems if isinstance(error, ConfigError) else ()
        reason = "\n".join((error.message, *map(str, problems)))
        seconds, code = app.clock() - started, error.exit_code
        screen.bus.emit(RunFinished(exit_code=int(code), seconds=seconds, reason=reason, hint=error.hint))
        return code


@contextlib.contextmanager
def _session(app: App, options: Options, inputs: Inputs, cluster: Cluster, bus: Bus, kube: Kube) -> Iterator[Session]:
    """What the engine works with; the values files' directory is private and goes away."""
    from devtools.run.session import Session  # noqa: PLC0415
    from devtools.run.observer import Observer  # noqa: PLC0415
    from devtools.tools.helm import Helm  # noqa: PLC0415

    helm = Helm(program=app.toolchain.path("helm"), kubeconfig=cluster.kubeconfig, context=cluster.context)
    with tempfile.TemporaryDirectory(prefix="devtools-values-") as private:
        yield Session(
            kube=kube,
            observer=Observer(kube),
            helm=helm,
            runner=app.runner,
            bus=bus,
            cancel=app.cancel,
            slots=BoundedSemaphore(max(2, os.cpu_count() or 1)),
            private=Path(private),
            root=inputs.stack.root,
            hook_env={
                "KUBECONFIG": str(cluster.kubeconfig),
                "DEVTOOLS_CONTEXT": cluster.context,
                "DEVTOOLS_PROVIDER": cluster.provider,
                "DEVTOOLS_ENVIRONMENT": inputs.stack.environment.name,
            },
            values=inputs.values,
            real_node=cluster.real_node if cluster.simulated else None,
            test=options.test,
            sync=options.sync,
            retest=options.retest,
        )


def kube_of(app: App, cluster: Cluster) -> Kube:
    """A client of the cluster's API server."""
    from devtools.clients.kube import Kube  # noqa: PLC0415

    return Kube(cluster.kubeconfig, cluster.context, app.cancel)


@contextlib.contextmanager
def _locked(app: App, screen: _Screen, subject: str, what: str, options: Options) -> Iterator[None]:
    """The run lock of this stack and context."""
    from devtools.run.lock import run_lock  # noqa: PLC0415

    now = datetime.fromtimestamp(app.clock(), UTC).strftime("%H:%M:%S UTC")
    with run_lock(
        app.folders.state / "locks",
        subject,
        {"what": f"invoke {what}", "pid": os.getpid(), "started": now},
        wait=options.wait,
        cancel=app.cancel,
        say=lambda line: screen.bus.emit(Notice(level="info", message=line)),
    ):
        yield


def _screen(app: App, work: Work, options: Options) -> _Screen:
    """The renderer for what was asked, and the run directory."""
    from devtools.report.files import RunFiles, run_directory  # noqa: PLC0415

    directory = run_directory(app.settings.root, work.what, app.clock())
    files = RunFiles(directory, app.say)
    return _Screen(bus=Bus((files, _renderer(app, options)), app.clock), directory=directory)


def _renderer(app: App, options: Options) -> Sink:
    """What shows events the way this output and terminal want it."""
    from devtools.report.choose import renderer  # noqa: PLC0415

    return renderer(
        options.output,
        out=app.out,
        err=app.err,
        environ=app.environ,
        is_terminal=app.is_terminal,
        clock=app.clock,
        cwd=app.cwd,
        verbose=options.verbose,
    )


def _started(app: App, work: Work, cluster: Cluster | None, directory: Path | None) -> RunStarted:
    """The first event of a run."""
    return RunStarted(
        run=directory.name if directory else "dry-run",
        what=work.what,
        stack=work.stack.name,
        environment=work.stack.environment.name,
        provider=cluster.provider if cluster else app.provider_name,
        context=cluster.context if cluster else "",
        directory=str(directory) if directory else "",
    )


def typed(what: str, options: Options) -> str:
    """What was typed, so that it can be typed again."""
    selector = options.selector
    words = [what, *(["--env", options.environment] if options.environment else [])]
    for flag, given in (("stage", selector.stages), ("release", selector.releases), ("label", selector.labels)):
        words += [word for value in given for word in (f"--{flag}", value)]
    return " ".join([*words, *(["--with-needs"] if selector.with_needs else [])])


def with_only(options: Options, **changes: Any) -> Options:
    """The same options but for some."""
    return dataclasses.replace(options, **changes)
