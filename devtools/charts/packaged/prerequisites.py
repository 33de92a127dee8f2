"""Determines the objects that are applied before those of a release."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from devtools.base.machine_yaml import read_stream
from devtools.base.open_file import read_source
from devtools.charts.archive import files_of_archive
from devtools.charts.crds import ChartObject, objects_in_crds
from devtools.charts.packaged.manifests import NAMESPACES
from devtools.model import Release


def prerequisites(release: Release, values: Mapping[str, Any]) -> tuple[ChartObject, ...]:
    """Return the objects in `crds/` and, of a packaged chart, labels and annotations of the release's own Namespace."""
    found = objects_in_crds(release.chart.path, values)
    if release.chart.kind == "packaged" and release.create_namespace:
        return (*found, *_namespace(release))
    return found


def _namespace(release: Release) -> Iterator[ChartObject]:
    raw = read_source(release.chart.path)
    for file, content in files_of_archive(raw, lambda name: name.startswith(NAMESPACES), release.chart.name).items():
        for item in read_stream(content):
            if item["metadata"]["name"] == release.namespace:
                yield ChartObject(file=file, data=item)
