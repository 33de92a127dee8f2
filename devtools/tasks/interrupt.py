"""Handles Ctrl-C before a task runs: while Python imports the tasks and the modules of the typed one.

There invoke would exit with code 1 and no message, and an interrupted import may lose the exception raised in it and
continue. Python's own start and the import of invoke come before any code of devtools and cannot be handled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from invoke.tasks import Task

from devtools.tasks.program import running_program

INTERRUPTED = 130  # as in `devtools.errors.ExitCode`, whose import would take too long here
_MESSAGE = b"interrupted by Ctrl-C\n"


def end_quietly(ours: type[Task[Any]]) -> None:
    """End this process at Ctrl-C from now until a task handles it, if it is an invoke process.

    `ours` is the class of tasks that handle Ctrl-C themselves once they run; other tasks get Python's default. Do
    nothing in a process of another program, or if Ctrl-C is ignored (nohup) or handled already.
    """
    if running_program() is None or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return

    def handle(number: int, frame: FrameType | None) -> None:
        running = _running(frame)
        if running is not None and not isinstance(running, ours):
            signal.default_int_handler(number, frame)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one need not wait for the rest
        with contextlib.suppress(Exception):
            sys.stdout.flush()  # the output of earlier tasks
        with contextlib.suppress(OSError):
            os.write(2, _MESSAGE)
        os._exit(INTERRUPTED)

    signal.signal(signal.SIGINT, handle)


def _running(frame: FrameType | None) -> object:
    """Return the running task; None if invoke has not started any yet."""
    while frame is not None:
        if frame.f_code is Task.__call__.__code__:
            return frame.f_locals["self"]
        frame = frame.f_back
    return None
