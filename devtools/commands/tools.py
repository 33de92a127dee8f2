"""`invoke toolchain`: get what is missing, show what there is, remove what is of no use any more."""

from __future__ import annotations

from devtools.app.environment import App
from devtools.commands import toolchain
from devtools.errors import ConfigError, ExitCode


def show(app: App, output: str, *, dry_run: bool = False) -> ExitCode:
    """Build what is missing, then a table of tools; ConfigError for a dry run, which only pruning has."""
    if dry_run:
        raise ConfigError("--dry-run goes with --prune", hint="invoke toolchain --prune --dry-run")
    app.toolchain.ensure(progress=app.say)
    app.toolchain.renew(progress=app.say)
    if output == "json":
        app.out.write(toolchain.document(app.toolchain))
        return ExitCode.OK
    from rich.console import Console  # noqa: PLC0415 - not needed for JSON

    toolchain.render(app.toolchain, Console(file=app.out, no_color="NO_COLOR" in app.environ or None))
    return ExitCode.OK


def prune(app: App, output: str, *, days: int, dry_run: bool) -> ExitCode:
    """Remove builds of pins that are no more; ConfigError for fewer than one day, which a run under way may need."""
    if days < 1:
        raise ConfigError(f"--days {days}: it must be at least 1", hint="what was used today may be in use")
    from devtools.clusters.embedded.layout import programs  # noqa: PLC0415 - only one who prunes needs it

    judged = app.toolchain.prune(programs(app.folders.state / "clusters"), days=days, dry_run=dry_run)
    render = toolchain.pruned_document if output == "json" else toolchain.pruned_text
    app.out.write(render(judged, dry_run=dry_run))
    return ExitCode.OK
