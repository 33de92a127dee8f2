"""One run at a time per stack and context; the lock names its holder and dies with its process."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from devtools.base.open_file import read_file
from devtools.errors import EnvironmentFault
from devtools.locks.holder import Holder, has_ended, read_holder
from devtools.locks.lock_file import held, is_held
from devtools.process.runner import Cancel


@contextlib.contextmanager
def run_lock(
    directory: Path, subject: str, holder: Holder, *, wait: bool, cancel: Cancel, say: Callable[[str], None]
) -> Iterator[None]:
    """Hold the lock of `subject` (stack and context) while the body runs.

    The system releases the lock of a dead process, so there are no stale locks. Raises EnvironmentFault, naming the
    holder, if another run holds it and `wait` is off; Interrupted on cancel.
    """
    note, last = note_of(directory, subject), ""

    def waiting() -> None:
        nonlocal last
        other = str(_read(note) or "a run that is just starting")
        if not wait:
            hint = "wait for it, or leave out --no-wait"
            raise EnvironmentFault(f"another run holds {subject}: {other}", hint=hint)
        if other != last:
            say(f"waiting for another run: {other}")
            last = other

    with held(_path(directory, subject), cancel, waiting):
        try:
            with contextlib.suppress(OSError):  # a full disk: the lock is held without the note
                note.write_text(holder.note(), encoding="utf-8")
            yield
        finally:
            with contextlib.suppress(OSError):
                note.unlink(missing_ok=True)


def under_way(directory: Path, subject: str) -> str:
    """Return the run that holds a lock now, empty if none: by its note, as trying the lock could stop a new run."""
    holder = _read(note_of(directory, subject))
    return "" if holder is None or has_ended(holder.pid) else str(holder)


def runs_on(directory: Path, cluster: str) -> list[str]:
    """Return the runs of any stack that hold a lock now, tried for a moment, and whose notes name this cluster."""
    notes = ((path, _read(path)) for path in sorted(directory.glob("*.json")))
    return [
        str(holder)
        for path, holder in notes
        if holder and holder.cluster == cluster and is_held(path.with_suffix(".lock"))
    ]


def shutdown_subject(cluster: str) -> str:
    """Return the lock subject of a command that stops or removes a cluster (`<provider> <name>`)."""
    return f"shutdown of {cluster}"


def check_shutdown(directory: Path, cluster: str) -> None:
    """Raise EnvironmentFault if a command stops or removes this cluster now."""
    subject = shutdown_subject(cluster)
    if _path(directory, subject).exists() and is_held(_path(directory, subject)):
        message = f"cluster {cluster.partition(' ')[2]} is being stopped or removed: {under_way(directory, subject)}"
        raise EnvironmentFault(message, hint="run the same command again when that has ended")


def _path(directory: Path, subject: str) -> Path:
    return directory / f"{hashlib.sha256(subject.encode()).hexdigest()[:16]}.lock"


def note_of(directory: Path, subject: str) -> Path:
    """Return the file that describes the holder of the lock of `subject`."""
    return _path(directory, subject).with_suffix(".json")


def _read(note: Path) -> Holder | None:
    """Return the holder's note; None if it cannot be read."""
    with contextlib.suppress(OSError):
        return read_holder(read_file(note))
    return None
