"""Parses arguments as Tilt does: each function's parameters and their types, with Tilt's own messages.

The types are those of Tilt's sources (internal/tiltfile and internal/tiltfile/value of 0.37).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any

from devtools.tilt.harness import values
from devtools.tilt.harness.values import Refused, Step, go_type, kind_of, refused_as, shown, text_of


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a function."""

    name: str
    kind: str = "any"
    required: bool = False


def parameters(text: str) -> tuple[Parameter, ...]:
    """Return the parameters of a signature: `name:type` if required, `name?:type` if not."""
    made = []
    for word in text.split():
        name, _, kind = word.partition(":")
        made.append(Parameter(name.removesuffix("?"), kind or "any", not name.endswith("?")))
    return tuple(made)


@cache
def signatures() -> Mapping[str, tuple[Parameter, ...]]:
    """Return the parameters of every function of Tilt."""
    rows = tomllib.loads(Path(__file__).with_name("signatures.toml").read_text(encoding="utf-8"))
    found = {name: parameters(text) for name, text in rows.items()}
    for name in [name for name in found if name.startswith("part.")]:  # its function takes the attributes unchecked
        unchecked = tuple(Parameter(attribute.name) for attribute in found[name])
        found.setdefault(f"v1alpha1.{name.removeprefix('part.')}", unchecked)
    return found


def unpack(
    function: str, signature: tuple[Parameter, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any], directory: Path
) -> dict[str, Any]:
    """Return the arguments by name, converted; parameters without an argument are absent."""
    if len(args) > len(signature):
        raise Refused(f"{function}: got {len(args)} arguments, want at most {len(signature)}")
    found: dict[str, Any] = {}
    for parameter, value in zip(signature, args, strict=False):
        _put(found, parameter, value, directory, f"{function}: for parameter {parameter.name}: ")
    named = {parameter.name: parameter for parameter in signature}
    for name, value in kwargs.items():
        if name not in named:
            near = values.nearest(name, [item.name for item in signature[: (len(signature) + 1) // 2]])
            raise Refused(f'{function}: unexpected keyword argument "{name}"{near}')
        if name in found:
            raise Refused(f'{function}: got multiple values for keyword argument "{name}"')
        _put(found, named[name], value, directory, f'{function}: for parameter "{name}": ')
    for parameter in signature:
        if not parameter.required:
            break  # as in Starlark: every parameter after an optional one is optional
        if parameter.name not in found:
            raise Refused(f"{function}: missing argument for {parameter.name}")
    return found


def _put(found: dict[str, Any], parameter: Parameter, value: Any, directory: Path, where: str) -> None:
    if parameter.kind.endswith("!none") and value is None:
        return
    with refused_as(where):
        found[parameter.name] = _converted(parameter.kind.removesuffix("!none"), value, directory)


def _converted(kind: str, value: Any, directory: Path) -> Any:
    """Convert a value to its type; `part=x` is a part of an object of Tilt's API, `parts=x` a list of those."""
    kind, _, name = kind.partition("=")
    if not name:
        return CONVERTERS[kind](value, directory)
    if kind == "part":
        if not isinstance(value, dict):
            raise Refused(f"expected dict, actual: {kind_of(value)}")
        return part(name, value, directory)
    if not isinstance(value, list):
        raise Refused(f"expected list, actual: {kind_of(value)}")
    made = []
    for index, item in enumerate(value):
        with refused_as(f"at index {index}: "):
            made.append(_converted(f"part={name}", item, directory))
    return made


def part(name: str, params: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Check a part of an object of Tilt's API, which is also a dict in Tilt."""
    kinds = {parameter.name: parameter.kind for parameter in signatures()[f"part.{name}"]}
    for key, value in params.items():
        if key not in kinds:
            raise Refused(f"Unexpected attribute name: {key}")
        with refused_as("" if kinds[key] in _PLAIN else f"unpacking {key}: "):
            _converted(kinds[key], value, directory)
    return dict(params)


# --- the types


def _instance(
    kind: type | UnionType, wrong: str, then: Callable[[Any], Any] = lambda value: value
) -> Callable[[Any, Path], Any]:
    """Return a converter of these types; `wrong` is Tilt's message, with {kind}, {go} (its type there) or {text}."""

    def convert(value: Any, _: Path) -> Any:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise Refused(wrong.format(kind=kind_of(value), go=go_type(value), text=values.printed(value)))
        return then(value)

    return convert


_int = _instance(int, "got {kind}, want int")


def _stringable(value: Any, _: Path) -> str:
    text = text_of(value)
    if text is None:
        raise Refused(f"Value should be convertible to string, but is type {kind_of(value)}")
    return text


def _name(value: Any, directory: Path) -> str:
    return check_path_segment(_stringable(value, directory))


def check_path_segment(text: str) -> str:
    """Refuse a name that no resource can have: it is a segment of a path."""
    if text in {".", ".."}:
        raise Refused(f"invalid value \"{text}\": may not be '{text}'")
    for letter in ("/", "%"):
        if letter in text:
            raise Refused(f"invalid value \"{text}\": may not contain '{letter}'")
    return text


def _strings(what: str, element: str) -> Callable[[Any, Path], tuple[str, ...]]:
    """Convert a list of strings; with `string or`, a single one, too."""

    def convert(value: Any, _: Path) -> tuple[str, ...]:
        if what.startswith("string or") and (text := text_of(value)) is not None:
            return (text,)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            raise Refused(f"value should be a {what} of strings, but is of type {kind_of(value)}")
        for item in value:
            if text_of(item) is None:
                text = f"element {json.dumps(shown(item))} was of type {kind_of(item)}"
                raise Refused(f"{element} should contain only strings, but {text}")
        return tuple(text_of(item) or "" for item in value)

    return convert


def _json_paths(value: Any, _: Path) -> tuple[str, ...]:
    return all_strings(values.items_of(value), lambda item: f"Expected string, got: {shown(item)}")


def _image_object(value: Any, _: Path) -> tuple[str, ...]:
    keys = ("json_path", "repo_field", "tag_field")
    form = "Expected dict of the form {'json_path': str, 'repo_field': str, 'tag_field': str}"
    if not isinstance(value, dict):
        raise Refused(f"{form}. Actual: {values.printed(value)}")
    for key, item in value.items():
        if key not in keys:
            raise Refused(f"{form}: Unexpected key: {values.printed(key)}")
        if not isinstance(item, str):
            raise Refused(f'{form}: Expected string at key "{key}". Got: {kind_of(item)}')
    if len(value) != len(keys):
        raise Refused(f"{form}: Missing keys. Actual keys: {values.printed(list(value))}")
    return tuple(value[key] for key in keys)


def _map(value: Any, _: Path) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(f"expected dict, got {go_type(value)}")
    made = {}
    for key, item in value.items():
        for what, text in (("key", key), ("value", item)):
            if text_of(text) is None:
                raise Refused(f"{what} is not a string: {go_type(text)} ({shown(text)})")
        made[text_of(key) or ""] = text_of(item) or ""
    return made


def _path(value: Any, directory: Path) -> str:
    if not isinstance(value, str):
        raise Refused(f"expected path | string. Actual type: {go_type(value)}")
    return values.absolute(directory, value)


def _paths(value: Any, directory: Path) -> tuple[str, ...]:
    if isinstance(value, str):
        return (_path(value, directory),)
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise Refused(f"value should be a string or List or Tuple of strings, but is of type {kind_of(value)}")
    made = []
    for index, item in enumerate(value):
        with refused_as(f"unpacking list item at index {index}: "):
            made.append(_path(item, directory))
    return tuple(made)


def _label(value: Any) -> str:
    text = _stringable(value, Path())
    if wrong := values.label_faults(text):
        raise Refused(f'Invalid label "{text}": {", ".join(wrong)}')
    return text


def _labels(value: Any, _: Path) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, str | list | tuple):
        raise Refused(f"value should be a label or List or Tuple of labels, but is of type {kind_of(value)}")
    return tuple(sorted({_label(item) for item in ([value] if isinstance(value, str) else value)}))


def _links(value: Any, _: Path) -> tuple[str, ...]:
    made = []
    for item in values.items_of(value):
        if isinstance(item, Step) and item.kind == "link":
            made.append(item.values["url"])
        elif isinstance(item, str):
            made.append(values.url_of(item))
        else:
            text = f"found {shown(item)} (type: {go_type(item)})"
            raise Refused(f"`Want a string, a link, or a sequence of these; {text}")
    return tuple(made)


def _mode(value: Any, _: Path) -> str:
    if not isinstance(value, Step) or value.kind not in {"auto", "manual"}:
        raise Refused(f"got {kind_of(value)}, want TriggerMode")
    return value.kind


def _step(kind: str) -> Callable[[Any, Path], Step | None]:
    def convert(value: Any, _: Path) -> Step | None:
        if value is not None and not (isinstance(value, Step) and value.kind == kind):
            raise Refused(f"got {go_type(value)}, want {kind_of(Step(kind=kind))}")
        return value

    return convert


def _choice(*allowed: str, wrong: str) -> Callable[[Any, Path], str]:
    def convert(value: Any, _: Path) -> str:
        text = text_of(value)
        if text is None:
            raise Refused(f"Must be a string. Got: {kind_of(value)}")
        if text not in allowed:
            raise Refused(wrong.format(text))
        return text

    return convert


def _int32(value: Any, directory: Path) -> int:
    _int(value, directory)
    if not -(2**31) <= value < 2**31:
        raise Refused(f"value out of range for int32: {value}")
    return int(value)


_PLAIN: Mapping[str, Callable[[Any, Path], Any]] = {  # in parts of objects of Tilt's API
    "text": _instance(str, "Expected string, actual: {kind}"),
    "number": _instance(int, "Expected int, got: got {kind}, want int"),
    "flag": _instance(bool, "Expected bool, got: {kind}"),
}
CONVERTERS: Mapping[str, Callable[[Any, Path], Any]] = {
    **_PLAIN,
    "any": lambda value, _: value,
    "string": _instance(str, "got {kind}, want string"),
    "bool": _instance(bool, "got {kind}, want bool"),
    "int": _int,
    "int32": _int32,
    "list": _instance(list, "got {kind}, want list"),
    "bool?": _instance(bool | None, "expected starlark.Bool or None, got {go}"),
    "string?": _instance(str | None, "expected starlark.String or None, got {go}"),
    "stringable": _stringable,
    "name": _name,
    "strings": _strings("List or Tuple", "value"),
    "string|strings": _strings("string or List or Tuple", "list"),
    # the function checks the elements, because its message has no parameter
    "sequence": _instance(list | tuple | dict, "got {kind}, want starlark.Sequence", tuple),
    "words": _instance(
        list | tuple | dict, "'{text}' is a {go}, not a sequence", lambda value: strings_of(tuple(value))
    ),
    "map": _map,
    "path": _path,
    "paths": _paths,
    "labels": _labels,
    "links": _links,
    "mode": _mode,
    "duration": _instance(str, "Expected string. Got: {kind}", values.seconds_of),
    "probe": _step("probe"),
    "exec": _step("exec_action"),
    "http": _step("http_get_action"),
    "tcp": _step("tcp_socket_action"),
    "json_paths": _json_paths,
    "image_object": _image_object,
    "readiness": _choice("", "ignore", "wait", "succeeded", wrong="Invalid value. Allowed: {{ignore, wait}}. Got: {}"),
    "discovery": _choice("", "default", "selectors-only", wrong='Invalid. Must be one of: "default", "selectors-only"'),
}


# --- helpers for the checks of functions after unpacking


def all_strings(items: Iterable[Any], wrong: Callable[[Any], str]) -> tuple[str, ...]:
    """Check that elements are strings; `wrong` is Tilt's message for one that is not."""
    found = tuple(items)
    for item in found:
        if not isinstance(item, str):
            raise Refused(wrong(item))
    return found


def strings_of(items: tuple[Any, ...], prefix: str = "") -> tuple[str, ...]:
    """Check the elements of a sequence, as Tilt does after unpacking."""
    return all_strings(items, lambda item: f"{prefix}'{shown(item)}' is a {go_type(item)}, not a string")


def plain_strings(value: Any, what: str) -> tuple[str, ...]:
    """Check a str or a list of str, as in `ignore` and `only`."""
    wrong = f"{what} must be a string or a sequence of strings; found a "
    found = all_strings(values.items_of(value), lambda item: wrong + go_type(item))
    for item in found:
        if "\n" in item:
            raise Refused(f"{what} cannot contain newlines; found {what}: {json.dumps(item)}")
    return found


def command_of(value: Any) -> tuple[str, ...] | str:
    """Check a command: a list is run directly, a str by a shell; None is no command."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list | tuple | dict):
        with refused_as("a command must be a string or a list of strings: "):
            return strings_of(tuple(value))
    raise Refused(f"a command must be a string or list of strings. found {go_type(value)}")


def directory_of(value: Any) -> str:
    """Check a command's directory; None is that of the executing file."""
    if value is not None and not isinstance(value, str):
        text = f"expected path | string. Actual type: {go_type(value)}"
        raise Refused(f"a command directory must be empty or a string: {text}")
    return value or "."
