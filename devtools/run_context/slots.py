"""Limits how many helm processes work at once, and decides which is next."""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from threading import Event, Lock

from devtools.errors import Interrupted
from devtools.model import ReleaseId


class Slots:
    """A semaphore that admits the most urgent waiting step, not the first one.

    Only a step that uses CPU holds a slot; one that waits for readiness holds none.
    """

    def __init__(self, number: int) -> None:
        """`number` is how many slots there are."""
        self._free = number
        self._lock = Lock()
        self._line: list[tuple[float, int, Event]] = []
        self._arrivals = count()
        self._urgency: Mapping[ReleaseId, float] = {}
        self._closed = ""
        self._queued: defaultdict[ReleaseId, float] = defaultdict(float)

    def order(self, urgency: Mapping[ReleaseId, float]) -> None:
        """Set priorities: the greatest is next, a step without one is last, equal ones in order of arrival."""
        self._urgency = urgency

    def urgency(self, release: ReleaseId) -> float:
        """Return the priority set by `order`."""
        return self._urgency.get(release, 0.0)

    def close(self, reason: str) -> None:
        """Close the queue: every waiting and every later step gets the reason."""
        self._closed = self._closed or reason

    def idle(self) -> bool:
        """Return whether a slot is free, which means that nothing waits."""
        return self._free > 0

    def queued(self, release: ReleaseId) -> float:
        """Return the seconds that a release has spent waiting for slots."""
        return self._queued[release]

    @contextmanager
    def hold(self, release: ReleaseId) -> Iterator[None]:
        """Hold a slot while the block runs; raise Interrupted if the queue is closed."""
        came = time.monotonic()
        self._take(release)
        self._queued[release] += time.monotonic() - came
        try:
            if self._closed:
                raise Interrupted(self._closed)
            yield
        finally:
            self._give()

    def _take(self, release: ReleaseId) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = Event()
            heapq.heappush(self._line, (-self.urgency(release), next(self._arrivals), turn))
        turn.wait()

    def _give(self) -> None:
        """Pass the slot to the next in line, so that no newcomer can take it."""
        with self._lock:
            if self._line:
                heapq.heappop(self._line)[-1].set()
            else:
                self._free += 1
