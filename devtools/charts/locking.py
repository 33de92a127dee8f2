"""Writes what was vendored into the lock: one value changes, everything else stays as people wrote it."""

from __future__ import annotations

from pathlib import Path

from devtools.base.yaml_edit import with_scalar
from devtools.base.yaml_positions import parse
from devtools.errors import ConfigError


def with_sha256(raw: bytes, chart: str, sha256: str, file: Path) -> bytes:
    """The lock's text with the sha256 of `<publisher>/<chart>` set; ConfigError where that cannot be done safely."""
    document = parse(raw, file)
    index = _index(document.data, chart)
    mark = document.marks.get(("charts", index, "sha256"))
    if document.problems or mark is None:
        raise ConfigError(f"{file} has no place for the sha256 of '{chart}'", hint=f"look at {document.at()}")
    text = with_scalar(raw, file, ("charts", index, "sha256"), sha256)
    if text is None:
        where = document.at(("charts", index, "sha256"))
        raise ConfigError(f"the sha256 of '{chart}' cannot be written at {where}", hint=f"write it there: {sha256}")
    return text


def _index(data: object, chart: str) -> int:
    """Which item of `charts` it is; -1 where it is none."""
    items = data.get("charts", []) if isinstance(data, dict) else []
    names = [f"{item.get('publisher')}/{item.get('name')}" for item in items if isinstance(item, dict)]
    return names.index(chart) if chart in names else -1
