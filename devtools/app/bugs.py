"""What becomes of an exception nobody foresaw: its traceback goes to a file, a sentence to the user."""

from __future__ import annotations

import os
import platform
import tempfile
import traceback
from pathlib import Path

from devtools.errors import DevtoolsError, ExitCode

DISTRIBUTION = "ameide-devtools"


def bug(error: Exception) -> DevtoolsError:
    """The error for users, exit code 3; it names the file that holds the traceback, which only they can read."""
    what = f"{type(error).__name__} in devtools itself"
    hint = "please report it with that file"
    try:
        return DevtoolsError(f"{what}; the details are in {_kept(error)}", hint=hint, exit_code=ExitCode.BUG)
    except OSError as full:
        said = "".join(traceback.format_exception_only(error)).strip()
        text = f"{what}: {said}; its traceback could not be written: {full.strerror}"
        return DevtoolsError(text, hint="please report it", exit_code=ExitCode.BUG)


def _kept(error: Exception) -> Path:
    """The file with the traceback, and with what ran where."""
    descriptor, name = tempfile.mkstemp(prefix="devtools-bug-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as sink:
        sink.write(f"devtools {_version()}, python {platform.python_version()}, {platform.platform()}\n")
        sink.writelines(traceback.format_exception(error))
    return Path(name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow, and hopefully not needed

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "of a checkout"
