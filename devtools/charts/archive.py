"""Verifies a chart archive against the lock, and that it is safe to unpack; runs before every replay."""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from devtools.base.archives import UNREADABLE, content_of, members
from devtools.base.machine_yaml import read_map
from devtools.base.open_file import LARGEST_FILE, open_source, sha256_of
from devtools.charts.lock import LockEntry
from devtools.errors import ConfigError

MOST_FILES = 10_000
_DRIVE = re.compile("[a-zA-Z]:/")
EMBEDDED = ", or use the embedded cluster: DEVTOOLS_PROVIDER=kwok"


def verify_archive(path: Path, entry: LockEntry) -> None:
    """Raise ConfigError, naming the archive and why, unless it is the locked chart and safe to unpack.

    The archive must exist, have the locked sha256, be a gzipped tar with one directory, contain no path or link that
    points out of it, stay within Helm's size limits, and have the locked name and version in its Chart.yaml.
    """
    vendor = f"invoke charts.vendor --name {entry.chart}"
    if not entry.sha256:
        if path.exists():
            raise _bad(path, entry, "exists, but the lock has no sha256 for it", vendor)
        why = "is not vendored, and only the embedded cluster takes a stand-in for it"
        raise _bad(path, entry, why, vendor + EMBEDDED)
    try:
        found = sha256_of(path)
    except FileNotFoundError:
        other = moved_from(path, entry)
        why = f"is not vendored: the lock's sha256 is of {other.name}" if other else "is missing"
        raise _bad(path, entry, why, vendor) from None
    except OSError as error:
        raise _bad(path, entry, f"cannot be read: {error.strerror or error}") from error
    if found != entry.sha256:
        message = f"is corrupted: its sha256 is {found[:12]}…, and {entry.where} says {entry.sha256[:12]}…"
        raise _bad(path, entry, message, "restore it from version control, or vendor and lock it again")
    inspect_archive(path, entry)


def moved_from(path: Path, entry: LockEntry) -> Path | None:
    """Return the archive of another version that has the lock's sha256, if any: then `version` was changed."""
    others = sorted(path.parent.glob(f"{entry.name}-*.tgz")) if entry.sha256 and not path.exists() else []
    return next((other for other in others if sha256_of(other) == entry.sha256), None)


def inspect_archive(path: Path, entry: LockEntry) -> None:
    """Raise ConfigError unless helm can load the archive, it unpacks safely, and it is the locked chart and version."""
    try:
        with open_source(path) as file, tarfile.open(fileobj=file, mode="r:gz") as archive:
            chart_yaml = _walk(path, entry, archive)
    except UNREADABLE as error:
        raise _bad(path, entry, f"is not a gzipped tar archive: {str(error) or type(error).__name__}") from error
    if chart_yaml is None:
        raise _bad(path, entry, f"holds no {entry.name}/Chart.yaml")
    try:
        data = read_map(chart_yaml)
    except ValueError as error:
        raise _bad(path, entry, f"contains a Chart.yaml that helm cannot read: {error}") from error
    for key, wanted in (("name", entry.name), ("version", entry.version)):
        if str(data.get(key, "")) != wanted:
            raise _bad(path, entry, f"has {key} '{data.get(key, '')}', but the lock has '{wanted}'")


def _walk(path: Path, entry: LockEntry, archive: tarfile.TarFile) -> bytes | None:
    """Check every member; return the bytes of the chart's own Chart.yaml."""
    size = 0
    top = ""
    chart_yaml: bytes | None = None
    for count, member in enumerate(members(archive), 1):
        size += member.size
        top = top or _top(member.name)
        if wrong := _wrong(member, top):
            raise _bad(path, entry, wrong)
        if size > LARGEST_FILE or count > MOST_FILES:
            limits = f"{LARGEST_FILE // 2**20} MiB or {MOST_FILES} files"
            raise _bad(path, entry, f"is larger than {limits} when unpacked")
        if member.isfile() and path_in_chart(member.name) == "Chart.yaml":
            chart_yaml = content_of(archive, member)
    return chart_yaml


def _wrong(member: tarfile.TarInfo, top: str) -> str:
    """Return why a member is unsafe or cannot be loaded by helm; empty if it is fine."""
    name = member.name.replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/"):
        return f"holds a path that points out of it: {member.name!r}"
    if _top(name) != top:
        return f"holds {member.name!r}, which is not below {top}/ as the rest"
    if member.issym() or member.islnk():
        base = posixpath.dirname(name) if member.issym() else ""
        out = _top(posixpath.join(base, member.linkname.replace("\\", "/"))) != top
        return f"holds a link that points out of it: {member.name!r} to {member.linkname!r}" if out else ""
    if not (member.isfile() or member.isdir()):
        return f"holds {member.name!r}, which is neither a file nor a directory"
    if member.isfile() and (name.startswith("./") or not path_in_chart(member.name)):
        return f"holds {member.name!r}, and helm takes the first part of each path for the chart's directory"
    return ""


def _top(path: str) -> str:
    """Return the first directory of a path after resolving `.` and `..`."""
    return posixpath.normpath(path.replace("\\", "/")).split("/")[0]


def path_in_chart(name: str) -> str:
    """Return where helm puts a file of an archive, empty if it refuses the archive for it.

    Like `LoadArchiveFiles` in Helm's `pkg/chart/loader/archive`, it drops the first part of the path.
    """
    top, _, rest = name.partition("\\" if "\\" in name else "/")
    path = posixpath.normpath(rest.replace("\\", "/")) if rest else "."
    is_refused = top == "Chart.yaml" or path == "." or path.startswith(("/", "..")) or _DRIVE.match(path)
    return "" if is_refused else path


def files_of_archive(raw: bytes, wanted: Callable[[str], bool], shown: str) -> dict[str, bytes]:
    """Return the files with matching names, by path in the chart; raises ConfigError if helm could not load them."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as archive:
            for member in members(archive):
                name = path_in_chart(member.name)
                if not name and not member.isdir():
                    raise ConfigError(f"{shown} cannot be loaded by helm: it holds {member.name!r}")
                if member.isfile() and wanted(name):
                    files[name] = content_of(archive, member)
    except UNREADABLE as error:
        raise ConfigError(f"{shown} cannot be read: {str(error) or type(error).__name__}") from error
    return files


def _bad(path: Path, entry: LockEntry, why: str, hint: str = "") -> ConfigError:
    message = f"chart archive {entry.archive.name} of '{entry.chart}' {why}"
    return ConfigError(message, hint=hint or f"it is {path}")


def dependencies_of(data: Mapping[str, Any], file: str) -> tuple[Mapping[str, Any], ...]:
    """Return a Chart.yaml's dependencies; raises ConfigError, naming `file`, unless they are maps that Helm accepts."""
    found = data.get("dependencies") or ()
    if not isinstance(found, list | tuple) or not all(isinstance(item, Mapping) and _is_read(item) for item in found):
        hint = "Helm takes a list of maps there, each with a name"
        raise ConfigError(f"{file} of the chart has dependencies that cannot be read", hint=hint)
    return tuple(found)


def _is_read(dependency: Mapping[str, Any]) -> bool:
    """Return whether the checked fields have the types that Helm requires."""
    tags = dependency.get("tags") or ()
    plain = all(isinstance(dependency.get(key) or "", str) for key in ("name", "alias", "condition", "repository"))
    return plain and isinstance(tags, list | tuple) and all(isinstance(tag, str) for tag in tags)
