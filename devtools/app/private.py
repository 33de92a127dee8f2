"""A directory for what must not stay: gone after the run, or, where that was killed, at the next one."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from devtools.errors import EnvironmentFault


@contextlib.contextmanager
def private_directory(root: Path) -> Iterator[Path]:
    """A new directory under `root` that only we can read, removed afterwards; clears away what killed runs left.

    Beside it lies a lock file that its process holds: the system lets go of it however the process ends. Raises
    EnvironmentFault where it cannot be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(root / "all.lock", is_singleton=False):  # so that nobody's is swept before it is locked
            _sweep(root)
            made = root / f"{os.getpid()}-{os.urandom(4).hex()}"
            own = FileLock(_lock_of(made), is_singleton=False)
            own.acquire()
            made.mkdir(mode=0o700)
    except OSError as error:
        hint = "make room there, or set DEVTOOLS_STATE"
        raise EnvironmentFault(f"cannot make a private directory in {root}: {error.strerror}", hint=hint) from error
    try:
        yield made
    finally:
        _remove(made, own)


def _sweep(root: Path) -> None:
    """Remove the directories of processes that are gone."""
    for path in root.iterdir():
        if not path.is_dir():
            continue
        lock = FileLock(_lock_of(path), is_singleton=False)
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            _remove(path, lock)


def _remove(path: Path, lock: FileLock) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        _lock_of(path).unlink(missing_ok=True)
    lock.release()


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
