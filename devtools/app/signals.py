"""What Ctrl-C, SIGTERM and a terminal that goes away do.

The first asks everything under way to stop, which ends children by INT, TERM, KILL; a second Ctrl-C kills them; a third
one ends us where we are.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Thread
from types import FrameType

from devtools.app.wiring import App

_REASONS = {
    signal.SIGINT: "interrupted by Ctrl-C",
    signal.SIGTERM: "asked to stop (SIGTERM)",
    signal.SIGHUP: "the terminal went away (SIGHUP)",
}
_LAST = 3  # the Ctrl-C that is too many


@contextlib.contextmanager
def signals(app: App) -> Iterator[None]:
    """Hand signals to `app.cancel` while the body runs.

    By way of a thread: a handler runs in the middle of anything, also while the main thread holds the very lock that
    setting a flag takes; only putting into a SimpleQueue is safe there. What was ignored (nohup) stays so.
    """
    came: SimpleQueue[int] = SimpleQueue()
    typed: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        came.put(number)
        if number == signal.SIGINT:
            typed.append(number)
            if len(typed) >= _LAST:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                raise KeyboardInterrupt

    ours = [number for number in _REASONS if signal.getsignal(number) is not signal.SIG_IGN]
    watcher = Thread(target=_watch, args=(app, came), name="signals", daemon=True)
    watcher.start()
    previous = {number: signal.signal(number, handle) for number in ours}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        came.put(0)
        watcher.join()


def _watch(app: App, came: SimpleQueue[int]) -> None:
    """Do what the signals ask for, until 0 comes."""
    while number := came.get():
        if number == signal.SIGINT and app.cancel.is_set():
            app.runner.kill()
        app.cancel.set(_REASONS[signal.Signals(number)])
