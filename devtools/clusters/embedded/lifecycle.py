"""Creates an embedded cluster, starts a stopped one, and updates a running one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devtools.clusters.embedded import cleanup, simulation
from devtools.clusters.embedded.control_plane import ControlPlane
from devtools.clusters.embedded.kwokctl import PORTS
from devtools.clusters.embedded.layout import Layout, Ports
from devtools.clusters.embedded.names import REAL_NODE
from devtools.clusters.embedded.node import real_node
from devtools.clusters.embedded.node.subnets import reserved_subnet
from devtools.clusters.embedded.status import FORMAT, RECREATE, ClusterMetadata, write_metadata
from devtools.clusters.ports import free_ports
from devtools.clusters.provider import Progress
from devtools.errors import DevtoolsError, EnvironmentFault, TimedOut
from devtools.process.waiting import wait_until

NODES_READY_IN = 20.0  # seconds
_ATTEMPTS = 3  # starts of kwok


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """Changes one embedded cluster; the caller holds the cluster's lock. Fields as in `KwokProvider`."""

    plane: ControlPlane
    nodes: int
    stages: tuple[Path, ...]
    wants_real: bool
    is_root: bool

    @property
    def layout(self) -> Layout:
        """The cluster's paths and names."""
        return self.plane.layout

    def create(self, progress: Progress) -> None:
        """Create it; a failure leaves nothing behind."""
        started = time.monotonic()
        try:
            self.layout.state.mkdir(parents=True, mode=0o700)
            self._make(progress)
        except OSError as error:
            raise EnvironmentFault(f"cannot make cluster {self.layout.name}: {error}") from error
        except DevtoolsError:
            cleanup.remove_all(self.layout)
            raise
        progress(f"cluster {self.layout.name} is ready after {time.monotonic() - started:.1f} s")

    def _make(self, progress: Progress) -> None:
        """Start control plane and real node in parallel: neither needs the other before the kubelet joins."""
        api, kubelet = free_ports(PORTS, self.layout.number)
        ports = Ports(api=api, kubelet=kubelet)
        joins = self._can_join(progress)
        joinable = self.wants_real and self.is_root
        number = reserved_subnet(self.layout, self.plane.cancel, progress, reserve=joinable)
        node = self._real_on(number, ports)
        progress(f"starting control plane {self.layout.name} on port {ports.api}")
        with ThreadPoolExecutor(1) as pool:
            preparing = pool.submit(self._attempt, node.prepare) if joins else None
            self.plane.create(ports, node.subnet)
            kube = self.plane.kube(retry_for=10.0)
            objects = self._objects(ports)
            progress("starting simulated nodes, pods and volumes")
            simulation.apply(kube, objects)
            self.plane.restart_kwok()
            simulation.ensure_nodes(kube, self.nodes)
            problem = preparing.result() if preparing else ""
        if preparing and not problem:
            progress(f"starting real node {REAL_NODE}")
            problem = self._attempt(lambda: node.join(kube))
        if problem:
            progress(f"going on without a real node: {problem}")
            node.clear()
        self._await_nodes()
        self.plane.revive()
        digest = simulation.digest(objects)
        write_metadata(
            self.layout,
            ClusterMetadata(
                format=FORMAT,
                api_port=ports.api,
                kubelet_port=ports.kubelet,
                link=number,
                joinable=joinable,
                nodes=self.nodes,
                simulation=digest,
                real_node=problem,
            ),
        )

    def start(self, record: ClusterMetadata) -> None:
        """Restart a cluster that is stopped or only partly runs, after removing its node's resources."""
        cleanup.end_processes(self.layout)
        try:
            self.plane.start(record.ports)
            self.plane.revive()
        except EnvironmentFault as error:
            raise error.changed(hint=error.hint or RECREATE) from error

    def reconcile(self, record: ClusterMetadata, running: Iterable[cleanup.Process], progress: Progress) -> bool:
        """Update a running cluster: simulation, number of nodes, real node.

        `running` are its processes. Returns whether anything was done.
        """
        objects = self._objects(record.ports)
        digest = simulation.digest(objects)
        differs = record.simulation != digest or record.nodes != self.nodes
        if differs:
            kube = self.plane.kube(retry_for=10.0)
            progress("applying changed simulation")
            simulation.apply(kube, objects)
            simulation.ensure_nodes(kube, self.nodes)
            self._await_nodes()
            record = replace(record, simulation=digest, nodes=self.nodes)
            write_metadata(self.layout, record)
        return self._reconcile_real(record, running, progress) or differs

    def _reconcile_real(self, record: ClusterMetadata, running: Iterable[cleanup.Process], progress: Progress) -> bool:
        """Restart a dead real node, or add one if that is now possible. Returns whether that was attempted."""
        if record.real_node or not record.joinable or not cleanup.missing_programs(running):
            return False
        if not self._can_join(progress):
            return False
        node = self._real_on(record.link, record.ports)
        progress(f"starting real node {REAL_NODE}")
        if problem := self._attempt(lambda: node.restart(self.plane.kube(retry_for=10.0))):
            progress(f"going on without a real node: {problem}")
            node.clear()
            write_metadata(self.layout, replace(record, real_node=problem))
        return True

    def _attempt(self, start: Callable[[], None]) -> str:
        """Start the real node; return why it cannot start: the cluster is usable without it."""
        try:
            start()
        except (EnvironmentFault, TimedOut) as error:
            return error.message
        except OSError as error:
            return str(error)
        return ""

    def _can_join(self, progress: Progress) -> bool:
        """Return whether a real node is requested and possible; report why not."""
        if not self.wants_real:
            return False
        if reason := real_node.obstacle(is_root=self.is_root):
            progress(f"simulated nodes only: {reason}")
            return False
        return True

    def _real_on(self, link: int, ports: Ports) -> real_node.RealNode:
        return real_node.RealNode(plane=self.plane, subnet_number=link, api_port=ports.api)

    def _objects(self, ports: Ports) -> tuple[dict[str, Any], ...]:
        """Return the objects to apply."""
        stack = simulation.stack_objects(self.stages)
        kinds = simulation.custom_kinds(stack)
        base = simulation.base_objects(self.layout.state / "volumes", ports.kubelet, kinds)
        return (*base, *simulation.policies(), *stack)

    def _await_nodes(self) -> None:
        """Wait until every node is Ready; restart kwok, which may have missed a Stage, if one is late."""
        kube = self.plane.kube(retry_for=10.0)

        def are_ready() -> bool:
            return all(simulation.ready_nodes(kube).values())

        for attempt in range(_ATTEMPTS):
            if attempt:
                self.plane.restart_kwok()
            if wait_until(are_ready, NODES_READY_IN, self.plane.cancel):
                return
        late = ", ".join(name for name, good in simulation.ready_nodes(kube).items() if not good)
        raise TimedOut(f"nodes {late} are not ready after {_ATTEMPTS * NODES_READY_IN:g} s")
