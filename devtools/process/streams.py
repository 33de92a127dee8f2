"""Moves a child's bytes: its input in, its output out by line, without its secrets.

Knows nothing of how a child is started or ended; `process` does that.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Callable, Iterator
from typing import IO, Literal, Protocol

from devtools.redaction.redactor import needles, without

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, str], None]

KEEP = 64 * 1024 * 1024  # bytes of each stream kept for the caller; the rest is still streamed
LINE = 64 * 1024  # bytes; a longer line is handed on in pieces
_TICK = 0.1  # seconds between looks at the clock and the cancel flag
_DRAIN = 0.5  # seconds that a dead child's grandchildren may keep its pipes open and say nothing
_PIPE = 1024 * 1024  # bytes; the most that a pipe can hold of what a dead child wrote


class Child(Protocol):
    """What the pump needs of a process."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    def poll(self) -> int | None:
        """The exit code of an ended child, which is then reaped."""


def ended(child: Child) -> bool:
    """Whether the child has ended; it stays a zombie where the system can do that.

    A zombie keeps its pid, so its group can be signalled without hitting a stranger that was given the same number.
    """
    if not hasattr(os, "waitid"):
        return child.poll() is not None
    try:
        return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
    except ChildProcessError:  # someone else reaped it
        return True


class Pump:
    """One child's streams."""

    def __init__(
        self,
        child: Child,
        stdin: bytes | None,
        secrets: tuple[str, ...],
        on_output: OnOutput | None,
        keep: int = KEEP,
        line_secrets: tuple[str, ...] = (),
    ) -> None:
        """Feeds `stdin` to the child; `on_output` gets each line as it comes, if there is one.

        The first `keep` bytes of each stream are kept. `line_secrets` are redacted from the lines alone.
        """
        self._keep = keep
        self._child = child
        self._needles = needles(secrets)
        lines = needles((*secrets, *line_secrets)) if line_secrets and on_output else self._needles
        self._bytes = tuple(needle.encode(errors="surrogateescape") for needle in lines)
        self._reach = max((len(needle) for needle in self._bytes), default=0)
        self._on_output = on_output
        self._pending = memoryview(stdin or b"")
        self._buffers: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._partial: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._open: set[Stream] = {"stdout", "stderr"}
        self._quiet_since: float | None = None  # the child is dead, and nothing came since
        self._late = 0  # bytes that came after its death
        self.truncated = False

    def until(self, stop: Callable[[], str]) -> str:
        """Pump until the child has ended (returns "") or `stop` gives a reason (returns it)."""
        with self._selector() as selector:
            while True:
                for key, _ in selector.select(_TICK):
                    self._serve(selector, key)
                if self._over():
                    return ""
                if reason := stop():
                    return reason

    def finish(self) -> None:
        """Hand on last lines without a newline."""
        for name, rest in self._partial.items():
            if rest:
                self._partial[name] = bytearray()
                self._emit(name, rest)

    def close(self) -> None:
        """Close what is open."""
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def text(self, name: Stream) -> str:
        """What was kept of a stream, redacted."""
        return without(_text(self._buffers[name]), self._needles)

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
            if hasattr(os, "pidfd_open") and not ended(self._child):
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
        room = self._keep - len(self._buffers[name])
        self._buffers[name] += data[:room]
        self.truncated = self.truncated or len(data) > room
        if self._on_output is not None:
            self._partial[name] += data
            self._lines(name)
        if self._quiet_since is not None:
            self._late += len(data)
            self._quiet_since = time.monotonic()  # after the listener, which may be slow

    def _over(self) -> bool:
        """The child ended and its pipes are drained, or only its grandchildren still hold them."""
        if not ended(self._child):
            return False
        now = time.monotonic()
        if self._quiet_since is None:
            self._quiet_since = now
        return not self._open or now - self._quiet_since > _DRAIN or self._late > _PIPE

    def _lines(self, name: Stream) -> None:
        """Hand on every whole line, and pieces of an overlong one as soon as no secret can be cut in two."""
        *whole, rest = self._partial[name].split(b"\n")
        for line in whole:
            self._emit(name, line)
        while len(rest) > LINE + self._reach:
            clean = self._clean(rest)
            if len(clean) <= LINE + self._reach:
                rest = clean
                break
            cut = _boundary(clean, LINE)
            self._emit(name, clean[:cut])
            rest = clean[cut:]
        self._partial[name] = rest

    def _clean(self, data: bytearray) -> bytearray:
        """Raw output without secrets."""
        for needle in self._bytes:
            data = data.replace(needle, b"***")
        return data

    def _emit(self, name: Stream, line: bytearray) -> None:
        """One line to the listener: decoded, without carriage return and secrets, in pieces where it is overlong."""
        if self._on_output is None:
            return
        rest = self._clean(line)
        while len(rest) > LINE:
            cut = _boundary(rest, LINE)
            self._on_output(name, _text(rest[:cut]))
            rest = rest[cut:]
        self._on_output(name, _text(rest).rstrip("\r"))


def _boundary(data: bytearray, near: int) -> int:
    """Where to cut: at `near`, or up to three bytes before it where a UTF-8 character would be cut in two."""
    for cut in range(near, near - 4, -1):
        if data[cut] & 0xC0 != 0x80:  # noqa: PLR2004 - not a continuation byte
            return cut
    return near


def _text(data: bytes | bytearray) -> str:
    """UTF-8, with what is not shown as escapes."""
    return data.decode("utf-8", "backslashreplace")
