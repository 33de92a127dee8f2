"""Reads the metadata of one version of a chart, and compares it with another version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from devtools.base.image_names import parse
from devtools.base.machine_yaml import merged, read_map
from devtools.charts.archive import files_of_archive
from devtools.charts.subcharts import default_values, load_chart
from devtools.errors import ConfigError

_READ = frozenset({"Chart.yaml", "requirements.yaml", "values.yaml"})
_METADATA = ("appVersion", "kubeVersion", "type", "deprecated")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartVersion:
    """One version of a chart: keys of its Chart.yaml, its dependencies with their versions, and default values."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    dependencies: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A named item that differs; a missing value is empty."""

    name: str
    before: str = ""
    after: str = ""


def read_version(raw: bytes, shown: str, uses: Iterable[Mapping[str, Any]]) -> ChartVersion:
    """Read an archive; `uses` are the values of releases, which enable subcharts. Raises ConfigError."""
    files = files_of_archive(raw, _is_read, shown)
    try:
        metadata = read_map(files.get("Chart.yaml", b""))
    except ValueError as error:
        raise ConfigError(f"{shown} has a Chart.yaml that helm cannot read: {error}") from error
    loaded = load_chart(files, _is_read)
    packed = {item.name: item.version for item in loaded.subcharts}
    declared = {str(item.get("name")): str(item.get("version") or "") for item in loaded.dependencies or ()}
    values: dict[str, Any] = {}
    for use in ({}, *uses):
        values = merged(values, default_values(load_chart(files, _is_read), use))
    return ChartVersion(metadata=metadata, dependencies={**declared, **packed}, values=values)


def compare_metadata(before: ChartVersion, after: ChartVersion) -> list[Change]:
    """Return the differences between the keys of Chart.yaml that matter to a user."""
    shown = {name: (_text(before.metadata.get(name)), _text(after.metadata.get(name))) for name in _METADATA}
    return [Change(name=name, before=old, after=new) for name, (old, new) in shown.items() if old != new]


def compare_dependencies(before: ChartVersion, after: ChartVersion) -> list[Change]:
    """Return the subcharts that only one version has, or whose versions differ."""
    return _differing(before.dependencies, after.dependencies)


def compare_images(before: Iterable[str], after: Iterable[str]) -> list[Change]:
    """Return the images that only one version names, paired by their repositories; several tags are one text."""
    return _differing(_tags(before), _tags(after))


def _is_read(name: str) -> bool:
    return name.rpartition("/")[2] in _READ or name.endswith(".tgz")


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    names = dict.fromkeys([*after, *before])
    found = [Change(name=name, before=before.get(name, ""), after=after.get(name, "")) for name in names]
    return [change for change in found if change.before != change.after]


def _tags(images: Iterable[str]) -> dict[str, str]:
    """Return the tags of each repository, or its digests."""
    found: dict[str, list[str]] = {}
    for text in sorted(images):
        try:
            one = parse(text)
        except ValueError:
            found[text] = ["not an image's name"]
        else:
            found.setdefault(one.name, []).append(one.tag or one.digest)
    return {name: ", ".join(tags) for name, tags in found.items()}
