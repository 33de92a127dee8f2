"""The one protocol behind which every cluster provider lives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, get_args

from devtools.errors import ConfigError, EnvironmentFault

if TYPE_CHECKING:
    from devtools.kube.connections import Connections

Progress = Callable[[str], None]  # one line of what is being done, for people
ProviderName = Literal["kwok", "k3d", "context"]
State = Literal["absent", "stopped", "running", "broken"]


class ClusterAbsent(EnvironmentFault):
    """There is no such cluster at all; one that is stopped or does not answer is no absent one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running cluster and how to reach it; every tool is given both explicitly."""

    name: str
    provider: ProviderName
    context: str
    kubeconfig: Path
    simulated: bool = False  # some of its nodes are not real
    real_node: str = ""  # name of the one real node of an embedded cluster
    smoke_values: Mapping[str, Any] = field(default_factory=dict)
    """Values laid over those of smoke releases: image, nodeSelector and tolerations of the real node."""
    connections: Connections | None = field(default=None, repr=False, compare=False)
    """Those over which it was found: a handshake costs as much as several requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """What is there now; `problem` says in a sentence what is wrong with a broken one."""

    name: str
    provider: ProviderName
    state: State
    context: str = ""
    kubeconfig: Path | None = None
    version: str = ""  # of the API server
    real_node: str = ""
    nodes: int = 0
    notes: tuple[str, ...] = ()  # what differs from a production cluster
    problem: str = ""
    hint: str = ""


class Provider(Protocol):
    """Makes, finds and removes one named cluster."""

    def ensure(self, progress: Progress) -> Cluster:
        """Make it, start it, or find it running; raises EnvironmentFault, never replaces a broken one."""

    def find(self) -> Cluster:
        """The running cluster, without changing anything.

        Raises ClusterAbsent where there is none, another EnvironmentFault where one is there that does not run.
        """

    def status(self) -> ClusterStatus:
        """What is there now, without changing anything."""

    def stop(self, progress: Progress) -> None:
        """Stop it, with all that it stores; `ensure` starts it again. Raises EnvironmentFault where there is none."""

    def delete(self, progress: Progress) -> None:
        """Remove it and everything it left on this machine; fine when absent."""


def choose_provider(requested: str, *, prefers_k3d: Callable[[], bool]) -> ProviderName:
    """Return the provider: `requested`, or with `auto` (or "") k3d if `prefers_k3d` says so, else kwok.

    Whether a provider that was asked for by name can work is checked when it is built. Raises ConfigError for an
    unknown name.
    """
    if requested in {"", "auto"}:
        return "k3d" if prefers_k3d() else "kwok"
    if requested not in get_args(ProviderName):
        raise ConfigError(f"unknown provider {requested!r}", hint="one of: auto, kwok, k3d, context")
    return cast("ProviderName", requested)
