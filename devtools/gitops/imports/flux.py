"""Releases of Flux's HelmReleases, of current and of removed API versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from devtools.base.machine_yaml import read_map
from devtools.base.words import shortened
from devtools.gitops.imports.found import (
    Found,
    FoundChart,
    ImportNote,
    Values,
    depths,
    environment_of,
    pairs,
    tier_of,
    value_file,
)
from devtools.gitops.tree.applications import ARGO
from devtools.gitops.tree.read import KUSTOMIZATIONS, KubeObject, Tree, mapping, maps, normal, sequence
from devtools.gitops.verify.flux import HELM, SOURCE, current_version, generators, namespace_of, same

_BESIDE = frozenset({"Namespace", "ConfigMap", "Secret"})
_CONTROLLERS = ("toolkit.fluxcd.io", "kustomize.config.k8s.io", ARGO)
_NAMES = {"timeout": "timeout", "maxHistory": "history"}


def found_in_releases(tree: Tree) -> Iterator[Found | ImportNote]:
    """Yield the release of each HelmRelease, and notes for it and for the tree."""
    releases = tree.of("HelmRelease", HELM)
    needs = {id(item): list(_needs(tree, item, releases)) for item in releases}
    positions = depths({number: [id(one) for one in below] for number, below in needs.items()})
    yield from _conversions(tree)
    for item in releases:
        yield from _found(tree, item, needs[id(item)], positions[id(item)])
    if releases:
        yield from _manifests(tree)


def _manifests(tree: Tree) -> Iterator[ImportNote]:
    """Yield a note for each directory with plain objects; those that releases need or bring are not counted."""
    plain: dict[PurePosixPath, list[KubeObject]] = {}
    for item in tree.objects:
        if item.kind not in _BESIDE and not item.group.endswith(_CONTROLLERS):
            plain.setdefault(item.path.parent, []).append(item)
    for directory, items in plain.items():
        named = shortened([f"{item.kind}/{item.name}" for item in items])
        message = f"{named} not imported: copy the manifests to charts/manifests and name that directory as a chart"
        yield ImportNote(where=items[0].at("kind"), subject=str(directory), message=message, refused=True)


def _needs(tree: Tree, item: KubeObject, releases: tuple[KubeObject, ...]) -> Iterator[KubeObject]:
    """Yield the releases that a release depends on, in the same environment."""
    mine = [one for one in releases if _environment(one) == _environment(item)]
    for one in maps(item.spec, "dependsOn"):
        found = same(tree, mine, one.get("name"), str(one.get("namespace") or namespace_of(tree, item)))
        yield from [found] if found else []


def _environment(item: KubeObject) -> str:
    return environment_of(item.labels, [str(item.path)]) or "dev"


def _conversions(tree: Tree) -> Iterator[ImportNote]:
    """Yield notes about objects in a version that is no longer served, or is deprecated."""
    for item in tree.objects:
        current = current_version(item)
        version = item.api_version.partition("/")[2]
        if current and version != current and item.group.endswith("toolkit.fluxcd.io"):
            message = f"{version} is read as {current}; an export writes {current}"
            yield ImportNote(where=item.at("apiVersion"), subject=f"{item.kind} {item.name}", message=message)
    for path, source in tree.by_path.items():
        if path.name in KUSTOMIZATIONS and source.data.get("commonLabels"):
            where = source.documents[0].at(("commonLabels",))
            message = "commonLabels become labels of the releases; an export writes `labels`"
            yield ImportNote(where=where, subject=str(path), message=message)


def _found(tree: Tree, item: KubeObject, needs: list[KubeObject], position: int) -> Iterator[Found | ImportNote]:
    subject = f"HelmRelease {item.name}"

    def note(message: str, *path: str | int, refused: bool = False) -> ImportNote:
        return ImportNote(where=item.at("spec", *path), subject=subject, message=message, refused=refused)

    chart, notes = _chart(tree, item)
    yield from (note(text, "chart") for text in notes)
    if chart is None:
        yield note("its chart is in another repository, or its source is not in the tree", "chart", refused=True)
        return
    values: list[Values] = []
    for index, reference in enumerate(maps(item.spec, "valuesFrom")):
        made, problem = _values_from(tree, item, reference)
        if problem:
            yield note(problem, "valuesFrom", index, refused=True)
            return
        values += made
    values += [value for path in _value_files(item, chart) if (value := value_file(tree, path)) is not None]
    if isinstance(item.spec.get("values"), Mapping):
        values.append(Values(data=item.spec["values"]))
        if len(values) > 1:
            message = "spec.values outrank valuesFrom: they go into the environment's overlay, over the rest"
            yield note(message, "values")
    for key in ("postRenderers", "kubeConfig", "serviceAccountName"):
        if item.spec.get(key):
            yield note(f"{key} is left out: write it in the release's `flux`", key)
    yield Found(
        name=_name(item),
        namespace=_namespace(tree, item),
        environment=_environment(item),
        tier=tier_of(item.labels, [item.path.parent.name]),
        position=position,
        where=item.at("metadata", "name"),
        chart=chart,
        creates_namespace=mapping(item.spec, "install").get("createNamespace") is True,
        values=tuple(values),
        needs=tuple((_namespace(tree, one), _name(one)) for one in needs),
        keys=dict(_keys(tree, item)),
    )


def _name(item: KubeObject) -> str:
    """Return the release's name on the cluster."""
    target = str(item.spec.get("targetNamespace") or "")
    return str(item.spec.get("releaseName") or (f"{target}-{item.name}" if target else item.name))


def _namespace(tree: Tree, item: KubeObject) -> str:
    return str(item.spec.get("targetNamespace") or namespace_of(tree, item) or "default")


def _keys(tree: Tree, item: KubeObject) -> Iterator[tuple[str, Any]]:
    """Yield the keys of the release that come from the HelmRelease."""
    yield from ((_NAMES[name], value) for name, value in pairs(item.spec, *_NAMES))
    if item.spec.get("suspend") is True:
        yield "installed", False
    if mapping(item.spec, "upgrade", "remediation").get("strategy") == "uninstall":
        yield "on_failure", "uninstall"
    ignored = []
    for one in maps(item.spec, "driftDetection", "ignore"):
        target = mapping(one, "target")
        if target.get("kind") and one.get("paths"):
            ignored.append({**dict(pairs(target, "kind", "group", "name")), "paths": list(one["paths"])})
    if ignored:
        yield "ignore", ignored
    if labels := mapping(tree.data_of(item.path.parent / "kustomization.yaml"), "commonLabels"):
        yield "labels", dict(labels)


def _chart(tree: Tree, item: KubeObject) -> tuple[FoundChart | None, list[str]]:
    """Return the chart, and notes about its conversion; None if it is unknown."""
    spec = mapping(item.spec, "chart", "spec")
    reference = mapping(item.spec, "chartRef") or mapping(spec, "sourceRef")
    kind, name = str(reference.get("kind") or ""), reference.get("name")
    source = same(tree, tree.of(kind, SOURCE), name, str(reference.get("namespace") or ""))
    version = str(spec.get("version") or "")
    notes: list[str] = []
    if kind == "GitRepository" or (kind == "" and spec.get("chart")):
        path = normal(str(spec.get("chart") or ""))
        is_here = path is not None and (tree.root / path / "Chart.yaml").is_file()
        return (FoundChart(kind="path", path=str(path)) if is_here else None), notes
    if source is None:
        return None, notes
    url = str(source.spec.get("url") or "")
    if kind == "OCIRepository":
        if not item.spec.get("chartRef"):
            notes.append("an OCIRepository as sourceRef is refused by Flux: it is read as chartRef")
        ref = mapping(source.spec, "ref")
        version = str(ref.get("tag") or ref.get("semver") or version)
        place, _, chart = url.rpartition("/")
        return FoundChart(kind="oci", repository=place, name=chart, version=version), notes
    if url.startswith("oci://"):
        return FoundChart(kind="oci", repository=url.rstrip("/"), name=str(spec.get("chart")), version=version), notes
    return FoundChart(kind="repository", repository=url, name=str(spec.get("chart")), version=version), notes


def _value_files(item: KubeObject, chart: FoundChart) -> list[str]:
    """Return value files in the chart's source, which only charts of this repository have."""
    spec = mapping(item.spec, "chart", "spec")
    old = [spec["valuesFile"]] if spec.get("valuesFile") else []  # of v2beta1
    return [str(one) for one in (*sequence(spec, "valuesFiles"), *old)] if chart.kind == "path" else []


def _values_from(tree: Tree, item: KubeObject, reference: Mapping[str, Any]) -> tuple[list[Values], str]:
    """Return the values of one reference, or why they are not available."""
    kind, name = str(reference.get("kind") or ""), str(reference.get("name") or "")
    key = str(reference.get("valuesKey") or "values.yaml")
    if kind not in {"ConfigMap", "Secret"}:
        return [], f"valuesFrom {kind} {name} does not exist in Flux: copy the file and generate a ConfigMap from it"
    for made in generators(tree, kind):
        if made.name == name and made.directory in item.path.parents:
            for path in (file for own, file in made.files() if own == key):
                found = value_file(tree, str(path))
                return ([found] if found else []), "" if found else f"{path.name} cannot be read"
    written = same(tree, tree.of(kind, ""), name, namespace_of(tree, item))
    if kind == "Secret":
        return [], f"values of Secret {name} are not imported: name the Secret in the chart's values instead"
    text = mapping(written.data, "data").get(key) if written else None
    if text is None:
        return [], "" if reference.get("optional") else f"ConfigMap {name} with {key} is not in the tree"
    try:
        return [Values(data=read_map(str(text).encode()))], ""
    except ValueError as error:
        return [], f"{key} of ConfigMap {name} is not YAML: {error}"
