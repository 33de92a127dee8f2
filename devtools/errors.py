"""The errors and their exit codes.

Every failure that a user can see is a `DevtoolsError`: a sentence, a hint on what to do, an exit code. Any other
exception that reaches `app` is a bug of devtools and is reported as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Self


class ExitCode(IntEnum):
    """The process exit codes of every task."""

    OK = 0
    FAILED = 1  # a release, contract or smoke test failed
    CONFIG = 2  # the declaration or the arguments are wrong
    BUG = 3  # a bug of devtools
    ENVIRONMENT = 4  # cluster, tool, network or disk is missing or broken
    TIMEOUT = 5
    INTERRUPTED = 130


class DevtoolsError(Exception):
    """A failure with a sentence for the user, a hint on what to do next, and an exit code."""

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "", exit_code: ExitCode | None = None) -> None:
        """`message` is one sentence without a final full stop; `hint` is what to type or edit."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code

    def changed(self, **changes: Any) -> Self:
        """Return the same error with other attributes, such as `hint`."""
        found = type(self).__new__(type(self))
        found.args = self.args
        vars(found).update(vars(self) | changes)
        return found


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Location:
    """A place in a file that people write: 1-based line and column; line 0 is a place that has no lines."""

    file: Path
    line: int = 1
    column: int = 1
    sources: tuple[Location, ...] = field(default=(), compare=False, repr=False)
    """The places of the values that references at this place stand for."""

    def __str__(self) -> str:
        """`file:line:column`, as editors and terminals link it."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else str(self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong in a file."""

    where: Location
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """One line: `file:line:column: message (hint)`."""
        return f"{self.where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class ConfigError(DevtoolsError):
    """The declaration or the arguments are wrong; carries every problem that was found."""

    exit_code = ExitCode.CONFIG

    def __init__(self, message: str, *, hint: str = "", problems: tuple[Problem, ...] = ()) -> None:
        """`problems` are all problems of all files, in file order."""
        super().__init__(message, hint=hint)
        self.problems = problems


class EnvironmentFault(DevtoolsError):
    """A tool, the cluster, the network or the disk is missing or broken."""

    exit_code = ExitCode.ENVIRONMENT


class TimedOut(DevtoolsError):
    """Something took longer than it was allowed to."""

    exit_code = ExitCode.TIMEOUT


class Interrupted(DevtoolsError):
    """The user or the system asked to stop (SIGINT, SIGTERM, SIGHUP)."""

    exit_code = ExitCode.INTERRUPTED


def config_error(problems: Iterable[Problem]) -> ConfigError:
    """Return the error that carries problems in file order, each once."""
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: (problem.where, problem.message))
    files = list(dict.fromkeys(str(problem.where.file) for problem in ordered))
    count = "1 problem" if len(ordered) == 1 else f"{len(ordered)} problems"
    place = files[0] if len(files) == 1 else f"{len(files)} files"
    return ConfigError(f"{count} in {place}", problems=tuple(ordered))


def raise_problems(problems: Iterable[Problem]) -> None:
    """Raise the error that carries these problems, if there are any."""
    if found := tuple(problems):
        raise config_error(found)


def limit_reached() -> EnvironmentFault:
    """Return the error of a machine that starts no more threads or processes for this user."""
    return EnvironmentFault(
        "the limit of threads or processes of this user is reached",
        hint="end some, or raise the limit: ulimit -u, pids.max of the control group, kernel.threads-max",
    )


def inotify_hint(text: str) -> str:
    """Return what to do if a line of a program's output says that an inotify limit is reached; empty if none does."""
    if not _INOTIFY.search(text):
        return ""
    return (
        "a limit of inotify is reached on that machine: "
        "sudo sysctl -w fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512"
    )


_INOTIFY = re.compile(r"(?i)(?:inotify|fsnotify|file ?watch).*(?:too many open files|no space left on device|OS limit)")
