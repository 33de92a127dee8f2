"""Groups problems by root cause: a missing or broken file, instead of every release that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from devtools.errors import Location, Problem

FEW = 3  # of one kind, they may each be a slip of its own
_NAMED = 2  # the cause can be fixed without knowing them all


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What is wrong with a file: `message` follows its name, as in `is missing`."""

    where: Location
    message: str
    hint: str
    few: int = 0  # up to this many are reported one by one, at their own places

    def problem(self, wanted: list[str]) -> Problem:
        """The one problem; `wanted` is what was asked of the file, each with its place."""
        more = len(wanted) - _NAMED
        listed = ", ".join(wanted[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        return Problem(where=self.where, message=f"{self.message}; needed by {listed}", hint=self.hint)


class Causes:
    """Collects what went wrong by what it comes from."""

    def __init__(self) -> None:
        """Nothing went wrong."""
        self._found: dict[Cause, list[tuple[str, Problem]]] = {}

    def blame(self, cause: Cause, wanted: str, problem: Problem) -> None:
        """`wanted` could not be had because of a cause; `problem` is what to say of it alone."""
        self._found.setdefault(cause, []).append((wanted, problem))

    def problems(self) -> Iterator[Problem]:
        """One for each cause, or the few that may have nothing to do with it."""
        for cause, found in self._found.items():
            if len(found) <= cause.few:
                yield from (problem for _, problem in found)
            else:
                yield cause.problem([f"{wanted} at {problem.where}" for wanted, problem in found])
