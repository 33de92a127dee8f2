"""`invoke bootstrap`, `bootstrap.status` and `bootstrap.down`: Tilt's requirements, then Tilt. Runs no Helm."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass

from devtools.app.environment import App
from devtools.base.words import plural
from devtools.bootstrap.prerequisites import Finding, check_inotify, inotify_limits
from devtools.bootstrap.report import StageStatus
from devtools.commands.bootstrap.context import BootstrapContext, build_context, check_machine
from devtools.commands.bootstrap.stages import STAGES, status_of
from devtools.errors import ConfigError, EnvironmentFault, ExitCode

LOCK = "bootstrap.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options as typed. Without `push`, Tilt only builds the protobuf module."""

    dry_run: bool = False
    push: bool = True
    output: str = "text"


class PrerequisiteFault(EnvironmentFault):
    """The machine lacks prerequisites; `details` are all problems, each with a remedy."""

    def __init__(self, problems: tuple[Finding, ...]) -> None:
        """`problems` are the ones that prevent the bootstrap."""
        count = plural(len(problems), "prerequisite is", "prerequisites are")
        super().__init__(f"{count} not met; nothing was changed", hint="fix them, then run: invoke bootstrap")
        self.details = tuple(f"{item.message}: {item.hint}" for item in problems)


def bootstrap(app: App, options: Options) -> ExitCode:
    """Check the machine, then ensure every stage; the last one starts Tilt.

    Raises PrerequisiteFault with every problem, and EnvironmentFault, TimedOut or Interrupted from a stage: a second
    bootstrap continues there.
    """
    context = build_context(app, push=options.push)
    findings = check_machine(context)
    for finding in findings:
        if finding.level == "warning" or options.dry_run:
            app.say(f"{finding.level}: {finding.message}; {finding.hint}")
    if options.dry_run:
        return _dry_run(context, findings, options.output)
    if problems := tuple(finding for finding in findings if finding.level == "problem"):
        raise PrerequisiteFault(problems)
    from devtools.locks.change_lock import locked

    with locked(context.process.pid_file.with_name(LOCK), app.cancel, app.say):
        found = tuple(stage.ensure(context) for stage in STAGES)
    _show(context, "up", found, findings, options.output)
    return next((stage.code for stage in found if stage.code), ExitCode.OK)


def status(app: App, output: str) -> ExitCode:
    """Show the state of each stage, and limits of inotify that are low; exit code 1 if something is missing."""
    context = build_context(app)
    found = tuple(status_of(stage, context) for stage in STAGES)
    limits = tuple(check_inotify(inotify_limits()))
    for finding in limits:
        app.say(f"{finding.level}: {finding.message}; {finding.hint}")
    _show(context, "status", found, limits, output)
    return ExitCode.OK if all(stage.ok for stage in found) else ExitCode.FAILED


def down(app: App, output: str, *, keep_cluster: bool = False, registry: bool = False, force: bool = False) -> ExitCode:
    """Remove the stages, the last one first; not an error if there is nothing.

    `keep_cluster` keeps the cluster and its builder; the registry is removed only with `registry`. Runs that Tilt
    started end with it; EnvironmentFault if another run is under way on a cluster to remove, unless `force` is set.
    """
    if force and keep_cluster:
        raise ConfigError("--force cannot be used with --keep-cluster", hint="no run blocks this: omit --force")
    context = build_context(app)
    keep = {*(("cluster", "builder") if keep_cluster else ()), *(() if registry else ("registry",))}
    from devtools.commands.cluster import without_runs
    from devtools.locks.change_lock import locked

    with locked(context.process.pid_file.with_name(LOCK), app.cancel, app.say), contextlib.ExitStack() as stack:
        tilt, *others = reversed(STAGES)
        tilt.remove(context)
        if not keep_cluster:
            stack.enter_context(without_runs(app, "bootstrap.down", "removes", force=force))
        for stage in others:
            if stage.name not in keep:
                stage.remove(context)
    left = dataclasses.replace(context, tilt=context.tilt if context.tilt and not context.tilt.ours else None)
    _show(left, "down", tuple(status_of(stage, left) for stage in STAGES), (), output)
    return ExitCode.OK


def _dry_run(context: BootstrapContext, findings: tuple[Finding, ...], output: str) -> ExitCode:
    """Print every command that would be run, in order; changes nothing."""
    from devtools.bootstrap.dry_run_script import script
    from devtools.bootstrap.report import plan_document

    lines = tuple(line for stage in STAGES for line in stage.commands(context))
    if output == "text":
        context.app.out.write(script(lines))
        return ExitCode.OK
    document = plan_document(provider=context.provider, context=context.context, findings=findings, lines=lines)
    context.app.show(document, lambda *_: (), output)
    return ExitCode.OK


def _show(
    context: BootstrapContext, verb: str, found: tuple[StageStatus, ...], findings: tuple[Finding, ...], output: str
) -> None:
    from devtools.bootstrap import report

    tilt = found[-1]
    is_up = verb != "down"
    shown = report.document(
        verb,
        provider=context.provider,
        context=context.context,
        kubeconfig=str(context.kubeconfig),
        stages=found,
        findings=findings,
        fallback=verb == "up" and context.provider == "kwok" and not context.asked,
        ui=tilt.ui if is_up else "",
        log=tilt.log if is_up else "",
        next_=_next(verb, found, has_tilt=context.program is not None),
    )
    context.app.show(shown, report.lines, output)


def _next(verb: str, found: tuple[StageStatus, ...], *, has_tilt: bool) -> tuple[str, ...]:
    """Return the suggested next commands, the best first."""
    *others, tilt = found
    if verb == "down":
        return ("invoke bootstrap",)
    if verb == "status" and not all(stage.ok for stage in found):
        return ("invoke up",) if all(stage.ok for stage in others) and not has_tilt else ("invoke bootstrap",)
    if tilt.ui:
        return (f"open {tilt.ui}", "invoke bootstrap.status", "invoke bootstrap.down")
    return ("invoke up", "invoke bootstrap.status")
