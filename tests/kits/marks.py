"""Marked secrets, each of its own, and where they are found again in one of their forms."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from pathlib import Path

NAMES = "password pass pwd key bearer cookie url env file pem secret generated environ live live-url argument"


class Marks:
    """Values that occur nowhere else."""

    def __init__(self) -> None:
        """New ones each time."""
        self._values = {name: f"{name[:3]}7{os.urandom(6).hex()}" for name in NAMES.split()}

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def found_in(self, *texts: str | bytes) -> list[str]:
        """The names of the marks in these texts, as they are or in base64."""
        raw = b"\n".join(text.encode() if isinstance(text, str) else text for text in texts)
        return [name for name, value in self._values.items() if any(form in raw for form in _forms(value))]

    def found_below(self, *directories: Path) -> dict[str, list[str]]:
        """The files below these directories that hold a mark, and which."""
        files = [path for directory in directories for path in directory.rglob("*") if path.is_file()]
        found = {str(path): self.found_in(path.read_bytes()) for path in files}
        return {name: marks for name, marks in found.items() if marks}


def _forms(value: str) -> Iterable[bytes]:
    yield value.encode()
    for lead in range(3):
        coded = base64.b64encode(b"x" * lead + value.encode())
        yield coded[4 if lead else 0 : -4]


def readable_by_others(directory: Path) -> list[str]:
    """What is below a directory, itself included, that others than its owner may read or enter."""
    every = [directory, *directory.rglob("*")]
    return [str(path) for path in every if not path.is_symlink() and path.stat().st_mode & 0o077]
