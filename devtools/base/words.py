"""Puts words into sentences: plurals, shortened lists, and suggestions for a misspelt word."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence

from devtools.errors import ConfigError


def plural(count: int, noun: str, many: str = "") -> str:
    """Return `1 release`, `2 releases`; `many` is an irregular plural, or a plural with its verb."""
    return f"{count} {noun if count == 1 else many or f'{noun}s'}"


def shortened(items: Sequence[str], most: int = 3, separator: str = ", ") -> str:
    """Return `a, b, c and 2 more`."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return separator.join(items[:most]) + more


def require_known(flag: str, typed: str, known: Collection[str]) -> None:
    """Raise ConfigError if a flag has none of the known values."""
    if typed not in known:
        raise ConfigError(f"{flag} is {typed!r}", hint=f"choose one of {', '.join(filter(None, known))}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean 'chart'?`, empty if no other known word is similar."""
    similar = difflib.get_close_matches(word, [other for other in known if other != word], n=1, cutoff=0.6)
    return f"did you mean '{similar[0]}'?" if similar else ""
