"""Reads a directory of GitOps files: every YAML document with the positions of its keys.

Nothing is executed or rendered. Templates of charts are text, and are not parsed as YAML.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from devtools.base.open_file import read_source
from devtools.base.yaml_positions import Document, KeyPath, parse_stream
from devtools.errors import ConfigError, Location, Problem

YAML = (".yaml", ".yml")
CHART = "Chart.yaml"
KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
_SKIPPED = frozenset({"node_modules", "__pycache__"})
_MOST_FILES = 50_000  # of a tree: a home directory is not one


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One YAML file: its path from the repository's root, its bytes and its documents."""

    path: PurePosixPath
    raw: bytes
    documents: tuple[Document, ...]

    @property
    def data(self) -> Mapping[str, Any]:
        """The map of its first document; empty if there is none."""
        return mapping(self.documents[0].data) if self.documents else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The fields of a Kubernetes object; fields of a wrong type are ignored."""

    data: Mapping[str, Any]

    @property
    def api_version(self) -> str:
        """Its apiVersion."""
        return str(self.data.get("apiVersion") or "")

    @property
    def group(self) -> str:
        """The API group, empty for the core."""
        return self.api_version.partition("/")[0] if "/" in self.api_version else ""

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.data.get("kind") or "")

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Its metadata, empty if it is not a map."""
        return mapping(self.data, "metadata")

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.metadata.get("name") or "")

    @property
    def namespace(self) -> str:
        """Its namespace, empty if none is written."""
        return str(self.metadata.get("namespace") or "")

    @property
    def annotations(self) -> Mapping[str, Any]:
        """Its annotations."""
        return mapping(self.metadata, "annotations")

    @property
    def labels(self) -> Mapping[str, Any]:
        """Its labels."""
        return mapping(self.metadata, "labels")

    @property
    def spec(self) -> Mapping[str, Any]:
        """Its spec."""
        return mapping(self.data, "spec")


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeObject(Manifest):
    """One Kubernetes object of the tree, and its place; `base` is its path in a List."""

    path: PurePosixPath
    document: Document
    base: KeyPath = ()

    def at(self, *path: str | int) -> Location:
        """Return the place of a key, or of the nearest one around it."""
        return self.document.at((*self.base, *path))


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The files of a directory; paths are from `root`, the root of the repository as controllers see it."""

    directory: Path
    root: Path
    sources: tuple[Source, ...]
    files: frozenset[PurePosixPath]
    charts: frozenset[PurePosixPath] = frozenset()  # directories with a Chart.yaml
    problems: tuple[Problem, ...] = ()  # of files that cannot be read
    _by_kind: dict[str, tuple[KubeObject, ...]] = field(default_factory=dict)

    @cached_property
    def objects(self) -> tuple[KubeObject, ...]:
        """All Kubernetes objects, in the order of files.

        Objects of charts, except for CRDs in `crds/`, and patches of kustomizations are left out.
        """
        return tuple(
            item
            for source in self.sources
            if source.path not in self._patches and (not self.chart_of(source.path) or "crds" in source.path.parts)
            for document in source.documents
            for item in _objects(source.path, document, document.data, ())
        )

    def of(self, kind: str, *groups: str) -> tuple[KubeObject, ...]:
        """Return the objects of a kind, of these API groups if any is named."""
        if kind not in self._by_kind:
            self._by_kind[kind] = tuple(item for item in self.objects if item.kind == kind)
        return tuple(item for item in self._by_kind[kind] if not groups or item.group in groups)

    @cached_property
    def by_path(self) -> Mapping[PurePosixPath, Source]:
        """The YAML files by path."""
        return {source.path: source for source in self.sources}

    @cached_property
    def directories(self) -> frozenset[PurePosixPath]:
        """All directories that have a file."""
        return frozenset(parent for path in self.files for parent in path.parents)

    def data_of(self, path: PurePosixPath) -> Mapping[str, Any]:
        """Return the map of a file's first document; empty if there is none."""
        return self.by_path[path].data if path in self.by_path else {}

    def has(self, path: str) -> bool:
        """Return whether a file or directory of the repository exists, inside or outside the read directory."""
        clean = normal(path)
        if clean is None:
            return False
        return clean in self.files or clean in self.directories or (self.root / clean).exists()

    def chart_of(self, path: PurePosixPath) -> PurePosixPath | None:
        """Return the chart that a file belongs to."""
        return next((chart for chart in path.parents if chart in self.charts), None)

    @cached_property
    def _patches(self) -> frozenset[PurePosixPath]:
        """The files that kustomizations use as patches."""
        return frozenset(
            clean
            for source in self.sources
            if source.path.name in KUSTOMIZATIONS
            for document in source.documents
            for key in ("patches", "patchesStrategicMerge", "patchesJson6902")
            for one in sequence(document.data, key)
            if (clean := normal(f"{source.path.parent}/{one if isinstance(one, str) else mapping(one).get('path')}"))
        )

    def below(self, directory: str) -> tuple[KubeObject, ...]:
        """Return the objects in files below a directory of the repository."""
        clean = normal(directory)
        return () if clean is None else self._below.get(clean, ())

    @cached_property
    def _below(self) -> Mapping[PurePosixPath, tuple[KubeObject, ...]]:
        found: dict[PurePosixPath, list[KubeObject]] = {}
        for item in self.objects:
            for parent in item.path.parents:
                found.setdefault(parent, []).append(item)
        return {path: tuple(items) for path, items in found.items()}


def value_at(value: Any, keys: Iterable[str]) -> Any:
    """Return the value below maps at a path of keys; None if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def mapping(value: Any, *keys: str) -> Mapping[str, Any]:
    """Return the map at a path of keys; empty if there is none."""
    found = value_at(value, keys)
    return found if isinstance(found, Mapping) else {}


def sequence(value: Any, *keys: str) -> list[Any]:
    """Return the list at a path of keys; empty if there is none."""
    found = value_at(value, keys)
    return found if isinstance(found, list) else []


def maps(value: Any, *keys: str) -> list[Mapping[str, Any]]:
    """Return the items of the list at a path of keys, each as a map."""
    return [mapping(item) for item in sequence(value, *keys)]


def leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield every value below a map or list that has no items of its own, and its path of keys."""
    if not isinstance(value, Mapping | list) or not value:
        yield path, value
        return
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        yield from leaves(item, (*path, key))


def dotted(path: KeyPath) -> str:
    """Return a path of keys as text: `spec.sources[0].path`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def place_in(raw: bytes, at: int, file: Path) -> Location:
    """Return the place of an offset in a file."""
    lines = raw[:at].decode("utf-8", "replace").split("\n")
    return Location(file=file, line=len(lines), column=len(lines[-1]) + 1)


def texts(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yield every text at or below a value, and its path of keys."""
    return ((keys, leaf) for keys, leaf in leaves(value, path) if isinstance(leaf, str))


def normal(path: str) -> PurePosixPath | None:
    """Return a path from the repository's root without `.` and `..`; None if it is outside."""
    parts: list[str] = []
    for part in PurePosixPath(path.strip("/")).parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part != ".":
            parts.append(part)
    return PurePosixPath(*parts)


def matches_as_git(path: str, pattern: str) -> bool:
    """Return whether `git ls-files PATTERN` lists a path: `*` matches slashes, too, and a directory all below it."""
    return fnmatch.fnmatchcase(path, pattern) or path.startswith(pattern.rstrip("/") + "/")


def read_tree(directory: Path, root: Path | None = None) -> Tree:
    """Read the YAML files below a directory; ConfigError if it is not one.

    `root` is the repository's root. Without it, the root is the directory, or the one above it from which most of the
    paths in the files exist.
    """
    if not directory.is_dir():
        raise ConfigError(f"{directory} is not a directory", hint="name the directory of the GitOps files")
    directory = directory.resolve()
    paths = sorted(_walk(directory))
    documents = [(path, *_parsed(directory / path)) for path in paths if path.suffix in YAML]
    charts = frozenset(path.parent for path in paths if path.name == CHART)
    parsed = [one for one in documents if not _is_template(one[0], charts)]
    base = root.resolve() if root else _root_of(directory, [doc for *_, found in parsed for doc in found])
    if not directory.is_relative_to(base):
        raise ConfigError(f"{directory} is not below the root {base}", hint="name a directory above it as the root")
    prefix = PurePosixPath(directory.relative_to(base).as_posix())
    return Tree(
        directory=directory,
        root=base,
        sources=tuple(Source(path=prefix / path, raw=raw, documents=found) for path, raw, found in parsed),
        files=frozenset(prefix / path for path in paths),
        charts=frozenset(prefix / path for path in charts),
        problems=tuple(_problems(parsed)),
    )


def _walk(directory: Path) -> Iterator[PurePosixPath]:
    count = 0
    for at, below, names in os.walk(directory):
        below[:] = sorted(name for name in below if not name.startswith(".") and name not in _SKIPPED)
        for name in names:
            count += 1
            if count > _MOST_FILES:
                raise ConfigError(f"{directory} has more than {_MOST_FILES} files", hint="name the GitOps directory")
            yield PurePosixPath((Path(at) / name).relative_to(directory).as_posix())


def _is_template(path: PurePosixPath, charts: Collection[PurePosixPath]) -> bool:
    return any(parent.name == "templates" and parent.parent in charts for parent in path.parents)


def _parsed(path: Path) -> tuple[bytes, tuple[Document, ...]]:
    try:
        raw = read_source(path)
    except OSError as error:
        problem = Problem(where=Location(file=path), message=f"cannot be read: {error.strerror or error}")
        return b"", (Document(file=path, data=None, problems=(problem,)),)
    return raw, parse_stream(raw, path)


def _problems(parsed: Iterable[tuple[PurePosixPath, bytes, tuple[Document, ...]]]) -> Iterator[Problem]:
    """Yield the problems of files that a controller reads.

    Value files may have keys that are not text; files in a directory `templates` are ignored, because another program
    renders them.
    """
    for path, _, documents in parsed:
        for document in documents:
            if not document.data and "templates" in path.parts:
                continue
            if not document.data or (isinstance(document.data, dict) and "kind" in document.data):
                yield from document.problems


def _objects(path: PurePosixPath, document: Document, data: Any, base: KeyPath) -> Iterator[KubeObject]:
    if not isinstance(data, dict) or not (data.get("kind") and data.get("apiVersion")):
        return
    if data["kind"] == "List":
        for index, item in enumerate(sequence(data, "items")):
            yield from _objects(path, document, item, (*base, "items", index))
        return
    yield KubeObject(path=path, document=document, data=data, base=base)


def _root_of(directory: Path, documents: Iterable[Document]) -> Path:
    """Return the directory, or one above it in the same repository, from which the most named paths exist."""
    named = {text for document in documents for text in _named_paths(document.data)}
    best, most = directory, -1
    for candidate in (directory, *directory.parents):
        count = sum((candidate / text).exists() for text in named)
        if count > most:
            best, most = candidate, count
        if (candidate / ".git").exists():
            break
    return best


def _named_paths(data: Any) -> Iterator[str]:
    """Yield the paths from the repository's root that a document names, each up to its first placeholder."""
    for path, text in texts(data):
        key = next((key for key in reversed(path) if isinstance(key, str)), "")
        if key != "path" and not (key == "valueFiles" and text.startswith("$")):
            continue
        whole = text.partition("/")[2] if text.startswith("$") else text
        static = whole.partition("{{")[0].partition("*")[0]
        clean = normal(static if static == whole else static.rpartition("/")[0])
        if clean is not None and clean.parts:
            yield str(clean)
