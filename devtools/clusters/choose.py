"""Which provider makes the cluster."""

from __future__ import annotations

from typing import Literal

from devtools.errors import ConfigError, EnvironmentFault

ProviderName = Literal["kwok", "k3d", "context"]


def choose(*, wanted: str, context: str, docker_answers: bool, has_k3d: bool) -> ProviderName:
    """The provider: what is `wanted`, or (`auto`, empty) k3d where both it and Docker are there, else kwok.

    A `context` alone means that an existing cluster is used. Raises ConfigError for an unknown name and
    EnvironmentFault where the wanted one cannot work here.
    """
    if wanted in {"", "auto"}:
        if context:
            return "context"
        return "k3d" if docker_answers and has_k3d else "kwok"
    if wanted == "k3d":
        if not has_k3d:
            raise EnvironmentFault("k3d is not installed", hint="install k3d 5, or use provider kwok")
        if not docker_answers:
            raise EnvironmentFault("no Docker engine answers", hint="start Docker, or use provider kwok")
        return "k3d"
    if wanted == "context":
        if not context:
            raise ConfigError("provider context needs the name of a context")
        return "context"
    if wanted == "kwok":
        return "kwok"
    raise ConfigError(f"unknown provider {wanted!r}", hint="one of: auto, kwok, k3d, context")
