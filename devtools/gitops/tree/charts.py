"""What each chart of a stack is to a controller: its source, and what its files bring, read without rendering them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from devtools.charts.lock import LockEntry
from devtools.charts.resolve import Charts
from devtools.config.settings_file.gitops import GitopsSettings
from devtools.gitops.component import ChartInfo, ChartSource, KindInfo, Place
from devtools.model import ChartRef

EXTRACTED = PurePosixPath("sources/charts")  # below --out


def chart_infos(
    used: Iterable[ChartRef], charts: Charts, settings: GitopsSettings, place: Place, root: Path
) -> Mapping[str, ChartInfo]:
    """Return what an export of the repository at `root` needs to know of each chart, by its name in layer files."""
    found: dict[str, ChartInfo] = {}
    for chart in used:
        if chart.name not in found:
            found[chart.name] = (
                _local(chart, settings, place, root)
                if chart.kind == "local"
                else _third_party(charts.lock.entries[chart.name], charts, settings, place)
            )
    return found


def _local(chart: ChartRef, settings: GitopsSettings, place: Place, root: Path) -> ChartInfo:
    path = place.root / chart.path.relative_to(root).as_posix()
    source = ChartSource(kind="git", repository=settings.repository, path=str(path))
    return ChartInfo(name=chart.name, source=source)


def _third_party(entry: LockEntry, charts: Charts, settings: GitopsSettings, place: Place) -> ChartInfo:
    crds = tuple(
        KindInfo(group=crd.group, version=version.name, kind=crd.kind, namespaced=crd.scope == "Namespaced")
        for crd in entry.contract.crds
        for version in crd.versions
        if version.storage
    )
    return ChartInfo(
        name=entry.chart,
        source=_source(entry, settings, place),
        crds=crds,
        crds_in_directory=entry.contract.crds_in == "crds" and bool(crds),
        is_readable=charts.archive(entry).exists(),
    )


def _source(entry: LockEntry, settings: GitopsSettings, place: Place) -> ChartSource:
    if settings.charts == "extracted":
        path = place.below_out(EXTRACTED / entry.publisher / entry.name)
        return ChartSource(kind="git", repository=settings.repository, path=str(path))
    if settings.charts.startswith("oci://"):
        return ChartSource(kind="oci", repository=settings.charts.rstrip("/"), chart=entry.name, version=entry.version)
    if entry.oci:
        repository, _, chart = entry.oci.rpartition("/")
        return ChartSource(kind="oci", repository=repository, chart=chart, version=entry.version)
    return ChartSource(kind="helm", repository=entry.repository, chart=entry.name, version=entry.version)
