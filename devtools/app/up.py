"""`invoke up` and `invoke down`: every layer, on a cluster that is made when there is none."""

from __future__ import annotations

from devtools.app.running import Inputs, Options, execute
from devtools.app.wiring import App
from devtools.clusters.base import Cluster
from devtools.errors import ExitCode
from devtools.stack.model import Facts, Plan


def up(app: App, options: Options) -> ExitCode:
    """Make toolchain and cluster, then sync and test every layer; tests of unchanged layers are not repeated."""
    from devtools.stack.plan import Selection, make_plan  # noqa: PLC0415

    def plan(inputs: Inputs, facts: Facts) -> Plan:
        layers = tuple(layer.name for layer in inputs.stack.layers)
        return make_plan(inputs.stack, Selection(layers=layers), facts, inputs.digests, force=options.force)

    def cluster() -> Cluster:
        if options.dry_run:
            return app.find_cluster()
        app.toolchain.ensure(progress=app.say)
        return app.provider.ensure(app.say)

    return execute(app, "up", options, plan, cluster)


def down(app: App, options: Options) -> ExitCode:
    """Uninstall what this stack put on the cluster, in reverse order."""
    from devtools.stack.plan import Selection, down_plan  # noqa: PLC0415

    def plan(inputs: Inputs, facts: Facts) -> Plan:
        layers = tuple(layer.name for layer in inputs.stack.layers)
        return down_plan(inputs.stack, Selection(layers=layers), facts)

    return execute(app, "down", options, plan, app.find_cluster)
