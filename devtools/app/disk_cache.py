"""Caches data read from files until one of the files changes.

Reading and validating a stack takes a third of a second. The result is stored in the user's cache and rebuilt when an
input differs. A file is unchanged if its size, inode, modification time and status change time are the same: the last
one cannot be set, so every edit is detected. A file modified within the last tenth of a second is not cached, because
another change might get the same time (like git's "racy" index entries, https://git-scm.com/docs/racy-git). The format
is msgpack, decoded into the declared types: reading it cannot execute anything.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from devtools.base.atomic_write import write_whole
from devtools.base.open_file import opened

Value = TypeVar("Value")
Stamp = tuple[tuple[str, int, int, int, int], ...]

_MOST = 64  # files: the repositories and environments that one user works with
_RACY = 100_000_000  # nanoseconds: file systems' clocks tick slower than ours
_CODE = ("errors.py", "model", "base", "config", "charts", "sops")  # below devtools/: code that makes the cached data


class _Unusable(Exception):
    """There is no cached value that is readable, owned by this user, and made from the same inputs."""


def cached(
    directory: Path,
    name: str,
    inputs: Iterable[Path],
    make: Callable[[], Value],
    *,
    kind: Any,
    good: Callable[[Value], bool] = lambda _: True,
) -> Value:
    """Return the cached result of `make` if these files and directories are unchanged, else call it.

    `name` distinguishes the values in one directory; `kind` is the value's type. A value that is no longer `good` is
    rebuilt.
    """
    now = time.time_ns()
    stamp = _stamp((*inputs, *(Path(__file__).parents[1] / part for part in _CODE)))
    file = directory / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.msgpack"
    if stamp is None:
        return make()
    with contextlib.suppress(_Unusable):
        found: Value = _read(file, stamp, kind)
        if good(found):
            return found
    value = make()
    if all(entry[-1] < now - _RACY for entry in stamp):
        _write(file, stamp, value)
    return value


def _stamp(paths: Iterable[Path]) -> Stamp | None:
    """Return every file of the paths with its stat stamp; None if a stamp cannot prove that a file is unchanged."""
    try:
        return (*_entries(paths), (sys.version, 0, 0, 0, 0))
    except OSError:
        return None


def _entries(paths: Iterable[Path]) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield each file's stamp; raises OSError for a link, because a change of its target would go unnoticed."""
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


def _read(file: Path, stamp: Stamp, kind: Any) -> Any:
    """Return the value cached with this stamp; raises _Unusable."""
    collects = gc.isenabled()
    gc.disable()  # the collector would visit thousands of objects, all of which stay alive
    try:
        with opened(file) as source:
            status = os.fstat(source.fileno())
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise _Unusable
            content = _unsealed(source.read())
        made_from, value = msgspec.msgpack.decode(content, type=tuple[Stamp, msgspec.Raw])
        if made_from != stamp:
            raise _Unusable
        return msgspec.msgpack.decode(value, type=kind, dec_hook=_decode)
    except (OSError, ValueError, TypeError, RecursionError, MemoryError) as error:  # msgspec's errors are ValueErrors
        raise _Unusable from error
    finally:
        if collects:
            gc.enable()


def _encode(value: object) -> str:
    """Encode a path, which msgspec does not support."""
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value)} cannot be cached")


def _decode(kind: type, value: Any) -> Any:
    """Decode a path, which msgspec does not support."""
    if kind is Path:
        return Path(value)
    raise TypeError(f"{kind} cannot be cached")


def _sealed(content: bytes) -> bytes:
    """Return the content with its digest in front, so that a damaged file is not read as another value."""
    return hashlib.sha256(content).digest() + content


def _unsealed(raw: bytes) -> bytes:
    """Return the sealed content; raises ValueError if it does not match its digest."""
    if _sealed(content := raw[hashlib.sha256().digest_size :]) != raw:
        raise ValueError("damaged")
    return content


def _write(file: Path, stamp: Stamp, value: object) -> None:
    """Write the value atomically, readable by this user only, because a stack contains values."""
    with contextlib.suppress(OSError, ValueError, TypeError, OverflowError, RecursionError):
        content = msgspec.msgpack.encode((stamp, value), enc_hook=_encode)
        write_whole(file, _sealed(content), mode=0o600)
        _prune(file.parent)


def _prune(directory: Path) -> None:
    files = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    for path in files[:-_MOST]:
        path.unlink(missing_ok=True)
