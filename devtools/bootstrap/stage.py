"""States of the stages of a bootstrap, and how an embedded cluster differs from k3d. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from devtools.errors import ExitCode

State = Literal["ready", "unused", "missing", "stopped", "stale", "foreign", "loading", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """The state of one stage; `unused` means that this kind of cluster does not need it."""

    stage: str
    state: State
    detail: str = ""
    hint: str = ""
    code: ExitCode = ExitCode.OK  # of a failure that did not stop the bootstrap
    ui: str = ""  # Tilt's, if it runs
    log: str = ""  # Tilt's, if this checkout started it

    @property
    def ok(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in {"ready", "unused"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference between k3d and the embedded cluster."""

    what: str
    k3d: str
    embedded: str


DIFFERENCES = (
    Difference(what="control plane", k3d="k3s in Docker", embedded="kube-apiserver, etcd, scheduler: real, no Docker"),
    Difference(what="workloads", k3d="run for real", embedded="simulated: ready at once, nothing runs in them"),
    Difference(what="operators", k3d="run for real", embedded="simulated by the Stages in simulation/"),
    Difference(
        what="smoke tests",
        k3d="passed or failed",
        embedded="run for real on Linux as root, else simulated; they read simulated state",
    ),
    Difference(what="images", k3d="built, pushed to the registry, pulled", embedded="neither built nor pulled"),
    Difference(what="apps in Tilt", k3d="built, live-updated, port-forwarded", embedded="deployed, but not built"),
    Difference(what="charts not vendored", k3d="an error", embedded="stand-ins of the same names"),
)
