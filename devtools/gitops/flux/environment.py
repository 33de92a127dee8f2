"""One environment of a stack: its layers, and the objects by which Flux follows and checks them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from devtools.config.settings_file.gitops import GitopsEnvironment, GitopsSettings
from devtools.gitops.component import Component, ExportOptions, KindInfo, Note, Object
from devtools.gitops.flux.health import Check, checks_of, health_expressions, references
from devtools.gitops.flux.objects import HELM, INTERVAL, KUSTOMIZE, NAMESPACE, RETRY, duration, flux_object
from devtools.gitops.flux.release import helm_release
from devtools.gitops.flux.sources import ChartSources, git_repository, git_url
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
        return tuple(component for component in self.components if not component.release.smoke)


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
        self._by_id = {component.release.id: component for component in components}
        self.layers = [
            Layer(name, tuple(component for component in components if component.release.layer == name))
            for name in sorted({component.release.layer for component in components})
        ]
        self.tenants = tuple(
            tenant for tenant in options.tenants if not tenant.environments or environment.name in tenant.environments
        )
        crds: dict[str, KindInfo] = {}  # the first CRD of a kind counts
        for crd in (crd for chart in options.charts.values() for crd in chart.crds):
            crds.setdefault(crd.kind, crd)
        self.checks: dict[ReleaseId, tuple[Check, ...]] = {}
        self.notes = list(_environment_notes(environment, settings))
        for component in components:
            self.checks[component.release.id], notes = checks_of(component, crds)
            self.notes += notes
            if component.chart.source.kind == "oci":
                message = "Flux appends a digest to the chart's version: pods labelled helm.sh/chart restart once"
                self.notes.append(component.note(message))

    def encrypted_notes(self) -> Iterable[Note]:
        """Yield a note for each component with encrypted values, which nothing decrypts in trees applied manually."""
        for component in self.components:
            if component.is_encrypted:
                message = "its values are encrypted: apply them by a Flux Kustomization with decryption, not by kubectl"
                yield component.note(message)

    def helm_release(self, component: Component, sources: ChartSources) -> Object:
        """Return the HelmRelease of a component."""
        needs = [self._by_id[need].name for need in component.needs]
        return helm_release(component, needs, sources, self.checks[component.release.id])

    def repository(self) -> Object:
        """Return the GitRepository that contains the export."""
        url, suspended = self.settings.repository, self.environment.sync == "manual"
        secret = self.settings.credentials.get(url, "")
        return git_repository(self.stack, url, self.settings.revision, suspended=suspended, secret=secret)

    def sync(self, directory: PurePosixPath) -> Object:
        """Return the Kustomization that applies the environment's own directory, including itself."""
        return flux_object(KUSTOMIZE, "Kustomization", self.stack, self.followed(directory))

    def followed(self, directory: PurePosixPath) -> Object:
        """Return the fields of a Kustomization that follows a directory below --out."""
        return {
            "interval": INTERVAL,
            "retryInterval": RETRY,
            "sourceRef": {"kind": "GitRepository", "name": self.stack},
            "path": f"./{self.options.place.out / directory}",
            "prune": self.environment.prune == "auto",
        }

    def kustomization(self, layer: Layer, directory: PurePosixPath) -> Object:
        """Return the Kustomization of a layer: healthy when its releases and their contracts are."""
        checks = [check for component in layer.subjects for check in self.checks[component.release.id]]
        releases = [
            {"apiVersion": HELM, "kind": "HelmRelease", "name": component.name, "namespace": NAMESPACE}
            for component in layer.subjects
        ]
        needed = {self._by_id[need].release.layer for component in layer.components for need in component.needs}
        spec: Object = {**self.followed(directory), "timeout": duration(_patience(layer))}
        if names := sorted(needed - {layer.name}):
            spec["dependsOn"] = [{"name": self.layer_name(name)} for name in names]
        if found := [*releases, *references(checks)]:
            spec["healthChecks"] = found
        if expressions := health_expressions(checks):
            spec["healthCheckExprs"] = expressions
        if any(component.is_encrypted for component in layer.components):
            spec["decryption"] = DECRYPTION
        return flux_object(KUSTOMIZE, "Kustomization", self.layer_name(layer.name), spec)

    def layer_name(self, layer: str) -> str:
        """Return the name of a layer's Kustomization."""
        return f"{self.stack}-{layer}"


def _patience(layer: Layer) -> float:
    """Return how long the releases of a layer may take, the sum along its slowest chain."""
    times: dict[ReleaseId, float] = {}
    for component in sorted(layer.subjects, key=lambda item: item.wave):
        before = max((times[need] for need in component.needs if need in times), default=0.0)
        times[component.release.id] = before + component.release.timeout
    return max(times.values(), default=60.0)


def _environment_notes(environment: GitopsEnvironment, settings: GitopsSettings) -> Iterable[Note]:
    """Yield notes about the parts of an environment's policy that Flux handles differently."""
    about = f"environment {environment.name}:"
    if environment.sync == "manual":
        what = "the GitRepository is suspended; flux resume source git takes the newest commit"
        yield Note(f"{about} sync: manual: {what}")
    if environment.prune == "confirm":
        yield Note(f"{about} prune: confirm: objects that are no longer declared stay until you delete them")
    if git_url(settings.repository).startswith("ssh://"):
        yield Note(f"{about} the GitRepository needs a Secret with a key: flux create secret git")
