"""Reads the files whose text `{file: path}` puts into values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from devtools.base.open_file import opened
from devtools.config.validate import is_inside

LARGEST = 2**20  # bytes: the maximum size of a ConfigMap


class Unreadable(Exception):
    """A file's text cannot be used."""


def text_of(root: Path, name: str) -> str:
    """Return the text of a file by its path from the repository's root; raises Unreadable.

    Links are refused, and so are hidden files: the content of `.git` and `.env` does not belong into values.
    """
    parts = PurePosixPath(name).parts
    if not parts or not is_inside(name):
        raise Unreadable("must be a path inside the repository, from its root")
    if any(part.startswith(".") for part in parts):
        raise Unreadable("is a hidden file: its text is not read")
    path = root.joinpath(*parts)
    try:
        if os.path.realpath(path) != str(path):
            raise Unreadable("is a link, or below one: name the file itself")
        with opened(path) as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error
    if len(raw) > LARGEST:
        raise Unreadable(f"is larger than {LARGEST // 2**20} MiB")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("is not UTF-8 text") from error


def are_unchanged(root: Path, texts: Mapping[str, str]) -> bool:
    """Return whether the files still have these texts."""
    try:
        return all(text_of(root, name) == text for name, text in texts.items())
    except Unreadable:
        return False
