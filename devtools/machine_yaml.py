"""YAML that machines wrote: manifests, kubeconfigs, indexes. What people write is read by `stack.yamlpos`.

PyYAML's constructors raise what comes (`!!bool x` a KeyError, `!!int ""` an IndexError, a date that is none a
ValueError), and libyaml's composer recurses until the process ends. Here whatever is wrong is a ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from devtools.bounded_yaml import BoundedLoader

DEEPEST = 400
"""Levels: no CRD's schema has as many, and code that walks over a document stays within Python's stack."""

_MOST = 500_000  # values once aliases are expanded
_ANCHOR = re.compile(r"(?:^|[\s\[{,:-])&[^\s&]")
_STANDARD = "tag:yaml.org,2002:"


class Loader(BoundedLoader):
    """Gives what JSON can hold: a date, a bare `=` and bytes are text, a set is a map of nulls.

    prometheus-operator's CRDs hold a bare `=`.
    """

    deepest = DEEPEST


for _tag in ("value", "timestamp"):
    Loader.add_constructor(_STANDARD + _tag, lambda loader, node: loader.construct_scalar(node))
for _tag in ("omap", "pairs"):
    Loader.add_constructor(_STANDARD + _tag, lambda loader, node: loader.construct_sequence(node, deep=True))
Loader.add_constructor(_STANDARD + "set", lambda loader, node: loader.construct_mapping(node, deep=True))
Loader.add_constructor(
    _STANDARD + "binary", lambda loader, node: loader.construct_yaml_binary(node).decode("utf-8", "backslashreplace")
)


def read_yaml(text: str | bytes) -> Any:
    """The value of a text of one document, None where it is empty; raises ValueError."""
    found = list(read_documents(text))
    if len(found) > 1:
        raise ValueError("it holds more than one document")
    return found[0] if found else None


def read_documents(text: str | bytes) -> Iterator[Any]:
    """The value of each document; raises ValueError."""
    try:
        shares = _ANCHOR.search(text if isinstance(text, str) else text.decode("utf-8", "replace"))
        for value in yaml.load_all(text, Loader=Loader):
            if shares:
                _check(value)
            yield value
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error


def _check(value: Any) -> None:
    """Aliases make a document contain itself, grow without measure, or nest deeper than it was written."""
    around: dict[int, Iterator[Any]] = {id(value): _inside(value)}  # by identity, outermost first
    count = 0
    while around:
        innermost = next(reversed(around))
        for inner in around[innermost]:
            count += 1
            if isinstance(inner, dict | list):
                if len(around) >= DEEPEST or count > _MOST or id(inner) in around:
                    raise ValueError("its aliases are endless, or nearly so")
                around[id(inner)] = _inside(inner)
                break
        else:
            del around[innermost]


def _inside(value: Any) -> Iterator[Any]:
    return iter(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
