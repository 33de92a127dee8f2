"""A lock between processes that the kernel frees when its holder ends, however it ends: flock(2).

The `filelock` package takes the very same lock; here it is without the ten milliseconds that importing that costs,
because every run takes two.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class Flock:
    """An exclusive lock on a file, which stays there: to remove it while others wait for it would make two of it."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened yet."""
        self._path = path
        self._held: int | None = None

    def take(self, *, wait: bool = False) -> bool:
        """Take it, unless somebody else holds it and we do not `wait`; says whether it is ours now.

        Raises OSError where the file cannot be opened or locked.
        """
        if self._held is not None:
            return True
        opened = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException as error:
            os.close(opened)
            if isinstance(error, BlockingIOError | PermissionError):
                return False  # some file systems say EACCES for EAGAIN
            raise
        self._held = opened
        return True

    def free(self) -> None:
        """Let go of it, if it is ours."""
        if self._held is not None:
            held, self._held = self._held, None
            os.close(held)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold it for as long as the block takes, waiting for it first."""
        self.take(wait=True)
        try:
            yield
        finally:
            self.free()
