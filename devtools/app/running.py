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
from devtools.errors import EnvironmentFault, ExitCode
from devtools.run.events import Bus, Notice, RunFinished, RunStarted, Sink
from devtools.stack.model import Facts, Plan, ReleaseId, Stack

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A loaded stack with everything that Helm will be given: merged values and their digests."""

    stack: Stack
    values: Mapping[ReleaseId, Mapping[str, Any]]
    digests: Mapping[ReleaseId, str]


Planner = Callable[[Inputs, Facts], Plan]


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


def execute(app: App, what: str, options: Options, plan: Planner, cluster: Callable[[], Cluster]) -> ExitCode:
    """One run of what `plan` decides, on the cluster that `cluster` finds or makes."""
    stack = load(app, options)
    if options.dry_run:
        return _dry_run(app, what, options, plan, stack, cluster)
    target = cluster()
    inputs = read_inputs(app, stack, target.smoke_values)
    screen = _screen(app, what, options)
    subject = f"stack {stack.name} on {target.context}"
    try:
        with _locked(app, screen, subject, what, options):
            return _run(app, what, options, plan, inputs, target, screen)
    finally:
        screen.bus.close()


def read_inputs(app: App, stack: Stack, smoke_values: Mapping[str, Any]) -> Inputs:
    """Merge each enabled release's values and digest its inputs, once."""
    from devtools.stack.values import inputs_digest, merge, overlaid  # noqa: PLC0415

    values: dict[ReleaseId, Mapping[str, Any]] = {}
    digests: dict[ReleaseId, str] = {}
    for release in stack.releases():
        if release.installed:
            merged = merge(release).data
            values[release.id] = overlaid(merged, smoke_values) if release.smoke else merged
            digests[release.id] = inputs_digest(release, values[release.id], app.charts.digest(release.chart))
    return Inputs(stack=stack, values=values, digests=digests)


def _dry_run(
    app: App, what: str, options: Options, plan: Planner, stack: Stack, cluster: Callable[[], Cluster]
) -> ExitCode:
    """The plan and nothing else: reads the cluster where there is one, writes nothing anywhere."""
    from devtools.run.engine import announce  # noqa: PLC0415
    from devtools.run.facts import observe  # noqa: PLC0415

    bus = Bus((_renderer(app, options),), app.clock)
    started = app.clock()
    try:
        target: Cluster | None = cluster()
        facts = observe(kube_of(app, target)) if target else Facts()
        smoke_values = target.smoke_values if target else {}
    except EnvironmentFault as error:
        bus.emit(Notice(level="warning", message=f"{error.message}: planning for an empty cluster"))
        target, facts, smoke_values = None, Facts(), {}
    made = plan(read_inputs(app, stack, smoke_values), facts)
    bus.emit(_started(app, what, stack, target, None))
    bus.emit(announce(made, dry_run=True))
    bus.emit(RunFinished(exit_code=0, seconds=app.clock() - started, reason="dry run: nothing was touched"))
    bus.close()
    return ExitCode.OK


def _run(
    app: App, what: str, options: Options, plan: Planner, inputs: Inputs, cluster: Cluster, screen: _Screen
) -> ExitCode:
    """Observe, plan, verify what is about to be used, do."""
    from devtools.run.engine import Engine, announce  # noqa: PLC0415
    from devtools.run.facts import observe  # noqa: PLC0415

    screen.bus.emit(_started(app, what, inputs.stack, cluster, screen.directory))
    kube = kube_of(app, cluster)
    started = app.clock()
    try:
        facts = observe(kube)
        made = plan(inputs, facts)
        _verify(app, made)
        screen.bus.emit(announce(made, dry_run=False))
        with _session(app, options, inputs, cluster, screen.bus, kube) as session:
            code = Engine(session, made, facts).run()
    except Exception as error:
        text = getattr(error, "message", type(error).__name__)
        code = getattr(error, "exit_code", ExitCode.BUG)
        screen.bus.emit(
            RunFinished(
                exit_code=int(code), seconds=app.clock() - started, reason=text, hint=getattr(error, "hint", "")
            )
        )
        raise
    return code


def _verify(app: App, plan: Plan) -> None:
    """Every archive that the plan uses is what the lock says; ConfigError with all that are not."""
    from devtools.stack.settings import failed  # noqa: PLC0415

    if problems := app.charts.verify(step.release for step in plan.steps if step.digest):
        raise failed(problems)


@contextlib.contextmanager
def _session(app: App, options: Options, inputs: Inputs, cluster: Cluster, bus: Bus, kube: Kube) -> Iterator[Session]:
    """What the engine works with; the values files' directory is private and goes away."""
    from devtools.run.session import Session  # noqa: PLC0415
    from devtools.run.waiting import Observer  # noqa: PLC0415
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


def _screen(app: App, what: str, options: Options) -> _Screen:
    """The renderer for what was asked, and the run directory."""
    from devtools.report.files import RunFiles, run_directory  # noqa: PLC0415

    directory = run_directory(app.settings.root, what, app.clock())
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


def _started(app: App, what: str, stack: Stack, cluster: Cluster | None, directory: Path | None) -> RunStarted:
    """The first event of a run."""
    return RunStarted(
        run=directory.name if directory else "dry-run",
        what=what,
        stack=stack.name,
        environment=stack.environment.name,
        provider=cluster.provider if cluster else app.provider_name,
        context=cluster.context if cluster else "",
        directory=str(directory) if directory else "",
    )


def with_only(options: Options, **changes: Any) -> Options:
    """The same options but for some."""
    return dataclasses.replace(options, **changes)
