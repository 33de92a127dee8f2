"""The live view of a run on a terminal: running steps and what they wait for, below lines that stay.

Only running steps are redrawn; finished tests, warnings and failures are printed above them and scroll away as in any
log. `rich` is imported here and in `tables`, only when a view is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from devtools.base.words import plural
from devtools.events import Event, Outcome, PlanMade, RunFinished, StepFinished, Verdict
from devtools.report.run_state import ReleaseResult, RunState, SmokeResult
from devtools.report.terminal import lines
from devtools.report.terminal.final import final_lines
from devtools.report.text import Line, Marks, Span, Writer, badge, clean, counted, duration, marks_for

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text

RICH = {"": "", "good": "green", "bad": "bold red", "warn": "yellow", "dim": "dim", "strong": "bold"}
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_FRAMES = "|/-\\"
RATE = 8  # frames a second
_WORST = ("failed", "interrupted", "skipped", "simulated")  # the order of words for a finished layer's mark
_LAST = 3  # finished steps that stay in view
_AROUND = 4  # lines of the view that are not steps: title, progress, and room for the cursor


def rich_text(line: Line) -> Text:
    """Return a styled line for rich, without interpreting markup in it."""
    from rich.text import Text

    text = Text()
    for span in line:
        text.append(span.text, style=RICH[span.style])
    return text


class View:
    """The part of the screen that is redrawn; it measures the terminal each time, so that a resize works.

    Not safe to draw while the state changes: `Ticking` holds one lock for both.
    """

    def __init__(self, state: RunState, clock: Callable[[], float], marks: Marks) -> None:
        """Show `state` as it is when drawn; `clock` gives seconds since the epoch."""
        self._state, self._clock, self._marks = state, clock, marks
        self._frames = _FRAMES if marks.good == "✓" else _ASCII_FRAMES

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines(max(options.size.height, _AROUND + 1)):
            text = rich_text(line)
            text.no_wrap, text.overflow = True, "ellipsis" if self._marks.good == "✓" else "crop"
            yield text

    def lines(self, height: int) -> list[Line]:
        """Return at most `height` lines: finished layers, the last finished steps, running steps, and progress."""
        now = self._clock()
        room = max(height - _AROUND, 1)
        active = list(self._active(now))
        shown = active[:room] if len(active) <= room else active[: room - 1]
        more = len(active) - len(shown)
        if more:
            shown.append((Span(f"  {self._marks.more} and {more} more running", "dim"),))
        recent = self._recent()[-min(_LAST, room - len(shown)) :] if room > len(shown) else []
        layers = list(self._layers())
        free = room - len(shown) - len(recent)
        layers = layers[-free:] if free > 0 else []
        return [self._title(now), *layers, *recent, *shown, self._progress()]

    def _title(self, now: float) -> Line:
        run = self._state.run
        if run is None:
            return (Span("starting", "dim"),)
        elapsed = duration(now - (self._state.started_at or now))
        where = f" {self._marks.dot} {run.environment} on {run.context or run.provider}"
        return (Span(clean(run.what), "strong"), Span(f"  {elapsed}{where}", "dim"))

    def _layers(self) -> Iterator[Line]:
        """Yield a line for each layer whose steps have all ended."""
        for layer in self._state.plan.layers if self._state.plan else ():
            items = [item for item in self._state.releases.values() if item.layer == layer]
            tests = [test for test in self._state.tests.values() if test.layer == layer]
            if not items or None in {item.outcome for item in items} | {test.verdict for test in tests}:
                continue
            words = [item.word for item in items]
            checks = [test.word for test in tests if test.word not in {"passed", "skipped"}]
            worst = next((word for word in _WORST if word in words or word in checks), "")
            mark = badge(worst or ("unchanged" if set(words) <= lines.QUIET else "installed"), self._marks, 0)
            summary = counted(words, [*dict.fromkeys(words)])
            summary += "".join(f", {plural(checks.count(word), 'test')} {word}" for word in dict.fromkeys(checks))
            yield (Span("  "), Span(mark.text[0], mark.style), Span(f" {layer}", "strong"), Span(f"  {summary}", "dim"))

    def _recent(self) -> list[Line]:
        """Return finished steps of layers with unfinished steps, in the order they ended."""
        busy = {item.layer for item in self._state.releases.values() if item.outcome is None}
        done = [
            item
            for item in self._state.releases.values()
            if item.started is not None and item.outcome is not None and item.layer in busy
        ]
        done.sort(key=lambda item: (item.started or 0.0) + item.seconds)
        return [
            (Span("  "), badge(item.text_word, self._marks), Span(f" {item.title}  {duration(item.seconds)}"))
            for item in done
        ]

    def _active(self, now: float) -> Iterator[Line]:
        """Yield a line for each running step and test, the longest-running first."""
        steps = [i for i in self._state.releases.values() if i.started is not None and i.outcome is None]
        running: list[ReleaseResult | SmokeResult] = [*steps]
        running += [test for test in self._state.tests.values() if test.verdict is None]
        frame = self._frames[int(now * RATE) % len(self._frames)]
        for item in sorted(running, key=lambda each: each.started or 0.0):
            subject = f"{item.action} {item.title}" if isinstance(item, ReleaseResult) else lines.test_label(item)
            waiting = item.waiting if isinstance(item, ReleaseResult) else item.release
            took = lines.how_long(item, now) if isinstance(item, ReleaseResult) else duration(now - item.started)
            yield (
                Span(f"  {frame} ", "good"),
                Span(f"{subject}  {took}"),
                Span(f"  {clean(waiting)}" if waiting else "", "dim"),
            )

    def _progress(self) -> Line:
        """Return how many are done, running and waiting."""
        items = list(self._state.releases.values())
        done = sum(item.outcome is not None for item in items)
        running = sum(item.started is not None and item.outcome is None for item in items)
        failed = sum(item.outcome is Outcome.FAILED for item in items)
        tests = list(self._state.tests.values())
        line: Line = (Span(f"  {done} of {len(items)} releases done, {running} running", "dim"),)
        if tests:
            ended = sum(test.verdict is not None for test in tests)
            line += (Span(f"; {ended} of {len(tests)} tests done", "dim"),)
        failed += sum(test.verdict is Verdict.FAILED for test in tests)
        return (*line, Span(f"; {failed} failed", "bad")) if failed else line


class LiveView:
    """A sink that shows a `View` on the terminal and prints permanent lines above it.

    `Ticking` redraws it, never while it prints: rich moves the cursor by what it drew last, so a redraw between reading
    that and writing would overwrite lines just printed. Rich's own thread would not wait for that.
    """

    def __init__(
        self, out: Console, err: Console, *, clock: Callable[[], float], cwd: Path, verbose: bool = False
    ) -> None:
        """Progress on `err`, the last screen on `out`."""
        from rich.live import Live

        self._state = RunState()
        self._out, self._err = out, err
        self._cwd, self._verbose = cwd, verbose
        self._live = Live(
            View(self._state, clock, marks_for(err.file)),
            console=err,
            auto_refresh=False,
            transient=True,
            vertical_overflow="crop",
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def emit(self, event: Event, at: float) -> None:
        """Process the event; print permanent lines at once."""
        self._state.emit(event, at)
        self._print(self._err, self._worth(event))
        if isinstance(event, PlanMade) and not event.dry_run:
            self._live.start()
        if isinstance(event, RunFinished):
            self._live.stop()

    def tick(self, _: float) -> None:
        """Redraw while the run goes on."""
        if self._live.is_started:
            self._live.refresh()

    def close(self) -> None:
        """Remove the view and print the last screen."""
        self._live.stop()
        if self._state.run is None:
            return
        screen = final_lines(self._state, self._screen(self._out))
        if self._out.is_terminal:
            self._print(self._out, screen)
        else:
            Writer(self._out.file).lines(screen)

    def _worth(self, event: Event) -> list[Line]:
        """Return the permanent lines of an event; a successful step is in the view instead."""
        if isinstance(event, StepFinished) and event.outcome not in {Outcome.FAILED, Outcome.INTERRUPTED}:
            return []
        found = [*lines.event_lines(event, self._state, self._screen(self._err))]
        return [*found, ()] if found and isinstance(event, PlanMade) else found

    def _screen(self, console: Console) -> lines.Screen:
        return lines.Screen(marks=marks_for(console.file), width=console.width, cwd=self._cwd, verbose=self._verbose)

    def _print(self, console: Console, found: Iterable[Line]) -> None:
        """Print lines unchanged in one redraw; rich neither highlights nor breaks them, so that paths can be copied."""
        from rich.text import Text

        texts = [rich_text(line) for line in found]
        if texts:
            console.print(Text("\n").join(texts), soft_wrap=True, highlight=False)
