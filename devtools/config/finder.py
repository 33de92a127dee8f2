"""The interface through which the stack finds charts, independent of their location."""

from __future__ import annotations

from typing import Protocol

from devtools.config.root_causes import Cause
from devtools.model import ChartRef


class ChartUnknown(Exception):
    """There is no chart of this name; the hint has near matches."""

    def __init__(self, message: str, hint: str = "", *, cause: Cause | None = None) -> None:
        """`message` is one sentence without a final full stop; `cause` is the place to fix, if that is elsewhere."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.cause = cause


class ChartFinder(Protocol):
    """Finds a chart by the name a layer file uses."""

    def find(self, name: str, environment: str = "") -> ChartRef:
        """Return an environment's chart; raises ChartUnknown if there is none, or if it is not a chart."""
