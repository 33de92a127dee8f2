"""Builds the provider that `wiring` chose."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from devtools.clusters.base import Provider

if TYPE_CHECKING:
    from devtools.app.wiring import App


def make_provider(app: App) -> Provider:
    """The provider of this app's cluster; raises ConfigError where the settings do not allow it."""
    if app.provider_name == "kwok":
        return _kwok(app)
    raise NotImplementedError


def _kwok(app: App) -> Provider:
    """The embedded cluster, with the repository's Stages."""
    from devtools.clusters.kwok import KwokProvider  # noqa: PLC0415 - one of three

    settings = app.settings
    return KwokProvider(
        app.cluster_name,
        runner=app.runner,
        tool=app.toolchain.path,
        state=app.folders.state / "clusters" / app.cluster_name,
        nodes=settings.cluster.nodes,
        stages=tuple(sorted(settings.simulation.glob("*.yaml"))),
        is_root=os.geteuid() == 0,
        cancel=app.cancel,
    )
