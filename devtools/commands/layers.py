"""`invoke layers`: lists the stack's layers and their state on the cluster."""

from __future__ import annotations

from dataclasses import replace

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.errors import EnvironmentFault, ExitCode
from devtools.kube.client import ApiError
from devtools.model import Facts, Stack
from devtools.planning.selection import choose
from devtools.releases.facts import observe
from devtools.report.tables import layers_json, layers_lines


def layers(app: App, name: str, options: Options) -> ExitCode:
    """Print a table of layers and releases with their state on the cluster."""
    whole = app.stack()
    stack = _chosen(whole, name, options)
    facts, note = _facts(app, whole)
    app.show(layers_json(stack, facts, note, whole), layers_lines, options.output)
    return ExitCode.OK


def _chosen(stack: Stack, name: str, options: Options) -> Stack:
    selection = choose(stack, name, options.selector)
    layers = [
        replace(layer, releases=tuple(release for release in layer.releases if selection.takes(release)))
        for layer in stack.layers
        if layer.name in selection.layers
    ]
    return replace(stack, layers=tuple(layers))


def _facts(app: App, stack: Stack) -> tuple[Facts | None, str]:
    try:
        own = {release.id for release in stack.releases()}
        namespaces = {release.namespace for release in stack.releases()}
        return observe(app.client(app.provider.find()), own.__contains__, namespaces), ""
    except (EnvironmentFault, ApiError) as error:
        return None, app.redactor.text(error.message)
