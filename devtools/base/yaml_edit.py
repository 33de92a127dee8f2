"""Sets one value in a hand-written YAML file; everything else stays byte by byte."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from devtools.base.machine_yaml import yaml_text
from devtools.base.yaml_positions import Key, KeyPath, parse

_PLAIN = re.compile(r"""(?:"[^"]*"|'[^']*'|[0-9A-Za-z~:.+/@_-]*)""")


def with_scalar(raw: bytes, file: Path, path: KeyPath, value: str) -> bytes | None:
    """Return the text with the plain or quoted scalar of an existing key replaced; None if that is not safe.

    The rest of the value's line (a comment, a comma, a brace) stays. The result is parsed again to verify that only
    this key has changed.
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
    return text if not again.problems and again.data == _set(document.data, path, value) else None


def with_value(raw: bytes, file: Path, path: KeyPath, value: Any) -> bytes | None:
    """Return the text with the value at a path set, adding missing keys; None if that is not safe.

    Everything else stays byte by byte: comments, order, quotes. The result is parsed again to verify that only this
    key has changed.
    """
    document = parse(raw, file)
    if document.problems or not isinstance(document.data or {}, dict):
        return None
    if not document.data:
        text = raw.decode().rstrip("\n")
        head = f"{text}\n" if text and text.strip() not in {"{}", "null", "---"} else ""
        new = head + yaml_text(_nested(path, value))
    else:
        root: Any = yaml.compose(raw.decode(), Loader=yaml.SafeLoader)  # a mapping
        new = _edited(raw.decode(), root, path, value)
    again = parse(new.encode(), file)
    expected = _set(document.data or {}, path, value)
    return new.encode() if not again.problems and again.data == expected else None


def _edited(text: str, node: yaml.MappingNode | yaml.SequenceNode, path: KeyPath, value: Any) -> str:
    """Return the text with a value set below a mapping, or below an item of a list."""
    key, rest = path[0], path[1:]
    if isinstance(node, yaml.SequenceNode):
        item = node.value[int(key)]
        return _edited(text, item, rest, value) if rest and _leads_into(item, rest[0]) else text
    found = next((pair for pair in node.value if pair[0].value == str(key)), None)
    if found is None:
        return _inserted(text, node, str(key), _nested(rest, value))
    if rest and _leads_into(found[1], rest[0]):
        return _edited(text, found[1], rest, value)
    return _replaced(text, node, found, _nested(rest, value))


def _leads_into(node: yaml.Node, key: Key) -> TypeGuard[yaml.MappingNode | yaml.SequenceNode]:
    """Return whether a key or an item can be set within a node; if not, the whole node is replaced."""
    if isinstance(node, yaml.SequenceNode):
        return isinstance(key, int) and key < len(node.value)
    return isinstance(node, yaml.MappingNode) and bool(node.value)


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
    if isinstance(old, yaml.SequenceNode) and not old.flow_style and isinstance(value, list) and value:
        begin = old.start_mark.index - old.start_mark.column
        last = old.value[-1]
        return text[:begin] + _items(text, old, value) + text[last.start_mark.index + len(_with_comment(text, last)) :]
    if parent.flow_style or not isinstance(value, dict | list) or not value:
        return f"{text[:colon]} {_flow(value)}{text[max(end, colon) :]}"
    if isinstance(value, list) and old.start_mark.line == key.start_mark.line:
        return f"{text[:colon]} {_flow(value)}{text[max(end, colon) :]}"
    return f"{text[:colon]}\n{_indented(value, key.start_mark.column + 2)}{text[max(end, colon) :]}"


def _items(text: str, old: yaml.SequenceNode, items: list[Any]) -> str:
    """Return the text of a block list's items; existing ones keep their text."""
    loader = yaml.SafeLoader("")
    there = [(loader.construct_object(node, deep=True), _with_comment(text, node)) for node in old.value]
    column = old.start_mark.column
    rows = [next((raw for data, raw in there if data == item), None) or _item(old, item, column) for item in items]
    return "\n".join(f"{' ' * column}- {row}" for row in rows)


def _with_comment(text: str, node: yaml.Node) -> str:
    """Return an item's text, with the comment after it."""
    end = _end(text, node)
    rest = text[end:].partition("\n")[0]
    return text[node.start_mark.index : end] + (rest if rest.lstrip().startswith("#") else "")


def _item(old: yaml.SequenceNode, value: Any, column: int) -> str:
    """Return the text of a new item, in the style of the first one."""
    flow = isinstance(old.value[0], yaml.CollectionNode) and old.value[0].flow_style
    return _flow(value) if flow or not isinstance(value, dict | list) else _indented(value, column + 2).lstrip()


def _end(text: str, node: yaml.Node) -> int:
    """Return where the text of a node ends; PyYAML's end of a block is the start of the next token."""
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
    if isinstance(data, list) and isinstance(path[0], int):
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
