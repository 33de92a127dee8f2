"""Sets one value in a YAML file that people write; everything else stays as they wrote it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from devtools.base.yaml_positions import KeyPath, parse

_PLAIN = re.compile(r"""(?:"[^"]*"|'[^']*'|[0-9A-Za-z~:.-]*)""")


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
