"""Builds the provider that `wiring` chose."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from devtools.clusters.base import Provider

if TYPE_CHECKING:
    from devtools.app.wiring import App


def make_provider(app: App) -> Provider:
    """The provider of this app's cluster; raises ConfigError where the settings do not allow it."""
    raise NotImplementedError(os.name, Path, app)
