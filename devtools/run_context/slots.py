"""How many helm processes work at once, and whose turn it is."""

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
    """A semaphore that lets in the most urgent of those who wait, not the first that came.

    Only what costs CPU holds a slot; who waits for readiness holds none.
    """

    def __init__(self, number: int) -> None:
        """`number` are let in at once."""
        self._free = number
        self._lock = Lock()
        self._line: list[tuple[float, int, Event]] = []
        self._arrivals = count()
        self._urgency: Mapping[ReleaseId, float] = {}
        self._closed = ""
        self._queued: defaultdict[ReleaseId, float] = defaultdict(float)

    def order(self, urgency: Mapping[ReleaseId, float]) -> None:
        """Say whose turn comes first from now on: the greatest; who is not named comes last, equals as they came."""
        self._urgency = urgency

    def urgency(self, release: ReleaseId) -> float:
        """As `order` was told."""
        return self._urgency.get(release, 0.0)

    def close(self, reason: str) -> None:
        """Close the queue: whoever waits or comes later gets the reason."""
        self._closed = self._closed or reason

    def idle(self) -> bool:
        """Whether a slot is free, and so nothing waits."""
        return self._free > 0

    def queued(self, release: ReleaseId) -> float:
        """Seconds that a release has spent waiting for its turns."""
        return self._queued[release]

    @contextmanager
    def hold(self, release: ReleaseId) -> Iterator[None]:
        """A slot for as long as the block takes; raises Interrupted where none is given any more."""
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
