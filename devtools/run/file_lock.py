"""One run at a time per stack and context; the lock names its holder and dies with its process."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from devtools.base.machine_json import read_json
from devtools.base.open_file import read_file
from devtools.errors import EnvironmentFault
from devtools.process.lock_file import LockFile
from devtools.process.runner import Cancel


@contextlib.contextmanager
def run_lock(
    directory: Path,
    subject: str,
    holder: dict[str, str | int],
    *,
    wait: bool,
    cancel: Cancel,
    say: Callable[[str], None],
) -> Iterator[None]:
    """Hold the lock of `subject` (stack and context) while the body runs.

    `holder` (pid, what, who, started, cluster) is what others are told. The system frees the lock of a dead process,
    so a stale one cannot be met. Raises EnvironmentFault when it is taken and `wait` is off, Interrupted on cancel.
    """
    note, last = note_of(directory, subject), ""
    with LockFile(_path(directory, subject), cancel) as lock:
        while not lock.acquire():
            other = _holder(_noted(note))
            if not wait:
                hint = "wait for it, or leave out --no-wait"
                raise EnvironmentFault(f"another run holds {subject}: {other}", hint=hint)
            if other != last:
                say(f"waiting for another run: {other}")
                last = other
            lock.rest()
        try:
            with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
                note.write_text(json.dumps(holder), encoding="utf-8")
            yield
        finally:
            with contextlib.suppress(OSError):
                note.unlink(missing_ok=True)


def under_way(directory: Path, subject: str) -> str:
    """The run that holds the lock of `subject` now, as others are told of it; empty where none does.

    The lock itself is not tried: whoever only looks must not keep a run from beginning.
    """
    note = _noted(note_of(directory, subject))
    try:
        os.kill(int(note["pid"]), 0)
    except PermissionError:  # it lives, and is somebody else's
        pass
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return ""
    return _holder(note)


def runs_on(directory: Path, cluster: str) -> list[str]:
    """Return the runs of any stack that hold a lock now and whose notes name this cluster.

    Each lock is tried for a moment, so the note that a killed run left does not count.
    """
    notes = ((path, _noted(path)) for path in sorted(directory.glob("*.json")))
    return [
        _holder(note)
        for path, note in notes
        if isinstance(note, dict) and note.get("cluster") == cluster and _is_held(path.with_suffix(".lock"))
    ]


def shutdown_subject(cluster: str) -> str:
    """Return what a command that stops or removes a cluster (`<provider> <name>`) holds the lock of."""
    return f"shutdown of {cluster}"


def check_shutdown(directory: Path, cluster: str) -> None:
    """Raise EnvironmentFault if a command stops or removes this cluster now."""
    subject = shutdown_subject(cluster)
    if _path(directory, subject).exists() and _is_held(_path(directory, subject)):
        message = f"cluster {cluster.partition(' ')[2]} is being stopped or removed: {under_way(directory, subject)}"
        raise EnvironmentFault(message, hint="run the same command again when that has ended")


def _is_held(path: Path) -> bool:
    try:
        with LockFile(path, Cancel()) as lock:
            return not lock.acquire()
    except EnvironmentFault:
        return False


def _path(directory: Path, subject: str) -> Path:
    return directory / f"{hashlib.sha256(subject.encode()).hexdigest()[:16]}.lock"


def note_of(directory: Path, subject: str) -> Path:
    """The file in which the holder of the lock of `subject` says who it is."""
    return _path(directory, subject).with_suffix(".json")


def _noted(note: Path) -> Any:
    """What the holder noted; nothing where that cannot be read."""
    try:
        return read_json(read_file(note))
    except (OSError, ValueError):
        return {}


def _holder(data: Any) -> str:
    """Who holds it, as far as the note tells."""
    try:
        who = f" by {data['who']}" if "who" in data else ""
        return f"{data['what']}{who} (pid {data['pid']}, since {data['started']})"
    except (KeyError, TypeError):
        return "a run that is just starting"
