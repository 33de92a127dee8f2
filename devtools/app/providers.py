"""Builds the provider that `wiring` chose."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from devtools.clusters.base import Provider

if TYPE_CHECKING:
    from devtools.app.wiring import App
    from devtools.clusters.context import ContextProvider
    from devtools.clusters.layout import Layout
    from devtools.tools.k3d import Config


def make_provider(app: App) -> Provider:
    """The provider of this app's cluster."""
    makers = {"kwok": _kwok, "k3d": _k3d, "context": _context}
    return makers[app.provider_name](app)


def own_kubeconfig(app: App) -> Path:
    """The file that holds the kubeconfig of this app's cluster, absolute, whether it is there or not."""
    is_context = app.provider_name == "context"
    return (_context(app).kubeconfig() if is_context else _state(app) / "kubeconfig").absolute()


def _state(app: App) -> Path:
    """The directory of the cluster of this provider: two providers may use the same name."""
    folder = "clusters" if app.provider_name == "kwok" else app.provider_name
    return app.folders.state / folder / app.cluster_name


def _kwok(app: App) -> Provider:
    """The embedded cluster, with the repository's Stages."""
    from devtools.clusters.kwok import KwokProvider  # noqa: PLC0415 - one of three

    return KwokProvider(
        app.cluster_name,
        runner=app.runner,
        tool=lambda name: app.toolchain.path(name),  # noqa: PLW0108 - only now: a cluster that runs needs none
        state=_state(app),
        nodes=app.settings.cluster.nodes,
        stages=tuple(sorted(app.settings.simulation.glob("*.yaml"))),
        is_root=os.geteuid() == 0,
        cancel=app.cancel,
    )


def embedded_layout(app: App) -> Layout:
    """Where the embedded cluster keeps what it has."""
    from devtools.clusters.layout import Layout  # noqa: PLC0415 - one of three

    return Layout(name=app.cluster_name, state=_state(app).resolve())


def k3d_config(app: App) -> Config:
    """What the k3d cluster is to be."""
    from devtools.tools.k3d import Config, Registry  # noqa: PLC0415 - one of three

    name, settings = app.cluster_name, app.settings.cluster
    registry = Registry(name=f"{name}-registry", port=settings.registry_port)
    return Config(name=name, api_port=settings.api_port, registry=registry)


def _k3d(app: App) -> Provider:
    """A k3d cluster with a registry that outlives it."""
    from devtools.clients.docker import DockerEngine  # noqa: PLC0415 - one of three
    from devtools.clusters.k3d import K3dProvider  # noqa: PLC0415

    return K3dProvider(
        k3d_config(app),
        runner=app.runner,
        program=app.which("k3d") or Path("k3d"),
        state=_state(app),
        engine=DockerEngine(app.environ),
        in_container=Path("/.dockerenv").exists(),
        cancel=app.cancel,
    )


def _context(app: App) -> ContextProvider:
    """A context of the user's that devtools.yaml allows."""
    from devtools.clusters.context import ContextProvider  # noqa: PLC0415 - one of three

    default = Path(app.environ.get("HOME", "~")).expanduser() / ".kube" / "config"
    named = app.environ.get("KUBECONFIG", "")
    return ContextProvider(
        app.settings.cluster.context,
        allowed=app.settings.allowed_contexts,
        kubeconfigs=tuple(Path(part) for part in named.split(os.pathsep) if part) or (default,),
        state=_state(app),
        cancel=app.cancel,
    )
