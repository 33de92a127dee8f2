"""Watches the requests in flight to one API server, because a blocked read cannot watch itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from itertools import count
from threading import Lock, Thread

from devtools.process.runner import Cancel

_LOOK = 0.25  # seconds


class Watchdog:
    """Calls `cut` once the run must end, before that `late` with the start of the oldest request in flight."""

    def __init__(self, cancel: Cancel, *, cut: Callable[[], None], late: Callable[[float], None]) -> None:
        """Its thread lives only while there are requests in flight."""
        self._cancel = cancel
        self._cut = cut
        self._late = late
        self._lock = Lock()
        self._in_flight: dict[int, float] = {}
        self._numbers = count()
        self._watching = False

    @contextlib.contextmanager
    def track(self, started: float) -> Iterator[None]:
        """Record a request, begun at `started` (monotonic seconds), as in flight while the body runs."""
        number = next(self._numbers)
        with self._lock:
            self._in_flight[number] = started
            if not self._watching:
                self._watching = True
                Thread(target=self._watch, name="requests", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                del self._in_flight[number]

    def _watch(self) -> None:
        while True:
            if self._cancel.is_set():
                time.sleep(_LOOK)
            else:
                self._cancel.wait(_LOOK)
            with self._lock:
                oldest = min(self._in_flight.values(), default=None)
                if oldest is None:
                    self._watching = False
                    return
            if self._cancel.is_set():
                self._cut()
            else:
                self._late(oldest)
