"""`--recreate` and `--take-ownership`: what a user insists on, laid over whatever is planned."""

from __future__ import annotations

from collections.abc import Callable

from devtools.app.running import Inputs, Options
from devtools.model import Facts, Plan, Stack
from devtools.planning.overrides import chosen, insisted
from devtools.planning.plan import Selection, make_plan


def planner(stack: Stack, selection: Selection, options: Options) -> Callable[[Inputs, Facts], Plan]:
    """Makes the plan of a sync as the options want it; ConfigError for a release that this run is not about."""
    recreate = chosen(stack, selection, options.recreate, "--recreate")
    take = chosen(stack, selection, options.take, "--take-ownership")

    def plan(inputs: Inputs, facts: Facts) -> Plan:
        made = make_plan(stack, selection, facts, inputs.digests, force=options.force)
        return insisted(made, recreate=recreate, take=take)

    return plan
