"""Dependencies of charts in this repository: required by Chart.yaml, pinned by Chart.lock, stored in charts/."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from devtools.base.atomic_write import write_whole
from devtools.base.machine_yaml import read_map, yaml_text
from devtools.base.open_file import read_source
from devtools.base.yaml_positions import Document, read
from devtools.charts.archive import dependencies_of, files_of_archive
from devtools.charts.semver import is_compatible
from devtools.charts.tree import is_archive_of
from devtools.errors import ConfigError, Location, Problem

State = Literal["ok", "missing", "wrong version", "not locked"]
_LOCK = "Chart.lock"
_MOVE = "move the dependencies to Chart.yaml with apiVersion: v2"
# The fields of helm's Dependency, in its order; the digest of Chart.lock is that of their JSON.
_FIELDS = ("name", "version", "repository", "condition", "tags", "enabled", "import-values", "alias")
_ALWAYS = frozenset({"name", "repository"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """One dependency of a chart: `version` is the one in charts/, `locked` that of Chart.lock; empty if missing."""

    name: str
    constraint: str
    repository: str
    state: State
    version: str = ""
    locked: str = ""


def declared(chart: Path, shown: Callable[[Path], Path]) -> Iterator[tuple[Location, str, str]]:
    """Yield place, name and range of each declared dependency; as in Helm, requirements.yaml takes precedence."""
    for name in ("requirements.yaml", "Chart.yaml"):
        if not (chart / name).is_file():
            continue
        document = read(chart / name, shown(chart / name))
        items = document.data.get("dependencies") if isinstance(document.data, Mapping) else None
        if not isinstance(items, list):
            continue
        for number, item in enumerate(items):
            if isinstance(item, Mapping) and item.get("name"):
                yield document.at(("dependencies", number)), str(item["name"]), str(item.get("version") or "")
        return


def missing(chart: Path, files: Mapping[str, Path], shown: Callable[[Path], Path]) -> list[Problem]:
    """Return a problem for each declared dependency that is not among the files that helm loads from `charts/`."""
    there = set(_names(files))
    return [
        Problem(
            where=where,
            message=f"dependency {name} {constraint}".rstrip() + " is not in charts/",
            hint=("" if where.file.name == "Chart.yaml" else f"{_MOVE}, then: ") + "invoke charts.dependencies",
        )
        for where, name, constraint in declared(chart, shown)
        if name not in there
    ]


def _names(files: Mapping[str, Path]) -> Iterator[str]:
    """Yield the names of the charts in `charts/`; an unreadable one is skipped, because helm reports why."""
    for name, path in files.items():
        parts = name.split("/")
        if parts[0] != "charts" or parts[1].startswith((".", "_")):
            continue
        try:
            if len(parts) == 2 and name.endswith(".tgz"):  # noqa: PLR2004 - charts/NAME
                yield str(read_map(_chart_yaml(path)).get("name"))
            elif parts[2:] == ["Chart.yaml"]:
                yield str(read_map(read_source(path)).get("name"))
        except (ConfigError, OSError, ValueError):
            continue


def _chart_yaml(archive: Path) -> bytes:
    """Return the Chart.yaml of an archive, empty if it has none; raises ConfigError."""
    return files_of_archive(read_source(archive), "Chart.yaml".__eq__, archive.name).get("Chart.yaml", b"")


def dependencies(chart: Path) -> tuple[Dependency, ...]:
    """Return the dependencies of a chart's directory with their state; raises ConfigError if it cannot be read."""
    asked = _asked(chart)
    lock = _lock(chart)
    locked = {str(item.get("name")): str(item.get("version")) for item in lock.get("dependencies") or ()}
    is_current = lock.get("digest") == _digest(asked, lock.get("dependencies") or ())
    return tuple(_state(chart, item, locked.get(str(item["name"]), ""), is_current=is_current) for item in asked)


def nameless(document: Document) -> Iterator[Problem]:
    """Yield a problem for each entry of a Chart.yaml's dependencies that is not a map with a name."""
    found = document.data.get("dependencies") or []
    if not isinstance(found, list):
        yield document.problem(("dependencies",), "'dependencies' must be a list")
        return
    for number, item in enumerate(found):
        if not (isinstance(item, Mapping) and isinstance(item.get("name"), str) and item["name"]):
            yield document.problem(("dependencies", number), "a dependency must be a map with a name")


def _state(chart: Path, item: Mapping[str, Any], locked: str, *, is_current: bool) -> Dependency:
    name, constraint = str(item["name"]), str(item.get("version") or "")
    version = _held(chart, name)
    state: State = "ok"
    if not version:
        state = "missing"
    elif not is_compatible(constraint or "*", version):
        state = "wrong version"
    elif not is_current or locked != version:
        state = "not locked"
    repository = str(item.get("repository") or "")
    return Dependency(
        name=name, constraint=constraint, repository=repository, state=state, version=version, locked=locked
    )


def place(chart: Path, archives: Mapping[str, Path], now: float) -> None:
    """Put an archive of each dependency into charts/, remove older ones of them, and write Chart.lock."""
    asked = _asked(chart)
    (chart / "charts").mkdir(exist_ok=True)
    for name, archive in archives.items():
        for old in _archives(chart, name):
            if old.name != archive.name:
                old.unlink()
        target = chart / "charts" / archive.name
        raw = read_source(archive)
        if not target.exists() or read_source(target) != raw:
            write_whole(target, raw)
    locked = [
        {"name": item["name"], "repository": item.get("repository", ""), "version": _held(chart, str(item["name"]))}
        for item in asked
    ]
    digest = _digest(asked, locked)
    if _lock(chart).get("digest") != digest:
        generated = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = yaml_text({"dependencies": locked, "digest": digest, "generated": generated})
        write_whole(chart / _LOCK, text.encode())


def _asked(chart: Path) -> Sequence[Mapping[str, Any]]:
    """Return the dependencies in Chart.yaml."""
    file = chart / "Chart.yaml"
    return dependencies_of(_read(file, "write a Chart.yaml with name and version"), str(file))


def _lock(chart: Path) -> Mapping[str, Any]:
    file = chart / _LOCK
    return _read(file, "delete it: invoke charts.dependencies") if file.exists() else {}


def _read(file: Path, hint: str) -> Mapping[str, Any]:
    try:
        return read_map(read_source(file))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}", hint=hint) from error


def _held(chart: Path, name: str) -> str:
    """Return the version of a dependency in charts/: of a directory or an archive; empty if there is none."""
    directory = chart / "charts" / name / "Chart.yaml"
    try:
        if directory.is_file():
            return str(read_map(read_source(directory)).get("version") or "")
        found = _archives(chart, name)
        return str(read_map(_chart_yaml(found[-1])).get("version") or "") if found else ""
    except (ConfigError, OSError, ValueError):
        return ""


def _archives(chart: Path, name: str) -> list[Path]:
    return sorted(path for path in (chart / "charts").glob("*.tgz") if is_archive_of(name, path.name))


def _digest(asked: Iterable[Mapping[str, Any]], locked: Iterable[Mapping[str, Any]]) -> str:
    """Return the digest that helm writes into Chart.lock (`HashReq` of its resolver)."""
    text = json.dumps([[*map(_ordered, asked)], [*map(_ordered, locked)]], separators=(",", ":"), ensure_ascii=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _ordered(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dependency as Go encodes it in JSON."""
    return {key: item.get(key) or "" for key in _FIELDS if key in _ALWAYS or item.get(key)}
