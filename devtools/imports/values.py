"""Applies `--set` flags, and finds the values that all environments share."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from devtools.errors import ConfigError

Path = tuple[str, ...]
Tree = Mapping[str, Any]
_REFERENCE = re.compile(r"ref\+[a-z0-9]+://|secretref\+|ENC\[[A-Z0-9_]+,")
_STEP = re.compile(r"\[(\d+)\]")
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None}


def shared(values: Mapping[str, Tree]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Split values by environment into those common to all and the rest of each."""
    trees = list(values.values())
    if not trees:
        return {}, {}
    common: dict[str, Any] = {}
    rest: dict[str, dict[str, Any]] = {name: {} for name in values}
    for key in dict.fromkeys(key for tree in trees for key in tree):
        found = {name: tree[key] for name, tree in values.items() if key in tree}
        everywhere = len(found) == len(values)
        if everywhere and all(isinstance(value, Mapping) and value for value in found.values()):
            common_below, rest_below = shared(found)
            if common_below:
                common[key] = common_below
            for name, below in rest_below.items():
                if below:
                    rest[name][key] = below
        elif everywhere and all(_same(value, trees[0][key]) for value in found.values()):
            common[key] = trees[0][key]
        else:
            for name, value in found.items():
                rest[name][key] = value
    return common, rest


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal as YAML: true is not 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)


def paths(tree: Tree, above: Path = ()) -> Iterator[Path]:
    """Yield the path of each leaf."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from paths(value, (*above, key))
        else:
            yield (*above, key)


def without_references(tree: Tree, above: Path = ()) -> tuple[dict[str, Any], list[Path]]:
    """Return the tree without values that are encrypted or refer to an external secret, and the paths of those."""
    result: dict[str, Any] = {}
    found: list[Path] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            result[key], below = without_references(value, (*above, key))
            found += below
            if value and not result[key] and below:
                del result[key]
        elif any(_REFERENCE.search(text) for text in _texts(value)):
            found.append((*above, key))
        else:
            result[key] = value
    return result, found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def with_set(tree: Tree, entries: Iterable[Tree], texts: Mapping[str, str], *, typed: bool = True) -> dict[str, Any]:
    """Apply `set:` entries to values, as helm's `--set` (`typed`) or `--set-string` does.

    `texts` are the contents of files that entries name. Raises ConfigError for a name that cannot be parsed.
    """
    result: dict[str, Any] = copy.deepcopy(dict(tree))
    for entry in entries:
        name = str(entry.get("name", ""))
        if entry.get("value") not in (None, ""):
            value = _typed(str(entry["value"])) if typed else str(entry["value"])
        elif entry.get("file"):
            value = texts[str(entry["file"])]
        elif entry.get("values"):
            value = [_typed(_text(item)) if typed else _text(item) for item in entry["values"]]
        else:
            continue
        _put(result, steps(name), value, name)
    return result


def steps(name: str) -> tuple[str | int, ...]:
    r"""Return the steps of a name of `--set`: `a.b\.c[0]` is `("a", "b.c", 0)`."""
    found: list[str | int] = []
    for part in re.split(r"(?<!\\)\.", name):
        key, *_ = part.split("[", 1)
        if key:
            found.append(re.sub(r"\\(.)", r"\1", key))
        found += [int(number) for number in _STEP.findall(part[len(key) :])]
    return tuple(found)


def _put(tree: Any, where: tuple[str | int, ...], value: Any, name: str) -> None:
    for number, step in enumerate(where):
        last = number == len(where) - 1
        empty: Any = value if last else [] if isinstance(where[number + 1], int) else {}
        if isinstance(step, int) and isinstance(tree, list):
            tree.extend([None] * (step + 1 - len(tree)))
        elif not (isinstance(step, str) and isinstance(tree, dict)):
            raise ConfigError(f"set: '{name}' leads into a value that is neither a map nor a list")
        if last:
            tree[step] = value
            return
        below = tree[step] if isinstance(step, int) else tree.get(step)
        if not isinstance(below, dict | list):
            tree[step] = below = empty
        tree = below


def _typed(text: str) -> Any:
    """Return the value of `--set key=text`: helm parses integers, true, false and null, and no other types."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    return int(text) if _INTEGER.fullmatch(text) else text


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
