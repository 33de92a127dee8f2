"""Validates a file against classes of the model; converts pydantic's errors into readable problems with places."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path, PurePosixPath
from types import FunctionType, UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from devtools.base.key_types import MESSAGES, Limits, Nullable, Parsed, Written
from devtools.base.words import did_you_mean
from devtools.base.yaml_positions import Document, KeyPath
from devtools.errors import Problem

T = TypeVar("T")

_LONGEST_NAME = 255  # bytes: NAME_MAX of Linux and macOS
_LONGEST_PATH = 900  # bytes: with a root before it, still less than PATH_MAX of macOS


def suggestion(word: str, known: Iterable[str], what: str) -> str:
    """Return the nearest known word, or the list if it is short: `environments: dev, local`."""
    words = list(known)
    listed = ", ".join(words[:12]) + (", …" if len(words) > 12 else "")  # noqa: PLR2004 - what fits a line
    return did_you_mean(word, words) or (f"{what}: {listed}" if words else f"there are no {what}")


def validated(model: Any, document: Document) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Return the document's keys of a class of the model, and their problems.

    If there are problems, the map is empty: a partly valid file is not used.
    """
    from pydantic import ValidationError

    if document.problems and not document.data:
        return {}, document.problems  # it could not be read: its missing keys are unknown
    kind = form_of(model)
    try:
        return dict(_adapter(kind).validate_python(document.data)), document.problems
    except ValidationError as error:
        details = _without_echoes(kind, error.errors(include_url=False))
        found = (_problem(kind, document, detail) for detail in details)
        return {}, document.problems + tuple(dict.fromkeys(found))


def made(model: Callable[..., T], keys: Mapping[str, Any], **derived: Any) -> T:
    """Build an object of the model from validated keys and from fields that differ from the file's form."""
    import msgspec

    known = [key for key in keys_of(model) if key.name in keys and key.field not in derived]
    return model(**{key.field: msgspec.convert(keys[key.name], key.kind) for key in known}, **derived)


class Key(NamedTuple):
    """A key in files for a field of the model."""

    name: str
    field: str
    kind: Any  # of the field
    written: Any  # the type of the file's value
    required: bool


@cache
def keys_of(model: Any) -> tuple[Key, ...]:
    """Return the keys in files for a class of the model."""
    found = []
    hints = get_type_hints(model, include_extras=True)
    for item in fields(model):
        kind = hints[item.name]
        notes = getattr(kind, "__metadata__", ())
        form = next((note for note in notes if isinstance(note, Written)), Written())
        required = item.default is item.default_factory is MISSING
        if form.kind is not None:
            written = kind if form.kind is ... else form.kind
            found.append(Key(form.key or item.name, item.name, kind, written, required))
    return tuple(found)


@cache
def form_of(model: Any) -> Any:
    """Return the keys of a class of the model as a TypedDict, which pydantic checks."""
    from typing import NotRequired, Required

    from pydantic import ConfigDict, with_config
    from typing_extensions import TypedDict

    keys = {key.name: (Required if key.required else NotRequired)[_checked(key.written)] for key in keys_of(model)}
    form: Any = TypedDict(model.__name__, keys)  # type: ignore[misc]
    form.__doc__ = model.__doc__
    config = ConfigDict(strict=True, extra="allow" if getattr(model, "OTHER_KEYS", False) else "forbid")
    return with_config(config)(form)


def _checked(kind: Any) -> Any:
    """Return a type adapted to YAML for pydantic: lists for tuples, maps for objects, and no null for None."""
    from pydantic import AfterValidator

    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        limits = [limit for item in args[1:] for limit in _limits(item)]
        limited = Annotated[(_checked(args[0]), *limits)] if limits else _checked(args[0])
        nullable = any(isinstance(item, Nullable) for item in args)
        return Annotated[limited | None, AfterValidator(lambda value: value or "")] if nullable else limited
    if origin in (Union, UnionType):
        return _checked(args[0])
    if origin is tuple:
        return list[_checked(args[0])]  # type: ignore[misc]
    if origin is Mapping:
        return dict[_checked(args[0]), _checked(args[1])]  # type: ignore[misc]
    return form_of(kind) if hasattr(kind, "__dataclass_fields__") else kind


def _limits(item: Any) -> list[Any]:
    """Convert a limit of `key_types` to pydantic's form."""
    from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

    if isinstance(item, Limits):
        return [Field(**item.limits)]
    if isinstance(item, Parsed):
        return [PlainValidator(item.parse), WithJsonSchema(dict(item.schema))]
    return [AfterValidator(item)] if isinstance(item, FunctionType) else []


def _without_echoes(kind: Any, details: list[Any]) -> list[Any]:
    """Report a misspelt key as one error, without the error about the missing right key."""
    meant = set()
    for detail in details:
        if detail["type"] == "extra_forbidden":
            *around, word = detail["loc"]
            near = difflib.get_close_matches(str(word), _keys(kind, tuple(around)), n=1)
            meant.add((*around, *near))
    return [detail for detail in details if detail["type"] != "missing" or detail["loc"] not in meant]


@cache
def _adapter(kind: Any) -> Any:
    """Build the validator once: that costs more than validating a hundred files."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _problem(kind: Any, document: Document, detail: Mapping[str, Any]) -> Problem:
    path: KeyPath = tuple(step for step in detail["loc"] if step != "[key]")
    message, hint = _words(kind, path, detail)
    return document.problem(path, message, hint)


def _words(kind: Any, path: KeyPath, detail: Mapping[str, Any]) -> tuple[str, str]:
    """Return a sentence and a hint for one error."""
    name, around = _shown(path), _shown(path[:-1])
    match detail["type"]:
        case "extra_forbidden":
            word, known = str(path[-1]), _keys(kind, path[:-1])
            instead = _helmfile_keys().get(word, "") if {"chart", "releases"} & {*known} else ""
            return f"unknown key {word!r}", instead or did_you_mean(word, known)
        case "missing":
            return f"key {path[-1]!r} is missing" + (f" in {around}" if around else ""), ""
        case "string_type":
            return f"{name} must be text", _quote(detail["input"])
    return f"{name} {_wrong(detail)}", _instead(path, detail["input"])


def _instead(path: KeyPath, found: Any) -> str:
    """Return what to write instead of helmfile's value of a key with the same name."""
    if path[-1:] == ("values",) and isinstance(found, list):
        return "write one map; values from a file belong in an overlay: environments/ENV/LAYER/RELEASE.yaml"
    if path[-2:-1] == ("secrets",) and "." in str(found):
        return "put encrypted values next to the overlay: environments/ENV/LAYER/RELEASE.secrets.yaml"
    return ""


def _helmfile_keys() -> Mapping[str, str]:
    from devtools.base.machine_yaml import read_map
    from devtools.base.open_file import read_file

    return read_map(read_file(Path(__file__).with_name("helmfile_keys.yaml")))


def _quote(value: Any) -> str:
    """Return a hint for a scalar that is not text: YAML reads `name: on` as true."""
    if isinstance(value, bool):
        return f"YAML reads it as {str(value).lower()}: quote it"
    return "quote it" if isinstance(value, int | float) else ""


def _wrong(detail: Mapping[str, Any]) -> str:
    """Return the problem of a value, to follow its name."""
    kind, message = str(detail["type"]), str(detail["msg"])
    if kind == "string_pattern_mismatch":
        return f"{MESSAGES[detail['ctx']['pattern']]}, not {_clip(detail['input'])}"
    if kind in _LIMITS:
        word, key = _LIMITS[kind]
        return f"must be {word} {detail['ctx'][key]}"
    if kind == "literal_error":
        expected = detail["ctx"]["expected"].replace("'", "")
        return f"must be {expected}, not {_clip(detail['input'])}"
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
    """Return a readable path: the last key, and the item of a list."""
    words = [str(step) for step in path if isinstance(step, str)]
    if not path or isinstance(path[-1], str):
        return f"'{words[-1]}'" if words else ""
    return f"item {path[-1] + 1} of '{words[-1]}'"


def _keys(kind: Any, path: KeyPath) -> tuple[str, ...]:
    """Return the keys that a map at this path may have."""
    for step in path:
        kind = _stripped(kind)
        if get_origin(kind) is list and isinstance(step, int):
            kind = get_args(kind)[0]
        else:
            kind = get_type_hints(kind).get(str(step)) if hasattr(kind, "__required_keys__") else None
    kind = _stripped(kind)
    return tuple(get_type_hints(kind)) if hasattr(kind, "__required_keys__") else ()


def _stripped(kind: Any) -> Any:
    """Strip Required and Annotated."""
    while kind is not None and hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    return kind


def is_inside(value: str) -> bool:
    """Return whether a path relative to a repository's root stays in it and is valid for a file."""
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\0" in value:
        return False
    sizes = [len(part.encode(errors="surrogatepass")) for part in path.parts]
    return max(sizes, default=0) <= _LONGEST_NAME and sum(sizes) + len(sizes) <= _LONGEST_PATH
