"""Handles Ctrl-C, SIGTERM and the hang-up of a terminal.

The first signal asks everything under way to stop, which ends children by INT, TERM, KILL; a second Ctrl-C or SIGTERM
kills them, and ends this process after `STUCK` seconds, whatever it waits for; a third Ctrl-C ends it immediately.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from threading import Thread, Timer
from types import FrameType

from devtools.app.environment import App
from devtools.errors import ExitCode

_REASONS = {
    signal.SIGINT: "interrupted by Ctrl-C",
    signal.SIGTERM: "asked to stop (SIGTERM)",
    signal.SIGHUP: "the terminal went away (SIGHUP)",
}
STUCK = 15.0  # seconds after the second signal
_LAST = 3  # the Ctrl-C that ends the process immediately
_AGAIN = (signal.SIGINT, signal.SIGTERM)  # a terminal that hangs up sends SIGHUP more than once
_MESSAGE = b"error: interrupted, and did not end by itself\n"
_OVER = 0  # not a signal number


@contextlib.contextmanager
def signals(app: App) -> Iterator[None]:
    """Pass signals to `app.cancel` while the body runs.

    A thread does that, because a handler can run at any point, even while the main thread holds the lock that setting
    a flag needs, and it does not run at all if the signal arrives just before the main thread starts a long wait. The
    interpreter itself writes each signal's number into a pipe, immediately
    (https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd). Ignored signals (nohup) stay ignored.
    """
    typed: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            typed.append(number)
            if len(typed) >= _LAST:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                raise KeyboardInterrupt

    ours = [number for number in _REASONS if signal.getsignal(number) is not signal.SIG_IGN]
    with _watched(app):
        previous = {number: signal.signal(number, handle) for number in ours}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextlib.contextmanager
def _watched(app: App) -> Iterator[None]:
    """Run the thread that acts on signals while the body runs."""
    came, written = os.pipe()
    os.set_blocking(written, False)
    watcher = Thread(target=_watch, args=(app, came), name="signals", daemon=True)
    watcher.start()
    before = signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.write(written, bytes([_OVER]))
        watcher.join()
        os.close(written)
        os.close(came)


def _watch(app: App, came: int) -> None:
    """Read signal numbers from a descriptor and act on them until the end marker arrives."""
    end = Timer(STUCK, _end_here)
    end.daemon = True
    while True:
        for number in os.read(came, 64):
            if number == _OVER:
                end.cancel()
                return
            if number in _AGAIN and app.cancel.is_set():
                app.runner.kill()
                if end.ident is None:
                    end.start()
            if number in _REASONS:
                app.cancel.set(_REASONS[signal.Signals(number)])


def _end_here() -> None:
    """End the process when the main thread waits for something that no signal interrupts."""
    with contextlib.suppress(OSError):
        os.write(2, _MESSAGE)
    os._exit(ExitCode.INTERRUPTED)
