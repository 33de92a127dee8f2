"""CustomResourceDefinitions from files, by the group and kind that they define."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from devtools.base.machine_yaml import read_stream
from devtools.base.open_file import read_file
from devtools.errors import ConfigError

Crds = dict[tuple[str, str], Mapping[str, Any]]


def crds_in(objects: Iterable[Mapping[str, Any]]) -> Crds:
    """Return the CRDs among objects; a later one replaces an earlier one of the same kind."""
    found: Crds = {}
    for item in objects:
        spec = item.get("spec")
        if item.get("kind") == "CustomResourceDefinition" and isinstance(spec, Mapping):
            found[str(spec.get("group")), str((spec.get("names") or {}).get("kind"))] = item
    return found


def crds_of_directory(directory: Path, groups: Collection[str]) -> Crds:
    """Return the CRDs of these API groups in the YAML files below a directory.

    Only files that mention a group are parsed: schemas are large. Raises ConfigError if it is not a directory, or if
    a file is not YAML.
    """
    if not directory.is_dir():
        raise ConfigError(f"{directory} is not a directory", hint="name a directory of CRD files")
    found: Crds = {}
    for path in sorted(directory.rglob("*.y*ml")):
        try:
            raw = read_file(path)
            if b"CustomResourceDefinition" in raw and any(group.encode() in raw for group in groups):
                found |= crds_in(item for item in read_stream(raw) if isinstance(item, Mapping))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read: {error}", hint="remove it, or correct the YAML") from error
    return found


def crds_of_charts(archives: Iterable[Path]) -> Crds:
    """Return the CRDs in `crds/` of charts; the commands that use the chart report unreadable files."""
    from devtools.charts.crds import objects_in_crds

    found: Crds = {}
    for archive in archives:
        try:
            found |= crds_in(item.data for item in objects_in_crds(archive, {}) if item.is_crd)
        except ConfigError:
            continue
    return found
