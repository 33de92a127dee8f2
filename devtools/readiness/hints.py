"""Hints on what to check if a workload cannot start, by Kubernetes' reason and message (`hints.yaml`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_file


def hint_of(reason: str, message: str) -> str:
    """Return the hint for a symptom; empty if its message says enough."""
    for row in _rows():
        is_reason = re.search(row.get("reason", ""), reason)
        if is_reason and re.search(row.get("message", ""), message, re.IGNORECASE):
            return row["hint"]
    return ""


@cache
def _rows() -> Sequence[Mapping[str, str]]:
    rows: Sequence[Mapping[str, str]] = read_map(read_file(Path(__file__).with_name("hints.yaml")))["hints"]
    return rows
