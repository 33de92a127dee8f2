"""Atomic file writes: readers see the old file or the whole new one, even if a writer is killed."""

from __future__ import annotations

import os
from pathlib import Path

from devtools.base.open_file import check_inside

OWN = ".devtools"  # the directory in a repository for generated files


def own_directory(root: Path) -> Path:
    """Create that directory, with an ignore file for version control; raises OSError."""
    directory = root / OWN
    check_inside(directory)
    directory.mkdir(parents=True, exist_ok=True)
    ignore = directory / ".gitignore"
    if not ignore.exists():
        write_whole(ignore, "*\n")
    return directory


def write_whole(path: Path, content: bytes | str, *, mode: int = 0o644, lasting: bool = False) -> None:
    """Write a file, text as UTF-8, replacing an existing one; raises OSError.

    A file of a repository is not written through links that lead out of it. The umask applies to the mode, and new
    directories give no more access than the file. `lasting` also waits for the disk, for files that must survive a
    crash of the machine.
    """
    data = content.encode() if isinstance(content, str) else content
    check_inside(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o777 if mode & 0o077 else 0o700)
    draft = path.with_name(f".{os.urandom(8).hex()}.part")  # the file's name may have the maximum length
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
