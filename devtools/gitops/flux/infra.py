"""Layout `infra`: one directory per layer and component that `kubectl apply -k` installs on a cluster with Flux."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_file
from devtools.gitops.component import Component, Files
from devtools.gitops.flux.environment import Environment
from devtools.gitops.flux.objects import WATCHED_VALUES, kustomization_file, yaml_file
from devtools.gitops.flux.release import namespace_object, value_generators
from devtools.gitops.flux.sources import ChartSources
from devtools.gitops.secrets import external_secrets

_GIT = "git-repository.yaml"
_SOURCES = {"helm": "helm-repository.yaml", "oci": "oci-repository.yaml"}


def infra_files(environment: Environment) -> Files:
    """Return the files of an environment: below its name, if there are several."""
    several = len(environment.settings.environments) > 1
    root = PurePosixPath(environment.environment.name) if several else PurePosixPath()
    files: Files = {}
    namespaces: set[str] = set()
    for layer in environment.layers:
        for component in layer.components:
            directory = root / layer.name / component.name
            files |= _component_files(environment, component, directory, namespaces)
        labels = {"platform.io/layer": layer.components[0].tier}
        names = [component.name for component in layer.components]
        files[root / layer.name / "kustomization.yaml"] = kustomization_file(names, labels=labels)
    resources = [layer.name for layer in environment.layers]
    if any(component.chart.source.kind == "git" for component in environment.components):
        files[root / _GIT] = yaml_file(environment.repository())
        resources.insert(0, _GIT)
    files[root / "kustomization.yaml"] = kustomization_file(resources)
    return files | _sync_files(environment, root)


def _sync_files(environment: Environment, root: PurePosixPath) -> Files:
    """Return the objects that let Flux apply the layers itself, in order and with health checks."""
    layers = [environment.kustomization(layer, root / layer.name) for layer in environment.layers]
    directory = root / "sync"
    return {
        directory / _GIT: yaml_file(environment.repository()),
        directory / "layers.yaml": yaml_file(*layers),
        directory / "kustomization.yaml": kustomization_file([_GIT, "layers.yaml"]),
    }


def _component_files(
    environment: Environment, component: Component, directory: PurePosixPath, namespaces: set[str]
) -> Files:
    """Return the files of one component; `namespaces` are those that earlier ones declare; its own are added."""
    files: Files = {}
    namespace = component.release.namespace
    if component.creates_namespace and namespace not in namespaces:
        namespaces.add(namespace)
        files[directory / "namespace.yaml"] = yaml_file(namespace_object(namespace))
    sources = _own_sources(environment, component)
    for item in sources.objects():
        files[directory / _SOURCES[component.chart.source.kind]] = yaml_file(item)
    if rights := _rights().get(component.chart.short_name):
        words = {"NAMESPACE": namespace, "NAME": component.name}
        files[directory / "rbac.yaml"] = yaml_file(*_filled(rights, words))
    if component.release.secrets:
        files[directory / "external-secrets.yaml"] = yaml_file(*external_secrets(component).values())
    declared = replace(component, creates_namespace=False)
    files[directory / "helm-release.yaml"] = yaml_file(environment.helm_release(declared, sources))
    resources = [path.name for path in files]
    generators = value_generators(component, lambda file: file.key)
    options = WATCHED_VALUES if generators else {}
    labels = {"platform.io/layer": component.tier, "platform.io/component": component.name, "managed-by": "flux"}
    kustomization = kustomization_file(resources, labels=labels, **generators, generatorOptions=options)
    files[directory / "kustomization.yaml"] = kustomization
    return files | {directory / file.key: file.copied for file in component.value_files}


def _own_sources(environment: Environment, component: Component) -> ChartSources:
    """Return the source of one component, with its own name, so that removing a component affects no others."""
    chart = component.chart.source
    helm = {chart.repository: component.name} if chart.kind == "helm" else {}
    oci = {chart: component.name} if chart.kind == "oci" else {}
    secrets = environment.settings.credentials
    return ChartSources(git=environment.stack, repositories=helm, charts=oci, secrets=secrets)


@cache
def _rights() -> Mapping[str, Any]:
    """Return the permissions that some infrastructure needs besides its chart, by the name of that."""
    return read_map(read_file(Path(__file__).with_name("infra_rbac.yaml")))


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    """Return a value with placeholders in its texts replaced."""
    if isinstance(value, dict):
        return {key: _filled(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, words) for item in value]
    for word, text in words.items():
        value = value.replace(word, text)
    return value
