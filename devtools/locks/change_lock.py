"""A lock so that one process at a time changes a cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from devtools.errors import TimedOut
from devtools.locks.lock_file import held
from devtools.process.runner import Cancel

LOCK_FOR = 600.0  # seconds another process may take


@contextlib.contextmanager
def locked(path: Path, cancel: Cancel, progress: Callable[[str], None], seconds: float = LOCK_FOR) -> Iterator[None]:
    """Hold the lock; wait up to `seconds` for another process, and report the wait."""
    began: list[float] = []

    def waiting() -> None:
        if not began:
            began.append(time.monotonic())
            progress("waiting for another process that is changing the cluster")
        if time.monotonic() - began[0] >= seconds:
            raise TimedOut(f"another process has held {path} for {seconds:g} s")

    with held(path, cancel, waiting):
        yield
