"""Fetches the archive of a pinned chart from its source."""

from __future__ import annotations

import posixpath
import shutil
from dataclasses import replace
from pathlib import Path

from devtools.base.archives import UNREADABLE, unpack
from devtools.base.machine_yaml import read_yaml
from devtools.base.open_file import read_file, sha256_of
from devtools.charts.dependencies import dependencies
from devtools.charts.lock import LockEntry
from devtools.charts.sources.credentials import Access, Keys, Login
from devtools.charts.sources.git import GitSource
from devtools.charts.sources.helm_home import with_sources
from devtools.charts.sources.packing import LOCKS, missing_dependencies, raw_archive, repacked, repositories_of
from devtools.charts.sources.run_helm import run_helm
from devtools.charts.tree import tree_of
from devtools.errors import ConfigError
from devtools.helm.chart_commands import OCI, PUBLISHER, SOURCE, HelmCharts, oci_reference, split_credentials
from devtools.process.runner import Runner


class NoSource(ConfigError):
    """The source itself is invalid, so every chart fails in the same way."""


class Fetcher:
    """Fetches charts with one helm into directories below `work`."""

    def __init__(self, helm: HelmCharts, runner: Runner, work: Path, keys: Keys) -> None:
        """`work` is a directory for this chart alone."""
        self._helm = helm
        self._runner = runner
        self._work = work
        self._keys = keys
        self._pulled = work / "pulled"
        self._pulled.mkdir()
        self._chart: Path | None = None  # a directory to build in: local dependencies may be next to it

    def fetch(self, entry: LockEntry, source: str, *, again: bool = False) -> tuple[Path, str, str]:
        """Return the archive as the source provides it, the source's name, and the commit if it is Git.

        `again`: ignore the commit in the lock, which is of another version.
        """
        if entry.git and not source:
            return self._of_git(entry, again=again)
        if source and "://" not in source:
            place = source.replace(PUBLISHER, entry.publisher)
            return self._of_directory(entry, Path(place)), place, ""
        where, access = source_of(self._keys, entry, source)
        return self._pull(entry, where, access), where, ""

    def _pull(self, entry: LockEntry, where: str, access: Access) -> Path:
        """Fetch the archive from a repository or a registry."""
        failed = f"'{entry.chart}' cannot be pulled from {where}"
        helm = with_sources(self._helm, {SOURCE: (where, access)})
        if not where.startswith(OCI):
            run_helm(self._runner, helm.update(SOURCE), failed)
        run_helm(self._runner, replace(helm, ca=access.ca).pull(where, entry.name, entry.version, self._pulled), failed)
        found = sorted(self._pulled.glob("*.tgz"))
        if len(found) != 1:
            raise ConfigError(f"pulling '{entry.chart}' from {where} returned {len(found)} archives instead of one")
        if not where.startswith(OCI):
            check_digest(helm.index, entry, found[0])
        return found[0]

    def _of_directory(self, entry: LockEntry, directory: Path) -> Path:
        """Copy the archive from a directory with any usual layout, or pack a chart directory."""
        if not directory.is_dir():
            raise NoSource(f"{directory} is not a directory", hint="--from takes a URL or a directory of archives")
        file, into = f"{entry.name}-{entry.version}.tgz", self._pulled
        for place in (directory, directory / entry.publisher, directory / entry.publisher / entry.name):
            if (place / file).is_file():
                for name in (file, f"{file}.prov"):
                    if (place / name).is_file():
                        shutil.copyfile(place / name, into / name)
                return into / file
        for place in (directory, directory / entry.publisher):
            if (place / entry.name / "Chart.yaml").is_file():
                return self._of_chart(place / entry.name, into / file)
        hint = f"it would be {directory / file}, or a chart in {directory / entry.name}"
        raise ConfigError(f"{directory} does not contain {file}", hint=hint)

    def _of_chart(self, chart: Path, archive: Path) -> Path:
        """Pack a chart's directory; if dependencies are missing, only its files: helm packs it again with them."""
        if strange := tree_of(chart).problems:  # helm would block for ever on some of them
            raise ConfigError(f"{strange[0].where.file} {strange[0].message}", hint=strange[0].hint)
        raw = raw_archive(chart, archive)
        if missing_dependencies(raw):
            return raw
        raw.unlink()
        run_helm(self._runner, self._helm.package(chart, archive.parent), f"{chart} cannot be packed")
        return repacked(next(archive.parent.glob("*.tgz")), archive)

    def _of_git(self, entry: LockEntry, *, again: bool) -> tuple[Path, str, str]:
        """Return an archive of the chart in a Git repository, the repository's URL, and the commit."""
        home, tree = self._helm.home / "git", self._work / "tree"
        home.mkdir(parents=True)
        access = self._keys.access(entry.git, entry.publisher)
        source = GitSource(url=entry.git, access=access, runner=self._runner, environ=self._keys.environ, home=home)
        commit, links = source.fetch(entry, tree, again=again)
        chart = tree / entry.path
        if not (chart / "Chart.yaml").is_file():
            message = f"{entry.git} has no {entry.path or '.'}/Chart.yaml at {entry.ref} ({commit[:12]})"
            raise ConfigError(message, hint="look at path")
        beside = [item.repository for item in dependencies(chart) if item.repository.startswith("file://")]
        for below in ("", *(url.removeprefix("file://") for url in beside)):
            place = posixpath.normpath(posixpath.join(entry.path, below))
            if link := next((link for link in links if place == "." or link.startswith(f"{place}/")), ""):
                raise ConfigError(f"{link} of {entry.git} is a symbolic link", hint="charts from Git must not have any")
        self._chart = chart
        return self._of_chart(chart, self._pulled / f"{entry.name}-{entry.version}.tgz"), entry.git, commit

    def with_dependencies(self, entry: LockEntry, archive: Path) -> Path:
        """Return an archive of the same chart with its dependencies included."""
        try:
            unpack(archive, self._work / "chart")
        except UNREADABLE as error:
            raise ConfigError(f"chart archive {archive.name} of '{entry.chart}' cannot be unpacked: {error}") from error
        chart = self._chart or next((self._work / "chart").iterdir())
        locked = any((chart / name).exists() for name in LOCKS)
        urls = repositories_of(archive)
        sources = {f"dependency-{number}": (url, self._keys.access(url)) for number, url in enumerate(urls)}
        ca = next((access.ca for url, access in sources.values() if url.startswith(OCI) and access.ca), None)
        helm = replace(with_sources(self._helm, sources), ca=ca)
        run_helm(self._runner, helm.build_dependencies(chart), f"the dependencies of '{entry.chart}' cannot be fetched")
        run_helm(self._runner, self._helm.package(chart, self._work), f"'{entry.chart}' cannot be packed")
        # Chart.lock as helm generates it has a timestamp: without it, the same chart always has the same bytes.
        left_out = set() if locked else {f"{entry.name}/{name}" for name in LOCKS}
        return repacked(self._work / archive.name, self._work / "packed.tgz", without=left_out)


def source_of(keys: Keys, entry: LockEntry, source: str) -> tuple[str, Access]:
    """Return the source of an entry's chart, without credentials, and the access data for it.

    `source` replaces the one in the lock; `{publisher}` in it is replaced by the chart's publisher. Credentials for
    the publisher's own source are not sent to it.
    """
    named = source.replace(PUBLISHER, entry.publisher) or entry.source
    where, username, password = split_credentials(named)
    access = keys.access(where, "" if source else entry.publisher)
    if username:
        access = replace(access, login=Login(username=username, password=password))
    return oci_reference(where, entry.name) if where.startswith(OCI) else where, access


def check_digest(index: Path, entry: LockEntry, archive: Path) -> None:
    """Raise ConfigError if a repository's index has another sha256 for an archive; helm does not check that."""
    raw, found = read_file(index), sha256_of(archive)
    if found.encode() in raw:
        return
    for item in read_yaml(raw)["entries"].get(entry.name) or ():
        expected = str(item.get("digest") or "").removeprefix("sha256:")
        if item.get("version") == entry.version and expected:
            message = f"the sha256 of {archive.name} is {found}, but the index of its repository has {expected}"
            hint = "report it to the publisher; get the archive from another source with --from"
            raise ConfigError(message, hint=hint)
