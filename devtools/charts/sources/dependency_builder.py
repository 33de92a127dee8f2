"""Fills the `charts/` directories of this repository's charts with their dependencies."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from devtools.base.open_file import relative
from devtools.charts.dependencies import Dependency, declared, dependencies, place
from devtools.charts.lock import LockEntry
from devtools.charts.resolve import PLATFORM, Charts
from devtools.charts.semver import is_compatible
from devtools.charts.sources.run_helm import run_helm
from devtools.errors import ConfigError, Location, Problem
from devtools.helm.chart_commands import OCI, HelmCharts, newest
from devtools.process.runner import Runner

_LOCAL = "file://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Builds from vendored archives, from the repository's charts and, unless offline, from Chart.lock's sources."""

    charts: Charts
    root: Path
    helm: Callable[[], HelmCharts]
    runner: Runner
    home: Path  # a directory for archives
    fetch: Callable[[LockEntry], Path] | None = None  # None: offline
    now: float = 0.0
    _building: list[Path] = field(default_factory=list)

    def build(self, chart: Path) -> list[Problem]:
        """Write an archive of each dependency; if some have none, write nothing and return those as problems."""
        if chart in self._building:
            hint = f"look at {chart / 'Chart.yaml'}"
            raise ConfigError(f"the dependencies of {chart.name} lead back to it", hint=hint)
        self._building.append(chart)
        places = {name: where for where, name, _ in declared(chart, partial(relative, root=self.root))}
        archives: dict[str, Path] = {}
        problems: list[Problem] = []
        for item in dependencies(chart):
            if not item.repository and item.state in {"ok", "not locked"}:
                continue  # committed with the chart
            where = places.get(item.name, Location(file=relative(chart / "Chart.yaml", self.root)))
            try:
                archives[item.name] = self._archive(chart, item, where)
            except ConfigError as error:
                problems += error.problems or [Problem(where=where, message=error.message, hint=error.hint)]
        if not problems:
            place(chart, archives, self.now)
        self._building.remove(chart)
        return problems

    def _archive(self, chart: Path, item: Dependency, where: Location) -> Path:
        if item.repository.startswith(_LOCAL):
            return self._packed(chart, item)
        lock = self.charts.lock.entries.values()
        fitting = {
            entry.version: entry
            for entry in lock
            if entry.name == item.name
            and is_compatible(item.constraint or "*", entry.version)
            and self.charts.state(entry) == "vendored"
        }
        is_locked = is_compatible(item.constraint or "*", item.locked)
        version = item.locked if is_locked and (self.fetch or item.locked in fitting) else newest([*fitting])
        if version in fitting:
            return self.charts.archive(fitting[version])
        if self.fetch is None:
            hint = f"invoke charts.vendor --name {PLATFORM}/{chart.name}"
            raise ConfigError(f"no vendored archive is {item.name} {item.constraint}".rstrip(), hint=hint)
        is_oci = item.repository.startswith(OCI)
        if not is_oci and not item.repository.startswith(("https://", "http://")):
            message = f"dependency {item.name} has the repository '{item.repository}', which cannot be fetched from"
            raise ConfigError(message, hint="write an https://, oci:// or file:// URL, or put the chart into charts/")
        of_source = (e.publisher for e in lock if item.repository.rstrip("/") in {e.repository.rstrip("/"), e.oci})
        entry = LockEntry(
            publisher=next(of_source, PLATFORM),
            name=item.name,
            version=item.locked if is_locked else item.constraint,
            sha256="",
            where=where,
            repository="" if is_oci else item.repository,
            oci=item.repository if is_oci else "",
        )
        return self.fetch(entry)

    def _packed(self, chart: Path, item: Dependency) -> Path:
        """Return an archive of another chart of this repository, which is built first."""
        source = (chart / item.repository.removeprefix(_LOCAL)).resolve()
        if not source.is_relative_to(self.root.resolve()):
            raise ConfigError(f"{item.repository} leads out of the repository")
        if not (source / "Chart.yaml").is_file():
            raise ConfigError(f"{item.repository} is not a chart", hint="a path from the directory of this Chart.yaml")
        if any(other.state != "ok" for other in dependencies(source)) and (problems := self.build(source)):
            raise ConfigError(f"{source.name} cannot be packed", problems=tuple(problems))
        into = Path(tempfile.mkdtemp(dir=self.home))
        run_helm(self.runner, self.helm().package(source, into), f"{source.name} cannot be packed")
        return next(into.glob("*.tgz"))
