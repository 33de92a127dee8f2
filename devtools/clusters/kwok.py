"""The embedded cluster: a real control plane, simulated nodes, and one real node where the machine allows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from devtools.clusters import real_node, residue, simulation
from devtools.clusters.base import Cluster, ClusterAbsent, ClusterStatus, Progress, State
from devtools.clusters.control_plane import ControlPlane
from devtools.clusters.layout import Layout, Link
from devtools.clusters.links import reserved_link
from devtools.clusters.locks import locked
from devtools.clusters.ports import free_ports
from devtools.clusters.seen import RECREATE, Record, Seen, look, remember
from devtools.errors import DevtoolsError, EnvironmentFault, Interrupted, TimedOut
from devtools.process import Cancel, Runner
from devtools.tools.kwokctl import PORTS

NODES_READY_IN = 20.0  # seconds


class KwokProvider:
    """Makes, finds and removes one embedded cluster. Its state directory is removed with it."""

    def __init__(  # noqa: PLR0913 - everything it touches is given
        self,
        name: str,
        *,
        runner: Runner,
        tool: Callable[[str], Path],
        state: Path,
        nodes: int = 2,
        stages: tuple[Path, ...] = (),
        real_node: Literal["auto", "off"] = "auto",
        is_root: bool = False,
        cancel: Cancel | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is looked at yet.

        `tool` finds kwokctl and the binaries of the control plane and the node; `state` is the cluster's own
        directory; `stages` are files of objects applied on every `ensure` that finds them changed.
        """
        self._runner = runner
        self._tool = tool
        self._nodes = nodes
        self._stages = stages
        self._wants_real = real_node == "auto"
        self._is_root = is_root
        self._cancel = cancel or Cancel()
        self._sleep = sleep
        self._layout = Layout(name=name, state=state.resolve())
        self._plane = ControlPlane(layout=self._layout, runner=runner, tool=tool, cancel=self._cancel)

    def ensure(self, progress: Progress) -> Cluster:
        """See `Provider`. A cluster whose making was interrupted is cleared away and made anew, saying so."""
        with locked(self._layout.lock, self._cancel, progress):
            seen = self._look()
            if seen.state == "broken":
                raise EnvironmentFault(seen.problem, hint=RECREATE)
            if seen.state == "half-made":
                progress(f"clearing away what an interrupted run left of cluster {self._layout.name}")
                residue.remove_all(self._layout)
            if seen.state in {"half-made", "absent"}:
                self._create(progress)
            elif seen.state == "stopped":
                self._start(progress)
            self._settle(progress)
        return self.find()

    def find(self) -> Cluster:
        """See `Provider`."""
        seen = self._look()
        if seen.state != "running":
            fault = ClusterAbsent if seen.state == "absent" else EnvironmentFault
            raise fault(seen.sentence(self._layout.name), hint=seen.hint)
        has_real = not real_node.missing(seen.running)
        return Cluster(
            name=self._layout.name,
            provider="kwok",
            context=self._layout.context,
            kubeconfig=self._layout.kubeconfig,
            simulated=self._nodes > 0,
            real_node=real_node.NAME if has_real else "",
            smoke_values=real_node.SMOKE_VALUES if has_real else {},
        )

    def status(self) -> ClusterStatus:
        """See `Provider`."""
        seen = self._look()
        state: State = "broken" if seen.state == "half-made" else seen.state
        found = ClusterStatus(name=self._layout.name, provider="kwok", state=state)
        if seen.state != "running":
            hint = seen.hint
            return replace(found, problem="" if state == "absent" else seen.sentence(self._layout.name), hint=hint)
        kube = self._plane.kube()
        nodes = simulation.ready_nodes(kube)
        return replace(
            found,
            context=self._layout.context,
            kubeconfig=self._layout.kubeconfig,
            version=kube.version(),
            real_node=real_node.NAME if nodes.get(real_node.NAME) else "",
            nodes=len(nodes),
            notes=self._notes(seen, nodes),
        )

    def delete(self, progress: Progress) -> None:
        """See `Provider`; also after a crash of anything, and again and again."""
        with locked(self._layout.lock, self._cancel, progress):
            if residue.remove_all(self._layout):
                progress(f"removed cluster {self._layout.name}")

    def _look(self) -> Seen:
        return look(self._layout, self._plane)

    def _create(self, progress: Progress) -> None:
        """Make it; a failure leaves nothing behind."""
        started = time.monotonic()
        try:
            self._layout.state.mkdir(parents=True, mode=0o700)
            self._make(progress)
        except OSError as error:
            raise EnvironmentFault(f"cannot make cluster {self._layout.name}: {error}") from error
        except DevtoolsError:
            residue.remove_all(self._layout)
            raise
        progress(f"cluster {self._layout.name} is ready after {time.monotonic() - started:.1f} s")

    def _make(self, progress: Progress) -> None:
        """Control plane and real node side by side: neither needs the other before the kubelet joins."""
        ports = free_ports(PORTS, self._layout.number)
        wanted = self._wanted(progress)
        joinable = self._wants_real and self._is_root
        number = reserved_link(self._layout, reserve=joinable)
        node = self._real_on(number)
        progress(f"starting control plane {self._layout.name} on port {ports[0]}")
        with ThreadPoolExecutor(1) as pool:
            preparing = pool.submit(self._attempt, lambda: node.prepare(ports[0])) if wanted else None
            bind = "0.0.0.0" if joinable else "127.0.0.1"  # noqa: S104 - the node reaches it at the link's address
            self._plane.create(ports=ports, advertise=Link.number(number).host, bind=bind)
            kube = self._plane.kube(retry_for=10.0)
            objects = self._objects()
            progress("starting simulated nodes, pods and volumes")
            simulation.apply(kube, objects)
            simulation.ensure_nodes(kube, self._nodes)
            trouble = preparing.result() if preparing else ""
        if preparing and not trouble:
            progress(f"starting real node {real_node.NAME}")
            trouble = self._attempt(lambda: node.join(kube))
        if trouble:
            progress(f"going on without a real node: {trouble}")
            node.clear()
        self._await_nodes()
        digest = simulation.digest(objects)
        remember(
            self._layout,
            Record(link=number, joinable=joinable, nodes=self._nodes, simulation=digest, real_node=trouble),
        )

    def _start(self, progress: Progress) -> None:
        """Start a stopped one; what its node had on the machine went with it."""
        progress(f"starting stopped cluster {self._layout.name}")
        residue.end_processes(self._layout)
        self._plane.start()

    def _settle(self, progress: Progress) -> None:
        """Bring a running cluster to what is wanted now: simulation, number of nodes, real node."""
        record = self._look().record
        if record is None:
            return
        objects = self._objects()
        digest = simulation.digest(objects)
        kube = self._plane.kube(retry_for=10.0)
        if record.simulation != digest or record.nodes != self._nodes:
            progress("applying changed simulation")
            simulation.apply(kube, objects)
            simulation.ensure_nodes(kube, self._nodes)
            self._await_nodes()
            record = replace(record, simulation=digest, nodes=self._nodes)
            remember(self._layout, record)
        self._settle_real(record, progress)

    def _settle_real(self, record: Record, progress: Progress) -> None:
        """Restart a dead real node; let it join when it has become possible."""
        node = self._real_on(record.link)
        if record.real_node or not record.joinable or not real_node.missing(residue.processes(self._layout)):
            return
        if not self._wanted(progress):
            return
        progress(f"starting real node {real_node.NAME}")
        if trouble := self._attempt(lambda: node.restart(self._plane.kube(retry_for=10.0))):
            progress(f"going on without a real node: {trouble}")
            node.clear()
            remember(self._layout, replace(record, real_node=trouble))

    def _attempt(self, start: Callable[[], None]) -> str:
        """Start the real node; where it cannot, why: the cluster is of use without it."""
        try:
            start()
        except (EnvironmentFault, TimedOut) as error:
            return error.message
        except OSError as error:
            return str(error)
        return ""

    def _wanted(self, progress: Progress) -> bool:
        """Whether a real node is to join; says once why not."""
        if not self._wants_real:
            return False
        if reason := real_node.obstacle(is_root=self._is_root):
            progress(f"simulated nodes only: {reason}")
            return False
        return True

    def _real_on(self, link: int) -> real_node.RealNode:
        return real_node.RealNode(
            layout=self._layout,
            link_number=link,
            runner=self._runner,
            tool=self._tool,
            cancel=self._cancel,
            sleep=self._sleep,
        )

    def _objects(self) -> tuple[dict[str, Any], ...]:
        """Everything to apply; the file that stands for simulated logs is written with it."""
        log = self._layout.state / "simulated.log"
        if not log.exists():
            log.write_text(simulation.NO_LOG)
        stack = simulation.stack_objects(self._stages)
        base = simulation.base_objects(self._layout.state / "volumes", log, simulation.custom_kinds(stack))
        return (*base, *simulation.policies(), *stack)

    def _await_nodes(self) -> None:
        """Until every simulated node is Ready."""
        kube = self._plane.kube(retry_for=10.0)

        def ready() -> bool:
            if self._cancel.is_set():
                raise Interrupted(f"interrupted while making cluster {self._layout.name}")
            return all(simulation.ready_nodes(kube).values())

        if not simulation.wait_until(ready, NODES_READY_IN, self._sleep):
            late = ", ".join(name for name, good in simulation.ready_nodes(kube).items() if not good)
            raise TimedOut(f"nodes {late} are not ready after {NODES_READY_IN:g} s")

    def _notes(self, seen: Seen, nodes: Mapping[str, bool]) -> tuple[str, ...]:
        """What differs from a production cluster, and how the real node is."""
        simulated = [name for name in nodes if name != real_node.NAME]
        notes = [f"{len(simulated)} simulated nodes: their pods and volumes are played, nothing runs in them"]
        notes.append("admission webhooks are off: their servers are simulated")
        if nodes.get(real_node.NAME) and not real_node.missing(seen.running):
            notes.append(f"real node {real_node.NAME} Ready: runs smoke tests")
        elif real_node.NAME in nodes:
            notes.append(f"real node {real_node.NAME} is not Ready; invoke cluster.create starts it again")
        else:
            notes.append(f"no real node: {self._why_none(seen)}")
        return tuple(notes)

    def _why_none(self, seen: Seen) -> str:
        """Why there is no real node, and what to do about it."""
        if not self._wants_real:
            return "switched off"
        if seen.record and seen.record.real_node:
            return f"{seen.record.real_node}; {RECREATE} tries again"
        if reason := real_node.obstacle(is_root=self._is_root):
            return reason
        return f"the cluster was made without; {RECREATE} gives it one"
