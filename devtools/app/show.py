"""`invoke layers` and `invoke plan`: look, and touch nothing."""

from __future__ import annotations

from devtools.app.running import Inputs, Options, Work, execute, kube_of, load, typed, with_only
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
    layers = tuple(layer.name for layer in chosen)

    def planner(inputs: Inputs, facts: Facts) -> Plan:
        return make_plan(stack, Selection(layers=layers), facts, inputs.digests, force=options.force)

    what = typed(f"layer {layers[0]}" if name else "up", options)
    work = Work(what=what, stack=stack, layers=layers, plan=planner, cluster=app.find_cluster)
    return execute(app, work, with_only(options, dry_run=True))


def _facts(app: App) -> tuple[Facts | None, str]:
    """What the cluster holds, or why that cannot be told."""
    from devtools.run.facts import observe  # noqa: PLC0415

    try:
        return observe(kube_of(app, app.provider.find())), ""
    except EnvironmentFault as error:
        return None, error.message
