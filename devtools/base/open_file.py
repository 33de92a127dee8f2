"""Opens regular files to read, and nothing else; refuses links that lead out of a repository."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from io import BufferedReader
from pathlib import Path

LARGEST_FILE = 100 * 2**20  # bytes: Helm's own limit for a chart, and so for each file
_MARKS = ("devtools.yaml", "layers")  # of a repository that is not in version control


def relative(path: Path, root: Path | None) -> Path:
    """Return a path as it is below `root`; unchanged if it is elsewhere."""
    return path.relative_to(root) if root and path.is_relative_to(root) else path


def opened(path: Path) -> BufferedReader:
    """Open a regular file to read its bytes; raises OSError for anything else.

    Opening a pipe would wait for ever for a writer, and a device may never end. The file is checked before it is
    opened, because opening a device can have side effects, and again afterwards, because it may have been replaced.
    """
    _check(path, path.stat().st_mode)
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    try:
        _check(path, os.fstat(file.fileno()).st_mode)
    except OSError:
        file.close()
        raise
    return file


def read_file(path: Path) -> bytes:
    """Return the bytes of a regular file; raises OSError."""
    with opened(path) as file:
        return file.read()


def open_source(path: Path) -> BufferedReader:
    """Open a regular file of a repository; raises OSError for others, and if links lead out of the repository."""
    check_inside(path)
    return opened(path)


def read_source(path: Path) -> bytes:
    """Return the bytes of a file of a repository; raises OSError like `open_source`, and if it is too large."""
    with open_source(path) as file:
        if os.fstat(file.fileno()).st_size > LARGEST_FILE:
            raise OSError(errno.EFBIG, f"it is {too_large()}", str(path))
        return file.read()


def sha256_of(path: Path) -> str:
    """Return the file's sha256, lower-case hexadecimal; raises OSError if it cannot be read."""
    with open_source(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def too_large() -> str:
    """Return why a file is not read."""
    return f"larger than {LARGEST_FILE // 2**20} MiB"


def check_inside(path: Path) -> None:
    """Raise OSError if links lead from a path in a repository to a place outside.

    An untrusted clone could have links to any file of the machine. A path outside of repositories may lead anywhere.
    """
    text = str(path.absolute())
    real = os.path.realpath(text)
    if real == text:
        return
    repository = _repository_of(Path(text))
    if repository is not None and not Path(real).is_relative_to(repository.resolve()):
        raise OSError(errno.EPERM, f"a link points outside the repository, to {real}", str(path))


def _repository_of(path: Path) -> Path | None:
    """Return the repository that contains a path, links not resolved: of version control, else of devtools.

    A home directory in version control does not count as the repository of the stacks in it.
    """
    ours = None
    for directory in path.parents:
        if ours is None and any((directory / name).exists() for name in _MARKS):
            ours = directory
        if (directory / ".git").exists() and directory != Path.home():
            return directory
    return ours


def _check(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
