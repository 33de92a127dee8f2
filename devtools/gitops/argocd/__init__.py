"""Argo CD: component files, one ApplicationSet or app-of-apps per environment, projects and a root application."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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
from devtools.gitops.component import Component, Components, Export, ExportOptions, Files, Note
from devtools.gitops.components import check_names
from devtools.gitops.secrets import external_secrets

__all__ = ["export_argocd"]

_DEFAULT_TIMEOUT = 300.0
_APPLY = "Apply it once: kubectl apply --server-side --namespace argocd --filename"


def export_argocd(stack: str, components: Components, settings: GitopsSettings, options: ExportOptions) -> Export:
    """Return the export of environments for Argo CD."""
    if options.layout not in LAYOUTS:
        raise ConfigError(f"layout {options.layout} is for Flux", hint=f"choose --layout {' or '.join(LAYOUTS)}")
    context = Context(stack=stack, settings=settings, options=options)
    components = {
        name: [context.layout.moved(component, options.place) for component in members]
        for name, members in components.items()
    }
    _check_application_names(components, context)
    files: Files = {}
    for name, members in components.items():
        files |= _environment_files(name, members, context)
    for name, project in projects(components, context).items():
        files[context.layout.projects / f"{name}.yaml"] = document(project)
    files[context.layout.root_file] = document(root(context))
    everything = [component for members in components.values() for component in members]
    for name, secret in repository_secrets(everything, context).items():
        files[context.layout.repositories / f"{name}.yaml"] = document(secret)
    charts = options.charts.values()
    known = {kind.kind: kind for chart in charts for kind in chart.custom_kinds}
    known |= {crd.kind: crd for chart in charts for crd in chart.crds}
    lua, notes = lua_of(everything, known)
    files |= _config_files(context, lua, components)
    for component in everything:
        files |= component.chart.files
    more = (
        *repository_notes(everything, context),
        *tenant_notes(components, options.tenants),
        *_notes(everything, context),
    )
    return Export(files=files, notes=(*notes, *more))


def _check_application_names(components: Components, context: Context) -> None:
    """Raise ConfigError if two Applications have the same name: one Argo CD holds those of every environment."""
    first: dict[str, Component] = {}
    for members in components.values():
        check_names(members)
        for component in members:
            name = context.application_name(component)
            other = first.setdefault(name, component)
            if other is not component:
                one, two = (f"{item.release.id} in {item.environment}" for item in (other, component))
                raise ConfigError(f"two Applications would be named {name}: {one} and {two}", hint="rename a release")


def _environment_files(name: str, members: Sequence[Component], context: Context) -> Files:
    environment = context.settings.environments[name]
    files: Files = {}
    in_waves = environment.order == "waves"
    for component in members:
        directory = context.layout.directory_of(component)
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


def _config_files(context: Context, lua: Mapping[tuple[str, str], str], components: Components) -> Files:
    """Return the required settings of Argo CD's own configuration."""
    orders = {context.settings.environments[name].order for name in components}
    health = {f"resource.customizations.health.{group}_{kind}": text for (group, kind), text in lua.items()}
    if "waves" in orders:
        health["resource.customizations.health.argoproj.io_Application"] = script("application")
    found = {"argocd-cm": dict(sorted(health.items()))}
    if "rolling" in orders:
        found["argocd-cmd-params-cm"] = {"applicationsetcontroller.enable.progressive.syncs": "true"}
    files: Files = {}
    for name, data in found.items():
        if data:
            labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "argocd"}
            metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
            item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            files[context.layout.config / f"{name}.yaml"] = document(item, f"{_APPLY} {name}.yaml")
    return files


def _notes(components: Sequence[Component], context: Context) -> Iterable[Note]:
    """Yield notes about keys that Argo CD has no counterpart for, and about those that need a newer Argo CD."""
    environments = context.settings.environments
    for component in components:
        timeout, on_failure = component.release.timeout, component.release.on_failure
        if timeout != _DEFAULT_TIMEOUT:
            yield component.note(f"timeout {timeout:g}s is not mapped: Argo CD has no timeout of one Application")
        if on_failure != "keep":
            yield component.note(f"on_failure: {on_failure} is not mapped: Argo CD leaves a failed sync as it is")
        if component.is_encrypted:
            files = ", ".join(str(file.path) for file in component.value_files if file.encrypted)
            yield component.note(f"left out, as Argo CD does not decrypt SOPS: {files}; use an ExternalSecret")
        if component.chart.random:
            why = f"its chart calls {', '.join(component.chart.random)}"
            yield component.note(f"may render differently each time, and then never becomes Synced: {why}")
    if unread := sorted({component.chart.name for component in components if not component.chart.is_readable}):
        what = f"{len(unread)} charts are not vendored, so their projects allow the cluster-scoped kinds of operators"
        yield Note(f"{what}: {', '.join(unread)}")
    used = sorted({component.environment for component in components})
    if names := ", ".join(name for name in used if environments[name].prune == "confirm"):
        yield Note(f"prune: confirm of {names} needs Argo CD 3.4: an older one prunes without approval")
    if names := ", ".join(name for name in used if environments[name].cluster.labels):
        yield Note(f"projects allow any cluster: labels choose those of {names}")
    by_cluster: dict[str, list[str]] = {}
    for name in used:
        by_cluster.setdefault(repr(environments[name].cluster), []).append(name)
    for shared in by_cluster.values():
        if len(shared) > 1:  # their releases are the same objects
            yield Note(f"environments {', '.join(shared)} are deployed to one cluster, into the same namespaces")
