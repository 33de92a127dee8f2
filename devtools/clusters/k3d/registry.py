"""The registry of a k3d cluster: it outlives the cluster, and every node pulls from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from devtools.clusters.external_program import Program
from devtools.clusters.k3d.commands import K3d
from devtools.clusters.k3d.config import Registry
from devtools.clusters.k3d.output import Node, parse_registries
from devtools.clusters.provider import Progress, State
from devtools.docker.engine import DockerEngine
from devtools.errors import EnvironmentFault
from devtools.process.runner import Command

_COMMON = frozenset({"bridge"})  # Docker's default network: k3d creates every registry on it


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRegistry:
    """The registry that a cluster requires; `network` is the cluster's."""

    registry: Registry
    network: str
    tool: K3d
    program: Program
    engine: DockerEngine

    def find(self) -> Node | None:
        """Return its container; raises EnvironmentFault if k3d fails."""
        found = self.program.read(self.tool.list_registries(), "list registries", parse_registries)
        return found.get(self.registry.host)

    def state(self) -> State:
        """Return whether it exists and runs."""
        found = self.find()
        return "absent" if found is None else "running" if found.is_running else "stopped"

    def actual(self, found: Node | None) -> Registry:
        """Return the registry with its container's port."""
        return replace(self.registry, port=found.ports[0]) if found and found.ports else self.registry

    def steps(self, found: Node | None, *, has_cluster: bool) -> tuple[Command, ...]:
        """Return the commands of `ensure`.

        The nodes of a cluster know the registry by the port it was created with: without a cluster, a registry on
        another port than that of `registry` is replaced. Raises EnvironmentFault if other clusters use it.
        """
        create = (self.tool.create_registry(self.registry),)
        if found is None:
            return create
        if not has_cluster and self.actual(found) != self.registry:
            if others := set(found.networks) - _COMMON - {self.network}:
                port = self.actual(found).port
                message = f"registry {found.name} listens on port {port}, not {self.registry.port}"
                hint = f"set cluster.registry_port to {port} in devtools.yaml"
                raise EnvironmentFault(f"{message}, and is used in network {min(others)}", hint=hint)
            return (self.tool.delete_registry(self.registry), *create)
        return () if found.is_running else (self.tool.start_node(found.name),)

    def ensure(self, progress: Progress, *, has_cluster: bool) -> Registry:
        """Create or start it, and attach it to the cluster's network if there is a cluster; raises EnvironmentFault."""
        found = self.find()
        if found and not found.is_running and not has_cluster and self.network in found.networks:
            self.engine.leave(self.network, found.name)  # it was deleted with the cluster, and Docker would look for it
        for command in self.steps(found, has_cluster=has_cluster):
            what = self._what(command)
            progress(what)
            self.program.run(command, what)
        if has_cluster and (found is None or self.network not in found.networks):
            self.engine.join(self.network, self.registry.host)
        return self.actual(found) if has_cluster else self.registry

    def delete(self, progress: Progress) -> None:
        """Remove it and its images; not an error if it is absent."""
        if self.find() is not None:
            self.program.run(self.tool.delete_registry(self.registry), f"delete registry {self.registry.host}")
            progress(f"removed registry {self.registry.host} and its images")

    def _what(self, command: Command) -> str:
        verb = command.argv[2]
        port = {"create": f" on port {self.registry.port}", "delete": " (its port changed)"}.get(verb, "")
        return f"{verb} registry {self.registry.host}{port}"
