"""Waits with a limit that can be interrupted: for a condition, or for a call that cannot be interrupted itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

from devtools.errors import Interrupted
from devtools.process.runner import Cancel

T = TypeVar("T")
_TICK = 0.25  # seconds


class Expired(TimeoutError):
    """A call took too long; it continues, and nothing waits for it."""


def wait_until(look: Callable[[], T], seconds: float, cancel: Cancel, pause: float = 0.05) -> T:
    """Return the first true result of `look`, or its last one after `seconds`; raise Interrupted on cancel."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        if cancel.wait(pause):
            raise Interrupted(cancel.reason or "interrupted")
    return found


def within(seconds: float, cancel: Cancel, work: Callable[[], T]) -> T:
    """Return the result of `work`, run on a thread of its own; raise Expired after `seconds`, Interrupted on cancel."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            result.set_exception(error)

    Thread(target=run, name="within", daemon=True).start()
    deadline = time.monotonic() + seconds
    while not result.done():
        if cancel.is_set():
            raise Interrupted(cancel.reason or "interrupted")
        if (left := deadline - time.monotonic()) <= 0:
            raise Expired(f"nothing received within {seconds:.0f} s")
        wait((result,), min(_TICK, left))
    return result.result()
