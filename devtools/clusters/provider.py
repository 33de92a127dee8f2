"""The protocol that every cluster provider implements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, get_args

from devtools.errors import ConfigError, EnvironmentFault

if TYPE_CHECKING:
    from devtools.kube.connections import Connections

Progress = Callable[[str], None]  # gets one line of progress for people
ProviderName = Literal["kwok", "k3d", "context"]
State = Literal["absent", "stopped", "running", "broken"]


class ClusterAbsent(EnvironmentFault):
    """There is no such cluster at all; a cluster that is stopped or does not answer is not absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running cluster and how to reach it; every tool gets kubeconfig and context explicitly."""

    name: str
    provider: ProviderName
    context: str
    kubeconfig: Path
    simulated: bool = False  # some of its nodes are not real
    real_node: str = ""  # name of the one real node of an embedded cluster
    smoke_values: Mapping[str, Any] = field(default_factory=dict)
    """Overrides for values of smoke releases: image, nodeSelector and tolerations of the real node."""
    connections: Connections | None = field(default=None, repr=False, compare=False)
    """The connections over which it was found: a handshake costs as much as several requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """The current state; `problem` says in a sentence what is wrong with a broken cluster."""

    name: str
    provider: ProviderName
    state: State
    context: str = ""
    kubeconfig: Path | None = None
    version: str = ""  # of the API server
    real_node: str = ""
    nodes: int = 0
    notes: tuple[str, ...] = ()  # differences from a production cluster
    problem: str = ""
    hint: str = ""


class Provider(Protocol):
    """Creates, finds and removes one named cluster."""

    def ensure(self, progress: Progress) -> Cluster:
        """Create it, start it, or find it running; raises EnvironmentFault, never replaces a broken cluster."""

    def find(self) -> Cluster:
        """Return the running cluster, without changing anything.

        Raises ClusterAbsent if there is none, another EnvironmentFault if it exists and does not run.
        """

    def status(self) -> ClusterStatus:
        """Return the current state, without changing anything."""

    def stop(self, progress: Progress) -> None:
        """Stop it and keep its data; `ensure` starts it again. Raises EnvironmentFault if there is none."""

    def delete(self, progress: Progress) -> None:
        """Remove it and everything it left on this machine; not an error if it is absent."""


def choose_provider(requested: str, *, prefers_k3d: Callable[[], bool]) -> ProviderName:
    """Return the provider: `requested`, or with `auto` (or "") k3d if `prefers_k3d` says so, else kwok.

    Whether a provider that was requested by name can work is checked when it is built. Raises ConfigError for an
    unknown name.
    """
    if requested in {"", "auto"}:
        return "k3d" if prefers_k3d() else "kwok"
    if requested not in get_args(ProviderName):
        raise ConfigError(f"unknown provider {requested!r}", hint="one of: auto, kwok, k3d, context")
    return cast("ProviderName", requested)
