"""`invoke up` and `invoke down`: every layer, on a cluster that is created if there is none."""

from __future__ import annotations

from devtools.app.environment import App
from devtools.app.options import Options, command_line
from devtools.clusters.provider import ClusterAbsent
from devtools.commands.review.diff import run_or_diff
from devtools.errors import ConfigError, ExitCode
from devtools.planning.overrides import find_overrides
from devtools.planning.plan import Selection
from devtools.planning.selection import choose_releases
from devtools.project import Project, Request, Uninstall


def up(app: App, options: Options) -> ExitCode:
    """Get the toolchain, create the cluster, then sync and test every layer; unchanged layers are not tested again."""
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


def down(app: App, options: Options, *, undeclared: bool = False, crds: bool = False) -> ExitCode:
    """Uninstall what this stack put on the cluster, in reverse order; with `undeclared` only what no layer declares.

    With `crds` the CRDs go last; without, they stay, and with them the objects of their kinds.
    """
    if crds and undeclared:
        raise ConfigError(
            "--crds and --undeclared cannot be combined",
            hint="--crds removes CRDs after every release; --undeclared keeps declared releases",
        )
    if options.force and not crds:
        raise ConfigError(
            "--force needs --crds", hint="to delete CRDs with all their objects: invoke down --crds --force"
        )
    project = Project(app)
    stack = project.stack()
    request = Request(
        command=command_line("down", options, app.environment, undeclared=undeclared, crds=crds),
        stack=stack,
        selection=Selection(layers=tuple(layer.name for layer in stack.layers)),
        options=options,
        uninstall=Uninstall(undeclared=undeclared, crds=crds),
    )
    try:
        return project.run(request)
    except ClusterAbsent as error:
        raise ClusterAbsent(f"{error.message}: there is nothing to uninstall") from error
