"""Which provider makes the cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from devtools.errors import ConfigError, EnvironmentFault

ProviderName = Literal["kwok", "k3d", "context"]


def choose(
    wanted: str,
    *,
    docker_answers: Callable[[], bool],
    k3d_installed: bool,
    prefers_k3d: Callable[[], bool] = lambda: True,
) -> ProviderName:
    """Choose the provider: `wanted`, or with `auto` (or "") k3d if it can work and `prefers_k3d` agrees, else kwok.

    `prefers_k3d` and the Docker engine are asked only if the answer matters. Raises ConfigError for an unknown name
    and EnvironmentFault if k3d is wanted and cannot work here.
    """
    if wanted in {"", "auto"}:
        return "k3d" if k3d_installed and prefers_k3d() and docker_answers() else "kwok"
    if wanted == "kwok":
        return "kwok"
    if wanted == "context":
        return "context"
    if wanted != "k3d":
        raise ConfigError(f"unknown provider {wanted!r}", hint="one of: auto, kwok, k3d, context")
    if not k3d_installed:
        raise EnvironmentFault("k3d is not installed", hint="install k3d 5, or use provider kwok")
    if not docker_answers():
        raise EnvironmentFault("no Docker engine answers", hint="start Docker, or use provider kwok")
    return "k3d"
