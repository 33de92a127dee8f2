"""Marks the processes of a run, so that the next run can end the ones that a killed run left behind.

A helm process that is still running would conflict with the helm that the next run starts.
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
    """Mark this process's children while the body runs; end the processes with the mark of a run that is gone.

    The mark is the path of a file under `root` that this process keeps locked: the system releases the lock however
    the process ends. `say` gets a line about processes that are ended. Raises EnvironmentFault if the file cannot be
    created.
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
    """End the processes that finished or killed runs have left behind."""
    for path in root.glob("*-*.lock"):
        lock = FileLock(path, is_singleton=False)
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            _end_all(path, say)
            _remove(path, lock)


def _end_all(path: Path, say: Callable[[str], None]) -> None:
    """End the processes of one run that is gone."""
    import psutil

    left = [process for process in psutil.process_iter() if _mark(process) == str(path)]
    names = []
    for process in left:
        with contextlib.suppress(psutil.Error):  # it may just have ended by itself
            names.append(f"{process.name()} (pid {process.pid})")
    if not names:
        return
    say(f"ending processes of a killed run: {', '.join(names)}")
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
