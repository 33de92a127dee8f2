"""Test doubles for devtools and its users: a runner that can fail, hang and stream, a recording sink, a fake clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devtools.events import Event
from devtools.process.runner import Cancel, Command, OnOutput, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The output and result of a faked command; `hangs` runs until cancelled or timed out."""

    returncode: int = 0
    stdout: str = ""
    stderr: str = ""
    hangs: bool = False
    raises: Exception | None = None


class UnexpectedCommand(AssertionError):
    """The double does not know the command."""


class FakeRunner:
    """A `Runner` that answers from a script and refuses unexpected commands.

    Replies are matched by a predicate on the command, or by the first words of its argv; a list of replies is
    consumed in order, and its last one is repeated.
    """

    def __init__(self, cancel: Cancel | None = None) -> None:
        """Expect nothing; `cancel` ends a hanging reply."""
        self.commands: list[Command] = []
        self.spawned: list[tuple[Command, Path]] = []
        self._cancel = cancel or Cancel()
        self._rules: list[tuple[Callable[[Command], bool], list[Reply]]] = []

    def on(self, match: str | Callable[[Command], bool], *replies: Reply) -> FakeRunner:
        """Answer commands that match: `"helm upgrade"` compares the program's name and the words after it."""
        test = match if callable(match) else _starts(match)
        self._rules.append((test, list(replies) or [Reply()]))
        return self

    def run(self, command: Command, on_output: OnOutput | None = None) -> Result:
        """See `Runner`."""
        self.commands.append(command)
        reply = self._reply(command)
        if reply.raises:
            raise reply.raises
        if on_output:
            for line in reply.stdout.splitlines():
                on_output("stdout", line)
            for line in reply.stderr.splitlines():
                on_output("stderr", line)
        if reply.hangs:
            cancelled = self._cancel.wait(command.timeout if command.timeout is not None else 60.0)
            return Result(returncode=-2, cancelled=cancelled, timed_out=not cancelled)
        return Result(returncode=reply.returncode, stdout=reply.stdout, stderr=reply.stderr)

    def spawn(self, command: Command, log: Path) -> int:
        """See `Runner`; starts nothing."""
        self.commands.append(command)
        self.spawned.append((command, log))
        self._reply(command)
        return 2**22 + len(self.spawned)  # above any pid of Linux

    def _reply(self, command: Command) -> Reply:
        """Return the next reply of the first matching rule."""
        for test, replies in self._rules:
            if test(command):
                return replies.pop(0) if len(replies) > 1 else replies[0]
        raise UnexpectedCommand(command.display())


def _starts(words: str) -> Callable[[Command], bool]:
    """Return a predicate for a program name and its first arguments."""
    wanted = words.split()

    def test(command: Command) -> bool:
        return [Path(command.argv[0]).name, *command.argv[1:]][: len(wanted)] == wanted

    return test


class RecordingSink:
    """A sink that records every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closed = False

    def emit(self, event: Event, at: float) -> None:  # noqa: ARG002 - the protocol's
        """Record the event."""
        self.events.append(event)

    def close(self) -> None:
        """Record that it was closed."""
        self.closed = True


class FakeClock:
    """A clock that moves only by `advance`: seconds since the epoch."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
