"""An API server that goes away under helm: helm gives up at once, so what it did is taken up again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from devtools.errors import EnvironmentFault

TIMES = 3  # that one piece of work is taken up again
T = TypeVar("T")


class Outage(EnvironmentFault):
    """The API server went away while helm worked, and answers again."""


def despite_outages(work: Callable[[bool], T], tell: Callable[[str], None]) -> T:
    """The result of `work(False)`, or of `work(True)` after each Outage that it raises; `tell` is told of them.

    Whatever else it raises is passed on, and so is the last Outage of too many.
    """
    for again in range(TIMES):
        try:
            return work(bool(again))
        except Outage as error:
            tell(f"{error.message}; it is back: trying again")
    return work(True)
