"""A Buildx builder in the cluster: images are built where they will run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from devtools.base.atomic_write import write_whole
from devtools.clusters.external_program import Program, last_line
from devtools.clusters.provider import Progress
from devtools.docker import buildx
from devtools.docker.buildx import Buildx
from devtools.errors import Interrupted
from devtools.process.runner import Command, Result, Runner

State = Literal["absent", "stopped", "running", "foreign"]
NAMESPACE = "default"  # the driver creates no namespace, and this one exists on every cluster
TIMEOUT = 180  # seconds for pulling BuildKit's image


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterBuilder:
    """One builder of one cluster; `registry` is where it may push without TLS, as the cluster sees it."""

    name: str
    tool: Buildx
    runner: Runner
    registry: str

    @property
    def config(self) -> Path:
        """The path of BuildKit's configuration, next to the kubeconfig."""
        return self.tool.kubeconfig.with_name("buildkitd.toml")

    @property
    def configuration(self) -> str:
        """Its content."""
        return buildx.registry_config(self.registry)

    def state(self) -> State:
        """Return the builder's state: `foreign` is a builder of this name for another cluster.

        Raises EnvironmentFault or TimedOut.
        """
        listed = self._buildx.read(self.tool.list(), "list builders", buildx.builders)
        found = buildx.find(listed, self.name)
        if found is None:
            return "absent"
        if not found.is_for(self.tool.kubeconfig):
            return "foreign"
        return "running" if found.is_running else "stopped"

    def planned(self, state: State) -> tuple[Command, ...]:
        """Return what `ensure` would run in this state, in order."""
        create = self.tool.create(self.name, NAMESPACE, timeout=TIMEOUT, config=self.config)
        steps: dict[State, tuple[Command, ...]] = {
            "absent": (create,),
            "foreign": (self.tool.remove(self.name, keep_daemon=True), create),
            "stopped": (self.tool.boot(self.name, timeout=TIMEOUT),),
            "running": (),
        }
        return steps[state]

    def ensure(self, progress: Progress) -> None:
        """Create it, start it, or find it running. Raises EnvironmentFault, TimedOut or Interrupted."""
        state = self.state()
        if state == "running":
            return
        write_whole(self.config, self.configuration, mode=0o600)
        progress(f"{'starting' if state == 'stopped' else 'making'} builder {self.name} in the cluster")
        for command in self.planned(state):
            self._buildx.run(command, f"make builder {self.name}")

    def remove(self, progress: Progress) -> None:
        """Remove it and its pods; no error if it is absent or its cluster is gone. Raises EnvironmentFault."""
        if self.state() == "absent":
            return
        result = self.runner.run(self.tool.remove(self.name))
        if result.cancelled:
            raise Interrupted(f"interrupted: docker buildx did not remove builder {self.name}")
        if not result.ok:  # if the cluster does not answer, at least remove the builder's entry
            self._buildx.run(self.tool.remove(self.name, keep_daemon=True), f"remove builder {self.name}")
        progress(f"removed builder {self.name}")

    @property
    def _buildx(self) -> Program:
        hint = "invoke bootstrap continues from here"
        return Program(runner=self.runner, name="docker buildx", reason=_reason, hint=hint)


def _reason(result: Result) -> str:
    return last_line(result).strip().removeprefix("ERROR: ")
