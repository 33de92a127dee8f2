"""Kinds whose health Argo CD knows without a customization: `builtin_health.yaml`."""

from __future__ import annotations

import fnmatch
from functools import cache
from pathlib import Path

from devtools.base.machine_yaml import read_map
from devtools.base.open_file import read_file


@cache
def _kinds() -> dict[str, list[str]]:
    """Return the kinds of each API group; groups are patterns."""
    groups = read_map(read_file(Path(__file__).with_suffix(".yaml")))
    return {group: kinds.split() for group, kinds in groups.items()}


def has_health(group: str, kind: str) -> bool:
    """Return whether Argo CD knows the health of a kind."""
    return any(
        "*" in kinds or kind in kinds
        for pattern, kinds in _kinds().items()
        if pattern == group or ("*" in pattern and fnmatch.fnmatchcase(group, pattern))
    )
