"""Engine `flux`: per environment its sources, one Kustomization per layer, and one HelmRelease per component."""

from __future__ import annotations

from pathlib import PurePosixPath

from devtools.config.settings_file.gitops import GitopsSettings
from devtools.errors import ConfigError
from devtools.gitops.component import LABEL, Components, Export, ExportOptions, Files, Note, Object
from devtools.gitops.flux.environment import Environment, Layer
from devtools.gitops.flux.images import image_objects
from devtools.gitops.flux.infra import infra_files
from devtools.gitops.flux.objects import kustomization_file, path_from, yaml_file
from devtools.gitops.flux.release import secret_objects, value_generators
from devtools.gitops.flux.sources import chart_sources
from devtools.gitops.flux.tenants import tenant_files, tenant_kustomizations

_NAME_REFERENCES = "kustomizeconfig.yaml"  # by which kustomize puts the hash of generated names into HelmReleases
_RENAMED = [
    {"kind": kind, "version": "v1", "fieldSpecs": [{"kind": "HelmRelease", "path": "spec/valuesFrom/name"}]}
    for kind in ("ConfigMap", "Secret")
]


def export_flux(stack: str, components: Components, settings: GitopsSettings, options: ExportOptions) -> Export:
    """Return the export of environments for Flux."""
    if options.layout == "addons":
        raise ConfigError("layout addons is for Argo CD", hint="choose --layout components or infra")
    files: Files = {}
    notes: list[Note] = []
    for name, members in components.items():
        environment = Environment(stack, settings.environments[name], members, settings, options)
        if options.layout == "infra":
            files |= infra_files(environment)
            notes += environment.encrypted_notes()
            notes += [Note("layout infra has no tenants: use layout components")] if options.tenants else []
        else:
            files |= component_files(environment)
        notes += environment.notes
    for item in (item for members in components.values() for item in members):
        files |= item.chart.files
    return Export(files=files, notes=tuple(notes))


def component_files(environment: Environment) -> Files:
    """Return the files of an environment, by their path below --out."""
    _check_secrets(environment)
    root = PurePosixPath("flux", environment.environment.name)
    sources = chart_sources(environment.stack, environment.components, environment.settings.credentials)
    layers = [environment.kustomization(layer, root / layer.name) for layer in environment.layers]
    if tenants := environment.tenants:
        layers += tenant_kustomizations(environment, tenants, root / "tenants")
    files = {
        root / "layers.yaml": yaml_file(*layers),
        root / "repository.yaml": yaml_file(environment.repository()),
        root / "sync.yaml": yaml_file(environment.sync(root)),
    }
    if charts := list(sources.objects()):
        files[root / "charts.yaml"] = yaml_file(*charts)
    images, notes = image_objects(environment)
    environment.notes += notes
    if images:
        files[root / "images.yaml"] = yaml_file(*images)
    labels = {f"{LABEL}/environment": environment.environment.name}
    files[root / "kustomization.yaml"] = kustomization_file(sorted(path.name for path in files), labels=labels)
    if tenants:
        more, notes = tenant_files(environment, tenants, sources, root / "tenants")
        files |= more
        environment.notes += notes
    for layer in environment.layers:
        files |= _layer_files(environment, layer, root / layer.name)
        for component in layer.components:
            release = environment.helm_release(component, sources)
            files[root / layer.name / f"{component.name}.yaml"] = yaml_file(release)
    return files


def _check_secrets(environment: Environment) -> None:
    """Raise ConfigError if ExternalSecrets are in the layer that installs their CRD: Flux applies a layer at once."""
    for layer in environment.layers:
        operators = [item for item in layer.components if any(crd.kind == "ExternalSecret" for crd in item.chart.crds)]
        users = [item for item in layer.components if item.release.secrets]
        if operators and users:
            one, other = users[0].release.id, operators[0].release.id
            message = (
                f"release {one} has secrets and is in {layer.name}, together with {other}, which installs their CRD"
            )
            raise ConfigError(message, hint="Flux applies a layer at once: move the release to a later layer")


def _layer_files(environment: Environment, layer: Layer, directory: PurePosixPath) -> Files:
    """Return the kustomization of a layer, its configuration, and inline values."""
    place = environment.options.place
    here = place.out / directory
    generators: dict[str, list[Object]] = {}
    files: Files = {}
    namespaces: set[str] = set()
    for component in layer.components:
        for kind, own in value_generators(component, lambda file: f"{file.key}={path_from(here, file.path)}").items():
            generators.setdefault(kind, []).extend(own)
        for file in component.value_files:
            if file.content is not None:
                files[file.path.relative_to(place.out)] = file.content
        if component.release.secrets:
            files[directory / f"{component.name}-secrets.yaml"] = yaml_file(*secret_objects(component, namespaces))
    secrets = [path.name for path in files if path.parent == directory]
    files[directory / "kustomization.yaml"] = kustomization_file(
        [*(f"{component.name}.yaml" for component in layer.components), *secrets],
        labels={f"{LABEL}/environment": environment.environment.name, f"{LABEL}/layer": layer.name},
        configurations=[_NAME_REFERENCES] if generators else [],
        **generators,
    )
    if generators:
        files[directory / _NAME_REFERENCES] = yaml_file({"nameReference": _RENAMED})
    return files
