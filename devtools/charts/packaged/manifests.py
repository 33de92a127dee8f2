"""Makes the files of a chart that renders manifests unchanged.

CRDs are put into the `crds/` directory of a subchart: Helm stores the chart in the record of each release, which is
limited to 1 MiB, but not its subcharts.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from devtools.base.machine_yaml import yaml_text
from devtools.base.yaml_positions import Document, KeyPath, parse_stream
from devtools.errors import Location, Problem

_BOUNDARY = re.compile(r"^(?:---|\.\.\.)(?=\s|$)", re.MULTILINE)
_HELM_SPLITS = re.compile(r"^---", re.MULTILINE)  # helm treats any line with this prefix as the end of a document
_CRDS = "charts/crds"  # a subchart
NAMESPACES = f"{_CRDS}/namespaces/"  # Namespaces whose labels and annotations are applied to a release's own one
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_OBJECT = "must be a Kubernetes object: a map with apiVersion, kind and metadata.name"
_KUSTOMIZE = "kustomize.config.k8s.io/"
_Identity = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """An object, its place, and its text for a chart."""

    document: Document
    path: KeyPath
    data: Mapping[str, Any]
    text: str

    @property
    def metadata(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.data["metadata"]
        return found

    @property
    def is_namespace(self) -> bool:
        """Return whether it is a Namespace that the API server may accept."""
        return self.data["kind"] == "Namespace" and bool(_LABEL.fullmatch(self.metadata["name"]))

    @property
    def identity(self) -> _Identity:
        """Its identity: two objects with the same one are a single object on the cluster."""
        group = str(self.data["apiVersion"]).rpartition("/")[0]
        return group, self.data["kind"], str(self.metadata.get("namespace") or ""), self.metadata["name"]


def chart_files(
    name: str, version: str, description: str, manifests: Mapping[str, tuple[Path, bytes]]
) -> tuple[dict[str, bytes], list[Problem]]:
    """Return a chart's files by path (which begins with its name), and every problem of its manifests.

    `manifests` maps paths in the chart's `templates/` to each file's bytes and the path that problems name. Text is
    never a template: `{{` is escaped.
    """
    metadata = {"apiVersion": "v2", "name": name, "version": version, "description": description}
    files: dict[str, str] = {}
    problems: list[Problem] = []
    first: dict[_Identity, _Item] = {}
    for path, (shown, raw) in manifests.items():
        items = list(_items(raw, shown, problems))
        problems += [problem for item in items for problem in _twice(item, first)]
        crds = [item.text for item in items if item.data["kind"] == "CustomResourceDefinition"]
        others = [_template(item) for item in items if item.data["kind"] != "CustomResourceDefinition"]
        labelled = [item.text for item in items if item.is_namespace and {"labels", "annotations"} & {*item.metadata}]
        parts = {f"{_CRDS}/crds/{path}": crds, f"templates/{path}": others, f"{NAMESPACES}{path}": labelled}
        files |= {name: _joined(texts) for name, texts in parts.items() if texts}
    if any(path.startswith(_CRDS) for path in files):
        files[f"{_CRDS}/Chart.yaml"] = yaml_text({**metadata, "name": PurePosixPath(_CRDS).name})
    files["Chart.yaml"] = yaml_text(metadata)
    return {f"{name}/{path}": text.encode() for path, text in files.items()}, problems


def _joined(texts: Sequence[str]) -> str:
    return "---\n".join(text if text.endswith("\n") else f"{text}\n" for text in texts)


def _template(item: _Item) -> str:
    """Return the text of a template that renders an object's text.

    The release's own namespace is left out: it exists before the release, and helm would refuse to take it over.
    """
    escaped = item.text.replace("{{", '{{ "{{" }}')
    if not item.is_namespace:
        return escaped
    return f'{{{{- if ne .Release.Namespace "{item.metadata["name"]}" }}}}\n{escaped}\n{{{{- end }}}}\n'


def _items(raw: bytes, shown: Path, problems: list[Problem]) -> Iterator[_Item]:
    """Yield the objects of a file, and collect its problems."""
    documents = parse_stream(raw, shown)
    broken = [problem for document in documents for problem in document.problems]
    if broken:
        problems += broken
        return
    parts = _parts(raw.decode("utf-8-sig"))
    starts = [line for line, _ in parts]
    for document in documents:
        text = parts[bisect_right(starts, document.at().line) - 1][1]
        yield from _objects(document, document.data, (), text, problems)


def _objects(document: Document, data: Any, path: KeyPath, text: str, problems: list[Problem]) -> Iterator[_Item]:
    """Yield a document's object, or the objects of a list."""
    if isinstance(data, dict) and isinstance(data.get("items"), list) and str(data.get("kind")).endswith("List"):
        for index, item in enumerate(data["items"]):
            yield from _objects(document, item, (*path, "items", index), "", problems)
        return
    if problem := _wrong(document, data, path):
        problems.append(problem)
        return
    if not text or _HELM_SPLITS.search(text):
        text = yaml_text(data)
    yield _Item(document=document, path=path, data=data, text=text)


def _wrong(document: Document, data: Any, path: KeyPath) -> Problem | None:
    """Return why a document cannot be an object of a release."""
    if not isinstance(data, dict):
        return document.problem(path, _OBJECT)
    if str(data.get("apiVersion")).startswith(_KUSTOMIZE):
        return document.problem(path, "is a kustomization", "move the directory to charts/kustomize/")
    for key in ("apiVersion", "kind"):
        if not (isinstance(data.get(key), str) and data[key]):
            return document.problem((*path, key), f"{_OBJECT}; {key} {'is not text' if key in data else 'is missing'}")
    metadata = data.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if isinstance(name, str) and name:
        return None
    if isinstance(metadata, dict) and "generateName" in metadata:
        hint = "write metadata.name: a release has the same objects each time"
        return document.problem((*path, "metadata", "generateName"), "an object of a release needs a name", hint)
    return document.problem((*path, "metadata", "name"), f"{_OBJECT}; metadata.name is missing or not text")


def place_in(raw: bytes, shown: Path, body: Mapping[str, Any], steps: Sequence[str]) -> Location:
    """Return the place of an object's field in a manifest file, or of the nearest enclosing node."""
    for item in _items(raw, shown, []):
        if item.data["kind"] == body.get("kind") and item.metadata["name"] == body["metadata"]["name"]:
            path: list[str | int] = [*item.path]
            for step in steps:
                path.append(int(step) if step.isdecimal() and (*path, int(step)) in item.document.marks else step)
            return item.document.at(tuple(path))
    return Location(file=shown)


def _twice(item: _Item, first: dict[_Identity, _Item]) -> Iterator[Problem]:
    other = first.setdefault(item.identity, item)
    if other is not item:
        _, kind, _, name = item.identity
        hint = f"first at {other.document.at(other.path)}"
        yield item.document.problem(item.path, f"{kind}/{name} is declared twice", hint)


def _parts(text: str) -> list[tuple[int, str]]:
    """Split a stream into the texts of its documents, each with the line that it starts on."""
    starts = [0, *(match.start() for match in _BOUNDARY.finditer(text))]
    parts, line = [], 1
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[start:end]
        parts.append((line, _BOUNDARY.sub("   ", part, count=1).removeprefix("   \n")))
        line += part.count("\n")
    return parts


def syntax_problems(files: Mapping[PurePosixPath, bytes]) -> Iterator[Problem]:
    """Yield the YAML problems of files."""
    for path, raw in files.items():
        for document in parse_stream(raw, Path(path)):
            yield from document.problems
