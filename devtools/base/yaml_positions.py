"""Reads hand-written YAML: the data, and the line and column of every key and item.

libyaml composes the nodes (about thirty times faster than a pure Python round-trip loader); this module converts them
into data, because a constructor would lose their places. Every fault is a `Problem`, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from devtools.base.bounded_yaml import PLAIN, STANDARD, BoundedLoader, TooDeep
from devtools.base.open_file import open_source
from devtools.base.yaml_scalars import BadScalar, plain, tagged
from devtools.errors import Location, Problem

Key = str | int
KeyPath = tuple[Key, ...]
Mark = tuple[int, int]  # line and column, 1-based

LARGEST = 8 * 2**20  # bytes of a file
_DEEPEST = 60  # levels
_DEEPEST_MANIFEST = 200  # levels: schemas of CRDs have more than hand-written files
_DOCUMENTS = 10_000  # of one file
_MOST = 200_000  # nodes after aliases are expanded: the billion laughs stop here
_MERGES = frozenset({PLAIN, "tag:yaml.org,2002:merge"})  # `<<`, `!!merge <<`


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One file: its data, the place of each path of keys, and its problems."""

    file: Path
    data: Any = field(default_factory=dict)
    marks: Mapping[KeyPath, Mark] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    sources: Mapping[KeyPath, tuple[Location, ...]] = field(default_factory=dict)  # of values that replaced references

    def at(self, path: KeyPath = ()) -> Location:
        """Return the place of a key or item, or of the nearest enclosing one that the file has."""
        sources = self.sources.get(path, ())
        while path and path not in self.marks:
            path = path[:-1]
        line, column = self.marks.get(path, (1, 1))
        return Location(file=self.file, line=line, column=column, sources=sources)

    def problem(self, path: KeyPath, message: str, hint: str = "") -> Problem:
        """Add a problem at a path."""
        return Problem(where=self.at(path), message=message, hint=hint)


def read(path: Path, shown: Path | None = None) -> Document:
    """Parse a file; problems name it as `shown`. An unreadable file is a problem, too."""
    shown = shown or path
    try:
        with open_source(path) as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        return _broken(shown, f"cannot be read: {error.strerror or error}")
    return parse(raw, shown)


def parse(raw: bytes, file: Path) -> Document:
    """Parse one document; its top level is a map, and an empty file an empty map.

    Duplicate keys, keys that are not text, several documents, unknown tags, runaway aliases, text that is not UTF-8
    and broken syntax are problems of the result; its data then has the readable part.
    """
    text = _text(raw, file)
    return text if isinstance(text, Document) else _compose(text, file)


def _text(raw: bytes, file: Path) -> str | Document:
    """Return the text of a file, or a document with its problem."""
    if len(raw) > LARGEST:
        return _broken(file, f"is larger than {LARGEST // 2**20} MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        return _broken(file, "is not UTF-8 text", (before.count(b"\n") + 1, column))


def parse_stream(raw: bytes, file: Path) -> tuple[Document, ...]:
    """Parse every document of a manifest file, whatever its top level is; empty documents are skipped.

    If the file is not YAML, the one result holds the problem and no data.
    """
    text = _text(raw, file)
    if isinstance(text, Document):
        return (text,)
    nodes = _nodes(text, file, most=_DOCUMENTS)
    if isinstance(nodes, Document):
        return (nodes,)
    documents = []
    for node in nodes:
        builder = _Builder(file, _DEEPEST_MANIFEST)
        data = builder.value(node, ())
        if data is not None or builder.problems:
            documents.append(Document(file=file, data=data, marks=builder.marks, problems=tuple(builder.problems)))
    return tuple(documents)


def _nodes(text: str, file: Path, most: int) -> list[Any] | Document:
    """Return the nodes of the first documents, from libyaml, or a document with the problem."""
    nodes: list[Any] = []
    try:
        loader = BoundedLoader(text)
        try:
            while len(nodes) < most and loader.check_node():
                nodes.append(loader.get_node())
        finally:
            loader.dispose()
    except TooDeep:
        return _broken(file, f"is nested deeper than {_DEEPEST} levels")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return _broken(file, f"is not YAML: {_words(error)}", _place(mark) if mark else (1, 1))
    except (yaml.YAMLError, ValueError) as error:
        return _broken(file, f"is not YAML: {str(error).splitlines()[0]}")
    return nodes


def _compose(text: str, file: Path) -> Document:
    """Compose nodes with libyaml, then convert them into data."""
    nodes = _nodes(text, file, most=2)
    if isinstance(nodes, Document):
        return nodes
    if len(nodes) > 1:
        return _broken(file, "holds more than one YAML document", _place(nodes[1].start_mark))
    if not nodes:
        return Document(file=file)
    node = nodes[0]
    builder = _Builder(file)
    data = builder.value(node, ())
    if data is None and not builder.problems:
        data = {}
    if not isinstance(data, dict):
        builder.report(node, "must be a map of keys at the top")
        data = {}
    return Document(file=file, data=data, marks=builder.marks, problems=tuple(builder.problems))


def _words(error: yaml.MarkedYAMLError) -> str:
    """Return the parser's message, with a hint for known mistakes."""
    problem = error.problem or "it cannot be read"
    if "cannot start any token" in problem or "tab" in problem:
        return f"{problem} (a tab? YAML indents with spaces)"
    return f"{problem} {error.context}" if error.context and error.problem else problem


def _broken(file: Path, message: str, mark: Mark = (1, 1)) -> Document:
    where = Location(file=file, line=mark[0], column=mark[1])
    return Document(file=file, problems=(Problem(where=where, message=message),))


def _place(mark: Any) -> Mark:
    return (mark.line + 1, mark.column + 1)


class _Builder:
    """Converts nodes into data and records the place of each."""

    def __init__(self, file: Path, deepest: int = _DEEPEST) -> None:
        self._deepest = deepest
        self.marks: dict[KeyPath, Mark] = {}
        self.problems: list[Problem] = []
        self._file = file
        self._count = 0
        self._open: set[int] = set()  # nodes being read: following an alias to one of them would never end

    def report(self, node: Any, message: str, hint: str = "") -> None:
        line, column = _place(node.start_mark)
        self.problems.append(
            Problem(where=Location(file=self._file, line=line, column=column), message=message, hint=hint)
        )

    def value(self, node: Any, path: KeyPath) -> Any:
        """Return the node's data; if it cannot be read, add a problem and return None."""
        self.marks.setdefault(path, _place(node.start_mark))
        self._count += 1
        if self._count == _MOST:
            self.report(node, f"holds more than {_MOST} values once its aliases are expanded")
        if self._count >= _MOST:
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if len(self._open) >= self._deepest:  # not the path's length: `<<` in `<<` does not lengthen that
            self.report(node, f"is nested deeper than {self._deepest} levels")
            return None
        if id(node) in self._open:
            self.report(node, "contains itself through an alias")
            return None
        if node.tag not in (f"{STANDARD}map", f"{STANDARD}seq"):
            self.report(node, f"tag {node.tag} is not allowed")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._map(node, path)
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: Any) -> Any:
        try:
            if node.tag == PLAIN:
                return plain(node.value)
            if node.tag == f"{STANDARD}str":
                return node.value
            return tagged(node.tag.removeprefix(STANDARD), node.value)
        except BadScalar as error:
            self.report(node, str(error))
            return None

    def _map(self, node: Any, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag in _MERGES and key_node.value == "<<":
                self._merge(value_node, path, merged)
                continue
            key = self._key(key_node)
            if key is None:
                continue
            if key in data:
                line = self.marks[*path, key][0]
                self.report(key_node, f"key {key!r} is given twice", f"first on line {line}")
                continue
            self.marks[*path, key] = _place(key_node.start_mark)
            data[key] = self.value(value_node, (*path, key))
        return {**merged, **data} if merged else data

    def _merge(self, node: Any, path: KeyPath, into: dict[str, Any]) -> None:
        """Merge `<<: *anchor`, or a list: the first map that has a key wins, and the map's own keys win over all."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self.report(source, "'<<' takes a map or a list of maps")
                continue
            data = self.value(source, path)
            for key, value in data.items() if isinstance(data, dict) else ():
                into.setdefault(key, value)

    def _key(self, node: Any) -> str | None:
        """Return the text of a key, or add a problem and return None."""
        if not isinstance(node, yaml.ScalarNode):
            self.report(node, "a key must be text, not a list or map")
            return None
        value = self._scalar(node)
        if isinstance(value, str):
            return value
        hint = f'quote it: "{node.value}"' if node.value else ""
        self.report(node, f"key {node.value or 'null'!s} is not text", hint)
        return None
