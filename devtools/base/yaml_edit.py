"""Sets one value in a YAML file that people write; everything else stays as they wrote it."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import yaml

from devtools.base.machine_yaml import yaml_text
from devtools.base.yaml_positions import KeyPath, parse

_PLAIN = re.compile(r"""(?:"[^"]*"|'[^']*'|[0-9A-Za-z~:.+/@_-]*)""")


def with_scalar(raw: bytes, file: Path, path: KeyPath, value: str) -> bytes | None:
    """The text with the plain or quoted scalar of a key that is there replaced; None where that cannot be done safely.

    What follows the value on its line (a comment, a comma, a brace) is left alone. The result is read again: it says
    the same but for this key.
    """
    document = parse(raw, file)
    mark = document.marks.get(path)
    if document.problems or mark is None:
        return None
    line, column = mark
    lines = raw.decode().split("\n")
    head, tail = lines[line - 1][: column - 1], lines[line - 1][column - 1 :]
    key = re.match(rf"""["']?{re.escape(str(path[-1]))}["']?[ \t]*:""", tail)
    if key:
        after = tail[key.end() :].lstrip(" \t")
        old = _PLAIN.match(after)
        rest = after[old.end() :] if old else after
        lines[line - 1] = f"{head}{key[0]} {value}" + (" " if rest.startswith("#") else "") + rest
    text = "\n".join(lines).encode()
    again = parse(text, file)
    return text if not again.problems and again.data == _changed(document.data, path, value) else None


def _changed(data: Any, path: KeyPath, value: str) -> Any:
    """The data with one value replaced."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(data, list):
        return [_changed(item, rest, value) if index == key else item for index, item in enumerate(data)]
    return {**data, key: _changed(data[key], rest, value)}


def with_value(raw: bytes, file: Path, path: KeyPath, value: Any) -> bytes | None:
    """Return the text with the value at a path set, with keys made that are missing; None if it cannot be.

    All that is not replaced stays byte by byte: comments, order, quotes. The result is read again: it says the same
    but for this key.
    """
    document = parse(raw, file)
    if document.problems or not isinstance(document.data or {}, dict):
        return None
    if not document.data:
        text = raw.decode().rstrip("\n")
        new = (f"{text}\n" if text and text.strip() not in {"{}", "null", "---"} else "") + yaml_text(
            _nested(path, value)
        )
    else:
        new = _edited(raw.decode(), _root(raw), path, value)
    again = parse(new.encode(), file)
    expected = _set(document.data or {}, path, value)
    return new.encode() if not again.problems and again.data == expected else None


def _root(raw: bytes) -> yaml.MappingNode:
    """Return the nodes of a document that is known to be a map."""
    node: Any = yaml.compose(raw.decode(), Loader=yaml.SafeLoader)
    return node  # type: ignore[no-any-return] # PyYAML's stubs say Node


def _edited(text: str, node: yaml.MappingNode | yaml.SequenceNode, path: KeyPath, value: Any) -> str:
    """Return the text with a value set below a mapping, or below an item of a list."""
    key, rest = path[0], path[1:]
    if isinstance(node, yaml.SequenceNode):
        return _edited(text, node.value[int(key)], rest, value)
    found = next((pair for pair in node.value if pair[0].value == str(key)), None)
    if found is None:
        return _inserted(text, node, str(key), _nested(rest, value))
    if rest and isinstance(found[1], yaml.MappingNode | yaml.SequenceNode) and found[1].value:
        return _edited(text, found[1], rest, value)
    return _replaced(text, node, found, _nested(rest, value))


def _inserted(text: str, node: yaml.MappingNode, key: str, value: Any) -> str:
    """Add a key after the last one of a mapping, in its style."""
    end = _end(text, node.value[-1][1])
    if node.flow_style:
        return f"{text[:end]}, {_flow({key: value})[1:-1]}{text[end:]}"
    line = text.find("\n", end)
    at = len(text) if line < 0 else line
    return text[:at] + "\n" + _indented({key: value}, node.value[0][0].start_mark.column) + text[at:]


def _replaced(text: str, parent: yaml.MappingNode, pair: tuple[yaml.Node, yaml.Node], value: Any) -> str:
    """Replace the value of a key; a comment behind a value of one line stays."""
    key, old = pair
    end = _end(text, old)
    colon = text.index(":", key.end_mark.index) + 1
    if parent.flow_style or not isinstance(value, dict | list) or not value:
        return f"{text[:colon]} {_flow(value)}{text[max(end, colon) :]}"
    if isinstance(value, list) and old.start_mark.line == key.start_mark.line:
        return f"{text[:colon]} {_flow(value)}{text[max(end, colon) :]}"
    return f"{text[:colon]}\n{_indented(value, key.start_mark.column + 2)}{text[max(end, colon) :]}"


def _end(text: str, node: yaml.Node) -> int:
    """Return where the text of a node ends; PyYAML lets blocks end at whatever comes after them."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last)
    return len(text[: node.end_mark.index].rstrip())


def _nested(path: KeyPath, value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def _set(data: Any, path: KeyPath, value: Any) -> Any:
    if not path:
        return value
    if isinstance(data, list):
        return [_set(item, path[1:], value) if index == path[0] else item for index, item in enumerate(data)]
    below = data.get(path[0]) if isinstance(data, dict) else None
    return {**(data if isinstance(data, dict) else {}), path[0]: _set(below, path[1:], value)}


def _flow(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(str(key))}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    text = yaml_text({"v": value}).partition(":")[2].strip()
    return json.dumps(value) if isinstance(value, str) and (set(text) & set(",[]{}\n") or text[:1] in "|>") else text


def _indented(value: Any, columns: int) -> str:
    return textwrap.indent(yaml_text(value).rstrip("\n"), " " * columns)
