"""The stack, read from its files or as it was read from the very same files before."""

from __future__ import annotations

from devtools.app.wiring import App
from devtools.errors import EnvironmentFault
from devtools.stack.model import Stack


def kept_stack(app: App, environment: str) -> Stack:
    """The stack as one environment (`""`: the usual one) sees it; raises ConfigError with every problem."""
    settings = app.settings
    environment = environment or app.environ.get("DEVTOOLS_ENVIRONMENT") or settings.environment

    def read() -> Stack:
        from devtools.stack.config import load_stack  # noqa: PLC0415 - imports pydantic

        charts = app.charts
        _ = charts.lock  # what is wrong with it is told first, whether or not a chart of it is used
        return load_stack(settings, environment, charts)

    name = f"stack {settings.root} {environment} {_provider(app)}"
    inputs = (settings.root / "devtools.yaml", settings.layers, settings.environments, settings.charts)
    return app.remembered(name, inputs, read, kind=Stack, good=_has_its_charts)


def _provider(app: App) -> str:
    """The provider's name, which decides whether there are stand-ins; whoever needs a cluster is told of the rest."""
    try:
        return app.provider_name
    except EnvironmentFault:
        return ""


def _has_its_charts(stack: Stack) -> bool:
    """Whether what was generated is still there: it lies in a cache that people empty."""
    return all(r.chart.path.exists() for r in stack.releases() if r.chart.kind == "stand-in")
