"""JSON that machines wrote, and JSON that people may read on a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from devtools.base.open_file import read_file

# What json.dumps leaves as it is and a terminal acts upon or turns text round for; and what cannot be encoded.
_HIDDEN = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text; ValueError for whatever is wrong with it.

    Python's parser raises RecursionError for what is nested deeper than its stack, too.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_state(path: Path) -> dict[str, Any]:
    """The map in a file that a program keeps for itself; empty where there is none, or none that can be read."""
    try:
        found = read_json(read_file(path))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def json_text(value: Any, indent: int | None = 2) -> str:
    """Return readable JSON: letters of any language as they are, control and bidirectional characters as escapes."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
