"""Marks the processes of a run, so that the next one ends what a killed one left.

A helm that goes on would work against the one that takes up its work.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from devtools.errors import EnvironmentFault

if TYPE_CHECKING:
    import psutil


RUN_VARIABLE = "DEVTOOLS_RUN"  # environment variable of every process of a run: the path of the run's lock file
_GRACE = 5.0  # seconds after INT: helm then notes that its release failed


@contextlib.contextmanager
def marked(root: Path, say: Callable[[str], None]) -> Iterator[str]:
    """A mark of our own for as long as we live; ends the processes that bear that of a run which does not.

    It is the path of a file under `root` that we hold locked: the system lets go of it however we end. `say` is told
    of processes that are ended. Raises EnvironmentFault where the file cannot be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(root / "all.lock", is_singleton=False):  # so that no new file is removed before it is locked
            _sweep(root, say)
            path = root / f"{os.getpid()}-{os.urandom(4).hex()}.lock"
            own = FileLock(path, is_singleton=False)
            own.acquire()
    except OSError as error:
        hint = "make room there, or set DEVTOOLS_STATE"
        raise EnvironmentFault(f"cannot make a lock in {root}: {error.strerror}", hint=hint) from error
    try:
        yield str(path)
    finally:
        _remove(path, own)


def _sweep(root: Path, say: Callable[[str], None]) -> None:
    """End what runs that are gone have started."""
    for path in root.glob("*-*.lock"):
        lock = FileLock(path, is_singleton=False)
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            _end_all(path, say)
            _remove(path, lock)


def _end_all(path: Path, say: Callable[[str], None]) -> None:
    """End the processes of a run that is gone."""
    import psutil

    left = [process for process in psutil.process_iter() if _mark(process) == str(path)]
    if not left:
        return
    say(f"ending processes of a killed run: {', '.join(f'{process.name()} (pid {process.pid})' for process in left)}")
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGINT)
    for process in psutil.wait_procs(left, _GRACE)[1]:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _mark(process: psutil.Process) -> str:
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        return str(process.environ().get(RUN_VARIABLE, ""))
    return ""


def _remove(path: Path, lock: FileLock) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    lock.release()
