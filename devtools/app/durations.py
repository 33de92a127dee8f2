"""Where the durations of earlier runs are kept: one small file for each stack and context, in the state directory.

It is a hint for the order of the next run and nothing else: one that is lost, odd or cannot be written costs no more
than that.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from devtools.base.atomic_write import write_whole
from devtools.base.open_file import read_file
from devtools.run.durations import Durations, read_durations


def durations_file(state: Path, stack: str, context: str) -> Path:
    """The file of one stack on one context."""
    name = hashlib.sha256(f"{stack}\0{context}".encode()).hexdigest()[:16]
    return state / "durations" / f"{name}.json"


def load_durations(file: Path) -> Durations:
    """What earlier runs noted; nothing where there is no such file."""
    try:
        return read_durations(read_file(file).decode())
    except (OSError, ValueError):
        return Durations()


def save_durations(file: Path, durations: Durations) -> None:
    """Keep what this run saw, whole or not at all; where nothing was synced nothing is written."""
    if not durations.measured:
        return
    with contextlib.suppress(OSError):
        write_whole(file, durations.dump())
