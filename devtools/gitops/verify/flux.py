"""Rules for Flux's objects: releases, sources, dependencies, Kustomizations, image automation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_file
from devtools.base.yaml_positions import KeyPath
from devtools.errors import Location
from devtools.gitops.tree.read import (
    KUSTOMIZATIONS,
    KubeObject,
    Source,
    Tree,
    mapping,
    maps,
    normal,
    place_in,
    sequence,
)
from devtools.gitops.verify.applications import World
from devtools.gitops.verify.argocd import is_pinned
from devtools.gitops.verify.finding import Finding, finding
from devtools.planning.graph import back_edges

HELM, KUSTOMIZE, SOURCE, IMAGE = (f"{name}.toolkit.fluxcd.io" for name in ("helm", "kustomize", "source", "image"))
_BOOTSTRAP = "flux-system"  # `flux bootstrap` makes its source
_RELEASE = ("releaseName", "targetNamespace", "storageNamespace")
_WATCH = "reconcile.fluxcd.io/watch"
_MARKER = re.compile(rb"#[^\S\n]*(\{\"\$imagepolicy\".*\})\s*$", re.MULTILINE)


_CURRENT = read_map(read_file(Path(__file__).with_name("current_versions.yaml")))  # by group and kind


def current_version(item: KubeObject) -> str:
    """Return the version of an object's kind that current controllers serve; empty if it is not known."""
    version: str = _CURRENT.get(item.group, {}).get(item.kind, "")
    return version


def findings(world: World) -> Iterator[Finding]:
    """Yield all findings about Flux's objects in a tree."""
    tree = world.tree
    yield from _versions(tree)
    for release in tree.of("HelmRelease", HELM):
        yield from _chart(tree, release)
        yield from _identity(release)
        yield from _values(tree, release)
    for item in tree.of("Kustomization", KUSTOMIZE):
        yield from _kustomization(tree, item)
    for kind, group in (("HelmRelease", HELM), ("Kustomization", KUSTOMIZE)):
        yield from _dependencies(tree, tree.of(kind, group), kind)
    yield from _markers(tree)


def namespace_of(tree: Tree, item: KubeObject) -> str:
    """Return the namespace of an object: its own, else that of the kustomization that lists its file."""
    if item.namespace:
        return item.namespace
    for parent in item.path.parents:
        for name in KUSTOMIZATIONS:
            if namespace := tree.data_of(parent / name).get("namespace"):
                return str(namespace)
    return ""


def same(tree: Tree, found: Iterable[KubeObject], name: Any, namespace: str) -> KubeObject | None:
    """Return the object of a name and namespace; an object without a namespace matches every one."""
    for item in found:
        if item.name == name:
            at = namespace_of(tree, item)
            if not at or not namespace or at == namespace:
                return item
    return None


def _versions(tree: Tree) -> Iterator[Finding]:
    for item in tree.objects:
        if item.group.endswith("kro.run") and item.kind == "ResourceGroup":
            hint = "use ResourceGraphDefinition"
            yield finding("old-api-version", item.at("kind"), "ResourceGroup is the former name of the kind", hint)
        current = current_version(item)
        version = item.api_version.partition("/")[2]
        if current and version != current and _older(version, current):
            hint = f"use {item.group}/{current}"
            yield finding("old-api-version", item.at("apiVersion"), f"{item.kind} {item.name} has {version}", hint)


def _older(version: str, current: str) -> bool:
    def rank(text: str) -> tuple[int, int, int]:
        match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", text)
        if match is None:
            return (99, 0, 0)
        return (int(match[1]), {"alpha": 0, "beta": 1}.get(match[2] or "", 2), int(match[3] or 0))

    return rank(version) < rank(current)


def _chart(tree: Tree, release: KubeObject) -> Iterator[Finding]:
    spec = release.spec
    chart, reference = mapping(spec, "chart", "spec"), mapping(spec, "chartRef")
    if chart and reference:
        yield finding("chart-and-chart-ref", release.at("spec", "chartRef"), f"{release.name} has chart and chartRef")
    source = mapping(chart, "sourceRef")
    where = ("spec", "chart", "spec", "sourceRef")
    if source.get("kind") == "OCIRepository":
        message = f"chart.spec.sourceRef of {release.name} is an OCIRepository"
        yield finding("source-kind", release.at(*where, "kind"), message)
    elif source:
        yield from _source(tree, release, source, where)
    if reference:
        yield from _source(tree, release, reference, ("spec", "chartRef"))
    if chart and source.get("kind") == "HelmRepository" and not is_pinned(chart.get("version")):
        version = chart.get("version") or "no version, so the newest"
        where_version = release.at("spec", "chart", "spec", "version")
        yield finding("unpinned-version", where_version, f"chart {chart.get('chart')} is not pinned: {version}")
    if reference.get("kind") == "OCIRepository" and (
        repository := same(tree, tree.of("OCIRepository", SOURCE), reference.get("name"), "")
    ):
        ref = mapping(repository.spec, "ref")
        if not ref.get("digest") and (ref.get("semver") or not is_pinned(ref.get("tag"))):
            version = ref.get("semver") or ref.get("tag") or "latest"
            at = repository.at("spec", "ref", "semver" if ref.get("semver") else "tag")
            yield finding("unpinned-version", at, f"OCIRepository {repository.name} is not pinned: {version}")


def _source(tree: Tree, item: KubeObject, reference: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Finding]:
    kind, name = str(reference.get("kind") or ""), str(reference.get("name") or "")
    namespace = str(reference.get("namespace") or namespace_of(tree, item))
    if name == _BOOTSTRAP or not kind:
        return
    if same(tree, tree.of(kind), name, namespace) is None:
        message = f"{item.kind} {item.name} uses {kind} {name}" + (f" of {namespace}" if namespace else "")
        yield finding("source-missing", item.at(*path, "name"), f"{message}, which is not in the tree")


def _identity(release: KubeObject) -> Iterator[Finding]:
    if missing := [key for key in _RELEASE if not release.spec.get(key)]:
        message = f"HelmRelease {release.name} does not set {', '.join(missing)}"
        yield finding("release-identity-missing", release.at("spec"), message)
    if mapping(release.spec, "upgrade").get("crds") is None:
        where = release.at("spec", "upgrade")
        yield finding("upgrade-crds-missing", where, f"HelmRelease {release.name} does not set upgrade.crds")


def _values(tree: Tree, release: KubeObject) -> Iterator[Finding]:
    references = sequence(release.spec, "valuesFrom")
    if references and release.spec.get("values"):
        message = f"spec.values of {release.name} outranks its valuesFrom"
        yield finding("inline-values-win", release.at("spec", "values"), message)
    for index, one in enumerate(map(mapping, references)):
        kind, name = str(one.get("kind") or ""), str(one.get("name") or "")
        where = release.at("spec", "valuesFrom", index, "name")
        if kind not in {"ConfigMap", "Secret"}:
            where = release.at("spec", "valuesFrom", index, "kind")
            yield finding("values-from-kind", where, f"valuesFrom of {release.name} names a {kind}")
            continue
        written = same(tree, tree.of(kind, ""), name, namespace_of(tree, release))
        made = next((found for found in generators(tree, kind) if found.name == name), None)
        targets = ((mapping(item.spec, "target").get("name") or item.name) for item in tree.of("ExternalSecret"))
        external = kind == "Secret" and name in map(str, targets)
        if written is None and made is None and not external and not one.get("optional"):
            message = f"{kind} {name}, from which {release.name} takes values, is not in the tree"
            yield finding("values-from-missing", where, message)
        elif made is not None:
            yield from _generator(tree, release, made, where)
        elif written is not None and written.labels.get(_WATCH) != "Enabled":
            yield finding("values-not-watched", written.at("metadata", "labels"), f"{kind} {name} is not watched")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """An entry of `configMapGenerator` or `secretGenerator`, and the name that it generates."""

    source: Source  # the kustomization
    path: KeyPath
    name: str
    entry: Mapping[str, Any]

    @property
    def directory(self) -> PurePosixPath:
        """The directory of the kustomization."""
        return self.source.path.parent

    def at(self, *path: str | int) -> Location:
        """Return the place of a key of the entry."""
        return self.source.documents[0].at((*self.path, *path))

    @property
    def options(self) -> list[Mapping[str, Any]]:
        """Its options: its own, then those for all generators of the kustomization."""
        return [mapping(self.entry, "options"), mapping(self.source.data, "generatorOptions")]

    def files(self) -> Iterator[tuple[str, PurePosixPath]]:
        """Yield the key and the path of each file, from the repository's root."""
        for text in map(str, sequence(self.entry, "files")):
            key, _, file = text.rpartition("=")
            if (path := normal(f"{self.directory}/{file}")) is not None:
                yield key or path.name, path


def generators(tree: Tree, *kinds: str) -> Iterator[Generator]:
    """Yield each generator of ConfigMaps and Secrets, or of one of them."""
    keys = {"ConfigMap": "configMapGenerator", "Secret": "secretGenerator"}
    for key in (keys[kind] for kind in kinds or keys):
        for source in (one for one in tree.sources if one.path.name in KUSTOMIZATIONS):
            data = source.data
            for index, entry in enumerate(maps(data, key)):
                name = f"{data.get('namePrefix') or ''}{entry.get('name')}{data.get('nameSuffix') or ''}"
                yield Generator(source=source, path=(key, index), name=name, entry=entry)


def _generator(tree: Tree, release: KubeObject, made: Generator, where: Location) -> Iterator[Finding]:
    if _first(made.options, "disableNameSuffixHash"):
        if _first([mapping(one, "labels") for one in made.options], _WATCH) != "Enabled":
            yield finding("values-not-watched", made.at(), f"the generated {made.name} is not watched")
        return
    configurations = sequence(made.source.data, "configurations")
    if not any(_renames(tree, made.directory, str(one)) for one in configurations):
        message = f"{made.name} gets a hash, but {made.source.path} does not rename it in HelmRelease {release.name}"
        yield finding("values-from-suffix", where, message)


def _first(maps: Iterable[Mapping[str, Any]], key: str) -> Any:
    """Return the value of a key in the first map that has it."""
    return next((one[key] for one in maps if key in one), None)


def _renames(tree: Tree, directory: PurePosixPath, file: str) -> bool:
    """Return whether a kustomize configuration has a nameReference for valuesFrom of HelmReleases."""
    clean = normal(f"{directory}/{file}")
    references = maps(tree.data_of(clean), "nameReference") if clean else []
    fields = (one for reference in references for one in maps(reference, "fieldSpecs"))
    return any("valuesFrom" in str(one.get("path")) and one.get("kind") == "HelmRelease" for one in fields)


def _kustomization(tree: Tree, item: KubeObject) -> Iterator[Finding]:
    path = str(item.spec.get("path") or "./")
    reference = mapping(item.spec, "sourceRef")
    if reference:
        yield from _source(tree, item, reference, ("spec", "sourceRef"))
    local = reference.get("kind", "GitRepository") == "GitRepository"
    if local and not tree.has(path):
        message = f"path {path} of Kustomization {item.name} does not exist"
        yield finding("kustomization-path-missing", item.at("spec", "path"), message)
    if item.spec.get("wait") is True and (item.spec.get("healthChecks")):
        where = item.at("spec", "healthChecks")
        yield finding("health-checks-ignored", where, f"Kustomization {item.name} has wait: true and healthChecks")
    if local and not item.spec.get("decryption"):
        encrypted = next((one for one in tree.below(path) if "sops" in one.data), None)
        if encrypted is not None:
            what = f"{encrypted.path.name}, which SOPS encrypted, without decryption"
            yield finding("decryption-missing", item.at("spec"), f"Kustomization {item.name} applies {what}")


def _dependencies(tree: Tree, items: tuple[KubeObject, ...], kind: str) -> Iterator[Finding]:
    other = "Kustomization" if kind == "HelmRelease" else "HelmRelease"
    numbers = {id(item): number for number, item in enumerate(items)}
    edges: dict[int, list[int]] = {number: [] for number in numbers.values()}
    places: dict[tuple[int, int], Location] = {}
    for number, item in enumerate(items):
        for index, one in enumerate(maps(item.spec, "dependsOn")):
            name = one.get("name")
            namespace = str(one.get("namespace") or namespace_of(tree, item))
            where = item.at("spec", "dependsOn", index, "kind" if "kind" in one else "name")
            found = same(tree, items, name, namespace)
            if found is not None and "kind" not in one:
                edges[number].append(numbers[id(found)])
                places[number, edges[number][-1]] = where
                continue
            alien = one.get("kind", kind) != kind or same(tree, tree.of(other), name, namespace) is not None
            rule = "depends-on-other-kind" if alien else "depends-on-missing"
            kinds = f"{one.get('kind', other)} {name}" if alien else f"{name}, which is not in the tree"
            yield finding(rule, where, f"{kind} {item.name} depends on {kinds}")
    for cycle in back_edges(edges):
        names = " → ".join(items[n].name for n in cycle)
        yield finding("depends-on-cycle", places[cycle[-2], cycle[-1]], f"{kind}s depend on each other: {names}")


def _markers(tree: Tree) -> Iterator[Finding]:
    policies = {f"{item.namespace}:{item.name}" for item in tree.of("ImagePolicy", IMAGE)}
    for source in tree.sources:
        for match in _MARKER.finditer(source.raw):
            try:
                text = str(json.loads(match[1])["$imagepolicy"])
            except (ValueError, KeyError, TypeError):
                text = match[1].decode("utf-8", "replace")
            name = ":".join(text.split(":")[:2])
            if name not in policies:
                where = place_in(source.raw, match.start(), tree.root / source.path)
                yield finding("image-policy-missing", where, f"ImagePolicy {name} of this marker is not in the tree")
