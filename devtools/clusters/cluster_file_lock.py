"""One process at a time changes a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from devtools.clusters.provider import Progress
from devtools.errors import EnvironmentFault, Interrupted, TimedOut
from devtools.process.runner import Cancel

LOCK_FOR = 180.0  # seconds another process may take
_LOOK = 0.2


@contextlib.contextmanager
def locked(path: Path, cancel: Cancel, progress: Progress, seconds: float = LOCK_FOR) -> Iterator[None]:
    """Hold the lock; waits up to `seconds` for another process, saying so. A dead process holds no lock.

    The file is for this user alone: who can open it to read can lock it.
    """
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, mode=0o600)
        waited = 0.0
        while not lock.is_locked:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if waited == 0.0:
                    progress("waiting for another process that is changing the cluster")
                if waited >= seconds:
                    raise TimedOut(f"another process has held {path} for {seconds:g} s") from None
                if cancel.wait(_LOOK):
                    raise Interrupted("interrupted while waiting for another process") from None
                waited += _LOOK
    except OSError as error:
        raise EnvironmentFault(f"cannot lock {path}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()
