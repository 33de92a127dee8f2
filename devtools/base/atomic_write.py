"""Atomic file writes: readers see the old file or the whole new one, even if a writer is killed."""

from __future__ import annotations

import os
from pathlib import Path

from devtools.base.open_file import check_inside

OWN = ".devtools"  # the directory in a repository that we write to


def own_directory(root: Path) -> Path:
    """Make our directory in a repository, with an ignore file for version control; raises OSError."""
    directory = root / OWN
    check_inside(directory)
    directory.mkdir(parents=True, exist_ok=True)
    ignore = directory / ".gitignore"
    if not ignore.exists():
        write_whole(ignore, "*\n")
    return directory


def write_whole(path: Path, content: bytes | str, *, mode: int = 0o644, lasting: bool = False) -> None:
    """Write a file, text as UTF-8, in place of one that may be there; OSError where that fails.

    A file of a repository is not written through links that lead out of it. The mode is less the umask, and directories
    that are made let in no more than the file does. `lasting` also waits for the disk, for what must survive a crash of
    the machine.
    """
    data = content.encode() if isinstance(content, str) else content
    check_inside(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o777 if mode & 0o077 else 0o700)
    draft = path.with_name(f".{os.urandom(8).hex()}.part")  # not of its own name: that may be as long as names can be
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
