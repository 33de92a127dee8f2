"""Marks values as secret by their origin, whatever their keys are called; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

_GO_EXPONENT = 1_000_000  # from this number on, Go writes numbers in values with an exponent: 4.7e+06


class Marked:
    """A value that is secret by its origin."""

    __slots__ = ()


class MarkedText(Marked, str):
    """A text that is secret by its origin."""

    __slots__ = ()


class MarkedInt(Marked, int):
    """A whole number that is secret by its origin."""


class MarkedFloat(Marked, float):
    """A number that is secret by its origin."""

    __slots__ = ()


def marked(value: Any) -> Any:
    """Return a copy of values whose texts and numbers are marked."""
    return _converted(value, {str: MarkedText, int: MarkedInt, float: MarkedFloat})


def marked_at(values: Any, shape: Any) -> Any:
    """Return the values at the keys of `shape`, marked: for another revision of the same encrypted file."""
    if isinstance(values, Mapping) and isinstance(shape, Mapping):
        return {key: marked_at(values[key], below) for key, below in shape.items() if key in values}
    if isinstance(values, list) and isinstance(shape, list):
        plain = [item for item in shape if not any(True for _ in marked_in(item))]
        return [item if item in plain else marked(item) for item in values]
    return marked(values)


def marked_keys(values: Any) -> Any:
    """Return the part of values that is marked, as a shape for `marked_at`; None if nothing is."""
    if isinstance(values, Mapping):
        found = {key: part for key, item in values.items() if (part := marked_keys(item)) is not None}
        return found or None
    return values if any(True for _ in marked_in(values)) else None


def unmarked(value: Any) -> Any:
    """Return a copy of values whose texts and numbers are not marked, because a YAML writer rejects other types."""
    return _converted(value, {MarkedText: str, MarkedInt: int, MarkedFloat: float})


def marked_in(value: Any) -> Iterator[str]:
    """Yield every marked text and number in values, as text; a large number also as Go's templates write it."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from marked_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from marked_in(item)
    elif isinstance(value, Marked):
        yield str(value)
        if isinstance(value, MarkedInt | MarkedFloat) and _GO_EXPONENT <= abs(value) < math.inf:
            from decimal import Decimal  # not needed by most commands

            mantissa, exponent = f"{Decimal(repr(float(value))).normalize():e}".split("e")
            yield f"{mantissa}e{exponent[0]}{exponent[1:]:0>2}"


def _converted(value: Any, kinds: Mapping[type, type]) -> Any:
    if isinstance(value, Mapping):
        return {key: _converted(item, kinds) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_converted(item, kinds) for item in value]
    kind = kinds.get(type(value))
    return value if kind is None else kind(value)
