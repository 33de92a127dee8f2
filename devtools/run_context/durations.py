"""Records how long each release took when it was last synced, which decides the order of the next run.

The durations are only a hint, in one small file for each stack and context: if it is lost, invalid or cannot be
written, the order is less good.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devtools.base.atomic_write import write_whole
from devtools.base.machine_json import read_json
from devtools.base.open_file import read_file
from devtools.model import ReleaseId

_WEIGHT = 0.5  # of earlier durations: one slow run is an exception
_VERSION = 1


@dataclass(slots=True, kw_only=True)
class Durations:
    """Expected seconds by release, without waiting for slots, and the durations of this run."""

    known: Mapping[ReleaseId, float] = field(default_factory=dict)
    measured: dict[ReleaseId, float] = field(default_factory=dict)

    def note(self, release: ReleaseId, seconds: float) -> None:
        """Record that a release was synced and, if it has tests, tested in this many seconds."""
        before = self.known.get(release, seconds)
        self.measured[release] = _WEIGHT * before + (1 - _WEIGHT) * seconds

    def dump(self) -> str:
        """Return everything known as the text of a file."""
        rows = {str(release): round(seconds, 3) for release, seconds in sorted({**self.known, **self.measured}.items())}
        return json.dumps({"version": _VERSION, "seconds": rows}, indent=1) + "\n"


def read_durations(text: str) -> Durations:
    """Parse the text of `dump`; empty for any other text, because it is only a hint."""
    try:
        document = read_json(text)
        if document["version"] != _VERSION:
            return Durations()
        rows = {_id(name): float(seconds) for name, seconds in document["seconds"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return Durations()
    return Durations(known={release: seconds for release, seconds in rows.items() if 0.0 <= seconds < float("inf")})


def _id(name: str) -> ReleaseId:
    namespace, _, release = name.partition("/")
    return ReleaseId(namespace, release)


def durations_file(state: Path, stack: str, context: str) -> Path:
    """Return the file of one stack on one context."""
    name = hashlib.sha256(f"{stack}\0{context}".encode()).hexdigest()[:16]
    return state / "durations" / f"{name}.json"


def load_durations(file: Path) -> Durations:
    """Read the durations of earlier runs; empty if there is no such file."""
    try:
        return read_durations(read_file(file).decode())
    except (OSError, ValueError):
        return Durations()


def save_durations(file: Path, durations: Durations) -> None:
    """Write the durations of this run atomically; write nothing if nothing was synced."""
    if not durations.measured:
        return
    with contextlib.suppress(OSError):
        write_whole(file, durations.dump())
