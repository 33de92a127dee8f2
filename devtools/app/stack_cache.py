"""The stack, read from its files or as it was read from the very same files before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from devtools.app.environment import App
from devtools.errors import EnvironmentFault
from devtools.model import Environment, Release, Stack


def cached_stack(app: App) -> Stack:
    """Load the stack of the app's environment; raises ConfigError with every problem."""
    settings, environment = app.settings, app.environment_name

    def read() -> Stack:
        from devtools.config.stack import load_stack

        charts = app.charts
        _ = charts.lock  # what is wrong with it is told first, whether or not a chart of it is used
        return load_stack(settings, environment, charts)

    name = f"stack {settings.root} {environment} {_provider(app)}"
    return app.cached(name, _inputs(app), read, kind=Stack, good=is_current)


def cached_values(app: App, stack: Stack, releases: Iterable[Release]) -> Mapping[str, Mapping[str, Any]]:
    """The merged values of releases by `namespace/name`; raises ConfigError where an overlay cannot be read."""
    wanted = {str(release.id): release for release in releases}

    def read() -> dict[str, Any]:
        from devtools.config.values import merge

        return {
            name: (_own(release), merge(release, stack.environment, root=stack.root).data)
            for name, release in wanted.items()
        }

    def is_of_these(merges: dict[str, Any]) -> bool:
        # the stack may have been read from what its files held before: a run that waited for its lock has an old one
        return all(name in merges and merges[name][0] == _own(release) for name, release in wanted.items())

    name = f"values {stack.root} {_referred(stack.environment)} {_provider(app)} {' '.join(wanted)}"
    merges = app.cached(name, _inputs(app), read, kind=dict[str, tuple[str, Any]], good=is_of_these)
    return {name: data for name, (_, data) in merges.items()}


def _own(release: Release) -> str:
    """What of a release decides its values, beside what is in the files it names; tells 1 from true."""
    return repr((release.values, release.values_files))


def _referred(environment: Environment) -> str:
    """The environment's name, and what references in overlays stand for."""
    if not environment.references:
        return environment.name
    return f"{environment.name} {environment.values!r} {environment.texts!r}"


def _inputs(app: App) -> tuple[Path, ...]:
    """Every place that a stack is read from."""
    settings = app.settings
    return (settings.root / "devtools.yaml", settings.layers, settings.environments, settings.charts)


def _provider(app: App) -> str:
    """The provider's name, which decides whether there are stand-ins; whoever needs a cluster is told of the rest."""
    try:
        return app.provider_name
    except EnvironmentFault:
        return ""


def is_current(stack: Stack) -> bool:
    """Whether what the stack was read from, beside its inputs, is still there.

    Stand-ins lie in a cache that people empty; files whose text is referred to may be anywhere in the repository.
    """
    if not all(r.chart.path.exists() for r in stack.releases() if r.chart.kind == "stand-in"):
        return False
    if not stack.environment.texts:
        return True
    from devtools.config.references.texts import are_unchanged

    return are_unchanged(stack.root, stack.environment.texts)
