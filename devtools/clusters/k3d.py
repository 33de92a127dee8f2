"""A k3d cluster: k3s in Docker, with a registry beside it that outlives it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from devtools.base.atomic_write import write_whole
from devtools.base.machine_json import read_json
from devtools.clusters import k3d_commands
from devtools.clusters.locks import locked
from devtools.clusters.ports import holder, is_free
from devtools.clusters.programs import Program
from devtools.clusters.provider import Cluster, ClusterAbsent, ClusterStatus, Progress, State
from devtools.docker.engine import Engine
from devtools.errors import DevtoolsError, EnvironmentFault
from devtools.kube.client import Kube
from devtools.process.runner import Cancel, Command, Runner

RECREATE = "invoke cluster.delete && invoke cluster.create"


class K3dProvider:
    """Makes, finds and removes one k3d cluster."""

    def __init__(  # noqa: PLR0913 - everything it touches is given
        self,
        config: k3d_commands.Config,
        *,
        runner: Runner,
        program: Path,
        state: Path,
        engine: Engine,
        in_container: bool = False,
        recreate: bool = False,
        cancel: Cancel | None = None,
        retry_for: float = 15.0,
    ) -> None:
        """`program` is k3d; `in_container` says where we run; `recreate` replaces a cluster that was made otherwise."""
        self._config = config
        self._program = Program(runner=runner, name="k3d", reason=k3d_commands.reason)
        self._k3d = program
        self._state = state
        self._engine = engine
        self._in_container = in_container
        self._recreate = recreate
        self._cancel = cancel or Cancel()
        self._retry_for = retry_for

    def ensure(self, progress: Progress) -> Cluster:
        """See `Provider`. A cluster of another configuration is kept, saying what differs, unless told otherwise."""
        name = self._config.name
        with locked(self._lock, self._cancel, progress):
            listed = self._listed()
            if listed and listed.digest != k3d_commands.digest(self._config):
                listed = self._settle_difference(listed, progress)
            if listed is None:
                self._create(progress)
            elif not listed.is_running:
                progress(f"starting stopped cluster {name}")
                self._ensure_registry(progress)
                self._program.run(k3d_commands.start(self._k3d, self._config), f"start cluster {name}")
            self._connect()
        return self._checked()

    def find(self) -> Cluster:
        """See `Provider`."""
        listed = self._listed()
        if listed is None:
            raise ClusterAbsent(f"cluster {self._config.name} is not there", hint="invoke cluster.create")
        if not listed.is_running or not self._kubeconfig.is_file():
            what = "has no kubeconfig here" if listed.is_running else "is stopped"
            raise EnvironmentFault(f"cluster {self._config.name} {what}", hint="invoke cluster.create")
        return self._cluster()

    def status(self) -> ClusterStatus:
        """See `Provider`."""
        found = ClusterStatus(name=self._config.name, provider="k3d", state="absent", hint="invoke cluster.create")
        try:
            listed = self._listed()
        except DevtoolsError as error:
            return replace(found, state="broken", problem=error.message, hint=error.hint)
        if listed is None:
            return found
        nodes = listed.servers + listed.agents
        if not listed.is_running:
            up = listed.servers_running + listed.agents_running
            return replace(found, state="stopped", nodes=nodes, problem=f"{up} of its {nodes} nodes run")
        return self._running_status(replace(found, nodes=nodes), listed)

    def ensure_registry(self, progress: Progress) -> None:
        """Make the registry or start it, whatever there is of the cluster; raises EnvironmentFault."""
        with locked(self._lock, self._cancel, progress):
            self._ensure_registry(progress)

    def registry_state(self) -> State:
        """Whether the registry is there and runs; raises EnvironmentFault where k3d cannot tell."""
        found = self._registries()
        host = self._config.registry.host
        return "absent" if host not in found else "running" if found[host] else "stopped"

    def delete_registry(self, progress: Progress) -> None:
        """Remove the registry and its images; fine when absent."""
        host = self._config.registry.host
        with locked(self._lock, self._cancel, progress):
            if host in self._registries():
                self._program.run(
                    k3d_commands.delete_registry(self._k3d, self._config.registry), f"delete registry {host}"
                )
                progress(f"removed registry {host} and its images")

    def planned(self) -> tuple[tuple[Command, ...], tuple[Command, ...]]:
        """What `ensure_registry`, and then `ensure`, would run now, in order; asks k3d, changes nothing.

        Where k3d cannot tell what there is (it is not installed, or Docker does not answer), all that an empty machine
        needs.
        """
        try:
            registry, listed = self.registry_state(), self._listed()
        except EnvironmentFault:
            registry, listed = "absent", None
        registries, program = k3d_commands.list_registries(self._k3d), self._k3d
        make = {
            "absent": (k3d_commands.create_registry(program, self._config.registry),),
            "stopped": (k3d_commands.start_node(program, self._config.registry.host),),
        }
        missing = {
            True: (registries, k3d_commands.create(program, self._config)),
            False: (registries, k3d_commands.start(program, self._config)),
        }
        steps = () if listed and listed.is_running else missing[listed is None]
        last = k3d_commands.get_kubeconfig(program, self._config.name)
        return (registries, *make.get(registry, ())), (k3d_commands.list_clusters(program), *steps, last)

    def beside(self) -> tuple[str, str, str] | None:
        """In docker-outside-of-docker: the network to join, our own container, and the API server's address there."""
        own = self._engine.own_container() if self._in_container and self._engine.answers() else ""
        return (f"k3d-{self._config.name}", own, k3d_commands.server_url(self._config, beside=True)) if own else None

    def delete(self, progress: Progress) -> None:
        """See `Provider`. The registry and its images stay, for the next cluster."""
        name = self._config.name
        with locked(self._lock, self._cancel, progress):
            if self._listed() is not None:
                self._program.run(k3d_commands.delete(self._k3d, name), f"delete cluster {name}")
                progress(f"removed cluster {name}; its registry {self._config.registry.host} stays")
            if self._state.exists():
                shutil.rmtree(self._state)

    @property
    def _lock(self) -> Path:
        """Beside the state, which goes with the cluster."""
        return self._state.with_name(f".{self._state.name}.lock")

    @property
    def _kubeconfig(self) -> Path:
        return self._state / "kubeconfig"

    @property
    def _made_from(self) -> Path:
        """The configuration the cluster was made from, to tell differences by name."""
        return self._state / "k3d.json"

    def _settle_difference(self, listed: k3d_commands.Listed, progress: Progress) -> k3d_commands.Listed | None:
        """Say what differs; remove the cluster where that was asked for."""
        changes = self._changes()
        progress(f"cluster {listed.name} was made from another configuration: {'; '.join(changes) or 'not ours'}")
        if not self._recreate:
            progress(f"keeping it as it is; {RECREATE} applies the change and loses what is in it")
            return listed
        progress(f"replacing cluster {listed.name}")
        self._program.run(k3d_commands.delete(self._k3d, listed.name), f"delete cluster {listed.name}")
        return None

    def _changes(self) -> tuple[str, ...]:
        """How the configuration differs from the one the cluster was made from, where that is known."""
        try:
            old: Any = read_json(self._made_from.read_text())
        except (OSError, ValueError):
            return ()
        return k3d_commands.differences(old, k3d_commands.document(self._config)) if isinstance(old, dict) else ()

    def _create(self, progress: Progress) -> None:
        """Make it: ports first, because k3d finds a taken one late; then the registry, whose lack leaves litter."""
        for port in self._config.host_ports:
            if not is_free(port):
                raise EnvironmentFault(
                    f"port {port} is taken by {holder(port)}", hint="end it, or choose another port in devtools.yaml"
                )
        self._ensure_registry(progress)
        progress(f"making cluster {self._config.name}")
        self._program.run(k3d_commands.create(self._k3d, self._config), f"make cluster {self._config.name}")
        write_whole(self._made_from, json.dumps(k3d_commands.document(self._config), indent=2) + "\n", mode=0o600)

    def _ensure_registry(self, progress: Progress) -> None:
        """The registry runs."""
        registry = self._config.registry
        found = self._registries()
        if registry.host not in found:
            progress(f"making registry {registry.host} on port {registry.port}")
            self._program.run(k3d_commands.create_registry(self._k3d, registry), f"make registry {registry.host}")
        elif not found[registry.host]:
            progress(f"starting registry {registry.host}")
            self._program.run(k3d_commands.start_node(self._k3d, registry.host), f"start registry {registry.host}")

    def _registries(self) -> dict[str, bool]:
        """Registries of k3d's, and whether each runs; raises EnvironmentFault where k3d cannot tell."""
        return self._program.read(
            k3d_commands.list_registries(self._k3d), "list registries", k3d_commands.parse_registries
        )

    def _connect(self) -> None:
        """Our own kubeconfig, with an address that works from where we are."""
        beside = self.beside()
        if beside:
            self._engine.join(*beside[:2])
        result = self._program.run(k3d_commands.get_kubeconfig(self._k3d, self._config.name), "get the kubeconfig")
        try:
            text = k3d_commands.kubeconfig(result.stdout, beside[2] if beside else "")
        except ValueError as error:
            raise EnvironmentFault("k3d printed no kubeconfig", hint=RECREATE) from error
        write_whole(self._kubeconfig, text, mode=0o600)

    def _checked(self) -> Cluster:
        """The cluster, once its API server has answered."""
        cluster = self._cluster()
        Kube(cluster.kubeconfig, cluster.context, self._cancel, self._retry_for).version()
        return cluster

    def _cluster(self) -> Cluster:
        return Cluster(
            name=self._config.name, provider="k3d", context=self._config.context, kubeconfig=self._kubeconfig
        )

    def _running_status(self, found: ClusterStatus, listed: k3d_commands.Listed) -> ClusterStatus:
        """Of a cluster whose containers run."""
        notes: tuple[str, ...] = (f"registry localhost:{self._config.registry.port}",)
        if listed.digest != k3d_commands.digest(self._config):
            notes = (*notes, f"made from another configuration: {'; '.join(self._changes()) or 'not ours'}")
        found = replace(found, context=self._config.context, kubeconfig=self._kubeconfig, notes=notes, hint="")
        try:
            version = Kube(self._kubeconfig, self._config.context, self._cancel, 0.0).version()
        except DevtoolsError as error:
            return replace(found, state="broken", problem=error.message, hint=RECREATE)
        return replace(found, state="running", version=version)

    def _listed(self) -> k3d_commands.Listed | None:
        """Our cluster among all; raises EnvironmentFault where k3d cannot tell: that is not the same as absent."""
        clusters = self._program.read(
            k3d_commands.list_clusters(self._k3d), "list clusters", k3d_commands.parse_clusters
        )
        return next((cluster for cluster in clusters if cluster.name == self._config.name), None)
