"""The one place that starts processes.

A `Command` is argv, never a shell string. A `Runner` runs it in its own process group, streams its output by line,
redacts secrets, and ends it with INT, then TERM, then KILL to the whole group, because killing only the child leaves
its children alive.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import IO, Protocol

from devtools.base.open_file import opened
from devtools.errors import DevtoolsError, EnvironmentFault, limit_reached
from devtools.process.streams import KEEP, OnOutput, Pump, Stream
from devtools.redaction.redactor import redact

__all__ = ["Cancel", "Command", "Later", "OnOutput", "Result", "Runner", "Stream", "SubprocessRunner", "redact"]

GRACE = (2.5, 1.0)  # seconds after INT, then after TERM
_LOST = (0.5, 0.5)  # if the target of the commands is gone
_LAST = 5.0  # seconds after KILL; a process that still exists hangs in the kernel


class Cancel:
    """A flag that asks all running work to stop; set once, by a signal or a failure."""

    def __init__(self) -> None:
        self._event = Event()
        self.reason = ""
        self._children: list[Cancel] = []
        self.error: DevtoolsError | None = None  # the reason, unless the user or the system asked

    def set(self, reason: str) -> None:
        """Ask to stop; the first reason counts."""
        if not self._event.is_set():
            self.reason = reason
            self._event.set()
        for child in self._children:
            child.set(reason)

    def child(self) -> Cancel:
        """Return a new flag that is also set if this one is."""
        made = Cancel()
        self._children.append(made)
        if self.is_set():
            made.set(self.reason)
        return made

    def fail(self, error: DevtoolsError) -> None:
        """Ask to stop because of an error, which becomes the error of the whole run."""
        if not self._event.is_set():
            self.error = error
            self.set(error.message)

    def is_set(self) -> bool:
        """Return whether the flag is set."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep until the time is over or the flag is set; return whether it is set."""
        return self._event.wait(seconds)


class Later:
    """The stdin of one child that gets all but the beginning when it already runs.

    If this process dies before that, the child sees the beginning and the end of the file. If the child must
    distinguish that from complete input, the beginning must not be valid input by itself.
    """

    def __init__(self, beginning: bytes) -> None:
        """`beginning`, less than a page, is available at once. Raises EnvironmentFault if no descriptors are left."""
        try:
            self.end, self._ours = os.pipe()
        except OSError as error:
            raise EnvironmentFault(f"cannot make a pipe: {error.strerror}") from error
        os.write(self._ours, beginning)

    def give(self, rest: bytes) -> None:
        """Write the rest and close; wait until the child has read it, or is gone."""
        with contextlib.suppress(BrokenPipeError), os.fdopen(self._ours, "wb", buffering=0) as sink:
            view = memoryview(rest)
            while view:
                view = view[sink.write(view) :]

    def cut(self) -> None:
        """Write nothing more: the child sees the end of the file after the beginning."""
        os.close(self._ours)

    def handed_over(self) -> None:
        """Close the read end once the child has it or was not started, so that the writer notices its death."""
        os.close(self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run. `env` is added to the runner's environment.

    `secrets` are redacted from all output, `line_secrets` only from streamed lines, not from the result.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stdin: bytes | None = None
    later: Later | None = field(default=None, compare=False, repr=False)  # instead of `stdin`
    timeout: float | None = None  # seconds
    secrets: tuple[str, ...] = ()
    line_secrets: tuple[str, ...] = field(default=(), compare=False, repr=False)
    keep: int = KEEP  # bytes of each stream in the result
    memory: int | None = None  # bytes of data that each of its processes may have, if the system can limit that
    cleanup: bool = False  # runs after a cancel, too, and is not ended by it
    cancel: Cancel | None = field(default=None, compare=False, repr=False)  # ends this command alone

    def display(self) -> str:
        """Return the command as a user could paste it, without secrets."""
        return shlex.join(redact(word, self.secrets) for word in self.argv)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a command ended. `returncode` is negative for a signal, as in `subprocess`."""

    returncode: int
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    timed_out: bool = False
    cancelled: bool = False
    truncated: bool = False  # the program printed more than the result holds

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with 0."""
        return self.returncode == 0 and not self.timed_out and not self.cancelled


class Runner(Protocol):
    """Runs commands; the test double fails, hangs and streams like the real one."""

    def run(self, command: Command, on_output: OnOutput | None = None) -> Result:
        """Run to the end; `on_output` gets each line as it arrives. Raises EnvironmentFault if it cannot start."""

    def spawn(self, command: Command, log: Path) -> int:
        """Start a process that outlives this one, its output appended to `log`; return its pid (also its group's)."""


class SubprocessRunner:
    """The real `Runner`."""

    def __init__(self, environ: Mapping[str, str], cancel: Cancel, grace: tuple[float, float] = GRACE) -> None:
        """`environ` is the base environment of every command; `cancel` ends all that run."""
        self._environ = dict(environ)
        self._cancel = cancel
        self._grace = grace
        self._groups: set[int] = set()
        self._lock = Lock()

    def under(self, cancel: Cancel) -> SubprocessRunner:
        """Return the same runner with another cancel flag; `kill` and `groups` include its commands."""
        other = copy.copy(self)
        other._cancel = cancel  # noqa: SLF001 - its own class
        return other

    def run(self, command: Command, on_output: OnOutput | None = None) -> Result:
        """See `Runner`."""
        started = time.monotonic()
        if self._stop_reason(command, None):
            if command.later:
                command.later.handed_over()
            return Result(returncode=-signal.SIGINT, cancelled=True)
        child = self._start(command, subprocess.PIPE)
        with self._lock:
            self._groups.add(child.pid)
        pump = Pump(child, command.stdin, command.secrets, on_output, command.keep, command.line_secrets)
        try:
            deadline = None if command.timeout is None else started + command.timeout
            ended = pump.until(lambda: self._stop_reason(command, deadline))
            if ended:
                self._end(child, pump)
            pump.finish()
        finally:
            self._dispose(child, pump)
        return Result(
            returncode=child.returncode,
            stdout=pump.text("stdout"),
            stderr=pump.text("stderr"),
            seconds=time.monotonic() - started,
            timed_out=ended == "timeout",
            cancelled=ended == "cancel",
            truncated=pump.truncated,
        )

    def spawn(self, command: Command, log: Path) -> int:
        """See `Runner`. The command gets no stdin, because nothing would write it."""
        if command.stdin is not None or command.later:
            raise ValueError("a spawned command takes no stdin")
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK  # a pipe at this path is an error
            with os.fdopen(os.open(log, flags, 0o600), "ab") as sink:
                child = self._start(command, sink, new_session=True)
        except OSError as error:
            raise EnvironmentFault(f"cannot write the log {log}: {error.strerror or error}") from error
        child.returncode = 0  # it may outlive this process: prevents Popen's warning
        Thread(target=_reap, args=(child.pid,), name=f"reap-{child.pid}", daemon=True).start()
        return child.pid

    def groups(self) -> frozenset[int]:
        """Return the process groups that run now."""
        with self._lock:
            return frozenset(self._groups)

    def kill(self) -> None:
        """Kill everything that runs now, without grace."""
        for group in self.groups():
            _kill(group, signal.SIGKILL)

    def _start(self, command: Command, out: int | IO[bytes], *, new_session: bool = False) -> subprocess.Popen[bytes]:
        """Start the command in a group of its own."""
        stdin = subprocess.PIPE if command.stdin is not None else subprocess.DEVNULL
        if command.later:
            stdin = command.later.end
        try:
            child = subprocess.Popen(
                command.argv,
                stdin=stdin,
                stdout=out,
                stderr=subprocess.STDOUT if new_session else out,
                env={**self._environ, **command.env},
                cwd=command.cwd,
                process_group=None if new_session else 0,
                start_new_session=new_session,
            )
        except OSError as error:
            raise _cannot_run(command, error) from error
        finally:
            if command.later:
                command.later.handed_over()
        _limit_memory(child.pid, command.memory)
        return child

    def _stop_reason(self, command: Command, deadline: float | None) -> str:
        """Return why to stop waiting: `timeout`, `cancel` or an empty text."""
        stopped = self._cancel.is_set() and not command.cleanup
        if stopped or (command.cancel is not None and command.cancel.is_set()):
            return "cancel"
        return "timeout" if deadline is not None and time.monotonic() >= deadline else ""

    def _end(self, child: subprocess.Popen[bytes], pump: Pump) -> None:
        """Send INT, then TERM, then KILL to the whole group."""
        grace = _LOST if self._cancel.error else self._grace
        ladder = ((signal.SIGINT, grace[0]), (signal.SIGTERM, grace[1]), (signal.SIGKILL, _LAST))
        for number, seconds in ladder:
            _kill(child.pid, number)
            deadline = time.monotonic() + seconds
            if not pump.until(lambda: "late" if time.monotonic() >= deadline else ""):  # noqa: B023 - used at once
                return

    def _dispose(self, child: subprocess.Popen[bytes], pump: Pump) -> None:
        """Kill the rest of the group, and reap the child after that, so that no other group can have its number."""
        _kill(child.pid, signal.SIGKILL)
        pump.close()
        try:
            child.wait(_LAST)
        except subprocess.TimeoutExpired:  # it hangs in the kernel, and dies when that returns
            child.returncode = -signal.SIGKILL
        with self._lock:
            self._groups.discard(child.pid)


def _limit_memory(pid: int, size: int | None) -> None:
    """Limit the memory of a process that has just started; only Linux can do that from outside."""
    if size is not None and sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError):  # it has ended, or has a lower limit already
            resource.prlimit(pid, resource.RLIMIT_DATA, (size, size))


def _cannot_run(command: Command, error: OSError) -> EnvironmentFault:
    """Return why a program did not start; a missing working directory looks like a missing program."""
    program = command.argv[0]
    if command.cwd is not None and not command.cwd.is_dir():
        return EnvironmentFault(f"cannot run {program} in {command.cwd}: the directory does not exist")
    if error.errno == errno.EAGAIN:
        return limit_reached()
    if isinstance(error, FileNotFoundError) and (interpreter := _interpreter(command)):
        hint = "it has Windows line ends: save it with LF" if interpreter.endswith("\r") else "install it"
        shown = interpreter.replace("\r", "\\r")
        return EnvironmentFault(f"cannot run {program}: its first line asks for {shown}, which is not there", hint=hint)
    hint = "is it installed, and on PATH?" if isinstance(error, FileNotFoundError) else ""
    return EnvironmentFault(f"cannot run {program}: {error.strerror or error}", hint=hint)


def _interpreter(command: Command) -> str:
    """Return the interpreter that the first line of a script names, empty if the program is not a script there."""
    path = (command.cwd or Path()) / command.argv[0]
    try:
        with opened(path) as file:
            line = file.readline(256)
    except OSError:
        return ""
    words = line.removeprefix(b"#!").rstrip(b"\n").split(b" ") if line.startswith(b"#!") else []
    return next((word.decode(errors="replace") for word in words if word), "")


def _reap(pid: int) -> None:
    """Wait for a spawned child, so that it does not stay a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _kill(group: int, number: int) -> None:
    """Signal a whole group; it may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
