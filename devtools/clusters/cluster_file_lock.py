"""One process at a time changes a cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from devtools.clusters.provider import Progress
from devtools.errors import TimedOut
from devtools.process.lock_file import LockFile
from devtools.process.runner import Cancel

LOCK_FOR = 180.0  # seconds another process may take


@contextlib.contextmanager
def locked(path: Path, cancel: Cancel, progress: Progress, seconds: float = LOCK_FOR) -> Iterator[None]:
    """Hold the lock; waits up to `seconds` for another process, and says so."""
    began = 0.0
    with LockFile(path, cancel) as lock:
        while not lock.acquire():
            if not began:
                began = time.monotonic()
                progress("waiting for another process that is changing the cluster")
            if time.monotonic() - began >= seconds:
                raise TimedOut(f"another process has held {path} for {seconds:g} s")
            lock.rest()
        yield
