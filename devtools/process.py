"""The one place that starts processes.

A `Command` is argv, never a shell string. A `Runner` runs it in a process group of its own, streams its output by
line, redacts secrets, and ends it by the ladder INT, TERM, KILL to the whole group: killing only the child
leaves its children alive.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import IO, Literal, Protocol

from devtools.errors import EnvironmentFault

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, str], None]

KEEP = 64 * 1024 * 1024  # bytes of each stream kept for the caller; the rest is still streamed
LINE = 64 * 1024  # a longer line is handed on in pieces
SHORTEST_SECRET = 4  # redacting shorter ones would blank out ordinary words
GRACE = (3.0, 3.0)  # seconds after INT, then after TERM
_TICK = 0.1  # seconds between looks at the clock and the cancel flag
_DRAIN = 0.5  # seconds a dead child's grandchildren may keep its pipes open


class Cancel:
    """A flag that asks everything under way to stop; set once, by a signal or a failure."""

    def __init__(self) -> None:
        """Not set."""
        self._event = Event()
        self.reason = ""

    def set(self, reason: str) -> None:
        """Ask to stop; the first reason is kept."""
        if not self._event.is_set():
            self.reason = reason
            self._event.set()

    def is_set(self) -> bool:
        """Whether someone asked to stop."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep that a cancel cuts short; says whether it did."""
        return self._event.wait(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run. `env` is added to the runner's environment; `secrets` are redacted from all output."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stdin: bytes | None = None
    timeout: float | None = None  # seconds
    secrets: tuple[str, ...] = ()
    cancel: Cancel | None = field(default=None, compare=False, repr=False)  # ends this command alone

    def display(self) -> str:
        """The command as a user could paste it, without secrets."""
        return redact(shlex.join(self.argv), self.secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a command ended. `returncode` is negative for a signal, as in `subprocess`."""

    returncode: int
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    timed_out: bool = False
    cancelled: bool = False
    truncated: bool = False  # more was printed than is kept

    @property
    def ok(self) -> bool:
        """It ended by itself, with 0."""
        return self.returncode == 0 and not self.timed_out and not self.cancelled


class Runner(Protocol):
    """Runs commands; the tests' double fails, hangs and streams like the real one."""

    def run(self, command: Command, on_output: OnOutput | None = None) -> Result:
        """Run to the end; `on_output` gets each line as it comes. Raises EnvironmentFault when it cannot start."""

    def spawn(self, command: Command, log: Path) -> int:
        """Start something that outlives us, its output appended to `log`; returns its pid (also its group's)."""


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """`text` with every secret of `SHORTEST_SECRET` or more characters replaced by `***`."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


class SubprocessRunner:
    """The real `Runner`."""

    def __init__(self, environ: Mapping[str, str], cancel: Cancel, grace: tuple[float, float] = GRACE) -> None:
        """`environ` is the base environment of every command; `cancel` ends whatever runs."""
        self._environ = dict(environ)
        self._cancel = cancel
        self._grace = grace
        self._groups: set[int] = set()
        self._lock = Lock()

    def run(self, command: Command, on_output: OnOutput | None = None) -> Result:
        """See `Runner`."""
        started = time.monotonic()
        if self._cancel.is_set():
            return Result(returncode=-signal.SIGINT, cancelled=True)
        child = self._start(command, subprocess.PIPE)
        with self._lock:
            self._groups.add(child.pid)
        try:
            pump = _Pump(child, command, on_output)
            deadline = None if command.timeout is None else started + command.timeout
            ended = pump.until(lambda: self._stop_reason(command, deadline))
            if ended:
                self._end(child, pump)
            child.wait()
            return Result(
                returncode=child.returncode,
                stdout=pump.text("stdout"),
                stderr=pump.text("stderr"),
                seconds=time.monotonic() - started,
                timed_out=ended == "timeout",
                cancelled=ended == "cancel",
                truncated=pump.truncated,
            )
        finally:
            _kill(child.pid, signal.SIGKILL)  # whatever of its group is left
            child.wait()
            with self._lock:
                self._groups.discard(child.pid)

    def spawn(self, command: Command, log: Path) -> int:
        """See `Runner`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            child = self._start(command, sink, new_session=True)
        child.returncode = 0  # it is not ours to wait for: keeps Popen from warning
        return child.pid

    def groups(self) -> frozenset[int]:
        """Process groups that run now."""
        with self._lock:
            return frozenset(self._groups)

    def _start(self, command: Command, out: int | IO[bytes], *, new_session: bool = False) -> subprocess.Popen[bytes]:
        """Start the command in a group of its own."""
        stdin = subprocess.PIPE if command.stdin is not None else subprocess.DEVNULL
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
            reason = error.strerror or str(error)
            raise EnvironmentFault(f"cannot run {command.argv[0]}: {reason}") from error
        return child

    def _stop_reason(self, command: Command, deadline: float | None) -> str:
        """Why to stop waiting: `timeout`, `cancel` or nothing."""
        if self._cancel.is_set() or (command.cancel is not None and command.cancel.is_set()):
            return "cancel"
        return "timeout" if deadline is not None and time.monotonic() >= deadline else ""

    def _end(self, child: subprocess.Popen[bytes], pump: _Pump) -> None:
        """The ladder: INT, TERM, KILL, to the whole group."""
        for number, seconds in ((signal.SIGINT, self._grace[0]), (signal.SIGTERM, self._grace[1])):
            _kill(child.pid, number)
            deadline = time.monotonic() + seconds
            if not pump.until(lambda: "late" if time.monotonic() >= deadline else ""):  # noqa: B023 - used at once
                return
        _kill(child.pid, signal.SIGKILL)


class _Pump:
    """Moves a child's bytes: stdin in, lines out; ends when the child has."""

    def __init__(self, child: subprocess.Popen[bytes], command: Command, on_output: OnOutput | None) -> None:
        self._child = child
        self._secrets = command.secrets
        self._on_output = on_output
        self._pending = memoryview(command.stdin or b"")
        self._kept: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._partial: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._open: set[Stream] = {"stdout", "stderr"}
        self._dead_since: float | None = None
        self.truncated = False

    def until(self, stop: Callable[[], str]) -> str:
        """Pump until the child has ended (returns "") or `stop` gives a reason (returns it)."""
        with self._selector() as selector:
            while True:
                for key, _ in selector.select(_TICK):
                    self._serve(selector, key)
                if self._over():
                    self._flush()
                    return ""
                if reason := stop():
                    return reason

    @contextlib.contextmanager
    def _selector(self) -> Iterator[selectors.BaseSelector]:
        """Everything worth waking up for: both streams, stdin, and the child's end where the system tells it."""
        with contextlib.ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            for name in self._open:
                pipe = self._child.stdout if name == "stdout" else self._child.stderr
                if pipe is not None:
                    os.set_blocking(pipe.fileno(), False)
                    selector.register(pipe, selectors.EVENT_READ, name)
            if self._child.stdin is not None and not self._child.stdin.closed:
                os.set_blocking(self._child.stdin.fileno(), False)
                selector.register(self._child.stdin, selectors.EVENT_WRITE, "stdin")
            if hasattr(os, "pidfd_open") and self._child.poll() is None:
                with contextlib.suppress(OSError):
                    descriptor = os.pidfd_open(self._child.pid)
                    stack.callback(os.close, descriptor)
                    selector.register(descriptor, selectors.EVENT_READ, "end")
            yield selector

    def _serve(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        """One ready descriptor."""
        if key.data == "end":
            selector.unregister(key.fd)
        elif key.data == "stdin":
            self._write(selector, key)
        else:
            self._read(selector, key)

    def _write(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        """Some of stdin; a child that closed it early is its own affair."""
        try:
            if self._pending:
                self._pending = self._pending[os.write(key.fd, self._pending[:LINE]) :]
        except BlockingIOError:
            return
        except OSError:
            self._pending = memoryview(b"")
        if not self._pending and self._child.stdin is not None:
            selector.unregister(self._child.stdin)
            with contextlib.suppress(OSError):
                self._child.stdin.close()

    def _read(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        """Some of a stream."""
        name: Stream = key.data
        try:
            data = os.read(key.fd, LINE)
        except BlockingIOError:
            return
        if not data:
            selector.unregister(key.fileobj)
            self._open.discard(name)
            return
        room = KEEP - len(self._kept[name])
        self._kept[name] += data[:room]
        self.truncated = self.truncated or len(data) > room
        if self._on_output is not None:
            self._partial[name] += data
            self._lines(name)

    def _lines(self, name: Stream) -> None:
        """Hand on every whole line, and pieces of overlong ones."""
        *whole, rest = self._partial[name].split(b"\n")
        for line in whole:
            self._say(name, line)
        while len(rest) > LINE:
            self._say(name, rest[:LINE])
            rest = rest[LINE:]
        self._partial[name] = bytearray(rest)

    def _say(self, name: Stream, line: bytes | bytearray) -> None:
        """One line to the listener: decoded, without carriage return and secrets."""
        if self._on_output is not None:
            self._on_output(name, redact(_text(line).rstrip("\r"), self._secrets))

    def _over(self) -> bool:
        """The child ended and its pipes are drained, or its grandchildren have held them long enough."""
        if self._child.poll() is None:
            return False
        now = time.monotonic()
        self._dead_since = self._dead_since or now
        return not self._open or now - self._dead_since > _DRAIN

    def _flush(self) -> None:
        """Last lines without a newline; close what is open."""
        for name, rest in self._partial.items():
            if rest:
                self._say(name, rest)
                rest.clear()
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def text(self, name: Stream) -> str:
        """What was kept of a stream, redacted."""
        return redact(_text(self._kept[name]), self._secrets)


def _text(data: bytes | bytearray) -> str:
    """UTF-8, with what is not shown as escapes."""
    return data.decode("utf-8", "backslashreplace")


def _kill(group: int, number: int) -> None:
    """Signal a whole group; it may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
