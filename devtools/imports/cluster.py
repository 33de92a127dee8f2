"""Converts Helm's records of installed releases into layers, overlays and charts."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import PurePosixPath
from typing import Any

from devtools.base.machine_yaml import yaml_text
from devtools.imports import layer_files
from devtools.imports.advice import SECRETS
from devtools.imports.layer_files import Files
from devtools.imports.model import Imported, Row
from devtools.imports.values import Path
from devtools.model import ReleaseId
from devtools.redaction.values import secret_values

_VALUES = PurePosixPath("values.yaml")


@dataclass(kw_only=True)
class _Import:
    encrypted: Mapping[str, Collection[Path]]
    rows: list[Row] = field(default_factory=list)
    files: Files = field(default_factory=dict)
    charts: dict[str, str] = field(default_factory=dict)  # version by name
    layers: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = field(default_factory=dict)

    def say(self, release: ReleaseId, what: str, note: str, *, carried: bool = False) -> None:
        self.rows.append(Row(carried=carried, what=f"{release}: {what}", note=note))


def convert_records(
    documents: Iterable[Mapping[str, Any]],
    environment: str,
    layer_names: Sequence[str],
    encrypted: Mapping[str, Collection[Path]],
) -> Imported:
    """Return one layer for each namespace, with charts as Helm stored them.

    Values that look secret are left out, and so are the keys in `encrypted` (by the name of the release), because Helm
    stores them decrypted.
    """
    made = _Import(encrypted=encrypted)
    for document in documents:
        _release(made, document)
    numbered = layer_files.numbers(list(made.layers), layer_names)
    for name, releases in made.layers.items():
        head = "Imported from a cluster. Helm does not store which release needs which: add `needs:`."
        text = layer_files.layer_text(name, (keys for keys, _ in releases), head)
        made.files[PurePosixPath("layers", f"{numbered[name]}.yaml")] = text
        for release, values in releases:
            made.files |= layer_files.overlay_files(numbered[name], release["name"], {environment: values})
    made.files |= layer_files.environment_files({environment: {}})
    return Imported(files=made.files, rows=tuple(made.rows))


def _release(made: _Import, document: Mapping[str, Any]) -> None:
    release = ReleaseId(str(document["namespace"]), str(document["name"]))
    chart = document.get("chart") or {}
    metadata = chart.get("metadata") or {}
    name, version = str(metadata.get("name")), str(metadata.get("version"))
    if metadata.get("dependencies"):
        note = (
            f"Helm does not store subcharts: pin {name} {version} in charts/third_party/lock.yaml and write the release"
        )
        made.say(release, "the release", note)
        return
    if made.charts.setdefault(name, version) != version:
        note = f"charts/platform/{name} is version {made.charts[name]}: pin {version} in charts/third_party/lock.yaml"
        made.say(release, f"the release, with chart {name} {version}", note)
        return
    made.files |= _chart_files(name, chart, metadata)
    values, secret = _without_secrets(document.get("config") or {}, frozenset(made.encrypted.get(release.name, ())))
    if secret:
        made.say(release, "secret values: " + ", ".join(".".join(path) for path in secret), SECRETS)
    keys = {"name": release.name, "namespace": release.namespace, "chart": f"platform/{name}"}
    made.layers.setdefault(layer_files.slug(release.namespace), []).append((keys, values))
    made.say(release, "the release", f"charts/platform/{name}, version {version}", carried=True)


def _chart_files(name: str, chart: Mapping[str, Any], metadata: Mapping[str, Any]) -> Files:
    """Return the files of a chart as Helm stored them; comments of values.yaml are lost."""
    below = PurePosixPath("charts", "platform", name)
    files = {below / "Chart.yaml": yaml_text(dict(metadata)).encode()}
    for item in (*(chart.get("templates") or ()), *(chart.get("files") or ())):
        path = PurePosixPath(str(item.get("name")))
        if not path.is_absolute() and ".." not in path.parts:
            files[below / path] = base64.b64decode(item.get("data") or "")
    if chart.get("values"):
        files[below / _VALUES] = yaml_text(chart["values"]).encode()
    if chart.get("schema"):
        files[below / "values.schema.json"] = base64.b64decode(chart["schema"])
    return files


def _without_secrets(
    tree: Mapping[str, Any], encrypted: Collection[Path], above: Path = ()
) -> tuple[dict[str, Any], list[Path]]:
    """Return values without those that are encrypted elsewhere or look secret, and the paths of the removed ones."""
    result: dict[str, Any] = {}
    found: list[Path] = []
    for key, value in tree.items():
        path = (*above, str(key))
        if path in encrypted:
            found.append(path)
        elif isinstance(value, Mapping):
            result[key], below = _without_secrets(value, encrypted, path)
            found += below
        elif secret_values(reduce(lambda inner, name: {name: inner}, reversed(path), value)):
            found.append(path)
        else:
            result[key] = value
    return result, found
