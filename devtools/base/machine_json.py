"""Reads JSON written by programs, and writes JSON that is safe to show on a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from devtools.base.open_file import read_file

# Characters that json.dumps does not escape: control and bidirectional ones, which affect a terminal, and surrogates.
_HIDDEN = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def read_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; ValueError for any fault in it.

    Python's parser raises RecursionError for deep nesting; that becomes a ValueError, too.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_state(path: Path) -> dict[str, Any]:
    """Return the map in a program's own state file; empty if there is none, or if it cannot be read."""
    try:
        found = read_json(read_file(path))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def json_text(value: Any, indent: int | None = 2) -> str:
    """Return readable JSON: letters of any language as they are, control and bidirectional characters as escapes."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
