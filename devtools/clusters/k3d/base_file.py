"""Reads the user's k3d configuration file, over which the generated one is merged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from devtools.base.yaml_positions import Document, read
from devtools.clusters.k3d.config import API_VERSION, KIND, read_registries
from devtools.errors import Problem, config_error

_LISTS = ("ports", "volumes")


def read_base(root: Path, name: str) -> Mapping[str, Any]:
    """Return the file's content; ConfigError with every problem. k3d itself checks the keys that only it knows."""
    document = read(root / name, Path(name))
    if found := (*document.problems, *_problems(document)):
        raise config_error(found)
    data: Mapping[str, Any] = document.data
    return data


def _problems(document: Document) -> Iterator[Problem]:
    data = document.data
    for key, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        if data and data.get(key) != expected:
            hint = f"k3d config migrate {document.file}" if key == "apiVersion" else ""
            yield document.problem((key,), f"{key!r} must be {expected}", hint)
    for key in _LISTS:
        items = data.get(key)
        if key in data and not (isinstance(items, list) and all(isinstance(item, dict) for item in items)):
            yield document.problem((key,), f"{key!r} must be a list of maps")
    registries = data.get("registries")
    path = ("registries", "config")
    text = registries.get("config") if isinstance(registries, dict) else None
    if text and "\n" not in str(text):
        message = "'registries.config' is the path of another file, which cannot be merged"
        yield document.problem(path, message, "write its content here (config: |), or use cluster.mirrors")
    elif text:
        try:
            read_registries(text)
        except ValueError as error:
            yield document.problem(path, f"'registries.config' is not YAML: {error}")
