"""Writes what was vendored into the lock: one value changes, everything else stays as people wrote it."""

from __future__ import annotations

import re
from pathlib import Path

from devtools.errors import ConfigError
from devtools.stack.yamlpos import parse

# The key and its value from the key's place on; what follows (a comment, a comma, a brace) is left alone.
_VALUE = re.compile(r"""^(["']?sha256["']?[ \t]*:)[ \t]*(?:"[^"]*"|'[^']*'|[0-9A-Za-z~]*)""")


def with_sha256(raw: bytes, chart: str, sha256: str, file: Path) -> bytes:
    """The lock's text with the sha256 of `<publisher>/<chart>` set; ConfigError where that cannot be done safely."""
    document = parse(raw, file)
    index = _index(document.data, chart)
    mark = document.marks.get(("charts", index, "sha256"))
    if document.problems or mark is None:
        raise ConfigError(f"{file} has no place for the sha256 of '{chart}'", hint=f"look at {document.at()}")
    line, column = mark
    lines = raw.decode().split("\n")
    head, tail = lines[line - 1][: column - 1], lines[line - 1][column - 1 :]
    match = _VALUE.match(tail)
    if match:
        rest = tail[match.end() :]
        lines[line - 1] = f"{head}{match[1]} {sha256}" + (" " if rest.startswith("#") else "") + rest
    text = "\n".join(lines)
    after = parse(text.encode(), file)
    wanted = _changed(document.data, index, sha256)
    if after.problems or after.data != wanted:
        where = document.at(("charts", index, "sha256"))
        raise ConfigError(f"the sha256 of '{chart}' cannot be written at {where}", hint=f"write it there: {sha256}")
    return text.encode()


def _index(data: object, chart: str) -> int:
    """Which item of `charts` it is; -1 where it is none."""
    items = data.get("charts", []) if isinstance(data, dict) else []
    names = [f"{item.get('publisher')}/{item.get('name')}" for item in items if isinstance(item, dict)]
    return names.index(chart) if chart in names else -1


def _changed(data: dict[str, object], index: int, sha256: str) -> dict[str, object]:
    items = data["charts"]
    assert isinstance(items, list)  # noqa: S101 - its place was just found
    return {**data, "charts": [item | {"sha256": sha256} if n == index else item for n, item in enumerate(items)]}
