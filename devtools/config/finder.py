"""How the stack asks for charts, without knowing where they live."""

from __future__ import annotations

from typing import Protocol

from devtools.config.root_causes import Cause
from devtools.model import ChartRef


class ChartUnknown(Exception):
    """No chart of this name: a sentence, and near matches as a hint."""

    def __init__(self, message: str, hint: str = "", *, cause: Cause | None = None) -> None:
        """`message` is one sentence without a final full stop; `cause` is what to mend, where that is elsewhere."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.cause = cause


class ChartFinder(Protocol):
    """Finds a chart by the name a layer file uses."""

    def find(self, name: str, environment: str = "") -> ChartRef:
        """The chart as an environment has it; raises ChartUnknown if there is none, or what is there is not one."""
