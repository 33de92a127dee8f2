"""Atomic file writes: readers see the old file or the whole new one, even if a writer is killed.

And temporary directories that a killed process does not leave behind for good.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from devtools.base.open_file import check_inside

OWN = ".devtools"  # the directory in a repository for generated files
_PRIVATE = "devtools-private-"


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


@contextlib.contextmanager
def private_directory(purpose: str) -> Iterator[Path]:
    """Make a temporary directory that only this user may read, and delete it at the end.

    The process keeps it locked. Those of killed processes, which nothing locks, are deleted first.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_PRIVATE}*/"):
        with contextlib.suppress(OSError), _locked(left, fcntl.LOCK_NB):
            shutil.rmtree(left)
    with contextlib.ExitStack() as stack:
        while True:  # another process may delete it before it is locked
            made = tempfile.TemporaryDirectory(prefix=f"{_PRIVATE}{purpose}-")
            try:
                stack.enter_context(_locked(Path(made.name)))
                break
            except FileNotFoundError:
                made.cleanup()  # otherwise it warns when it is garbage
        yield Path(stack.enter_context(made))  # deleted before it is unlocked


@contextlib.contextmanager
def _locked(directory: Path, flags: int = 0) -> Iterator[None]:
    """Lock a directory of this user; raises FileNotFoundError if it is gone then, OSError if it cannot be locked."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid != os.getuid():
            raise PermissionError
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        directory.stat()
        yield
    finally:
        os.close(descriptor)
