"""Remembers which releases helm could render, so that a plan renders only what changed."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

from devtools.base.atomic_write import write_whole
from devtools.base.open_file import opened

_MOST = 5000


class RenderedBefore:
    """Digests of inputs that were rendered without an error, in a file of the user's cache.

    If the file cannot be read or written, everything is rendered again.
    """

    def __init__(self, directory: Path, name: str) -> None:
        """`name` distinguishes the files in one directory."""
        self._file = directory / hashlib.sha256(name.encode()).hexdigest()[:24]
        self._keys: dict[str, None] = {}
        with contextlib.suppress(OSError, UnicodeError), opened(self._file) as file:
            self._keys = dict.fromkeys(file.read().decode().split())

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[str]) -> None:
        """Remember inputs; the oldest are forgotten."""
        before = len(self._keys)
        self._keys.update(dict.fromkeys(keys))
        if len(self._keys) > before:
            with contextlib.suppress(OSError):
                write_whole(self._file, "\n".join(list(self._keys)[-_MOST:]), mode=0o600)
