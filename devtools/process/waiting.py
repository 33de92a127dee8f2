"""Waits that have a limit and can be interrupted: for something to come true, or for a call that cannot be cut."""

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
    """The time of a call is over; it goes on, and nothing waits for it."""


def wait_until(look: Callable[[], T], seconds: float, cancel: Cancel, pause: float = 0.05) -> T:
    """Return the first true answer of `look`, its last one after `seconds`; raises Interrupted on cancel."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        if cancel.wait(pause):
            raise Interrupted(cancel.reason or "interrupted")
    return found


def within(seconds: float, cancel: Cancel, work: Callable[[], T]) -> T:
    """Return what `work` returns; raises Expired if that takes longer, Interrupted on cancel.

    It runs on a thread of its own, which is left behind then and does not delay the end of the process.
    """
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
            raise Expired(f"nothing came back within {seconds:.0f} s")
        wait((result,), min(_TICK, left))
    return result.result()
