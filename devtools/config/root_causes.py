"""Groups problems by root cause: a missing or broken file, instead of every release that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from devtools.base.words import shortened
from devtools.errors import Location, Problem

FEW = 3  # problems of one kind may each be a separate mistake
_NAMED = 2  # enough to fix the cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """The fault of a file: `message` follows its name, as in `is missing`."""

    where: Location
    message: str
    hint: str
    few: int = 0  # up to this many problems are reported one by one, at their own places

    def problem(self, wanted: list[str]) -> Problem:
        """Return the combined problem; `wanted` are the things requested from the file, each with its place."""
        message = f"{self.message}; needed by {shortened(wanted, _NAMED)}"
        return Problem(where=self.where, message=message, hint=self.hint)


class Causes:
    """Collects problems by root cause."""

    def __init__(self) -> None:
        self._found: dict[Cause, list[tuple[str, Problem]]] = {}

    def blame(self, cause: Cause, wanted: str, problem: Problem) -> None:
        """Add a `wanted` item that is missing because of a cause; `problem` is its individual error."""
        self._found.setdefault(cause, []).append((wanted, problem))

    def problems(self) -> Iterator[Problem]:
        """Return one problem for each cause, or the individual ones if they are few."""
        for cause, found in self._found.items():
            if len(found) <= cause.few:
                yield from (problem for _, problem in found)
            else:
                yield cause.problem([f"{wanted} at {problem.where}" for wanted, problem in found])
