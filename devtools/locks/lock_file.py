"""A lock file that one process holds at a time; waiting for it can be interrupted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from devtools.errors import EnvironmentFault, Interrupted
from devtools.process.runner import Cancel

if TYPE_CHECKING:
    from filelock import BaseFileLock

PAUSE = 0.2  # seconds between attempts


@contextlib.contextmanager
def held(path: Path, cancel: Cancel, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock file while the body runs, or until the process dies; call `waiting` before each pause for it.

    Raises Interrupted on cancel, EnvironmentFault if there can be no such file.
    """
    while (lock := _acquired(path)) is None:
        waiting()
        if cancel.wait(PAUSE):
            raise Interrupted(cancel.reason or "interrupted while waiting for another process")
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Return whether another process holds a lock file, which is tried for a moment."""
    try:
        lock = _acquired(path)
    except EnvironmentFault:
        return False
    if lock is not None:
        lock.release()
    return lock is None


def _acquired(path: Path) -> BaseFileLock | None:
    """Return the lock; None if another process holds it. Raises EnvironmentFault without a file."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, mode=0o600, is_singleton=False)  # a user who can open it for reading can lock it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except OSError as error:
        raise EnvironmentFault(f"cannot lock {path}: {error.strerror or error}") from error
    return lock
