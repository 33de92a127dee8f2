"""Reading tar archives that others made."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator

UNREADABLE: tuple[type[Exception], ...] = (
    *(OSError, tarfile.TarError, zlib.error, EOFError),
    *(ValueError, OverflowError, RecursionError),  # tarfile's own: numbers in headers, many headers of headers
)
"""What opening an archive, going through its members and reading them may raise."""


def members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Its members, one after the other; raises of `UNREADABLE`.

    A negative size would make tarfile go backwards, for ever (CVE-2025-8194).
    """
    for member in archive:
        if member.size < 0:
            raise tarfile.ReadError(f"{member.name!r} has a negative size")
        yield member
