"""Chart archives whose bytes depend on nothing but their content: no times, owners or order of a directory."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path


def packed(files: Mapping[str, bytes]) -> bytes:
    """A gzipped tar of files by path, the same bytes for the same files; the paths begin with the chart's name."""
    raw = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)  # its times and owners are zero
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that others see all of it or nothing, also after a crash; OSError where that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
