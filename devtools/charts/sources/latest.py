"""Lists the versions of a chart that its source has."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from devtools.base.machine_yaml import read_map, read_yaml
from devtools.base.open_file import read_file
from devtools.charts.lock import LockEntry
from devtools.charts.semver import is_compatible
from devtools.charts.sources.credentials import Keys
from devtools.charts.sources.fetch import source_of
from devtools.charts.sources.git import GitSource
from devtools.charts.sources.helm_home import with_sources
from devtools.charts.sources.run_helm import run_helm
from devtools.errors import ConfigError, EnvironmentFault, TimedOut
from devtools.helm.chart_commands import OCI, PUBLISHER, SOURCE, HelmCharts, newest
from devtools.process.runner import Runner

INDEX = "index.yaml"


def newest_within(entry: LockEntry, source: str, helm: HelmCharts, runner: Runner, keys: Keys) -> str:
    """Return the newest version in the range that the entry has instead of a version; ConfigError if there is none."""
    if not source or "://" in source:
        return _newest(entry, source, helm, runner, keys, entry.version)
    versions = [version for version in versions_in(source, entry) if is_compatible(entry.version or "*", version)]
    if not versions:
        raise ConfigError(f"{source} has no {entry.name} {entry.version}".rstrip())
    return newest(versions)


def latest_of(
    entry: LockEntry, source: str, helm: HelmCharts, runner: Runner, keys: Keys, within: str = ""
) -> tuple[str, str]:
    """Return the newest version of the entry's chart in `source` (else its own) `within` a range, and an error text."""
    if entry.git and not source:
        home = Path(tempfile.mkdtemp(dir=helm.home))
        access = keys.access(entry.git, entry.publisher)
        git = GitSource(url=entry.git, access=access, runner=runner, environ=keys.environ, home=home)
        return git.newest_tag(entry.ref)
    try:
        return _newest(entry, source, helm, runner, keys, within), ""
    except (ConfigError, EnvironmentFault, TimedOut) as error:
        return "", error.message


def _newest(entry: LockEntry, source: str, helm: HelmCharts, runner: Runner, keys: Keys, within: str) -> str:
    """Ask helm for the newest version; raises ConfigError, EnvironmentFault or TimedOut if there is none."""
    where, access = source_of(keys, entry, source.removesuffix(f"/{INDEX}"))
    helm = replace(with_sources(helm, {SOURCE: (where, access)}), ca=access.ca)
    failed = f"{where} has no {f'{entry.name} {within}'.rstrip()}"
    if not where.startswith(OCI):
        run_helm(runner, helm.update(SOURCE), f"{where} cannot be read")
    result = run_helm(runner, helm.latest(where, entry.name, within), failed)
    try:
        return str(read_map(result.stdout.encode()).get("version", ""))
    except ValueError as error:
        raise ConfigError(f"{where} has a Chart.yaml that helm cannot read: {error}") from error


def latest_in(source: str, entries: Iterable[LockEntry]) -> dict[str, str]:
    """Return the newest version of each entry's chart in a directory or an `index.yaml`, by the entry's pin.

    The index of a directory, if it has one, takes precedence over its archives and charts. Raises ConfigError if there
    is neither an index nor any of the charts.
    """
    wanted = tuple(entries)
    found = {}
    if not Path(source).is_file() and not Path(source, INDEX).exists():
        found = {entry.pin: newest(versions_in(source, entry)) for entry in wanted}
    if not any(found.values()):
        versions = _versions_in_index(Path(source))
        found = {entry.pin: newest(versions.get(entry.name, [])) for entry in wanted}
    return found


def _versions_in_index(path: Path) -> dict[str, list[str]]:
    """Return the versions of each chart in an `index.yaml` (or its directory), by the chart's name.

    Format: https://helm.sh/docs/topics/chart_repository/#the-index-file. Raises ConfigError if the file is not one.
    """
    file = path / INDEX if path.is_dir() else path
    hint = "create one with: helm repo index DIR"
    try:
        data = read_yaml(read_file(file))
        return {name: [str(item["version"]) for item in items] for name, items in data["entries"].items()}
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}", hint=hint) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{file} is not the index of a chart repository", hint=hint) from error


def versions_in(source: str, entry: LockEntry) -> list[str]:
    """Return the versions of the entry's chart in a directory of archives or charts, or in an `index.yaml`."""
    path = Path(source.replace(PUBLISHER, entry.publisher))
    if path.is_file():
        return _versions_in_index(path).get(entry.name, [])
    places = (path, path / entry.publisher, path / entry.publisher / entry.name)
    archives = [file.name for place in places for file in place.glob(f"{entry.name}-*.tgz")]
    found = [name.removeprefix(f"{entry.name}-").removesuffix(".tgz") for name in archives]
    for chart in (path / entry.name / "Chart.yaml", path / entry.publisher / entry.name / "Chart.yaml"):
        if chart.is_file():
            with suppress(ValueError):
                found.append(str(read_map(read_file(chart)).get("version") or ""))
    return [version for version in found if newest([version])]
