"""Functions of Go templates that ApplicationSets use, sprig's among them, and how Go prints values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from devtools.errors import DevtoolsError

ABSENT = object()  # a missing key without missingkey=error
_EXPONENT_FROM = 1e6  # Go's %v writes larger floats with an exponent


class Unsupported(DevtoolsError):
    """A template that this evaluator cannot render."""


class TemplateFailure(DevtoolsError):
    """A template that Argo CD cannot render either."""


def is_true(value: Any) -> bool:
    """Return whether Go counts a value as true: not zero, empty, nil or absent."""
    return value is not ABSENT and bool(value)


def show(value: Any) -> str:
    """Return a value as Go prints it; numbers of parameters are floats."""
    if value is ABSENT or value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(float(value))
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{show(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + " ".join(map(show, value)) + "]"
    return str(value)


def _number(number: float) -> str:
    """Return a float by `%v`: the shortest digits, with an exponent from 1e+06 on."""
    if abs(number) < _EXPONENT_FROM:
        return str(int(number)) if number.is_integer() else repr(number)
    from decimal import Decimal

    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    first, *rest = map(str, digits)
    power = int(exponent) + len(digits) - 1
    return f"{'-' if sign else ''}{first}{'.' + ''.join(rest) if rest else ''}e{power:+03d}"


def call(name: str, arguments: list[Any]) -> Any:
    """Return the value of a function; raise Unsupported for an unknown one, TemplateFailure if it fails."""
    function = _FUNCTIONS.get(name)
    if function is None:
        raise Unsupported(f"the function {name} is not evaluated")
    try:
        return function(*(None if item is ABSENT else item for item in arguments))
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise TemplateFailure(f"the function {name} fails: {error}") from error


def _dig(*words: Any) -> Any:
    *keys, otherwise, value = words
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return otherwise
        value = value[key]
    return value


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else value[int(key)]
    return value


def _indent(width: int, text: str) -> str:
    return "\n".join(" " * int(width) + line for line in text.split("\n"))


def _json(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def normalize(text: str) -> str:
    """Return a text as the name of an object: lower case, no other characters than those of DNS."""
    return re.sub(r"[^-a-z0-9.]", "-", text.lower())[:253].strip("-.")


def _printf(form: str, *values: Any) -> str:
    """Return a format of `%s`, `%v`, `%d` and `%q`; other verbs are not evaluated."""
    left = list(values)

    def fill(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if match[1] not in {"s", "v", "d", "q"} or not left:
            raise Unsupported(f"printf {form!r} is not evaluated")
        value = left.pop(0)
        return json.dumps(show(value), ensure_ascii=False) if match[1] == "q" else show(value)

    return re.sub(r"%(.)", fill, form)


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=True, default_flow_style=False, width=10**6).rstrip("\n")


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "toJson": _json,
    "toYaml": _yaml,
    "printf": _printf,
    "quote": lambda *values: " ".join(
        json.dumps(show(item), ensure_ascii=False) for item in values if item is not None
    ),
    "squote": lambda *values: " ".join(f"'{show(item)}'" for item in values if item is not None),
    "default": lambda otherwise, value=None: value if is_true(value) else otherwise,
    "dig": _dig,
    "get": lambda value, key: value.get(key, ""),
    "hasKey": lambda value, key: key in value,
    "index": _index,
    "list": lambda *items: list(items),
    "dict": lambda *items: dict(zip(items[::2], items[1::2], strict=True)),
    "join": lambda glue, items: glue.join(map(show, items)),
    "replace": lambda old, new, text: text.replace(old, new),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "trim": lambda text: text.strip(),
    "trunc": lambda count, text: text[: int(count)] if count >= 0 else text[int(count) :],
    "trimSuffix": lambda suffix, text: text.removesuffix(suffix),
    "trimPrefix": lambda prefix, text: text.removeprefix(prefix),
    "indent": _indent,
    "nindent": lambda width, text: "\n" + _indent(width, text),
    "normalize": normalize,
    "toString": show,
    "not": lambda value: not is_true(value),
    "and": lambda *values: next((item for item in values if not is_true(item)), values[-1]),
    "or": lambda *values: next((item for item in values if is_true(item)), values[-1]),
    "eq": lambda first, *others: any(show(first) == show(item) for item in others),
    "ne": lambda first, other: show(first) != show(other),
    "empty": lambda value: not is_true(value),
    "len": len,
    "concat": lambda *lists: [item for part in lists for item in part],
    "append": lambda items, item: [*items, item],
    "ternary": lambda yes, no, condition: yes if condition else no,
    "contains": lambda part, text: part in text,
    "hasPrefix": lambda part, text: text.startswith(part),
    "hasSuffix": lambda part, text: text.endswith(part),
}
