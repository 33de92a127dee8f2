"""A k3d cluster: k3s in Docker, with a registry that outlives it."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from devtools.base.atomic_write import write_whole
from devtools.clusters.external_program import Program
from devtools.clusters.k3d import output
from devtools.clusters.k3d.commands import K3d
from devtools.clusters.k3d.config import Config, Registry, digest
from devtools.clusters.k3d.files import Files
from devtools.clusters.k3d.registry import ClusterRegistry
from devtools.clusters.ports import holder, is_free
from devtools.clusters.provider import Cluster, ClusterAbsent, ClusterStatus, Progress, State
from devtools.docker.engine import DockerEngine
from devtools.errors import DevtoolsError, EnvironmentFault
from devtools.kube.client import Kube
from devtools.locks.change_lock import locked
from devtools.process.runner import Cancel, Command, Runner
from devtools.process.waiting import wait_until

CREATE = "invoke cluster.create"
RECREATE = f"{CREATE} --recreate"
Action = Literal["discard", "create", "start"]


@dataclass(frozen=True, slots=True)
class ContainerNetwork:
    """The cluster's Docker network, the container of this process, and the API server's address in the network."""

    name: str
    container: str
    server: str


class K3dProvider:
    """Creates, finds and removes one k3d cluster. A cluster of its name created by other means is never touched."""

    def __init__(
        self,
        config: Config,
        *,
        runner: Runner,
        tool: K3d,
        state: Path,
        engine: DockerEngine,
        in_container: bool = False,
        cancel: Cancel | None = None,
        patience: float = 30.0,
    ) -> None:
        """`state` is the cluster's own directory; the API server must answer within `patience` seconds of a start."""
        self._config = config
        self._program = Program(runner=runner, name="k3d", reason=output.reason)
        self._k3d = tool
        self._files = Files(state=state)
        self._engine = engine
        self._in_container = in_container
        self._cancel = cancel or Cancel()
        self._patience = patience
        self._registry = ClusterRegistry(
            registry=config.registry, network=config.network, tool=self._k3d, program=self._program, engine=engine
        )

    def ensure(self, progress: Progress) -> Cluster:
        """See `Provider`. A cluster of another configuration is kept, naming what differs."""
        with self._locked(progress):
            listed = self._find_own()
            actions = self._actions(listed)
            if "discard" in actions:
                progress(f"removing the remains of an interrupted run of cluster {self._config.name}")
                self._discard()
            if listed is None or "create" in actions:
                self._create(progress)
            else:
                self._start(listed, progress)
            self._write_kubeconfig()
        cluster = self._cluster()  # after a restart of the engine its API server takes a while to answer
        Kube(cluster.kubeconfig, cluster.context, self._cancel, self._patience, say=progress, known=True).version()
        return cluster

    def find(self) -> Cluster:
        """See `Provider`."""
        listed = self._find_own()
        if listed is None:
            raise ClusterAbsent(f"cluster {self._config.name} does not exist", hint=CREATE)
        if listed.crashing:
            raise _crash(listed)
        if not listed.is_running or not self._files.kubeconfig.is_file():
            what = "has no kubeconfig here" if listed.is_running else "is stopped"
            raise EnvironmentFault(f"cluster {self._config.name} {what}", hint=CREATE)
        return self._cluster()

    def status(self) -> ClusterStatus:
        """See `Provider`."""
        found = ClusterStatus(name=self._config.name, provider="k3d", state="absent", hint=CREATE)
        try:
            listed = self._find_own()
            if listed is None:
                return found
            found = replace(found, nodes=len(listed.workers))
            if self._is_unfinished(listed):
                return replace(found, state="broken", problem="its creation was interrupted")
            if listed.crashing:
                raise _crash(listed)
            if not listed.is_running:
                names = ", ".join(node.name for node in listed.stopped)
                return replace(found, state="stopped", problem=f"not running: {names}")
            return self._running_status(found, listed)
        except DevtoolsError as error:
            return replace(found, state="broken", problem=error.message, hint=error.hint)

    def stop(self, progress: Progress) -> None:
        """See `Provider`."""
        name = self._config.name
        with self._locked(progress):
            if self._find_own() is None:
                raise ClusterAbsent(f"cluster {name} does not exist", hint=CREATE)
            self._program.run(self._k3d.stop(name), f"stop cluster {name}")
            progress(f"stopped cluster {name}; {CREATE} starts it again")

    def ensure_registry(self, progress: Progress) -> Registry:
        """Create the registry or start it, and return its port; raises EnvironmentFault."""
        with self._locked(progress):
            return self._registry.ensure(progress, has_cluster=self._find_own() is not None)

    def registry_state(self) -> State:
        """Return whether the registry exists and runs; raises EnvironmentFault if k3d cannot determine that."""
        return self._registry.state()

    def registry_port(self) -> int:
        """Return the port on which the registry listens, or will; raises EnvironmentFault if k3d fails."""
        return self._registry.actual(self._registry.find()).port

    def delete_registry(self, progress: Progress) -> None:
        """Remove the registry and its images; not an error if it is absent."""
        with self._locked(progress):
            self._registry.delete(progress)

    def needed_ports(self) -> dict[int, str]:
        """Return ports of this machine that `ensure` will use, each with the setting that moves it; changes nothing."""
        listed, registry = self._find_own(), self._registry.find()
        found = self._cluster_ports(None if self._is_unfinished(listed) else listed)
        if registry is None or not registry.is_running:
            found[self._registry.actual(registry).port] = "set cluster.registry_port in devtools.yaml"
        return found

    def planned(self) -> tuple[tuple[Command, ...], tuple[Command, ...]]:
        """Return what `ensure_registry`, and then `ensure`, would run now, in order; asks k3d, changes nothing.

        If k3d cannot determine the state (it is not installed, or Docker does not answer), returns the commands for an
        empty machine.
        """
        try:
            listed, registry = self._find_own(), self._registry.find()
        except EnvironmentFault:
            listed, registry = None, None
        actions = self._actions(listed)
        clusters, registries = self._k3d.list_clusters(), self._k3d.list_registries()
        has_cluster = listed is not None and "create" not in actions
        first = (clusters, registries, *self._registry.steps(registry, has_cluster=has_cluster))
        discard = (self._k3d.delete(self._config.name),) if "discard" in actions else ()
        create = (self._k3d.create(self._config),) if "create" in actions else ()
        start = (self._k3d.start(self._config),) if "start" in actions else ()
        kubeconfig = self._k3d.get_kubeconfig(self._config.name)
        return first, (clusters, *discard, registries, *create, *start, kubeconfig)

    def _actions(self, listed: output.ClusterListing | None) -> tuple[Action, ...]:
        """Return the commands of `ensure` for an existing cluster, in order; none if it runs."""
        if self._is_unfinished(listed):
            return ("discard", "create")
        if listed is None:
            return ("create",)
        return () if listed.is_running else ("start",)

    def container_network(self) -> ContainerNetwork | None:
        """Return how this container reaches the cluster; None unless it is docker-outside-of-docker."""
        own = self._engine.own_container() if self._in_container and self._engine.answers() else ""
        server = f"https://{self._config.balancer}:6443"  # 127.0.0.1 is the container's own
        return ContainerNetwork(name=self._config.network, container=own, server=server) if own else None

    def delete(self, progress: Progress) -> None:
        """See `Provider`. The registry and its images stay, for the next cluster."""
        name = self._config.name
        with self._locked(progress):
            if self._find_own() is not None or self._files.creating.exists():
                self._discard()
                progress(f"removed cluster {name}; its registry {self._config.registry.host} stays")
            else:
                progress(f"there is no cluster {name}")
            if self._files.state.exists():
                shutil.rmtree(self._files.state)

    def _locked(self, progress: Progress) -> AbstractContextManager[None]:
        return locked(self._files.lock, self._cancel, progress)

    def _find_own(self) -> output.ClusterListing | None:
        """Return the cluster; raises EnvironmentFault if it was created by other means, or if k3d fails."""
        clusters = self._program.read(self._k3d.list_clusters(), "list clusters", output.parse_clusters)
        listed = next((cluster for cluster in clusters if cluster.name == self._config.name), None)
        if listed and not listed.digest:
            message = f"k3d cluster {listed.name} was not made by devtools: it is left alone"
            hint = f"choose another name (cluster.name in devtools.yaml), or: k3d cluster delete {listed.name}"
            raise EnvironmentFault(message, hint=hint)
        return listed

    def _is_unfinished(self, listed: output.ClusterListing | None) -> bool:
        """Return whether its creation began and never ended; k3d cannot start such a cluster."""
        return self._files.creating.exists() or (listed is not None and not listed.is_complete)

    def _create(self, progress: Progress) -> None:
        """Create it; ports are checked first, because k3d notices a used port late; then the registry is ensured.

        Without the registry, k3d would leave parts of the cluster. Neither a failure nor an interrupt, after which k3d
        would leave its containers, leaves anything behind.
        """
        name = self._config.name
        self._check_ports(None)
        self._registry.ensure(progress, has_cluster=False)
        progress(f"making cluster {name}")
        write_whole(self._files.creating, "", mode=0o600)
        try:
            self._program.run(self._k3d.create(self._config), f"make cluster {name}")
        except DevtoolsError:
            progress(f"removing the unfinished cluster {name}")
            self._discard()
            raise
        self._files.end(self._config)

    def _start(self, listed: output.ClusterListing, progress: Progress) -> None:
        """Start an existing cluster, its registry first."""
        if listed.digest != digest(self._config):
            progress(f"cluster {listed.name} was made from another configuration: {self._files.changes(self._config)}")
            progress(f"it stays as it is; {RECREATE} applies the change and deletes everything in the cluster")
        listed = self._wait_until_settled(listed, progress)
        self._check_ports(listed)
        self._registry.ensure(progress, has_cluster=True)
        if not listed.is_running:
            progress(f"starting {', '.join(node.name for node in listed.stopped)}")
            self._program.run(self._k3d.start(self._config), f"start cluster {listed.name}")

    def _wait_until_settled(self, listed: output.ClusterListing, progress: Progress) -> output.ClusterListing:
        """Return the cluster once none of its containers is being restarted, as after a restart of the engine."""
        if not listed.crashing:
            return listed
        progress(f"waiting for {', '.join(listed.crashing)}, which exited and is being restarted")

        def find_settled() -> output.ClusterListing | None:
            found = self._find_own()
            return None if found is None or found.crashing else found

        if settled := wait_until(find_settled, self._patience, self._cancel, 1.0):
            return settled
        raise _crash(listed)

    def _discard(self) -> None:
        """Remove all its parts, even during an interrupt, and its network, which k3d leaves if it has no nodes."""
        name = self._config.name
        self._program.run(replace(self._k3d.delete(name), cleanup=True), f"delete cluster {name}")
        self._engine.remove_network(self._config.own_network)
        self._files.creating.unlink(missing_ok=True)

    def _check_ports(self, listed: output.ClusterListing | None) -> None:
        """Raise EnvironmentFault for a port that another program uses."""
        for port, setting in self._cluster_ports(listed).items():
            if not is_free(port):
                raise EnvironmentFault(f"port {port} is in use by {holder(port)}", hint=f"stop it, or {setting}")

    def _cluster_ports(self, listed: output.ClusterListing | None) -> dict[int, str]:
        """Return the ports that creating the cluster, or starting its stopped containers, needs."""
        if listed is None:
            ports = "change cluster.ports in devtools.yaml"
            api = {self._config.api_port: "set cluster.api_port in devtools.yaml"}
            return {**dict.fromkeys(self._config.host_ports, ports), **api}
        setting = f"change it in devtools.yaml and: {RECREATE}"
        return {port: setting for node in listed.stopped for port in node.ports}

    def _write_kubeconfig(self) -> None:
        """Write the cluster's own kubeconfig, with an address that this process can reach."""
        network = self.container_network()
        if network:
            self._engine.join(network.name, network.container)
        result = self._program.run(self._k3d.get_kubeconfig(self._config.name), "get the kubeconfig")
        try:
            text = output.kubeconfig(result.stdout, network.server if network else "")
        except ValueError as error:
            raise EnvironmentFault("k3d printed no kubeconfig", hint=RECREATE) from error
        write_whole(self._files.kubeconfig, text, mode=0o600)

    def _cluster(self) -> Cluster:
        return Cluster(
            name=self._config.name, provider="k3d", context=self._config.context, kubeconfig=self._files.kubeconfig
        )

    def _running_status(self, found: ClusterStatus, listed: output.ClusterListing) -> ClusterStatus:
        registry = self._registry.find()
        address = f"registry localhost:{self._registry.actual(registry).port}"
        problem = "is missing" if registry is None else "" if registry.is_running else "is stopped"
        notes: tuple[str, ...] = (f"{address} {problem}; {CREATE}" if problem else address,)
        if listed.digest != digest(self._config):
            changes = self._files.changes(self._config)
            notes = (*notes, f"made from another configuration: {changes}; {RECREATE} applies it")
        found = replace(found, context=self._config.context, kubeconfig=self._files.kubeconfig, notes=notes, hint="")
        try:
            version = Kube(self._files.kubeconfig, self._config.context, self._cancel, 0.0).version()
        except DevtoolsError as error:
            return replace(found, state="broken", problem=error.message, hint=RECREATE)
        return replace(found, state="running", version=version)


def _crash(listed: output.ClusterListing) -> EnvironmentFault:
    """Return the error for a cluster with containers in a restart loop."""
    names = ", ".join(listed.crashing)
    hint = f"docker logs --tail 20 {listed.crashing[0]}"
    return EnvironmentFault(f"{names} of cluster {listed.name} keeps crashing", hint=hint)
