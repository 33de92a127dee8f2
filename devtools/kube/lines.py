"""Cuts a streamed text into lines, without the secrets in it."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from devtools.process.runner import Cancel

if TYPE_CHECKING:
    import urllib3

CHUNK = 64 * 1024  # bytes
LONGEST = 64 * 1024  # characters; a longer line is passed on in pieces


def split(
    response: urllib3.BaseHTTPResponse, cancel: Cancel, clean: Callable[[str], str] = str, reach: int = 0
) -> Iterator[str]:
    """Yield lines as they arrive, with invalid UTF-8 as escapes, until the stream ends or fails, or on cancel.

    Each line is redacted before it is cut, and never cut within `reach` characters of its end so far, so that no secret
    of that length is passed on in two pieces.
    """
    from urllib3.exceptions import HTTPError

    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    rest = ""
    try:
        for chunk in response.stream(CHUNK):
            *whole, rest = (rest + decoder.decode(chunk)).split("\n")
            for line in whole:
                yield from _pieces(clean(line).rstrip("\r"))
            if cancel.is_set():
                return
            while len(rest) > LONGEST + reach:
                rest = clean(rest)
                if len(rest) > LONGEST + reach:
                    yield rest[:LONGEST]
                    rest = rest[LONGEST:]
    except (HTTPError, OSError):
        pass  # the connection ended with the container
    rest += decoder.decode(b"", final=True)
    if rest:
        yield from _pieces(clean(rest).rstrip("\r"))


def _pieces(line: str) -> Iterator[str]:
    """Yield one line, in pieces if it is overlong."""
    while len(line) > LONGEST:
        yield line[:LONGEST]
        line = line[LONGEST:]
    yield line
