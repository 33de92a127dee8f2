"""Rules for Applications, written or generated."""

from __future__ import annotations

import contextlib
import fnmatch
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from devtools.base.open_file import read_source
from devtools.base.yaml_positions import KeyPath
from devtools.gitops.tree.applications import place_of, value_files_of
from devtools.gitops.tree.read import KubeObject, Tree, mapping, normal, place_in, sequence
from devtools.gitops.verify.applications import Application, World
from devtools.gitops.verify.finding import Finding, finding

_FINALIZER = "resources-finalizer.argocd.argoproj.io"
_EXACT = re.compile(r"v?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?|(?:sha256:)?[0-9a-f]{40,64}")
_ARCHIVES = (".tgz", ".tar.gz", ".zip")
_ARGO_HOOK = re.compile(rb"argocd\.argoproj\.io/hook[\"']?\s*:")
_HELM_HOOK = re.compile(rb"helm\.sh/hook[\"']?\s*:\s*[\"']?(?!test)")
Source = tuple[KeyPath, Mapping[str, Any]]


def is_pinned(version: Any) -> bool:
    """Return whether a version is exact; a range, `latest` and an empty one are not."""
    return _EXACT.fullmatch(str(version or "")) is not None


def findings(world: World) -> Iterator[Finding]:
    """Yield all findings about the Applications of a tree."""
    yield from _names(world)
    yield from _hooks(world)
    for application in world.applications:
        yield from _finalizer(world, application)
        yield from _references(application)
        for source in application.sources:
            yield from _source(world, application, source)
            yield from _value_files(world, application, source)


def _names(world: World) -> Iterator[Finding]:
    first: dict[tuple[str, str], Application] = {}
    for one in world.applications:
        key = (one.name, one.namespace or one.written.namespace)
        other = first.setdefault(key, one)
        if other is not one:
            message = f"Application {one.name} is also made by {other.origin.file.name}:{other.origin.line}"
            yield finding("duplicate-application", one.origin, message)


def _finalizer(world: World, application: Application) -> Iterator[Finding]:
    finalizers = sequence(application.metadata, "finalizers")
    cascades = any(str(one).startswith(_FINALIZER) for one in finalizers)
    project = application.spec.get("project")
    applied = (item for _, source in application.sources for item in objects_of(world, source))
    if any(item.kind == "AppProject" and item.name == project for item in applied):
        if cascades:
            message = f"Application {application.name} deletes its own project {project} before itself"
            yield finding("finalizer-stuck", application.at("metadata", "finalizers"), message)
    elif not application.generated and not cascades and "Prune=false" not in application.options:
        message = f"Application {application.name} has no finalizer"
        yield finding("finalizer-missing", application.at("metadata"), message)


def _references(application: Application) -> Iterator[Finding]:
    refs = application.refs
    for path, source in application.sources:
        for index, text in enumerate(value_files_of(source)):
            where = application.at(*path, "helm", "valueFiles", index, value=text)
            if text.startswith("$"):
                name = text[1:].partition("/")[0]
                if name not in refs:
                    known = f"; its refs: {', '.join(sorted(refs))}" if refs else ""
                    yield finding("ref-undefined", where, f"{text} uses ${name}, but no source has that ref{known}")
            elif re.search(r"/\$\w+/", text):
                yield finding("ref-not-first", where, f"{text} has a reference in the middle")


def _source(world: World, application: Application, found: Source) -> Iterator[Finding]:
    path, source = found
    chart, directory = str(source.get("chart") or ""), str(source.get("path") or "")
    where = application.at(*path, "path", value=directory)
    if chart and directory:
        yield finding("chart-and-path", where, f"source {chart} has a chart and the path {directory}")
    if chart and source.get("ref"):
        message = f"the source with ref {source['ref']} has the chart {chart}"
        yield finding("ref-with-chart", application.at(*path, "ref"), message)
    if directory.endswith(_ARCHIVES):
        yield finding("archive-as-path", where, f"path {directory} is an archive")
    elif directory and not chart and world.is_ours(source.get("repoURL")) and not world.tree.has(directory):
        yield finding("source-path-missing", where, f"{directory} does not exist in this repository")
    is_oci = str(source.get("repoURL") or "").startswith("oci://")
    version = source.get("targetRevision")
    if (chart or is_oci) and not is_pinned(version):
        message = f"{chart or source['repoURL']} is not pinned: {version or 'no version'!s}"
        yield finding("unpinned-version", application.at(*path, "targetRevision", value=version), message)
    helm = mapping(source, "helm")
    inline = [key for key in ("parameters", "values", "valuesObject") if helm.get(key)]
    if inline and helm.get("valueFiles"):
        message = f"helm.{inline[0]} of {application.name} outranks its value files"
        yield finding("inline-values-win", application.at(*path, "helm", inline[0]), message)


def _value_files(world: World, application: Application, found: Source) -> Iterator[Finding]:
    path, source = found
    for index, text in enumerate(value_files_of(source)):
        at = None if "://" in text or "*" in text else _path_of(world, application, source, text)
        if at is None:
            continue
        where = application.at(*path, "helm", "valueFiles", index, value=text)
        if world.tree.has(at):
            if _is_encrypted(world.tree, at):
                yield finding("encrypted-value-file", where, f"value file {text} is encrypted by SOPS")
            continue
        ignored = mapping(source, "helm").get("ignoreMissingValueFiles")
        message = f"value file {text} of {application.name} does not exist" + (", and is ignored" if ignored else "")
        yield finding("value-file-missing", where, message)


def _is_encrypted(tree: Tree, path: str) -> bool:
    """Return whether SOPS has encrypted a value file: it then has a key `sops` with a `mac`."""
    clean = normal(path)
    try:
        raw = read_source(tree.root / clean) if clean else b""
    except OSError:
        return False
    return re.search(rb"^sops:", raw, re.MULTILINE) is not None and b"ENC[" in raw


def _path_of(world: World, application: Application, source: Mapping[str, Any], written: str) -> str | None:
    """Return a value file's path from this repository's root; None if it is in another repository."""
    place = place_of(written, source, application.refs)
    return place[1] if place and world.is_ours(place[0]) else None


def value_paths(world: World, application: Application) -> Iterator[str]:
    """Yield the value files of this repository that an Application names, the weakest first."""
    for _, source in application.sources:
        for written in value_files_of(source):
            if (path := _path_of(world, application, source, written)) is not None:
                yield str(normal(path) or path)


def chart_of(world: World, source: Mapping[str, Any]) -> PurePosixPath | None:
    """Return the directory of a source in this repository."""
    if source.get("path") and world.is_ours(source.get("repoURL")):
        return normal(str(source["path"]))
    return None


def objects_of(world: World, source: Mapping[str, Any]) -> tuple[KubeObject, ...]:
    """Return the objects of this repository that a source applies, as far as they are written in files."""
    directory = chart_of(world, source)
    if directory is None:
        return ()
    packed = any(directory / name in world.tree.files for name in ("Chart.yaml", "kustomization.yaml"))
    rules = {"recurse": True} if packed else mapping(source, "directory")
    return tuple(item for item in world.tree.below(str(directory)) if _is_chosen(item.path, directory, rules))


def _is_chosen(path: PurePosixPath, directory: PurePosixPath, rules: Mapping[str, Any]) -> bool:
    """Return whether a plain directory's settings choose a file: `recurse`, `include` and `exclude`."""
    name = str(path.relative_to(directory))
    if "/" in name and not rules.get("recurse"):
        return False
    include, exclude = str(rules.get("include") or ""), str(rules.get("exclude") or "")
    return (not include or _matches(name, include)) and not (exclude and _matches(name, exclude))


def _matches(name: str, pattern: str) -> bool:
    """Match a pattern with alternatives, `{apps/*.yaml,projects/*.yaml}`; `*` matches slashes, too."""
    braces = re.fullmatch(r"(.*?)\{([^{}]*)\}(.*)", pattern)
    if braces is None:
        return fnmatch.fnmatchcase(name, pattern)
    return any(_matches(name, f"{braces[1]}{one.strip()}{braces[3]}") for one in braces[2].split(","))


def _hooks(world: World) -> Iterator[Finding]:
    sources = [source for application in world.applications for _, source in application.sources]
    for directory in sorted({found for source in sources if (found := chart_of(world, source)) is not None}):
        files = list(_templates(world.tree, directory))
        argo, helm = (
            next(((file, raw, match) for file, raw in files if (match := pattern.search(raw))), None)
            for pattern in (_ARGO_HOOK, _HELM_HOOK)
        )
        if argo and helm:
            file, raw, match = argo
            message = f"{file.name} has an Argo CD hook, {helm[0].name} a Helm hook"
            yield finding("hooks-mixed", place_in(raw, match.start(), file), message)


def _templates(tree: Tree, directory: PurePosixPath) -> Iterator[tuple[Path, bytes]]:
    """Yield the files below a directory that may have hooks."""
    for path in sorted(tree.files):
        if directory in path.parents and path.suffix in {".yaml", ".yml", ".tpl"}:
            with contextlib.suppress(OSError):
                yield tree.root / path, read_source(tree.root / path)
