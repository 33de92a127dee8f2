"""Plain lines for logs, CI and Tilt's pane: one per step, no colour, no cursor tricks.

Progress goes to `err` as it happens, the last screen to `out`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from typing import Protocol, TextIO

from devtools.events import Event, PlanMade, Sink, StepFinished, StepWaiting
from devtools.report.run_state import RunState
from devtools.report.terminal import lines
from devtools.report.terminal.final import final_lines
from devtools.report.text import Line, Writer, marks_for

PATIENCE = 5.0  # seconds a step may run before its wait is reported
REPEAT = 10.0  # seconds between two different answers of one step
REMIND = 60.0  # seconds after which the same answer is repeated


class Tickable(Sink, Protocol):
    """A sink that also writes when nothing happens."""

    def tick(self, at: float) -> None:
        """Write what is due; `at` is seconds since the epoch."""


class Plain:
    """Writes a run as plain lines."""

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        *,
        cwd: Path,
        width: int = 80,
        verbose: bool = False,
        final: bool = True,
    ) -> None:
        """Write progress to `err`, the last screen (if `final`) to `out`; paths are shown relative to `cwd`."""
        self._state = RunState()
        self._out, self._err = Writer(out), Writer(err)
        self._screen = lines.Screen(marks=marks_for(err), width=width, cwd=cwd, verbose=verbose)
        self._out_marks, self._final = marks_for(out), final
        self._pad = 0
        self._gap = False  # an empty line is due before the next one
        self._shown: dict[str, tuple[str, float]] = {}  # release → the last report of its wait, and when

    def emit(self, event: Event, at: float) -> None:
        """Write the lines of the event."""
        self._state.emit(event, at)
        if isinstance(event, PlanMade):
            self._pad = lines.release_width([step.release for step in event.steps], self._screen.width)
        if not isinstance(event, StepFinished) or event.outcome not in lines.QUIET or self._screen.verbose:
            self._progress([*lines.event_lines(event, self._state, self._screen, self._pad)])
        self._gap = self._gap or (isinstance(event, PlanMade) and not event.dry_run)
        if isinstance(event, StepWaiting):
            self.tick(at)

    def tick(self, at: float) -> None:
        """Report what a step waits for, if that takes long."""
        for item in self._state.releases.values():
            if item.outcome is not None or item.started is None or not item.waiting:
                continue
            elapsed = at - item.started
            what, shown_at = self._shown.get(item.release, ("", float("-inf")))
            pause = REMIND if what == item.waiting else REPEAT
            if elapsed >= PATIENCE and at - shown_at >= pause:
                self._shown[item.release] = (item.waiting, at)
                self._progress(lines.waiting_lines(item, at, self._screen))

    def _progress(self, worth: list[Line]) -> None:
        """Write lines to `err`, after an empty one if the plan has just ended."""
        if worth and self._gap:
            self._gap = False
            worth = [(), *worth]
        self._err.lines(worth)

    def close(self) -> None:
        """Write the last screen."""
        if self._final and self._state.run is not None:
            self._out.lines(final_lines(self._state, replace(self._screen, marks=self._out_marks)))


class Ticking:
    """A sink around another one whose `tick` it calls regularly, from a thread that ends at `close`."""

    def __init__(self, sink: Tickable, clock: Callable[[], float], every: float = 1.0) -> None:
        """Tick `sink` each `every` seconds; `clock` gives seconds since the epoch."""
        self._sink, self._clock, self._every = sink, clock, every
        self._lock, self._over = Lock(), Flag()
        self._thread = Thread(target=self._run, name="report-tick", daemon=True)
        self._thread.start()

    def emit(self, event: Event, at: float) -> None:
        """Pass the event on."""
        with self._lock:
            self._sink.emit(event, at)

    def close(self) -> None:
        """Stop ticking, then close the sink."""
        self._over.set()
        self._thread.join()
        with self._lock:
            self._sink.close()

    def _run(self) -> None:
        while not self._over.wait(self._every):
            with self._lock:
                self._sink.tick(self._clock())
