"""The invoke program of this process, if it is one: its command line and its tasks."""

from __future__ import annotations

import atexit
import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invoke.program import Program


def running_program() -> Program | None:
    """Return the program; None if another program uses the tasks as a library."""
    module = sys.modules.get("invoke.program")  # if it is not imported yet, none runs
    found = getattr(sys.modules.get("__main__"), "program", None)
    return found if module and isinstance(found, module.Program) else None


def allow_bytecode() -> None:
    """Let this process write bytecode again, which invoke disables, if it is invoke's and the user allows it.

    Otherwise every command would compile all modules of devtools again, which takes a quarter of a second.
    """
    if running_program() is not None:
        sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)


def end_without_reader() -> None:
    """Let an invoke process end quietly if the reader of its output goes away: `invoke --list | head -1`."""
    if running_program() is None:
        return
    report = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        from devtools.app.exit_codes import is_reader_gone

        if isinstance(error, BrokenPipeError) and is_reader_gone(sys.stdout):
            sys.exit(0)
        report(kind, error, trace)

    sys.excepthook = hook
    atexit.register(_flush)


def _flush() -> None:
    """Write what invoke has printed; the interpreter itself would report that the reader is gone."""
    flush = getattr(sys.stdout, "flush", None)  # there is no stdout if it was closed before: `invoke layers >&-`
    try:
        if flush:
            flush()
    except BrokenPipeError:
        from devtools.app.exit_codes import is_reader_gone

        is_reader_gone(sys.stdout)
