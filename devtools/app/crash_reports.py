"""Report an unexpected exception: the traceback to a file, one sentence to the user."""

from __future__ import annotations

import errno
import os
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from devtools.errors import DevtoolsError, EnvironmentFault, ExitCode, limit_reached

DISTRIBUTION = "ameide-devtools"


# Errors of the operating system: the first group may occur at any time, the second is about one path.
_MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_PATH = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ESTALE})


def bug(error: BaseException, clean: Callable[[str], str] = str) -> DevtoolsError:
    """Return the error for users, exit code 3; it names the file with the traceback, which only this user can read.

    A full or broken machine, or a path that may not be used, is not a bug of devtools. `clean` hides secrets.
    """
    if isinstance(error, OSError) and error.errno in _PATH and error.filename:
        return EnvironmentFault(f"cannot use {error.filename}: {error.strerror}", hint="check its owner and mode")
    if isinstance(error, OSError) and error.errno in _MACHINE:
        where = f"{error.filename}: " if error.filename else ""
        return EnvironmentFault(
            f"this machine has a problem: {where}{error.strerror}",
            hint="free some space or repair the disk, then run the same command again",
        )
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return limit_reached()
    what = f"{type(error).__name__} in devtools itself"
    hint = "please report it with that file"
    try:
        return DevtoolsError(
            f"{what}; the details are in {_write_traceback(error, clean)}", hint=hint, exit_code=ExitCode.BUG
        )
    except OSError as full:
        summary = clean("".join(traceback.format_exception_only(error)).strip())
        text = f"{what}: {summary}; its traceback could not be written: {full.strerror}"
        return DevtoolsError(text, hint="please report it", exit_code=ExitCode.BUG)


def _write_traceback(error: BaseException, clean: Callable[[str], str]) -> Path:
    """Write the traceback and the versions of devtools, Python and the platform to a file; return its path."""
    import platform

    descriptor, name = tempfile.mkstemp(prefix="devtools-bug-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as sink:
        sink.write(f"devtools {_version()}, python {platform.python_version()}, {platform.platform()}\n")
        sink.write(clean("".join(traceback.format_exception(error))))
    return Path(name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "of a checkout"
