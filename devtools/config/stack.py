"""Builds a `Stack` from layer files, environments and charts; reports every problem of every file at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.base.yaml_positions import Document, read
from devtools.config.build import Builder, Defaults, DefaultsFile
from devtools.config.environments import (
    EnvironmentValues,
    Overlays,
    chosen,
    environment_names,
    load_environment,
    stray_problems,
    yaml_files,
)
from devtools.config.finder import ChartFinder
from devtools.config.settings import Settings
from devtools.config.validate import validated
from devtools.errors import ConfigError, Location, Problem, config_error
from devtools.model import Layer, ReleaseId, Stack
from devtools.planning.graph import check_graph

if TYPE_CHECKING:
    from devtools.config.references.resolver import References

DEFAULTS = "_defaults.yaml"
_LAYER_NAME = re.compile(r"[0-9]{2}-[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NAME_AT_MOST = 63  # limit: it must fit a label's value


def load_stack(settings: Settings, environment: str, charts: ChartFinder, sets: Iterable[str] = ()) -> Stack:
    """Return the stack of one environment (`""`: the default one); layers by number.

    `sets` are values of the environment for this run, as `key=value`. Runs no program and contacts no cluster. Raises
    ConfigError whose `problems` are those of all files, in file order.
    """
    name = chosen(settings, environment or settings.environment)
    values, wrong = load_environment(settings, name, sets)
    references = _references(settings, values)
    sources, problems = _layer_sources(settings, references)
    defaults, more = _defaults(settings, references)
    builder = Builder(values, environment_names(settings), defaults, charts)
    overlays = Overlays(settings, name)
    layers = [builder.layer(document, data, overlays) for document, data in sources if data]
    declared = {
        document.file.stem: [entry["name"] for entry in data.get("releases", ())] if data else None
        for document, data in sources
    }
    problems += [*more, *wrong, *builder.problems, *builder.causes.problems(), *_clashes(layers)]
    problems += [*overlays.problems(references), *stray_problems(settings, declared)]
    before, after = (
        tuple(hook for hook in hooks if hook.environments is None or name in hook.environments)
        for hooks in (settings.before, settings.after)
    )
    stack = Stack(
        name=settings.name,
        root=settings.root,
        environment=replace(values.environment, texts=references.texts if references else {}),
        layers=tuple(layers),
        environments=environment_names(settings),
        before=before,
        after=after,
    )
    if None not in declared.values() and all(release.namespace for release in stack.releases()):
        problems += check_graph(stack)
    if problems:
        raise config_error(problems)
    return stack


def _references(settings: Settings, values: EnvironmentValues) -> References | None:
    """Return the values for references, if those are enabled."""
    if not settings.references:
        return None
    from devtools.config.references.resolver import References

    return References(values.environment, settings.root, broken=values.broken)


def _checked(model: Any, document: Document, references: References | None) -> tuple[Document, Any, list[Problem]]:
    """Return the document with references replaced, its validated data, and the problems of both."""
    if references:
        document = references.resolve(document)
    data, problems = validated(model, document)
    unresolved = {problem.where for problem in document.problems}  # their types would be wrong, too
    found = [problem for problem in problems if problem in document.problems or problem.where not in unresolved]
    return document, data, [_explained(problem) for problem in found]


def _explained(problem: Problem) -> Problem:
    """Return the problem; if a reference's value is elsewhere, its place replaces the hint."""
    if not problem.where.sources:
        return problem
    return replace(problem, hint=f"the value is written at {problem.where.sources[0]}")


def _defaults(settings: Settings, references: References | None) -> tuple[Defaults, list[Problem]]:
    """Return the content of `_defaults.yaml`; empty if there is no such file."""
    path = settings.layers / DEFAULTS
    shown = path.relative_to(settings.root)
    document = read(path, shown) if path.exists() else Document(file=shown)
    document, data, problems = _checked(DefaultsFile, document, references)
    return Defaults.of(document, data, broken=bool(problems)), problems


def _layer_sources(
    settings: Settings, references: References | None
) -> tuple[list[tuple[Document, dict[str, Any]]], list[Problem]]:
    """Return every layer file in order with its data, empty if there is a problem; ConfigError without files."""
    shown = settings.layers.relative_to(settings.root)
    paths = yaml_files(settings.layers) if settings.layers.is_dir() else []
    if not paths:
        raise ConfigError(f"no layer files in {shown}/", hint=f"write the first one: {shown}/10-bootstrap.yaml")
    sources = []
    problems: list[Problem] = []
    numbers: dict[str, Path] = {}
    for path in paths:
        document = read(path, shown / path.name)
        problems += _name_problems(document.file, numbers)
        document, data, wrong = _checked(Layer, document, references)
        problems += wrong
        sources.append((document, {} if document.problems else data))
    return sources, problems


def _name_problems(file: Path, numbers: dict[str, Path]) -> list[Problem]:
    """Check that layer files are named NN-name.yaml, with unique numbers."""
    where = Location(file=file)
    if file.suffix != ".yaml":
        return [Problem(where=where, message="a layer file ends in .yaml", hint=f"rename it to {file.stem}.yaml")]
    if not _LAYER_NAME.fullmatch(file.stem) or len(file.stem) > _NAME_AT_MOST:
        hint = "two digits, '-', then lower-case letters, digits and '-': 40-data-plane.yaml"
        return [Problem(where=where, message=f"'{file.stem}' is not a layer's name", hint=hint)]
    first = numbers.setdefault(file.stem[:2], file)
    if first == file:
        return []
    return [Problem(where=where, message=f"layer number {file.stem[:2]} is already used by {first}")]


def _clashes(layers: Iterable[Layer]) -> Iterator[Problem]:
    """Yield problems of releases with the same identity, and of layers with the same name."""
    releases: dict[ReleaseId, Location] = {}
    names = {layer.name: layer.file for layer in layers}
    for layer in layers:
        other = names.setdefault(layer.alias, layer.file) if layer.alias else layer.file
        if other != layer.file:
            yield Problem(where=Location(file=layer.file), message=f"alias '{layer.alias}' is already used by {other}")
        for release in layer.releases:
            first = releases.setdefault(release.id, release.where)
            if first is not release.where:
                message = f"release {release.id} is declared twice"
                yield Problem(where=release.where, message=message, hint=f"first at {first}")
