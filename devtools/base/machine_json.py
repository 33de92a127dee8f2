"""JSON that machines wrote."""

from __future__ import annotations

import json
from typing import Any


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text; ValueError for whatever is wrong with it.

    Python's parser raises RecursionError for what is nested deeper than its stack, too.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
