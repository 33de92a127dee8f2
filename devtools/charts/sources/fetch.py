"""Fetches the archive of a pinned chart from its source."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from devtools.base.archives import UNREADABLE, unpack
from devtools.charts.lock import LockEntry
from devtools.charts.sources.packing import LOCKS, missing_dependencies, raw_archive, repacked, repositories_of
from devtools.charts.sources.running import run_helm
from devtools.charts.tree import tree_of
from devtools.errors import ConfigError
from devtools.helm.chart_commands import OCI, PUBLISHER, HelmCharts, oci_reference, split_credentials
from devtools.process.runner import Command, Runner


class NoSource(ConfigError):
    """The source is wrong as such: the same for every chart."""


class Fetcher:
    """Fetches charts with one helm into directories below `work`."""

    def __init__(self, helm: HelmCharts, runner: Runner, work: Path) -> None:
        """`work` is a directory for this chart alone."""
        self._helm = helm
        self._runner = runner
        self._work = work

    def fetch(self, entry: LockEntry, source: str) -> tuple[Path, str]:
        """The archive as its source gives it, and what the source is called."""
        into = self._work / "pulled"
        into.mkdir()
        if source and "://" not in source:
            place = source.replace(PUBLISHER, entry.publisher)
            return self._of_directory(entry, Path(place), into), place
        helm, where, login = source_of(self._helm, entry, source)
        if login:
            self._run(login, f"{where} refuses the login for '{entry.chart}'")
        self._run(helm.pull(where, entry.name, entry.version, into), f"'{entry.chart}' cannot be pulled from {where}")
        found = sorted(into.glob("*.tgz"))
        if len(found) != 1:
            raise ConfigError(f"pulling '{entry.chart}' from {where} gave {len(found)} archives, not one")
        return found[0], where

    def _of_directory(self, entry: LockEntry, directory: Path, into: Path) -> Path:
        """A copy of the archive in a directory laid out in any usual way, or of a chart directory, packed."""
        if not directory.is_dir():
            raise NoSource(f"{directory} is not a directory", hint="--from takes a URL or a directory of archives")
        file = f"{entry.name}-{entry.version}.tgz"
        for place in (directory, directory / entry.publisher, directory / entry.publisher / entry.name):
            if (place / file).is_file():
                for name in (file, f"{file}.prov"):
                    if (place / name).is_file():
                        shutil.copyfile(place / name, into / name)
                return into / file
        for place in (directory, directory / entry.publisher):
            if (place / entry.name / "Chart.yaml").is_file():
                if strange := tree_of(place / entry.name).problems:  # helm would wait for ever for some of them
                    raise ConfigError(f"{strange[0].where.file} {strange[0].message}", hint=strange[0].hint)
                raw = raw_archive(place / entry.name, into / file)
                if missing_dependencies(raw):
                    return raw  # helm packs it when it has them
                raw.unlink()
                self._run(self._helm.package(place / entry.name, into), f"{place / entry.name} cannot be packed")
                return repacked(next(into.glob("*.tgz")), into / file)
        hint = f"it would be {directory / file}, or a chart in {directory / entry.name}"
        raise ConfigError(f"{directory} does not contain {file}", hint=hint)

    def with_dependencies(self, entry: LockEntry, archive: Path) -> Path:
        """The same chart with its dependencies in it."""
        try:
            unpack(archive, self._work / "chart")
        except UNREADABLE as error:
            raise ConfigError(f"chart archive {archive.name} of '{entry.chart}' cannot be unpacked: {error}") from error
        (chart,) = (self._work / "chart").iterdir()
        locked = any((chart / name).exists() for name in LOCKS)
        for number, url in enumerate(repositories_of(archive)):
            self._run(
                self._helm.add_repository(f"dependency-{number}", url),
                f"a dependency of '{entry.chart}' is out of reach",
            )
        self._run(self._helm.build_dependencies(chart), f"the dependencies of '{entry.chart}' cannot be fetched")
        self._run(self._helm.package(chart, self._work), f"'{entry.chart}' cannot be packed")
        # A lock that helm has just made holds the time: without it, the same chart has the same bytes tomorrow.
        left_out = set() if locked else {f"{entry.name}/{name}" for name in LOCKS}
        return repacked(self._work / archive.name, self._work / "packed.tgz", without=left_out)

    def _run(self, command: Command, failed: str) -> None:
        run_helm(self._runner, command, failed)


def source_of(helm: HelmCharts, entry: LockEntry, source: str) -> tuple[HelmCharts, str, Command | None]:
    """Where an entry's chart comes from, without credentials, the helm to use, and how it logs in where there are some.

    `source` replaces the lock's own; `{publisher}` in it stands for the chart's publisher.
    """
    named = source.replace(PUBLISHER, entry.publisher) or entry.repository or entry.oci
    where, username, password = split_credentials(named)
    login = helm.log_in(where, username, password) if username else None
    if where.startswith(OCI):
        where = oci_reference(where, entry.name)
    return replace(helm, is_logged_in=login is not None), where, login
