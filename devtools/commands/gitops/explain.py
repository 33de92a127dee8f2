"""`invoke gitops.explain COMPONENT`: each key of a release next to its equivalents in Argo CD and Flux."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from devtools.app.environment import App
from devtools.base.machine_json import json_text
from devtools.base.machine_yaml import read_documents
from devtools.base.yaml_positions import Document, read
from devtools.commands.gitops.export import Arguments, Made, gitops_settings, make_export
from devtools.config.validate import suggestion
from devtools.errors import ConfigError, ExitCode
from devtools.gitops import mapping
from devtools.gitops.argocd.context import Context
from devtools.gitops.argocd.spec import application_spec
from devtools.gitops.component import Component
from devtools.model import Release, Stack
from devtools.planning.selection import find_release
from devtools.report.text import Line, Span

VERSION = 1  # of the JSON document


def explain(app: App, typed: str, environment: str, output: str) -> ExitCode:
    """Show a component field by field; without an environment, in the first exported one that has it."""
    chosen = Arguments(environments=(environment,) if environment else ())
    argocd = make_export(app, chosen)
    flux = make_export(app, Arguments(engine="flux", environments=chosen.environments))
    component, stack = _find(argocd, typed, environment)
    release = find_release(stack, str(component.release.id))
    document = explain_json(app, component, release, stack, argocd, flux)
    app.show(document, _lines, output)
    return ExitCode.OK


def explain_json(
    app: App, component: Component, release: Release, stack: Stack, argocd: Made, flux: Made
) -> dict[str, Any]:
    """Return the documented `gitops-explain` document."""
    settings = gitops_settings(app)
    context = Context(stack=app.settings.name, settings=settings, options=argocd.options)
    specs = {
        "argocd": application_spec(component, settings.environments[component.environment], context),
        "flux": _helm_release(component, flux),
    }
    files = {engine: _file_of(component, made) for engine, made in (("argocd", argocd), ("flux", flux))}
    layer = read(stack.root / stack.layer(release.layer).file, stack.layer(release.layer).file)
    rows = [
        {
            "key": item.key,
            "where": _where(layer, release, item.key),
            "argocd": _fields(specs["argocd"], item.argocd),
            "argocd_note": item.argocd_note,
            "flux": _fields(specs["flux"], item.flux),
            "flux_note": item.flux_note,
        }
        for item in mapping.of_releases()
    ]
    return {
        "version": VERSION,
        "kind": "gitops-explain",
        "component": component.name,
        "environment": component.environment,
        "release": str(component.release.id),
        "wave": component.wave,
        "needs": [str(need) for need in component.needs],
        "value_files": [str(file.path) for file in component.value_files],
        "files": files,
        "fields": rows,
        "notes": [
            {"engine": engine, "message": note.message}
            for engine, made in (("argocd", argocd), ("flux", flux))
            for note in made.export.notes
            if note.component == f"{component.environment}/{component.release.id}"
        ],
    }


def _find(made: Made, typed: str, chosen: str) -> tuple[Component, Stack]:
    """Return the component of this name, or `namespace/name`, in the chosen or first environment that has it."""
    known: list[str] = []
    for environment, items in made.components.items():
        for component in items if chosen in {"", environment} else ():
            known += [component.name, str(component.release.id)]
            if typed in {component.name, str(component.release.id), component.release.name}:
                return component, made.stacks[environment]
    names = list(dict.fromkeys(known))
    raise ConfigError(f"unknown component '{typed}'", hint=suggestion(typed, names, "components"))


def _where(layer: Document, release: Release, key: str) -> str:
    """Return the place of a release's key in its layer file; empty if it has none there."""
    items: Sequence[Mapping[str, Any]] = layer.data.get("releases", ())
    index = next((i for i, item in enumerate(items) if item.get("name") == release.name), None)
    if index is None or key not in items[index]:
        return ""
    return str(layer.at(("releases", index, key)))


def _helm_release(component: Component, made: Made) -> Mapping[str, Any]:
    path = _exported(component, made)
    text = made.export.files[path].decode() if path else ""
    for document in read_documents(text):
        if document.get("kind") == "HelmRelease":
            return dict(document.get("spec", {}))
    return {}


def _exported(component: Component, made: Made) -> PurePosixPath | None:
    """Return the exported file of a component: component.yaml, or its HelmRelease."""
    names = ((component.name, "component.yaml"), (component.release.layer, f"{component.name}.yaml"))
    found = (path for path in made.export.files if component.environment in path.parts and path.parts[-2:] in names)
    return next(found, None)


def _file_of(component: Component, made: Made) -> str:
    path = _exported(component, made)
    return str(made.shown / path) if path else ""


def _fields(spec: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """Return the fields that the spec has; of several sources, the chart's."""
    found: dict[str, Any] = {}
    for path in paths:
        value: Any = spec
        for word in path.split("."):
            if word == "source" and isinstance(value, Mapping) and "sources" in value:
                value = value["sources"][0]
                continue
            value = value.get(word) if isinstance(value, Mapping) else None
        if value is not None:
            found[path] = value
    return found


def _lines(document: Mapping[str, Any], _: int) -> list[Line]:
    lines = [f"{document['release']} in {document['environment']}: wave {document['wave']}"]
    lines += [f"  needs {need}" for need in document["needs"]]
    lines += [f"  values {file}" for file in document["value_files"]]
    lines += [f"  {engine}: {file}" for engine, file in document["files"].items() if file]
    for row in document["fields"]:
        if not (row["where"] or row["argocd"] or row["flux"]):
            continue
        where = f"  # {row['where']}" if row["where"] else ""
        lines.append(f"{row['key']}{where}")
        for engine in ("argocd", "flux"):
            note = row[f"{engine}_note"]
            fields = [f"{path}: {json_text(value, indent=None)}" for path, value in row[engine].items()]
            lines += [f"  {engine:<6}  {field}" for field in fields]
            lines += [f"  {engine:<6}  ({note})"] if note and (not fields or row["where"]) else []
    lines += [f"note of {note['engine']}: {note['message']}" for note in document["notes"]]
    return [(Span(line),) for line in lines]
