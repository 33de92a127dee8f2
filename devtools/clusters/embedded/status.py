"""Determines the status of an embedded cluster from its processes, its files and its API server."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

from devtools.base.atomic_write import write_whole
from devtools.base.machine_json import read_state
from devtools.clusters.embedded import cleanup
from devtools.clusters.embedded.control_plane import ControlPlane
from devtools.clusters.embedded.layout import Layout, Ports
from devtools.clusters.embedded.names import COMPONENTS
from devtools.clusters.provider import State

if TYPE_CHECKING:
    from devtools.kube.connections import Connections

FORMAT = 2  # 1 (in no file): every user of the machine could write to etcd
OTHER_VERSION = "was created by another version of devtools, and its ports may be open to every user of this machine"
CREATE = "invoke cluster.create"
RECREATE = f"invoke cluster.delete && {CREATE}"
WAIT = f"wait a moment, this machine may be too busy; if it stays so: {RECREATE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterMetadata:
    """The record of a completely created cluster; everything else is read from the machine."""

    format: int  # `FORMAT` of the devtools version that created it
    api_port: int
    kubelet_port: int  # of the simulated nodes
    link: int  # number of the /30 in the pool
    joinable: bool  # a real node can be linked to the machine
    nodes: int
    simulation: str  # digest of the applied objects
    real_node: str = ""  # why it could not join, although the machine seemed to allow it

    @property
    def ports(self) -> Ports:
        """The ports on which it listens."""
        return Ports(api=self.api_port, kubelet=self.kubelet_port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The current state; `problem` says what is wrong with a broken cluster.

    A broken cluster may be `silent`: it runs but does not answer; `partial`: its data exists and some components run;
    or `damaged`: its kubeconfig is invalid and can be written again.
    """

    state: State | Literal["incomplete"]
    running: tuple[cleanup.Process, ...] = ()
    record: ClusterMetadata | None = None
    problem: str = ""
    silent: bool = False
    partial: bool = False
    damaged: bool = False
    connections: Connections | None = None  # the client to which a running cluster answered

    def sentence(self, name: str) -> str:
        """Return what is wrong if it does not run."""
        return {
            "absent": f"there is no cluster {name}",
            "stopped": f"cluster {name} is stopped",
            "incomplete": f"creation of cluster {name} was interrupted",
        }.get(self.state, self.problem)

    @property
    def hint(self) -> str:
        """What to do about it."""
        if self.silent:
            return WAIT
        return RECREATE if self.state == "broken" and not (self.partial or self.damaged) else CREATE


def observe(plane: ControlPlane) -> Observed:
    """Return the state of a cluster; changes nothing."""
    layout = plane.layout
    running = cleanup.processes(layout)
    if not running and not layout.state.exists():
        return Observed(state="absent")
    if not layout.ready.exists():
        return Observed(state="incomplete", running=running)
    record = read_metadata(layout)
    if record is None:
        return Observed(state="broken", running=running, problem=_unreadable(layout))
    if not any(process.name in COMPONENTS for process in running):
        return Observed(state="stopped", running=running, record=record)
    return _running_state(plane, running, record)


def _running_state(plane: ControlPlane, running: tuple[cleanup.Process, ...], record: ClusterMetadata) -> Observed:
    kube = plane.kube()
    broken = Observed(state="broken", running=running, record=record)
    if problem := plane.problem(running):
        return replace(broken, problem=problem, partial=True)
    if problem := plane.unready(kube):
        damage = plane.damage(record.ports)
        return replace(broken, problem=damage or problem, damaged=bool(damage), silent=not damage)
    return Observed(state="running", running=running, record=record, connections=kube.connections)


def read_metadata(layout: Layout) -> ClusterMetadata | None:
    """Return the record of the cluster; None if it is damaged, or another version of devtools wrote it."""
    try:
        record = ClusterMetadata(**read_state(layout.ready))
    except TypeError:
        return None
    return record if record.format == FORMAT else None


def _unreadable(layout: Layout) -> str:
    """Return why there is no valid record of the cluster."""
    note = read_state(layout.ready)
    if "link" in note and note.get("format") != FORMAT:
        return f"cluster {layout.name} {OTHER_VERSION}"
    return f"{layout.ready} is damaged"


def write_metadata(layout: Layout, record: ClusterMetadata) -> None:
    """Write the record atomically: it marks the cluster as complete."""
    write_whole(layout.ready, json.dumps(asdict(record), indent=2) + "\n")
