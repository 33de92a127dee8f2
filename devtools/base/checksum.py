"""The checksum of a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from devtools.base.open_file import open_source


def sha256_of(path: Path) -> str:
    """The file's sha256, lower-case hexadecimal; OSError where it cannot be read."""
    with open_source(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
