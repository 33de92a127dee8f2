"""Finds every file that a kustomization reads, without running it: https://kubectl.docs.kubernetes.io/references/kustomize/.

Nothing is fetched or executed: URLs, helm and paths outside of the repository are problems at their lines.
"""

from __future__ import annotations

import posixpath
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from devtools.base.words import did_you_mean
from devtools.base.yaml_positions import Document, KeyPath, parse, parse_stream
from devtools.charts.packaged.source_files import MANIFEST, Sources, add_file
from devtools.errors import Location, Problem

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_HELM = ("helmCharts", "helmChartInflationGenerator", "helmGlobals")
_PLUGINS = ("generators", "transformers", "validators")
_ANY = ("resources", *_PLUGINS)  # files or directories
_DIRECTORIES = ("bases", "components")
_FILES = ("configurations", "crds")
_WITH_PATHS = ("patches", "patchesJson6902", "replacements")
_GENERATORS = ("configMapGenerator", "secretGenerator")
_YAML = (*_ANY, *_FILES, *_WITH_PATHS, "patchesStrategicMerge")  # files of these keys are YAML if named so
_PATCHES = ("patch", "patches", "patchesJson6902", "patchesStrategicMerge", "jsonOp")  # with texts that are YAML
_DEEPEST = 50  # kustomizations, each the base of the one before
_PATHS = ("path", "env", "envs", "files", "targetFilePath")
_OURS = (*_HELM, *_ANY, *_DIRECTORIES, *_FILES, *_WITH_PATHS, *_GENERATORS, *_PATHS, "patchesStrategicMerge", "openapi")
_WRITTEN = {key.lower(): key for key in _OURS}
_REMOTE = re.compile(r"[A-Za-z][\w+.-]*::?//|[\w.-]+@[\w.-]+[:/]|git::|gh:|(www\.)?github\.com[/:]", re.IGNORECASE)
_BUILTIN = "builtin"  # apiVersion of a plugin's configuration; others are external, and kustomize refuses them
_ONE_OF_MANY = re.compile(r"[^=\n]+=(?P<path>.*)")


@dataclass(kw_only=True)
class _Walk:
    """The result so far; paths are relative to the repository's root."""

    root: Path
    files: dict[PurePosixPath, bytes] = field(default_factory=dict)
    manifests: dict[PurePosixPath, None] = field(default_factory=dict)  # the files that must be YAML
    directories: dict[PurePosixPath, None] = field(default_factory=dict)
    around: list[PurePosixPath] = field(default_factory=list)  # directories whose kustomizations are being read
    problems: list[Problem] = field(default_factory=list)

    def enter(self, directory: PurePosixPath) -> None:
        """Read a directory's kustomization and everything that it names."""
        if directory in self.directories:
            return
        self.directories[directory] = None
        self.around.append(directory)
        self._read(directory)
        self.around.pop()

    def _read(self, directory: PurePosixPath) -> None:
        name = next(name for name in NAMES if (self.root / directory / name).exists())
        if not self._add(directory / name):
            return
        document = parse(self.files[directory / name], Path(directory, name))
        self.problems += document.problems
        for key in _HELM:
            if key in document.data:
                self._helm(document, (key,))
        self._follow_all(document, directory, document.data)
        for path, text in _entries(document.data, *_PLUGINS):
            if isinstance(text, str) and "\n" in text:
                place = Document(file=document.file, marks={(): document.marks[path]})
                for config in parse_stream(text.encode(), document.file):
                    self._plugin(config, directory, place)

    def _follow_all(self, document: Document, directory: PurePosixPath, data: Mapping[str, Any]) -> None:
        """Read everything that a kustomization or a plugin's configuration names."""
        for path in _miswritten(data):
            key = _WRITTEN[str(path[-1]).lower()]
            self.problems.append(document.problem(path, f"key '{path[-1]}' is unknown", f"write it as '{key}'"))
        for path, text in _references(data):
            self._follow(document, directory, path, text)
        for path, text in _inline_patches(data):
            for patch in parse_stream(text.encode(), document.file):
                self.problems += [document.problem(path, f"its text {one.message}") for one in patch.problems]

    def _follow(self, document: Document, directory: PurePosixPath, path: KeyPath, text: str) -> None:
        """Read the file or directory that a kustomization names at a path."""
        key = str(path[0])
        if wrong := _misplaced(text):
            self.problems.append(document.problem(path, f"'{text}' {wrong}", _LOCAL))
            return
        target = PurePosixPath(posixpath.normpath(directory / text))
        place, is_directory = self.root / target, _is_directory(self.root / target)
        if target.parts[:1] == ("..",):
            message = f"'{text}' is outside the repository"
            self.problems.append(document.problem(path, message, "copy it into the repository"))
        elif is_directory is None:
            self.problems.append(document.problem(path, f"'{text}' does not exist", _near(place)))
        elif is_directory and key in (*_ANY, *_DIRECTORIES):
            self._base(document, path, text, target)
        elif is_directory or key in _DIRECTORIES:
            what = "a directory with a kustomization" if key in _DIRECTORIES else "a file"
            self.problems.append(document.problem(path, f"'{text}' is not {what}"))
        elif not target.is_relative_to(directory):
            message = f"'{text}' is outside {directory}: kustomize reads only files in and below a kustomization"
            hint = "give its directory a kustomization.yaml and name that directory"
            self.problems.append(document.problem(path, message, hint))
        elif self._add(target):
            self._inspect(directory, path, target)

    def _base(self, document: Document, path: KeyPath, text: str, target: PurePosixPath) -> None:
        """Read a directory that a kustomization builds on."""
        if any(directory.is_relative_to(target) for directory in self.around):
            hint = f"move its contents to {target / 'base'}"
            message = f"'{text}' contains this kustomization, which kustomize reports as a cycle"
            self.problems.append(document.problem(path, message, hint))
        elif not any((self.root / target / name).exists() for name in NAMES):
            hint = f"write {target / NAMES[0]}"
            self.problems.append(document.problem(path, f"'{text}' has no kustomization", hint))
        elif len(self.around) >= _DEEPEST:
            message = f"'{text}' is the base of {_DEEPEST} kustomizations that build on each other"
            self.problems.append(document.problem(path, message, "let them build on fewer"))
        else:
            self.enter(target)

    def _inspect(self, directory: PurePosixPath, path: KeyPath, target: PurePosixPath) -> None:
        """Read the paths that an added file itself names."""
        key, raw = str(path[0]), self.files[target]
        if key in _PLUGINS or (key in _ANY and _BUILTIN.encode() in raw):  # may be a directory of plugins
            for config in parse_stream(raw, Path(target)):
                self._plugin(config, directory, config)
        is_text = key in (*_GENERATORS, "env", "envs", "files")
        is_yaml = key in _YAML and target.name.endswith(MANIFEST)
        if is_yaml or (b"&" in raw and not is_text):  # kustomize expands aliases without an end
            self.manifests[target] = None
        if path[-1] == "env" or "envs" in path:
            self._inherited(target)

    def _plugin(self, config: Document, directory: PurePosixPath, place: Document) -> None:
        """Read the files that the configuration of a built-in plugin names; `place` is the document it is in."""
        data = config.data if isinstance(config.data, dict) and config.data.get("apiVersion") == _BUILTIN else {}
        if data.get("kind") == "HelmChartInflationGenerator":
            self._helm(place, ())
        self._follow_all(place, directory, data)

    def _inherited(self, target: PurePosixPath) -> None:
        """Refuse lines of an env file that read a value from the machine's environment."""
        for number, line in enumerate(self.files[target].decode("utf-8", "replace").splitlines(), 1):
            name = line.strip()
            if name and not name.startswith("#") and "=" not in name:
                message = f"'{name}' reads its value from the environment of the rendering machine"
                where = Location(file=Path(target), line=number)
                self.problems.append(Problem(where=where, message=message, hint=f"write {name}=VALUE"))

    def _helm(self, document: Document, path: KeyPath) -> None:
        message = "kustomize would run helm, which may fetch charts and run plugins"
        hint = "make the chart a release: pin it in charts/third_party/lock.yaml, or copy it to charts/platform/"
        self.problems.append(document.problem(path, message, hint))

    def _add(self, path: PurePosixPath) -> bool:
        """Read a file; return whether it could be read."""
        return add_file(self.files, path, self.root / path, self.problems)


_LOCAL = "copy it into the repository: nothing is fetched"


def kustomization_in(root: Path, directory: PurePosixPath) -> Sources:
    """Read every file of the kustomization in a directory, which has one of `NAMES`."""
    walk = _Walk(root=root)
    walk.enter(directory)
    return Sources(
        entry=directory,
        files=walk.files,
        directories=tuple(walk.directories),
        problems=tuple(walk.problems),
        manifests=tuple(walk.manifests),
    )


def _references(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Yield every path that a kustomization or a plugin's configuration names, and its place."""
    for path, item in _entries(data, *_ANY, *_DIRECTORIES, *_FILES, "patchesStrategicMerge"):
        if isinstance(item, str) and "\n" not in item:
            yield path, item
    for path, item in _entries(data, *_WITH_PATHS, *_GENERATORS):
        if isinstance(item, dict):
            yield from _of_map(item, path)
    openapi = data.get("openapi")
    if isinstance(openapi, dict) and isinstance(openapi.get("path"), str):
        yield ("openapi", "path"), openapi["path"]
    yield from _of_map(data, ())


def _miswritten(data: Mapping[str, Any]) -> Iterator[KeyPath]:
    """Yield keys that differ from known ones only in case: kustomize treats them as the same."""
    maps = (((), data), (("openapi",), data.get("openapi")), *_entries(data, *_WITH_PATHS, *_GENERATORS))
    for path, item in maps:
        for key in item if isinstance(item, dict) else ():
            if _WRITTEN.get(key.lower(), key) != key:
                yield (*path, key)


def _of_map(item: Mapping[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Yield the paths of a generator, patch or replacement."""
    for key in _PATHS:
        if isinstance(item.get(key), str):
            yield (*path, key), item[key]
    for place, text in _entries(item, "envs"):
        yield (*path, *place), str(text)
    for place, text in _entries(item, "files"):
        named = _ONE_OF_MANY.fullmatch(str(text))
        yield (*path, *place), named["path"] if named else str(text)


def _inline_patches(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Yield the texts of patches that have anchors: kustomize expands aliases without an end."""
    for key in _PATCHES:
        many = isinstance(data.get(key), list)
        for index, item in enumerate(data[key] if many else [data.get(key)]):
            text = item.get("patch") if isinstance(item, dict) else item
            if isinstance(text, str) and "&" in text:
                yield (key, index) if many else (key,), text


def _entries(data: Mapping[str, Any], *keys: str) -> Iterator[tuple[KeyPath, Any]]:
    """Yield the items of the lists under these keys, and their places."""
    for key in keys:
        items = data.get(key)
        for index, item in enumerate(items if isinstance(items, list) else ()):
            yield (key, index), item


def _misplaced(text: str) -> str:
    """Return why a path cannot be in the repository; empty if it can."""
    if _REMOTE.match(text) or "?ref=" in text:
        return "is fetched from elsewhere"
    return "is an absolute path" if text.startswith("/") else ""


def _is_directory(place: Path) -> bool | None:
    """Return whether a path is a directory; None if it does not exist or is not a valid path."""
    try:
        return stat.S_ISDIR(place.stat().st_mode)
    except (OSError, ValueError):
        return None


def _near(place: Path) -> str:
    try:
        return did_you_mean(place.name, [path.name for path in place.parent.iterdir()])
    except (OSError, ValueError):
        return ""
