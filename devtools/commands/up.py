"""`invoke up`: syncs and tests every layer, on a cluster that is created if there is none."""

from __future__ import annotations

from devtools.app.environment import App
from devtools.app.options import Options, command_line
from devtools.commands.review.diff import run_or_diff
from devtools.errors import ExitCode
from devtools.planning.overrides import find_overrides
from devtools.planning.selection import choose_releases
from devtools.project import Project, Request


def up(app: App, options: Options) -> ExitCode:
    """Build the toolchain, create the cluster, then sync and test every layer; unchanged layers are not retested."""
    project = Project(app)
    stack = project.stack()
    selection = choose_releases(stack, options.selector)
    request = Request(
        command=command_line("up", options, app.environment, retest=options.retest),
        stack=stack,
        selection=selection,
        options=options,
        overrides=find_overrides(stack, selection, recreate=options.recreate, take=options.take),
        create_cluster=True,
    )
    return run_or_diff(app, request)
