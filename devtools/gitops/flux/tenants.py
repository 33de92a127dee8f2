"""Tenants as kro makes them: one ResourceGraphDefinition, and one instance per tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_file
from devtools.config.tenants import Tenant
from devtools.gitops.component import Component, Note
from devtools.gitops.flux.environment import Environment
from devtools.gitops.flux.objects import (
    KUSTOMIZE,
    NAMESPACE,
    WATCHED,
    flux_object,
    kustomization_file,
    path_from,
    yaml_file,
)
from devtools.gitops.flux.release import value_key
from devtools.gitops.flux.sources import ChartSources

GROUP = "gitops.ameide.io"
KRO = "kro.run/v1alpha1"


def definition() -> bytes:
    """Return the file of the ResourceGraphDefinition that makes the kind Tenant."""
    text = read_file(Path(__file__).with_name("tenant_definition.yaml"))
    return yaml_file(read_map(text))


def instance(tenant: Tenant, components: Mapping[str, Component], sources: ChartSources) -> dict[str, Any]:
    """Return the instance of a tenant; `components` are those of its applications, by name."""
    spec = {
        "namespaces": list(tenant.namespaces),
        "quota": dict(tenant.quota),
        "members": [{"group": member.group, "role": member.role} for member in tenant.members],
        "applications": [_application(tenant, item, sources) for item in components.values()],
    }
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Tenant", "metadata": {"name": tenant.name}, "spec": spec}


def _application(tenant: Tenant, component: Component, sources: ChartSources) -> dict[str, Any]:
    chart = sources.chart_fields(component.chart)["chart"]["spec"]
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
        elif component.chart.kind == "oci":
            why = "the kind Tenant has no charts from OCI registries"
        elif any(file.encrypted for file in component.value_files):
            why = "its values are encrypted"
        else:
            found[name] = component
            continue
        message = f"environment {environment.environment.name}: tenant {tenant.name} gets no {name}: {why}"
        notes.append(Note(message=message))
    return found, tuple(notes)


def application_files(tenant: Tenant, component: Component, root: PurePosixPath) -> Iterable[tuple[str, PurePosixPath]]:
    """Yield key and path, from the Git repository's root, of the value files of a tenant's application."""
    yield from ((value_key(file), file.path) for file in component.value_files)
    own = tenant.values.get(f"{component.layer}/{component.release.name}")
    if own:
        yield ".".join(own.parts), root / own.as_posix()


def tenant_files(
    environment: Environment, tenants: Sequence[Tenant], sources: ChartSources, directory: PurePosixPath
) -> tuple[dict[PurePosixPath, bytes], tuple[Note, ...]]:
    """Return the files of an environment's tenants, and notes about missing applications."""
    place = environment.options.place
    files = {
        directory / "definition/tenants.yaml": definition(),
        directory / "definition/kustomization.yaml": yaml_file(kustomization_file(["tenants.yaml"])),
    }
    generators: list[dict[str, Any]] = []
    notes: list[Note] = []
    for tenant in tenants:
        found, missing = applications_of(tenant, environment)
        notes += missing
        files[directory / f"instances/{tenant.name}.yaml"] = yaml_file(instance(tenant, found, sources))
        for component in found.values():
            here = place.below_out(directory / "instances")
            words = [f"{key}={path_from(here, path)}" for key, path in application_files(tenant, component, place.root)]
            if words:
                name = f"{tenant.name}-{component.name}-values"
                generators.append({"name": name, "namespace": NAMESPACE, "files": words})
    fields: dict[str, Any] = {}
    if generators:
        fields = {
            "configMapGenerator": generators,
            "generatorOptions": {"disableNameSuffixHash": True, "labels": WATCHED},
        }
    kustomization = kustomization_file([f"{tenant.name}.yaml" for tenant in tenants], **fields)
    files[directory / "instances/kustomization.yaml"] = yaml_file(kustomization)
    return files, tuple(notes)


def tenant_kustomizations(
    environment: Environment, tenants: Sequence[Tenant], directory: PurePosixPath
) -> Iterable[dict[str, Any]]:
    """Yield the Kustomizations of tenants: first their kind, once kro is installed, then the tenants themselves."""
    stack = environment.stack
    layers = {item.layer for item in environment.components if item.chart_short == "kro"}
    name = f"{stack}-tenant-definition"
    spec = environment.followed(directory / "definition")
    if layers:
        spec["dependsOn"] = [{"name": environment.layer_name(layer)} for layer in sorted(layers)]
    check = {"apiVersion": KRO, "kind": "ResourceGraphDefinition", "name": f"tenants.{GROUP}"}
    spec["timeout"] = "5m"
    spec["healthChecks"] = [check]
    spec["healthCheckExprs"] = [
        {"apiVersion": KRO, "kind": "ResourceGraphDefinition", "current": "status.state == 'Active'"}
    ]
    yield flux_object(KUSTOMIZE, "Kustomization", name, spec)
    names = {application for tenant in tenants for application in tenant.applications}
    needed = {item.layer for item in environment.components if item.release.name in names}
    instances = environment.followed(directory / "instances")
    instances["dependsOn"] = [{"name": name}, *({"name": environment.layer_name(layer)} for layer in sorted(needed))]
    yield flux_object(KUSTOMIZE, "Kustomization", f"{stack}-tenants", instances)
