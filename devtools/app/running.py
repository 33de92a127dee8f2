"""From what was typed to a finished run: load, verify, find the cluster, lock, observe, plan, do."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.app.environment import App
from devtools.errors import ConfigError, DevtoolsError, ExitCode, Interrupted
from devtools.events import Bus, Notice, RunFinished, RunStarted, Sink
from devtools.model import Facts, Plan, ReleaseId, Stack
from devtools.planning.plan import Selection
from devtools.planning.selection import Selector

if TYPE_CHECKING:
    from devtools.clusters.provider import Cluster
    from devtools.kube.client import Kube
    from devtools.report.files import RunFiles


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
    recreate: tuple[str, ...] = ()  # releases
    take: tuple[str, ...] = ()  # releases


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
    look: Callable[[Kube], Facts] | None = None  # at more than the releases


def load(app: App, options: Options) -> Stack:
    """The stack as one environment sees it, with its graph checked; ConfigError with every problem."""
    from devtools.app.loading import kept_stack  # noqa: PLC0415 - not every task needs it

    return kept_stack(app, options.environment)


def execute(app: App, work: Work, options: Options) -> ExitCode:
    """One run; what is declared is verified before the cluster is looked for."""
    verify_charts(app, work)
    if options.dry_run:
        return _dry_run(app, work, options)
    from devtools.app.notices import run_subject  # noqa: PLC0415 - the imports of a run

    target = work.cluster()
    bus = Bus((_renderer(app, options),), app.clock)
    try:
        with _locked(app, bus, run_subject(work.stack.name, target.context), work.what, options):
            directory, files = _run_files(app, work)  # only now: `latest` names runs that began
            bus.add(files)
            return _run(app, work, options, target, bus, directory)
    finally:
        bus.close()


def verify_charts(app: App, work: Work) -> None:
    """Every archive that will be used is what the lock says; ConfigError with all that are not."""
    from devtools.errors import config_error  # noqa: PLC0415

    if problems := app.charts.verify(work.selection.enabled(work.stack)):
        raise config_error(problems)


def read_inputs(app: App, work: Work, smoke_values: Mapping[str, Any]) -> Inputs:
    """Merge each enabled release's values and digest its inputs, once."""
    from devtools.app.loading import kept_values  # noqa: PLC0415
    from devtools.config.values import inputs_digest, overlaid  # noqa: PLC0415

    enabled = work.selection.enabled(work.stack)
    kept = kept_values(app, work.stack, enabled)
    values: dict[ReleaseId, Mapping[str, Any]] = {}
    digests: dict[ReleaseId, str] = {}
    for release in enabled:
        merged = kept[str(release.id)]
        values[release.id] = overlaid(merged, smoke_values) if release.smoke else merged
        digests[release.id] = inputs_digest(release, values[release.id], app.charts.digest(release.chart))
    return Inputs(stack=work.stack, values=values, digests=digests)


def _dry_run(app: App, work: Work, options: Options) -> ExitCode:
    """The plan and nothing else: reads the cluster where there is one, writes nothing anywhere."""
    from devtools.app.notices import others_notice  # noqa: PLC0415
    from devtools.app.session import facts_of, kube_of  # noqa: PLC0415
    from devtools.engine.engine import announce  # noqa: PLC0415

    bus = Bus((_renderer(app, options),), app.clock)
    started = time.monotonic()
    try:
        target = _found(work, bus)
        facts = facts_of(work, kube_of(app, target)) if target else Facts()
        inputs = read_inputs(app, work, target.smoke_values if target else {})
        made = work.plan(inputs, facts)
        bus.emit(_started(app, work, target, None))
        if target and (other := others_notice(app, work.stack.name, target.context)):
            bus.emit(other)
        bus.emit(announce(made, dry_run=True))
        _tell_undeclared(bus, made, options)
        _tell_random(bus, made, inputs)
        bus.emit(RunFinished(exit_code=0, seconds=time.monotonic() - started, reason="dry run: nothing was touched"))
    finally:
        bus.close()
    return ExitCode.OK


def _found(work: Work, bus: Bus) -> Cluster | None:
    """The cluster, None where there is none at all, which is said.

    Of one that is there and does not answer nobody knows what it holds, so that is no empty one: EnvironmentFault.
    """
    from devtools.clusters.provider import ClusterAbsent  # noqa: PLC0415 - the imports of a run

    try:
        return work.cluster()
    except ClusterAbsent as error:
        bus.emit(Notice(level="warning", message=f"{error.message}: planning for an empty cluster"))
        return None


def _tell_undeclared(bus: Bus, plan: Plan, options: Options) -> None:
    """Name what the run leaves alone, though it came from the layers that it is about."""
    if plan.undeclared:
        names, verb = ", ".join(map(str, plan.undeclared)), "is" if len(plan.undeclared) == 1 else "are"
        message = f"{names} {verb} on the cluster, but not declared any more"
        environment = f" --env {options.environment}" if options.environment else ""
        command = f"invoke down --undeclared{environment}"
        bus.emit(Notice(level="warning", message=f"{message}: {command} removes what no layer declares"))


def _tell_random(bus: Bus, plan: Plan, inputs: Inputs) -> None:
    """Warn of upgrades whose templates render differently each time."""
    from devtools.app.notices import random_notices  # noqa: PLC0415 - the imports of a run

    for notice in random_notices(plan, inputs.values):
        bus.emit(notice)


def _run(app: App, work: Work, options: Options, cluster: Cluster, bus: Bus, directory: Path) -> ExitCode:
    """Observe, plan, do; whatever goes wrong before the engine's end ends the run in its events, too."""
    from devtools.app.crash_reports import bug  # noqa: PLC0415 - the imports of a run
    from devtools.app.durations import durations_file, save_durations  # noqa: PLC0415
    from devtools.app.orphans import marked  # noqa: PLC0415
    from devtools.app.session import facts_of, kube_of, session  # noqa: PLC0415
    from devtools.engine.engine import Engine, announce  # noqa: PLC0415

    bus.emit(_started(app, work, cluster, directory))
    started = time.monotonic()

    def warn(line: str) -> None:
        bus.emit(Notice(level="warning", message=line))

    try:
        with marked(app.folders.state / "marks", warn) as mark:
            kube = kube_of(app, cluster, warn)
            facts = facts_of(work, kube)
            inputs = read_inputs(app, work, cluster.smoke_values)
            made = work.plan(inputs, facts)
            bus.emit(announce(made, dry_run=False))
            _tell_undeclared(bus, made, options)
            _tell_random(bus, made, inputs)
            given = session(app, cluster, bus, kube, inputs=inputs, options=options, mark=mark)
            code = Engine(given, made, facts).run()
            save_durations(durations_file(app.folders.state, work.stack.name, cluster.context), given.durations)
            return code
    except DevtoolsError as error:
        return _ended_early(app, bus, error, started)
    except KeyboardInterrupt:
        return _ended_early(app, bus, Interrupted(app.cancel.reason), started)
    except Exception as error:  # noqa: BLE001 - readers of events must be told of the end
        return _ended_early(app, bus, bug(error), started)


def _ended_early(app: App, bus: Bus, error: DevtoolsError, started: float) -> ExitCode:
    """The last event of a run that did not get to the engine's end."""
    error = Interrupted(app.cancel.reason) if app.cancel.is_set() else error
    problems = error.problems if isinstance(error, ConfigError) else ()
    reason = "\n".join((error.message, *map(str, problems)))
    seconds = time.monotonic() - started
    bus.emit(RunFinished(exit_code=int(error.exit_code), seconds=seconds, reason=reason, hint=error.hint))
    return error.exit_code


@contextlib.contextmanager
def _locked(app: App, bus: Bus, subject: str, what: str, options: Options) -> Iterator[None]:
    """The run lock of this stack and context."""
    from devtools.run.lock import run_lock  # noqa: PLC0415

    now = datetime.fromtimestamp(app.clock(), UTC).strftime("%H:%M:%S UTC")
    with run_lock(
        app.folders.state / "locks",
        subject,
        {"what": f"invoke {what}", "pid": os.getpid(), "started": now},
        wait=options.wait,
        cancel=app.cancel,
        say=lambda line: bus.emit(Notice(level="info", message=line)),
    ):
        yield


def _run_files(app: App, work: Work) -> tuple[Path, RunFiles]:
    """The run's directory, and the sink that fills it."""
    from devtools.report.files import RunFiles, run_directory  # noqa: PLC0415

    directory = run_directory(app.settings.root, work.what, app.clock())
    return directory, RunFiles(directory, app.say)


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


def typed(what: str, options: Options, **flags: bool) -> str:
    """What was typed after `invoke`, so that it can be typed again; `flags` are those that only one task has.

    Without what says only how to show it, and without the guards that Tilt's commands carry: they change nothing.
    """
    selector = options.selector
    words = [what, *(["--env", options.environment] if options.environment else [])]
    for flag, given in (("stage", selector.stages), ("release", selector.releases), ("label", selector.labels)):
        words += [word for value in given for word in (f"--{flag}", shlex.quote(value))]
    for flag, given in (("recreate", options.recreate), ("take-ownership", options.take)):
        words += [word for value in given for word in (f"--{flag}", shlex.quote(value))]
    switches = {
        "with-needs": selector.with_needs,
        "only-test": not options.sync,
        "no-test": not options.test,
        "force": options.force,
        "no-wait": not options.wait,
    }
    return " ".join([*words, *(f"--{name.replace('_', '-')}" for name, on in (switches | flags).items() if on)])


def with_only(options: Options, **changes: Any) -> Options:
    """The same options but for some."""
    return dataclasses.replace(options, **changes)
