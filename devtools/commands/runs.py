"""`invoke up`, `invoke layer`, `invoke plan` and `invoke down`: runs of the stack, and what they would do."""

from __future__ import annotations

import shlex
from dataclasses import replace

from devtools.app.environment import App
from devtools.app.options import Options, command_line
from devtools.clusters.provider import ClusterAbsent
from devtools.commands.review.diff import run_or_diff
from devtools.errors import ConfigError, ExitCode
from devtools.planning.layer_names import find_layer
from devtools.planning.overrides import find_overrides
from devtools.planning.selection import Selector, choose, choose_releases
from devtools.project import Project, Request, Uninstall


def up(app: App, options: Options) -> ExitCode:
    """Build the toolchain, create the cluster, then sync and test every layer; unchanged layers are not retested."""
    stack = app.stack()
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


def layer(app: App, name: str, options: Options, *, context: str = "", kubeconfig: str = "") -> ExitCode:
    """Sync one layer in dependency order on the existing cluster, then test it.

    With `context` or `kubeconfig` it raises EnvironmentFault if the cluster has another one: a command in a Tilt
    resource may outlive its cluster.
    """
    if not options.sync and not options.test:
        raise ConfigError("--only-test and --no-test exclude each other", hint="use one of them")
    stack = app.stack()
    name = find_layer(stack, name).name
    selection = choose(stack, name, options.selector)
    request = Request(
        command=command_line(f"layer {name}", options, app.environment),
        stack=stack,
        selection=selection,
        options=options,
        overrides=find_overrides(stack, selection, recreate=options.recreate, take=options.take),
        context=context,
        kubeconfig=kubeconfig,
    )
    return run_or_diff(app, request)


def plan(app: App, name: str, options: Options) -> ExitCode:
    """Show what `up` (or `layer NAME`) would do, and why."""
    stack = app.stack()
    selection = choose(stack, name, options.selector)
    command = command_line(f"layer {find_layer(stack, name).name}" if name else "up", options, app.environment)
    options = replace(options, dry_run=True)
    return run_or_diff(app, Request(command=command, stack=stack, selection=selection, options=options))


def down(
    app: App,
    options: Options,
    name: str = "",
    *,
    undeclared: bool = False,
    crds: bool = False,
    with_dependents: bool = False,
) -> ExitCode:
    """Uninstall the stack's releases (all, or the chosen ones), in reverse order.

    With `undeclared` only releases that no layer declares. With `crds` the CRDs are deleted last; otherwise they and
    the objects of their kinds stay. Raises ConfigError if other releases need a chosen one, unless `with_dependents`
    is set.
    """
    whole = not name and options.selector == Selector()
    _check_down(options, undeclared=undeclared, crds=crds, whole=whole)
    stack = app.stack()
    typed = f"down {shlex.quote(name)}" if name else "down"
    flags = {"undeclared": undeclared, "crds": crds, "with_dependents": with_dependents}
    request = Request(
        command=command_line(typed, options, app.environment, **flags),
        stack=stack,
        selection=choose(stack, name, options.selector),
        options=options,
        uninstall=Uninstall(undeclared=undeclared, crds=crds, whole=whole, dependents=with_dependents),
    )
    try:
        return Project(app).run(request)
    except ClusterAbsent as error:
        raise ClusterAbsent(f"{error.message}: there is nothing to uninstall") from error


def _check_down(options: Options, *, undeclared: bool, crds: bool, whole: bool) -> None:
    if crds and undeclared:
        hint = "--crds removes CRDs after every release; --undeclared keeps declared releases"
        raise ConfigError("--crds and --undeclared cannot be combined", hint=hint)
    if crds and not whole:
        message = "--crds removes the CRDs of the whole stack, so it cannot be combined with a layer or selector"
        raise ConfigError(message, hint="leave out --crds, or uninstall everything: invoke down --crds")
    if undeclared and options.selector != Selector():
        message = "--undeclared cannot be combined with --stage, --release or --label: no layer declares such releases"
        raise ConfigError(message, hint="name a layer instead: invoke down 40 --undeclared")
    if options.force and not crds:
        hint = "to delete CRDs with all their objects: invoke down --crds --force"
        raise ConfigError("--force needs --crds", hint=hint)
