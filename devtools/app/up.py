"""`invoke up` and `invoke down`: every layer, on a cluster that is made when there is none."""

from __future__ import annotations

from devtools.app.running import Inputs, Options, Work, execute, load, typed
from devtools.app.wiring import App
from devtools.clusters.base import Cluster
from devtools.errors import ExitCode
from devtools.stack.choice import choose_releases
from devtools.stack.model import Facts, Plan
from devtools.stack.plan import Selection, down_plan, make_plan


def up(app: App, options: Options) -> ExitCode:
    """Make toolchain and cluster, then sync and test every layer; tests of unchanged layers are not repeated."""
    stack = load(app, options)
    selection = choose_releases(stack, options.selector)

    def plan(inputs: Inputs, facts: Facts) -> Plan:
        return make_plan(stack, selection, facts, inputs.digests, force=options.force)

    def cluster() -> Cluster:
        if options.dry_run:
            return app.find_cluster()
        app.toolchain.ensure(progress=app.say)
        return app.provider.ensure(app.say)

    what = typed("up", options, retest=options.retest)
    return execute(app, Work(what=what, stack=stack, selection=selection, plan=plan, cluster=cluster), options)


def down(app: App, options: Options, *, undeclared: bool = False) -> ExitCode:
    """Uninstall what this stack put on the cluster, in reverse order; with `undeclared` what no layer declares."""
    stack = load(app, options)
    selection = Selection(layers=tuple(layer.name for layer in stack.layers))

    def plan(_: Inputs, facts: Facts) -> Plan:
        return down_plan(stack, selection, facts, declared_too=not undeclared)

    what = typed("down", options, undeclared=undeclared)
    nothing = Selection(layers=())  # to remove a release neither its chart nor its values are needed
    return execute(app, Work(what=what, stack=stack, selection=nothing, plan=plan, cluster=app.find_cluster), options)
