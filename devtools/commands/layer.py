"""`invoke layer NAME`: syncs one layer and runs its smoke tests."""

from __future__ import annotations

from devtools.app.environment import App
from devtools.app.options import Options, command_line
from devtools.commands.review.diff import run_or_diff
from devtools.errors import ConfigError, ExitCode
from devtools.planning.layer_names import find_layer
from devtools.planning.overrides import find_overrides
from devtools.planning.selection import choose
from devtools.project import Project, Request


def replay(app: App, name: str, options: Options, *, context: str = "", kubeconfig: str = "") -> ExitCode:
    """Sync one layer in dependency order on the existing cluster, then test it.

    With `context` or `kubeconfig` it raises EnvironmentFault if the cluster has another one: a command in a Tilt
    resource may outlive its cluster.
    """
    if not options.sync and not options.test:
        raise ConfigError("--only-test and --no-test exclude each other", hint="use one of them")
    project = Project(app)
    stack = project.stack()
    layer = find_layer(stack, name)
    selection = choose(stack, layer.name, options.selector)
    request = Request(
        command=command_line(f"layer {layer.name}", options, app.environment),
        stack=stack,
        selection=selection,
        options=options,
        overrides=find_overrides(stack, selection, recreate=options.recreate, take=options.take),
        context=context,
        kubeconfig=kubeconfig,
    )
    return run_or_diff(app, request)
