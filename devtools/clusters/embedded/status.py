"""What is there of an embedded cluster: read from its processes, its files and its API server."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from devtools.base.atomic_write import write_whole
from devtools.base.machine_json import read_json
from devtools.clusters.embedded import cleanup
from devtools.clusters.embedded.control_plane import ControlPlane
from devtools.clusters.embedded.layout import Layout
from devtools.clusters.embedded.names import COMPONENTS
from devtools.clusters.provider import State

if TYPE_CHECKING:
    from devtools.kube.connections import Connections

CREATE = "invoke cluster.create"
RECREATE = f"invoke cluster.delete && {CREATE}"
WAIT = f"wait a moment, this machine may be too busy; if it stays so: {RECREATE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is remembered of a cluster that was made to the end; all else is read from the machine."""

    link: int  # number of the /30 in the pool
    joinable: bool  # a real node can reach the API server
    nodes: int
    simulation: str  # digest of the objects applied
    real_node: str = ""  # why it could not join, when the machine seemed to allow it


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is there now; `problem` is what is wrong with a broken one.

    Such a one may be `silent`: it runs but does not answer; or `partial`: what it stored is there, and some of it runs.
    """

    state: State | Literal["half-made"]
    running: tuple[cleanup.Process, ...] = ()
    record: Record | None = None
    problem: str = ""
    silent: bool = False
    partial: bool = False
    connections: Connections | None = None  # over which a running one answered

    def sentence(self, name: str) -> str:
        """What is wrong, where it does not run."""
        return {
            "absent": f"there is no cluster {name}",
            "stopped": f"cluster {name} is stopped",
            "half-made": f"the making of cluster {name} was interrupted",
        }.get(self.state, self.problem)

    @property
    def hint(self) -> str:
        """What to do about it."""
        if self.silent:
            return WAIT
        return RECREATE if self.state == "broken" and not self.partial else CREATE


def look(layout: Layout, plane: ControlPlane) -> Seen:
    """The state of things, changing nothing."""
    running = cleanup.processes(layout)
    if not running and not layout.state.exists():
        return Seen(state="absent")
    if not layout.ready.exists():
        return Seen(state="half-made", running=running)
    record = read_record(layout)
    if record is None:
        return Seen(state="broken", running=running, problem=f"{layout.ready} is damaged")
    if not any(process.name in COMPONENTS for process in running):
        return Seen(state="stopped", running=running, record=record)
    kube, problem = plane.kube(), plane.problem(running)
    silent, partial = not problem, bool(problem) and layout.kubeconfig.is_file()
    if problem := problem or plane.unready(kube):
        return Seen(state="broken", running=running, record=record, problem=problem, silent=silent, partial=partial)
    return Seen(state="running", running=running, record=record, connections=kube.connections)


def read_record(layout: Layout) -> Record | None:
    """What is remembered of the cluster; None where that is damaged."""
    try:
        return Record(**read_json(layout.ready.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def remember(layout: Layout, record: Record) -> None:
    """Write the record whole or not at all: it is what makes a cluster complete."""
    write_whole(layout.ready, json.dumps(asdict(record), indent=2) + "\n")
