"""What was read from files the last time, for as long as the files are the same.

Reading and validating a stack costs a third of a second, most of it to find out again what was found out before. So
the result is kept in the user's cache, beside Python's own bytecode in kind: made again whenever anything differs, and
never needed. A file counts as the same by size, inode, time of change and time of status change: the last cannot be
set, so no edit goes unseen. What was changed just now is not kept: another change might get the same time (as git's
"racy" index entries, https://git-scm.com/docs/racy-git).
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import hashlib
import io
import os
import pickle
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from devtools.base.atomic_write import write_whole

Value = TypeVar("Value")
Stamp = tuple[tuple[str, int, int, int, int], ...]

_MOST = 64  # files kept: repositories and environments that one works with
_RACY = 100_000_000  # nanoseconds: file systems' clocks tick slower than ours
_RECORDS = frozenset(
    f"devtools.{name}" for name in ("errors", "model", "config.settings", "charts.lock", "charts.contract")
)
_PATHS = frozenset((("pathlib", "PosixPath"), ("pathlib._local", "PosixPath")))  # the second: Python 3.13
_CODE = ("errors.py", "model.py", "base", "config", "charts")  # below devtools/: what decides what is read


def remembered(
    directory: Path,
    name: str,
    inputs: Iterable[Path],
    make: Callable[[], Value],
    *,
    kind: type[Value],
    good: Callable[[Value], bool] = lambda _: True,
) -> Value:
    """What `make` gave when these files and directories were as they are now, else what it gives now.

    `name` tells values of one directory apart; a value that is no `kind` or not `good` any more is made anew.
    """
    now = time.time_ns()
    stamp = _stamp((*inputs, *(Path(__file__).parents[1] / part for part in _CODE)))
    file = directory / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.pickle"
    if stamp is None:
        return make()
    found = _read(file, stamp)
    if isinstance(found, kind) and good(found):
        return found
    value = make()
    if all(entry[-1] < now - _RACY for entry in stamp):
        _write(file, stamp, value)
    return value


def _stamp(paths: Iterable[Path]) -> Stamp | None:
    """Every file of the paths with what tells it from another; None where that is not enough to go by."""
    try:
        return (*_entries(paths), (sys.version, 0, 0, 0, 0))
    except OSError:
        return None


def _entries(paths: Iterable[Path]) -> Iterator[tuple[str, int, int, int, int]]:
    """Raises OSError for a link, whose target may change unseen."""
    waiting = [str(path) for path in paths]
    while waiting:
        path = waiting.pop()
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            yield (path, -1, 0, 0, 0)
            continue
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path) as entries:
                waiting += sorted(entry.path for entry in entries if entry.name != "__pycache__")
        elif stat.S_ISREG(status.st_mode):
            yield (path, status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        else:
            raise OSError(f"{path} is neither file nor directory")


class _Declared(pickle.Unpickler):
    """Gives what is declared and nothing else: a pickle of somebody else's making could otherwise run anything.

    As in https://docs.python.org/3/library/pickle.html#restricting-globals. The file should be ours alone; where the
    cache was put into a checkout of somebody else's, it is not.
    """

    def find_class(self, module: str, name: str) -> Any:
        """The class of one of our records, or of a path."""
        if (module, name) in _PATHS:
            return super().find_class(module, name)
        found = super().find_class(module, name) if module in _RECORDS and "." not in name else None
        if not isinstance(found, type) or not (dataclasses.is_dataclass(found) or issubclass(found, Enum)):
            raise pickle.UnpicklingError(f"{module}.{name} is nothing that is kept")
        return found


def _read(file: Path, stamp: Stamp) -> object:
    """The value kept with this stamp; None where there is none that can be read and is our own."""
    collects = gc.isenabled()
    gc.disable()  # it would look at thousands of objects that all stay
    try:
        with file.open("rb") as source:
            status = os.fstat(source.fileno())
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return None
            parts = io.BytesIO(_unsealed(source.read()))
        made_from = _Declared(parts).load()
        return _Declared(parts).load() if made_from == stamp else None
    except Exception:  # noqa: BLE001 - whatever is wrong with it: it is made anew
        return None
    finally:
        if collects:
            gc.enable()


def _sealed(content: bytes) -> bytes:
    """With its digest before it: of damaged pickles one in six would be read, as another value."""
    return hashlib.sha256(content).digest() + content


def _unsealed(raw: bytes) -> bytes:
    """What was sealed; ValueError where it is not as it was."""
    if _sealed(content := raw[hashlib.sha256().digest_size :]) != raw:
        raise ValueError("damaged")
    return content


def _write(file: Path, stamp: Stamp, value: object) -> None:
    """Keep it whole or not at all, for us alone: a stack holds values."""
    with contextlib.suppress(OSError, pickle.PicklingError, RecursionError):
        parts = b"".join(pickle.dumps(part, pickle.HIGHEST_PROTOCOL) for part in (stamp, value))
        write_whole(file, _sealed(parts), mode=0o600)
        _prune(file.parent)


def _prune(directory: Path) -> None:
    """Let go of those that were made longest ago."""
    files = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    for path in files[:-_MOST]:
        path.unlink(missing_ok=True)
