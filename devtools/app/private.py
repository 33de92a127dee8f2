"""A directory for what must not stay: gone after the run, or, where that was killed, at the next one.

The processes of a killed run go then, too: a helm that goes on would work against the one that takes up its work.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from devtools.errors import EnvironmentFault

if TYPE_CHECKING:
    import psutil


MARK = "DEVTOOLS_RUN"  # environment variable of every process of a run: its private directory
_GRACE = 5.0  # seconds after INT: helm then notes that its release failed


@contextlib.contextmanager
def private_directory(root: Path, say: Callable[[str], None]) -> Iterator[Path]:
    """A new directory under `root` that only we can read, removed afterwards; clears away what killed runs left.

    Beside it lies a lock file that its process holds: the system lets go of it however the process ends. `say` is
    told of processes that are ended. Raises EnvironmentFault where the directory cannot be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(root / "all.lock", is_singleton=False):  # so that nobody's is swept before it is locked
            _sweep(root, say)
            made = root / f"{os.getpid()}-{os.urandom(4).hex()}"
            own = FileLock(_lock_of(made), is_singleton=False)
            own.acquire()
            made.mkdir(mode=0o700)
    except OSError as error:
        hint = "make room there, or set DEVTOOLS_STATE"
        raise EnvironmentFault(f"cannot make a private directory in {root}: {error.strerror}", hint=hint) from error
    try:
        yield made
    finally:
        _remove(made, own)


def _sweep(root: Path, say: Callable[[str], None]) -> None:
    """Remove the directories of runs that are gone, and end what they started."""
    for path in root.iterdir():
        if not path.is_dir():
            continue
        lock = FileLock(_lock_of(path), is_singleton=False)
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            _end_all(path, say)
            _remove(path, lock)


def _end_all(path: Path, say: Callable[[str], None]) -> None:
    """End the processes of a run that is gone."""
    import psutil  # noqa: PLC0415 - only after a kill

    left = [process for process in psutil.process_iter() if _mark(process) == str(path)]
    if not left:
        return
    say(f"ending what a killed run left: {', '.join(f'{process.name()} (pid {process.pid})' for process in left)}")
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGINT)
    for process in psutil.wait_procs(left, _GRACE)[1]:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _mark(process: psutil.Process) -> str:
    import psutil  # noqa: PLC0415 - see _end_all

    with contextlib.suppress(psutil.Error, OSError):
        return str(process.environ().get(MARK, ""))
    return ""


def _remove(path: Path, lock: FileLock) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        _lock_of(path).unlink(missing_ok=True)
    lock.release()


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
