"""Converts each chart of a helmfile into a lock entry or a chart of this repository."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from devtools.app.environment import App
from devtools.base.key_types import EXACT
from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_source
from devtools.base.words import plural
from devtools.charts.lock import Lock, load_lock
from devtools.charts.packaged.kustomization import NAMES, kustomization_in
from devtools.charts.packaged.source_files import KINDS, KUSTOMIZE, MANIFESTS, Sources, manifests_in
from devtools.charts.semver import is_compatible
from devtools.charts.sources.helm_home import with_sources
from devtools.commands.charts import chart_keys, helm_charts
from devtools.errors import ConfigError
from devtools.helm.chart_commands import OCI, newest
from devtools.imports.layer_files import slug
from devtools.imports.model import Chart, Files
from devtools.imports.states import State

_TEMPLATES = ".gotmpl"
_OVERLAYS = "overlays"
_PLATFORM = "platform"
_DEEPEST = 6  # levels of parent directories that may contain a chart's dependencies
_MOST = 10_000  # maximum files of one chart


@dataclass(kw_only=True)
class Finder:
    """The charts of one import; `out` is the root of the target repository."""

    app: App
    out: Path
    home: Path
    _lock: Lock = field(init=False)
    _new: dict[str, Chart] = field(default_factory=dict)  # by pin, or by name for a chart of this repository
    _local: dict[str, Path] = field(default_factory=dict)  # directories of this repository's charts, by name

    def __post_init__(self) -> None:
        """Read the existing lock."""
        self._lock = load_lock(self.out / "charts", self.out)

    def find(self, state: State, chart: str, version: str, environment: str) -> Chart:
        """Return the result for a chart of an environment; ConfigError with the reason if it cannot be used."""
        directory = state.source.parent / chart
        if chart.startswith((".", "/")) or directory.is_dir():
            return self._directory(directory.resolve(), state.source.parent.resolve(), chart, environment)
        publisher, _, name = chart.rpartition("/")
        if chart.startswith(OCI):
            return self._pinned(slug(publisher.rpartition("/")[2]), name, version, {"oci": chart})
        repository = state.repositories.get(publisher)
        if repository is None or "://" in chart:
            raise ConfigError(f"chart {chart} is in no repository that the helmfile declares")
        return self._pinned(slug(publisher), name, version, _source(repository, name))

    def _pinned(self, publisher: str, name: str, version: str, source: Mapping[str, str]) -> Chart:
        """Return the chart of a repository, pinned.

        An existing lock may have one other version, which layers name without version: then this chart gets another
        publisher, so that their reference stays unambiguous.
        """
        publisher = f"{publisher}-charts" if publisher in (_PLATFORM, *KINDS) else publisher
        exact = version if re.fullmatch(EXACT, version) else self._version(publisher, name, version, source)
        others = [entry.version for entry in self._lock.versions(f"{publisher}/{name}")]
        if others not in ([], [exact]) and len(others) == 1:
            publisher = f"{publisher}-{slug(exact)}"
        chart, pin = f"{publisher}/{name}", f"{publisher}/{name}@{exact}"
        if pin in self._lock.entries:
            return Chart(name=chart, version=exact)
        keys = {"publisher": publisher, "name": name, "version": exact, "sha256": None, **source}
        return self._new.setdefault(pin, Chart(name=chart, version=exact, entry=keys))

    def reference(self, chart: Chart) -> str:
        """Return a chart's name in layer files, once all charts are known: with its version if there are several."""
        return chart.name if len(self._versions(chart.name)) < 2 else f"{chart.name}@{chart.version}"  # noqa: PLR2004

    def _versions(self, name: str) -> set[str]:
        new = {chart.version for chart in self._new.values() if chart.name == name and chart.entry}
        return new | {entry.version for entry in self._lock.versions(name)}

    def _version(self, publisher: str, name: str, wanted: str, source: Mapping[str, str]) -> str:
        """Return the locked version, else the repository's newest in the range; ConfigError if there is none."""
        key = f"{publisher}/{name}"
        known = self._versions(key)
        if fitting := [version for version in known if not wanted or is_compatible(wanted, version)]:
            return newest(fitting)
        self.app.say(f"looking for the version of {key}")
        helm = helm_charts(self.app, self.home / "helm")
        result = self.app.runner.run(helm.latest(source.get("repository") or source["oci"], name, wanted))
        found = str(read_map(result.stdout.encode()).get("version") or "") if result.ok else ""
        if not re.fullmatch(EXACT, found):
            what = f"version '{wanted}'" if wanted else "no version"
            raise ConfigError(f"{key} has {what}, and its repository does not answer: pin a version in the helmfile")
        return found

    def _directory(self, directory: Path, base: Path, shown: str, environment: str) -> Chart:
        if directory.is_dir() and not (directory / "Chart.yaml").exists():
            return self._packaged(directory, base, shown, environment)
        try:
            metadata = read_map(read_source(directory / "Chart.yaml"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{shown} is not a chart: {error}") from error
        name = str(metadata.get("name") or "")
        key = f"{_PLATFORM}/{name}"
        if self._local.setdefault(name, directory) != directory:
            raise ConfigError(f"{shown} and another chart are both called '{name}': rename one")
        version = str(metadata.get("version") or "")
        place = self.out / "charts" / _PLATFORM / name
        if place.resolve() == directory:
            return Chart(name=key, version=version)
        if key not in self._new:
            files = self._with_dependencies(directory, metadata, shown)
            below = PurePosixPath("charts", _PLATFORM, name)
            self._new[key] = Chart(
                name=key, version=version, files={below / path: content for path, content in files.items()}
            )
        return self._new[key]

    def _packaged(self, directory: Path, base: Path, shown: str, environment: str) -> Chart:
        """Return a chart that devtools packages from manifests or a kustomization."""
        key, origin, files = _packaged_chart(directory, base, shown, environment)
        if self._local.setdefault(key, origin) != origin:
            raise ConfigError(f"{shown} and another directory would both be {key}: rename one")
        if origin == (self.out / "charts" / key).resolve():
            files = {}
        return Chart(name=key, files=files)

    def _with_dependencies(
        self, directory: Path, metadata: Mapping[str, Any], shown: str
    ) -> dict[PurePosixPath, bytes]:
        """Return a chart's files and those of its dependencies: directories are copied, archives fetched by helm."""
        files = _files_of(directory)
        missing = [item for item in metadata.get("dependencies") or () if not _is_packed(item, files)]
        remote = []
        for item in missing:
            repository, name = str(item.get("repository") or ""), str(item.get("name") or "")
            if repository.startswith("file://"):
                other = (directory / repository.removeprefix("file://")).resolve()
                below = read_map(read_source(other / "Chart.yaml"))
                nested = self._with_dependencies(other, below, f"{shown} -> {name}")
                files |= {PurePosixPath("charts", name) / path: content for path, content in nested.items()}
            else:
                remote.append(repository)
        return files | self._fetched(directory, metadata, remote, shown) if remote else files

    def _fetched(
        self, directory: Path, metadata: Mapping[str, Any], repositories: Iterable[str], shown: str
    ) -> dict[PurePosixPath, bytes]:
        helm = helm_charts(self.app, self.home / "helm")
        deep = Path(*("below",) * _DEEPEST)  # so that `file://../../x` is inside `home`, too
        copy = self.home / "dependencies" / deep / directory.name
        shutil.rmtree(self.home / "dependencies", ignore_errors=True)
        shutil.copytree(directory, copy)
        for item in metadata.get("dependencies") or ():
            if (place := str(item.get("repository") or "")).startswith("file://"):
                target = (copy / place.removeprefix("file://")).resolve()
                if not target.is_relative_to(self.home.resolve()):
                    raise ConfigError(f"{shown} depends on {place}, which is too far away: package it")
                shutil.copytree((directory / place.removeprefix("file://")).resolve(), target, dirs_exist_ok=True)
        self.app.say(f"fetching the dependencies of {shown}")
        keys = chart_keys(self.app)
        sources = {f"dependency-{n}": (url, keys.access(url)) for n, url in enumerate(dict.fromkeys(repositories))}
        result = self.app.runner.run(with_sources(helm, sources).build_dependencies(copy))
        if not result.ok:
            raise ConfigError(f"dependencies of {shown} cannot be fetched: run helm dependency build there first")
        return _files_of(copy / "charts", "charts")


def _source(repository: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return where a chart comes from, without credentials."""
    url = str(repository.get("url") or "").rstrip("/")
    if repository.get("oci"):
        return {"oci": f"{OCI}{url.removeprefix(OCI)}/{name}"}
    parts = urlsplit(url)
    return {"repository": parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()}


def _is_packed(dependency: Mapping[str, Any], files: Mapping[PurePosixPath, bytes]) -> bool:
    name = str(dependency.get("name") or "")
    return any(
        path.parts[0] == "charts"
        and (path.parts[1] == name or re.fullmatch(rf"{re.escape(name)}-v?\d.*\.tgz", path.parts[1]))
        for path in files
        if len(path.parts) > 1
    )


def _files_of(directory: Path, below: str = "") -> dict[PurePosixPath, bytes]:
    """Return the files of a chart; links are skipped, because they may lead anywhere."""
    found = [path for path in sorted(directory.rglob("*")) if path.is_file() and not path.is_symlink()]
    if len(found) > _MOST:
        raise ConfigError(f"{directory} has more than {_MOST} files")
    return {PurePosixPath(below, *path.relative_to(directory).parts): read_source(path) for path in found}


def _packaged_chart(directory: Path, base: Path, shown: str, environment: str) -> tuple[str, Path, Files]:
    """Return a chart's name in layer files, its directory, and its files relative to the repository's root.

    `base` contains the state file; a kustomization may read files below it, or in the same Git repository. Raises
    ConfigError if the directory has neither manifests nor a kustomization, or an unsupported one.
    """
    is_kustomization = any((directory / name).is_file() for name in NAMES)
    if is_kustomization:
        nearest = base if directory.is_relative_to(base) else directory.parent
        root = next((path for path in (directory, *directory.parents) if (path / ".git").exists()), nearest)
        sources = kustomization_in(root, PurePosixPath(directory.relative_to(root)))
    else:
        _refuse_templates(directory, shown)
        sources = manifests_in(directory.parent, PurePosixPath(directory.name))
    if problems := sources.problems:
        more = f" and {plural(len(problems) - 1, 'more problem')}" if len(problems) > 1 else ""
        raise ConfigError(f"{shown} cannot be packaged: {problems[0]}{more}")
    if is_kustomization:
        name, origin, files = _kustomization(sources, environment)
        return name, root / origin, files
    name = f"{MANIFESTS}/{slug(directory.name)}"
    return name, directory, _below(name, {path.relative_to(sources.entry): raw for path, raw in sources.files.items()})


def _kustomization(sources: Sources, environment: str) -> tuple[str, PurePosixPath, Files]:
    """Return a kustomization with all files it reads: an environment's own overlay as such, else below `files/`."""
    entry = sources.entry
    around = entry.parent.parent
    if entry.parts[-2:] == (_OVERLAYS, environment) and all(path.is_relative_to(around) for path in sources.files):
        name = f"{KUSTOMIZE}/{slug(around.name)}"
        return name, around, _below(name, {path.relative_to(around): raw for path, raw in sources.files.items()})
    name = f"{KUSTOMIZE}/{slug(entry.name)}"
    common = PurePosixPath(os.path.commonpath([str(path.parent) for path in sources.files]))
    if common == entry:
        return name, entry, _below(name, {path.relative_to(entry): raw for path, raw in sources.files.items()})
    files = {PurePosixPath("files") / path.relative_to(common): raw for path, raw in sources.files.items()}
    files[PurePosixPath(NAMES[0])] = f"resources: [files/{entry.relative_to(common)}]\n".encode()
    return name, entry, _below(name, files)


def _below(name: str, files: Files) -> Files:
    return {PurePosixPath("charts", name) / path: content for path, content in files.items()}


def _refuse_templates(directory: Path, shown: str) -> None:
    """Raise ConfigError if helmfile would execute templates among the manifests."""
    if found := next(iter(sorted(directory.rglob(f"*{_TEMPLATES}"))), None):
        name = found.relative_to(directory)
        raise ConfigError(f"{shown} has a template, {name}: make it a chart, or write its output")
