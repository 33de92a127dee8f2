"""The embedded cluster: a real control plane, simulated nodes, and one real node if the machine allows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from devtools.clusters.embedded import cleanup
from devtools.clusters.embedded.control_plane import ControlPlane
from devtools.clusters.embedded.layout import Layout
from devtools.clusters.embedded.names import REAL_NODE, SMOKE_VALUES
from devtools.clusters.embedded.status import RECREATE, Observed, observe
from devtools.clusters.provider import Cluster, ClusterAbsent, ClusterStatus, Progress, State
from devtools.errors import EnvironmentFault
from devtools.process.runner import Cancel, Runner

if TYPE_CHECKING:
    from devtools.clusters.embedded.lifecycle import Lifecycle

_STARTS = 2  # attempts to start a stopped cluster: a component may end while the others start


class KwokProvider:
    """Creates, finds and removes one embedded cluster. Its state directory is removed with it."""

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
    ) -> None:
        """Inspect nothing yet.

        `tool` finds kwokctl and the binaries of the control plane and the node; `state` is the cluster's own
        directory; `stages` are files of objects that `ensure` applies if they have changed.
        """
        self._nodes = nodes
        self._stages = stages
        self._wants_real = real_node == "auto"
        self._is_root = is_root
        self._layout = Layout(name=name, state=state.resolve())
        self._plane = ControlPlane(layout=self._layout, runner=runner, tool=tool, cancel=cancel or Cancel())

    def ensure(self, progress: Progress) -> Cluster:
        """See `Provider`. Remains of an interrupted run are removed; a cluster with a dead component is restarted."""
        with self._locked(progress):
            observed = observe(self._plane)
            if observed.damaged and observed.record is not None:
                progress(f"rewriting the kubeconfig of cluster {self._layout.name}: {observed.problem}")
                self._plane.write_kubeconfig(observed.record.ports)
                observed = observe(self._plane)
            if observed.state == "broken" and not observed.partial:
                raise EnvironmentFault(observed.problem, hint=observed.hint)
            lifecycle = self._lifecycle()
            if observed.state == "incomplete":
                progress(f"removing the remains of an interrupted run of cluster {self._layout.name}")
                cleanup.remove_all(self._layout)
            if observed.state in {"incomplete", "absent"}:
                lifecycle.create(progress)
                observed = observe(self._plane)
            for _ in range(_STARTS):
                if observed.record is not None and (observed.state == "stopped" or observed.partial):
                    progress(f"{observed.sentence(self._layout.name)}: restarting it with its stored data")
                    lifecycle.start(observed.record)
                    observed = observe(self._plane)
            if observed.record is not None and lifecycle.reconcile(observed.record, observed.running, progress):
                observed = observe(self._plane)
        return self._found(observed)

    def find(self) -> Cluster:
        """See `Provider`."""
        return self._found(observe(self._plane))

    def _found(self, observed: Observed) -> Cluster:
        """Return the cluster by its status, if it runs."""
        if observed.state != "running":
            fault = ClusterAbsent if observed.state == "absent" else EnvironmentFault
            raise fault(observed.sentence(self._layout.name), hint=observed.hint)
        has_real = not cleanup.missing_programs(observed.running)
        return Cluster(
            name=self._layout.name,
            provider="kwok",
            context=self._layout.context,
            kubeconfig=self._layout.kubeconfig,
            simulated=self._nodes > 0,
            real_node=REAL_NODE if has_real else "",
            smoke_values=SMOKE_VALUES if has_real else {},
            connections=observed.connections,
        )

    def status(self) -> ClusterStatus:
        """See `Provider`."""
        observed = observe(self._plane)
        state: State = "broken" if observed.state == "incomplete" else observed.state
        found = ClusterStatus(name=self._layout.name, provider="kwok", state=state)
        if observed.state != "running":
            hint = observed.hint
            return replace(found, problem="" if state == "absent" else observed.sentence(self._layout.name), hint=hint)
        from devtools.clusters.embedded import simulation

        kube = self._plane.kube()
        nodes = simulation.ready_nodes(kube)
        lost = sorted(name for name, is_ready in nodes.items() if not is_ready and name != REAL_NODE)
        if lost:
            hint = "is kwok-controller overloaded? Look again; else: invoke cluster.stop, then invoke cluster.create"
            found = replace(found, state="broken", problem=f"not ready: node {', '.join(lost)}", hint=hint)
        return replace(
            found,
            context=self._layout.context,
            kubeconfig=self._layout.kubeconfig,
            version=kube.version(),
            real_node=REAL_NODE if nodes.get(REAL_NODE) else "",
            nodes=len(nodes),
            notes=self._notes(observed, nodes),
        )

    def stop(self, progress: Progress) -> None:
        """See `Provider`; the real node's containers end with it."""
        with self._locked(progress):
            observed = observe(self._plane)
            if observed.state in {"absent", "incomplete"}:
                raise ClusterAbsent(observed.sentence(self._layout.name), hint=observed.hint)
            if observed.state != "stopped":
                self._plane.stop()
                cleanup.end_processes(self._layout)
            progress(f"stopped cluster {self._layout.name}; invoke cluster.create starts it again")

    def delete(self, progress: Progress) -> None:
        """See `Provider`; works after any crash, and can be repeated."""
        with self._locked(progress):
            if cleanup.remove_all(self._layout):
                progress(f"removed cluster {self._layout.name}")
            else:
                progress(f"there is no cluster {self._layout.name}")

    def _locked(self, progress: Progress) -> AbstractContextManager[None]:
        from devtools.locks.change_lock import locked

        return locked(self._layout.lock, self._plane.cancel, progress)

    def _lifecycle(self) -> Lifecycle:
        from devtools.clusters.embedded.lifecycle import Lifecycle

        return Lifecycle(
            plane=self._plane,
            nodes=self._nodes,
            stages=self._stages,
            wants_real=self._wants_real,
            is_root=self._is_root,
        )

    def _notes(self, observed: Observed, nodes: Mapping[str, bool]) -> tuple[str, ...]:
        """Return the differences from a production cluster, and the state of the real node."""
        simulated = [name for name in nodes if name != REAL_NODE]
        notes = [f"{len(simulated)} simulated nodes: their pods and volumes are played, nothing runs in them"]
        notes.append("admission webhooks are off: their servers are simulated")
        if nodes.get(REAL_NODE) and not cleanup.missing_programs(observed.running):
            notes.append(f"real node {REAL_NODE} Ready: runs smoke tests")
        elif REAL_NODE in nodes:
            notes.append(f"real node {REAL_NODE} is not Ready; invoke cluster.create starts it again")
        else:
            notes.append(f"no real node: {self._why_none(observed)}")
        return tuple(notes)

    def _why_none(self, observed: Observed) -> str:
        """Return why there is no real node, and what to do about it."""
        from devtools.clusters.embedded.node.real_node import obstacle

        if not self._wants_real:
            return "switched off"
        if observed.record and observed.record.real_node:
            return f"{observed.record.real_node}; {RECREATE} tries again"
        if reason := obstacle(is_root=self._is_root):
            return reason
        return f"the cluster was created without a real node; to get one: {RECREATE}"
