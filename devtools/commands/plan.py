"""`invoke plan`: what a run would do, and why."""

from __future__ import annotations

from dataclasses import replace

from devtools.app.environment import App
from devtools.app.options import Options, command_line
from devtools.commands.review.diff import run_or_diff
from devtools.errors import ExitCode
from devtools.planning.selection import Selector, choose, narrowed
from devtools.project import Project, Request


def plan(app: App, name: str, options: Options) -> ExitCode:
    """Show what `up` (or `layer NAME`) would do, and why."""
    project = Project(app)
    stack = project.stack()
    selection = choose(stack, name, options.selector)
    if name and options.selector == Selector():
        command = command_line(f"layer {selection.layers[0]}", options, app.environment)
    else:  # `layer` has no selectors
        command = command_line(
            "up", replace(options, selector=narrowed(stack, name, options.selector)), app.environment
        )
    options = replace(options, dry_run=True)
    return run_or_diff(app, Request(command=command, stack=stack, selection=selection, options=options))
