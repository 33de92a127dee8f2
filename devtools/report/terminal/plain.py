"""Plain lines for logs, CI and Tilt's pane: one per step, no colour, no cursor tricks.

Progress goes to `err` as it happens, the last screen to `out`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatchmethod
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from typing import Protocol, TextIO

from devtools.events import (
    ContractChecked,
    Event,
    Notice,
    PlanMade,
    RunStarted,
    Sink,
    StepFinished,
    StepOutput,
    StepWaiting,
    TestFinished,
)
from devtools.report import advice
from devtools.report.run_state import ALL, Fold
from devtools.report.terminal import lines
from devtools.report.terminal.final import final_lines, log_path
from devtools.report.text import Line, Writer, marks_for

PATIENCE = 5.0  # seconds a step may run before its waiting is worth a line
REPEAT = 10.0  # seconds between two different answers of one step
REMIND = 60.0  # seconds after which the same answer is said again


class Tickable(Sink, Protocol):
    """A sink that also has something to say when nothing happens."""

    def tick(self, at: float) -> None:
        """Time has passed; `at` is seconds since the epoch."""


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
        """Progress to `err`, the last screen (unless not `final`) to `out`; paths are shown relative to `cwd`."""
        self._fold = Fold()
        self._out, self._err = Writer(out), Writer(err)
        self._out_marks, self._marks = marks_for(out), marks_for(err)
        self._cwd, self._width, self._verbose, self._final = cwd, width, verbose, final
        self._pad = 0
        self._gap = False  # an empty line is due before the next one
        self._shown: dict[str, tuple[str, float]] = {}  # release → what was said of its waiting, and when

    def emit(self, event: Event, at: float) -> None:
        """Write what the event is worth."""
        self._fold.emit(event, at)
        worth = self._lines(event)
        self._progress(worth)
        self._gap = self._gap or (isinstance(event, PlanMade) and not event.dry_run)
        if isinstance(event, StepWaiting):
            self.tick(at)

    def tick(self, at: float) -> None:
        """Say what is being waited for, where that takes long enough to wonder."""
        for item in self._fold.releases.values():
            if item.outcome is not None or item.started is None or not item.waiting:
                continue
            elapsed = at - item.started
            what, shown_at = self._shown.get(item.release, ("", float("-inf")))
            pause = REMIND if what == item.waiting else REPEAT
            if elapsed >= PATIENCE and at - shown_at >= pause:
                self._shown[item.release] = (item.waiting, at)
                self._progress(lines.waiting_lines(item, at, self._marks, self._width))

    def _progress(self, worth: list[Line]) -> None:
        """Write lines to `err`, after an empty one where the plan has just ended."""
        if worth and self._gap:
            self._gap = False
            worth = [(), *worth]
        self._err.lines(worth)

    def close(self) -> None:
        """The run is over: the last screen."""
        if self._final and self._fold.run is not None:
            screen = final_lines(self._fold, self._out_marks, self._width, self._cwd, verbose=self._verbose)
            self._out.lines(screen)

    @singledispatchmethod
    def _lines(self, event: Event) -> list[Line]:
        """What an event is worth; most are worth nothing."""
        return []

    @_lines.register
    def _(self, event: RunStarted) -> list[Line]:
        return lines.run_lines(event, self._marks, self._width)

    @_lines.register
    def _(self, event: PlanMade) -> list[Line]:
        self._pad = lines.release_width([step.release for step in event.steps], self._width)
        if event.dry_run:
            return []  # it is the result: the last screen has it
        return lines.plan_lines(event, self._width, verbose=self._verbose)

    @_lines.register
    def _(self, event: Notice) -> list[Line]:
        return lines.notice_lines(event, self._marks, self._width)

    @_lines.register
    def _(self, event: StepOutput) -> list[Line]:
        return lines.output_lines(event) if self._verbose else []

    @_lines.register
    def _(self, event: ContractChecked) -> list[Line]:
        # a release that ended well counts them, one that failed names the broken ones
        return lines.contract_lines(event, self._marks, self._width) if self._verbose else []

    @_lines.register
    def _(self, event: StepFinished) -> list[Line]:
        if event.outcome in lines.QUIET and not self._verbose:
            return []
        return lines.step_lines(event, self._fold, self._marks, self._width, self._pad)

    @_lines.register
    def _(self, event: TestFinished) -> list[Line]:
        if event.test == ALL and event.verdict == "skipped" and not self._verbose:
            return []  # the last screen says why
        log = log_path(self._fold, advice.test_log(event.release, event.test), self._cwd)
        return lines.test_lines(event, self._fold, self._marks, self._width, log)


class Ticking:
    """A sink around another that lets it speak while nothing happens, from a thread that ends at `close`."""

    def __init__(self, sink: Tickable, clock: Callable[[], float], every: float = 1.0) -> None:
        """Tick `sink` each `every` seconds; `clock` gives seconds since the epoch."""
        self._sink, self._clock, self._every = sink, clock, every
        self._lock, self._over = Lock(), Flag()
        self._thread = Thread(target=self._run, name="report-tick", daemon=True)
        self._thread.start()

    def emit(self, event: Event, at: float) -> None:
        """Hand it on."""
        with self._lock:
            self._sink.emit(event, at)

    def close(self) -> None:
        """Stop ticking, then close the sink."""
        self._over.set()
        self._thread.join()
        with self._lock:
            self._sink.close()

    def _run(self) -> None:
        """Tick until the end."""
        while not self._over.wait(self._every):
            with self._lock:
                self._sink.tick(self._clock())
