"""`invoke down`: uninstalls the stack's releases."""

from __future__ import annotations

import shlex

from devtools.app.environment import App
from devtools.app.options import Options, command_line
from devtools.clusters.provider import ClusterAbsent
from devtools.errors import ConfigError, ExitCode
from devtools.planning.selection import Selector, choose
from devtools.project import Project, Request, Uninstall


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
    project = Project(app)
    stack = project.stack()
    selection = choose(stack, name, options.selector)
    typed = f"down {shlex.quote(name)}" if name else "down"
    flags = {"undeclared": undeclared, "crds": crds, "with_dependents": with_dependents}
    request = Request(
        command=command_line(typed, options, app.environment, **flags),
        stack=stack,
        selection=selection,
        options=options,
        uninstall=Uninstall(undeclared=undeclared, crds=crds, whole=whole, dependents=with_dependents),
    )
    try:
        return project.run(request)
    except ClusterAbsent as error:
        raise ClusterAbsent(f"{error.message}: there is nothing to uninstall") from error


def _check_down(options: Options, *, undeclared: bool, crds: bool, whole: bool) -> None:
    """Raise ConfigError for flags that contradict each other."""
    if crds and undeclared:
        raise ConfigError(
            "--crds and --undeclared cannot be combined",
            hint="--crds removes CRDs after every release; --undeclared keeps declared releases",
        )
    if crds and not whole:
        raise ConfigError(
            "--crds removes the CRDs of the whole stack, so it cannot be combined with a layer or selector",
            hint="leave out --crds, or uninstall everything: invoke down --crds",
        )
    if undeclared and options.selector != Selector():
        raise ConfigError(
            "--undeclared cannot be combined with --stage, --release or --label: no layer declares such releases",
            hint="name a layer instead: invoke down 40 --undeclared",
        )
    if options.force and not crds:
        raise ConfigError(
            "--force needs --crds", hint="to delete CRDs with all their objects: invoke down --crds --force"
        )
