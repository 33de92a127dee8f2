"""From pydantic's errors to problems at a place, in words for people."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any, get_args, get_origin, get_type_hints

from devtools.base.suggestions import did_you_mean
from devtools.base.yaml_positions import Document, KeyPath
from devtools.errors import Problem

_LONGEST_NAME = 255  # bytes: NAME_MAX of Linux and macOS
_LONGEST_PATH = 900  # bytes: with a root before it, still less than PATH_MAX of macOS


def suggestion(word: str, known: Iterable[str], what: str) -> str:
    """The nearest known word, or the few there are: `environments: dev, local`."""
    words = list(known)
    listed = ", ".join(words[:12]) + (", …" if len(words) > 12 else "")  # noqa: PLR2004 - what fits a line
    return did_you_mean(word, words) or (f"{what}: {listed}" if words else f"there are no {what}")


def validated(kind: Any, document: Document) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """The document's data as `kind` (a TypedDict of `declared`), and what is wrong with it.

    Returns an empty map with the problems where anything is wrong: half a file is not used.
    """
    from pydantic import ValidationError

    if document.problems and not document.data:
        return {}, document.problems  # it could not be read: what is missing from it is not known
    try:
        return dict(_adapter(kind).validate_python(document.data)), document.problems
    except ValidationError as error:
        details = _without_echoes(kind, error.errors(include_url=False))
        found = tuple(_problem(kind, document, detail) for detail in details)
        return {}, document.problems + tuple(dict.fromkeys(found))


def _without_echoes(kind: Any, details: list[Any]) -> list[Any]:
    """A misspelt key is one error, not also the absence of the right one."""
    meant = set()
    for detail in details:
        if detail["type"] == "extra_forbidden":
            *around, word = detail["loc"]
            near = difflib.get_close_matches(str(word), _keys(kind, tuple(around)), n=1)
            meant.add((*around, *near))
    return [detail for detail in details if detail["type"] != "missing" or detail["loc"] not in meant]


@cache
def _adapter(kind: Any) -> Any:
    """Built once: building costs more than validating a hundred files."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _problem(kind: Any, document: Document, detail: Mapping[str, Any]) -> Problem:
    path: KeyPath = tuple(step for step in detail["loc"] if step != "[key]")
    message, hint = _words(kind, path, detail)
    return document.problem(path, message, hint)


def _words(kind: Any, path: KeyPath, detail: Mapping[str, Any]) -> tuple[str, str]:
    """A sentence and a hint for one error."""
    name, around = _shown(path), _shown(path[:-1])
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key {path[-1]!r}", did_you_mean(str(path[-1]), _keys(kind, path[:-1]))
        case "missing":
            return f"key {path[-1]!r} is missing" + (f" in {around}" if around else ""), ""
        case "string_type":
            return f"{name} must be text", _quote(detail["input"])
    return f"{name} {_wrong(detail)}", ""


def _quote(value: Any) -> str:
    """What to do about a scalar that is no text: `name: on` is true to YAML."""
    if isinstance(value, bool):
        return f"YAML reads it as {str(value).lower()}: quote it"
    return "quote it" if isinstance(value, int | float) else ""


def _wrong(detail: Mapping[str, Any]) -> str:
    """What is wrong with a value, to follow its name."""
    from devtools.config.declared import WORDS

    kind, message = str(detail["type"]), str(detail["msg"])
    if kind == "string_pattern_mismatch":
        return f"{WORDS[detail['ctx']['pattern']]}, not {_clip(detail['input'])}"
    if kind in _LIMITS:
        word, key = _LIMITS[kind]
        return f"must be {word} {detail['ctx'][key]}"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    return _TYPES.get(kind, "is wrong: " + message.removeprefix("Input ").removeprefix("String "))


_LIMITS = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}
_TYPES = {
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "dict_type": "must be a map",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


def _clip(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"  # noqa: PLR2004 - what fits a line


def _shown(path: KeyPath) -> str:
    """The path as people would say it: the last key, and which item of a list."""
    words = [str(step) for step in path if isinstance(step, str)]
    if not path or isinstance(path[-1], str):
        return f"'{words[-1]}'" if words else ""
    return f"item {path[-1] + 1} of '{words[-1]}'"


def _keys(kind: Any, path: KeyPath) -> tuple[str, ...]:
    """The keys that a map at this path may have."""
    for step in path:
        kind = _stripped(kind)
        if get_origin(kind) is list and isinstance(step, int):
            kind = get_args(kind)[0]
        else:
            kind = get_type_hints(kind).get(str(step)) if hasattr(kind, "__required_keys__") else None
    kind = _stripped(kind)
    return tuple(get_type_hints(kind)) if hasattr(kind, "__required_keys__") else ()


def _stripped(kind: Any) -> Any:
    """Without Required and Annotated."""
    while kind is not None and hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    return kind


def is_inside(value: str) -> bool:
    """Whether a path from a repository's root stays in it, and is one that a file can have."""
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\0" in value:
        return False
    sizes = [len(part.encode(errors="surrogatepass")) for part in path.parts]
    return max(sizes, default=0) <= _LONGEST_NAME and sum(sizes) + len(sizes) <= _LONGEST_PATH
