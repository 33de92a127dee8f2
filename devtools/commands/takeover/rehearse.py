"""`invoke gitops.rehearse`: installs an environment in waves, like Argo CD, on an embedded cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from devtools.app.environment import App
from devtools.app.options import Options
from devtools.base.words import plural
from devtools.commands.gitops.export import gitops_settings, require_exported
from devtools.errors import ExitCode
from devtools.gitops.components import exported_edges, waves_of
from devtools.model import ReleaseId, Stack
from devtools.planning.plan import Selection
from devtools.process.runner import Cancel
from devtools.project import Project, Request

_SUFFIX = "-rehearsal"
_LONGEST = 32  # maximum characters of a cluster's name


def rehearse(app: App, options: Options, *, keep_cluster: bool) -> ExitCode:
    """Install and test the exported releases in waves on a temporary cluster."""
    require_exported(gitops_settings(app), app.environment_name)
    there = _on_embedded(app)
    stack = with_namespaces(there.stack())
    members = {
        release.id
        for release in stack.releases()
        if release.installed and release.gitops and stack.layer(release.layer).gitops
    }
    waves = waves_of(exported_edges(stack, members))
    count = len(set(waves.values()))
    app.say(f"rehearsing {plural(len(waves), 'component')} in {plural(count, 'wave')} on cluster {there.cluster_name}")
    request = _request(stack, waves, options, app.environment)
    try:
        return Project(there).run(request)
    finally:
        if keep_cluster:
            app.say(
                f"cluster {there.cluster_name} is kept: DEVTOOLS_PROVIDER=kwok DEVTOOLS_CLUSTER={there.cluster_name}"
            )
        else:
            _on_embedded(replace(app, cancel=Cancel())).provider.delete(app.say)


def _on_embedded(app: App) -> App:
    name = app.cluster_name[: _LONGEST - len(_SUFFIX)].rstrip("-") + _SUFFIX
    return replace(app, environ={**app.environ, "DEVTOOLS_PROVIDER": "kwok", "DEVTOOLS_CLUSTER": name})


def with_namespaces(stack: Stack) -> Stack:
    """Return the stack with every namespace created, because a new cluster lacks those that normally exist."""
    layers = [
        replace(layer, releases=tuple(replace(release, create_namespace=True) for release in layer.releases))
        for layer in stack.layers
    ]
    return replace(stack, layers=tuple(layers))


def _request(stack: Stack, waves: Mapping[ReleaseId, int], options: Options, environment: str) -> Request:
    layers = {release.layer for release in stack.releases() if release.id in waves}
    return Request(
        command=f"gitops.rehearse --env {environment or stack.environment.name}",
        stack=stack,
        selection=Selection(
            layers=tuple(layer.name for layer in stack.layers if layer.name in layers), releases=frozenset(waves)
        ),
        options=replace(options, force_local=True),  # no controller uses this cluster
        create_cluster=True,
        waves=waves,
    )
