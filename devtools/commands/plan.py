"""`invoke plan`: shows what a run would do, and why."""

from __future__ import annotations

from dataclasses import replace

from devtools.app.environment import App
from devtools.app.options import Options, command_line
from devtools.commands.review.diff import run_or_diff
from devtools.errors import ExitCode
from devtools.planning.layer_names import find_layer
from devtools.planning.selection import choose
from devtools.project import Project, Request


def plan(app: App, name: str, options: Options) -> ExitCode:
    """Show what `up` (or `layer NAME`) would do, and why."""
    project = Project(app)
    stack = project.stack()
    selection = choose(stack, name, options.selector)
    command = command_line(f"layer {find_layer(stack, name).name}" if name else "up", options, app.environment)
    options = replace(options, dry_run=True)
    return run_or_diff(app, Request(command=command, stack=stack, selection=selection, options=options))
