"""Walks values and manifests: finds the secrets in them, and makes copies that may be shown; pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from devtools.redaction.keys import (
    HIDDEN,
    Secrecy,
    holds_secret,
    inherited,
    is_public_data,
    is_reference,
    secrecy_of,
)
from devtools.redaction.origin import Marked
from devtools.redaction.text import secrets_in

Act = Callable[[Any, bool], Any]  # a scalar and whether it is secret → its replacement
_FLAG = re.compile(r"--?([A-Za-z][\w-]*)")
_USER = re.compile(r"[\w.@+$-]+")
_SCALARS = (str, int, float)


def secret_values(value: Any) -> tuple[str, ...]:
    """Return every secret in values or manifests: by key, by the name next to a value, and within texts."""
    found: dict[str, None] = {}

    def collect(scalar: Any, secret: bool) -> Any:  # noqa: FBT001 - as `_walk` calls it
        if secret:
            found[str(scalar)] = None
        if isinstance(scalar, str):
            inside = [text for text in secrets_in(scalar) if text != scalar]
            found.update(dict.fromkeys(inside))
            for text in (scalar, *inside) if secret else inside:
                found.update(dict.fromkeys(_credentials(text)))
        return scalar

    _walk(value, Secrecy.PUBLIC, "", collect)
    return tuple(found)


def hidden(value: Any, clean: Callable[[str], str]) -> Any:
    """Return a copy with `HIDDEN` in place of secrets; `clean` hides secrets within the other texts."""

    def hide(scalar: Any, secret: bool) -> Any:  # noqa: FBT001 - as `_walk` calls it
        if secret:
            return HIDDEN
        return clean(scalar) if isinstance(scalar, str) else scalar

    return _walk(value, Secrecy.PUBLIC, "", hide)


def hidden_at(path: Sequence[Any], value: Any, hide: Callable[[Any], Any]) -> Any:
    """Hide a value as at its path in values, because its keys determine whether it is secret."""
    found = value
    for key in reversed(path):
        found = {key: found}
    found = hide(found)
    for key in path:
        if not isinstance(found, Mapping):
            break
        found = found[key]
    return found


def _walk(value: Any, secrecy: Secrecy, key: str, act: Act, inside: Secrecy = Secrecy.PUBLIC) -> Any:
    """Walk a value: `secrecy` is that of a scalar, `inside` that of a map's or list's content; `key` is the nearest."""
    if isinstance(value, Mapping):
        return _walk_map(value, key, inside, act)
    if isinstance(value, list | tuple):
        return _walk_list(value, secrecy, key, inside, act)
    if not isinstance(value, _SCALARS):
        return value
    return act(value, isinstance(value, Marked) or holds_secret(value, secrecy))


def _walk_map(value: Mapping[Any, Any], parent: str, inside: Secrecy, act: Act) -> dict[Any, Any]:
    named = _name(value)
    is_object = value.get("kind") == "Secret"
    made: dict[Any, Any] = {}
    for raw, item in value.items():
        key = str(raw)
        if is_object and key in {"data", "stringData"} and isinstance(item, Mapping):
            made[raw] = {name: _data(str(name), one, key, act) for name, one in item.items()}
        elif key in {"value", "Value"} and named:
            made[raw] = _walk(item, max(secrecy_of(named), inside), named, act, max(inherited(named), inside))
        elif key == "key" and is_reference(parent, value):
            made[raw] = _walk(item, Secrecy.PUBLIC, key, act, inside)
        else:
            made[raw] = _walk(item, secrecy_of(key, inside), key, act, inherited(key, inside))
    return made


def _walk_list(value: list[Any] | tuple[Any, ...], secrecy: Secrecy, key: str, inside: Secrecy, act: Act) -> list[Any]:
    """Walk a list's items; the one after `--password` is its value."""
    made = []
    flag = Secrecy.PUBLIC
    for item in value:
        made.append(_walk(item, max(secrecy, flag), key, act, inside))
        match = _FLAG.fullmatch(item) if isinstance(item, str) else None
        flag = secrecy_of(match[1]) if match else Secrecy.PUBLIC
    return made


def _name(value: Mapping[Any, Any]) -> str:
    """Return the name of the `value` in a map: `{name: DB_PASSWORD, value: …}`."""
    if "value" not in value and "Value" not in value:
        return ""
    return next((value[key] for key in ("name", "Name", "key", "Key") if isinstance(value.get(key), str)), "")


def _data(name: str, value: Any, section: str, act: Act) -> Any:
    """Walk one entry of a Secret, as written and decoded."""
    if not isinstance(value, str):
        return act(value, True) if isinstance(value, _SCALARS) else value
    secret = not is_public_data(name)
    if secret and section == "data" and (text := decoded(value)) is not None:
        act(text, True)
    return act(value, secret)


def _credentials(value: str) -> Iterator[str]:
    """Yield the password in the base64 of `user:password`, as in registry credentials and `Authorization` headers."""
    user, divider, password = (decoded(value.removeprefix("Basic ")) or "").partition(":")
    if divider and _USER.fullmatch(user) and password.isprintable() and password[:1] not in {"", "/", " "}:
        yield password


def decoded(value: str) -> str | None:
    """Decode base64 text; None if it is not base64."""
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
