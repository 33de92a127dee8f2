"""Runs external programs and converts their failures into errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from devtools.errors import EnvironmentFault, Interrupted, TimedOut
from devtools.process.runner import Command, Result, Runner

LONGEST = 300  # maximum characters of a reason
T = TypeVar("T")


def last_line(result: Result) -> str:
    """Return the last line of a program's output, which usually has the reason for a failure."""
    return (result.stderr.strip() or result.stdout.strip() or "no reason given").splitlines()[-1][:LONGEST]


def named(program: Path, link: Path) -> Path:
    """Create a link to a program, whose process then has the link's name."""
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(program.resolve())
    return link


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program, which errors call `name`."""

    runner: Runner
    name: str
    reason: Callable[[Result], str] = last_line
    hint: str = ""  # hint if it fails
    longer: str = ""  # hint if it times out

    def run(self, command: Command, what: str) -> Result:
        """Run a command; `what` completes "could not". Raises EnvironmentFault, TimedOut or Interrupted."""
        result = self.runner.run(command)
        if result.cancelled:
            raise Interrupted(f"interrupted: {self.name} did not {what}")
        if result.timed_out:
            raise TimedOut(f"{self.name} did not {what} in {command.timeout:g} s", hint=self.longer)
        if not result.ok:
            raise EnvironmentFault(f"{self.name} could not {what}: {self.reason(result)}", hint=self.hint)
        return result

    def read(self, command: Command, what: str, parse: Callable[[str], T]) -> T:
        """Return its output parsed by `parse`, whose ValueError becomes an EnvironmentFault. Raises like `run`."""
        result = self.run(command, what)
        try:
            return parse(result.stdout)
        except (ValueError, KeyError, TypeError) as error:
            raise EnvironmentFault(f"{self.name} could not {what}: unexpected output") from error
