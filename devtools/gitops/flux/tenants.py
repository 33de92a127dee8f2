"""Tenants as kro makes them: one ResourceGraphDefinition, and one instance per tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_file
from devtools.config.tenants import Tenant
from devtools.gitops.component import LABEL, Component, Files, Note, Object
from devtools.gitops.flux.environment import Environment
from devtools.gitops.flux.objects import (
    KUSTOMIZE,
    NAMESPACE,
    WATCHED_VALUES,
    flux_object,
    kustomization_file,
    path_from,
    yaml_file,
)
from devtools.gitops.flux.sources import ChartSources

KRO = "kro.run/v1alpha1"
_DEFINITION = Path(__file__).with_name("tenant_definition.yaml")  # the ResourceGraphDefinition that makes kind Tenant


def instance(tenant: Tenant, components: Mapping[str, Component], sources: ChartSources) -> Object:
    """Return the instance of a tenant; `components` are those of its applications, by name."""
    spec = {
        "namespaces": list(tenant.namespaces),
        "quota": dict(tenant.quota),
        "members": [{"group": member.group, "role": member.role} for member in tenant.members],
        "applications": [_application(tenant, item, sources) for item in components.values()],
    }
    return {"apiVersion": f"{LABEL}/v1alpha1", "kind": "Tenant", "metadata": {"name": tenant.name}, "spec": spec}


def _application(tenant: Tenant, component: Component, sources: ChartSources) -> Object:
    chart = sources.chart_fields(component.chart.source)["chart"]["spec"]
    version = {"version": chart["version"]} if "version" in chart else {}
    return {
        "name": component.name,
        "release": component.release.name,
        "chart": chart["chart"],
        **version,
        "sourceKind": chart["sourceRef"]["kind"],
        "source": chart["sourceRef"]["name"],
        "values": [key for key, _ in application_files(tenant, component, PurePosixPath())],
    }


def applications_of(tenant: Tenant, environment: Environment) -> tuple[dict[str, Component], tuple[Note, ...]]:
    """Return the components of a tenant's applications, and a note for each that its environment does not have."""
    known = {component.release.name: component for component in environment.components}
    found: dict[str, Component] = {}
    notes = []
    for name in tenant.applications:
        component = known.get(name)
        if component is None:
            why = "its release is not exported"
        elif component.chart.source.kind == "oci":
            why = "the kind Tenant has no charts from OCI registries"
        elif component.is_encrypted:
            why = "its values are encrypted"
        else:
            found[name] = component
            continue
        notes.append(Note(f"environment {environment.environment.name}: tenant {tenant.name} gets no {name}: {why}"))
    return found, tuple(notes)


def application_files(tenant: Tenant, component: Component, root: PurePosixPath) -> Iterable[tuple[str, PurePosixPath]]:
    """Yield key and path, from the Git repository's root, of the value files of a tenant's application."""
    yield from ((file.key, file.path) for file in component.value_files)
    if own := tenant.values_of(component.release):
        yield ".".join(own.parts), root / own.as_posix()


def tenant_files(
    environment: Environment, tenants: Sequence[Tenant], sources: ChartSources, directory: PurePosixPath
) -> tuple[Files, tuple[Note, ...]]:
    """Return the files of an environment's tenants, and notes about missing applications."""
    place = environment.options.place
    files = {
        directory / "definition/tenants.yaml": yaml_file(read_map(read_file(_DEFINITION))),
        directory / "definition/kustomization.yaml": kustomization_file(["tenants.yaml"]),
    }
    generators: list[Object] = []
    notes: list[Note] = []
    for tenant in tenants:
        found, missing = applications_of(tenant, environment)
        notes += missing
        files[directory / f"instances/{tenant.name}.yaml"] = yaml_file(instance(tenant, found, sources))
        for component in found.values():
            here = place.out / directory / "instances"
            words = [f"{key}={path_from(here, path)}" for key, path in application_files(tenant, component, place.root)]
            if words:
                name = f"{tenant.name}-{component.name}-values"
                generators.append({"name": name, "namespace": NAMESPACE, "files": words})
    files[directory / "instances/kustomization.yaml"] = kustomization_file(
        [f"{tenant.name}.yaml" for tenant in tenants],
        configMapGenerator=generators,
        generatorOptions=WATCHED_VALUES if generators else {},
    )
    return files, tuple(notes)


def tenant_kustomizations(
    environment: Environment, tenants: Sequence[Tenant], directory: PurePosixPath
) -> Iterable[Object]:
    """Yield the Kustomizations of tenants: first their kind, once kro is installed, then the tenants themselves."""
    stack = environment.stack
    layers = {item.release.layer for item in environment.components if item.chart.short_name == "kro"}
    name = f"{stack}-tenant-definition"
    spec = environment.followed(directory / "definition")
    if layers:
        spec["dependsOn"] = [{"name": environment.layer_name(layer)} for layer in sorted(layers)]
    check = {"apiVersion": KRO, "kind": "ResourceGraphDefinition", "name": f"tenants.{LABEL}"}
    spec["timeout"] = "5m"
    spec["healthChecks"] = [check]
    spec["healthCheckExprs"] = [
        {"apiVersion": KRO, "kind": "ResourceGraphDefinition", "current": "status.state == 'Active'"}
    ]
    yield flux_object(KUSTOMIZE, "Kustomization", name, spec)
    names = {application for tenant in tenants for application in tenant.applications}
    needed = {item.release.layer for item in environment.components if item.release.name in names}
    instances = environment.followed(directory / "instances")
    instances["dependsOn"] = [{"name": name}, *({"name": environment.layer_name(layer)} for layer in sorted(needed))]
    yield flux_object(KUSTOMIZE, "Kustomization", f"{stack}-tenants", instances)
