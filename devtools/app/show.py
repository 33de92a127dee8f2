"""`invoke layers` and `invoke plan`: look, and touch nothing."""

from __future__ import annotations

from devtools.app.running import Inputs, Options, execute, kube_of, load, with_only
from devtools.app.wiring import App
from devtools.errors import EnvironmentFault, ExitCode
from devtools.stack.model import Facts, Plan


def layers(app: App, options: Options) -> ExitCode:
    """A table of layers and releases with what the cluster holds of them."""
    from devtools.report.tables import show_layers  # noqa: PLC0415

    stack = load(app, options)
    facts, note = _facts(app)
    show_layers(stack, facts, note=note, output=options.output, out=app.out, environ=app.environ)
    return ExitCode.OK


def plan(app: App, name: str, options: Options) -> ExitCode:
    """What `up` (or `layer NAME`) would do, and why."""
    from devtools.stack.plan import Selection, make_plan  # noqa: PLC0415
    from devtools.stack.select import find_layer  # noqa: PLC0415

    stack = load(app, options)
    chosen = (find_layer(stack, name),) if name else stack.layers
    selection = Selection(layers=tuple(layer.name for layer in chosen))

    def planner(inputs: Inputs, facts: Facts) -> Plan:
        return make_plan(inputs.stack, selection, facts, inputs.digests, force=options.force)

    what = f"layer {chosen[0].name}" if name else "up"
    return execute(app, what, with_only(options, dry_run=True), planner, app.find_cluster)


def _facts(app: App) -> tuple[Facts | None, str]:
    """What the cluster holds, or why that cannot be told."""
    from devtools.run.facts import observe  # noqa: PLC0415

    try:
        return observe(kube_of(app, app.provider.find())), ""
    except EnvironmentFault as error:
        return None, error.message
