"""The invoke program of this process, if it is one: its command line and its tasks."""

from __future__ import annotations

import sys
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
