"""Replaces values of an environment's files by those of `--set key=value`; pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from devtools.base.words import did_you_mean
from devtools.base.yaml_positions import parse_stream
from devtools.config.merging import paths_of
from devtools.errors import Location, Problem
from devtools.model import Environment, SetValue
from devtools.redaction.keys import Secrecy, secrecy_of
from devtools.redaction.values import secret_values

_KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


class _Refused(Exception):
    """A value cannot be set: `args` are the message and the hint."""


def with_sets(
    environment: Environment, resolved: Environment, typed: Iterable[str]
) -> tuple[Environment, list[Problem]]:
    """Return the environment with typed values, and their problems; the last value of a key counts.

    `environment` has its values as written, `resolved` has them with references replaced; typed values must have the
    types of the latter.
    """
    sets: dict[str, SetValue] = {}
    values, where, problems = environment.values, dict(environment.where), []
    for text in typed:
        key, equals, raw = text.partition("=")
        place = Location(file=Path(f"--set {key}".strip() if equals else "--set"), line=0, column=0)
        try:
            if not (key and equals):
                raise _Refused("must be key=value", "such as --set image.tag=1.4.2")
            path = _path(environment, resolved, key)
            declared = environment.where[path]
            value = _value(key, path, raw, _at(resolved.values, path), declared)
        except _Refused as error:
            message, hint = error.args
            problems.append(Problem(where=place, message=message, hint=hint))
            continue
        sets[key] = SetValue(key=key, value=value, declared=_at(environment.values, path), where=declared)
        values, where[path] = _replaced(values, path, value), place
    return replace(environment, values=values, where=where, sets=tuple(sets.values())), problems


def _path(environment: Environment, resolved: Environment, key: str) -> tuple[str, ...]:
    """Return the keys of a dotted path; raises _Refused if the files have none."""
    known = [keys for keys, _ in paths_of(environment.values)]
    found = [keys for keys in known if ".".join(keys) == key]
    if len(found) == 1:
        return found[0]
    if found:
        places = " and ".join(str(environment.where[keys]) for keys in found)
        raise _Refused("stands for several values", f"rename a key with dots in it: {places}")
    if any(".".join(keys) == key for keys, _ in paths_of(resolved.values)):
        raise _Refused("is part of a value that a reference stands for", "set the value that is referred to")
    near = did_you_mean(key, [".".join(keys) for keys in known])
    raise _Refused(f"environment '{environment.name}' has no such value", near or "--set changes existing values only")


def _value(key: str, path: tuple[str, ...], raw: str, declared: Any, where: Location) -> Any:
    """Return the typed value; raises _Refused if it is secret or its type differs from the declared one."""
    if isinstance(declared, Mapping | list):
        kind = "a map" if isinstance(declared, Mapping) else "a list"
        raise _Refused(f"is {kind}: --set changes single values only", f"edit {where}")
    document = next(iter(parse_stream(raw.encode(errors="surrogateescape"), Path("--set"))), None)
    value = document.data if document else None
    is_secret_text = isinstance(declared, str) and secrecy_of(path[-1]) >= Secrecy.TEXT
    if is_secret_text or any(secret_values(_replaced({}, path, one)) for one in (raw, value, declared)):
        hint = "write it encrypted into environments/ENV/LAYER/RELEASE.secrets.yaml"
        raise _Refused("looks secret, and other users can read command lines", hint)
    quote = f"quote it: --set {shlex.quote(f'{key}={_quoted(raw)}')}"
    if (document and document.problems) or isinstance(value, Mapping | list):
        raise _Refused("is not a single YAML value", quote)
    is_same = type(value) is type(declared) or (isinstance(declared, float) and type(value) is int)
    if declared is None or is_same:
        return value
    message = f"must be {_KINDS[type(declared)]}, as at {where}, not {raw or 'null'}"
    raise _Refused(message, quote if isinstance(declared, str) else "")


def _quoted(raw: str) -> str:
    """Return a text as a YAML string."""
    return "'" + raw.replace("'", "''") + "'" if '"' in raw or "\\" in raw else f'"{raw}"'


def _at(values: Any, path: tuple[str, ...]) -> Any:
    return reduce(lambda inner, key: inner[key], path, values)


def _replaced(values: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return the values with the one at a path replaced."""
    key, *rest = path
    return {**values, key: _replaced(values.get(key, {}), tuple(rest), value) if rest else value}
