"""One environment of a stack: its layers, and the objects by which Flux follows and checks them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from devtools.config.settings_file.gitops import GitopsEnvironment, GitopsSettings
from devtools.gitops.component import Component, ExportOptions, Note
from devtools.gitops.flux.health import Check, checks_of, crds_of, health_expressions, references
from devtools.gitops.flux.objects import HELM, INTERVAL, KUSTOMIZE, NAMESPACE, RETRY, duration, flux_object
from devtools.gitops.flux.sources import git_repository, git_url
from devtools.model import ReleaseId

DECRYPTION = {"provider": "sops", "secretRef": {"name": "sops-age"}}


@dataclass(frozen=True, slots=True)
class Layer:
    """The components of one layer, in the order they are declared."""

    name: str
    components: tuple[Component, ...]

    @property
    def subjects(self) -> tuple[Component, ...]:
        """The components that later layers wait for: all except smoke releases."""
        return tuple(component for component in self.components if not component.smoke)


class Environment:
    """The settings and objects that the layouts of one environment share."""

    def __init__(
        self,
        stack: str,
        environment: GitopsEnvironment,
        components: Sequence[Component],
        settings: GitopsSettings,
        options: ExportOptions,
    ) -> None:
        """`components` are all of the environment."""
        self.stack = stack
        self.environment = environment
        self.settings = settings
        self.options = options
        self.components = tuple(components)
        self._by_id = {component.release: component for component in components}
        self.names: dict[ReleaseId, str] = {component.release: component.name for component in components}
        self.layers = [
            Layer(name, tuple(component for component in components if component.layer == name))
            for name in sorted({component.layer for component in components})
        ]
        self.tenants = tuple(
            tenant for tenant in options.tenants if not tenant.environments or environment.name in tenant.environments
        )
        crds = crds_of(options.charts.values())
        self.checks: dict[ReleaseId, tuple[Check, ...]] = {}
        self.notes = list(_environment_notes(environment, settings))
        for component in components:
            self.checks[component.release], notes = checks_of(component, crds)
            self.notes += notes
            if component.chart.kind == "oci":
                message = "Flux appends a digest to the chart's version: pods labelled helm.sh/chart restart once"
                self.notes.append(Note(component=f"{environment.name}/{component.release}", message=message))

    def encrypted_notes(self) -> Iterable[Note]:
        """Yield a note for each component with encrypted values, which nothing decrypts in trees applied manually."""
        for component in self.components:
            if any(file.encrypted for file in component.value_files):
                message = "its values are encrypted: apply them by a Flux Kustomization with decryption, not by kubectl"
                yield Note(component=f"{component.environment}/{component.release}", message=message)

    @property
    def revision(self) -> str:
        """The Git revision that the environment follows."""
        return self.options.revision or self.settings.revision

    def repository(self) -> dict[str, Any]:
        """Return the GitRepository that contains the export."""
        suspended = self.environment.sync == "manual"
        url = self.settings.repository
        return git_repository(
            self.stack, url, self.revision, suspended=suspended, secret=self.settings.credentials.get(url, "")
        )

    def sync(self, directory: PurePosixPath) -> dict[str, Any]:
        """Return the Kustomization that applies the environment's own directory, including itself."""
        return flux_object(KUSTOMIZE, "Kustomization", self.stack, self.followed(directory))

    def followed(self, directory: PurePosixPath) -> dict[str, Any]:
        """Return the fields of a Kustomization that follows a directory below --out."""
        return {
            "interval": INTERVAL,
            "retryInterval": RETRY,
            "sourceRef": {"kind": "GitRepository", "name": self.stack},
            "path": f"./{self.options.place.below_out(directory)}",
            "prune": self.environment.prune == "auto",
        }

    def kustomization(self, layer: Layer, directory: PurePosixPath) -> dict[str, Any]:
        """Return the Kustomization of a layer: healthy when its releases and their contracts are."""
        checks = [check for component in layer.subjects for check in self.checks[component.release]]
        releases = [
            {"apiVersion": HELM, "kind": "HelmRelease", "name": component.name, "namespace": NAMESPACE}
            for component in layer.subjects
        ]
        spec: dict[str, Any] = {
            **self.followed(directory),
            "timeout": duration(self._patience(layer)),
        }
        if needed := self._needed_layers(layer):
            spec["dependsOn"] = [{"name": self.layer_name(name)} for name in needed]
        if found := [*releases, *references(checks)]:
            spec["healthChecks"] = found
        if expressions := health_expressions(checks):
            spec["healthCheckExprs"] = expressions
        if any(file.encrypted for component in layer.components for file in component.value_files):
            spec["decryption"] = DECRYPTION
        return flux_object(KUSTOMIZE, "Kustomization", self.layer_name(layer.name), spec)

    def layer_name(self, layer: str) -> str:
        """Return the name of a layer's Kustomization."""
        return f"{self.stack}-{layer}"

    def _needed_layers(self, layer: Layer) -> list[str]:
        """Return the layers whose releases the layer's components need."""
        needs = {self._by_id[need].layer for component in layer.components for need in component.needs}
        return sorted(needs - {layer.name})

    def _patience(self, layer: Layer) -> float:
        """Return how long the releases of a layer may take, the sum along its slowest chain."""
        inside = {component.release: component for component in layer.subjects}
        times: dict[ReleaseId, float] = {}
        for component in sorted(inside.values(), key=lambda item: item.wave):
            before = max((times[need] for need in component.needs if need in times), default=0.0)
            times[component.release] = before + component.timeout
        return max(times.values(), default=60.0)


def _environment_notes(environment: GitopsEnvironment, settings: GitopsSettings) -> Iterable[Note]:
    """Yield notes about the parts of an environment's policy that Flux handles differently."""
    messages = []
    if environment.sync == "manual":
        messages.append("sync: manual: the GitRepository is suspended; flux resume source git takes the newest commit")
    if environment.prune == "confirm":
        messages.append("prune: confirm: objects that are no longer declared stay until you delete them")
    if git_url(settings.repository).startswith("ssh://"):
        messages.append("the GitRepository needs a Secret with a key: flux create secret git")
    yield from (Note(message=f"environment {environment.name}: {message}") for message in messages)
