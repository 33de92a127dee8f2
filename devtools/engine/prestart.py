"""Starts helm early for the steps that come next.

Half the time of helm for a small release is its own start. It reads the values late, from stdin, after it has looked up
the release's history and before it has done anything: there it waits for the release's turn.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from threading import Lock

from devtools.model import SYNCED, Action, ReleaseId, Step
from devtools.releases.helm_process import HelmProcess
from devtools.run_context.slots import Slots

MOST = 3  # waiting processes; each takes about 60 MiB
LONGEST = 60.0  # seconds one may wait, because what it has looked up becomes stale
GRACE = 3.0  # seconds


class Prestart:
    """The helm processes that wait for their turn."""

    def __init__(
        self,
        steps: Mapping[ReleaseId, Step],
        slots: Slots,
        launch: Callable[[Step], HelmProcess],
        *,
        longest: float = LONGEST,
        grace: float = GRACE,
    ) -> None:
        """`launch` starts the helm of a step; it is called only while a slot is free.

        A process may wait for `longest` seconds; one that gets no values has `grace` seconds to end without a signal.
        """
        self._steps, self._slots, self._launch = steps, slots, launch
        self._longest, self._grace = longest, grace
        self._lock = Lock()
        self._waiting: dict[ReleaseId, HelmProcess] = {}
        self._begun: set[ReleaseId] = set()  # steps whose helm has its values, or will never need any
        self._dropped: list[HelmProcess] = []
        self._dependents: defaultdict[ReleaseId, list[Step]] = defaultdict(list)
        for step in steps.values():
            for need in step.needs:
                self._dependents[need].append(step)

    def start(self, step: Step) -> None:
        """Start a step's helm if the CPU is otherwise idle."""
        with self._lock:
            self._start(step)

    def claim(self, step: Step) -> HelmProcess | None:
        """Return the step's helm if one is waiting; the caller passes it its values."""
        with self._lock:
            self._begun.add(step.id)
            launch = self._waiting.pop(step.id, None)
            if launch and (launch.result.done() or time.monotonic() - launch.begun > self._longest):
                self._drop(launch)
                launch = None
            return launch

    def start_dependents(self, release: ReleaseId) -> None:
        """Start helm for steps that wait for this release and for no release that has not started."""
        with self._lock:
            for step in sorted(self._dependents[release], key=lambda step: -self._slots.urgency(step.id)):
                if all(self._has_begun(need) for need in step.needs):
                    self._start(step)

    def close(self) -> None:
        """End the processes whose turn never came."""
        with self._lock:
            for launch in self._waiting.values():
                self._drop(launch)
            self._waiting.clear()
        results = [launch.result for launch in self._dropped]
        wait(results, self._grace)
        for launch in self._dropped:
            launch.stop.set("it was not needed")
        wait(results)

    def _start(self, step: Step) -> None:
        fresh = step.id not in self._begun and step.id not in self._waiting
        ready = step.action in SYNCED and not step.recover and not step.going
        if fresh and ready and len(self._waiting) < MOST and self._slots.idle():
            self._waiting[step.id] = self._launch(step)

    def _has_begun(self, release: ReleaseId) -> bool:
        step = self._steps.get(release)
        return release in self._begun or step is None or step.action not in {*SYNCED, Action.BLOCKED}

    def _drop(self, launch: HelmProcess) -> None:
        launch.drop()
        self._dropped.append(launch)
