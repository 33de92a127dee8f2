"""Cuts a streamed text into lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from devtools.process.runner import Cancel

if TYPE_CHECKING:
    import urllib3

CHUNK = 64 * 1024  # bytes
LONGEST = 64 * 1024  # bytes; a longer line is handed on in pieces


def split(response: urllib3.BaseHTTPResponse, cancel: Cancel) -> Iterator[str]:
    """Lines as they come, what is not UTF-8 as escapes; ends with the stream, however that ends, or on cancel."""
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - only what talks to a cluster pays for it

    rest = b""
    try:
        for chunk in response.stream(CHUNK):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield from _pieces(line)
            if cancel.is_set():
                return
            while len(rest) > LONGEST:
                cut = _boundary(rest)
                yield _text(rest[:cut])
                rest = rest[cut:]
    except (HTTPError, OSError):
        pass  # the connection ended with the container
    if rest:
        yield from _pieces(rest)


def _pieces(line: bytes) -> Iterator[str]:
    """One line, in pieces where it is overlong."""
    while len(line) > LONGEST:
        cut = _boundary(line)
        yield _text(line[:cut])
        line = line[cut:]
    yield _text(line).rstrip("\r")


def _boundary(data: bytes) -> int:
    """Where to cut: at `LONGEST`, or up to three bytes before it where a UTF-8 character would be cut in two."""
    for cut in range(LONGEST, LONGEST - 4, -1):
        if data[cut] & 0xC0 != 0x80:  # noqa: PLR2004 - not a continuation byte
            return cut
    return LONGEST


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
