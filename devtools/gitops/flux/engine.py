"""Engine `flux`: per environment its sources, one Kustomization per layer, and one HelmRelease per component."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from devtools.base.machine_yaml import yaml_text
from devtools.config.settings_file.gitops import GitopsEnvironment, GitopsSettings
from devtools.gitops.component import LABEL, Component, Export, ExportOptions, Note
from devtools.gitops.flux.health import Check, Kinds, checks_of, health_expressions, references
from devtools.gitops.flux.objects import (
    HELM,
    INTERVAL,
    KUSTOMIZE,
    NAMESPACE,
    RETRY,
    documents,
    duration,
    flux_object,
    kustomization_file,
)
from devtools.gitops.flux.release import helm_release, value_keys, values_name
from devtools.gitops.flux.sources import ChartSources, chart_sources, git_repository, git_url
from devtools.model import ReleaseId

NAME_REFERENCES = "kustomizeconfig.yaml"
DECRYPTION = {"provider": "sops", "secretRef": {"name": "sops-age"}}
_KINDS = {"ConfigMap": "configMapGenerator", "Secret": "secretGenerator"}


def export_flux(
    stack: str,
    components: Mapping[str, Sequence[Component]],
    settings: GitopsSettings,
    options: ExportOptions,
) -> Export:
    """Return the export of environments for Flux."""
    files: dict[PurePosixPath, bytes] = {}
    notes: list[Note] = []
    for name, members in components.items():
        tree = _Environment(stack, settings.environments[name], members, settings, options)
        files |= tree.files()
        notes += tree.notes
    for chart in options.charts.values():
        files |= chart.files
    return Export(files=files, notes=tuple(notes))


@dataclass(frozen=True, slots=True)
class _Layer:
    """The components of one layer, in the order they are declared."""

    name: str
    components: tuple[Component, ...]

    @property
    def subjects(self) -> tuple[Component, ...]:
        """What later layers wait for: smoke releases are not."""
        return tuple(component for component in self.components if not component.smoke)


class _Environment:
    """Makes the files of one environment."""

    def __init__(
        self,
        stack: str,
        environment: GitopsEnvironment,
        components: Sequence[Component],
        settings: GitopsSettings,
        options: ExportOptions,
    ) -> None:
        """`components` are all of the environment."""
        self._stack = stack
        self._environment = environment
        self._settings = settings
        self._options = options
        self._root = PurePosixPath("flux", environment.name)
        self._by_id = {component.release: component for component in components}
        self._names: dict[ReleaseId, str] = {component.release: component.name for component in components}
        self._sources: ChartSources = chart_sources(stack, components)
        self._layers = [
            _Layer(name, tuple(component for component in components if component.layer == name))
            for name in sorted({component.layer for component in components})
        ]
        kinds = Kinds(options.charts.values())
        self._checks: dict[ReleaseId, tuple[Check, ...]] = {}
        self.notes = list(_environment_notes(environment, settings))
        for component in components:
            self._checks[component.release], notes = checks_of(component, kinds)
            self.notes += notes

    def files(self) -> dict[PurePosixPath, bytes]:
        """Return every file, by its path below --out."""
        files = {self._root / "repository.yaml": documents([self._repository()])}
        if charts := list(self._sources.objects()):
            files[self._root / "charts.yaml"] = documents(charts)
        files[self._root / "sync.yaml"] = documents([self._sync()])
        files[self._root / "layers.yaml"] = documents(self._layer_kustomization(layer) for layer in self._layers)
        files[self._root / "kustomization.yaml"] = _yaml(
            kustomization_file(
                sorted(path.name for path in files), labels=_labels({"environment": self._environment.name})
            )
        )
        for layer in self._layers:
            files |= self._layer_files(layer)
        return files

    def _repository(self) -> dict[str, Any]:
        revision = self._options.revision or self._settings.revision
        return git_repository(
            self._stack, self._settings.repository, revision, suspended=self._environment.sync == "manual"
        )

    def _sync(self) -> dict[str, Any]:
        """Return the Kustomization that applies this directory, itself among the rest."""
        return flux_object(
            KUSTOMIZE,
            "Kustomization",
            self._stack,
            {**self._common(self._root), "prune": self._environment.prune == "auto"},
        )

    def _common(self, directory: PurePosixPath) -> dict[str, Any]:
        return {
            "interval": INTERVAL,
            "retryInterval": RETRY,
            "sourceRef": {"kind": "GitRepository", "name": self._stack},
            "path": f"./{self._options.place.below_out(directory)}",
        }

    def _layer_kustomization(self, layer: _Layer) -> dict[str, Any]:
        """Return the Kustomization of a layer: healthy when its releases and their contracts are."""
        checks = [check for component in layer.subjects for check in self._checks[component.release]]
        releases = [
            {"apiVersion": HELM, "kind": "HelmRelease", "name": component.name, "namespace": NAMESPACE}
            for component in layer.subjects
        ]
        spec: dict[str, Any] = {
            **self._common(self._root / layer.name),
            "prune": self._environment.prune == "auto",
            "timeout": duration(self._patience(layer)),
        }
        if needed := self._needed_layers(layer):
            spec["dependsOn"] = [{"name": self._layer_name(name)} for name in needed]
        if found := [*releases, *references(checks)]:
            spec["healthChecks"] = found
        if expressions := health_expressions(checks):
            spec["healthCheckExprs"] = expressions
        if any(file.encrypted for component in layer.components for file in component.value_files):
            spec["decryption"] = DECRYPTION
        return flux_object(KUSTOMIZE, "Kustomization", self._layer_name(layer.name), spec)

    def _layer_name(self, layer: str) -> str:
        return f"{self._stack}-{layer}"

    def _needed_layers(self, layer: _Layer) -> list[str]:
        """Return the layers that the layer's components need releases of."""
        needs = {self._by_id[need].layer for component in layer.components for need in component.needs}
        return sorted(needs - {layer.name})

    def _patience(self, layer: _Layer) -> float:
        """Return how long the releases of a layer may take: the sum along its slowest chain."""
        inside = {component.release: component for component in layer.subjects}
        times: dict[ReleaseId, float] = {}
        for component in sorted(inside.values(), key=lambda item: item.wave):
            before = max((times[need] for need in component.needs if need in times), default=0.0)
            times[component.release] = before + component.timeout
        return max(times.values(), default=60.0)

    def _layer_files(self, layer: _Layer) -> dict[PurePosixPath, bytes]:
        directory = self._root / layer.name
        files: dict[PurePosixPath, bytes] = {}
        generators: dict[str, list[dict[str, Any]]] = {}
        for component in layer.components:
            release = helm_release(component, self._names, self._sources, self._checks[component.release])
            files[directory / f"{component.name}.yaml"] = _yaml(release)
            for kind, generator in self._generators(component, directory):
                generators.setdefault(kind, []).append(generator)
            for file in component.value_files:
                if file.content is not None:
                    files[file.path.relative_to(self._options.place.out)] = file.content
        kustomization = kustomization_file(
            [f"{component.name}.yaml" for component in layer.components],
            labels=_labels({"environment": self._environment.name, "layer": layer.name}),
            configurations=[NAME_REFERENCES] if generators else [],
            **generators,
        )
        files[directory / "kustomization.yaml"] = _yaml(kustomization)
        if generators:
            files[directory / NAME_REFERENCES] = _yaml(name_references())
        return files

    def _generators(self, component: Component, directory: PurePosixPath) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yield the generators of a component's values: files where they are, from the kustomization's directory."""
        here = self._options.place.below_out(directory)
        for kind, generator in _KINDS.items():
            files = [
                (values_name(component, file), f"{key}={_from(here, file.path)}")
                for file, key in value_keys(component)
                if file.encrypted == (kind == "Secret")
            ]
            if files:
                words = [word for _, word in files]
                yield generator, {"name": files[0][0], "namespace": NAMESPACE, "files": words}


def _environment_notes(environment: GitopsEnvironment, settings: GitopsSettings) -> Iterable[Note]:
    """Yield what of an environment's policy Flux does in another way."""
    if environment.sync == "manual":
        message = "sync: manual: the GitRepository is suspended; `flux resume source git` takes the newest commit"
        yield Note(component=environment.name, message=message)
    if environment.prune == "confirm":
        message = "prune: confirm: Flux has no approval; objects that are no longer declared stay until you delete them"
        yield Note(component=environment.name, message=message)
    if git_url(settings.repository).startswith("ssh://"):
        message = "the GitRepository needs a Secret with `identity` and `known_hosts`: flux create secret git"
        yield Note(component=environment.name, message=message)


def _from(directory: PurePosixPath, path: PurePosixPath) -> str:
    """Return a path from a directory, both from the Git repository's root."""
    common = 0
    for one, other in zip(directory.parts, path.parts, strict=False):
        if one != other:
            break
        common += 1
    return "/".join([*[".."] * (len(directory.parts) - common), *path.parts[common:]])


def _labels(pairs: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"pairs": {f"{LABEL}/{key}": value for key, value in pairs.items()}}]


def name_references() -> dict[str, Any]:
    """Return the configuration by which kustomize puts the hash of generated names into HelmReleases."""
    fields = [{"kind": "HelmRelease", "path": "spec/valuesFrom/name"}]
    return {
        "nameReference": [{"kind": kind, "version": "v1", "fieldSpecs": fields} for kind in ("ConfigMap", "Secret")]
    }


def _yaml(data: Mapping[str, Any]) -> bytes:
    return yaml_text(data).encode()
