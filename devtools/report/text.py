"""Words, widths and marks that all renderers share.

A line is a tuple of styled spans, so that one wording serves a colour terminal and a plain log alike.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

Style = Literal["", "good", "bad", "warn", "dim", "strong"]
WORD = 11  # the longest words: "uninstalled", "interrupted"
LONGEST_LINE = 500  # characters of a quoted line that are shown; its log file has all of it
_MIN_NOTE = 24  # columns below which a note gets a separate line
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


# Characters that control a terminal or reverse text; a lone surrogate is a byte of a file name that is not UTF-8.
_HIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """Return a text with control characters as escapes: file names may contain any."""
    if text.isprintable():
        return text
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


@dataclass(frozen=True, slots=True)
class Span:
    """Text in one style, with visible control characters."""

    text: str
    style: Style = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", visible(self.text))


Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The characters in front of a line, and a few typographic ones if the terminal has them."""

    good: str = "✓"
    bad: str = "✗"
    skip: str = "-"
    same: str = "="
    simulated: str = "~"
    alert: str = "!"
    dot: str = "·"
    more: str = "…"


UNICODE = Marks()
ASCII = Marks(good="+", bad="x", dot="-", more="...")

_LOOKS: dict[str, tuple[str, Style]] = {
    "installed": ("good", "good"),
    "upgraded": ("good", "good"),
    "uninstalled": ("good", "good"),
    "deleted": ("good", "good"),
    "passed": ("good", "good"),
    "unchanged": ("same", "dim"),
    "simulated": ("simulated", "warn"),
    "skipped": ("skip", "warn"),
    "disabled": ("skip", "dim"),
    "failed": ("bad", "bad"),
    "blocked": ("bad", "bad"),
    "interrupted": ("bad", "bad"),
    "not reached": ("skip", "dim"),
    "warning": ("alert", "warn"),
    "note": ("dot", ""),
    "waiting": ("dot", "dim"),
}


def marks_for(stream: IO[str]) -> Marks:
    """Return the marks that `stream` can show: ASCII if its encoding has no others."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        f"{UNICODE.good}{UNICODE.bad}{UNICODE.dot}{UNICODE.more}".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def badge(word: str, marks: Marks, pad: int = WORD) -> Span:
    """Return the mark of an outcome or verdict and its word, padded so that columns line up."""
    mark, style = _LOOKS.get(word, ("skip", ""))
    return Span(f"{getattr(marks, mark)} {word:<{pad}}", style)


def plain(line: Line) -> str:
    """Return the line without its styles or trailing blanks."""
    return "".join(span.text for span in line).rstrip()


def duration(seconds: float) -> str:
    """Return seconds in readable form: `0.4s`, `42s`, `2m 05s`, `1h 02m`."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    return f"{minutes // 60}h {minutes % 60:02d}m"


def shown(path: Path, cwd: Path | None) -> str:
    """Return a path relative to `cwd`; absolute if it is elsewhere."""
    return str(path.relative_to(cwd)) if cwd and path.is_relative_to(cwd) else str(path)


def clean(line: str) -> str:
    """Return a quoted line made safe for a terminal: no escape sequences, no control characters, limited length."""
    safe = _CONTROLS.sub("", _ESCAPES.sub("", line)).expandtabs(4).rstrip()
    return safe if len(safe) <= LONGEST_LINE else safe[: LONGEST_LINE - 3] + "..."


def set_text(one: Mapping[str, str]) -> str:
    """Return a value that `--set` replaces, as plans show it."""
    return f"set: {one['key']} = {clean(one['value'])} ({one['where']} says {clean(one['before'])})"


def counted(words: Iterable[str], order: Sequence[str]) -> str:
    """Return the number of each word, in `order`, without zeros: `2 installed, 1 failed`."""
    listed = list(words)
    return ", ".join(f"{listed.count(word)} {word}" for word in order if word in listed)


def wrapped(text: str, width: int, indent: str = "", style: Style = "") -> list[Line]:
    """Return prose broken at blanks to fit `width` columns, each line after `indent`; words are never cut."""
    lines: list[Line] = []
    for paragraph in clean_lines(text):
        pieces = textwrap.wrap(
            paragraph, max(width - len(indent), 20), break_long_words=False, break_on_hyphens=False
        ) or [""]
        lines += [(Span(indent), Span(piece, style)) for piece in pieces]
    return lines


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines, with columns as wide as their widest cells."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def clean_lines(text: str) -> list[str]:
    """Return a quoted text of several lines, each made safe."""
    return [clean(line) for line in text.splitlines()] or [""]


def with_note(head: Line, note: str, width: int, style: Style = "dim") -> list[Line]:
    """Return `head`, then `note` next to it, wrapped under itself, or on lines below if there is no room."""
    text = " ".join(clean_lines(note)).strip()
    if not text:
        return [head]
    used = sum(len(span.text) for span in head) + 2
    lead = len(plain(head)) - len(plain(head).lstrip()) + 4
    below = wrapped(text, width, " " * lead, style)
    if width - used >= min(_MIN_NOTE, len(text)):
        first, *rest = beside = wrapped(text, width, " " * used, style)
        if len(beside) <= len(below) and all(len(plain(line)) <= width for line in beside):
            return [(*head, Span("  "), *first[1:]), *rest]
    return [head, *below]


class Writer:
    """Writes lines to a stream that may not show every character and may be closed at any time."""

    def __init__(self, stream: IO[str]) -> None:
        """Write to `stream`, which stays open."""
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._gone = False

    def write(self, text: str) -> None:
        """Write one line at once; do nothing once the reader is gone (`… | head`)."""
        if self._gone:
            return
        safe = text.encode(self._encoding, "replace").decode(self._encoding, "replace")
        try:
            self._stream.write(safe + "\n")
            self._stream.flush()
        except (BrokenPipeError, ConnectionResetError):
            self._gone = True

    def lines(self, lines: Iterable[Line]) -> None:
        """Write several styled lines, without their styles."""
        for line in lines:
            self.write(plain(line))
