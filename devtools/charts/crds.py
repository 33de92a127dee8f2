"""What lies in the `crds/` directories of a chart and its subcharts: what Helm installs once and never upgrades.

Which subcharts count is decided as Helm decides it (`processDependencyEnabled` in its `pkg/chart/v2/util`): the first
condition that is true or false in the values, else tags, else yes.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devtools.base.archives import UNREADABLE, content_of, members
from devtools.base.machine_yaml import BOM, read_stream, read_yaml
from devtools.charts.archive import dependencies_of
from devtools.charts.tree import files_of_tree
from devtools.errors import ConfigError

if TYPE_CHECKING:
    from devtools.charts.lock import LockEntry

_MANIFEST = (".yaml", ".yml", ".json")
_Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartObject:
    """An object of a `crds/` directory, and the file of the chart that holds it."""

    file: str
    data: Mapping[str, Any]

    @property
    def is_crd(self) -> bool:
        """Whether it is a CustomResourceDefinition."""
        return bool(self.data["kind"] == "CustomResourceDefinition")


def objects_in_crds(chart: Path, values: Mapping[str, Any]) -> tuple[ChartObject, ...]:
    """The objects that Helm would install from `crds/` of a chart (directory or archive) with these values.

    Raises ConfigError, naming the file, where the chart cannot be read or a file is not YAML.
    """
    files = _opened(chart, _wanted)
    if not any("crds" in name.split("/") or name.endswith(".tgz") for name in files):
        return ()
    return tuple(
        item
        for where, own in _enabled_charts(files, values, "", _wanted)
        for name in sorted(own)
        if name.startswith("crds/") and name.endswith(_MANIFEST)
        for item in _documents(own[name], f"{where}{name}")
    )


def inspect_crds(archive: Path, entry: LockEntry) -> None:
    """Raise ConfigError, naming archive and file, unless `crds/` can be read as the chart's default values need it."""
    try:
        objects_in_crds(archive, {})
    except ConfigError as error:
        message = f"chart archive {entry.archive.name} of '{entry.chart}': {error.message}"
        raise ConfigError(message, hint=error.hint or f"it is {archive}") from error


def files_of(
    chart: Path, values: Mapping[str, Any], wanted: Callable[[str], bool]
) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """A chart (directory or archive) and each of its subcharts that these values switch on: where it lies, its files.

    Only files of the wanted names are read, and those that it takes to know the subcharts. Raises ConfigError where
    the chart cannot be read.
    """

    def needed(name: str) -> bool:
        return _wanted(name) or wanted(name)

    yield from _enabled_charts(_opened(chart, needed), values, "", needed)


def has_crds(chart: Path) -> bool:
    """Whether anything in a chart (directory or archive) may be of a `crds/` directory: a quick look at names.

    Says yes where the chart cannot be read: `objects_in_crds` says why.
    """
    try:
        if chart.is_dir():
            names = list(files_of_tree(chart))
        else:
            with tarfile.open(chart, mode="r:gz") as archive:
                names = [member.name for member in members(archive)]
    except ConfigError:
        return True
    except UNREADABLE:
        return True
    return any("crds" in name.split("/") or name.endswith(".tgz") for name in names)


def _enabled_charts(
    files: _Files, values: Mapping[str, Any], where: str, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, _Files]]:
    """One chart's files, its subcharts' after its own; `values` are what its parent or the user gives it."""
    yield where, files
    all_values = _laid_over(_yaml(files, "values.yaml", where), values)
    declared = dependencies_of(_yaml(files, "Chart.yaml", where), f"{where}Chart.yaml")
    for path, subchart in sorted(_subcharts(files, where, wanted).items()):
        name = str(_yaml(subchart, "Chart.yaml", f"{where}{path}/").get("name") or posixpath.basename(path))
        entries = [item for item in declared if item.get("name") == name]
        for item in entries or [{"name": name}]:
            if _enabled(item, all_values):
                own = all_values.get(item.get("alias") or name)
                yield from _enabled_charts(subchart, own if isinstance(own, Mapping) else {}, f"{where}{path}/", wanted)
                break


def _enabled(dependency: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether the values switch a dependency on."""
    for condition in str(dependency.get("condition") or "").split(","):
        found = _dig(values, condition.strip())
        if isinstance(found, bool):
            return found
    tags = values.get("tags")
    said = [tags.get(tag) for tag in dependency.get("tags") or ()] if isinstance(tags, Mapping) else []
    return True in said or False not in said


def _dig(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Maps merge, anything else replaces, null takes away: Helm's rule."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _laid_over(old, value)
        else:
            merged[key] = value
    return merged


def _subcharts(files: _Files, where: str, wanted: Callable[[str], bool]) -> dict[str, _Files]:
    """The files of each chart in `charts/`, by its path; those that Helm leaves out begin with `_` or `.`."""
    found: dict[str, dict[str, bytes]] = {}
    for name, content in files.items():
        parts = name.split("/")
        if parts[0] != "charts" or len(parts) == 1 or parts[1][0] in "._":
            continue
        if len(parts) == 2 and name.endswith(".tgz"):  # noqa: PLR2004 - charts/<file>
            found[name] = dict(_of_archive(content, wanted, f"{where}{name} of the chart"))
        elif len(parts) > 2:  # noqa: PLR2004 - charts/<name>/…
            found.setdefault("/".join(parts[:2]), {})["/".join(parts[2:])] = content
    return {path: subchart for path, subchart in found.items() if "Chart.yaml" in subchart}


def _documents(raw: bytes, file: str) -> Iterator[ChartObject]:
    """Yield the objects of a file; what is not an object is left out. Raises ConfigError if helm could not read it."""
    try:
        for document in read_stream(raw):
            if not isinstance(document, dict | None):
                raise ConfigError(f"{file} of the chart holds a document that is not a map of keys")
            yield from _objects(document, file)
    except ValueError as error:
        hint = "Helm does not render crds/: remove the template braces" if b"{{" in raw else ""
        raise ConfigError(f"{file} of the chart is not YAML that helm can read: {error}", hint=hint) from error


def _objects(data: Any, file: str) -> Iterator[ChartObject]:
    """The object that a document is, or those of a `List`; ConfigError for one that no API server would take."""
    if not isinstance(data, Mapping) or not (data.get("kind") and data.get("apiVersion")):
        return
    if data["kind"] == "List" and isinstance(data.get("items"), list):
        for item in data["items"]:
            yield from _objects(item, file)
        return
    if wrong := _wrong(data):
        raise ConfigError(f"{file} of the chart holds what is no Kubernetes object: {wrong}")
    yield ChartObject(file=file, data=data)


def _wrong(data: Mapping[str, Any]) -> str:
    """What makes an object none; empty where it is one, as far as anything looks at it."""
    metadata, spec = data.get("metadata"), data.get("spec")
    if not (isinstance(data["kind"], str) and isinstance(data["apiVersion"], str)):
        return "its kind or apiVersion is no text"
    if not (isinstance(metadata, Mapping) and isinstance(metadata.get("name"), str) and metadata["name"]):
        return f"a {data['kind']} without a name"
    if not isinstance(metadata.get("labels") or {}, Mapping):
        return f"the labels of {data['kind']} {metadata['name']} are no map"
    if data["kind"] != "CustomResourceDefinition":
        return ""
    versions = spec.get("versions") or () if isinstance(spec, Mapping) else None
    named = isinstance(versions, list | tuple) and all(isinstance(one, Mapping) and "name" in one for one in versions)
    if not named:
        return f"the versions of {data['kind']} {metadata['name']} have no names"
    return ""


def _yaml(files: _Files, name: str, where: str) -> dict[str, Any]:
    """Return the map in a file of the chart, empty if there is none; raises ConfigError if helm could not read it."""
    try:
        return dict(read_yaml(files.get(name, b"").removeprefix(BOM)) or {})
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}{name} of the chart is not a YAML map: {error}") from error


def _wanted(name: str) -> bool:
    """Whether a file of a chart matters here; templates are many and large."""
    parts = name.split("/")
    return parts[-1] in {"Chart.yaml", "values.yaml"} or "crds" in parts[:-1] or name.endswith(".tgz")


def _opened(chart: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The files of a chart (directory or archive) by path; ConfigError where it cannot be read."""
    try:
        if chart.is_dir():
            return _of_directory(chart, wanted)
        raw = chart.read_bytes()
    except OSError as error:
        raise ConfigError(f"chart {chart.name} cannot be read: {error}", hint=f"it is {chart}") from error
    return _of_archive(raw, wanted, f"chart {chart.name}")


def _of_directory(directory: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files_of_tree(directory).items() if wanted(name)}


def _of_archive(raw: bytes, wanted: Callable[[str], bool], shown: str) -> dict[str, bytes]:
    """The files of an archive by path below the chart's directory; ConfigError where it cannot be read."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as archive:
            for member in members(archive):
                _, _, name = posixpath.normpath(member.name).partition("/")
                if name and member.isfile() and wanted(name):
                    files[name] = content_of(archive, member)
    except UNREADABLE as error:
        raise ConfigError(f"{shown} cannot be read: {str(error) or type(error).__name__}") from error
    return files
