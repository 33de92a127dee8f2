"""Feeds a child's input and reads its output by line, without secrets.

It neither starts nor ends a child; `runner` does that.
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

KEEP = 64 * 1024 * 1024  # bytes of each stream returned to the caller; the rest is only streamed
LINE = 64 * 1024  # bytes; a longer line is passed on in pieces
_TICK = 0.1  # seconds between checks of the clock and the cancel flag
_DRAIN = 0.5  # seconds that a dead child's grandchildren may hold its pipes open without output
_PIPE = 1024 * 1024  # bytes; the most that a dead child's pipe can hold


class Child(Protocol):
    """The part of a process that the pump needs."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    def poll(self) -> int | None:
        """Reap an ended child and return its exit code."""


def ended(child: Child) -> bool:
    """Return whether the child has ended; it stays a zombie if it can, so that no other group gets its number."""
    if not hasattr(os, "waitid"):
        return child.poll() is not None
    try:
        return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
    except ChildProcessError:  # another part of the process reaped it
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
        """`on_output` gets each line; `keep` bytes of a stream are stored; `line_secrets` are hidden in lines only."""
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
        self._late = 0  # bytes that arrived after its death
        self.truncated = False

    def until(self, stop: Callable[[], str]) -> str:
        """Pump until the child has ended (return "") or `stop` returns a reason (return it)."""
        with self._selector() as selector:
            while True:
                for key, _ in selector.select(_TICK):
                    self._serve(selector, key)
                if self._over():
                    return ""
                if reason := stop():
                    return reason

    def finish(self) -> None:
        """Pass on last lines that have no newline."""
        for name, rest in self._partial.items():
            if rest:
                self._partial[name] = bytearray()
                self._emit(name, rest)

    def close(self) -> None:
        """Close all descriptors that are open."""
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def text(self, name: Stream) -> str:
        """Return the stored part of a stream, redacted."""
        return without(_text(self._buffers[name]), self._needles)

    @contextlib.contextmanager
    def _selector(self) -> Iterator[selectors.BaseSelector]:
        """Register everything to wait for: both streams, stdin, and the child's end if the system can report it."""
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
        if key.data == "end":
            selector.unregister(key.fd)
        elif key.data == "stdin":
            self._write(selector, key)
        else:
            self._read(selector, key)

    def _write(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        """Write some of stdin; a child may close it early."""
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
        """Return whether the child ended and its pipes are drained, or only grandchildren hold them open."""
        if not ended(self._child):
            return False
        now = time.monotonic()
        if self._quiet_since is None:
            self._quiet_since = now
        return not self._open or now - self._quiet_since > _DRAIN or self._late > _PIPE

    def _lines(self, name: Stream) -> None:
        """Pass on every whole line, and pieces of an overlong one as soon as no secret can be cut in two."""
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
        for needle in self._bytes:
            data = data.replace(needle, b"***")
        return data

    def _emit(self, name: Stream, line: bytearray) -> None:
        """Pass one line to the listener: decoded, without carriage return and secrets, in pieces if it is overlong."""
        if self._on_output is None:
            return
        rest = self._clean(line)
        while len(rest) > LINE:
            cut = _boundary(rest, LINE)
            self._on_output(name, _text(rest[:cut]))
            rest = rest[cut:]
        self._on_output(name, _text(rest).rstrip("\r"))


def _boundary(data: bytearray, near: int) -> int:
    """Return where to cut: at `near`, or up to three bytes earlier if that would split a UTF-8 character."""
    for cut in range(near, near - 4, -1):
        if data[cut] & 0xC0 != 0x80:  # noqa: PLR2004 - not a continuation byte
            return cut
    return near


def _text(data: bytes | bytearray) -> str:
    """Decode UTF-8, with invalid bytes as escapes."""
    return data.decode("utf-8", "backslashreplace")
