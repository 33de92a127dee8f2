"""Loads charts as Helm does, and determines which of their subcharts the values enable.

This follows Helm 4.3.1 step by step, including its surprising behaviour: `LoadFiles` in `pkg/chart/v2/loader`,
`processDependencyEnabled` in `pkg/chart/v2/util`, and `CoalesceValues` in `pkg/chart/common/util`. The tests compare
it with the real helm on generated charts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any

from devtools.base.machine_yaml import merged, read_documents, read_map
from devtools.charts.archive import dependencies_of, files_of_archive
from devtools.charts.semver import is_compatible
from devtools.errors import ConfigError

Files = Mapping[str, bytes]
Values = MutableMapping[str, Any]
_GLOBAL = "global"


@dataclass(slots=True, kw_only=True)
class LoadedChart:
    """A chart and its subcharts; `where` is its path in the outermost chart, empty or with a trailing slash.

    `dependencies` is None if the chart declares none: then Helm keeps all of its subcharts unchanged.
    """

    where: str
    name: str
    version: str
    files: Files
    values: dict[str, Any]
    dependencies: tuple[Mapping[str, Any], ...] | None
    subcharts: list[LoadedChart] = field(default_factory=list)


def load_chart(files: Files, wanted: Callable[[str], bool], where: str = "") -> LoadedChart:
    """Load a chart, with the wanted files of packed subcharts; raises ConfigError if Helm could not load it."""
    if "Chart.yaml" not in files:
        raise ConfigError(f"{where or 'the chart'} is not a chart: it has no Chart.yaml")
    metadata = {**_map(files, "Chart.yaml", where), **_map(files, "requirements.yaml", where)}
    dependencies = None
    if metadata.get("dependencies") is not None:
        dependencies = dependencies_of(metadata, f"{where}Chart.yaml")
    return LoadedChart(
        where=where,
        name=str(metadata.get("name") or ""),
        version=str(metadata.get("version") or ""),
        files=files,
        values=_default_values(files, where),
        dependencies=dependencies,
        subcharts=[
            load_chart(below, wanted, f"{where}charts/{name}/")
            for name, below in sorted(_subcharts(files, wanted, where).items())
        ],
    )


def enabled_charts(chart: LoadedChart, values: Mapping[str, Any]) -> Iterator[LoadedChart]:
    """Yield a chart and each subchart that these values enable, a subchart with two aliases twice."""
    _process(chart, _copy(values), "")
    yield from _walk(chart)


def default_values(chart: LoadedChart, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default values of a chart and, below its name, of each subchart that these values enable."""
    _process(chart, _copy(values), "")
    return _defaults(chart)


def _defaults(chart: LoadedChart) -> dict[str, Any]:
    return merged({item.name: _defaults(item) for item in chart.subcharts}, chart.values)


def _walk(chart: LoadedChart) -> Iterator[LoadedChart]:
    yield chart
    for subchart in chart.subcharts:
        yield from _walk(subchart)


def _map(files: Files, name: str, where: str) -> dict[str, Any]:
    """Return the map in a file of the chart, empty if there is none; raises ConfigError if Helm could not read it."""
    try:
        return read_map(files.get(name, b""))
    except ValueError as error:
        raise ConfigError(f"{where}{name} of the chart cannot be read by helm: {error}") from error


def _default_values(files: Files, where: str) -> dict[str, Any]:
    """Return the values of values.yaml; Helm merges its documents."""
    values: dict[str, Any] = {}
    try:
        for document in read_documents(files.get("values.yaml", b"")):
            if not isinstance(document, dict | None):
                raise ValueError("it is not a map of keys")  # noqa: TRY004 - as what is not YAML
            values = merged(values, document or {})
    except ValueError as error:
        raise ConfigError(f"{where}values.yaml of the chart cannot be read by helm: {error}") from error
    return values


def _subcharts(files: Files, wanted: Callable[[str], bool], where: str) -> dict[str, Files]:
    """Return the files of each chart in `charts/` by its name there; Helm skips names with prefix `_` or `.`."""
    found: dict[str, dict[str, bytes]] = {}
    for path, content in files.items():
        top, _, below = path.partition("/")
        name, _, rest = below.partition("/")
        if top != "charts" or not name or name[0] in "._" or path.endswith(".prov"):
            continue
        if name.endswith(".tgz"):
            if not rest:
                found[name] = dict(files_of_archive(content, wanted, f"{where}{path} of the chart"))
        elif rest:
            found.setdefault(name, {})[rest] = content
    return dict(found)


def _process(chart: LoadedChart, values: Values, path: str) -> None:
    """Rename, copy and remove subcharts by the dependencies; `path` leads to the chart's own part of the values."""
    if chart.dependencies is None:
        return
    declared = chart.dependencies
    found = [item for item in chart.subcharts if not any(_matches(dependency, item) for dependency in declared)]
    for dependency in declared:
        meant = next((item for item in chart.subcharts if _matches(dependency, item)), None)
        if meant:
            name = str(dependency.get("alias") or meant.name)
            found.append(replace(meant, name=name, subcharts=[replace(item) for item in meant.subcharts]))
    chart.subcharts = found
    every = _coalesced(chart, _copy(values))
    off = {_name(item) for item in declared if not _is_enabled(item, every, path)}
    chart.subcharts = [item for item in found if item.name not in off]
    for item in chart.subcharts:
        _process(item, every, f"{path}{item.name}.")


def _name(dependency: Mapping[str, Any]) -> str:
    return str(dependency.get("alias") or dependency.get("name") or "")


def _matches(dependency: Mapping[str, Any], chart: LoadedChart) -> bool:
    """Return whether a dependency matches a chart: by name and version range."""
    return dependency.get("name") == chart.name and is_compatible(str(dependency.get("version") or ""), chart.version)


def _is_enabled(dependency: Mapping[str, Any], values: Mapping[str, Any], path: str) -> bool:
    """Return whether the values enable a dependency: the first condition that is a boolean, else tags, else yes."""
    for condition in str(dependency.get("condition") or "").strip().split(","):
        found = _lookup(values, path + condition) if condition else None
        if isinstance(found, bool):
            return found
    tags = values.get("tags")
    by_tag = [tags.get(tag) for tag in dependency.get("tags") or ()] if isinstance(tags, Mapping) else []
    return True in by_tag or False not in by_tag


def _lookup(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else copy.deepcopy(value) for key, value in values.items()}


def _coalesced(chart: LoadedChart, values: Values) -> Values:
    """Fill values in place with the defaults of a chart and, below their names, of its subcharts."""
    _coalesce_defaults(chart, values)
    for subchart in chart.subcharts:
        own = values.setdefault(subchart.name, {})
        if not isinstance(own, dict):
            raise ConfigError(f"the values of subchart '{subchart.name}' are not a map")
        _coalesce_globals(own, values)
        _coalesced(subchart, own)
    return values


def _coalesce_defaults(chart: LoadedChart, values: Values) -> None:
    """Add missing values; a null removes a default."""
    names = {subchart.name for subchart in chart.subcharts}
    for key, default in copy.deepcopy(chart.values).items():
        is_subchart = key in names
        if isinstance(default, dict) and not (key in values and is_subchart):
            _drop_nulls(default)
        if key not in values:
            if default is not None:
                values[key] = default
        elif values[key] is None:
            del values[key]
        elif isinstance(values[key], dict) and isinstance(default, dict):
            _coalesce_maps(values[key], default, keep_nulls=is_subchart)


def _coalesce_maps(values: Values, defaults: dict[str, Any], *, keep_nulls: bool) -> None:
    """Add keys that a map lacks; a null removes a default, or stays."""
    had = {key for key, value in defaults.items() if value is not None}
    defaults.update({key: None for key, value in values.items() if value is None})
    for key, default in defaults.items():
        if key not in values:
            values[key] = default
        elif values[key] is None and not keep_nulls and key in had:
            del values[key]
        elif isinstance(values[key], dict) and isinstance(default, dict):
            _coalesce_maps(values[key], default, keep_nulls=keep_nulls)


def _coalesce_globals(values: Values, above: Mapping[str, Any]) -> None:
    """Add the parent chart's globals to a subchart's values; they take precedence."""
    own, inherited = values.get(_GLOBAL, {}), above.get(_GLOBAL, {})
    if not isinstance(own, dict) or not isinstance(inherited, dict):
        return
    for key, value in inherited.items():
        old = own.get(key)
        if not isinstance(value, dict):
            if not isinstance(old, dict):
                own[key] = value
        elif key not in own or isinstance(old, dict):
            own[key] = dict(value)
            if isinstance(old, dict):
                _coalesce_maps(own[key], old, keep_nulls=True)
    values[_GLOBAL] = own


def _drop_nulls(values: dict[str, Any]) -> None:
    for key, value in list(values.items()):
        if value is None:
            del values[key]
        elif isinstance(value, dict):
            _drop_nulls(value)
