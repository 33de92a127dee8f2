"""Fills in files of this package, in which `@KEY@` is a placeholder for a value."""

from __future__ import annotations

from pathlib import Path

from devtools.base.machine_yaml import json_for_yaml

_DIRECTORY = Path(__file__).with_name("templates")


def filled(name: str, **values: object) -> str:
    """Return the text of a file of templates/, with its keys replaced by values, escaped for quoted strings."""
    text = (_DIRECTORY / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", json_for_yaml(str(value))[1:-1])
    return text
