"""Replaces `${path.to.value}` by a value of the environment, and `{file: path}` by a file's text, in parsed YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from devtools.base.words import did_you_mean
from devtools.base.yaml_positions import Document, KeyPath
from devtools.config.merging import At, paths_of
from devtools.config.references.texts import Unreadable, text_of
from devtools.errors import Location, Problem
from devtools.model import Environment

_WHOLE = re.compile(r"\$\{([^{}]*)\}")
_PART = re.compile(r"\$\$\{|\$\{([^{}]*)(\}?)")
_FILE, _LITERAL_FILE = "file", "$file"
_DEEPEST = 60  # levels
_LARGEST = 4 * 2**20  # maximum size of one document: each level of references could double it
_TOO_DEEP = f"its references nest it deeper than {_DEEPEST} levels"
_TOO_LARGE = f"its references make it larger than {_LARGEST // 2**20} MiB"
_NODE = 40  # the size of a list, map or number, in characters


class _Unresolved(Exception):
    """A reference cannot be replaced: `args` are message and hint; no message if the cause is already reported."""


class References:
    """The values that references of one environment resolve to; `texts` are the files read, by path."""

    def __init__(self, environment: Environment, root: Path, *, broken: bool = False) -> None:
        """`environment` has resolved values (see `resolve_environment`); if `broken`, missing keys are not reported."""
        self.broken = broken
        self.texts: dict[str, str] = dict(environment.texts)
        self._environment = environment
        self._root = root
        self._sizes: dict[str, int] = {}
        self._unknown: dict[str, tuple[str, str]] = {}

    def resolve(self, document: Document) -> Document:
        """Return the document with its references replaced, and with a problem for each that cannot be."""
        walk = _Walk(self, document.at)
        data = walk.value(document.data, ())
        if not (walk.sources or walk.changed or walk.problems):
            return document
        sources = {path: tuple(dict.fromkeys(found)) for path, found in walk.sources.items()}
        return replace(document, data=data, sources=sources, problems=(*document.problems, *walk.problems))

    def look_up(self, name: str, level: int) -> tuple[Any, KeyPath]:  # noqa: ARG002 - for values that refer to others
        """Return the value at a dotted path and the path, for a reference at a level; raises _Unresolved."""
        path = tuple(name.split("."))
        value: Any = self._environment.values
        for key in path:
            if not isinstance(value, Mapping) or key not in value:
                raise _Unresolved(*self._no_value(name))
            value = value[key]
        return value, path

    def size(self, name: str, value: Any) -> int:
        """Return the size of a value; raises _Unresolved if it is nested too deeply."""
        if name not in self._sizes:
            self._sizes[name] = _size(value, _DEEPEST)
        return self._sizes[name]

    def places(self, path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Location]]:
        """Yield the places of a value and everything in it, by path below it."""
        where = self._environment.where
        below = paths_of(value) if isinstance(value, Mapping) else ()
        for rest in ((), *(keys for keys, _ in below)):
            if found := where.get((*path, *rest)):
                yield rest, found

    def text(self, name: str) -> str:
        """Return a file's text, read once; raises _Unresolved."""
        if name not in self.texts:
            try:
                self.texts[name] = text_of(self._root, name)
            except Unreadable as error:
                hint = f"where 'file' is a key of a chart, write {_LITERAL_FILE}"
                raise _Unresolved(f"file {name!r} {error}", hint) from error
        return self.texts[name]

    def _no_value(self, name: str) -> tuple[str, str]:
        """Return message and hint for a missing path, computed once: comparing names takes time."""
        if self.broken:
            return "", ""
        if name not in self._unknown:
            known = (".".join(keys) for keys, _ in paths_of(self._environment.values))
            add = f"Add it to environment.yaml of {self._environment.name}, or write $${{{name}}} for the text itself"
            hint = f"{did_you_mean(name, known)} {add}".lstrip()
            self._unknown[name] = (f"environment '{self._environment.name}' has no value '{name}'", hint)
        return self._unknown[name]


class _OwnValues(References):
    """The values of an environment while references in them are being replaced."""

    def __init__(self, environment: Environment, root: Path) -> None:
        super().__init__(environment, root)
        self.problems: dict[Problem, None] = {}
        self._done: dict[str, Any] = {}
        self._open: dict[str, int] = {}  # values being resolved, with the nesting level of the reference to each

    def at(self, path: KeyPath) -> Location:
        """Return the place of a value, or of the nearest enclosing one."""
        where = self._environment.where
        while path and path not in where:
            path = path[:-1]
        return where.get(path, Location(file=Path()))

    def look_up(self, name: str, level: int) -> tuple[Any, KeyPath]:
        """Return the value after its own references are replaced; refuses one that refers to itself."""
        raw, path = super().look_up(name, level)
        if name in self._open:
            names = [*self._open]
            ring = " -> ".join([*names[names.index(name) :], name])
            raise _Unresolved(f"'{name}' refers to itself: {ring}", "give one of them a value of its own")
        if name not in self._done:
            if sum(self._open.values()) + level > _DEEPEST:
                raise _Unresolved(_TOO_DEEP, "")
            self._open[name] = level
            self._done[name] = self.replaced(raw, path)
            del self._open[name]
        return self._done[name], path

    def replaced(self, raw: Any, path: KeyPath) -> Any:
        """Return a value without references; collect their problems."""
        walk = _Walk(self, self.at)
        value = walk.value(raw, path)
        self.problems.update(dict.fromkeys(walk.problems))
        self.broken = self.broken or bool(walk.problems)
        return value


class _Walk:
    """Replaces the references of one document."""

    def __init__(self, references: References, at: At) -> None:
        self.problems: list[Problem] = []
        self.sources: dict[KeyPath, list[Location]] = {}
        self.changed = False
        self._references = references
        self._at = at
        self._room = _LARGEST

    def value(self, value: Any, path: KeyPath) -> Any:
        """Return a value with its references replaced."""
        if isinstance(value, str):
            return self._text(value, path) if "${" in value else value
        if isinstance(value, list):
            return [self.value(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if path and len(value) == 1:
            key, only = next(iter(value.items()))
            if key == _FILE and isinstance(only, str):
                return self._file(only, path)
            if key == _LITERAL_FILE:
                self.changed = True
                return {_FILE: self.value(only, (*path, key))}
        return {key: self.value(item, (*path, key)) for key, item in value.items()}

    def _text(self, text: str, path: KeyPath) -> Any:
        self.changed = True
        if whole := _WHOLE.fullmatch(text):
            return self._referred(whole[1], path)
        return _PART.sub(lambda match: self._part(match, path), text)

    def _part(self, match: re.Match[str], path: KeyPath) -> str:
        """Return the replacement for a part of a text."""
        if match[0] == "$${":
            return "${"
        if not match[2]:
            self._report(path, "'${' is not closed by '}'", "for the text itself write $${")
            return ""
        before = len(self.problems)
        value = self._referred(match[1], path)
        if isinstance(value, str):
            return value
        if value is not None and not isinstance(value, list | dict):
            return json.dumps(value)
        kind = "null" if value is None else "a list" if isinstance(value, list) else "a map"
        if len(self.problems) == before and not (value is None and self._references.broken):
            self._report(path, f"'{match[1]}' is {kind}, which cannot be part of a text")
        return ""

    def _referred(self, name: str, path: KeyPath) -> Any:
        """Return the value that a reference resolves to; None if there is none."""
        try:
            value, target = self._references.look_up(name, len(path))
            self._take(self._references.size(name, value), path, value)
        except _Unresolved as error:
            self._report(path, *error.args)
            return None
        for rest, where in self._references.places(target, value):
            self._add_source((*path, *rest), where)
        return value

    def _take(self, size: int, path: KeyPath, value: Any) -> None:
        """Refuse a value that would exceed the document's maximum size."""
        self._room -= size
        if self._room < 0:
            raise _Unresolved(_TOO_LARGE, "")
        if isinstance(value, list | dict):
            _size(value, _DEEPEST - len(path))

    def _file(self, name: str, path: KeyPath) -> str:
        """Return a file's text, without replacing anything in it."""
        self.changed = True
        try:
            text = self._references.text(name)
            self._take(len(text), path, text)
        except _Unresolved as error:
            self._report((*path, _FILE), *error.args)
            return ""
        self._add_source(path, Location(file=Path(name)))
        return text

    def _add_source(self, path: KeyPath, where: Location) -> None:
        """Record the place of a value, also for the lists around it: a merge treats each list as one value."""
        self.sources.setdefault(path, []).append(where)
        for index, key in enumerate(path):
            if isinstance(key, int):
                self.sources.setdefault(path[:index], []).append(where)

    def _report(self, path: KeyPath, message: str, hint: str = "") -> None:
        if message:
            self.problems.append(Problem(where=self._at(path), message=message, hint=hint))


def resolve_environment(environment: Environment, root: Path) -> tuple[Environment, tuple[Problem, ...]]:
    """Return the environment with the references among its own values replaced, and their problems."""
    own = _OwnValues(environment, root)
    values = {key: own.replaced(raw, (key,)) for key, raw in environment.values.items()}
    return replace(environment, values=values, texts=own.texts), tuple(own.problems)


def _size(value: Any, deepest: int) -> int:
    """Return the size of a value, in characters; raises _Unresolved beyond the limits."""
    if isinstance(value, str):
        return len(value) + 1
    items: Any = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, list | dict) and deepest <= 0:
        raise _Unresolved(_TOO_DEEP, "")
    total = _NODE + (sum(map(len, value)) if isinstance(value, dict) else 0)
    for item in items:
        total += _size(item, deepest - 1)
        if total > _LARGEST:
            raise _Unresolved(_TOO_LARGE, "")
    return total
