"""Rules for ApplicationSets: templates, patches, generators."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from devtools.base.open_file import read_source
from devtools.base.words import did_you_mean
from devtools.base.yaml_positions import Document, KeyPath, parse_stream
from devtools.errors import Location
from devtools.gitops.schemas.application import type_of
from devtools.gitops.tree.applications import SYNC_WAVE
from devtools.gitops.tree.read import KubeObject, dotted, leaves, mapping, sequence, texts
from devtools.gitops.verify.applications import STRICT, Generated, World, git_files, git_generators
from devtools.gitops.verify.finding import Finding, finding
from devtools.gitops.verify.gotemplate import MissingKey, actions

_FIELD = re.compile(r"(?<![\w)\"`])\.([A-Za-z_]\w*)")
_BY_NAME = re.compile(r"\b(?:dig|get|hasKey|index)\b")  # functions that read one key of a map
_LITERAL = re.compile(r'"([A-Za-z_][\w-]*)"')
_DEFAULT = re.compile(r"\bdefault\s+(?:\"[^\"]*\"|[\w.-]+)\s+(\.[\w.]+)|(\.[\w.]+)\s*\|\s*default\b")
_ALONE = re.compile(r"^\s*(?:\{\{-?\s*(?:/\*.*?\*/|[^{}]*?)\s*-?\}\}\s*)+$")
_INLINE = re.compile(r"\{\{-?.*?-?\}\}")
_PLACEHOLDER = "TEMPLATED"
_LARGE = 10**6  # smallest number that Go writes with an exponent


def findings(world: World) -> Iterator[Finding]:
    """Yield all findings about the ApplicationSets of a tree."""
    for made in world.sets:
        yield from _templates(made)
        yield from _types(made.item)
        yield from _patch(made.item)
        yield from _globs(world, made.item)
        yield from _failures(made)
        yield from _wave(made.item)
    yield from _components(world)


def _templates(made: Generated) -> Iterator[Finding]:
    item = made.item
    written = list(texts(item.spec.get("template"), ("spec", "template")))
    written += texts(item.spec.get("templatePatch"), ("spec", "templatePatch"))
    used = [path for path, text in written if any(_FIELD.search(action) for action in actions(text))]
    if not item.spec.get("goTemplate"):
        if used:
            yield finding("go-template-off", item.at(*used[0]), "the template uses fields, but goTemplate is not true")
        return
    if STRICT not in sequence(item.spec, "goTemplateOptions"):
        message = f"ApplicationSet {item.name} allows absent keys"
        yield finding("missingkey-not-error", item.at("spec", "goTemplate"), message)
        return
    for path, text in written:
        for action in actions(text):
            for match in _DEFAULT.finditer(action):
                chain = match[1] or match[2]
                where = _within(item, path, match[0])
                yield finding("default-with-missingkey", where, f"default over {chain}, which may be absent")


def _within(item: KubeObject, path: KeyPath, text: str) -> Location:
    """Return the place of a text in a scalar: its line in a block scalar, else that of the key."""
    start = item.at(*path)
    value: Any = item.data
    for key in path:
        value = value[key]
    for number, line in enumerate(str(value).split("\n"), 1):
        if text in line and "\n" in str(value):
            return _block(start, number, line.index(text) + 1)
    return start


def _block(start: Location, number: int, column: int) -> Location:
    """Return the place of a line and column of a block scalar whose key is at `start`."""
    lines = read_source(start.file).decode("utf-8", "replace").split("\n")
    indent = next((len(line) - len(line.lstrip()) for line in lines[start.line :] if line.strip()), 0)
    return Location(file=start.file, line=start.line + number, column=indent + column)


def _types(item: KubeObject) -> Iterator[Finding]:
    """Yield texts with placeholders in place of a boolean, number, list or map."""
    spec = mapping(item.spec, "template", "spec")
    for path, text in texts(spec):
        kind = type_of(path)
        if "{{" in text and kind not in {None, "string", "any"} if isinstance(kind, str | None) else "{{" in text:
            word = kind if isinstance(kind, str) else "list" if isinstance(kind, list) else "map"
            where = item.at("spec", "template", "spec", *path)
            yield finding("templated-type", where, f"{dotted(path)} is a {word}, but the template writes text")


def _patch(item: KubeObject) -> Iterator[Finding]:
    """Yield the mistakes of the templatePatch, read with placeholders for its actions."""
    text = item.spec.get("templatePatch")
    lines = [
        "" if _ALONE.match(line) else _INLINE.sub(_PLACEHOLDER, line.replace('"{{', "{{").replace('}}"', "}}"))
        for line in (text if isinstance(text, str) else "").split("\n")
    ]
    document = next(iter(parse_stream("\n".join(lines).encode(), item.document.file)), None)
    if document is None:
        return
    start = item.at("spec", "templatePatch")

    def at(path: KeyPath) -> Location:
        where = document.at(path)
        return _block(start, where.line, where.column)

    if document.problems and not document.data:
        problem = document.problems[0]
        where = _block(start, problem.where.line, problem.where.column)
        yield finding("patch-not-yaml", where, f"templatePatch {problem.message}")
        return
    data = mapping(document.data)
    for key in data:
        if key not in {"metadata", "spec", "apiVersion", "kind"}:
            hint = did_you_mean(key, ("metadata", "spec"))
            yield finding("patch-unknown-key", at((key,)), f"templatePatch has the unknown key {key!r}", hint)
    yield from _unknown_keys(data.get("spec"), (), at)
    if "project" in mapping(data, "spec"):
        yield finding("patch-changes-project", at(("spec", "project")), "templatePatch sets spec.project")
    template = sequence(item.spec, "template", "spec", "sources")
    patched = mapping(data, "spec").get("sources")
    if template and isinstance(patched, list):
        yield from _lost_sources(template, patched, at)


def _unknown_keys(data: Any, path: KeyPath, at: Any) -> Iterator[Finding]:
    if isinstance(data, Mapping):
        schema = type_of(path)
        for key, value in data.items():
            if _PLACEHOLDER in key:
                continue
            kind = type_of((*path, key))
            if kind is None and isinstance(schema, Mapping):
                hint = did_you_mean(key, schema)
                message = f"templatePatch has the unknown key {dotted(('spec', *path, key))!r}"
                yield finding("patch-unknown-key", at(("spec", *path, key)), message, hint)
            else:
                yield from _unknown_keys(value, (*path, key), at)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _unknown_keys(value, (*path, index), at)


def _lost_sources(template: list[Any], patched: list[Any], at: Any) -> Iterator[Finding]:
    left = {_source_name(mapping(one)) for one in patched}
    lost = [name for one in template if (name := _source_name(mapping(one))) not in left]
    if len(patched) < len(template) or any(name.startswith("ref ") for name in lost):
        names = ", ".join(lost) or f"{len(template) - len(patched)} of {len(template)}"
        message = f"templatePatch replaces sources and loses: {names}"
        yield finding("patch-drops-source", at(("spec", "sources")), message)


def _source_name(source: Mapping[str, Any]) -> str:
    if source.get("ref"):
        return f"ref {source['ref']}"
    return str(source.get("chart") or source.get("path") or source.get("repoURL"))


def _globs(world: World, item: KubeObject) -> Iterator[Finding]:
    for path, git in git_generators(item.spec.get("generators"), ("spec", "generators")):
        files = sequence(git, "files")
        deeper = git_files(world.tree, git) - git_files(world.tree, git, greedy=False)
        wide = next((n for n, one in enumerate(files) if "*" in str(mapping(one).get("path"))), None)
        if deeper and wide is not None:
            names = ", ".join(map(str, sorted(deeper)[:2])) + (" …" if len(deeper) > 2 else "")  # noqa: PLR2004
            pattern = mapping(files[wide]).get("path")
            yield finding("greedy-glob", item.at(*path, "files", wide, "path"), f"{pattern} also matches {names}")


def _failures(made: Generated) -> Iterator[Finding]:
    """Yield templates that fail for some parameters, which blocks the whole set."""
    for parameters, error in made.failures:
        source = parameters.path or "its parameters"
        where = parameters.document.at() if parameters.document else made.item.at("spec", "template")
        if isinstance(error, MissingKey):
            combined = "only the clusters generator sets .metadata: combine the two in a matrix"
            hint = combined if error.chain.startswith(".metadata") else ""
            message = f"{source} has no {error.chain}, which ApplicationSet {made.item.name} reads"
            yield finding("template-key-missing", where, message, hint)
        else:
            yield finding("template-fails", where, f"{source}: {error.message}")


def _wave(item: KubeObject) -> Iterator[Finding]:
    path = ("template", "metadata", "annotations")
    if SYNC_WAVE in mapping(item.spec, *path):
        where = item.at("spec", *path, SYNC_WAVE)
        yield finding("wave-on-generated", where, f"ApplicationSet {item.name} gives its Applications a sync-wave")


def _components(world: World) -> Iterator[Finding]:
    """Yield problems of files that git generators read: unused keys, reserved keys, numbers."""
    readers: dict[Path, list[Generated]] = {}
    documents: dict[Path, Document] = {}
    for made in world.sets:
        for one in made.parameters:
            if one.document is not None and one.path is not None:
                readers.setdefault(one.document.file, []).append(made)
                documents[one.document.file] = one.document
    for file, sets in readers.items():
        document = documents[file]
        data = mapping(document.data)
        mentioned = {name for made in sets for name in _mentioned(made.item)}
        for key in data:
            if key in {"path", "values"}:
                message = f"the top-level key {key!r} is overwritten"
                yield finding("component-reserved-key", document.at((key,)), message)
            elif key not in mentioned:
                hint = did_you_mean(key, mentioned)
                yield finding("component-unknown-key", document.at((key,)), f"no ApplicationSet reads {key!r}", hint)
            elif isinstance(data[key], Mapping):
                yield from _nested(document, key, data[key], sets, mentioned)
        yield from _numbers(document)
    if any(made.parameters for made in world.sets):
        for path, source in world.tree.by_path.items():
            if path.name == "component.yaml" and source.documents and source.documents[0].file not in readers:
                yield finding("component-not-generated", source.documents[0].at(), "no ApplicationSet reads this file")


def _nested(
    document: Document, key: str, value: Mapping[str, Any], sets: list[Generated], mentioned: set[str]
) -> Iterator[Finding]:
    """Yield the keys of a map that the templates read field by field, and never as a whole."""
    every = [action for made in sets for action in _actions(made.item)]
    whole = re.compile(rf"(?<![\w.])\$?\.{re.escape(key)}(?![\w.])")
    if any(whole.search(action) and not _BY_NAME.search(action) for action in every):
        return
    for name in value:
        if name not in mentioned:
            message = f"no ApplicationSet reads '{key}.{name}'"
            yield finding("component-unknown-key", document.at((key, name)), message, did_you_mean(name, mentioned))


def _actions(item: KubeObject) -> Iterator[str]:
    for _, text in texts(item.spec):
        yield from actions(text)


def _mentioned(item: KubeObject) -> Iterator[str]:
    """Yield every name that an action of the ApplicationSet could read; matchLabels and steps read labels only."""
    for action in _actions(item):
        for chain in re.finditer(r"(?<![\w\"`])((?:\.[A-Za-z_]\w*)+)", action):
            yield from chain[1].strip(".").split(".")
        yield from _LITERAL.findall(action)


def _numbers(document: Document) -> Iterator[Finding]:
    data = mapping(document.data)
    for key in ("wave", "syncWave", "sync-wave"):
        if isinstance(data.get(key), int | float) and not isinstance(data.get(key), bool):
            yield finding("unquoted-wave", document.at((key,)), f"{key} is the number {data[key]}")
    for path, value in leaves(data):
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _LARGE:
            yield finding("unquoted-wave", document.at(path), f"{dotted(path)} is a large number, {value}")
