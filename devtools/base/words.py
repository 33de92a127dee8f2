"""Puts words into sentences: plurals and shortened lists."""

from __future__ import annotations

from collections.abc import Iterable


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 release`, `2 releases`; `many` is an irregular plural, or one with its verb."""
    return f"{count} {noun if count == 1 else many or f'{noun}s'}"


def shortened(items: Iterable[object], most: int = 3, separator: str = ", ") -> str:
    """`a, b, c and 2 more`."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return separator.join(texts[:most]) + more
