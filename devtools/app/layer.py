"""`invoke layer NAME`: replay one layer and run its smoke tests."""

from __future__ import annotations

from devtools.app.running import Inputs, Options, Work, execute, load, typed
from devtools.app.wiring import App
from devtools.errors import ConfigError, ExitCode
from devtools.stack.model import Facts, Plan
from devtools.stack.plan import Selection, make_plan


def replay(app: App, name: str, options: Options) -> ExitCode:
    """Sync one layer in dependency order on the cluster that is there, then test it."""
    from devtools.stack.select import find_layer  # noqa: PLC0415

    if not options.sync and not options.test:
        raise ConfigError("--only-test and --no-test leave nothing to do", hint="give one of them")
    stack = load(app, options)
    layer = find_layer(stack, name)
    selection = Selection(layers=(layer.name,))

    def plan(inputs: Inputs, facts: Facts) -> Plan:
        return make_plan(stack, selection, facts, inputs.digests, force=options.force)

    what = typed(f"layer {layer.name}", options)
    return execute(app, Work(what=what, stack=stack, selection=selection, plan=plan, cluster=app.find_cluster), options)
