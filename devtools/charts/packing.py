"""Chart archives whose bytes depend on nothing but their content: no times, owners or order of a directory."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping


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
