"""Chart archives whose bytes are the same for the same files, with all dependencies in them."""

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
    """Dependencies that the chart in an archive asks for and that it does not hold; it was inspected before.

    Raises ConfigError where what it asks for cannot be read.
    """
    wanted = [str(item.get("name") or "") for item in _dependencies(_files(archive))]
    with tarfile.open(archive) as file:
        paths = [path_in_chart(member.name).split("/") for member in file]
    held = {parts[1] for parts in paths if parts[0] == "charts" and len(parts) > 1}
    return tuple(
        dict.fromkeys(
            name for name in wanted if name not in held and not any(is_archive_of(name, file) for file in held)
        )
    )


def repositories_of(archive: Path) -> list[str]:
    """The chart repositories and registries that the dependencies of a chart come from, each once."""
    found = [str(item.get("repository") or "") for item in _dependencies(_files(archive))]
    return list(dict.fromkeys(url for url in found if url.startswith(("https://", "http://", OCI))))


def _dependencies(files: Mapping[str, bytes]) -> tuple[Mapping[str, Any], ...]:
    """Those of a Chart.yaml, and of the requirements.yaml that older charts have beside it."""
    return load_chart(files, lambda _: False).dependencies or ()


def _files(archive: Path) -> Mapping[str, bytes]:
    """What is said of the chart's dependencies in an archive."""
    return files_of_archive(read_file(archive), _ABOUT.__contains__, f"chart archive {archive.name}")


def raw_archive(directory: Path, into: Path) -> Path:
    """A chart directory as an archive with all its files."""
    files = files_of_tree(directory)
    into.write_bytes(packed({f"{directory.name}/{name}": read_file(path) for name, path in files.items()}))
    return into


def repacked(archive: Path, into: Path, without: Collection[str] = ()) -> Path:
    """The same files (but for some) without the times that packing gave them."""
    with tarfile.open(archive) as file:
        members = [(member.name, file.extractfile(member)) for member in file if member.isfile()]
        files = {name: content.read() for name, content in members if content and name not in without}
    into.write_bytes(packed(files))
    return into
