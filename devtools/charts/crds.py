"""Objects in the `crds/` directories of a chart and its subcharts, which Helm installs once and never upgrades."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.base.archives import UNREADABLE, members
from devtools.base.machine_yaml import read_stream
from devtools.base.open_file import open_source, read_source
from devtools.charts.archive import files_of_archive
from devtools.charts.subcharts import enabled_charts, load_chart
from devtools.charts.tree import files_of_tree
from devtools.errors import ConfigError

if TYPE_CHECKING:
    from devtools.charts.lock import LockEntry

_MANIFEST = (".yaml", ".yml", ".json")
_ABOUT_CHARTS = frozenset({"Chart.yaml", "requirements.yaml", "values.yaml"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartObject:
    """An object of a `crds/` directory, and the file of the chart that holds it."""

    file: str
    data: Mapping[str, Any]

    @property
    def is_crd(self) -> bool:
        """Return whether it is a CustomResourceDefinition."""
        return bool(self.data["kind"] == "CustomResourceDefinition")


def objects_in_crds(chart: Path, values: Mapping[str, Any]) -> tuple[ChartObject, ...]:
    """Return the objects in `crds/` that Helm would install with these values; ConfigError names an unreadable file."""
    files = _opened(chart, _wanted)
    if not any(_may_be_crds(name) for name in files):
        return ()
    return tuple(
        item
        for part in enabled_charts(load_chart(files, _wanted), values)
        for name in sorted(part.files)
        if name.startswith("crds/") and name.lower().endswith(_MANIFEST)
        for item in _documents(part.files[name], f"{part.where}{name}")
    )


def inspect_crds(archive: Path, entry: LockEntry) -> None:
    """Raise ConfigError, naming archive and file, if `crds/` cannot be read with the chart's default values."""
    try:
        objects_in_crds(archive, {})
    except ConfigError as error:
        message = f"chart archive {entry.archive.name} of '{entry.chart}': {error.message}"
        raise ConfigError(message, hint=error.hint or f"it is {archive}") from error


def files_of(
    chart: Path, values: Mapping[str, Any], wanted: Callable[[str], bool]
) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """Yield the path and files of a chart (directory or archive) and of each subchart that these values enable.

    Only files with matching names are read, and those that determine the subcharts. Raises ConfigError if the chart
    cannot be read.
    """

    def needed(name: str) -> bool:
        return _wanted(name) or wanted(name)

    for part in enabled_charts(load_chart(_opened(chart, needed), needed), values):
        yield part.where, part.files


def has_crds(chart: Path) -> bool:
    """Return whether a chart may have files in `crds/`, by their names; True for one that cannot be read."""
    try:
        if chart.is_dir():
            names = list(files_of_tree(chart))
        else:
            with open_source(chart) as file, tarfile.open(fileobj=file, mode="r:gz") as archive:
                names = [member.name for member in members(archive)]
    except ConfigError:
        return True
    except UNREADABLE:
        return True
    return any(map(_may_be_crds, names))


def _documents(raw: bytes, file: str) -> Iterator[ChartObject]:
    """Yield the objects of a file; other values are skipped. Raises ConfigError if helm could not read it."""
    try:
        for document in read_stream(raw):
            if not isinstance(document, dict | None):
                raise ConfigError(f"{file} of the chart contains a document that is not a map")
            yield from _objects(document, file)
    except ValueError as error:
        hint = "Helm does not render crds/: remove the template braces" if b"{{" in raw else ""
        raise ConfigError(f"{file} of the chart is not YAML that helm can read: {error}", hint=hint) from error


def _objects(data: Any, file: str) -> Iterator[ChartObject]:
    """Return a document's object, or those of a `List`; ConfigError for one that every API server would refuse."""
    if not isinstance(data, Mapping) or not (data.get("kind") and data.get("apiVersion")):
        return
    if data["kind"] == "List" and isinstance(data.get("items"), list):
        for item in data["items"]:
            yield from _objects(item, file)
        return
    if wrong := _wrong(data):
        raise ConfigError(f"{file} of the chart contains something that is not a Kubernetes object: {wrong}")
    yield ChartObject(file=file, data=data)


def _wrong(data: Mapping[str, Any]) -> str:
    """Return why a value is not a valid object; empty if the fields that are used are valid."""
    metadata, spec = data.get("metadata"), data.get("spec")
    if not (isinstance(data["kind"], str) and isinstance(data["apiVersion"], str)):
        return "its kind or apiVersion is not text"
    if not (isinstance(metadata, Mapping) and isinstance(metadata.get("name"), str) and metadata["name"]):
        return f"a {data['kind']} without a name"
    if not isinstance(metadata.get("labels") or {}, Mapping):
        return f"the labels of {data['kind']} {metadata['name']} are not a map"
    if data["kind"] != "CustomResourceDefinition":
        return ""
    versions = spec.get("versions") or () if isinstance(spec, Mapping) else None
    named = isinstance(versions, list | tuple) and all(isinstance(one, Mapping) and "name" in one for one in versions)
    return "" if named else f"the versions of {data['kind']} {metadata['name']} have no names"


def _wanted(name: str) -> bool:
    """Return whether a file of a chart is needed here; templates are not: they are many and large."""
    return name.rpartition("/")[2] in _ABOUT_CHARTS or _may_be_crds(name)


def _may_be_crds(name: str) -> bool:
    return "crds" in name.split("/")[:-1] or name.endswith(".tgz")


def _opened(chart: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Return the files of a chart (directory or archive) by path; ConfigError if it cannot be read."""
    try:
        if chart.is_dir():
            return {name: read_source(path) for name, path in files_of_tree(chart).items() if wanted(name)}
        raw = read_source(chart)
    except OSError as error:
        raise ConfigError(f"chart {chart.name} cannot be read: {error}", hint=f"it is {chart}") from error
    return files_of_archive(raw, wanted, f"chart {chart.name}")
