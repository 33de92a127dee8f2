"""`invoke layers` and `invoke plan`: look, and touch nothing."""

from __future__ import annotations

from dataclasses import replace

from devtools.app.environment import App
from devtools.app.running import Inputs, Options, Work, execute, load, typed, with_only
from devtools.errors import EnvironmentFault, ExitCode
from devtools.model import Facts, Plan, Stack
from devtools.planning.plan import make_plan
from devtools.planning.selection import Selector, choose, narrowed


def layers(app: App, name: str, options: Options) -> ExitCode:
    """A table of layers and releases with what the cluster holds of them."""
    from devtools.report.tables import show_layers  # noqa: PLC0415

    whole = load(app, options)
    stack = _chosen(whole, name, options)
    facts, note = _facts(app)
    show_layers(stack, facts, note=note, output=options.output, out=app.out, environ=app.environ, whole=whole)
    return ExitCode.OK


def plan(app: App, name: str, options: Options) -> ExitCode:
    """What `up` (or `layer NAME`) would do, and why."""
    stack = load(app, options)
    selection = choose(stack, name, options.selector)

    def planner(inputs: Inputs, facts: Facts) -> Plan:
        return make_plan(stack, selection, facts, inputs.digests, force=options.force)

    if name and options.selector == Selector():
        what = typed(f"layer {selection.layers[0]}", options)
    else:  # `layer` knows no selectors
        what = typed("up", with_only(options, selector=narrowed(stack, name, options.selector)))
    work = Work(what=what, stack=stack, selection=selection, plan=planner, cluster=app.find_cluster)
    return execute(app, work, with_only(options, dry_run=True))


def _chosen(stack: Stack, name: str, options: Options) -> Stack:
    """The stack with the chosen releases only."""
    selection = choose(stack, name, options.selector)
    layers = [
        replace(layer, releases=tuple(release for release in layer.releases if selection.takes(release)))
        for layer in stack.layers
        if layer.name in selection.layers
    ]
    return replace(stack, layers=tuple(layers))


def _facts(app: App) -> tuple[Facts | None, str]:
    """What the cluster holds, or why that cannot be told."""
    from devtools.app.session import kube_of  # noqa: PLC0415
    from devtools.kube.client import ApiError  # noqa: PLC0415
    from devtools.releases.facts import observe  # noqa: PLC0415

    try:
        return observe(kube_of(app, app.provider.find())), ""
    except (EnvironmentFault, ApiError) as error:
        return None, error.message
