"""Runs external programs and turns their failures into errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from devtools.errors import EnvironmentFault, Interrupted, TimedOut
from devtools.process.runner import Command, Result, Runner

LONGEST = 300  # characters of a reason
T = TypeVar("T")


def last_line(result: Result) -> str:
    """What a program said last; most say there why they failed."""
    return (result.stderr.strip() or result.stdout.strip() or "no reason given").splitlines()[-1][:LONGEST]


def named(program: Path, link: Path) -> Path:
    """A link to a program, whose name its process then has."""
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(program.resolve())
    return link


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program as errors name it: `name` did not, or could not, do what it was asked."""

    runner: Runner
    name: str
    reason: Callable[[Result], str] = last_line
    hint: str = ""  # where it fails
    longer: str = ""  # where its time is over

    def run(self, command: Command, what: str) -> Result:
        """Run to a good end; `what` completes "could not". Raises EnvironmentFault, TimedOut or Interrupted."""
        result = self.runner.run(command)
        if result.cancelled:
            raise Interrupted(f"interrupted: {self.name} did not {what}")
        if result.timed_out:
            raise TimedOut(f"{self.name} did not {what} in {command.timeout:g} s", hint=self.longer)
        if not result.ok:
            raise EnvironmentFault(f"{self.name} could not {what}: {self.reason(result)}", hint=self.hint)
        return result

    def read(self, command: Command, what: str, parse: Callable[[str], T]) -> T:
        """What `parse` makes of what it prints; a ValueError of that is an EnvironmentFault. Raises as `run` does."""
        result = self.run(command, what)
        try:
            return parse(result.stdout)
        except (ValueError, KeyError, TypeError) as error:
            raise EnvironmentFault(f"{self.name} could not {what}: its answer is not what was expected") from error
