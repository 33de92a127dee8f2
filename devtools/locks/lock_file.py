"""A lock file that one process holds at a time; waiting for it can be interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

from devtools.errors import EnvironmentFault, Interrupted
from devtools.process.runner import Cancel

PAUSE = 0.2  # seconds between attempts


class LockFile:
    """A lock that is released when the context ends, or with the process.

    with LockFile(path, cancel) as lock:
        lock.wait(lambda: say("waiting for another process"))
        ...
    """

    def __init__(self, path: Path, cancel: Cancel) -> None:
        """The file is private to this user, because a user who can open it for reading can lock it."""
        from filelock import FileLock

        self.path = path
        self._cancel = cancel
        self._lock = FileLock(path, mode=0o600, is_singleton=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def acquire(self) -> bool:
        """Try once; return False if another process holds the lock. Raises EnvironmentFault without a file."""
        from filelock import Timeout

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError as error:
            raise EnvironmentFault(f"cannot lock {self.path}: {error.strerror or error}") from error
        return True

    def wait(self, waiting: Callable[[], None]) -> None:
        """Acquire the lock, and call `waiting` before each pause until that succeeds; raises Interrupted on cancel."""
        while not self.acquire():
            waiting()
            if self._cancel.wait(PAUSE):
                raise Interrupted(self._cancel.reason or "interrupted while waiting for another process")
