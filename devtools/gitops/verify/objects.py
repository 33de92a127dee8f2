"""Rules for objects of both engines: kustomizations, CRDs, secrets, unused files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from devtools.base.open_file import read_source
from devtools.base.yaml_positions import Document, parse_stream
from devtools.gitops.tree.applications import wave_of
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
    texts,
)
from devtools.gitops.verify.applications import Application, World
from devtools.gitops.verify.argocd import objects_of, value_paths
from devtools.gitops.verify.finding import Finding, finding
from devtools.gitops.verify.flux import KUSTOMIZE, generators, same
from devtools.planning.graph import reached

_LARGEST_ANNOTATION = 262_144  # bytes, of all annotations of an object
_DEPRECATED = {
    "commonLabels": "use labels",
    "bases": "use resources",
    "patchesStrategicMerge": "use patches",
    "patchesJson6902": "use patches",
    "vars": "use replacements",
}
_LISTS = ("resources", "components", "configurations", "crds", "generators", "transformers")
_SOURCE = re.compile(rb"^# Source: \S+/templates/\S+", re.MULTILINE)
_ENCRYPTED = re.compile(r"ENC\[[A-Z0-9_]+,")
_PLACEHOLDER = re.compile(r"\$\{\w+(?::?[=-][^}]*)?\}|\{\{.*\}\}|<[\w -]+>|")
_PUBLIC = frozenset({"name", "server", "url", "type", "project", "enableOCI", "insecure", "namespaces", "username"})
_LEFTOVERS = frozenset({"manifests.yaml", "manifests.yml", "rendered.yaml"})


def findings(world: World) -> Iterator[Finding]:
    """Yield all findings about kustomizations and plain objects of a tree."""
    tree = world.tree
    listed: set[PurePosixPath] = set()
    for path, source in tree.by_path.items():
        is_flux = "toolkit.fluxcd.io" in str(source.data.get("apiVersion"))
        if path.name in KUSTOMIZATIONS and source.documents and not is_flux:
            yield from _kustomize(tree, path, source.documents[0], listed)
    for path, source in tree.by_path.items():
        yield from _left_out(tree, path, source, listed)
        yield from _leftover(tree, path, source)
    for item in tree.of("Secret", ""):
        yield from _secret(item)
    yield from _secret_literals(tree)
    yield from _secret_values(world)
    yield from _crds(world)
    yield from _before_crd(world)


def _kustomize(tree: Tree, path: PurePosixPath, document: Document, listed: set[PurePosixPath]) -> Iterator[Finding]:
    data = mapping(document.data)
    listed.add(path)
    for key, way in _DEPRECATED.items():
        if key in data:
            yield finding("kustomize-deprecated", document.at((key,)), f"{key} is deprecated", way)
    for keys, name in _named_files(data):
        if "://" in name or name.startswith(("git@", "github.com/")) or "\n" in name:
            continue
        clean = normal(f"{path.parent}/{name}")
        if clean is None or not tree.has(str(clean)):
            yield finding("kustomize-file-missing", document.at(keys), f"{name} does not exist")
        else:
            listed.add(clean)


def _named_files(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for key in _LISTS:
        for index, name in enumerate(sequence(data, key)):
            if isinstance(name, str):
                yield (key, index), name
    for key in ("patches", "patchesStrategicMerge", "replacements"):
        for index, one in enumerate(sequence(data, key)):
            name = one if isinstance(one, str) else mapping(one).get("path")
            if isinstance(name, str):
                yield (key, index), name
    for key in ("configMapGenerator", "secretGenerator"):
        for index, one in enumerate(maps(data, key)):
            for place, text in enumerate(sequence(one, "files")):
                yield (key, index, "files", place), str(text).rpartition("=")[2]


def _left_out(tree: Tree, path: PurePosixPath, source: Source, listed: set[PurePosixPath]) -> Iterator[Finding]:
    """Yield objects next to a kustomization that does not list them."""
    if path in listed or path.name in KUSTOMIZATIONS or tree.chart_of(path):
        return
    beside = any(path.parent / name in listed for name in KUSTOMIZATIONS)
    data = [mapping(one.data) for one in source.documents]
    if beside and any(one.get("kind") and one.get("apiVersion") for one in data):
        yield finding("not-in-kustomization", source.documents[0].at(), f"the kustomization does not list {path.name}")


def _leftover(tree: Tree, path: PurePosixPath, source: Source) -> Iterator[Finding]:
    if tree.chart_of(path) or not source.documents:
        return
    match = _SOURCE.search(source.raw)
    if match:
        where = place_in(source.raw, match.start(), source.documents[0].file)
        yield finding("rendered-manifests", where, f"{path.name} holds what a chart was rendered to")
    elif path.name in _LEFTOVERS and any(mapping(one.data).get("kind") for one in source.documents):
        yield finding("rendered-manifests", source.documents[0].at(), f"{path.name} looks like rendered manifests")


def _secret(item: KubeObject) -> Iterator[Finding]:
    """Yield the keys of a Secret in plain text, except for the public ones of Argo CD's own Secrets."""
    public = _PUBLIC if item.labels.get("argocd.argoproj.io/secret-type") else ()
    for key in ("data", "stringData"):
        for name, value in mapping(item.data, key).items():
            text = str(value if value is not None else "")
            if not _ENCRYPTED.match(text) and not _PLACEHOLDER.fullmatch(text) and name not in public:
                yield finding("plain-secret", item.at(key, name), f"Secret {item.name} has {name} in plain text")


def _secret_literals(tree: Tree) -> Iterator[Finding]:
    for one in generators(tree, "Secret"):
        for index, text in enumerate(sequence(one.entry, "literals")):
            if not _PLACEHOLDER.fullmatch(str(text).partition("=")[2]):
                message = f"secretGenerator {one.name} has a literal in plain text"
                yield finding("plain-secret", one.at("literals", index), message)


def _secret_values(world: World) -> Iterator[Finding]:
    """Yield values under secret keys that look generated, in the value files that the tree names."""
    from devtools.redaction.keys import is_secret, looks_random

    tree = world.tree
    paths = (path for one in world.applications for path in value_paths(world, one))
    named = {clean for path in paths if (clean := normal(path)) is not None}
    named |= {path for one in generators(tree) for _, path in one.files()}
    for path in sorted(named):
        for document in _documents(tree, path):
            if "sops" in mapping(document.data):
                continue
            for keys, value in texts(document.data):
                random = looks_random(value) and not _ENCRYPTED.match(value) and not _PLACEHOLDER.fullmatch(value)
                if random and is_secret(map(str, keys), value):
                    names = ".".join(map(str, keys))
                    yield finding("plain-secret", document.at(keys), f"{names} looks like a secret in plain text")


def _documents(tree: Tree, path: PurePosixPath) -> tuple[Document, ...]:
    """Return the documents of a file of the repository, in the directory that was read or outside."""
    if path in tree.by_path:
        return tree.by_path[path].documents
    try:
        return parse_stream(read_source(tree.root / path), tree.root / path)
    except OSError:
        return ()


def _applied(world: World) -> Iterator[tuple[Application, KubeObject]]:
    """Yield each Application with the objects of this repository that it applies."""
    for application in world.applications:
        for _, source in application.sources:
            yield from ((application, item) for item in objects_of(world, source))


def _crds(world: World) -> Iterator[Finding]:
    reported: set[int] = set()
    for application, item in _applied(world):
        if item.kind != "CustomResourceDefinition" or id(item) in reported:
            continue
        size = len(json.dumps(item.data, separators=(",", ":")).encode())
        if size > _LARGEST_ANNOTATION and "ServerSideApply=true" not in application.options:
            reported.add(id(item))
            message = f"CRD {item.name} has {size:,} bytes, and {application.name} does not apply it server-side"
            yield finding("crd-too-large", item.at("metadata", "name"), message)


def _before_crd(world: World) -> Iterator[Finding]:
    """Yield custom resources that are not applied after the tree's CRD that defines them."""
    crds = {
        (str(item.spec.get("group")), str(mapping(item.spec, "names").get("kind"))): item
        for item in world.tree.of("CustomResourceDefinition")
    }
    if not crds:
        return
    yield from _argo_order(world, crds)
    yield from _flux_order(world, crds)


def _argo_order(world: World, crds: Mapping[tuple[str, str], KubeObject]) -> Iterator[Finding]:
    owner = {id(item): app for app, item in _applied(world) if item.kind == "CustomResourceDefinition"}
    for application, item in _applied(world):
        crd = crds.get((item.group, item.kind))
        bringer = owner.get(id(crd)) if crd else None
        if crd is None or bringer is None:
            continue
        if bringer is application:
            late = wave_of(item.annotations) < wave_of(crd.annotations)
            what = "in a later wave of the same Application"
        else:
            late = application.position <= bringer.position
            what = f"by Application {bringer.name}, which is not ordered before {application.name}"
        if late:
            message = f"{item.kind} {item.name}: its CRD comes {what}"
            yield finding("custom-resource-before-crd", item.at("kind"), message)


def _flux_order(world: World, crds: Mapping[tuple[str, str], KubeObject]) -> Iterator[Finding]:
    tree = world.tree
    items = tree.of("Kustomization", KUSTOMIZE)
    owners = {id(one): item for item in items for one in tree.below(str(item.spec.get("path") or "./"))}
    for item in tree.objects:
        crd = crds.get((item.group, item.kind))
        mine, theirs = owners.get(id(item)), owners.get(id(crd)) if crd else None
        if crd is None or mine is None or theirs is None or mine is theirs:
            continue
        if not _reaches(tree, items, mine, theirs):
            message = f"{item.kind} {item.name}: Kustomization {mine.name} does not depend on {theirs.name}, its CRD's"
            yield finding("custom-resource-before-crd", item.at("kind"), message, f"add dependsOn: {theirs.name}")


def _reaches(tree: Tree, items: tuple[KubeObject, ...], start: KubeObject, target: KubeObject) -> bool:
    by_id = {id(item): item for item in items}

    def needs(key: int) -> Iterator[int]:
        for one in maps(by_id[key].spec, "dependsOn"):
            found = same(tree, items, one.get("name"), str(one.get("namespace") or ""))
            yield from [id(found)] if found is not None else []

    return id(target) in reached([id(start)], needs)
