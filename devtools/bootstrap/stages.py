"""The stages of a bootstrap, and what an embedded cluster gives instead of k3d. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from devtools.errors import ExitCode

State = Literal["ready", "unused", "missing", "stopped", "stale", "foreign", "loading", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What there is of one stage; `unused` is one that this kind of cluster has no need of."""

    stage: str
    state: State
    detail: str = ""
    hint: str = ""
    code: ExitCode = ExitCode.OK  # of what failed in it and stopped nothing

    @property
    def ok(self) -> bool:
        """Nothing is to be done about it."""
        return self.state in {"ready", "unused"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that k3d and the embedded cluster do otherwise."""

    what: str
    k3d: str
    embedded: str


DIFFERENCES = (
    Difference(what="control plane", k3d="k3s in Docker", embedded="kube-apiserver, etcd, scheduler: real, no Docker"),
    Difference(what="workloads", k3d="run for real", embedded="simulated: ready at once, nothing runs in them"),
    Difference(what="operators", k3d="run for real", embedded="played by the Stages in simulation/"),
    Difference(
        what="smoke tests",
        k3d="passed or failed",
        embedded="run for real on Linux as root, else simulated; they read what the simulation wrote",
    ),
    Difference(what="images", k3d="built, pushed to the registry, pulled", embedded="neither built nor pulled"),
    Difference(what="apps in Tilt", k3d="built, live-updated, port-forwarded", embedded="deployed, but not built"),
    Difference(what="charts not vendored", k3d="an error", embedded="stand-ins of the same names"),
)
