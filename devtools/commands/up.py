"""`invoke up` and `invoke down`: every layer, on a cluster that is made when there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devtools.app.environment import App
from devtools.app.overrides import planner
from devtools.app.running import Inputs, Options, Work, execute, load, typed
from devtools.clusters.provider import Cluster
from devtools.errors import ConfigError, ExitCode
from devtools.model import Facts, Plan
from devtools.planning.plan import Selection, down_plan
from devtools.planning.selection import choose_releases
from devtools.planning.uninstall import with_sweeps

if TYPE_CHECKING:
    from devtools.kube.client import Kube


def up(app: App, options: Options) -> ExitCode:
    """Make toolchain and cluster, then sync and test every layer; tests of unchanged layers are not repeated."""
    stack = load(app, options)
    selection = choose_releases(stack, options.selector)

    plan = planner(stack, selection, options)

    def cluster() -> Cluster:
        from devtools.app.providers import say_why_embedded  # noqa: PLC0415 - only here

        if options.dry_run:
            return app.find_cluster()
        say_why_embedded(app)
        app.toolchain.ensure(progress=app.say)
        return app.provider.ensure(app.say)

    what = typed("up", options, retest=options.retest)
    return execute(app, Work(what=what, stack=stack, selection=selection, plan=plan, cluster=cluster), options)


def down(app: App, options: Options, *, undeclared: bool = False, crds: bool = False) -> ExitCode:
    """Uninstall what this stack put on the cluster, in reverse order; with `undeclared` only what no layer declares.

    With `crds` the CRDs go last; without, they stay, and with them what is stored in their kinds.
    """
    if crds and undeclared:
        raise ConfigError("--crds and --undeclared do not go together", hint="CRDs go when every release is gone")
    if options.force and not crds:
        raise ConfigError("--force says that CRDs go with the objects of their kinds", hint="give it with --crds")
    stack = load(app, options)
    selection = Selection(layers=tuple(layer.name for layer in stack.layers))

    def plan(_: Inputs, facts: Facts) -> Plan:
        found = down_plan(stack, selection, facts, declared_too=not undeclared)
        return found if undeclared else with_sweeps(found, facts, crds=crds, force=options.force)

    def look(kube: Kube) -> Facts:
        from devtools.releases.cleanup import stack_crds, stack_namespaces  # noqa: PLC0415
        from devtools.releases.facts import observe  # noqa: PLC0415 - the imports of a run

        return replace(observe(kube), namespaces=stack_namespaces(kube, stack.name), crds=stack_crds(kube, stack.name))

    what = typed("down", options, undeclared=undeclared, crds=crds)
    nothing = Selection(layers=())  # to remove a release neither its chart nor its values are needed
    work = Work(what=what, stack=stack, selection=nothing, plan=plan, cluster=app.find_cluster, look=look)
    return execute(app, work, options)
