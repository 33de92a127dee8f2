"""Packs reproducible chart archives that include all dependencies."""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from devtools.base.archives import packed
from devtools.base.open_file import read_file
from devtools.charts.archive import files_of_archive, path_in_chart
from devtools.charts.subcharts import load_chart
from devtools.charts.tree import files_of_tree, is_archive_of
from devtools.helm.chart_commands import OCI

LOCKS = ("Chart.lock", "requirements.lock")
_ABOUT = frozenset({"Chart.yaml", "requirements.yaml"})


def missing_dependencies(archive: Path) -> tuple[str, ...]:
    """Return the dependencies that an inspected archive declares and lacks; ConfigError if they cannot be read."""
    wanted = [str(item.get("name") or "") for item in _dependencies(archive)]
    with tarfile.open(archive) as file:
        paths = [path_in_chart(member.name).split("/") for member in file]
    held = {parts[1] for parts in paths if parts[0] == "charts" and len(parts) > 1}
    lacking = (name for name in wanted if name not in held and not any(is_archive_of(name, file) for file in held))
    return tuple(dict.fromkeys(lacking))


def repositories_of(archive: Path) -> list[str]:
    """Return the chart repositories and registries of a chart's dependencies, each once."""
    found = [str(item.get("repository") or "") for item in _dependencies(archive)]
    return list(dict.fromkeys(url for url in found if url.startswith(("https://", "http://", OCI))))


def _dependencies(archive: Path) -> tuple[Mapping[str, Any], ...]:
    """Return the dependencies in the archive's Chart.yaml, or in the requirements.yaml of an older chart."""
    files = files_of_archive(read_file(archive), _ABOUT.__contains__, f"chart archive {archive.name}")
    return load_chart(files, lambda _: False).dependencies or ()


def raw_archive(directory: Path, into: Path) -> Path:
    """Pack all files of a chart directory."""
    files = files_of_tree(directory)
    into.write_bytes(packed({f"{directory.name}/{name}": read_file(path) for name, path in files.items()}))
    return into


def repacked(archive: Path, into: Path, without: Collection[str] = ()) -> Path:
    """Repack an archive's files (except some) without the times that packing gave them."""
    with tarfile.open(archive) as file:
        members = [(member.name, file.extractfile(member)) for member in file if member.isfile()]
        files = {name: content.read() for name, content in members if content and name not in without}
    into.write_bytes(packed(files))
    return into
