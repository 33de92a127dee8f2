"""Removes unused copies of kubeconfigs, because they contain credentials.

Next to each copy are `source.json`, which names the repository and the kubeconfig files it was made from, and `in-use`,
on which every process that uses the copy holds a shared lock. The system releases it when the process ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from devtools.base.atomic_write import write_whole
from devtools.base.machine_json import read_state
from devtools.errors import DevtoolsError

UNUSED = 86_400.0  # seconds after which a copy is removed if its context now refers to another cluster
_SOURCE, _IN_USE, _COPY = "source.json", "in-use", "kubeconfig"

# Returns the directory name of a context's copy as the files are now; empty if they have no such context.
Current = Callable[[str, tuple[Path, ...]], str]


def use(directory: Path, context: str, root: Path, kubeconfigs: tuple[Path, ...]) -> int:
    """Lock the copy in a directory against removal until the descriptor is closed, and record its sources."""
    path = directory / _IN_USE
    while True:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):  # another process has just removed the directory
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_SH)
                if path.stat().st_ino == os.fstat(lock).st_ino:
                    break
            except OSError:
                os.close(lock)
                raise
            os.close(lock)
    if directory / _COPY in kubeconfigs:  # as under Tilt: the copy was made from other files
        return lock
    source = {"context": context, "root": str(root), "kubeconfigs": [str(item.absolute()) for item in kubeconfigs]}
    write_whole(directory / _SOURCE, json.dumps(source), mode=0o600)
    return lock


def remove_stale(state: Path, root: Path, allowed: tuple[str, ...], current: Current) -> None:
    """Remove copies below a directory whose context is gone, refers to another cluster, or is no longer allowed.

    `allowed` are the contexts that the repository at `root` allows. A copy that a process uses stays. A copy that
    cannot be read or removed now is left for the next time.
    """
    for copy in sorted(state.glob(f"*/*/{_COPY}")):
        directory = copy.parent
        with contextlib.suppress(OSError, DevtoolsError):
            if not directory.is_symlink() and _is_stale(directory, root, allowed, current):
                _remove(directory)


def _is_stale(directory: Path, root: Path, allowed: tuple[str, ...], current: Current) -> bool:
    is_unused = time.time() - (directory / _COPY).stat().st_mtime > UNUSED
    source = read_state(directory / _SOURCE)
    try:
        context, home = str(source["context"]), Path(source["root"])
        kubeconfigs = tuple(map(Path, source["kubeconfigs"]))
    except (KeyError, TypeError):
        return is_unused  # made by an older version
    if not home.is_dir() or (home == root and context not in allowed):
        return True
    name = current(context, kubeconfigs)
    return not name or (name != directory.name and is_unused)


def _remove(directory: Path) -> None:
    """Remove a copy, unless a process uses it."""
    descriptor = os.open(directory / _IN_USE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for name in (_COPY, _SOURCE, _IN_USE):
            (directory / name).unlink(missing_ok=True)
        directory.rmdir()
