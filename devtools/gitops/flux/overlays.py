"""Engine `kustomize`: a base that environments share, and overlays for the differences, for `kubectl apply -k`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Any

from devtools.config.settings_file.gitops import GitopsSettings
from devtools.gitops.component import LABEL, Component, Components, Export, ExportOptions, Files, Object, ValueFile
from devtools.gitops.flux.environment import Environment
from devtools.gitops.flux.objects import (
    NAMESPACE,
    WATCHED_VALUES,
    flux_object,
    kustomization_file,
    yaml_file,
)
from devtools.gitops.flux.release import secret_objects, values_from, values_name
from devtools.gitops.flux.sources import ChartSources, chart_sources

ROOT = PurePosixPath("kustomize")
_EMPTY = b"{}\n"
Objects = Mapping[str, Any]


def export_kustomize(stack: str, components: Components, settings: GitopsSettings, options: ExportOptions) -> Export:
    """Return a base and one overlay per environment, of objects for Flux."""
    environments = [
        Environment(stack, settings.environments[name], members, settings, options)
        for name, members in components.items()
    ]
    everything = [component for environment in environments for component in environment.components]
    sources = chart_sources(stack, everything, settings.credentials)
    files = _sources(environments[0], sources)
    shared: dict[PurePosixPath, _Shared] = {}
    members: dict[PurePosixPath, list[Component]] = {}
    for component in everything:
        members.setdefault(PurePosixPath(component.release.layer, component.name), []).append(component)
    for path, items in members.items():
        shared[path] = _share(items)
        files |= _base(ROOT / "base" / path, items[0], shared[path])
    releases = [_releases(environment, sources, shared) for environment in environments]
    first: dict[PurePosixPath, Objects] = {}
    for found in releases:
        for path, item in found.items():
            if path not in first:
                first[path] = item
                files[ROOT / "base" / path / "helm-release.yaml"] = yaml_file(item)
    for environment, found in zip(environments, releases, strict=True):
        patches = {path: changes for path, item in found.items() if (changes := difference(first[path], item))}
        files |= _overlay(environment, shared, patches)
    for component in everything:
        files |= component.chart.files
    notes = [note for item in environments for note in (*item.notes, *item.encrypted_notes())]
    return Export(files=files, notes=tuple(notes))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """The value files of one component that all environments share, and how many more each may have.

    A component whose files cannot be divided, because of their order or because one is encrypted, shares none.
    """

    files: tuple[ValueFile, ...] = ()
    own: int = 0
    is_divided: bool = True

    @property
    def own_keys(self) -> list[str]:
        """The keys of an environment's files: the same in all environments, with empty content if there is no file."""
        return [
            "environment.yaml" if number == 1 else f"environment-{number}.yaml" for number in range(1, self.own + 1)
        ]


def _share(components: Sequence[Component]) -> _Shared:
    """Return the weakest value files, those that one release's components have in common."""
    if any(component.is_encrypted for component in components):
        return _Shared(is_divided=False)
    count = 0
    for files in zip_longest(*(component.value_files for component in components)):
        names = {component.environment for component in components}
        if None in files or len({(file.path.name, file.copied) for file in files}) > 1:
            break
        if files[0].content is None and names & set(files[0].path.parts):
            break  # of one environment, although there is no other
        count += 1
    own = max(len(component.value_files) for component in components) - count
    return _Shared(files=components[0].value_files[:count], own=own)


def _sources(environment: Environment, sources: ChartSources) -> Files:
    directory = ROOT / "base" / "sources"
    repository = environment.repository()
    repository["spec"].pop("suspend", None)
    return {
        directory / "sources.yaml": yaml_file(repository, *sources.objects()),
        directory / "kustomization.yaml": kustomization_file(["sources.yaml"]),
    }


def _base(directory: PurePosixPath, component: Component, shared: _Shared) -> Files:
    """Return the kustomization of a component and the values that all environments share."""
    contents = {file.key: file.copied for file in shared.files}
    fields: Object = {}
    if shared.is_divided and (contents or shared.own):
        files = {"files": list(contents)} if contents else {}
        generator = {"name": f"{component.name}-values", "namespace": NAMESPACE, **files}
        fields = {"configMapGenerator": [generator], "generatorOptions": WATCHED_VALUES}
    labels = {f"{LABEL}/layer": component.release.layer}
    kustomization = kustomization_file(["helm-release.yaml"], labels=labels, **fields)
    return {
        directory / "kustomization.yaml": kustomization,
        **{directory / key: content for key, content in contents.items()},
    }


def _releases(
    environment: Environment, sources: ChartSources, shared: Mapping[PurePosixPath, _Shared]
) -> dict[PurePosixPath, Objects]:
    """Return the HelmReleases of an environment, with references to the generated ConfigMaps."""
    found: dict[PurePosixPath, Objects] = {}
    for component in environment.components:
        path = PurePosixPath(component.release.layer, component.name)
        release = environment.helm_release(replace(component, value_files=()), sources)
        if values := _values_from(component, shared[path]):
            release["spec"]["valuesFrom"] = values
        found[path] = release
    return found


def _values_from(component: Component, shared: _Shared) -> list[dict[str, str]]:
    if not shared.is_divided:
        return values_from(component)
    keys = [*(file.key for file in shared.files), *shared.own_keys]
    return [{"kind": "ConfigMap", "name": f"{component.name}-values", "valuesKey": key} for key in keys]


def _overlay(
    environment: Environment, shared: Mapping[PurePosixPath, _Shared], patches: Mapping[PurePosixPath, Objects]
) -> Files:
    """Return the overlay of an environment: its components, its values, and the differences of its releases."""
    directory = ROOT / "overlays" / environment.environment.name
    files: Files = {}
    generators: dict[str, list[Object]] = {}
    for component in environment.components:
        found = shared[PurePosixPath(component.release.layer, component.name)]
        for kind, name, key, content in _own_values(component, found):
            path = f"values/{component.name}/{key}"
            files[directory / path] = content
            items = generators.setdefault(kind, [])
            if not items or items[-1]["name"] != name:
                behavior = "merge" if found.is_divided else "create"
                items.append({"name": name, "namespace": NAMESPACE, "behavior": behavior, "files": []})
            items[-1]["files"].append(f"{key}={path}")
    named = {f"{path.name}.yaml": item for path, item in patches.items()}
    if environment.environment.sync == "manual":
        repository = environment.repository()
        named["_repository.yaml"] = _patch(repository, {"suspend": True})
    files |= {directory / "patches" / name: yaml_file(item) for name, item in named.items()}
    namespaces: set[str] = set()
    secrets = [item for c in environment.components if c.release.secrets for item in secret_objects(c, namespaces)]
    if secrets:
        files[directory / "secrets.yaml"] = yaml_file(*secrets)
    bases = ["../../base/sources", *(f"../../base/{item.release.layer}/{item.name}" for item in environment.components)]
    files[directory / "kustomization.yaml"] = kustomization_file(
        [*bases, *(["secrets.yaml"] if secrets else [])],
        labels={f"{LABEL}/environment": environment.environment.name},
        patches=[{"path": f"patches/{name}"} for name in sorted(named)],
        generatorOptions=WATCHED_VALUES if generators else {},
        **generators,
    )
    return files


def _own_values(component: Component, shared: _Shared) -> list[tuple[str, str, str, bytes]]:
    """Return generator, name, key and content of the values that only this environment has."""
    if not shared.is_divided:
        kinds = {True: "secretGenerator", False: "configMapGenerator"}
        return [
            (kinds[file.encrypted], values_name(component, file), file.key, file.copied)
            for file in component.value_files
        ]
    own = [file.copied for file in component.value_files[len(shared.files) :]]
    pairs = zip_longest(shared.own_keys, own, fillvalue=_EMPTY)
    return [("configMapGenerator", f"{component.name}-values", str(key), bytes(content)) for key, content in pairs]


def difference(base: Objects, other: Objects) -> Objects:
    """Return the merge patch from one object to the other; empty if they are the same."""
    spec = _changes(base["spec"], other["spec"])
    return _patch(other, spec) if spec else {}


def _patch(item: Objects, spec: Objects) -> Objects:
    return flux_object(item["apiVersion"], item["kind"], item["metadata"]["name"], spec)


def _changes(base: Objects, other: Objects) -> Object:
    changes: Object = {key: None for key in base if key not in other}
    for key, value in other.items():
        if key not in base:
            changes[key] = value
        elif isinstance(value, Mapping) and isinstance(base[key], Mapping):
            if inner := _changes(base[key], value):
                changes[key] = inner
        elif value != base[key]:
            changes[key] = value
    return changes
