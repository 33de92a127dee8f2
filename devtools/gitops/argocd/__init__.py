"""Argo CD: component files, one ApplicationSet or app-of-apps per environment, projects and a root application."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from devtools.config.settings_file.gitops import GitopsSettings
from devtools.errors import ConfigError
from devtools.gitops.argocd.applications import app_of_apps, application, root
from devtools.gitops.argocd.context import NAMESPACE, Context, document
from devtools.gitops.argocd.health import lua_of, script
from devtools.gitops.argocd.layout import LAYOUTS
from devtools.gitops.argocd.projects import projects
from devtools.gitops.argocd.repositories import repository_notes, repository_secrets
from devtools.gitops.argocd.sets import application_set
from devtools.gitops.argocd.spec import SECRETS, component_data, value_files
from devtools.gitops.argocd.tenants import tenant_notes
from devtools.gitops.component import Component, Export, ExportOptions, KindInfo, Note
from devtools.gitops.components import check_names
from devtools.gitops.secrets import external_secrets

__all__ = ["export_argocd"]

_DEFAULT_TIMEOUT = 300.0
_APPLY = "Apply it once: kubectl apply --server-side --namespace argocd --filename"


def export_argocd(
    stack: str,
    components: Mapping[str, Sequence[Component]],
    settings: GitopsSettings,
    options: ExportOptions,
) -> Export:
    """Return the export of environments for Argo CD."""
    if options.layout not in LAYOUTS:
        raise ConfigError(f"layout {options.layout} is for Flux", hint=f"choose --layout {' or '.join(LAYOUTS)}")
    context = Context(stack=stack, settings=settings, options=options)
    components = {
        name: [context.layout.moved(component, options.place) for component in members]
        for name, members in components.items()
    }
    _check_application_names(components, context)
    files: dict[PurePosixPath, bytes] = {}
    for name, members in components.items():
        files |= _environment_files(name, members, context)
    for name, project in projects(components, context).items():
        files[context.layout.projects / f"{name}.yaml"] = document(project)
    files[context.layout.root_file] = document(root(context))
    everything = [component for members in components.values() for component in members]
    for name, secret in repository_secrets(everything, context).items():
        files[context.layout.repositories / f"{name}.yaml"] = document(secret)
    lua, notes = lua_of(everything, crds_by_kind(options))
    files |= _config_files(context, lua, components)
    for component in everything:
        files |= options.charts[component.chart_name].files
    more = (
        *repository_notes(everything, context),
        *tenant_notes(components, options.tenants),
        *_notes(everything, context),
    )
    return Export(files=files, notes=(*notes, *more))


def crds_by_kind(options: ExportOptions) -> Mapping[str, KindInfo]:
    """Return the custom kinds that charts of the stack use or define."""
    charts = options.charts.values()
    used = {kind.kind: kind for chart in charts for kind in chart.custom_kinds}
    return used | {crd.kind: crd for chart in charts for crd in chart.crds}


def _check_application_names(components: Mapping[str, Sequence[Component]], context: Context) -> None:
    """Raise ConfigError if two Applications have the same name: one Argo CD holds those of every environment."""
    first: dict[str, Component] = {}
    for members in components.values():
        check_names(members)
        for component in members:
            name = context.application_name(component)
            other = first.setdefault(name, component)
            if other is not component:
                both = f"{other.release} in {other.environment} and {component.release} in {component.environment}"
                raise ConfigError(f"two Applications would be named {name}: {both}", hint="rename a release")


def _environment_files(name: str, members: Sequence[Component], context: Context) -> dict[PurePosixPath, bytes]:
    environment = context.settings.environments[name]
    files: dict[PurePosixPath, bytes] = {}
    in_waves = context.order(environment) == "waves"
    for component in members:
        directory = context.layout.component(name, component.tier, component.name)
        files[directory / "component.yaml"] = document(component_data(component, environment, context))
        for secret, data in external_secrets(component).items():
            files[directory / SECRETS / f"{secret}.yaml"] = document(data)
        for file in value_files(component, context):
            if file.content is not None:
                files[file.path.relative_to(context.options.place.out)] = file.content
        if in_waves:
            path = context.layout.applications / name / f"{component.name}.yaml"
            files[path] = document(application(component, environment, context))
    entry = app_of_apps(environment, context) if in_waves else application_set(environment, members, context)
    files[context.layout.sets / f"{name}.yaml"] = document(entry)
    return files


def _config_files(
    context: Context, lua: Mapping[tuple[str, str], str], components: Mapping[str, Sequence[Component]]
) -> dict[PurePosixPath, bytes]:
    """Return the required settings of Argo CD's own configuration."""
    orders = {context.order(context.settings.environments[name]) for name in components}
    health = {f"resource.customizations.health.{group}_{kind}": text for (group, kind), text in lua.items()}
    if "waves" in orders:
        health["resource.customizations.health.argoproj.io_Application"] = script("application")
    found = {"argocd-cm": dict(sorted(health.items()))}
    if "rolling" in orders:
        found["argocd-cmd-params-cm"] = {"applicationsetcontroller.enable.progressive.syncs": "true"}
    return {
        context.layout.config / f"{name}.yaml": document(_config_map(name, data), f"{_APPLY} {name}.yaml")
        for name, data in found.items()
        if data
    }


def _config_map(name: str, data: Mapping[str, str]) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "argocd"}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}


def _notes(components: Iterable[Component], context: Context) -> Iterable[Note]:
    """Yield notes about keys that Argo CD has no counterpart for, and about those that need a newer Argo CD."""
    environments = context.settings.environments
    for component in components:
        subject = f"{component.environment}/{component.release}"
        chart = context.options.charts[component.chart_name]
        if component.timeout != _DEFAULT_TIMEOUT:
            message = f"timeout {component.timeout:g}s is not mapped: Argo CD has no timeout of one Application"
            yield Note(component=subject, message=message)
        if component.on_failure != "keep":
            message = f"on_failure: {component.on_failure} is not mapped: Argo CD leaves a failed sync as it is"
            yield Note(component=subject, message=message)
        if any(file.encrypted for file in component.value_files):
            files = ", ".join(str(file.path) for file in component.value_files if file.encrypted)
            message = f"left out, as Argo CD does not decrypt SOPS: {files}; use an ExternalSecret"
            yield Note(component=subject, message=message)
        if chart.random:
            calls = ", ".join(chart.random)
            message = f"may render differently each time, and then never becomes Synced: its chart calls {calls}"
            yield Note(component=subject, message=message)
    components = tuple(components)
    charts = {component.chart_name for component in components}
    if unread := [name for name in sorted(charts) if not context.options.charts[name].is_readable]:
        message = (
            f"{len(unread)} charts are not vendored, so their projects allow the cluster-scoped kinds of operators"
        )
        yield Note(message=f"{message}: {', '.join(unread)}")
    used = {component.environment for component in components}
    if confirmed := sorted(name for name in used if environments[name].prune == "confirm"):
        names = ", ".join(confirmed)
        yield Note(message=f"prune: confirm of {names} needs Argo CD 3.4: an older one prunes without approval")
    if labelled := sorted(name for name in used if environments[name].cluster.labels):
        message = f"projects allow any cluster: labels choose those of {', '.join(labelled)}"
        yield Note(message=message)
    yield from _shared_clusters(used, context)


def _shared_clusters(used: Iterable[str], context: Context) -> Iterable[Note]:
    """Yield a note for environments on one cluster: their releases are the same objects."""
    by_cluster: dict[str, list[str]] = {}
    for name in sorted(used):
        by_cluster.setdefault(repr(context.settings.environments[name].cluster), []).append(name)
    for names in by_cluster.values():
        if len(names) > 1:
            message = f"environments {', '.join(names)} are deployed to one cluster, into the same namespaces"
            yield Note(message=message)
