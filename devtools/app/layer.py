"""`invoke layer NAME`: replay one layer and run its smoke tests."""

from __future__ import annotations

from devtools.app.running import Inputs, Options, execute, load
from devtools.app.wiring import App
from devtools.errors import ConfigError, ExitCode
from devtools.stack.model import Facts, Plan


def replay(app: App, name: str, options: Options) -> ExitCode:
    """Sync one layer in dependency order on the cluster that is there, then test it."""
    from devtools.stack.plan import Selection, make_plan  # noqa: PLC0415
    from devtools.stack.select import find_layer  # noqa: PLC0415

    if not options.sync and not options.test:
        raise ConfigError("--only-test and --no-test leave nothing to do", hint="give one of them")
    layer = find_layer(load(app, options), name)
    selection = Selection(layers=(layer.name,))

    def plan(inputs: Inputs, facts: Facts) -> Plan:
        return make_plan(inputs.stack, selection, facts, inputs.digests, force=options.force)

    return execute(app, f"layer {layer.name}", options, plan, app.find_cluster)
