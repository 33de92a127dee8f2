"""`invoke bootstrap`, `bootstrap.status` and `bootstrap.down`: everything that Tilt needs, then Tilt. No Helm."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from devtools.app.environment import App
from devtools.app.exit_codes import DOCUMENTS
from devtools.bootstrap.machine import inotify_limits
from devtools.bootstrap.prerequisites import Finding, check_inotify
from devtools.bootstrap.stages import Stage
from devtools.commands.bootstrap import stages
from devtools.commands.bootstrap.parts import Parts, look, parts_of
from devtools.errors import ConfigError, EnvironmentFault, ExitCode

LOCK = "bootstrap.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """As typed. Without `push`, Tilt only builds the protobuf module."""

    dry_run: bool = False
    push: bool = True
    output: str = "text"


class PrerequisiteFault(EnvironmentFault):
    """The machine cannot do it; `details` are all problems, each with what to do."""

    def __init__(self, problems: tuple[Finding, ...]) -> None:
        """`problems` are those that stop it."""
        count = "1 prerequisite is" if len(problems) == 1 else f"{len(problems)} prerequisites are"
        super().__init__(f"{count} not met; nothing was changed", hint="fix them, then run: invoke bootstrap")
        self.details = tuple(f"{item.message}: {item.hint}" for item in problems)


def bootstrap(app: App, options: Options) -> ExitCode:
    """Check the machine, then see to registry, cluster, builder, images and specs, and start Tilt; stops there.

    Raises PrerequisiteFault with every problem, and EnvironmentFault, TimedOut or Interrupted from a stage: typed
    again, it goes on from there.
    """
    _known(options.output)
    parts = parts_of(app)
    findings = look(parts, push=options.push)
    for finding in findings:
        if finding.level == "warning" or options.dry_run:
            app.say(f"{finding.level}: {finding.message}; {finding.hint}")
    if options.dry_run:
        return _dry_run(parts, findings, options)
    if problems := tuple(finding for finding in findings if finding.level == "problem"):
        raise PrerequisiteFault(problems)
    from devtools.clusters.locks import locked

    with locked(parts.server.pid_file.with_name(LOCK), app.cancel, app.say):
        done = tuple(_each(parts, options))
    _show(parts, "up", done, findings, options.output)
    return next((stage.code for stage in done if stage.code), ExitCode.OK)


def status(app: App, output: str) -> ExitCode:
    """Show what there is of each stage, and limits of inotify that are low; exit code 1 if something is missing."""
    _known(output)
    parts = parts_of(app)
    found = stages.states(parts)
    limits = tuple(check_inotify(inotify_limits()))
    for finding in limits:
        app.say(f"{finding.level}: {finding.message}; {finding.hint}")
    _show(parts, "status", found, limits, output)
    return ExitCode.OK if all(stage.ok for stage in found) else ExitCode.FAILED


def down(app: App, output: str, *, keep_cluster: bool = False, registry: bool = False) -> ExitCode:
    """Stop Tilt, remove the builder and the cluster; fine where nothing is there.

    The cluster stays with `keep_cluster`, and then its builder, too; the registry goes only with `registry`.
    """
    _known(output)
    parts = parts_of(app)
    from devtools.clusters.locks import locked

    with locked(parts.server.pid_file.with_name(LOCK), app.cancel, app.say):
        if not parts.server.stop(app.say) and parts.tilt:
            app.say(f"Tilt (pid {parts.tilt.pid}) was not started by invoke bootstrap: it is left alone")
        if parts.builder and not keep_cluster:
            stages.remove_builder(parts)
        if not keep_cluster and parts.provider != "context":
            app.provider.delete(app.say)
        if registry and parts.k3d:
            parts.k3d.delete_registry(app.say)
    found = stages.states(dataclasses.replace(parts, tilt=parts.tilt if parts.tilt and not parts.tilt.ours else None))
    _show(parts, "down", found, (), output)
    return ExitCode.OK


def _each(parts: Parts, options: Options) -> Iterator[Stage]:
    """Do one stage after the other."""
    yield stages.registry(parts)
    yield stages.cluster(parts)
    yield stages.builder(parts)
    yield stages.images(parts)
    yield stages.specs(parts)
    yield stages.tilt(parts, push=options.push)


def _dry_run(parts: Parts, findings: tuple[Finding, ...], options: Options) -> ExitCode:
    """Every command that would be run, in order, on stdout; nothing is touched."""
    import json

    from devtools.bootstrap.script import script
    from devtools.bootstrap.showing import plan_document
    from devtools.commands.bootstrap.plan import planned

    lines = planned(parts, push=options.push)
    if options.output == "text":
        parts.app.out.write(script(lines))
        return ExitCode.OK
    document = plan_document(provider=parts.provider, context=parts.context, findings=findings, lines=lines)
    parts.app.out.write(json.dumps(document, indent=2) + "\n")
    return ExitCode.OK


def _show(parts: Parts, verb: str, found: tuple[Stage, ...], findings: tuple[Finding, ...], output: str) -> None:
    from devtools.bootstrap import showing as report

    is_up = verb != "down" and parts.tilt is not None
    shown = report.document(
        verb,
        provider=parts.provider,
        context=parts.context,
        kubeconfig=str(parts.kubeconfig),
        stages=found,
        findings=findings,
        fallback=verb == "up" and parts.provider == "kwok" and not parts.asked,
        ui=parts.tilt.url if parts.tilt and is_up else "",
        log=str(parts.server.log) if parts.tilt and parts.tilt.ours and is_up else "",
        next_=_next(parts, verb, found),
    )
    report.show(shown, output=output, out=parts.app.out, environ=parts.app.environ)


def _next(parts: Parts, verb: str, found: tuple[Stage, ...]) -> tuple[str, ...]:
    """What to type next, the best first."""
    if verb == "down":
        return ("invoke bootstrap",)
    if verb == "status" and not all(stage.ok for stage in found):
        tilt_only = all(stage.ok or stage.stage == "tilt" for stage in found)
        return ("invoke up",) if tilt_only and parts.program is None else ("invoke bootstrap",)
    if parts.tilt:
        return (f"open {parts.tilt.url}", "invoke bootstrap.status", "invoke bootstrap.down")
    return ("invoke up", "invoke bootstrap.status")


def _known(output: str) -> None:
    if output not in DOCUMENTS:
        raise ConfigError(f"unknown output {output!r}", hint=f"choose one of {', '.join(DOCUMENTS)}")
