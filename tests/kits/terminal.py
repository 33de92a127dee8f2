"""A terminal that shows what a program wrote to it: the lines that scrolled away, and the screen."""

from __future__ import annotations

import io
import re
import threading

_TOKEN = re.compile(r"\x1b\[(?P<arguments>[0-9;?]*)(?P<verb>[A-Za-z])|(?P<control>[\r\n])|(?P<text>[^\x1b\r\n]+)")


class Terminal(io.StringIO):
    """Understands what rich's live display sends; anything else is an error, so that nothing goes unseen."""

    def __init__(self, width: int, height: int) -> None:
        """Empty."""
        super().__init__()
        self._width, self._height = width, height
        self._lines, self._row, self._column = [""], 0, 0
        self._writing = threading.Lock()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """One write arrives as a whole, as the kernel's lock on a terminal has it."""
        with self._writing:
            for token in _TOKEN.finditer(text):
                self._take(token)
        return len(text)

    def _take(self, token: re.Match[str]) -> None:
        if token["text"]:
            for start in range(0, len(token["text"]), self._width):
                self._put(token["text"][start : start + self._width])
        elif token["control"] == "\r":
            self._column = 0
        elif token["control"] == "\n":
            self._row, self._column = self._row + 1, 0
            self._lines += [""] * (self._row + 1 - len(self._lines))
        elif token["verb"] == "A":
            top = max(len(self._lines) - self._height, 0)
            self._row = max(self._row - int(token["arguments"] or 1), top)
        elif token["verb"] == "K":
            assert token["arguments"] == "2"
            self._lines[self._row] = ""
        else:
            assert token["verb"] in "hlm", token[0]

    def _put(self, text: str) -> None:
        line = self._lines[self._row].ljust(self._column)
        self._lines[self._row] = line[: self._column] + text + line[self._column + len(text) :]
        self._column += len(text)

    @property
    def lines(self) -> list[str]:
        """All lines since the start, without trailing blanks."""
        return [line.rstrip() for line in self._lines]
