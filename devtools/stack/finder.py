"""How the stack asks for charts, without knowing where they live."""

from __future__ import annotations

from typing import Protocol

from devtools.stack.model import ChartRef


class ChartUnknown(Exception):
    """No chart of this name: a sentence, and near matches as a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        """`message` is one sentence without a final full stop."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class ChartFinder(Protocol):
    """Finds a chart by the name a layer file uses."""

    def find(self, name: str) -> ChartRef:
        """The chart; raises ChartUnknown where there is none, or where what is there is no chart."""
