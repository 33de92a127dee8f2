"""Reads tar archives from any source, and packs reproducible ones."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from devtools.base.open_file import LARGEST_FILE, too_large

UNREADABLE: tuple[type[Exception], ...] = (
    *(OSError, tarfile.TarError, zlib.error, EOFError),
    *(ValueError, OverflowError, RecursionError),  # raised inside tarfile: numbers in headers, many nested headers
)
"""The errors that opening an archive, iterating its members and reading them may raise."""


def members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield its members in order; raises one of `UNREADABLE`.

    A negative size would make tarfile loop backwards for ever (CVE-2025-8194).
    """
    for member in archive:
        if member.size < 0:
            raise tarfile.ReadError(f"{member.name!r} has a negative size")
        yield member


def unpack(path: Path, into: Path) -> None:
    """Write the files of an archive below a directory; raises one of `UNREADABLE`, also for a path that leaves it.

    Links are skipped, and the archive's modes are ignored. Python 3.11 before 3.11.4 lacks tarfile's own filters.
    """
    with tarfile.open(path) as archive:
        for member in members(archive):
            parts = PurePosixPath(member.name.replace("\\", "/")).parts
            if ".." in parts or member.name.startswith(("/", "\\")):
                raise tarfile.ReadError(f"{member.name!r} points outside the archive")
            if member.isfile():
                target = into.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content_of(archive, member))


def content_of(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the content of a file of an archive; raises one of `UNREADABLE`, also if it is above Helm's limit.

    A sparse file's holes are read as zeros: a few bytes of an archive can stand for any number of them.
    """
    if member.size > LARGEST_FILE:
        raise tarfile.ReadError(f"{member.name!r} is {too_large()}")
    file = archive.extractfile(member)
    return file.read() if file else b""


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return a gzipped tar of files by path: no times or owners, so the same bytes for the same files."""
    raw = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)  # TarInfo's default times and owners are zero
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return raw.getvalue()
